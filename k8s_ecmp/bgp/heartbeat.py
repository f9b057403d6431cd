"""A daemon's sign of life to the bridges: without it they withdraw everything after a time, for nobody sees nodes die.

Any daemon gives it, whether it leads or not and whether or not it reaches the API server: what has been announced stays
as long as somebody is there who will correct it. One that is stopped in order takes its promise back.

Beside the promise it says whether what is announced is current; one of several replicas stands back while it is not.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.errors import RouterError, Unreachable

_log = logging.getLogger(__name__)

_LONGEST_S = 20.0
_TIMEOUT_S = 1.5
_STOP_S = 4.0


class Promise(NamedTuple):
    """Within how many seconds the daemon will be back, and after how many a replica stands back; None: it is alone."""

    within_s: float
    hand_over_s: float | None = None


class Heartbeat:
    """A thread that renews the promises."""

    def __init__(
        self,
        promises: Mapping[tuple[Path, str], Promise],
        alive: Callable[[], bool],
        current: Callable[[str], bool],
    ) -> None:
        """Starts nothing yet.

        Args:
            promises: by folder of an ExaBGP and peer.
            alive: whether the daemon works; while it does not, no promise is renewed.
            current: whether what a peer is told is what the cluster asks for, as far as the daemon can see.
        """
        self._promises: dict[Path, dict[str, Promise]] = defaultdict(dict)
        for (folder, peer), promise in promises.items():
            self._promises[folder][peer] = promise
        self._alive = alive
        self._current = current
        spans = [span for promise in promises.values() for span in promise if span is not None]
        self._period_s = min((_LONGEST_S, *(span / 4 for span in spans)))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        if self._promises:
            self._thread.start()

    def stop(self) -> None:
        """Takes the promises back: the routes stay. Waits for a few seconds at most."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if self._alive():
                self._say(promised=True)
            self._stopped.wait(self._period_s)
        self._say(promised=False)

    def _say(self, *, promised: bool) -> None:
        for folder, peers in self._promises.items():
            try:
                self._say_to(folder, peers, promised=promised)
            except Unreachable as error:
                _log.debug("no sign of life to %s: %s", folder, error)
            except RouterError as error:
                _log.warning("no sign of life to %s: %s", folder, error)
            except Exception:  # noqa: BLE001  a thread that ends would have all routes of a daemon that lives withdrawn
                _log.exception("no sign of life to %s", folder)

    def _say_to(self, folder: Path, peers: Mapping[str, Promise], *, promised: bool) -> None:
        client = BridgeClient(folder, _TIMEOUT_S)
        try:
            for peer, promise in peers.items():
                if peer in client.peers:
                    within_s = promise.within_s if promised else None
                    current = promised and self._is_current(peer)
                    try:
                        client.ask("hold", peer=peer, within_s=within_s, current=current)
                    except RouterError as error:
                        _log.warning("no sign of life to %s for %s: %s", folder, peer, error)
                        if client.closed:
                            return
        finally:
            client.close()

    def _is_current(self, peer: str) -> bool:
        """A daemon that cannot say it is there all the same."""
        try:
            return self._current(peer)
        except Exception:  # noqa: BLE001
            _log.exception("whether %s is current is not known", peer)
            return False

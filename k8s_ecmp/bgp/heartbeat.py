"""A daemon's sign of life to the bridges: without it they withdraw everything after a time, for nobody sees nodes die.

Any daemon gives it, whether it leads or not and whether or not it reaches the API server: what has been announced stays
as long as somebody is there who will correct it. One that is stopped in order takes its promise back.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.errors import RouterError

_log = logging.getLogger(__name__)

_LONGEST_S = 20.0
_TIMEOUT_S = 1.5
_STOP_S = 4.0


class Heartbeat:
    """A thread that renews the promises."""

    def __init__(self, promises: Mapping[tuple[Path, str], float], alive: Callable[[], bool]) -> None:
        """Starts nothing yet.

        Args:
            promises: (folder of an ExaBGP, peer) -> seconds within which the daemon will be back.
            alive: whether the daemon works; while it does not, no promise is renewed.
        """
        self._promises: dict[Path, dict[str, float]] = defaultdict(dict)
        for (folder, peer), within_s in promises.items():
            self._promises[folder][peer] = within_s
        self._alive = alive
        self._period_s = min((_LONGEST_S, *(within_s / 4 for within_s in promises.values())))
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
                client = BridgeClient(folder, _TIMEOUT_S)
            except RouterError as error:
                _log.debug("no sign of life to %s: %s", folder, error)
                continue
            try:
                for peer, within_s in peers.items():
                    if peer in client.peers:
                        client.ask("hold", peer=peer, within_s=within_s if promised else None)
            except RouterError as error:
                _log.warning("no sign of life to %s: %s", folder, error)
            finally:
                client.close()

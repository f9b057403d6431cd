"""Follows kured's lock: the DaemonSet kube-system/kured."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from k8s_ecmp.kube.drain_signals import Locks, read_locks
from k8s_ecmp.kube.later import Later
from k8s_ecmp.kube.updates import DrainsKnown, Sink, WatchState
from k8s_ecmp.kube.wire import WireDaemonSet
from k8s_ecmp.model import Skipped

_log = logging.getLogger("k8s_ecmp.kube")
_LONGEST_S = 600.0


class FollowedDrains:
    """Tells of the nodes that kured drains, whenever that changes; a lock ends with its time to live too.

    Args:
        sink: who is told.
        clock: the present time, with a time zone.
    """

    def __init__(self, sink: Sink, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._sink = sink
        self._clock = clock
        self._lock = threading.Lock()
        self._text: str | None = None
        self._reasons: Mapping[str, str] | None = None
        self._flaws: tuple[str, ...] = ()
        self._expiry = Later(self._look)

    def listed(self, objects: Mapping[str, WireDaemonSet], broken: Mapping[str, Skipped]) -> None:  # noqa: ARG002
        """All there are: one or none."""
        self._see(next((item.lock for item in objects.values()), None))

    def changed(self, key: str, item: WireDaemonSet) -> None:  # noqa: ARG002
        """The lock was taken or released, or something else happened."""
        self._see(item.lock)

    def gone(self, key: str, broken: Skipped | None) -> None:  # noqa: ARG002
        """It was removed."""
        self._see(None)

    def missing(self) -> bool:
        """A server without DaemonSets has no kured."""
        self._see(None)
        return True

    def state(self, synced: bool, reason: str | None) -> None:
        """Passes it on: nothing is held because of it."""
        self._sink(WatchState("Drain", synced, reason, essential=False))

    def close(self) -> None:
        """Tells no more."""
        self._expiry.close()

    def _see(self, text: str | None) -> None:
        with self._lock:
            self._text = text
        self._look()

    def _look(self) -> None:
        """Reads the lock as of now, and comes again when it expires."""
        with self._lock:
            now = self._clock()
            locks = read_locks(self._text, now)
            self._complain(locks)
            self._expiry.cancel()
            if locks.until is not None:
                # A little later, because timers may be early; and soon enough to see that the clock was set.
                self._expiry.after(min((locks.until - now).total_seconds() + 0.01, _LONGEST_S))
            if locks.reasons != self._reasons:
                self._reasons = locks.reasons
                self._sink(DrainsKnown(locks.reasons))

    def _complain(self, locks: Locks) -> None:
        if locks.flaws and locks.flaws != self._flaws:
            _log.warning("kured's lock on DaemonSet kube-system/kured cannot be read: %s", "; ".join(locks.flaws))
        self._flaws = locks.flaws

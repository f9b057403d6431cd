"""Signs of life of those who follow the cluster: who promised to be back, and whether somebody keeps a peer current.

A promise is on disk with the time of the last sign, so that it holds through restarts of bridge, ExaBGP and machine. It
is measured by the wall clock across such a restart, and by a clock that never jumps while the bridge runs.
"""

import time

from k8s_ecmp.bgp.announced import Announced

_WRITES_PER_PROMISE = 20


class Signs:
    """Of all peers of one bridge."""

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._within: dict[str, float | None] = {}
        self._seen: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._current: dict[str, float] = {}

    def watch(self, peer: str) -> None:
        """Begins with what is on disk, unless the peer is known already."""
        if peer in self._within:
            return
        within_s, at = self._announced.held(peer) or (None, time.time())
        self._within[peer] = within_s
        self._seen[peer] = self._written[peer] = time.monotonic() - max(0.0, time.time() - at)

    def forget(self, peer: str) -> None:
        for known in (self._within, self._seen, self._written, self._current):
            known.pop(peer, None)

    def within_s(self, peer: str) -> float | None:
        """Within how many seconds somebody promised to be back; None: nobody did."""
        return self._within[peer]

    def promise(self, peer: str, within_s: float | None) -> None:
        """Somebody is here, and will be back within that time; None: nobody will, and that is in order."""
        now = self._seen[peer] = time.monotonic()
        late = within_s is not None and now - self._written[peer] > within_s / _WRITES_PER_PROMISE
        if within_s != self._within[peer] or late:
            # It counts at once, and is written with the next sign where it cannot be written now.
            self._within[peer], self._written[peer] = within_s, float("-inf")
            self._announced.hold(peer, within_s, time.time())
            self._written[peer] = now

    def broken(self, peer: str) -> bool:
        """Whether a promise was not kept."""
        within_s = self._within[peer]
        return within_s is not None and time.monotonic() - self._seen[peer] > within_s

    def say_current(self, peer: str, *, current: bool) -> None:
        """What the peer is told is what the cluster asks for; or nobody will say so any more."""
        if current:
            self._current[peer] = time.monotonic()
        else:
            self._current.pop(peer, None)

    def current(self, peer: str, within_s: float) -> bool:
        """Whether somebody said so within that time."""
        return time.monotonic() - self._current.get(peer, float("-inf")) <= within_s

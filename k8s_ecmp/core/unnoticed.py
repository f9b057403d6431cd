"""Which of the nodes that are lost no router has lost, because guard "panic" holds everything.

Nothing here knows a clock: times are arguments, and do not go back.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

LEAVES_WITHIN = timedelta(seconds=5)
"""A node whose loss was decided longer ago than a change takes, mostly, has left the routers."""


class Unnoticed:
    """Follows what is decided, decision by decision: `lost`, `back` and `came` between two of them, then `settled`."""

    def __init__(self) -> None:
        self._panicked = False
        self._going: dict[str, datetime] = {}
        self._left: dict[str, datetime] = {}
        self._held: set[str] = set()
        self._perhaps_held: set[str] = set()
        self._arrived: set[str] = set()

    def lost(self, name: str, now: datetime) -> None:
        """A node counts no more, for its health."""
        if name in self._arrived:
            self._arrived.discard(name)  # no router was ever told of it
        else:
            self._going[name] = now

    def back(self, name: str) -> bool:
        """A node is well; whether it was lost, and no router has lost it. That is said once of each loss."""
        if name in self._held or name in self._perhaps_held or (self._panicked and name in self._going):
            self.forget(name)
            return True
        return False

    def came(self, name: str) -> None:
        """A node counts that did not, and for another reason than that it is `back`."""
        if self._panicked:
            self._arrived.add(name)

    def forget(self, name: str) -> None:
        """A node is not lost."""
        self._going.pop(name, None)
        self._left.pop(name, None)
        self._held.discard(name)
        self._perhaps_held.discard(name)

    def drop(self, name: str) -> None:
        """A node is gone."""
        self.forget(name)
        self._arrived.discard(name)

    def settled(self, now: datetime, *, panicking: bool) -> Sequence[str]:
        """A decision was made of all that was told.

        Args:
            now: the time.
            panicking: whether the guard holds it.

        Returns:
            Where the panic is over: the nodes that were lost in it and are not back, sorted. Those that were lost
            directly before it may not have left either and may come back while it lasts; but their loss was decided.
        """
        going, self._going = self._going, {}
        if panicking or self._panicked:
            self._held |= going.keys()
        else:
            self._left |= going
        oldest = now - LEAVES_WITHIN
        while self._left and self._left[first := next(iter(self._left))] < oldest:
            del self._left[first]
        self._panicked = panicking
        if panicking:
            self._perhaps_held |= self._left.keys()
            self._left.clear()
            return ()
        self._perhaps_held.clear()
        self._arrived.clear()
        held, self._held = self._held, set()
        return sorted(held)

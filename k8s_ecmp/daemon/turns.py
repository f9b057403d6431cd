"""Routers of one failure domain take turns, but one that hangs holds up the others only once."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator

PATIENCE_S = 5.0


class Turns:
    """One router of the domain at a time, in the order in which they ask: one with much to do starves no other.

    For one that has its turn for over `PATIENCE_S` the next does not wait.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._holder: object | None = None
        self._since_s = 0.0

    @contextlib.contextmanager
    def mine(self) -> Iterator[None]:
        """Waits until nobody has the turn, or whoever has it has had it for too long, and takes it."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                while (first := self._waiting[0]) is not turn or self._left_s() > 0:
                    self._changed.wait(self._left_s() if first is turn else None)
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
            self._holder, self._since_s = turn, time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                if self._holder is turn:
                    self._holder = None
                    self._changed.notify_all()

    def _left_s(self) -> float:
        """How long whoever has the turn may keep it; 0 where nobody has it."""
        return 0.0 if self._holder is None else self._since_s + PATIENCE_S - time.monotonic()

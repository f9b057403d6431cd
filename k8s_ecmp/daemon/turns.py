"""Routers of one failure domain take turns, but one that hangs holds up the others only once."""

import contextlib
import threading
import time
from collections.abc import Iterator

PATIENCE_S = 5.0


class Turns:
    """One router of the domain at a time; for one that has its turn for over `PATIENCE_S` the next does not wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: object | None = None
        self._since_s = 0.0

    @contextlib.contextmanager
    def mine(self) -> Iterator[None]:
        """Waits until nobody has the turn, or whoever has it has had it for too long, and takes it."""
        turn = object()
        with self._changed:
            while self._holder is not None and (left_s := self._since_s + PATIENCE_S - time.monotonic()) > 0:
                self._changed.wait(left_s)
            self._holder, self._since_s = turn, time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                if self._holder is turn:
                    self._holder = None
                    self._changed.notify()

"""Stopping a rollout between two waves."""

import contextlib
import queue


class Stop:
    """A wish to stop before the next wave; may be made by a signal's handler."""

    def __init__(self) -> None:
        self._wishes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asked = False

    @property
    def asked(self) -> bool:
        """Whether somebody wants to stop."""
        return self._asked

    def ask(self) -> None:
        """Makes the wish."""
        self._asked = True
        self._wishes.put(None)

    def wait(self, seconds: float) -> bool:
        """Waits so long, or until the wish is made; returns whether it was."""
        if not self._asked:
            with contextlib.suppress(queue.Empty):
                self._wishes.get(timeout=max(seconds, 0))
        return self._asked

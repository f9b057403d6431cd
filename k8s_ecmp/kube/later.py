"""Something that is to be done once, later, in a thread of its own."""

import threading
from collections.abc import Callable


class Later:
    """One action that waits for its time. For all threads."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def after(self, delay_s: float) -> None:
        """Does it `delay_s` seconds from now, instead of at the time that was said before."""
        with self._lock:
            self._drop()
            if not self._closed:
                self._timer = threading.Timer(delay_s, self._action)
                self._timer.daemon = True
                self._timer.start()

    def cancel(self) -> None:
        """Does it no more, unless `after` is called again. One that has begun goes on."""
        with self._lock:
            self._drop()

    def close(self) -> None:
        """Does it never again."""
        with self._lock:
            self._closed = True
            self._drop()

    def _drop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

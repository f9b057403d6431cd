"""Whether this process stood still: frozen, suspended with its machine, or paused with its virtual machine.

Afterwards it knows what it knew before, and nothing says how old that is: what happened meanwhile arrives later.
"""

import threading
from collections.abc import Callable

from k8s_ecmp.kube.lease import Clocks


class Standstill:
    """A thread that looks at both clocks again and again; one that finds them far on was not running meanwhile."""

    def __init__(
        self, longest_s: float, on_end: Callable[[float], None], clocks: Callable[[], Clocks] = Clocks.now
    ) -> None:
        """Starts nothing yet.

        Args:
            longest_s: what counts as one.
            on_end: called after one with its length in seconds, by whoever notices it first.
            clocks: the time; another one is for tests.
        """
        self._longest_s = longest_s
        self._on_end = on_end
        self._clocks = clocks
        self._lock = threading.Lock()
        self._seen = clocks()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standstill", daemon=True)

    def start(self) -> None:
        self.check()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        """Returns when `on_end` has been called for every standstill that is over."""
        with self._lock:
            now, before = self._clocks(), self._seen
            self._seen = now
            gone_s = max(now.monotonic - before.monotonic, now.wall - before.wall)
            if gone_s > self._longest_s:
                self._on_end(gone_s)

    def _run(self) -> None:
        while not self._stopped.wait(self._longest_s / 4):
            self.check()

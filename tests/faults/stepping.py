"""The command, which waits for leave before each of its steps: `python -m tests.faults.stepping ARGUMENTS`.

Steps are what the command itself tells: the progress of a router ("stage", "commit", ...), an entry of the journal
("journal begin"), and a call to the router ("commit: commit": the call "commit" in the step "commit"; "check: " before
the journal knows of the run). A step's name goes out on descriptor $STEPS_OUT, a byte on $STEPS_IN lets it go on.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from k8s_ecmp.cli import main
from k8s_ecmp.cli.watching import Lines
from k8s_ecmp.journal import Journal
from k8s_ecmp.routers import shown


class Steps:
    """Tells steps and waits."""

    def __init__(self) -> None:
        self._out, self._in = (int(os.environ[name]) for name in ("STEPS_OUT", "STEPS_IN"))
        self._lock = threading.Lock()
        self._phase = "check"

    def come_to(self, step: str) -> None:
        with self._lock:
            os.write(self._out, f"{step}\n".encode())
            if not os.read(self._in, 1):
                os._exit(9)  # nobody waits for us any more

    def before_progress(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(spectator: Lines, router: str, step: str) -> None:
            self._phase = step
            self.come_to(step)
            function(spectator, router, step)

        return step

    def before_entry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def write(journal: Journal, author: Any, kind: str, *more: Any, **named: Any) -> Any:
            self.come_to(f"journal {kind}")
            return function(journal, author, kind, *more, **named)

        return write

    def before_call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(what: str, *more: Any, **named: Any) -> Any:
            self.come_to(f"{self._phase}: {what}")
            return function(what, *more, **named)

        return call


if __name__ == "__main__":
    steps = Steps()
    Lines.step = steps.before_progress(Lines.step)  # type: ignore[method-assign]
    Journal.write = steps.before_entry(Journal.write)  # type: ignore[method-assign]
    # Before the modules that take it from there are imported.
    shown.called = steps.before_call(shown.called)
    main()

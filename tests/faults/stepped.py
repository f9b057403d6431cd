"""A run of the command that stops before each of its steps, seen from the test."""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.site import REPO, Outcome

_PATIENCE_S = 120


class Stepped:
    """`with Stepped(arguments) as run:` starts it; it waits before every step until it is told to go on.

    Args:
        arguments: of `k8s-ecmp`.
        folder: gets what it prints.
        around: a command in front of it, such as nsenter's.
        environment: more of it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        around: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.steps: list[str] = []
        """Those that it has come to."""
        self._arguments, self._around, self._folder = arguments, around, folder
        self._environment = environment or {}
        self._waits = False
        self._buffer = b""
        self._killing = threading.Lock()

    def __enter__(self) -> Self:
        told, tells = os.pipe()
        heard, says = os.pipe()
        environment = {**os.environ, **self._environment, "PYTHONPATH": str(REPO)}
        environment |= {"STEPS_OUT": str(tells), "STEPS_IN": str(heard)}
        self._told, self._says = told, says
        self._out, self._err = (self._folder / f"stepped.{name}" for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [*self._around, sys.executable, "-m", "tests.faults.stepping", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                pass_fds=(tells, heard),
                cwd="/",
            )
        os.close(tells)
        os.close(heard)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._told)
        os.close(self._says)

    def until(self, step: str) -> None:
        """Lets it go on until it stands before the step."""
        while (name := self._next()) != step:
            if name is None:
                raise AssertionError(
                    f"it never came to {step!r}: {self.steps}\n{self._err.read_text()}{self._out.read_text()}"
                )

    def go_on(self) -> None:
        """Lets it go as far as the next step."""
        if self._waits:
            os.write(self._says, b"x")
            self._waits = False

    def stands(self) -> bool:
        """Waits until it stands before its next step, or has ended."""
        return self._next() is not None

    def finish(self) -> Outcome:
        """Lets it go on to its end."""
        while self._next() is not None:
            pass
        code = self._process.wait(_PATIENCE_S)
        return Outcome(code, self._out.read_text(), self._err.read_text())

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. May be called from any thread, and twice."""
        with self._killing:
            self._process.kill()
            self._process.wait()

    def _next(self) -> str | None:
        self.go_on()
        while b"\n" not in self._buffer:
            if not select.select([self._told], [], [], _PATIENCE_S)[0]:
                raise TimeoutError(f"it stands still after {self.steps[-1:]}: {self._err.read_text()}")
            chunk = os.read(self._told, 4096)
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.steps.append(line.decode())
        self._waits = True
        return self.steps[-1]

"""The command line without its start: a process that has imported it, and forks one for each command.

A command runs as ever, in a process of its own; what it does not do again is to start Python and to import, which takes
half a second of processor each time.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_IMPORTED = (
    "k8s_ecmp.cli.app",
    "k8s_ecmp.runs",
    "k8s_ecmp.recording",
    "k8s_ecmp.kube.file",
    "k8s_ecmp.bgp.driver",
    "k8s_ecmp.bgp.reload",
    "k8s_ecmp.routers.inventory",
    "k8s_ecmp.routers.taking_back",
    "k8s_ecmp.routers.receiver",
    "k8s_ecmp.routers.drivers.frr",
    "k8s_ecmp.views.apply_report",
    "k8s_ecmp.views.document",
    "k8s_ecmp.views.plan_text",
)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Warm:
    """One of them, with one command at a time."""

    def __init__(self) -> None:
        argv = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.world.warm"]
        root = Path(__file__).parents[2]
        self._server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)

    def run(self, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """`k8s-ecmp ARGUMENTS`, with this process's environment and folder.

        Raises:
            subprocess.TimeoutExpired: it took too long, and was killed.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryDirectory() as name:
            out, err = Path(name, "out"), Path(name, "err")
            argv = ["k8s-ecmp", *arguments]
            asked = {"argv": argv, "out": str(out), "err": str(err), "folder": str(Path.cwd()), "timeout": timeout}
            self._server.stdin.write(json.dumps({**asked, "environment": dict(os.environ)}) + "\n")
            self._server.stdin.flush()
            answer = self._server.stdout.readline()
            if not answer:
                warm.cache_clear()
                raise RuntimeError(f"the command line could not be imported: exit code {self._server.wait()}")
            code = int(answer)
            done = subprocess.CompletedProcess(argv, code, out.read_text(), err.read_text())
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(done.args, timeout, done.stdout, done.stderr)
        return done


@functools.cache
def warm() -> Warm:
    """That of this process."""
    return Warm()


def _serve() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # what is imported is shared by all of them
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _command(asked)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _command(asked: dict[str, Any]) -> None:
    code = 70
    try:
        for descriptor, name, flags in ((0, os.devnull, os.O_RDONLY), (1, asked["out"], _NEW), (2, asked["err"], _NEW)):
            opened = os.open(name, flags, 0o600)
            os.dup2(opened, descriptor)
            os.close(opened)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = asked["argv"]
        signal.setitimer(signal.ITIMER_REAL, asked["timeout"])
        from k8s_ecmp.cli.app import main

        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()

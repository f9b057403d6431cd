"""How long a person waits for the command itself."""

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.results import Row, median, timed

COMMAND = str(Path(sys.executable).parent / "k8s-ecmp")


def _run(*arguments: str) -> None:
    subprocess.run([COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def help_text() -> list[Row]:
    """`k8s-ecmp --help`."""
    _run("--help")
    took = median([timed(lambda: _run("--help")) for _ in range(7)])
    return [Row("help", "`k8s-ecmp --help`", took, None, "<= 0.3 s", took <= 0.3)]


def demo_plan() -> list[Row]:
    """`k8s-ecmp plan` of the demo."""
    with tempfile.TemporaryDirectory() as folder:
        _run("demo", f"{folder}/tour")
        settings = f"{folder}/tour/k8s-ecmp.yaml"
        took = median([timed(lambda: _run("--config", settings, "plan")) for _ in range(7)])
    return [Row("demo-plan", "`k8s-ecmp plan` of the demo", took, None, "<= 1.5 s", took <= 1.5)]

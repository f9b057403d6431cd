"""Tests that are shown as one table of what became of them."""

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

Cells = TypeVar("Cells")


def run(what: str, cells: Cells, lines: Callable[[Cells], Sequence[str]], *arguments: str, workers: int) -> int:
    """Runs tests and prints what they left in `cells`, a pytest plugin, in the words of `lines`; pytest's exit code.

    `arguments` are pytest's, those of this process follow them.
    """
    command = [*arguments, "-q", "-n", str(workers), "--dist", "loadfile", *sys.argv[1:]]
    print(f"running {what}; it takes a few minutes ...", file=sys.stderr)
    with contextlib.redirect_stdout(io.StringIO()):
        code = int(pytest.main(command, plugins=[cells]))
    print(file=sys.stderr)
    print("\n".join(lines(cells)))
    return code


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

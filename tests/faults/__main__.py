"""`python -m tests.faults [PYTEST-ARGUMENT ...]`: runs the matrix and prints it as one table."""

import contextlib
import io
import sys
from pathlib import Path

import pytest

from tests.faults.table import Cells, lines

WORKERS = "2"


def main() -> int:
    """0 when every cell held."""
    cells = Cells()
    arguments = [str(Path(__file__).parent), "-q", "-n", WORKERS, "--dist", "loadfile", *sys.argv[1:]]
    print("running the matrix; it takes a few minutes ...", file=sys.stderr)
    with contextlib.redirect_stdout(io.StringIO()):
        code = int(pytest.main(arguments, plugins=[cells]))
    print(file=sys.stderr)
    print("\n".join(lines(cells)))
    return code


if __name__ == "__main__":
    sys.exit(main())

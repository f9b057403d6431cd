"""`python -m tests.faults [PYTEST-ARGUMENT ...]`: runs the matrix and prints it as one table; 0 when every cell held."""

import sys
from pathlib import Path

from tests import tables
from tests.faults.table import Cells, lines

if __name__ == "__main__":
    sys.exit(tables.run("the matrix", Cells(), lines, str(Path(__file__).parent), workers=2))

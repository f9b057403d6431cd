"""What the four test files share: one test for every fault that can happen on their router."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.cell import Cell, Prepared
from tests.faults.faults import FAULTS, Fault


def every_fault(router: str) -> pytest.MarkDecorator:
    """Parametrises a test with the faults that can happen on the router."""
    possible = [fault for fault in FAULTS if router not in fault.absent]
    return pytest.mark.parametrize("fault", possible, ids=[fault.name.replace(" ", "-") for fault in possible])


def tried(fault: Fault, prepared: Prepared, folder: Path, note: Callable[[str, object], None]) -> None:
    """Lets the fault happen, looks at what is left, and heals; `note` gets what the table shows.

    Raises:
        AssertionError: something did not hold; each in a line.
    """
    cell = Cell(prepared, folder)
    try:
        with cell.watched():
            fault.happens(cell)
        cell.look()
        cell.heal()
    except Exception as error:
        cell.problems.append(f"{type(error).__name__}: {error}")
        raise
    finally:
        code = "killed" if cell.done is None else cell.done.code
        note("cell", [fault.name, prepared.router.name, cell.ended, code, cell.problems])
    assert not cell.problems, "\n".join(cell.problems)

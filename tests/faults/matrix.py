"""What the test files of the matrix share: one test for every fault that can happen on their router."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cell import Cell, Prepared
from tests.faults.faults import FAULTS, Fault
from tests.faults.routers import Emulated
from tests.world.emulators import emulator

Note = Callable[[str, object], None]
MARKS = [pytest.mark.slow, pytest.mark.world, pytest.mark.long]


def column(router: str) -> Callable[..., None]:
    """The test of a router's column; its module has a fixture `prepared`."""
    possible = [fault for fault in FAULTS if router not in fault.absent]

    @pytest.mark.parametrize("fault", possible, ids=[fault.name.replace(" ", "-") for fault in possible])
    def test_fault(fault: Fault, prepared: Prepared, tmp_path: Path, record_property: Note) -> None:
        _try(fault, prepared, tmp_path, record_property)

    return test_fault


def emulated(router: type[Emulated]) -> Any:
    """The fixture `prepared` of an emulated device."""

    @pytest.fixture(scope="module")
    def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
        with emulator(router.name)(tmp_path_factory.mktemp("device")) as device:
            yield Prepared(router(device), tmp_path_factory.mktemp("prepared"))

    return prepared


def _try(fault: Fault, prepared: Prepared, folder: Path, note: Note) -> None:
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

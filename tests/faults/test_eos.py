"""The matrix's column of the emulated eos."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.cell import Prepared
from tests.faults.faults import Fault
from tests.faults.matrix import every_fault, tried
from tests.faults.routers import EosRouter
from tests.world.emulators import emulator

pytestmark = [pytest.mark.slow, pytest.mark.world]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with emulator("eos")(tmp_path_factory.mktemp("device")) as device:
        yield Prepared(EosRouter(device), tmp_path_factory.mktemp("prepared"))


@every_fault("eos")
def test_fault(
    fault: Fault, prepared: Prepared, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tried(fault, prepared, tmp_path, record_property)

"""The matrix's column of the emulated nxos_ssh."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.cell import Prepared
from tests.faults.faults import Fault
from tests.faults.matrix import every_fault, tried
from tests.faults.routers import NexusRouter
from tests.world.emulators import emulator

pytestmark = [pytest.mark.slow, pytest.mark.world]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with emulator("nxos_ssh")(tmp_path_factory.mktemp("device")) as device:
        yield Prepared(NexusRouter(device), tmp_path_factory.mktemp("prepared"))


@every_fault("nxos_ssh")
def test_fault(
    fault: Fault, prepared: Prepared, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tried(fault, prepared, tmp_path, record_property)

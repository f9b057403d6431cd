"""The matrix's column of the embedded router."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.cell import Prepared
from tests.faults.faults import Fault
from tests.faults.matrix import every_fault, tried
from tests.faults.routers import FileRouter
from tests.site import REPO

pytestmark = [pytest.mark.slow, pytest.mark.world]

VRF_RED = "vrf red\n ip route 10.96.0.0/12 192.0.2.9 tag 4201\nexit-vrf\n!\ninterface eth0"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    running = (REPO / "inventories/demo/routers/edge1.cfg").read_text().replace("interface eth0", VRF_RED)
    return Prepared(FileRouter(tmp_path_factory.mktemp("device"), running), tmp_path_factory.mktemp("prepared"))


@every_fault("file")
def test_fault(
    fault: Fault, prepared: Prepared, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tried(fault, prepared, tmp_path, record_property)

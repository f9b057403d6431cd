"""The matrix's column of the embedded router."""

import pytest

from tests.faults.cell import Prepared
from tests.faults.matrix import MARKS, column
from tests.faults.routers import FileRouter
from tests.site import REPO

pytestmark = MARKS

VRF_RED = "vrf red\n ip route 10.96.0.0/12 192.0.2.9 tag 4201\nexit-vrf\n!\ninterface eth0"

test_fault = column("file")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    running = (REPO / "inventories/demo/routers/edge1.cfg").read_text().replace("interface eth0", VRF_RED)
    return Prepared(FileRouter(tmp_path_factory.mktemp("device"), running), tmp_path_factory.mktemp("prepared"))

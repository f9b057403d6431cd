"""The matrix's column of a real FRR router, watched in its kernel."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import frr
from tests.faults.cell import Prepared
from tests.faults.faults import Fault
from tests.faults.matrix import every_fault, tried

pytestmark = [pytest.mark.slow, pytest.mark.world]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with frr.router(tmp_path_factory.mktemp("device")) as router:
        yield Prepared(frr.Frr(router), tmp_path_factory.mktemp("prepared"))


@every_fault("frr")
def test_fault(
    fault: Fault, prepared: Prepared, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tried(fault, prepared, tmp_path, record_property)

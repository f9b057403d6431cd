"""The matrix's column of a real FRR router, watched in its kernel."""

from collections.abc import Iterator

import pytest

from tests.faults import frr
from tests.faults.cell import Prepared
from tests.faults.matrix import MARKS, column

pytestmark = MARKS

test_fault = column("frr")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with frr.router(tmp_path_factory.mktemp("device")) as router:
        yield Prepared(frr.Frr(router), tmp_path_factory.mktemp("prepared"))

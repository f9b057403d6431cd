"""The common stories with NAPALM's `nxos` driver."""

import pytest

from tests.routers.vendors.stories import Stories

pytestmark = [pytest.mark.slow, pytest.mark.long]


class TestNxos(Stories):
    driver = "nxos"

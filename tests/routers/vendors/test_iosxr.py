"""The common stories with NAPALM's `iosxr` driver."""

import pytest

from tests.routers.vendors.stories import Locking, Stories

pytestmark = [pytest.mark.slow, pytest.mark.long]


class TestIosXr(Locking, Stories):
    driver = "iosxr"

"""The common stories with NAPALM's `iosxr_netconf` driver."""

import pytest

from tests.routers.vendors.stories import Locking, Stories

pytestmark = [pytest.mark.slow, pytest.mark.long]


class TestIosXrNetconf(Locking, Stories):
    driver = "iosxr_netconf"

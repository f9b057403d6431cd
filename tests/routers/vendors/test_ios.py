"""The common stories with NAPALM's `ios` driver."""

import pytest

from tests.routers.vendors.stories import Confirming, Locking, Stories

pytestmark = [pytest.mark.slow, pytest.mark.long]


class TestIos(Confirming, Locking, Stories):
    driver = "ios"

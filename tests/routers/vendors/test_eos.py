"""The common stories with NAPALM's `eos` driver."""

import pytest

from tests.routers.vendors.stories import Confirming, Locking, Stories

pytestmark = pytest.mark.slow


class TestEos(Confirming, Locking, Stories):
    driver = "eos"

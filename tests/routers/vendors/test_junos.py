"""The common stories with NAPALM's `junos` driver."""

import pytest

from tests.routers.vendors.stories import Confirming, Locking, Stories

pytestmark = [pytest.mark.slow, pytest.mark.long]


class TestJunos(Confirming, Locking, Stories):
    driver = "junos"

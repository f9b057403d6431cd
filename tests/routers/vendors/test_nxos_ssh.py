"""The common stories with NAPALM's `nxos_ssh` driver."""

import pytest

from tests.routers.vendors.stories import Stories

pytestmark = [pytest.mark.slow, pytest.mark.long]


class TestNxosSsh(Stories):
    driver = "nxos_ssh"

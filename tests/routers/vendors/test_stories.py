"""No driver is without its stories."""

from importlib import import_module

import pytest

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.routers.vendors.stories import Confirming, Locking, Stories
from tests.world.emulators import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_driver_has_the_stories_of_all_that_it_promises(name: str) -> None:
    module = import_module(f"tests.routers.vendors.test_{name}")
    (found,) = (kind for key, kind in vars(module).items() if key.startswith("Test"))
    assert issubclass(found, Stories)
    assert found.driver == name
    assert issubclass(found, Confirming) == DRIVERS[name].confirm
    assert issubclass(found, Locking) >= DRIVERS[name].lock


def test_every_driver_of_napalm_s_is_emulated() -> None:
    assert {name for name, driver in DRIVERS.items() if driver.device == "napalm"} == {*NAMES}

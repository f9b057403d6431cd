"""A real FRR router for the driver's tests, with routes on it that are none of ours."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from k8s_ecmp.errors import LockHeld
from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.world import frr_release
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for

FOREIGN = """
ip route 172.16.0.0/24 10.0.0.200
ip route 172.16.1.0/24 10.0.0.200 tag 77
ip route 172.16.2.0/24 Null0
ip route 172.16.3.0/24 10.0.0.201 tag 4201
ipv6 route fd77::/64 fd00::c8 200
ip prefix-list EDGE seq 5 permit 10.0.0.0/8 le 32
!
vrf red
 ip route 10.96.0.0/12 10.0.0.200 tag 4201
 ip route 172.17.0.0/24 10.0.0.201
exit-vrf
!
interface lan0
 description to the nodes
exit
!
route-map OUT permit 10
exit
"""


@pytest.fixture(scope="module")
def router(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrRouter]:
    release = frr_release.wanted(request)
    links = [Link("lan0", ["10.0.0.254/24", "fd00::fe/64"])]
    folder = tmp_path_factory.mktemp("frr")
    with FrrRouter("r1", folder, links=links, config=FOREIGN, release=release) as started:
        yield started


Connect = Callable[..., FrrDriver]


@pytest.fixture
def connect(router: FrrRouter) -> Iterator[Connect]:
    """Opens drivers; whatever a test leaves is closed and its routes are taken away."""
    opened: list[FrrDriver] = []
    before = router.running_config()

    def opener(**login: Any) -> FrrDriver:
        driver = FrrDriver(**{**router.login(), **login})
        opened.append(driver)
        driver.open()
        return driver

    yield opener
    for driver in opened:
        driver.close()
    restore(router, before)


@pytest.fixture
def driver(connect: Connect) -> FrrDriver:
    return connect()


def restore(router: FrrRouter, before: str) -> None:
    """Back to `before`, through a fresh session, which also takes over locks of the dead."""
    if router.running_config() == before:
        return
    with FrrDriver(**router.login()) as driver:
        await_lock(driver)
        driver.load_replace_candidate(config=before)
        driver.commit_config()
    assert router.running_config() == before


def await_lock(heir: FrrDriver) -> None:
    """Returns when it has the lock: the router notices a little later that the session before has ended."""

    def locks() -> bool:
        try:
            heir.load_merge_candidate(config="")
        except LockHeld:
            return False
        return True

    wait_for(locks, "the heir gets the lock")

"""A commit whose sender slept is refused on the router."""

import time

import pytest

from k8s_ecmp.errors import CommitFailed, ConfirmExpired, LockHeld
from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.routers.drivers.conftest import Connect
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = pytest.mark.world

ONE = "ip route 10.1.0.0/24 10.0.0.1 tag 4201\n"


def uptime(router: FrrRouter) -> float:
    return float(router.run("cat", "/proc/uptime").split()[0])


def sleep_on_the_router(router: FrrRouter, seconds: float) -> None:
    until = uptime(router) + seconds
    wait_for(lambda: uptime(router) > until, "the router's clock moved on", timeout=120)


def test_a_commit_that_comes_late_changes_nothing_and_the_next_one_works(router: FrrRouter, driver: FrrDriver) -> None:
    driver.keeping.fence(1)
    before = router.running_config()
    driver.load_merge_candidate(config=ONE)
    sleep_on_the_router(router, 2.1)
    with pytest.raises(CommitFailed, match="nothing was applied: the commit came too long after it was prepared"):
        driver.commit_config(revert_in=60)
    assert router.running_config() == before
    assert not driver.has_pending_commit()
    driver.keeping.fence(60)
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=60)
    driver.confirm_commit()
    assert ONE in router.running_config()


def test_the_fence_can_be_set_anew_while_the_candidate_waits(router: FrrRouter, driver: FrrDriver) -> None:
    driver.keeping.fence(1)
    driver.load_merge_candidate(config=ONE)
    sleep_on_the_router(router, 2.1)
    driver.keeping.fence(60)
    driver.keeping.renew_fence()
    driver.commit_config()
    assert ONE in router.running_config()


def test_without_a_fence_a_candidate_may_wait(router: FrrRouter, driver: FrrDriver) -> None:
    driver.load_merge_candidate(config=ONE)
    began = time.monotonic()
    sleep_on_the_router(router, 2.1)
    assert time.monotonic() > began
    driver.commit_config()
    assert ONE in router.running_config()


def test_a_lock_that_lapsed_is_taken_over_and_its_commit_taken_back(
    router: FrrRouter, driver: FrrDriver, connect: Connect
) -> None:
    before = router.running_config()
    driver.keeping.fence(60)
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=60)
    other = connect()
    with pytest.raises(LockHeld):
        other.load_merge_candidate(config=ONE.replace("10.0.0.1", "10.0.0.2"))
    driver.keeping.fence(1)
    driver.keeping.renew_fence()
    sleep_on_the_router(router, 1.1)
    other.load_merge_candidate(config=ONE.replace("10.0.0.1", "10.0.0.2"))
    assert router.running_config() == before
    other.commit_config()
    with pytest.raises(ConfirmExpired):
        driver.confirm_commit()
    assert "ip route 10.1.0.0/24 10.0.0.2 tag 4201\n" in router.running_config()
    assert ONE not in router.running_config()


def test_whoever_goes_on_asking_keeps_the_lock(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    other = connect()
    driver.keeping.fence(15)  # far more than one question takes
    driver.load_merge_candidate(config=ONE)
    began = uptime(router)

    def asked() -> bool:
        driver.cli(["show version"])
        return uptime(router) > began + 15.2

    wait_for(asked, "more than the fence has gone by")
    with pytest.raises(LockHeld):
        other.load_merge_candidate(config=ONE)
    driver.commit_config()
    assert ONE in router.running_config()


def test_a_commit_that_was_left_unconfirmed_is_kept_by_whoever_asks_for_that(
    router: FrrRouter, driver: FrrDriver, connect: Connect
) -> None:
    driver.keeping.fence(60)
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=60)
    driver.keeping.fence(1)
    driver.keeping.renew_fence()
    sleep_on_the_router(router, 1.1)
    other = connect()
    other.keeping.keep_applied()
    other.load_merge_candidate(config=ONE.replace("10.0.0.1", "10.0.0.2"))
    assert not other.has_pending_commit()
    other.commit_config()
    with pytest.raises(ConfirmExpired):
        driver.confirm_commit()
    config = router.running_config()
    assert ONE in config
    assert "ip route 10.1.0.0/24 10.0.0.2 tag 4201\n" in config

"""Questions to FRR: one vtysh answers them and takes small commits, and nothing is started that is not used."""

import os
import signal

import pytest

from k8s_ecmp.errors import DeadlineExceeded, RouterError
from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.routers.drivers.conftest import Connect
from tests.world import frr_release
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.frr_releases(*frr_release.RELEASES)]

ONE = "ip route 10.1.0.0/24 10.0.0.1 tag 4201\n"
QUESTIONS = ["show running-config", "show ip route 203.0.113.9/32 json", "show version"]


@pytest.fixture(autouse=True)
def alone(router: FrrRouter) -> None:
    """Nothing of earlier sessions is left on the router, which notices their end a little later."""
    wait_for(lambda: not router.processes("vtysh"), "no vtysh is left")


def test_one_vtysh_answers_and_applies(router: FrrRouter, driver: FrrDriver) -> None:
    assert driver.get_config("running")["running"] == router.running_config()
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=60)
    assert ONE in driver.cli(QUESTIONS)["show running-config"]
    driver.confirm_commit()
    assert len(router.processes("vtysh")) == 1


@pytest.mark.parametrize("shared", [True, False])
def test_several_questions_have_each_its_answer(router: FrrRouter, driver: FrrDriver, shared: bool) -> None:
    """Also where the login's shell has no pipe that vtysh could write to."""
    driver._remote.agent.shows = driver._remote.agent.shows and shared
    for _ in range(20):
        assert driver.cli(QUESTIONS) == {question: router.vtysh(question) for question in QUESTIONS}
    with pytest.raises(RouterError, match="vtysh refuses 'show nonsense'"):
        driver.cli(["show version", "show nonsense", "show version"])
    assert driver.cli(QUESTIONS)["show version"] == router.vtysh("show version")
    assert len(router.processes("vtysh")) == (1 if shared else 2)


def test_what_vtysh_says_beside_an_answer_fails_no_commit(router: FrrRouter, driver: FrrDriver) -> None:
    """It warns of a startup configuration that it may not write, and complains of words that it does not know."""
    driver._remote.save()
    with pytest.raises(RouterError):
        driver.cli(["show nonsense"])
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    assert ONE in router.running_config()


def test_a_session_that_only_looks_starts_no_agent(router: FrrRouter) -> None:
    driver = FrrDriver(**router.login())
    driver.keeping.open_to_look()
    try:
        assert driver.get_config("running")["running"] == router.running_config()
        assert driver.cli(QUESTIONS)["show version"] == router.vtysh("show version")
        assert len(router.processes("vtysh")) == 1
        assert driver._remote._agent is None
        driver.load_merge_candidate(config=ONE)
        driver.commit_config()
        assert ONE in router.running_config()
        driver.rollback()
    finally:
        driver.close()


def test_an_answer_that_comes_too_late_is_no_other_questions_answer(router: FrrRouter, driver: FrrDriver) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=120)
    (vtysh,) = router.processes("vtysh")
    agent = driver._remote.agent
    patience, agent._timeout = agent._timeout, 0.2
    os.kill(vtysh, signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceeded):
            driver.cli(["show version"])
    finally:
        agent._timeout = patience
    assert ONE in driver.cli(["show running-config"])["show running-config"]
    os.kill(vtysh, signal.SIGCONT)
    assert driver.cli(["show ip route 203.0.113.9/32 json"]) == {
        "show ip route 203.0.113.9/32 json": router.vtysh("show ip route 203.0.113.9/32 json")
    }
    driver.rollback()
    assert ONE not in router.running_config()


def test_settling_takes_the_lock_only_where_something_is_left(
    router: FrrRouter, driver: FrrDriver, connect: Connect
) -> None:
    driver.load_merge_candidate(config="")
    heir = connect()
    heir.keeping.settle()  # though another session has the lock
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=120)
    assert ONE in router.running_config()
    driver._remote._session.close()
    wait_for(lambda: len(router.processes("vtysh")) == 1, "the router notices that the first session has ended")
    heir.keeping.settle()
    assert ONE not in router.running_config()
    assert not heir.has_pending_commit()


def test_what_is_looked_at_along_with_staging_is_of_that_moment(
    router: FrrRouter, driver: FrrDriver, connect: Connect
) -> None:
    question = "show running-config"
    driver.get_config("running")
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    driver.discard_config()
    driver.keeping.look_along([question])
    driver.load_merge_candidate(config=ONE.replace("10.0.0.1", "10.0.0.2"))
    router.configure("ip route 198.51.100.0/24 10.0.0.3")
    assert "198.51.100" not in driver.cli([question])[question]
    assert "198.51.100" in driver.cli([question])[question]
    driver.discard_config()
    driver.keeping.look_along([question])
    other = connect()
    other.load_merge_candidate(config=ONE.replace("10.1.", "10.2."))
    other.commit_config()
    other.close()
    driver.load_merge_candidate(config=ONE.replace("10.0.0.1", "10.0.0.2"))
    assert "10.2.0.0" in driver.cli([question])[question]
    driver.commit_config()
    assert "10.2.0.0" in driver.cli([question])[question]

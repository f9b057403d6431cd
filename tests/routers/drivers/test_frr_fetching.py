"""A session that only looks fetches what another one had the router write down, and no second vtysh is started."""

import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_ecmp.errors import DeadlineExceeded
from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.routers.drivers.conftest import Connect
from tests.world import frr_release
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.frr_releases(*frr_release.RELEASES)]

ONE = "ip route 10.1.0.0/24 10.0.0.1 tag 4201\n"
QUESTIONS = ["show ip route 10.1.0.0/24 json", "show version"]


@pytest.fixture(autouse=True)
def alone(router: FrrRouter) -> None:
    wait_for(lambda: not router.processes("vtysh"), "no vtysh of an earlier session is left")


@pytest.fixture
def beside(router: FrrRouter) -> Iterator[FrrDriver]:
    """Another session, which only looks."""
    made = FrrDriver(**router.login())
    made.keeping.open_to_look()
    yield made
    made.close()


def test_another_session_has_the_answers_once(router: FrrRouter, driver: FrrDriver, beside: FrrDriver) -> None:
    for number in range(3):
        line = ONE.replace("10.1.0", f"10.1.{number}")
        driver.load_merge_candidate(config=line)
        driver.commit_config(revert_in=120)
        _shown(router)
        note = driver.keeping.write_down(QUESTIONS)
        assert note is not None
        assert _mode(router) == 0o600
        assert beside.keeping.fetch(note)
        assert beside.get_config("running")["running"] == router.running_config()
        assert _told(beside) == _shown_by(router)
        assert len(router.processes("vtysh")) == 1
        driver.confirm_commit()
        assert _note(router).read_text() == ""
    router.configure("ip route 198.51.100.0/24 10.0.0.3")
    assert "198.51.100.0/24" in beside.get_config("running")["running"]
    assert len(router.processes("vtysh")) == 2


def test_what_was_fetched_can_be_forgotten(router: FrrRouter, driver: FrrDriver, beside: FrrDriver) -> None:
    driver.load_merge_candidate(config="")
    note = driver.keeping.write_down(QUESTIONS)
    assert note is not None
    assert beside.keeping.fetch(note)
    router.configure("ip route 198.51.100.0/24 10.0.0.3")
    beside.keeping.forget()
    assert "198.51.100.0/24" in beside.get_config("running")["running"]


@pytest.mark.parametrize("gone", ["cut off", "another's", "removed"])
def test_where_it_is_not_there_the_router_is_asked(
    router: FrrRouter, driver: FrrDriver, beside: FrrDriver, gone: str
) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=120)
    _shown(router)
    note = driver.keeping.write_down(QUESTIONS)
    assert note is not None
    if gone == "cut off":
        os.truncate(_note(router), 100)
    elif gone == "another's":
        driver.keeping.write_down(QUESTIONS)
    else:
        _note(router).unlink()
    assert not beside.keeping.fetch(note)
    assert ONE in beside.get_config("running")["running"]
    assert _told(beside) == _shown_by(router)
    driver.confirm_commit()


@pytest.mark.parametrize("login", ["no pipe", "a folder in its way"])
def test_a_session_that_cannot_write_one_says_so_and_goes_on(router: FrrRouter, driver: FrrDriver, login: str) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=120)
    _shown(router)
    if login == "no pipe":
        driver._remote.agent.shows = False
    else:
        _note(router).unlink(missing_ok=True)
        _note(router).mkdir()
        owner = _note(router).parent.stat()
        os.chown(_note(router), owner.st_uid, owner.st_gid)
    (vtysh,) = router.processes("vtysh")
    try:
        assert driver.keeping.write_down(QUESTIONS) is None
        assert _told(driver) == _shown_by(router)
        driver.confirm_commit()
        driver._remote.save()  # where a vtysh that could not open its output file ended
        assert vtysh in router.processes("vtysh")
        driver.load_merge_candidate(config=f"no {ONE}")
        driver.commit_config()
        assert ONE not in router.running_config()
    finally:
        if login != "no pipe":
            _note(router).rmdir()


def test_one_of_another_user_is_replaced(router: FrrRouter, driver: FrrDriver, beside: FrrDriver) -> None:
    """As somebody leaves it who used the work directory as root."""
    _note(router).unlink(missing_ok=True)
    _note(router).touch(0o600)
    driver.load_merge_candidate(config="")
    note = driver.keeping.write_down(QUESTIONS)
    assert note is not None
    assert beside.keeping.fetch(note)
    assert _note(router).stat().st_uid == _note(router).parent.stat().st_uid
    assert _mode(router) == 0o600


def test_only_who_has_the_lock_writes_one(driver: FrrDriver) -> None:
    assert driver.keeping.write_down(QUESTIONS) is None
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()  # without a timer the lock is free at once
    assert driver.keeping.write_down(QUESTIONS) is None


@pytest.mark.parametrize("who", ["timer", "next session"])
def test_one_that_a_lost_session_left_is_emptied(
    router: FrrRouter, driver: FrrDriver, connect: Connect, who: str
) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=3 if who == "timer" else 120)
    assert driver.keeping.write_down(QUESTIONS) is not None
    assert _note(router).stat().st_size
    driver._remote._session.close()
    if who == "next session":
        wait_for(lambda: not router.processes("vtysh"), "the router notices that the session has ended")
        connect().load_merge_candidate(config="")
    wait_for(lambda: not _note(router).stat().st_size, "the note is empty")


@pytest.mark.parametrize("killed", [signal.SIGSEGV, signal.SIGKILL])
def test_a_vtysh_that_is_killed_before_the_confirm_leaves_the_commit_confirmed(
    router: FrrRouter, driver: FrrDriver, killed: signal.Signals
) -> None:
    """The login's shell tells of it where the agent answers."""
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=120)
    (vtysh,) = router.processes("vtysh")
    os.kill(vtysh, killed)
    wait_for(lambda: not router.processes("vtysh"), "it is gone")
    driver.confirm_commit()
    assert not driver.has_pending_commit()
    assert ONE in router.running_config()


def test_a_confirm_takes_no_late_answer_for_its_own(router: FrrRouter, driver: FrrDriver) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=120)
    agent = driver._remote.agent
    shells = router.processes("sh")
    patience, agent._timeout = agent._timeout, 0.3
    for shell in shells:
        os.kill(shell, signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceeded):
            driver.keeping.write_down(QUESTIONS)
    finally:
        agent._timeout = patience
        for shell in shells:
            os.kill(shell, signal.SIGCONT)
    driver.confirm_commit()
    assert not driver.has_pending_commit()
    assert ONE in router.running_config()


def test_a_vtysh_that_hangs_delays_it_and_the_commit_can_be_confirmed(
    router: FrrRouter, driver: FrrDriver, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k8s_ecmp.routers.drivers.frr.remote._NOTE_S", 0.2)
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=120)
    _shown(router)
    (vtysh,) = router.processes("vtysh")
    os.kill(vtysh, signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded):
        driver.keeping.write_down(QUESTIONS)
    driver.confirm_commit()
    os.kill(vtysh, signal.SIGCONT)
    assert ONE in driver.cli(["show running-config"])["show running-config"]
    driver.close()
    assert ONE in connect().get_config("running")["running"]


def _told(driver: FrrDriver) -> list[str]:
    return [_ageless(text) for text in driver.cli(QUESTIONS).values()]


def _shown_by(router: FrrRouter) -> list[str]:
    return [_ageless(router.vtysh(question)) for question in QUESTIONS]


def _ageless(text: str) -> str:
    return re.sub(r'"uptime":"[^"]*"', "", text)


def _shown(router: FrrRouter) -> None:
    """Waits until the kernel has it too: a route that is queued for it reads differently a moment later."""
    wait_for(lambda: '"installed":true' in router.vtysh(QUESTIONS[0]), "the routing table has what was committed")


def _note(router: FrrRouter) -> Path:
    return Path(f"/proc/{router.pid}/root/run/k8s-ecmp/note")


def _mode(router: FrrRouter) -> int:
    return stat.S_IMODE(_note(router).stat().st_mode)

"""A change that could not be taken back: what the error says is left, and who still takes it back."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nornir.core.inventory import Host

from k8s_ecmp.errors import CommitFailed, DeadlineExceeded, RouterError, Unreachable, VerifyFailed
from k8s_ecmp.routers.applying import taken_back_on_error
from k8s_ecmp.routers.port import Port
from k8s_ecmp.routers.transaction import Transaction
from tests.routers.vendors.device import Device
from tests.site import Outcome, new_site
from tests.world.emulators import emulator
from tests.world.emulators.eos_config import CliError
from tests.world.emulators.eos_sessions import Sessions

PROMISED = "the router takes the change back by itself within 120 s, unless the confirm arrived"
UNKNOWN = "what is in force of the change is not verified"
STUCK = CommitFailed("router r1: not everything could be taken back: ip route x", remedy="compare it with the plan")
LOST = CommitFailed("router r1: another session took the lock over and decided whether the change stays")
HOST = "10.97.10.1/32"


class Router:
    """A driver whose commit is in force and waits, and cannot be taken back."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.pending = True

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """In force."""

    def has_pending_commit(self) -> bool:
        return self.pending

    def rollback(self) -> None:
        raise self._error

    def close(self) -> None:
        """As it says."""

    def open(self) -> None:
        raise RouterError("nobody gets in")

    def get_config(self, retrieve: str = "all") -> Any:
        raise self._error


def left(
    platform: str, error: Exception, *, timer_s: int = 120, kept: bool = False, pending: bool = True
) -> RouterError:
    """What is raised where a change does not show and its way back ends with `error`."""
    router = Router(error)
    session = Transaction(router, Port.of(Host("r1", platform=platform)), kept=kept)  # type: ignore[arg-type]
    session.commit(timer_s, 1)
    router.pending = pending
    with pytest.raises(RouterError) as raised, taken_back_on_error(session):
        raise VerifyFailed("after the commit 10.96.0.0/12 is not in the FIB")
    assert not isinstance(raised.value, VerifyFailed)
    return raised.value


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("error", [STUCK, LOST])
def test_who_is_told_that_it_cannot_be_taken_back_is_promised_no_timer(error: CommitFailed, kept: bool) -> None:
    """FRR's agent has stopped the timer, or somebody else has the lock: nobody tries again."""
    found = left("frr", error, kept=kept)
    assert found.message.endswith(f"it could not be taken back: {error}; {UNKNOWN}")
    assert found.remedy == "run verify, then apply"


@pytest.mark.parametrize("error", [Unreachable("gone"), DeadlineExceeded("late")])
def test_a_session_that_is_lost_leaves_it_to_the_timer(error: RouterError) -> None:
    assert left("frr", error).message.endswith(f"it could not be taken back: {error}; {PROMISED}")
    assert "whole or not at all, which the next reading finds out" in left("frr", error, kept=True).message
    untimed = left("frr", error, timer_s=0)
    assert untimed.message.endswith(UNKNOWN)
    assert untimed.remedy == "run verify, then apply"


def test_another_run_s_timer_is_no_way_back() -> None:
    error = CommitFailed("no commit of this run waits for its confirm any more; theirs does")
    assert left("eos", error).message.endswith(UNKNOWN)


def test_who_cannot_get_in_again_leaves_it_to_the_timer() -> None:
    assert left("eos", Unreachable("gone")).message.endswith(PROMISED)


def test_a_timer_that_has_ended_is_not_promised() -> None:
    """It took the change back, or the confirm had arrived: what runs could not be read."""
    assert left("eos", Unreachable("gone"), pending=False).message.endswith(UNKNOWN)


@pytest.fixture
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    (tmp_path / "device").mkdir()
    with emulator(request.param)(tmp_path / "device") as device:
        yield Device(new_site(tmp_path / "site"), device)


def refused(router: Device, done: Outcome) -> None:
    """It is said that the timer does it, which it then does."""
    assert done.code == 1, done.out
    assert re.search(r"could not be taken back: .*within \d+ s, unless the confirm arrived", " ".join(done.out.split()))
    assert router.ours()
    router.device.expire()
    assert router.ours() == {}
    assert router.untouched()


@pytest.mark.slow
@pytest.mark.parametrize("router", ["junos"], indirect=True)
def test_junos_that_refuses_the_way_back_goes_back_by_its_timer(router: Device) -> None:
    def fill() -> None:
        router.device.faults.full_disk = bool(router.ours())

    router.device.watchers.append(fill)
    router.device.faults.hide = {HOST}
    refused(router, router.apply())


@pytest.mark.slow
@pytest.mark.parametrize("router", ["ios"], indirect=True)
def test_ios_that_does_not_end_its_timer_goes_back_by_it(router: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napalm.ios.ios.IOSDriver.rollback", lambda self: None)
    router.device.faults.hide = {HOST}
    refused(router, router.apply())


@pytest.mark.slow
@pytest.mark.parametrize("router", ["eos"], indirect=True)
def test_eos_that_refuses_the_way_back_goes_back_by_its_timer(router: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Sessions, name: str) -> None:
        raise CliError(1000, f"Cannot abort session {name}")

    monkeypatch.setattr(Sessions, "abort", refuse)
    router.device.faults.hide = {HOST}
    refused(router, router.apply())

"""One router's worker: what wakes it, and when it looks whether its session lives."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.daemon.account import Account
from k8s_ecmp.daemon.authority import Sole
from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.daemon.decision import Decision, Snapshot
from k8s_ecmp.daemon.metrics import Instruments
from k8s_ecmp.daemon.worker import Worker
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.settings import load_settings
from tests.core.build import p
from tests.daemon.test_loop import WHOLE
from tests.site import new_site
from tests.world.netns import wait_for


@pytest.fixture
def worker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """Of a router in a file; it stands connected and waits for the cluster. It only reads, unless a test says more."""
    site = new_site(tmp_path)
    site.settings(**getattr(request, "param", {"mode": "observe"}))
    settings = load_settings(site.folder / "k8s-ecmp.yaml")
    nornir = init_nornir(settings, site.folder)
    clock, authority = Clock(), Sole("here")
    account = Account(settings, authority, "here", lambda: "a file", None, lambda: None)
    host = next(iter(nornir.inventory.hosts.values()))
    decision = Decision(settings, clock)
    made = Worker(host, nornir.config, settings, decision, authority, clock, Instruments(), account, None, lambda: None)
    account.start()
    made.start()
    wait_for(lambda: made._session.connected and not made._working, "it is connected")
    yield made
    made.stop()
    assert made.join(30)
    account.stop(5)


def told(worker: Worker) -> None:
    worker._decision.tell(list(WHOLE))
    worker.mark(None, time.monotonic())
    wait_for(lambda: worker.ledger.read and not worker._working, "the router was read")


def test_a_session_that_waited_for_the_cluster_is_asked_for_a_sign_of_life(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k8s_ecmp.daemon.worker._CHECK_S", 0.05)
    checks: list[float] = []
    monkeypatch.setattr(worker._session, "check", lambda: checks.append(time.monotonic()))
    told(worker)
    wait_for(lambda: len(checks) > 2, "it is asked again and again", timeout=20)


@pytest.mark.parametrize("worker", [{"mode": "full"}], indirect=True)
def test_a_router_that_somebody_else_wrote_to_is_read_again_at_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(worker)
    read = worker._session.read
    reads: list[bool] = []

    def seen(**arguments: bool) -> Any:
        reads.append(True)
        return read(**arguments)

    def check() -> None:
        # No look at the session follows soon, and what was read of the router is forgotten.
        monkeypatch.setattr("k8s_ecmp.daemon.worker._CHECK_S", 3600.0)
        worker._session.forget()

    monkeypatch.setattr(worker._session, "check", check)
    monkeypatch.setattr(worker._session, "read", seen)
    monkeypatch.setattr("k8s_ecmp.daemon.worker._CHECK_S", 0.05)
    worker.nudge()
    wait_for(lambda: reads, "it is read again", timeout=20)


def test_a_nudge_in_the_middle_of_a_turn_is_not_lost(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, grounds = worker._planner.plan, worker._planner.grounds
    looked: list[bool] = []

    def nudged(*arguments: Any) -> Any:
        worker.nudge()
        return plan(*arguments)

    def seen(*arguments: Any) -> Any:
        looked.append(True)
        return grounds(*arguments)

    monkeypatch.setattr(worker._planner, "plan", nudged)
    monkeypatch.setattr(worker._planner, "grounds", seen)
    told(worker)
    monkeypatch.setattr(worker._planner, "plan", plan)
    wait_for(lambda: looked, "it looks again", timeout=20)


def test_what_was_held_is_looked_at_when_it_is_held_no_more(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the hold came with a change: what held when it was looked at last is not what held before."""
    plan = worker._planner.plan
    held: list[bool] = []

    def seen(table: Any, snapshot: Snapshot, scope: Any) -> Any:
        held.append(bool(snapshot.rules.holds))
        return plan(table, snapshot, scope)

    monkeypatch.setattr(worker._planner, "plan", seen)
    told(worker)
    worker.nudge()
    wait_for(lambda: not worker._nudged and not worker._working, "it has looked")
    worker._decision.doubt("it stood still")
    worker.mark(frozenset((p("10.96.0.0/12"),)), time.monotonic())
    wait_for(lambda: held[-1], "it was planned while a guard held it")
    worker._decision.tell(list(WHOLE))
    worker.nudge()
    wait_for(lambda: not held[-1], "it is planned again", timeout=20)


@pytest.mark.parametrize("worker", [{"guards": {"freeze_file": "frozen"}}], indirect=True)
def test_a_freeze_file_that_is_made_directly_before_a_commit_stops_it(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = worker._planner.plan

    def frozen(*arguments: Any) -> Any:
        found = plan(*arguments)
        freeze.touch()
        return found

    freeze = Path(worker._settings.guards.freeze_file or "")
    routers = list(tmp_path.glob("inventories/demo/routers/*.cfg"))
    before = [path.read_bytes() for path in routers]
    monkeypatch.setattr(worker._planner, "plan", frozen)
    told(worker)
    wait_for(lambda: worker.ledger.held and not worker._working, "it is held")
    assert [path.read_bytes() for path in routers] == before
    monkeypatch.setattr(worker._planner, "plan", plan)
    freeze.unlink()
    worker.nudge()
    wait_for(lambda: [path.read_bytes() for path in routers] != before, "it goes on", timeout=20)

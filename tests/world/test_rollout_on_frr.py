"""Rollouts on real FRR routers: what only tables show, in a wave and in the pause after it; interrupted and resumed."""

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from nornir.core import Nornir

from k8s_ecmp import runs
from k8s_ecmp.model import Plan
from k8s_ecmp.routers.drivers.frr import FrrDriver
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.rollout import roll_out
from k8s_ecmp.routers.tasks import plan_routes, run
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import Settings, load_settings
from tests.fleet import Watcher, outcomes
from tests.site import Outcome, ended, new_site, read_until
from tests.world.cutting import cut_in_the_next_commit, spoil_the_next_way_back
from tests.world.edge import FOREIGN
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for
from tests.world.test_cli_on_frr import World

pytestmark = [pytest.mark.world, pytest.mark.long]

SERVICE = "10.97.10.1/32"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FrrRouter]]:
    folder = tmp_path_factory.mktemp("routers")
    links = [Link("rack", ["10.192.0.254/24", "fd10:192::fe/64"]), Link("uplink", ["192.0.2.2/24"])]
    with (
        FrrRouter("r1", folder, links=links, config=FOREIGN) as first,
        FrrRouter("r2", folder, links=links, config=FOREIGN) as second,
        FrrRouter("r3", folder, links=links, config=FOREIGN) as third,
    ):
        yield [first, second, third]


@pytest.fixture
def world(started: list[FrrRouter], tmp_path: Path) -> Iterator[World]:
    made = World(started, new_site(tmp_path / "site"), {router.name: router.running_config() for router in started})
    made.hosts()
    yield made
    for router in started:
        router.ip("address", "flush", "dev", "uplink", "to", SERVICE)
    made.reset()


def hide(router: FrrRouter) -> None:
    """A connected route at the service's address wins over ours: configured, but not in the tables."""
    router.ip("address", "add", SERVICE, "dev", "uplink")
    wait_for(lambda: '"connected"' in router.vtysh(f"show ip route {SERVICE} json"), "the connected route")


@contextlib.contextmanager
def standing_still(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Its pause lasts at least as long as this."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def lines(world: World) -> list[int]:
    return [len(world.ours(router)) for router in world.routers]


def interrupted(world: World, *arguments: str) -> Outcome:
    """An apply that gets a Ctrl-C in its first pause."""
    with world.site.begun("apply", *arguments, "--pause", "600") as process:
        read_until(process, "pause of")
        process.send_signal(signal.SIGINT)
        return ended(process)


def test_a_wave_is_taken_back_with_the_router_that_failed_in_it(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2, "verify_timeout_s": 10, "on_failure": "rollback-wave"})
    hide(world.routers[2])
    done = world.run("apply", "--yes")
    assert done.code == 1
    assert [bool(count) for count in lines(world)] == [True, False, False]
    assert re.search(r"^r2 +rolled-back", done.out, re.MULTILINE)
    assert "taken back with its wave, because r3 failed in it" in done.out
    wait_for(lambda: not world.routers[1].fib(SERVICE), "the kernel of r2 follows")
    assert world.routers[1].running_config() == world.clean["r2"]
    rows = world.run("history", "--format", "json", "--router", "r2").json()["entries"]
    assert [row["outcome"] for row in rows] == ["committed", "rolled-back"]


def test_what_the_tables_lose_in_the_pause_is_taken_back(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2, "verify_timeout_s": 10})
    with world.site.begun("apply", "--yes", "--pause", "10") as process:
        read_until(process, "pause of")
        with standing_still(process):
            hide(world.routers[0])
        done = ended(process)
    assert done.code == 1
    assert lines(world) == [0, 0, 0]
    assert re.search(r"^r1 +rolled-back", done.out, re.MULTILINE)
    assert f"differed in the pause after its wave: {SERVICE} in the routing table" in done.out
    assert re.search(r"^r3 +not-attempted", done.out, re.MULTILINE)


def test_an_interrupted_rollout_is_resumed(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2})
    path = str(world.site.folder / "today.plan")
    assert world.run("plan", "--out", path).code == 2
    done = interrupted(world, path)
    assert done.code == 1
    assert "r2, r3: not begun; go on with" in done.out
    assert [bool(count) for count in lines(world)] == [True, False, False]
    resumed = world.run("apply", path, "--resume")
    assert resumed.code == 0, resumed.out + resumed.err
    assert "r1: left out: entry" in resumed.err
    assert len(set(lines(world))) == 1
    assert world.run("verify").code == 0


def test_resume_refuses_a_router_whose_tables_do_not_show_the_plan(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2})
    path = str(world.site.folder / "today.plan")
    assert world.run("plan", "--out", path).code == 2
    assert interrupted(world, path).code == 1
    world.site.settings(rollout={"canary": 1, "parallel": 2, "verify_timeout_s": 1})
    hide(world.routers[0])
    done = world.run("apply", path, "--resume")
    assert done.code == 3
    assert f"the plan is configured on r1, but {SERVICE} in the routing table" in done.err
    assert [bool(count) for count in lines(world)] == [True, False, False]


def test_a_session_that_dies_between_check_and_change_is_made_anew(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2})
    path = str(world.site.folder / "today.plan")
    assert world.run("plan", "--out", path).code == 2
    with world.site.begun("apply", path, "--pause", "10") as process:
        read_until(process, "pause of")  # r2 and r3 were looked at and wait
        with standing_still(process):
            world.routers[1].kill_sshd()
            world.routers[1].start_sshd()
        done = ended(process)
    assert done.code == 0, done.out + done.err
    assert len(set(lines(world))) == 1


ELSEWHERE = "ip route 172.31.0.0/24 192.0.2.1 tag 77"


@contextlib.contextmanager
def another_run(router: FrrRouter) -> Iterator[FrrDriver]:
    """One whose commit of something else waits for its confirm, from `load_merge_candidate` and `commit_config` on."""
    with FrrDriver(**router.login()) as driver:
        yield driver
        if driver.has_pending_commit():
            driver.rollback()
        elif ELSEWHERE in router.running_config():
            driver.load_merge_candidate(config=f"no {ELSEWHERE}")
            driver.commit_config()


def begin(other: FrrDriver) -> None:
    other.load_merge_candidate(config=ELSEWHERE)
    other.commit_config(revert_in=600)


def planned(world: World) -> tuple[Settings, Nornir, Plan]:
    settings = load_settings(world.site.folder / "k8s-ecmp.yaml")
    nornir = init_nornir(settings, world.site.folder)
    intent = runs.observe(settings)
    return settings, nornir, runs.assemble(intent, run(nornir, plan_routes, intent=intent))


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_commit_of_another_run_in_the_pause_is_no_difference(world: World, confirmed: bool) -> None:
    """It is waited for; where it lasts, what the router has was not seen, which is a warning."""
    world.site.settings(rollout={"parallel": 2, "pause_s": 0.1, "verify_timeout_s": 120 if confirmed else 10})
    settings, nornir, plan = planned(world)
    looks: list[str] = []

    def look(router: str, step: str) -> None:
        if (router, step) == ("r1", "look again"):
            looks.append(router)
            if confirmed and len(looks) == 2:
                other.confirm_commit()

    with another_run(world.routers[0]) as other:
        watcher = Watcher(on_pause=lambda routers: begin(other), on_step=look)
        results = {result.router: result for result in roll_out(nornir, settings, plan.routers, spectator=watcher)}
    assert outcomes(results) == dict.fromkeys(("r1", "r2", "r3"), "committed")
    assert len(set(lines(world))) == 1
    assert len(looks) > 1 or not confirmed
    unseen = "what it has at the end of the pause was not seen: a change of another run waits for its confirm"
    assert any(warning.startswith(unseen) for warning in results["r1"].warnings) != confirmed


def test_a_plan_waits_for_the_commit_of_another_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    ask = FrrDriver.has_pending_commit

    def confirmed_then(driver: FrrDriver) -> bool:
        answer = ask(driver)
        if answer and not asked:
            asked.append(answer)
            other.confirm_commit()
        return answer

    with another_run(world.routers[0]) as other:
        begin(other)
        monkeypatch.setattr(FrrDriver, "has_pending_commit", confirmed_then)
        _, _, plan = planned(world)
        assert asked
        assert [router.status for router in plan.routers] == ["changes"] * 3


def test_a_session_that_is_lost_before_it_saves_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    confirm = Transaction.confirm

    def cut_behind(session: Transaction) -> None:
        confirm(session)
        monkeypatch.undo()
        world.routers[0].kill_sshd()
        world.routers[0].start_sshd()

    monkeypatch.setattr(Transaction, "confirm", cut_behind)
    done = world.site.run_here("apply", "--yes", "--router", "r1")
    assert done.code == 0, done.out + done.err
    assert "the session ended before the startup configuration was saved" in " ".join(done.out.split())
    assert world.ours(world.routers[0])


@pytest.mark.parametrize("confirm_within_s", [120, 0])
def test_a_session_that_is_lost_while_the_router_commits_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, confirm_within_s: int
) -> None:
    """Whether the router got as far as the commit is not known; what it does by itself is."""
    world.site.settings(rollout={"confirm_within_s": confirm_within_s})
    router = world.routers[0]
    cut_in_the_next_commit(router, monkeypatch)
    done = world.site.run_here("apply", "--yes", "--router", "r1")
    assert done.code == 1
    left = (
        "the router takes the change back by itself within 120 s, unless it did not get as far as the change"
        if confirm_within_s
        else "what is in force of the change is not verified"
    )
    assert left in " ".join(done.out.split())
    router.await_unlocked()
    assert world.run("apply", "--yes", "--router", "r1").code == 0
    assert world.ours(router)


def test_a_way_back_that_the_router_could_not_go_to_its_end_is_left_to_no_timer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has stopped the timer by then, and nobody tries again."""
    router = world.routers[0]
    world.site.settings(rollout={"confirm_within_s": 120, "verify_timeout_s": 10})
    hide(router)
    spoil_the_next_way_back(router, monkeypatch)
    done = world.site.run_here("apply", "--yes", "--router", "r1")
    assert done.code == 1
    said = " ".join(done.out.split())
    assert re.search(r"it could not be taken back: router \S+: not everything could be taken back: ", said)
    assert "what is in force of the change is not verified" in said
    assert "run verify, then apply" in said
    assert "by itself" not in said.partition("OUTCOME")[2]
    router.ip("address", "flush", "dev", "uplink", "to", SERVICE)
    assert world.run("apply", "--yes", "--router", "r1").code == 0
    assert world.run("verify", "--router", "r1").code == 0

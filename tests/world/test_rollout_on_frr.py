"""Rollouts on real FRR routers: what only tables show, in a wave and in the pause after it; interrupted and resumed."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import Outcome, ended, new_site, read_until
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


def lines(world: World) -> list[int]:
    return [len(world.ours(router)) for router in world.routers]


def interrupted(world: World, *arguments: str) -> Outcome:
    """An apply that gets a Ctrl-C in its first pause."""
    with world.site.begun("apply", *arguments, "--pause", "600") as process:
        read_until(process, "pause of")
        process.send_signal(signal.SIGINT)
        return ended(process)


def test_a_wave_is_taken_back_with_the_router_that_failed_in_it(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2, "verify_timeout_s": 1, "on_failure": "rollback-wave"})
    hide(world.routers[2])
    done = world.run("apply", "--yes")
    assert done.code == 1
    assert [bool(count) for count in lines(world)] == [True, False, False]
    assert re.search(r"^r2 +rolled-back", done.out, re.MULTILINE)
    assert "taken back with its wave, because r3 failed in it" in done.out
    assert world.routers[1].fib(SERVICE) == frozenset()
    assert world.routers[1].running_config() == world.clean["r2"]
    rows = world.run("history", "--format", "json", "--router", "r2").json()["entries"]
    assert [row["outcome"] for row in rows] == ["committed", "rolled-back"]


def test_what_the_tables_lose_in_the_pause_is_taken_back(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2, "verify_timeout_s": 1})
    with world.site.begun("apply", "--yes", "--pause", "2") as process:
        read_until(process, "pause of")
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
    world.site.settings(rollout={"canary": 1, "parallel": 2, "verify_timeout_s": 1})
    path = str(world.site.folder / "today.plan")
    assert world.run("plan", "--out", path).code == 2
    assert interrupted(world, path).code == 1
    hide(world.routers[0])
    done = world.run("apply", path, "--resume")
    assert done.code == 3
    assert f"the plan is configured on r1, but {SERVICE} in the routing table" in done.err
    assert [bool(count) for count in lines(world)] == [True, False, False]


def test_a_session_that_dies_between_check_and_change_is_made_anew(world: World) -> None:
    world.site.settings(rollout={"canary": 1, "parallel": 2})
    path = str(world.site.folder / "today.plan")
    assert world.run("plan", "--out", path).code == 2
    with world.site.begun("apply", path, "--pause", "1") as process:
        read_until(process, "pause of")  # r2 and r3 were looked at and wait
        world.routers[1].kill_sshd()
        world.routers[1].start_sshd()
        done = ended(process)
    assert done.code == 0, done.out + done.err
    assert len(set(lines(world))) == 1

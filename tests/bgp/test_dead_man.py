"""Everything that follows the cluster is dead or cut off: nothing stays announced for nodes that died meanwhile.

What ends it: the dead-man timer where ExaBGP lives on, the hold time where its machine stands still, and the restart
time where ExaBGP is gone.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.world import bgp
from tests.world.bgp import COMMAND, BgpWorld, await_services, frr_config
from tests.world.daemon import AT_ONCE
from tests.world.fib import FibHistory
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.slow]

DEAD_MAN_S = 6
WANTED = {
    "10.96.0.0/12": [f"10.9.0.{n}" for n in (101, 102, 103)],
    "fd00:96::/112": [f"fd09::{n}" for n in (101, 102, 103)],
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BgpWorld]:
    if reason := bgp.missing():
        pytest.skip(reason)
    with BgpWorld(tmp_path_factory.mktemp("world")) as world:
        world.frr = world.add_frr("edge", 2, frr_config(), dead_man_s=DEAD_MAN_S, graceful_restart_s=8)
        world.write_settings(**AT_ONCE)
        world.start()
        yield world


@pytest.fixture
def world(started: BgpWorld) -> Iterator[BgpWorld]:
    """A daemon has announced the three nodes, promised to be back, and was killed; then a node died."""
    started.add_node(3)
    started.write_cluster()
    started.await_up()
    with FibHistory(started.frr.netns) as kernel:
        started.kernel = kernel
        with daemon(started):
            await_services(kernel, WANTED)
            wait_for(lambda: held(started) == DEAD_MAN_S, "it has promised to be back", 180)
        started.cluster.delete_node("n3")
        started.write_cluster()
        yield started


@contextmanager
def daemon(world: BgpWorld) -> Iterator[subprocess.Popen[bytes]]:
    argv = [COMMAND, "--config", str(world.folder / "k8s-ecmp.yaml"), "run", "--listen", "127.0.0.1:0"]
    with (world.folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def held(world: BgpWorld) -> float | None:
    found: float | None = world.ask("status").get("peers", {}).get("edge", {}).get("held_s")
    return found


def await_none(world: BgpWorld) -> None:
    """The kernel has nothing of ours, the dead node least of all; and a daemon that comes says what is right."""
    await_services(world.kernel, {})
    with daemon(world):
        await_services(world.kernel, {prefix: hops[:2] for prefix, hops in WANTED.items()})


def test_the_daemon_is_dead(world: BgpWorld) -> None:
    await_none(world)


def test_the_daemon_is_dead_and_the_bridge_dies_too(world: BgpWorld) -> None:
    """The promise is on disk: the next bridge withdraws."""
    _, bridge = world.pids()
    world.kill(bridge)
    await_none(world)


def test_the_daemon_is_dead_and_exabgp_dies_too(world: BgpWorld) -> None:
    exabgp, _ = world.pids()
    world.kill(exabgp)
    await_none(world)


def test_all_of_it_is_dead(world: BgpWorld) -> None:
    """Nobody is left who could withdraw: the router forgets after the restart time that it was told."""
    world.stop()
    await_services(world.kernel, {})
    world.start()
    await_none(world)


def test_the_machine_stands_still(world: BgpWorld) -> None:
    """The hold timer ends; that is no graceful restart."""
    pids = world.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        await_services(world.kernel, {})
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    await_none(world)


def test_the_machine_is_cut_off(world: BgpWorld) -> None:
    world.lan.ip("link set speaker down")
    try:
        await_services(world.kernel, {})
    finally:
        world.lan.ip("link set speaker up")
    world.await_up()
    await_none(world)

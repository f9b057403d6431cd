"""Everything that follows the cluster is dead or cut off: nothing stays announced for nodes that died meanwhile.

What ends it: the dead-man timer where ExaBGP lives on, the hold time where its machine stands still, and the restart
time where ExaBGP is gone.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bgp.edge import WANTED, Edge, nodes, started
from tests.world.bgp import await_services
from tests.world.daemon import AT_ONCE
from tests.world.fib import FibHistory
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.slow, pytest.mark.long]

DEAD_MAN_S = 6


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    keys: dict[str, Any] = {"dead_man_s": DEAD_MAN_S, "graceful_restart_s": 8}
    with started(tmp_path_factory.mktemp("world"), settings=AT_ONCE, **keys) as world:
        yield world


@pytest.fixture
def world(running: Edge) -> Iterator[Edge]:
    """A daemon has announced the three nodes, promised to be back, and was killed; then a node died."""
    running.add_node(3)
    running.write_cluster()
    running.await_up()
    with FibHistory(running.frr.netns) as running.kernel:
        with running.daemon():
            await_services(running.kernel, WANTED)
            wait_for(lambda: running.held("edge") == DEAD_MAN_S, "it has promised to be back", 180)
        running.cluster.delete_node("n3")
        running.write_cluster()
        yield running


def await_none(world: Edge) -> None:
    """The kernel has nothing of ours, the dead node least of all; and a daemon that comes says what is right."""
    await_services(world.kernel, {})
    with world.daemon():
        await_services(world.kernel, nodes(1, 2))


def test_the_daemon_is_dead(world: Edge) -> None:
    await_none(world)


def test_the_daemon_is_dead_and_the_bridge_dies_too(world: Edge) -> None:
    """The promise is on disk: the next bridge withdraws."""
    _, bridge = world.pids()
    world.kill(bridge)
    await_none(world)


def test_the_daemon_is_dead_and_exabgp_dies_too(world: Edge) -> None:
    exabgp, _ = world.pids()
    world.kill(exabgp)
    await_none(world)


def test_all_of_it_is_dead(world: Edge) -> None:
    """Nobody is left who could withdraw: the router forgets after the restart time that it was told."""
    world.stop()
    await_services(world.kernel, {})
    world.start()
    await_none(world)


def test_the_machine_stands_still(world: Edge) -> None:
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


def test_the_machine_is_cut_off(world: Edge) -> None:
    world.lan.ip("link set speaker down")
    try:
        await_services(world.kernel, {})
    finally:
        world.lan.ip("link set speaker up")
    world.await_up()
    await_none(world)

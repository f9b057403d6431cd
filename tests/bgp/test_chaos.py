"""Everything that is disturbed between a client and a receiver's kernel: no route is lost, and none stays too long."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress

import pytest

from k8s_ecmp.bgp.driver import BgpDriver
from k8s_ecmp.errors import RouterError
from tests.bgp.edge import WANTED, Edge, nodes, started
from tests.world.bgp import await_services, services
from tests.world.bgp_machine import COMMAND, Table, announcements
from tests.world.fib import FibHistory
from tests.world.netns import wait_for
from tests.world.objects import Port, ServiceState

pytestmark = [pytest.mark.world, pytest.mark.slow, pytest.mark.long]

NODES = [f"10.9.0.{number}" for number in range(101, 109)]
PREFIXES = [f"10.{96 + n // 65536}.{n // 256 % 256}.{n % 256}/32" for n in range(1, 10_001)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with started(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(running: Edge) -> Iterator[Edge]:
    """Nothing is announced at the beginning."""
    running.await_up()
    set_routes(running, {})
    with FibHistory(running.frr.netns) as running.kernel:
        await_services(running.kernel, {})
        yield running


def set_routes(world: Edge, wanted: Mapping[str, frozenset[str]]) -> None:
    """Commits until exactly these routes are announced, however often the way to the bridge breaks."""

    def done() -> bool:
        with suppress(RouterError), world.driver("edge") as peer:
            commit(peer, world.announced("edge"), wanted)
            return world.announced("edge") == wanted
        return False

    wait_for(done, "the routes are announced", 240, 0.1)


def commit(peer: BgpDriver, before: Mapping[str, frozenset[str]], wanted: Mapping[str, frozenset[str]]) -> None:
    """One transaction that leads from what is announced to what is wanted."""
    lines = []
    for prefix in before.keys() | wanted.keys():
        old, new = before.get(prefix, frozenset()), wanted.get(prefix, frozenset())
        lines += announcements(prefix, sorted(new - old))
        lines += [f"withdraw route {prefix} next-hop {hop}" for hop in sorted(old - new)]
    if lines:
        peer.load_merge_candidate(config="\n".join(lines))
        peer.commit_config()


def some(count: int, hops: int = 3) -> Table:
    return {prefix: frozenset(NODES[:hops]) for prefix in PREFIXES[:count]}


def flap(world: Edge) -> None:
    world.frr.vtysh("clear bgp *")


def assert_undisturbed(
    world: Edge,
    wanted: Table,
    since: float,
    new: Mapping[str, frozenset[str]] = {},
    others: Collection[str] = (),
) -> None:
    """No prefix had any other next hops since then; those that are `new` may have had none, `others` anything."""
    allowed = {prefix: (hops, frozenset[str]()) if prefix in new else (hops,) for prefix, hops in wanted.items()}
    lan = ("10.9.0.", "fd09:", "fe80:", "ff00:")
    ignored = (*lan, *(f"{prefix} " for prefix in others))
    wrong = [line for line in world.kernel.violations(allowed, since) if not line.startswith(ignored)]
    assert not wrong, wrong[:10]


def moment(world: Edge, wanted: Table) -> float:
    """The wanted routes are in the kernel; from this moment on nothing may change."""
    await_services(world.kernel, wanted)
    return time.monotonic()


def test_the_bridge_is_killed(world: Edge) -> None:
    wanted = some(500)
    set_routes(world, wanted)
    since = moment(world, wanted)
    exabgp, _ = world.pids()
    world.kill_bridge()
    assert world.pids()[0] == exabgp
    assert world.announced("edge") == wanted
    assert_undisturbed(world, wanted, since)
    wanted |= some(600, hops=2)
    set_routes(world, wanted)
    await_services(world.kernel, wanted)


def test_exabgp_is_killed_and_is_back_within_the_restart_time(world: Edge) -> None:
    wanted = some(500)
    set_routes(world, wanted)
    since = moment(world, wanted)
    world.kill_exabgp()
    world.await_up()
    # The end-of-RIB makes the receiver drop what it has not been told again; this comes after it.
    probe = {"10.111.0.1/32": frozenset(NODES[:1])}
    set_routes(world, wanted | probe)
    await_services(world.kernel, wanted | probe)
    assert_undisturbed(world, wanted | probe, since, new=probe)


def test_what_leaves_while_exabgp_is_dead_is_gone_when_it_is_back(world: Edge) -> None:
    """A receiver that restarts gracefully keeps all paths; FRR 8.3 to 10.1 drops only one stale path of a prefix."""
    wanted = some(200, hops=6)
    set_routes(world, wanted)
    moment(world, wanted)
    exabgp, _ = world.pids()
    os.kill(exabgp, signal.SIGSTOP)  # what is withdrawn now is acknowledged by nobody
    try:
        fewer = some(150, hops=2)
        with world.driver("edge", timeout=4) as quick, pytest.raises(RouterError, match="did not acknowledge"):
            commit(quick, world.announced("edge"), fewer)
    finally:
        os.kill(exabgp, signal.SIGKILL)
    wait_for(lambda: world.pids()[0] != exabgp, "ExaBGP was started again", 180)
    await_services(world.kernel, fewer)
    assert world.announced("edge") == fewer


def test_the_receiver_is_restarted(world: Edge) -> None:
    wanted = some(500)
    set_routes(world, wanted)
    moment(world, wanted)
    # What a killed zebra leaves in the kernel FRR 8.4 may forget there: routes that neither zebra nor bgpd knows of.
    world.frr.restart_frr(rebooted=True)
    wait_for(lambda: world.frr.vtysh("show ip route bgp").count("B>*") >= len(wanted), "FRR has all again", 120, 0.2)
    fewer = some(400, hops=2)
    set_routes(world, fewer)
    await_services(world.kernel, fewer)


def test_the_session_flaps_in_the_middle_of_a_push_of_ten_thousand_routes(world: Edge) -> None:
    wanted = some(10_000)
    push = threading.Thread(target=set_routes, args=(world, wanted))
    push.start()
    for part in (300, 3000, 8000):
        wait_for(lambda part=part: len(services(world.kernel)) >= part, f"{part} routes are there", 120, 0.1)
        flap(world)
    push.join()
    await_services(world.kernel, wanted, 240)
    fewer = some(9000, hops=2)
    push = threading.Thread(target=set_routes, args=(world, fewer))
    push.start()
    wait_for(lambda: len(world.kernel.now(PREFIXES[0])) == 2, "it has begun", 120, 0.01)
    flap(world)
    push.join()
    await_services(world.kernel, fewer, 240)
    assert world.announced("edge") == fewer


def test_exabgp_is_killed_in_the_middle_of_a_push_of_ten_thousand_routes(world: Edge) -> None:
    """Whoever asks for it again, or nobody: all of it is announced."""
    wanted = some(10_000)
    exabgp, bridge = world.pids()
    with world.driver("edge") as peer:
        push = threading.Thread(target=suppressed, args=(commit, peer, {}, wanted))
        push.start()
        wait_for(lambda: len(services(world.kernel)) >= 100, "it has begun", 120, 0.01)
        world.kill(bridge)
        world.kill(exabgp)
        push.join()
    wait_for(lambda: world.pids()[0] != exabgp, "ExaBGP was started again", 180)
    assert world.announced("edge") == wanted
    await_services(world.kernel, wanted, 240)


def suppressed(do: Callable[..., None], *arguments: object) -> None:
    with suppress(RouterError):
        do(*arguments)


def test_the_client_is_killed_in_the_middle_of_an_apply(world: Edge) -> None:
    for number in range(600):
        key = f"default/s{number}"
        address = f"10.97.{number // 200}.{number % 200 + 1}"
        world.cluster.add_service(
            ServiceState(key, (address,), (Port(80, 8080, "http", node_port=30000 + number),), type="NodePort")
        )
        world.cluster.change_service(key, external_policy="Local")
        world.cluster.scale(key, "n1", "n2")
    world.write_cluster()
    try:
        argv = [COMMAND, "--config", str(world.folder / "k8s-ecmp.yaml"), "apply", "--yes"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            try:
                wait_for(lambda: world.announced("edge"), "the change has begun", 180)
            finally:
                client.kill()
        world.cli("apply", "--yes")
        world.cli("verify")
        world.plan(code=0)
        wanted = {f"10.97.{n // 200}.{n % 200 + 1}/32": frozenset(NODES[:2]) for n in range(600)}
        await_services(world.kernel, wanted | WANTED)
    finally:
        for number in range(600):
            world.cluster.delete_service(f"default/s{number}")


def test_the_daemon_is_killed_and_another_starts(world: Edge) -> None:
    """Nothing changes while there is none; a node that died meanwhile leaves with the next, and nothing else does."""
    everything = nodes(1, 2, 3)
    for number in range(200):
        key = f"default/d{number}"
        port = Port(80, 8080, "http", node_port=30000 + number)
        world.cluster.add_service(ServiceState(key, (f"10.98.0.{number + 1}",), (port,), type="NodePort"))
        world.cluster.change_service(key, external_policy="Local")
        world.cluster.scale(key, "n1", "n2")
        everything[f"10.98.0.{number + 1}/32"] = frozenset(NODES[:2])
    world.write_cluster()
    try:
        with world.daemon():
            since = moment(world, everything)
            wait_for(lambda: world.held("edge"), "it has promised to be back", 180)
        dead = world.cluster.nodes["n3"]
        world.cluster.delete_node("n3")
        world.write_cluster()
        assert_undisturbed(world, everything, since)
        fewer = everything | nodes(1, 2)
        with world.daemon():
            await_services(world.kernel, fewer)
        local = {prefix: hops for prefix, hops in everything.items() if prefix.startswith("10.98.")}
        assert_undisturbed(world, local, since, others=everything.keys() - local.keys())
        world.cluster.nodes["n3"] = dead
    finally:
        for number in range(200):
            world.cluster.delete_service(f"default/d{number}")
        world.ask("hold", peer="edge", within_s=None)


def test_the_table_is_what_is_announced_after_many_random_changes_and_resets(world: Edge) -> None:
    chance = random.Random(7)
    wanted: Table = {}
    changes = resets = 0
    while changes < 10_000:
        batch = {
            prefix: frozenset(chance.sample(NODES, chance.randint(0, 6)))
            for prefix in chance.sample(PREFIXES[:400], 100)
        }
        wanted = {prefix: hops for prefix, hops in (wanted | batch).items() if hops}
        set_routes(world, wanted)
        changes += len(batch)
        if changes >= (resets + 1) * 500:
            flap(world)
            resets += 1
    assert resets == 20
    world.await_up()
    await_services(world.kernel, wanted)
    assert world.announced("edge") == wanted


def test_a_dead_daemon_leaves_nothing_behind_for_ever(world: Edge) -> None:
    wanted = some(100)
    set_routes(world, wanted)
    since = moment(world, wanted)
    world.ask("hold", peer="edge", within_s=3600)
    assert_undisturbed(world, wanted, since)
    world.ask("hold", peer="edge", within_s=0.5)
    await_services(world.kernel, {})
    assert world.announced("edge") == {}
    with world.driver("edge") as peer:
        assert "no client that follows the cluster" in peer.get_config()["running"]
    set_routes(world, wanted)
    await_services(world.kernel, wanted)


def test_a_client_that_stopped_on_purpose_leaves_its_routes(world: Edge) -> None:
    wanted = some(100)
    set_routes(world, wanted)
    since = moment(world, wanted)
    over = time.monotonic() + 10  # the promise is taken back before that
    world.ask("hold", peer="edge", within_s=10)
    world.ask("hold", peer="edge", within_s=None)
    assert world.held("edge") is None
    wait_for(lambda: time.monotonic() > over + 1.5, "a bridge that looks once a second would have seen it broken")
    probe = {"10.111.0.1/32": frozenset(NODES[:1])}  # comes after what was withdrawn then
    set_routes(world, wanted | probe)
    await_services(world.kernel, wanted | probe)
    assert_undisturbed(world, wanted | probe, since, new=probe)

"""Sessions as they are in the field: protected, refused, down, shared by two clients, and a daemon that dies."""

import os
import signal
import stat
import time
from collections.abc import Iterator
from typing import Any

import pytest

from k8s_ecmp.errors import LockHeld
from tests.bgp.edge import WANTED, Edge, nodes, started
from tests.world import bgp
from tests.world.bgp import SPEAKERS, await_services, frr_config, services
from tests.world.bgp_machine import Table
from tests.world.fib import FibHistory
from tests.world.netns import wait_for
from tests.world.objects import Port, ServiceState

pytestmark = pytest.mark.world

PASSWORD = "an-md5-key-of-the-world"
DEAD_MAN_S = 4
NGINX = "default/nginx"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("world")
    secret = folder / "md5"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    config = frr_config(SPEAKERS[:1], f"password {PASSWORD}", "ttl-security hops 1")
    keys: dict[str, Any] = {"password_file": str(secret), "ttl_security": True, "dead_man_s": DEAD_MAN_S}
    with started(folder, config, **keys) as world:
        yield world


@pytest.fixture(autouse=True)
def no_promise(world: Edge) -> None:
    """That of a daemon that a test before has killed would be taken for that of the next."""
    world.ask("hold", peer="edge", within_s=None)


def await_promise(world: Edge) -> None:
    wait_for(lambda: world.held("edge") == DEAD_MAN_S, "the daemon has promised to be back", 180)


def test_a_session_with_md5_and_ttl_security(world: Edge) -> None:
    world.program()
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, WANTED)
    status = world.cli("bgp", "status")
    assert "edge" in status.stdout
    assert "2 / 6" in status.stdout
    assert PASSWORD not in world.cli("bgp", "config").stdout + status.stdout
    assert PASSWORD not in (world.folder / "exabgp.log").read_text()


def test_what_is_on_disk_and_the_socket_are_for_their_owner_alone(world: Edge) -> None:
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in world.exabgp_folder.iterdir()}
    assert modes.pop("bridge.sock") == 0o600
    assert {mode & 0o077 for mode in modes.values()} == {0}
    assert stat.S_IMODE(world.exabgp_folder.stat().st_mode) == 0o700


def test_a_second_exabgp_of_one_folder_is_refused(world: Edge) -> None:
    before = world.pids()
    done = world.cli("bgp", "start", code=1)
    assert "runs already" in done.stderr
    assert world.pids() == before
    assert world.in_order()


def test_a_second_client_waits_for_the_first(world: Edge) -> None:
    with world.driver("edge") as first, world.driver("edge") as second:
        first.load_merge_candidate(config="")
        with pytest.raises(LockHeld, match=f"process {os.getpid()}"):
            second.load_merge_candidate(config="")
        first.close()
        wait_for(lambda: not world.states()["edge"]["holder"], "free")
        second.load_merge_candidate(config="")


def test_a_session_that_is_down_gets_the_change_when_it_is_up(world: Edge) -> None:
    world.write_cluster()
    world.cli("apply", "--yes")
    world.add_node(4)
    world.write_cluster()
    world.lan.ip("link set speaker down")
    try:
        wait_for(lambda: not world.in_order(), "the hold timer has ended", 180)
        done = world.cli("apply", "--yes")
        assert "waits for the session" in done.stdout + done.stderr
        verified = world.cli("verify", code=2)
        assert "10.9.0.11 to 10.9.0.2" in verified.stdout + verified.stderr
        assert "down" in world.cli("bgp", "status", code=1).stdout
        examined = world.cli("doctor", code=None)
        assert examined.returncode != 0
        assert "10.9.0.11 to 10.9.0.2" in " ".join(examined.stdout.split())
    finally:
        world.lan.ip("link set speaker up")
    world.await_up()
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, nodes(1, 2, 3, 4))
    world.cli("verify")
    assert "cannot tell whether it reaches" in " ".join(world.cli("doctor").stdout.split())
    world.cluster.delete_node("n4")
    world.program()


def test_a_peer_that_takes_one_path_is_refused_with_a_remedy(world: Edge) -> None:
    world.write_cluster()
    world.cli("apply", "--yes")
    families = "\n".join(
        f"address-family {family} unicast\nneighbor {SPEAKERS[0]} disable-addpath-rx\nexit-address-family"
        for family in ("ipv4", "ipv6")
    )
    world.frr.configure(f"router bgp {bgp.ROUTER_AS}\n{families}")
    world.frr.vtysh("clear bgp *")
    try:
        wait_for(lambda: world.states()["edge"]["refused"] or "", "the session is back without", 180)
        assert "does not take several paths" in world.cli("bgp", "status", code=1).stdout
        assert "does not take several paths" in " ".join(world.cli("verify", code=2).stdout.split())
        world.await_up()
        # Nothing is added.
        world.add_node(4)
        world.write_cluster()
        (edge,) = world.plan(code=None)["routers"]
        assert {conflict["prefix"] for conflict in edge["conflicts"]} == set(WANTED)
        assert all("bgp.local_addresses" in conflict["reason"] for conflict in edge["conflicts"])
        assert edge["changes"] == []
        world.cli("apply", "--yes", code=None)
        assert world.announced("edge") == WANTED
        # A node that dies is withdrawn all the same, also where it is the one that the router holds.
        with FibHistory(world.frr.netns) as kernel:
            for number in range(2):
                await_one_of_each(kernel, world.announced("edge"))
                (hop,) = services(kernel)["10.96.0.0/12"]
                since = time.monotonic()
                world.cluster.delete_node(f"n{hop[-1]}")
                world.write_cluster()
                world.cli("apply", "--yes", code=None)
                left = {
                    p: frozenset(h for h in hops if h[-1] != hop[-1]) for p, hops in world.announced("edge").items()
                }
                assert world.announced("edge") == left
                assert {len(hops) for hops in left.values()} == {2 - number}
                await_one_of_each(kernel, left)
                assert all(sample.hops for prefix in left for sample in kernel.samples(prefix, since)), "never gone"
    finally:
        world.frr.configure(f"router bgp {bgp.ROUTER_AS}\n{families.replace('neighbor', 'no neighbor')}")
        world.frr.vtysh("clear bgp *")
    wait_for(lambda: not world.states()["edge"]["refused"], "the session takes paths again", 180)
    world.await_up()
    for name in list(world.cluster.nodes):
        world.cluster.delete_node(name)
    for number in (1, 2, 3):
        world.add_node(number)
    world.program()
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, WANTED)


def await_one_of_each(kernel: FibHistory, announced: Table) -> None:
    """The router holds one of the announced next hops of each prefix."""

    def holds() -> bool:
        found = services(kernel)
        return found.keys() == announced.keys() and all(
            len(hops) == 1 and hops <= announced[prefix] for prefix, hops in found.items()
        )

    wait_for(holds, "it holds one that lives, of each prefix")


def test_a_daemon_follows_the_cluster_and_leaves_its_routes_when_it_is_stopped(world: Edge) -> None:
    world.write_cluster()
    with FibHistory(world.frr.netns) as kernel, world.daemon() as process:
        await_services(kernel, WANTED)
        await_promise(world)
        world.add_node(4)
        world.write_cluster()
        await_services(kernel, nodes(1, 2, 3, 4))
        world.cluster.delete_node("n4")
        world.write_cluster()
        await_services(kernel, WANTED)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert world.held("edge") is None
        assert world.announced("edge") == WANTED
        await_services(kernel, WANTED)


def test_what_a_dead_daemon_announced_is_withdrawn_and_comes_back_with_the_next(world: Edge) -> None:
    world.write_cluster()
    with FibHistory(world.frr.netns) as kernel:
        with world.daemon():
            await_services(kernel, WANTED)
            await_promise(world)
        await_services(kernel, {})
        assert "no client that follows the cluster" in world.cli("bgp", "status").stdout
        with world.daemon():
            await_services(kernel, WANTED)
        world.cli("apply", "--yes")


def test_a_frozen_daemon_is_a_dead_one_until_it_goes_on(world: Edge) -> None:
    world.write_cluster()
    with FibHistory(world.frr.netns) as kernel, world.daemon() as process:
        await_services(kernel, WANTED)
        await_promise(world)
        process.send_signal(signal.SIGSTOP)
        await_services(kernel, {})
        process.send_signal(signal.SIGCONT)
        await_services(kernel, WANTED)


def test_a_daemon_that_goes_on_with_something_new_sees_that_all_else_was_withdrawn(world: Edge) -> None:
    world.write_settings(services={"add_delay_s": 0})
    world.write_cluster()
    with FibHistory(world.frr.netns) as kernel, world.daemon() as process:
        await_services(kernel, WANTED)
        await_promise(world)
        process.send_signal(signal.SIGSTOP)
        await_services(kernel, {})
        world.cluster.add_service(ServiceState(NGINX, ("10.96.0.1",), (Port(80, 8080, "http"),)))
        world.cluster.change_service(NGINX, external_policy="Local", internal_policy="Local")
        world.cluster.scale(NGINX, "n2")
        world.write_cluster()
        process.send_signal(signal.SIGCONT)
        await_services(kernel, WANTED | {"10.96.0.1/32": frozenset(["10.9.0.102"])})

"""Sessions as they are in the field: protected, refused, down, shared by two clients, and a daemon that dies."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.bgp.driver import BgpDriver
from k8s_ecmp.errors import LockHeld
from tests.world import bgp
from tests.world.bgp import COMMAND, SPEAKERS, BgpWorld, await_services, frr_config, services
from tests.world.fib import FibHistory
from tests.world.netns import wait_for

pytestmark = pytest.mark.world

WANTED = {
    "10.96.0.0/12": [f"10.9.0.{n}" for n in (101, 102, 103)],
    "fd00:96::/112": [f"fd09::{n}" for n in (101, 102, 103)],
}
PASSWORD = "an-md5-key-of-the-world"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BgpWorld]:
    if reason := bgp.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("world")
    secret = folder / "md5"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    with BgpWorld(folder) as world:
        config = frr_config(SPEAKERS[:1], f"password {PASSWORD}", "ttl-security hops 1")
        world.frr = world.add_frr("edge", 2, config, password_file=str(secret), ttl_security=True, dead_man_s=4)
        world.start()
        yield world


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


def test_a_session_with_md5_and_ttl_security(world: BgpWorld) -> None:
    world.program()
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, WANTED)
    status = world.cli("bgp", "status")
    assert "edge" in status.stdout
    assert "2 / 6" in status.stdout
    assert PASSWORD not in world.cli("bgp", "config").stdout + status.stdout
    assert PASSWORD not in (world.folder / "exabgp.log").read_text()


def test_what_is_on_disk_and_the_socket_are_for_their_owner_alone(world: BgpWorld) -> None:
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in world.exabgp_folder.iterdir()}
    assert modes.pop("bridge.sock") == 0o600
    assert {mode & 0o077 for mode in modes.values()} == {0}
    assert stat.S_IMODE(world.exabgp_folder.stat().st_mode) == 0o700


def test_a_second_exabgp_of_one_folder_is_refused(world: BgpWorld) -> None:
    before = world.pids()
    done = world.cli("bgp", "start", code=1)
    assert "runs already" in done.stderr
    assert world.pids() == before
    assert world.in_order()


def test_a_second_client_waits_for_the_first(world: BgpWorld) -> None:
    options = {"folder": str(world.exabgp_folder), "peer": "edge"}
    first, second = BgpDriver(optional_args=options), BgpDriver(optional_args=options)
    first.open()
    second.open()
    try:
        first.load_merge_candidate(config="")
        with pytest.raises(LockHeld, match=f"process {os.getpid()}"):
            second.load_merge_candidate(config="")
        first.close()
        wait_for(lambda: not BridgeClient(Path(options["folder"]), 5).ask("status")["peers"]["edge"]["holder"], "free")
        second.load_merge_candidate(config="")
    finally:
        second.close()


def test_a_session_that_is_down_gets_the_change_when_it_is_up(world: BgpWorld) -> None:
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
        await_services(kernel, {p: [*h, h[0][:-1] + "4"] for p, h in WANTED.items()})
    world.cli("verify")
    assert "cannot tell whether it reaches" in " ".join(world.cli("doctor").stdout.split())
    world.cluster.delete_node("n4")
    world.program()


def test_a_peer_that_takes_one_path_is_refused_with_a_remedy(world: BgpWorld) -> None:
    world.write_cluster()
    world.cli("apply", "--yes")
    families = "\n".join(
        f"address-family {family} unicast\nneighbor {SPEAKERS[0]} disable-addpath-rx\nexit-address-family"
        for family in ("ipv4", "ipv6")
    )
    world.frr.configure(f"router bgp {bgp.ROUTER_AS}\n{families}")
    world.frr.vtysh("clear bgp *")
    try:
        wait_for(lambda: world.ask("status")["peers"]["edge"]["refused"] or "", "the session is back without", 180)
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
        assert {p: sorted(h) for p, h in world.announced("edge").items()} == WANTED
        # A node that dies is withdrawn all the same, also where it is the one that the router holds.
        with FibHistory(world.frr.netns) as kernel:
            for number in range(2):
                wait_for(lambda: len(services(kernel)) == 2, "the router holds one next hop of each prefix")
                (hop,) = services(kernel)["10.96.0.0/12"]
                world.cluster.delete_node(f"n{hop[-1]}")
                world.write_cluster()
                world.cli("apply", "--yes", code=None)
                left = {p: {h for h in hops if h[-1] != hop[-1]} for p, hops in world.announced("edge").items()}
                assert world.announced("edge") == left
                assert {len(hops) for hops in left.values()} == {2 - number}
                wait_for(lambda left=left: held_of(left, services(kernel)), "it holds one that lives, of each prefix")
    finally:
        world.frr.configure(f"router bgp {bgp.ROUTER_AS}\n{families.replace('neighbor', 'no neighbor')}")
        world.frr.vtysh("clear bgp *")
    wait_for(lambda: not world.ask("status")["peers"]["edge"]["refused"], "the session takes paths again", 180)
    world.await_up()
    for name in list(world.cluster.nodes):
        world.cluster.delete_node(name)
    for number in (1, 2, 3):
        world.add_node(number)
    world.program()
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, WANTED)


def held_of(announced: dict[str, set[str]], kernel: dict[str, frozenset[str]]) -> bool:
    """Whether the kernel has one of the announced next hops of each prefix."""
    return kernel.keys() == announced.keys() and all(
        len(hops) == 1 and hops <= announced[prefix] for prefix, hops in kernel.items()
    )


def test_a_daemon_follows_the_cluster_and_leaves_its_routes_when_it_is_stopped(world: BgpWorld) -> None:
    world.write_cluster()
    with FibHistory(world.frr.netns) as kernel, daemon(world) as process:
        await_services(kernel, WANTED)
        wait_for(lambda: world.ask("status")["peers"]["edge"]["held_s"] == 4, "the daemon has promised to be back", 180)
        world.add_node(4)
        world.write_cluster()
        await_services(kernel, {p: [*h, h[0][:-1] + "4"] for p, h in WANTED.items()})
        world.cluster.delete_node("n4")
        world.write_cluster()
        await_services(kernel, WANTED)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert world.ask("status")["peers"]["edge"]["held_s"] is None
        assert {p: sorted(h) for p, h in world.announced("edge").items()} == WANTED
        await_services(kernel, WANTED)


def test_what_a_dead_daemon_announced_is_withdrawn_and_comes_back_with_the_next(world: BgpWorld) -> None:
    world.write_cluster()
    with FibHistory(world.frr.netns) as kernel:
        with daemon(world):
            await_services(kernel, WANTED)
            wait_for(lambda: world.ask("status")["peers"]["edge"]["held_s"] == 4, "it has promised to be back", 180)
        await_services(kernel, {})
        assert "no client that follows the cluster" in world.cli("bgp", "status").stdout
        with daemon(world):
            await_services(kernel, WANTED)
        world.cli("apply", "--yes")


def test_a_frozen_daemon_is_a_dead_one_until_it_goes_on(world: BgpWorld) -> None:
    world.write_cluster()
    with FibHistory(world.frr.netns) as kernel, daemon(world) as process:
        await_services(kernel, WANTED)
        wait_for(lambda: world.ask("status")["peers"]["edge"]["held_s"] == 4, "it has promised to be back", 180)
        process.send_signal(signal.SIGSTOP)
        await_services(kernel, {})
        process.send_signal(signal.SIGCONT)
        await_services(kernel, WANTED)

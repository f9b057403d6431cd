"""`verify` and commits against what a real receiver has: a filter, a limit, another route, a path that should be gone."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.model import Prefix
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.receiver import Receiver
from k8s_ecmp.settings import load_settings
from tests.bgp.edge import NODES4, NODES6, WANTED, Edge, started
from tests.world.bgp import ROUTER_AS, SPEAKERS, await_services, frr_config, services
from tests.world.bgp_machine import Table
from tests.world.fib import FibHistory
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.long]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with started(tmp_path_factory.mktemp("world"), read_receiver=True) as world:
        world.program()
        yield world


@contextmanager
def configured(world: Edge, *lines: str, ended: bool = False) -> Iterator[None]:
    """These lines are in the router's configuration, and its neighbor has told it everything again.

    `ended`: they end the session.
    """
    world.frr.configure("\n".join(lines))
    world.frr.vtysh("clear bgp * soft in")
    try:
        yield
    finally:
        undone = [line if line.startswith(("router", "address")) else f"no {line}" for line in lines]
        world.frr.configure("\n".join(undone))
        world.frr.vtysh("clear bgp *" if ended else "clear bgp * soft in")
        world.await_up()
        with FibHistory(world.frr.netns) as kernel:
            await_services(kernel, WANTED)
        assert "in sync" in world.cli("verify").stdout


def differences(world: Edge, found: Mapping[str, Iterable[str]]) -> str:
    """What `verify` says once the router's kernel has `found`."""
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, found)
    done = world.cli("verify", code=2)
    return " ".join(done.stdout.split())


def test_a_receiver_that_has_everything_is_in_sync(world: Edge) -> None:
    done = world.cli("verify")
    assert "edge in sync 2 owned prefixes Verify" in " ".join(done.stdout.split())
    assert "compared" not in done.stdout + done.stderr


def test_a_filter_is_named(world: Edge) -> None:
    family = ("address-family ipv4 unicast", f"neighbor {SPEAKERS[0]} prefix-list NOTHING in")
    lines = ["ip prefix-list NOTHING seq 5 permit 192.0.2.0/24", f"router bgp {ROUTER_AS}", *family]
    with configured(world, *lines):
        said = differences(world, {"fd00:96::/112": NODES6})
    assert "10.96.0.0/12 at the receiver: the router did not take it: look at prefix-list NOTHING" in said


def test_a_limit_of_prefixes_that_ends_the_session_is_named(world: Edge) -> None:
    lines = (f"router bgp {ROUTER_AS}", "address-family ipv4 unicast", f"neighbor {SPEAKERS[0]} maximum-prefix 2")
    with configured(world, *lines, ended=True):
        wait_for(lambda: not world.in_order(), "the router has ended the session", 180)
        said = " ".join(world.cli("verify", code=2).stdout.split())
        assert "the router says: Cease/Maximum Number of Prefixes Reached: raise its maximum-prefix" in said


def test_a_limit_of_paths_is_named(world: Edge) -> None:
    world.frr.configure(f"router bgp {ROUTER_AS}\naddress-family ipv6 unicast\nmaximum-paths 1")
    try:
        world.frr.vtysh("clear bgp * soft in")
        with FibHistory(world.frr.netns) as kernel:
            await_services(kernel, {**WANTED, "fd00:96::/112": NODES6[:1]})
        said = " ".join(world.cli("verify", code=2).stdout.split())
        assert "fd00:96::/112 at the receiver: the router uses 1 of 3 next hops: raise `maximum-paths`" in said
        # A commit stays: to announce the dead node again would mend nothing.
        world.cluster.delete_node("n3")
        world.write_cluster()
        done = world.cli("apply", "--yes")
        assert "the router uses 1 of 2 next hops" in " ".join((done.stdout + done.stderr).split())
        assert world.announced("edge")["fd00:96::/112"] == set(NODES6[:2])
    finally:
        world.frr.configure(f"router bgp {ROUTER_AS}\naddress-family ipv6 unicast\nmaximum-paths 64")
        world.add_node(3)
        world.write_cluster()
    world.cli("apply", "--yes")
    world.cli("verify")


def test_a_route_that_the_router_prefers_is_named(world: Edge) -> None:
    with configured(world, "ip route 10.96.0.0/12 10.9.0.250"):
        said = differences(world, {**WANTED, "10.96.0.0/12": ["10.9.0.250"]})
    assert "10.96.0.0/12 at the receiver: the router prefers static with distance 1" in said


def test_a_next_hop_without_a_way_is_named(world: Edge) -> None:
    world.cluster.add_node("n7", ("192.0.2.7", "fd09::107"), ("10.207.0.0/16", "fd00:192:0:7::/64"))
    world.write_cluster()
    done = world.cli("apply", "--yes")
    assert "no way to next hop 192.0.2.7" in " ".join((done.stdout + done.stderr).split())
    said = " ".join(world.cli("verify", code=2).stdout.split())
    assert "no way to next hop 192.0.2.7" in said
    assert "disable-connected-check" in said
    world.cluster.delete_node("n7")
    world.program()


def test_a_receiver_that_takes_one_path_of_several_is_named(world: Edge) -> None:
    """With paths that a route map keeps out by their next hop."""
    lines = [
        "ip prefix-list N3 seq 5 permit 10.9.0.103/32",
        "route-map ONE deny 10",
        "match ip next-hop prefix-list N3",
        "route-map ONE permit 20",
        f"router bgp {ROUTER_AS}",
        "address-family ipv4 unicast",
        f"neighbor {SPEAKERS[0]} route-map ONE in",
    ]
    world.frr.configure("\n".join(lines))
    world.frr.vtysh("clear bgp * soft in")
    try:
        said = differences(world, {**WANTED, "10.96.0.0/12": NODES4[:2]})
        assert "10.96.0.0/12 at the receiver: the router took 2 of 3 next hops" in said
    finally:
        world.frr.configure("\n".join([*lines[4:6], f"no {lines[6]}"]))
        world.frr.vtysh("clear bgp * soft in")
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, WANTED)
    world.cli("verify")


def test_what_the_router_holds_though_it_is_not_announced_is_named(world: Edge) -> None:
    """A withdrawal that ExaBGP has acknowledged and the receiver never saw: the file of what is announced is older."""
    file = world.exabgp_folder / "announced.sqlite"
    with sqlite3.connect(file) as announced:
        announced.execute("delete from hops where hop = ? or prefix = 'fd00:96::/112'", (NODES4[2],))
    world.kill_bridge()
    said = differences(world, WANTED)
    assert f"10.96.0.0/12 at the receiver: {NODES4[2]} is in use beside what is announced, from {SPEAKERS[0]}" in said
    assert f"fd00:96::/112 at the receiver: there are paths from {SPEAKERS[0]} that are not announced" in said
    world.cli("apply", "--yes")
    world.cli("verify")


def test_what_stays_on_one_of_several_sessions_is_named(tmp_path: Path) -> None:
    """Each carries one next hop of a prefix: what came over one of them is fewer than all next hops there are."""
    speakers = SPEAKERS[:3]
    keys: dict[str, Any] = {"local_addresses": list(speakers), "read_receiver": True}
    with started(tmp_path, frr_config(speakers), **keys) as world:
        world.program()
        gone = "10.97.0.1/32"
        world.announce("edge", {gone: NODES4})
        with FibHistory(world.frr.netns) as kernel:
            await_services(kernel, {**WANTED, gone: NODES4})
        with sqlite3.connect(world.exabgp_folder / "announced.sqlite") as announced:
            announced.execute("delete from hops where prefix = ?", (gone,))
        world.kill_bridge()
        said = " ".join(world.cli("verify", code=2).stdout.split())
        for speaker in speakers:
            assert f"{gone} at the receiver: there are paths from {speaker} that are not announced" in said


def test_ten_thousand_prefixes_are_compared_in_a_few_lines(world: Edge) -> None:
    many: Table = {f"10.{97 + n // 65536}.{n // 256 % 256}.{n % 256}/32": frozenset(NODES4) for n in range(1, 10_001)}
    host = init_nornir(load_settings(world.folder / "k8s-ecmp.yaml"), world.folder)
    receiver = Receiver(host.inventory.hosts["edge"], host.config)
    expected = {Prefix.parse(p): frozenset(hops) for p, hops in (WANTED | many).items()}
    try:
        world.announce("edge", many)
        with FibHistory(world.frr.netns) as kernel:
            await_services(kernel, WANTED | many, 120)
        assert receiver.compare(expected, whole=True) == ((), ())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("k8s_ecmp.routers.receiver._MOST", 5000)
            partly = "the receiver has too many BGP routes to read them all: 24 of 10002 prefixes were compared"
            assert receiver.compare(expected, whole=True) == ((), (partly,))
        world.frr.configure(f"router bgp {ROUTER_AS}\naddress-family ipv4 unicast\nmaximum-paths 2")
        world.frr.vtysh("clear bgp * soft in")
        with FibHistory(world.frr.netns) as kernel:
            wait_for(lambda: {len(h) for p, h in services(kernel).items() if "." in p} == {2}, "two each are left", 120)
        problems, warnings = receiver.compare(expected, whole=True)
        assert warnings == ()
        assert len(problems) == 2
        assert problems[0].startswith("10.96.0.0/12 and 23 more at the receiver: the router uses 2 of 3 next hops")
        assert problems[1] == "9977 more prefixes differ at the receiver"
    finally:
        receiver.close()
        world.frr.configure(f"router bgp {ROUTER_AS}\naddress-family ipv4 unicast\nmaximum-paths 64")
        world.commit("edge", [f"withdraw route {prefix} next-hop {hop}" for prefix in many for hop in NODES4])
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, WANTED, 120)


def test_a_daemon_says_what_the_receiver_lacks(world: Edge) -> None:
    family = ("address-family ipv6 unicast", f"neighbor {SPEAKERS[0]} prefix-list NOTHING in")
    lines = ["ipv6 prefix-list NOTHING seq 5 permit 2001:db8::/32", f"router bgp {ROUTER_AS}", *family]
    log = world.folder / "daemon.log"
    with configured(world, *lines):
        with FibHistory(world.frr.netns) as kernel:
            await_services(kernel, {"10.96.0.0/12": NODES4})
        with world.daemon() as process:
            wait_for(lambda: "look at prefix-list NOTHING" in log.read_text(), "the daemon has said it", 180)
            process.terminate()
            assert process.wait(60) == 0
    (said,) = [entry for line in log.read_text().splitlines() if "problem" in (entry := json.loads(line))]
    assert said["router"] == "edge"
    assert said["problem"].startswith("fd00:96::/112 at the receiver: the router did not take it")


def test_a_login_that_cannot_be_read_says_nothing_of_a_session(world: Edge) -> None:
    """Whatever is wrong there: why a session is down is no reason to take a withdrawal back."""
    options = world.hosts["edge"]["connection_options"]["napalm"]["extras"]["optional_args"]
    options["conn_timeout"] = "soon"
    world.write_inventory()
    try:
        host = init_nornir(load_settings(world.folder / "k8s-ecmp.yaml"), world.folder)
        assert Receiver(host.inventory.hosts["edge"], host.config).why_down() == ""
    finally:
        del options["conn_timeout"]
        world.write_inventory()


def test_a_receiver_that_cannot_be_asked_is_a_warning(world: Edge) -> None:
    world.frr.kill_sshd()
    try:
        done = world.cli("verify")
        assert "the receiver's table could not be compared" in " ".join((done.stdout + done.stderr).split())
    finally:
        world.frr.start_sshd()
    world.cli("verify")

"""The same plan to routers that take BGP and to one with static routes: FRR, BIRD and GoBGP receive what that has."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.bgp.edge import NODES4, NODES6, require
from tests.world.bgp import SPEAKERS, BgpWorld, Daemon, await_services, frr_config, gobgp_table, services
from tests.world.fib import FibHistory
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for
from tests.world.objects import Port, ServiceState

pytestmark = [pytest.mark.world, pytest.mark.long]

NGINX = "default/nginx"


class Receivers(BgpWorld):
    """One router with static routes, and receivers of each kind."""

    static: FrrRouter
    frr: FrrRouter
    bird: Daemon
    gobgp: Daemon
    several: FrrRouter


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    require("bird", "gobgpd", "gobgp")
    with Receivers(tmp_path_factory.mktemp("world")) as world:
        world.static = world.add_static("static", 1)
        world.frr = world.add_frr("frr", 2, frr_config(), med=100, communities=["65010:1", "65010:7:9"])
        world.bird = world.add_bird("bird", 3)
        world.gobgp = world.add_gobgp("gobgp", 4)
        # A peer that takes one path for a prefix: three sessions carry three.
        world.several = world.add_frr("several", 5, frr_config(SPEAKERS[:3]), local_addresses=list(SPEAKERS[:3]))
        world.start()
        yield world


Received = Callable[[dict[str, list[str]]], None]


@contextmanager
def receiving(world: Receivers) -> Iterator[Received]:
    """A check that static mode's kernel has what is expected, and every receiver has what static mode has.

    FRR and BIRD in the kernel; GoBGP, which writes into no kernel without a zebra of its own, in its table.
    """
    routers = (world.static, world.frr, world.bird, world.several)
    with ExitStack() as stack:
        static, *others = [stack.enter_context(FibHistory(router.netns)) for router in routers]

        def received(expected: dict[str, list[str]]) -> None:
            await_services(static, expected)
            wanted = services(static)
            for kernel in others:
                await_services(kernel, wanted)
            wait_for(lambda: gobgp_table(world.gobgp) == wanted, "GoBGP has the same", 120, 0.1)

        yield received


def test_walkthrough_is_the_same_in_every_table(world: Receivers) -> None:
    cluster = world.cluster
    with receiving(world) as received:
        # The range, to all nodes.
        planned = world.program()
        assert {router["platform"] for router in planned["routers"]} == {"frr", "bgp"}
        changes = [router["changes"] for router in planned["routers"]]
        assert all(change == changes[0] for change in changes), "one plan for all"
        aggregate = {"10.96.0.0/12": NODES4, "fd00:96::/112": NODES6}
        received(aggregate)

        # Local: /32 and /128 to the node of the pod.
        cluster.add_service(
            ServiceState(
                NGINX, ("10.96.0.1", "fd00:96::1"), (Port(80, 8080, "http", node_port=30604),), type="NodePort"
            )
        )
        cluster.scale(NGINX, "n2")
        cluster.change_service(NGINX, external_policy="Local")
        world.program()
        received({**aggregate, "10.96.0.1/32": NODES4[1:2], "fd00:96::1/128": NODES6[1:2]})

        # Scaled up, and down to another node.
        cluster.scale(NGINX, "n2", "n3")
        world.program()
        received({**aggregate, "10.96.0.1/32": NODES4[1:], "fd00:96::1/128": NODES6[1:]})
        cluster.scale(NGINX, "n3")
        world.program()
        received({**aggregate, "10.96.0.1/32": NODES4[2:], "fd00:96::1/128": NODES6[2:]})

        # A node goes, another comes, and the first is back.
        cluster.delete_node("n1")
        world.program()
        received(
            {
                "10.96.0.0/12": NODES4[1:],
                "fd00:96::/112": NODES6[1:],
                "10.96.0.1/32": NODES4[2:],
                "fd00:96::1/128": NODES6[2:],
            }
        )
        world.add_node(1)
        world.program()
        received({**aggregate, "10.96.0.1/32": NODES4[2:], "fd00:96::1/128": NODES6[2:]})

        # The service is deleted.
        cluster.delete_service(NGINX)
        world.program()
        received(aggregate)


def test_external_ranges_and_a_drained_node_are_the_same_in_every_table(world: Receivers) -> None:
    cluster = world.cluster
    behind = {"10.96.0.7/32": NODES4[1:2], "fd00:96::7/128": NODES6[1:2]}
    ranges = {"198.19.48.0/20": NODES4, "fd00:198::/64": NODES6}
    external = {"198.19.48.10/32": NODES4[1:2], "fd00:198::10/128": NODES6[1:2]}
    aggregates = {"10.96.0.0/12": NODES4, "fd00:96::/112": NODES6}
    customer = ServiceState(
        NGINX, ("10.96.0.7", "fd00:96::7"), (Port(80, 8080, "http", node_port=30606),), type="NodePort"
    )
    cluster.add_service(customer)
    cluster.scale(NGINX, "n2")
    cluster.change_service(NGINX, external_policy="Local")
    with receiving(world) as received:
        try:
            world.program()
            received(aggregates | behind)

            # The external ranges are allowed, then the service has addresses of them.
            world.write_settings(services={"external_ips": {"cidrs": list(ranges)}})
            world.program()
            received(aggregates | behind | ranges)
            cluster.change_service(NGINX, external_ips=("198.19.48.10", "fd00:198::10"))
            world.program()
            received(aggregates | behind | ranges | external)
            with world.node_space(2, "198.19.48.10/32", "fd00:198::10/128"):
                for receiver in (world.static, world.frr, world.bird, world.several):
                    assert_reaches(receiver, "198.19.48.10", "n2")
                    assert_reaches(receiver, "[fd00:198::10]", "n2")

            # The node of the pod is drained: the ranges go round it, the last endpoint keeps its node.
            cluster.drain("n2")
            world.program()
            others = {p: [hop for hop in hops if hop[-1] != "2"] for p, hops in (aggregates | ranges).items()}
            received(others | behind | external)
            cluster.scale(NGINX, "n3")
            world.program()
            moved = {prefix: [hop[:-1] + "3" for hop in hops] for prefix, hops in (behind | external).items()}
            received(others | moved)
        finally:
            cluster.undrain("n2")
            cluster.delete_service(NGINX)
            world.program()
            world.write_settings()  # in two steps: mass-withdrawal guards against one
            world.program()
        received(aggregates)


def assert_reaches(receiver: FrrRouter | Daemon, address: str, node: str) -> None:
    """What the receiver sends to the address arrives at the node."""
    family = "TCP6" if ":" in address else "TCP4"
    ask = ("socat", "-T5", "-", f"{family}:{address}:80,connect-timeout=5")
    assert wait_for(
        lambda: receiver.netns.run(*ask, input="", check=False).strip() == node,
        f"{receiver.name} reaches {node} at {address}",
        30,
    )


def test_packets_arrive_at_the_nodes_of_a_local_service(world: Receivers) -> None:
    address = "10.96.0.9"
    world.cluster.add_service(
        ServiceState(NGINX, (address,), (Port(80, 8080, "http", node_port=30605),), type="NodePort")
    )
    world.cluster.change_service(NGINX, external_policy="Local")
    with world.node_space(2, f"{address}/32"), world.node_space(3, f"{address}/32"):
        for node in ("n2", "n3"):
            world.cluster.scale(NGINX, node)
            world.program()
            for receiver in (world.static, world.frr, world.bird, world.several):
                assert_reaches(receiver, address, node)
    world.cluster.delete_service(NGINX)
    world.program()


def test_attributes_reach_the_receiver(world: Receivers) -> None:
    world.write_cluster()
    world.cli("apply", "--yes")
    paths = wait_for(
        lambda: json.loads(world.frr.vtysh("show bgp ipv4 unicast 10.96.0.0/12 json")).get("paths"), "FRR has it"
    )
    assert {path["metric"] for path in paths} == {100}
    assert {path["community"]["string"] for path in paths} == {"65010:1"}
    assert {path["largeCommunity"]["string"] for path in paths} == {"65010:7:9"}


def test_a_guard_holds_a_peer_as_it_holds_a_router(world: Receivers) -> None:
    world.write_cluster()
    world.cli("apply", "--yes")
    nodes = [world.cluster.nodes[name] for name in ("n1", "n2")]
    for node in nodes:
        world.cluster.delete_node(node.name)
    world.write_cluster()
    planned = world.plan(code=3)
    assert {(g["guard"], g["router"]) for g in planned["guards"] if g["router"]} >= {
        ("mass-withdrawal", "frr"),
        ("mass-withdrawal", "static"),
    }
    world.cli("apply", "--yes", code=3)
    assert world.announced("frr")["10.96.0.0/12"] == set(NODES4)
    for node in nodes:
        world.cluster.nodes[node.name] = node
    world.write_cluster()
    world.plan(code=0)


def test_a_plan_file_is_refused_when_something_else_is_announced_meanwhile(world: Receivers, tmp_path: Path) -> None:
    world.write_cluster()
    world.cli("apply", "--yes")
    world.add_node(4)
    world.write_cluster()
    file = tmp_path / "reviewed.plan"
    world.cli("plan", "--router", "frr", "--out", str(file), code=2)
    world.cli("apply", "--yes", "--router", "frr")
    refused = world.cli("apply", "--yes", str(file), code=3)
    assert "frr" in refused.stdout + refused.stderr
    world.cluster.delete_node("n4")
    world.write_cluster()
    world.cli("apply", "--yes")
    world.plan(code=0)

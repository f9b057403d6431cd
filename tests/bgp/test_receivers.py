"""The same plan to routers that take BGP and to one with static routes: FRR, BIRD and GoBGP receive what that has."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.world import bgp
from tests.world.bgp import SPEAKERS, BgpWorld, await_services, frr_config, services
from tests.world.fib import FibHistory
from tests.world.netns import Namespace, wait_for
from tests.world.objects import Port, ServiceState

pytestmark = pytest.mark.world

NGINX = "default/nginx"
NODES4 = ["10.9.0.101", "10.9.0.102", "10.9.0.103"]
NODES6 = ["fd09::101", "fd09::102", "fd09::103"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BgpWorld]:
    if reason := bgp.missing("bird", "gobgpd", "gobgp"):
        pytest.skip(reason)
    with BgpWorld(tmp_path_factory.mktemp("world")) as world:
        world.static = world.add_static("static", 1)
        world.frr = world.add_frr("frr", 2, frr_config(), med=100, communities=["65010:1", "65010:7:9"])
        world.bird = world.add_bird("bird", 3)
        world.gobgp = world.add_gobgp("gobgp", 4)
        # A peer that takes one path for a prefix: three sessions carry three.
        world.several = world.add_frr("several", 5, frr_config(SPEAKERS[:3]), local_addresses=list(SPEAKERS[:3]))
        world.start()
        yield world


def gobgp_table(namespace: Namespace) -> dict[str, frozenset[str]]:
    found = {}
    for family in ("ipv4", "ipv6"):
        said = json.loads(namespace.run("gobgp", "global", "rib", "-a", family, "-j") or "{}")
        for prefix, paths in said.items():
            hops = set()
            for path in paths:
                for attribute in path["attrs"]:
                    hops |= {attribute["nexthop"]} if "nexthop" in attribute else set()
            found[prefix] = frozenset(hops)
    return found


def test_walkthrough_is_the_same_in_every_table(world: BgpWorld) -> None:
    cluster = world.cluster
    with ExitStack() as stack:
        kernels = {
            name: stack.enter_context(FibHistory(router.netns))
            for name, router in (
                ("static", world.static),
                ("frr", world.frr),
                ("bird", world.bird),
                ("several", world.several),
            )
        }

        def received(expected: dict[str, list[str]]) -> None:
            """Static mode's kernel has what is expected, and every receiver has what static mode has."""
            await_services(kernels["static"], expected)
            wanted = services(kernels["static"])
            for kernel in kernels.values():
                await_services(kernel, wanted)
            wait_for(lambda: gobgp_table(world.gobgp.netns) == wanted, "GoBGP has the same", 30, 0.1)

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


def test_packets_arrive_at_the_nodes_of_a_local_service(world: BgpWorld) -> None:
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
                ask = ("socat", "-T5", "-", f"TCP:{address}:80,connect-timeout=5")
                answer = wait_for(
                    lambda receiver=receiver, ask=ask: receiver.netns.run(*ask, input="", check=False).strip() == node,  # noqa: B023
                    f"{receiver.name} reaches the pod on {node}",
                    30,
                )
                assert answer
    world.cluster.delete_service(NGINX)
    world.program()


def test_attributes_reach_the_receiver(world: BgpWorld) -> None:
    world.write_cluster()
    world.cli("apply", "--yes")
    paths = wait_for(
        lambda: json.loads(world.frr.vtysh("show bgp ipv4 unicast 10.96.0.0/12 json")).get("paths"), "FRR has it"
    )
    assert {path["metric"] for path in paths} == {100}
    assert {path["community"]["string"] for path in paths} == {"65010:1"}
    assert {path["largeCommunity"]["string"] for path in paths} == {"65010:7:9"}


def test_a_guard_holds_a_peer_as_it_holds_a_router(world: BgpWorld) -> None:
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


def test_a_plan_file_is_refused_when_something_else_is_announced_meanwhile(world: BgpWorld, tmp_path: Path) -> None:
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

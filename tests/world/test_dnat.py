"""The nodes' rules do with real packets what kube-proxy does; the routes here are put in by hand."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.world import lab as world
from tests.world.cluster import Cluster
from tests.world.lab import CLIENT, Lab, NodePlan, Topology
from tests.world.objects import Port, ServiceState
from tests.world.traffic import Target, ask, spread

pytestmark = pytest.mark.world

TOPOLOGY = Topology(
    lan=("10.20.0.0/24", "fd00:20::/64"),
    routers={"r1": ("10.20.0.254", "fd00:20::fe")},
    nodes={
        f"n{n}": NodePlan((f"10.20.0.{n}", f"fd00:20::{n}"), (f"10.21.{n}.0/24", f"fd00:21:{n}::/64"))
        for n in (1, 2, 3)
    },
    service_cidrs=("10.22.0.0/24", "fd00:22::/112"),
    pod_cidrs=("10.21.0.0/16", "fd00:21::/32"),
)
WEB = "default/web"


@dataclass(frozen=True)
class Addresses:
    """One family's addresses of the service, the client and the nodes."""

    cluster_ip: str
    external_ip: str
    unused: str
    client: str
    nodes: tuple[str, str, str]


FAMILIES = {
    4: Addresses("10.22.0.10", "198.51.100.10", "10.22.0.99", CLIENT[0], ("10.20.0.1", "10.20.0.2", "10.20.0.3")),
    6: Addresses("fd00:22::10", "2001:db8::10", "fd00:22::99", CLIENT[1], ("fd00:20::1", "fd00:20::2", "fd00:20::3")),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if reason := world.missing():
        pytest.skip(reason)
    with Lab(TOPOLOGY, tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def cluster(built: Lab) -> Cluster:
    """One service in both families, with two pods on n1 and one on n2, entered through n1."""
    cluster = TOPOLOGY.cluster()
    cluster.add_service(
        ServiceState(
            WEB,
            tuple(a.cluster_ip for a in FAMILIES.values()),
            (Port(80, 8080, node_port=30080),),
            type="LoadBalancer",
            external_ips=(FAMILIES[4].external_ip,),
            load_balancer_ips=(FAMILIES[6].external_ip,),
        )
    )
    cluster.scale(WEB, "n1", "n1", "n2")
    built.sync(cluster)
    for number in FAMILIES:
        enter(built, number, "n1")
    return cluster


def enter(lab: Lab, family: int, node: str) -> None:
    """The client's traffic to every address of a service goes to that node."""
    addresses = FAMILIES[family]
    hop = addresses.nodes[int(node[1:]) - 1]
    for destination in (addresses.cluster_ip, addresses.external_ip, addresses.unused):
        lab.routers["r1"].ip(f"-{family} route replace {destination} via {hop}")


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_cluster_ip_reaches_every_pod_and_masquerades_the_client(built: Lab, cluster: Cluster, family: int) -> None:
    addresses = FAMILIES[family]
    for policy in ("Cluster", "Local"):
        cluster.change_service(WEB, external_policy=policy)
        built.sync(cluster)
        answers = spread(built.client, Target(addresses.cluster_ip, 80), 60)
        assert {a.pod for a in answers} == {pod.name for pod in cluster.pods_of(WEB)}
        assert {a.peer for a in answers} == {addresses.nodes[0]}, policy


def test_pods_keep_their_address_also_towards_themselves_by_a_detour(built: Lab, cluster: Cluster, family: int) -> None:
    addresses = FAMILIES[family]
    first, _, other = cluster.pods_of(WEB)
    own = first.addresses[0 if family == 4 else 1]
    space = built.nodes["n1"].pods[first.name].namespace
    seen = {(a.pod, a.peer) for a in spread(space, Target(addresses.cluster_ip, 80), 60)}
    assert (other.name, own) in seen
    peers_of_itself = {peer for pod, peer in seen if pod == first.name}
    assert peers_of_itself, "the service also leads back to the pod that asks"
    assert own not in peers_of_itself, "a pod must not see itself as the client, or it answers past the node"


def test_internal_policy_local_keeps_to_the_entry_node(built: Lab, cluster: Cluster, family: int) -> None:
    target = Target(FAMILIES[family].cluster_ip, 80)
    cluster.change_service(WEB, internal_policy="Local")
    built.sync(cluster)
    assert {a.node for a in spread(built.client, target, 30)} == {"n1"}
    enter(built, family, "n3")
    with pytest.raises(TimeoutError):
        ask(built.client, target)


@pytest.mark.parametrize("kind", ["address", "node-port"])
def test_external_traffic_obeys_its_policy(built: Lab, cluster: Cluster, family: int, kind: str) -> None:
    addresses = FAMILIES[family]

    def target(node: int) -> Target:
        return Target(addresses.external_ip, 80) if kind == "address" else Target(addresses.nodes[node - 1], 30080)

    answers = spread(built.client, target(1), 60)
    assert {a.node for a in answers} == {"n1", "n2"}
    assert {a.peer for a in answers} == {addresses.nodes[0]}

    cluster.change_service(WEB, external_policy="Local")
    built.sync(cluster)
    answers = spread(built.client, target(1), 30)
    assert {a.node for a in answers} == {"n1"}
    assert {a.peer for a in answers} == {addresses.client}, "the client's address is kept"

    enter(built, family, "n3")
    with pytest.raises(TimeoutError):
        ask(built.client, target(3))
    pod = cluster.pods_of(WEB)[2]
    inside = built.nodes["n2"].pods[pod.name].namespace
    assert {a.node for a in spread(inside, Target(addresses.external_ip, 80), 60)} == {"n1", "n2"}


def test_terminating_pods_serve_only_where_none_is_ready(built: Lab, cluster: Cluster, family: int) -> None:
    addresses = FAMILIES[family]
    cluster.change_service(WEB, external_policy="Local")
    cluster.evict("n1")
    built.sync(cluster)
    assert {a.node for a in spread(built.client, Target(addresses.cluster_ip, 80), 30)} == {"n2"}
    assert {a.node for a in spread(built.client, Target(addresses.external_ip, 80), 30)} == {"n1"}
    cluster.evict("n2")
    built.sync(cluster)
    assert {a.node for a in spread(built.client, Target(addresses.cluster_ip, 80), 60)} == {"n1", "n2"}


def test_addresses_without_endpoints_are_refused_and_unused_ones_dropped(
    built: Lab, cluster: Cluster, family: int
) -> None:
    addresses = FAMILIES[family]
    cluster.scale(WEB)
    built.sync(cluster)
    # The refusal is an ICMP message, as kube-proxy's; a client's kernel may not tell its TCP over IPv6.
    refused = ConnectionRefusedError if family == 4 else (ConnectionRefusedError, TimeoutError)
    for address in (addresses.cluster_ip, addresses.external_ip):
        with pytest.raises(refused):
            ask(built.client, Target(address, 80))
    with pytest.raises(TimeoutError):
        ask(built.client, Target(addresses.unused, 80))

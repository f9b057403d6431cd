"""The bank: a customer service behind its cluster IP, then behind one node, then on an address of the bank's own."""

from collections.abc import Iterator

import pytest

from tests.world import lab as world
from tests.world.cluster import Cluster
from tests.world.lab import CLIENT, Lab, NodePlan, Topology
from tests.world.objects import Port, ServiceState
from tests.world.traffic import Target, spread
from tests.world.walkthrough import IN_SYNC, assert_table, clear_routes, only, plan, program

pytestmark = [pytest.mark.world, pytest.mark.long]

TOPOLOGY = Topology(
    lan=("198.19.0.0/20", "fd00:198:19::/64"),
    routers={"host2": ("198.19.15.254", "fd00:198:19::fe")},
    nodes={
        f"node{n}": NodePlan((f"198.19.0.{n}", f"fd00:198:19::{n}"), (f"198.19.{16 + n}.0/24", f"fd00:198:{n}::/64"))
        for n in (1, 2, 3)
    },
    service_cidrs=("198.19.32.0/20", "fd00:198:32::/112"),
    pod_cidrs=("198.19.16.0/20", "fd00:198::/45"),
)
CUSTOMER, CLUSTER_IP, EXTERNAL_IP = "yaobank/customer", "198.19.38.11", "198.19.48.10"
NODES = ["198.19.0.1", "198.19.0.2", "198.19.0.3"]
SOURCE = {"source": "cluster.json", "service_cidrs": ["198.19.32.0/20"]}
RANGE = {"198.19.32.0/20": NODES}
EXTERNAL_RANGE = {"198.19.48.0/20": NODES}
BEHIND_NODE_2 = {CLUSTER_IP: ["198.19.0.2"]}


@pytest.fixture(scope="module", params=["static", "bgp"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if reason := world.missing():
        pytest.skip(reason)
    with Lab(TOPOLOGY, tmp_path_factory.mktemp("lab"), request.param) as lab:
        yield lab


@pytest.fixture
def clean(lab: Lab) -> Iterator[Lab]:
    yield lab
    lab.restore(TOPOLOGY.cluster())
    clear_routes(lab)


@pytest.fixture
def bank(clean: Lab) -> tuple[Lab, Cluster]:
    cluster = only(TOPOLOGY, [4]).cluster()
    port = Port(80, 8080, "http", node_port=30180)
    cluster.add_service(ServiceState(CUSTOMER, (CLUSTER_IP,), (port,), type="NodePort"))
    for name, ip in (("summary", "198.19.39.153"), ("database", "198.19.42.77")):
        cluster.add_service(ServiceState(f"yaobank/{name}", (ip,), (Port(80, 8080, "http"),)))
    cluster.scale(CUSTOMER, "node2")
    cluster.scale("yaobank/summary", "node1", "node3")
    allow(clean)
    clean.sync(cluster)
    return clean, cluster


def allow(lab: Lab, *ranges: str) -> None:
    """Sets the ranges that external IPs may come from."""
    lab.write_settings(services={"external_ips": {"cidrs": list(ranges)}}, cluster=SOURCE)


def curl(lab: Lab, address: str) -> str:
    return lab.client.run("curl", "-sS", "--max-time", "30", f"http://{address}/")


def test_customer_is_reached_by_every_published_step(bank: tuple[Lab, Cluster]) -> None:
    lab, cluster = bank
    router = lab.routers["host2"]
    (pod,) = cluster.pods_of(CUSTOMER)

    # 1. The service range.
    program(lab)
    assert_table(router, RANGE)
    assert pod.name in curl(lab, CLUSTER_IP)
    assert {a.peer for a in spread(lab.client, Target(CLUSTER_IP, 80), 60)} == set(NODES)

    # 2. Local, with the pod on node 2.
    cluster.change_service(CUSTOMER, external_policy="Local")
    lab.sync(cluster)
    program(lab)
    assert_table(router, RANGE | BEHIND_NODE_2)
    assert {a.peer for a in spread(lab.client, Target(CLUSTER_IP, 80), 30)} == {"198.19.0.2"}

    # 3. The bank's external range is allowed.
    allow(lab, "198.19.48.0/20")
    program(lab)
    assert_table(router, RANGE | BEHIND_NODE_2 | EXTERNAL_RANGE)

    # 4. An address of that range on the service, which is Local: to its node alone, and the client's address is kept.
    cluster.change_service(CUSTOMER, external_ips=(EXTERNAL_IP,))
    lab.sync(cluster)
    program(lab)
    assert_table(router, RANGE | BEHIND_NODE_2 | EXTERNAL_RANGE | {EXTERNAL_IP: ["198.19.0.2"]})
    assert pod.name in curl(lab, EXTERNAL_IP)
    assert {a.peer for a in spread(lab.client, Target(EXTERNAL_IP, 80), 30)} == {CLIENT[0]}
    assert {a.peer for a in spread(lab.client, Target(CLUSTER_IP, 80), 30)} == {"198.19.0.2"}

    # The pod moves: both host routes follow.
    (moved,) = cluster.scale(CUSTOMER, "node3")
    lab.sync(cluster)
    program(lab)
    behind_node_3 = {CLUSTER_IP: ["198.19.0.3"], EXTERNAL_IP: ["198.19.0.3"]}
    assert_table(router, RANGE | EXTERNAL_RANGE | behind_node_3)
    assert {(a.pod, a.peer) for a in spread(lab.client, Target(EXTERNAL_IP, 80), 30)} == {(moved.name, CLIENT[0])}

    # Cluster again: through the external range, by every node, which the pod then sees instead of the client.
    cluster.change_service(CUSTOMER, external_policy="Cluster")
    lab.sync(cluster)
    program(lab)
    assert_table(router, RANGE | EXTERNAL_RANGE)
    assert {a.peer for a in spread(lab.client, Target(EXTERNAL_IP, 80), 60)} == set(NODES)


def test_single_addresses_are_allowed_as_ranges(bank: tuple[Lab, Cluster]) -> None:
    lab, cluster = bank
    router = lab.routers["host2"]
    allow(lab, "198.19.49.7/32", f"{EXTERNAL_IP}/32")
    cluster.change_service(CUSTOMER, external_ips=(EXTERNAL_IP,), external_policy="Local")
    lab.sync(cluster)
    program(lab)
    local = RANGE | BEHIND_NODE_2 | {EXTERNAL_IP: ["198.19.0.2"], "198.19.49.7": NODES}
    assert_table(router, local)
    assert {a.peer for a in spread(lab.client, Target(EXTERNAL_IP, 80), 30)} == {CLIENT[0]}

    cluster.change_service(CUSTOMER, external_policy="Cluster")
    lab.sync(cluster)
    program(lab)
    assert_table(router, RANGE | {EXTERNAL_IP: NODES, "198.19.49.7": NODES})
    assert {a.peer for a in spread(lab.client, Target(EXTERNAL_IP, 80), 60)} == set(NODES)


def test_an_external_ip_outside_the_ranges_gets_no_route(bank: tuple[Lab, Cluster]) -> None:
    lab, cluster = bank
    router = lab.routers["host2"]
    program(lab)
    cluster.change_service(CUSTOMER, external_ips=(EXTERNAL_IP,))
    lab.sync(cluster)
    document = plan(lab, IN_SYNC)
    assert_table(router, RANGE)
    assert f"Service {CUSTOMER}" in {item["object"] for item in document["skipped"]}, document["skipped"]
    with pytest.raises(OSError, match=r"unreachable|No route to host|timed out"):
        spread(lab.client, Target(EXTERNAL_IP, 80), 1)


def test_load_balancer_addresses_of_both_families_lead_to_the_local_node(clean: Lab) -> None:
    lab, router = clean, clean.routers["host2"]
    addresses = ("198.19.64.20", "fd00:198:64::20")
    cluster = TOPOLOGY.cluster()
    cluster.add_service(
        ServiceState(
            CUSTOMER,
            (CLUSTER_IP, "fd00:198:32::11"),
            (Port(80, 8080, "http", node_port=30180),),
            type="LoadBalancer",
            external_policy="Local",
            load_balancer_ips=addresses,
        )
    )
    cluster.scale(CUSTOMER, "node2", "node3")
    balancers = {"cidrs": ["198.19.64.0/24", "fd00:198:64::/64"], "aggregate": False}
    lab.write_settings(services={"aggregate": False, "cluster_ips": "none", "load_balancer_ips": balancers})
    lab.sync(cluster)
    program(lab)
    assert_table(router, {addresses[0]: NODES[1:], addresses[1]: ["fd00:198:19::2", "fd00:198:19::3"]})
    for address, client in zip(addresses, CLIENT, strict=True):
        answers = spread(lab.client, Target(address, 80), 60)
        assert {(a.node, a.peer) for a in answers} == {("node2", client), ("node3", client)}

    cluster.scale(CUSTOMER, "node1", "node3")
    lab.sync(cluster)
    program(lab)
    assert_table(router, {addresses[0]: [NODES[0], NODES[2]], addresses[1]: ["fd00:198:19::1", "fd00:198:19::3"]})
    for address, client in zip(addresses, CLIENT, strict=True):
        answers = spread(lab.client, Target(address, 80), 60)
        assert {(a.node, a.peer) for a in answers} == {("node1", client), ("node3", client)}

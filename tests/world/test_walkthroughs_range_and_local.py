"""The service range on a router, then a Local service beside it: in IPv4, in IPv6, in both."""

from collections.abc import Iterator

import pytest

from tests.world import lab as world
from tests.world.lab import CLIENT, Lab, NodePlan, Topology
from tests.world.objects import Port, ServiceState
from tests.world.traffic import Target, ask, spread
from tests.world.walkthrough import IN_SYNC, assert_table, clear_routes, only, plan, program

pytestmark = [pytest.mark.world, pytest.mark.long]

TOPOLOGY = Topology(
    lan=("10.192.0.0/24", "fd00:10:192::/64"),
    routers={"external-host": ("10.192.0.5", "fd00:10:192::5")},
    nodes={
        "kube-node-1": NodePlan(("10.192.0.2", "fd00:10:192::2"), ("192.168.221.192/26", "fd00:192:168:2::/64")),
        "kube-node-2": NodePlan(("10.192.0.3", "fd00:10:192::3"), ("192.168.135.128/26", "fd00:192:168:3::/64")),
        "kube-node-3": NodePlan(("10.192.0.4", "fd00:10:192::4"), ("192.168.169.128/26", "fd00:192:168:4::/64")),
    },
    service_cidrs=("10.96.0.0/12", "fd00:10:96::/112"),
    pod_cidrs=("192.168.0.0/16", "fd00:192:168::/48"),
)
NGINX = "default/nginx"
CLUSTER_IPS = {4: "10.96.0.1", 6: "fd00:10:96::1"}
NODE_PORT = 30604
LAN = {4: "10.192.0.", 6: "fd00:10:192::"}


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if reason := world.missing():
        pytest.skip(reason)
    with Lab(TOPOLOGY, tmp_path_factory.mktemp("lab"), request.param) as lab:
        lab.write_settings(pod_cidrs=True)
        yield lab


@pytest.fixture
def clean(lab: Lab) -> Iterator[Lab]:
    yield lab
    lab.restore(TOPOLOGY.cluster())
    clear_routes(lab)


def expected(families: tuple[int, ...], local: tuple[int, ...] = ()) -> dict[str, list[str]]:
    """The published table: the range over all nodes, each node's pods, and the Local service behind `local` nodes."""
    routes: dict[str, list[str]] = {}
    if 4 in families:
        if local:
            routes["10.96.0.1"] = [f"10.192.0.{n}" for n in local]
        routes["10.96.0.0/12"] = ["10.192.0.2", "10.192.0.3", "10.192.0.4"]
        routes["192.168.135.128/26"] = ["10.192.0.3"]
        routes["192.168.169.128/26"] = ["10.192.0.4"]
        routes["192.168.221.192/26"] = ["10.192.0.2"]
    if 6 in families:
        if local:
            routes["fd00:10:96::1"] = [f"fd00:10:192::{n}" for n in local]
        routes["fd00:10:96::/112"] = ["fd00:10:192::2", "fd00:10:192::3", "fd00:10:192::4"]
        routes |= {f"fd00:192:168:{n}::/64": [f"fd00:10:192::{n}"] for n in (2, 3, 4)}
    return routes


@pytest.mark.parametrize(
    ("lab", "families"),
    [("static", (4,)), ("static", (6,)), ("static", (4, 6)), ("bgp", (4, 6))],
    ids=["ipv4", "ipv6", "dual-stack", "dual-stack-bgp"],
    indirect=["lab"],
)
def test_service_range_then_local_service(clean: Lab, families: tuple[int, ...]) -> None:
    lab, router = clean, clean.routers["external-host"]
    topology = only(TOPOLOGY, families)
    clients = dict(zip((4, 6), CLIENT, strict=True))
    nodes = {f: [f"{LAN[f]}{n}" for n in (2, 3, 4)] for f in families}
    lab.write_settings(
        pod_cidrs=True, cluster={"source": "cluster.json", "service_cidrs": list(topology.service_cidrs)}
    )

    # 1. The range and the pods of every node.
    cluster = topology.cluster()
    lab.sync(cluster)
    program(lab)
    assert_table(router, expected(families))

    # 2. A service with one pod is reached through the range; no route is added for it.
    cluster.add_service(
        ServiceState(
            NGINX,
            tuple(CLUSTER_IPS[f] for f in families),
            (Port(80, 8080, "http", node_port=NODE_PORT),),
            type="NodePort",
        )
    )
    (pod,) = cluster.scale(NGINX, "kube-node-2")
    lab.sync(cluster)
    plan(lab, IN_SYNC)
    assert_table(router, expected(families))
    for f in families:
        answers = spread(lab.client, Target(CLUSTER_IPS[f], 80), 60)
        assert {a.pod for a in answers} == {pod.name}, answers
        assert {a.peer for a in answers} == set(nodes[f]), "every node lets the clients in, and the pod sees that node"
        url = f"http://{CLUSTER_IPS[f]}/" if f == 4 else f"http://[{CLUSTER_IPS[f]}]/"
        assert pod.name in lab.client.run("curl", "-sS", "--max-time", "30", url)

    # 3. Local: a host route to the node of the pod beside the range.
    cluster.change_service(NGINX, external_policy="Local")
    lab.sync(cluster)
    changes = program(lab)["routers"][0]["changes"]
    assert [(c["action"], c["prefix"], c["next_hops"]) for c in changes] == [
        ("create", f"{CLUSTER_IPS[f]}/{32 if f == 4 else 128}", [f"{LAN[f]}3"]) for f in families
    ]
    assert_table(router, expected(families, (3,)))
    for f in families:
        answers = spread(lab.client, Target(CLUSTER_IPS[f], 80), 30)
        assert {(a.pod, a.peer) for a in answers} == {(pod.name, f"{LAN[f]}3")}, answers
        # External traffic keeps the client's address; kube-proxy counts a ClusterIP as internal traffic.
        assert ask(lab.client, Target(f"{LAN[f]}3", NODE_PORT)).peer == clients[f]

    # 4. A second pod, and back to one.
    cluster.scale(NGINX, "kube-node-2", "kube-node-3")
    lab.sync(cluster)
    program(lab)
    assert_table(router, expected(families, (3, 4)))
    for f in families:
        answers = spread(lab.client, Target(CLUSTER_IPS[f], 80), 60)
        assert {a.peer for a in answers} == {f"{LAN[f]}3", f"{LAN[f]}4"}, answers
        assert {a.node for a in answers} == {"kube-node-2", "kube-node-3"}, answers
    cluster.scale(NGINX, "kube-node-2")
    lab.sync(cluster)
    program(lab)
    assert_table(router, expected(families, (3,)))

    # Cluster again: the host route goes, the service stays reachable.
    cluster.change_service(NGINX, external_policy="Cluster")
    lab.sync(cluster)
    program(lab)
    assert_table(router, expected(families))
    for f in families:
        assert {a.peer for a in spread(lab.client, Target(CLUSTER_IPS[f], 80), 60)} == set(nodes[f])

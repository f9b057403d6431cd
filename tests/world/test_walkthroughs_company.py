"""The company network: pods, services and DNS behind two routers, and a node that reboots without anyone noticing."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.world import lab as world
from tests.world.cluster import DRAIN_ANNOTATION, EXCLUDE_LABEL, Cluster
from tests.world.lab import CLIENT, DOMAIN, Lab, NodePlan, Topology
from tests.world.netns import wait_for
from tests.world.objects import Port, ServiceState
from tests.world.traffic import Load, LoadReport, Target, ask, spread, watching
from tests.world.walkthrough import IN_SYNC, assert_table, clear_routes, plan, program

pytestmark = [pytest.mark.world, pytest.mark.long]

TOPOLOGY = Topology(
    lan=("10.1.0.0/24", "fd00:10:1::/64"),
    routers={"r1": ("10.1.0.1", "fd00:10:1::1"), "r2": ("10.1.0.2", "fd00:10:1::2")},
    nodes={
        f"coreos-{n}": NodePlan((f"10.1.0.1{n}", f"fd00:10:1::1{n}"), (f"10.2.{n}.0/24", f"fd00:10:2:{n}::/64"))
        for n in (1, 2, 3)
    },
    service_cidrs=("10.100.0.0/16", "fd00:10:100::/112"),
    pod_cidrs=("10.2.0.0/16", "fd00:10:2::/48"),
)
MYSQL, DNS = "default/mysql", "kube-system/kube-dns"
MYSQL_IPS, DNS_IP = ("10.100.1.5", "fd00:10:100::105"), "10.100.0.10"
RANGES = dict(zip(TOPOLOGY.service_cidrs, ("10.1.0.1", "fd00:10:1::1"), strict=True))
POD_CIDRS = {
    cidr: [address]
    for plan in TOPOLOGY.nodes.values()
    for cidr, address in zip(plan.pod_cidrs, plan.addresses, strict=True)
}
WHOLE = {cidr: [f"{lan}{n}" for n in (1, 2, 3)] for cidr, lan in RANGES.items()} | POD_CIDRS
WITHOUT_COREOS_1 = {cidr: [f"{lan}{n}" for n in (2, 3)] for cidr, lan in RANGES.items()} | POD_CIDRS


@pytest.fixture(scope="module", params=["static", "bgp"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if reason := world.missing():
        pytest.skip(reason)
    with Lab(TOPOLOGY, tmp_path_factory.mktemp("lab"), request.param) as lab:
        lab.serve_client(["forward:53"], {"origin": DOMAIN, "resolver": DNS_IP})
        yield lab


@pytest.fixture
def company(lab: Lab) -> Iterator[tuple[Lab, Cluster]]:
    cluster = TOPOLOGY.cluster()
    cluster.add_service(ServiceState(MYSQL, MYSQL_IPS, (Port(3306, 3306, "mysql"),)))
    dns_ports = (Port(53, 53, "dns", "UDP"), Port(53, 53, "dns-tcp", "TCP"))
    cluster.add_service(ServiceState(DNS, (DNS_IP,), dns_ports))
    cluster.scale(MYSQL, "coreos-1", "coreos-2", "coreos-3")
    cluster.scale(DNS, "coreos-1", "coreos-2")
    lab.write_settings(pod_cidrs=True)
    lab.sync(cluster)
    yield lab, cluster
    lab.restore(TOPOLOGY.cluster())
    clear_routes(lab)


def assert_tables(lab: Lab, expected: dict[str, list[str]]) -> None:
    for router in lab.routers.values():
        assert_table(router, expected)


def mysql(address: str) -> Target:
    return Target(address, 3306, speaks_first=True)


def dig(lab: Lab, *arguments: str) -> list[str]:
    return lab.client.run("dig", "+short", "+tries=1", "+time=30", *arguments).split("\n")[:-1]


def test_pods_services_and_names_are_reached_from_the_company(company: tuple[Lab, Cluster]) -> None:
    lab, cluster = company
    # 1. Pod CIDRs: one single-hop route a node; a pod is reached by its own address and sees the client's.
    lab.write_settings(pod_cidrs=True, services={"aggregate": False})
    program(lab)
    assert_tables(lab, POD_CIDRS)
    for pod in cluster.pods_of(MYSQL):
        for address, client in zip(pod.addresses, CLIENT, strict=True):
            assert ask(lab.client, mysql(address)) == (pod.name, pod.node, client)

    # 2. The service range; mysql answers on its native port, through every node.
    lab.write_settings(pod_cidrs=True)
    program(lab)
    assert_tables(lab, WHOLE)
    for address, cidr in zip(MYSQL_IPS, RANGES, strict=True):
        answers = spread(lab.client, mysql(address), 90)
        assert {a.peer for a in answers} == set(WHOLE[cidr]), Counter(a.peer for a in answers)
        assert {a.node for a in answers} == set(cluster.nodes), Counter(a.node for a in answers)

    # 4. Names: from the cluster's DNS, and from the company's, which delegates the domain to it.
    name = f"mysql.default.svc.{DOMAIN}"
    assert dig(lab, f"@{DNS_IP}", name, "A") == [MYSQL_IPS[0]]
    assert dig(lab, f"@{DNS_IP}", name, "AAAA") == [MYSQL_IPS[1]]
    assert dig(lab, f"@{DNS_IP}", "+tcp", name, "A") == [MYSQL_IPS[0]]
    assert dig(lab, f"@{CLIENT[0]}", name, "A") == [MYSQL_IPS[0]]
    assert "status: NXDOMAIN" in lab.client.run("dig", f"@{DNS_IP}", f"nobody.default.svc.{DOMAIN}", "A")
    texts = [dig(lab, f"@{DNS_IP}", f"whoami.{DOMAIN}", "TXT")[0] for _ in range(24)]
    seen = [json.loads(text.removeprefix('"').removesuffix('"').replace('\\"', '"')) for text in texts]
    assert {item["pod"] for item in seen} == {pod.name for pod in cluster.pods_of(DNS)}, seen
    assert len({item["peer"] for item in seen}) > 1, "successive answers come through different nodes"


@pytest.mark.parametrize("mark", [DRAIN_ANNOTATION, EXCLUDE_LABEL])
def test_a_node_reboots_and_no_new_connection_fails(company: tuple[Lab, Cluster], mark: str) -> None:
    lab, cluster = company
    lab.write_settings(pod_cidrs=True, nodes={"hold_up_s": 600})  # far more than passes until "well again"
    program(lab)
    assert_tables(lab, WHOLE)
    set_mark = cluster.annotate if mark == DRAIN_ANNOTATION else cluster.label

    routers = [router.netns for router in lab.routers.values()]
    with ExitStack() as stack:
        watches = stack.enter_context(watching(*routers))
        loads = [stack.enter_context(Load(lab.client, mysql(address))) for address in MYSQL_IPS]

        def await_more(connections: int) -> list[LoadReport]:
            for load in loads:
                load.await_more(connections)
            return [load.report() for load in loads]

        await_more(300)

        # 3. coreos-1 is marked, and leaves the routes before anything else happens to it.
        set_mark("coreos-1", mark, "true")
        lab.sync(cluster)
        changes = [change for router in program(lab)["routers"] for change in router["changes"]]
        leaving = [
            ("update", cidr, [address])
            for cidr, address in zip(RANGES, TOPOLOGY.nodes["coreos-1"].addresses, strict=True)
        ]
        assert [(c["action"], c["prefix"], c["remove"]) for c in changes] == leaving * len(routers)
        assert_tables(lab, WITHOUT_COREOS_1)
        withdrawn = await_more(1)

        # Its pods end while others take over, then it reboots: cable dead, pods gone, rules forgotten, not Ready.
        cluster.cordon("coreos-1")
        cluster.evict("coreos-1")
        lab.sync(cluster)
        await_more(100)
        cluster.remove_pods("coreos-1")
        cluster.set_ready("coreos-1", "Unknown", since_s=0)
        lab.sync(cluster)
        lab.power_off("coreos-1")
        await_more(300)
        plan(lab, IN_SYNC)
        cluster.set_ready("coreos-1", "Unknown", since_s=120)
        lab.sync(cluster)
        plan(lab, IN_SYNC)
        assert_tables(lab, WITHOUT_COREOS_1)

        # It is back and unmarked, but not for long enough.
        lab.power_on("coreos-1", cluster)
        cluster.set_ready("coreos-1", since_s=0)
        cluster.cordon("coreos-1", on=False)
        set_mark("coreos-1", mark, None)
        cluster.scale(MYSQL, "coreos-1", "coreos-2", "coreos-3")
        lab.sync(cluster)
        plan(lab, IN_SYNC)
        away = await_more(1)

        # It is well again.
        cluster.set_ready("coreos-1", since_s=601)
        lab.sync(cluster)
        program(lab)
        assert_tables(lab, WHOLE)
        await_more(300)

    moments = [moment for watch in watches for moment in watch.moments]
    assert moments, "the routers' kernels told of the changes"
    for number, load in enumerate(loads):
        report, coreos_1 = load.report(), TOPOLOGY.nodes["coreos-1"].addresses[number]
        print(f"{load.target.address}: {report}")
        while_away = away[number].entered - withdrawn[number].entered
        survivors = {TOPOLOGY.nodes[name].addresses[number] for name in ("coreos-2", "coreos-3")}
        assert set(while_away) == survivors, f"new connections went around coreos-1 while it was away: {while_away}"
        assert report.entered[coreos_1] > away[number].entered[coreos_1], f"coreos-1 takes part again\n{report}"
        assert report.new_failures(moments) == [], str(report)
        assert len(report.failures) <= len(moments), str(report)
        assert report.attempts >= 1000, str(report)
        assert report.rate >= 100, f"the load was too light to prove anything\n{report}"


def test_a_lost_node_is_noticed_by_users_until_it_is_withdrawn(company: tuple[Lab, Cluster]) -> None:
    """The counterpart of the planned reboot: it shows that the load notices a dead next hop."""
    lab, cluster = company
    program(lab)
    with Load(lab.client, mysql(MYSQL_IPS[0])) as load:
        load.await_more(100)
        before = load.report()
        lab.cut("coreos-1")
        load.await_failure()
        assert before.failures == (), str(before)

        # Dead for longer than the hold-down: its endpoints are gone, its hop is withdrawn, everybody is served again.
        cluster.set_ready("coreos-1", "Unknown", since_s=60)
        lab.sync(cluster)
        program(lab)
        assert_tables(lab, WITHOUT_COREOS_1)
        load.await_more(3)
        wait_for(lambda: _served(load), "three hundred connections in a row are served", timeout=60)


def _served(load: Load) -> bool:
    """Whether the next 300 connections all work: through a dead next hop a third of them would fail."""
    before = len(load.report().failures)
    load.await_more(300)
    return len(load.report().failures) == before

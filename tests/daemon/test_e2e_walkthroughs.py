"""The published walkthroughs with nothing made by hand: kubectl changes a Service, and packets arrive.

The same steps as tests/world/test_walkthroughs_*.py take with hand-written rules and one run of the command after
another; here kube-proxy makes the rules and the daemon the routes.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.world import live as world
from tests.world import test_walkthroughs_bank as bank
from tests.world import test_walkthroughs_range_and_local as range_and_local
from tests.world.daemon import Daemon, merged
from tests.world.kube.documents import service, service_cidr
from tests.world.lab import CLIENT
from tests.world.live import Live
from tests.world.netns import wait_for
from tests.world.traffic import Target, spread
from tests.world.walkthrough import assert_table, only

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.long]


def await_table(live: Live, expected: Mapping[str, Sequence[str]]) -> None:
    """Returns when the router's table is the published one."""

    def right() -> bool:
        try:
            assert_table(live.router, expected)
        except AssertionError:
            return False
        return True

    with contextlib.suppress(TimeoutError):
        wait_for(right, "the published table", timeout=60, interval=0.05)
    assert_table(live.router, expected)


def kubectl_apply(live: Live, document: dict[str, Any]) -> None:
    path = live.directory / "manifest.yaml"
    path.write_text(yaml.safe_dump(document))
    live.api.kubectl("apply", "-f", str(path))


def kubectl_patch(live: Live, key: str, **spec: Any) -> None:
    namespace, _, name = key.partition("/")
    live.api.kubectl("patch", "service", name, "-n", namespace, "-p", json.dumps({"spec": spec}))


def await_pods(live: Live, address: str, pods: set[str], port: int = 80) -> None:
    """Returns when curl from outside has been answered by exactly those pods."""

    def answered() -> bool:
        with contextlib.suppress(OSError):
            return {answer.pod for answer in spread(live.client, Target(address, port), 20)} == pods
        return False

    wait_for(answered, f"{address} is answered by {pods}", timeout=60, interval=0.05)


def entries(live: Live, address: str) -> set[str]:
    """Through which nodes new connections enter."""
    return {answer.peer for answer in spread(live.client, Target(address, 80), 90)}


@pytest.fixture(scope="module")
def bank_live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(bank.TOPOLOGY, tmp_path_factory.mktemp("bank")) as live:
        yield live


def test_the_bank(bank_live: Live) -> None:
    live = bank_live
    base = {"cluster": {"service_cidrs": ["198.19.32.0/20"]}}
    live.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "yaobank"}})
    four: dict[str, Any] = {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}
    kubectl_apply(live, service(bank.CUSTOMER, type="NodePort", clusterIP=bank.CLUSTER_IP, **four))
    pod = live.add_pod(bank.CUSTOMER, "node2")
    with Daemon(live, base) as daemon:
        # 1. The service range.
        await_table(live, bank.RANGE)
        await_pods(live, bank.CLUSTER_IP, {pod.name})
        assert pod.name in live.client.run("curl", "-sS", "--max-time", "5", f"http://{bank.CLUSTER_IP}/")
        assert entries(live, bank.CLUSTER_IP) == set(bank.NODES)

        # 2. Local, with the pod on node 2.
        kubectl_patch(live, bank.CUSTOMER, externalTrafficPolicy="Local")
        await_table(live, bank.RANGE | bank.BEHIND_NODE_2)
        assert entries(live, bank.CLUSTER_IP) == {"198.19.0.2"}
        assert daemon.stop() == 0

    # 3. The bank's external range is allowed: other settings, and the daemon starts again.
    allowed = merged(base, {"services": {"external_ips": {"cidrs": ["198.19.48.0/20"]}}})
    with Daemon(live, allowed) as daemon:
        await_table(live, bank.RANGE | bank.BEHIND_NODE_2 | bank.EXTERNAL_RANGE)

        # 4. An address of that range on the service: to its node alone, and the client's address is kept.
        kubectl_patch(live, bank.CUSTOMER, externalIPs=[bank.EXTERNAL_IP])
        behind = {bank.EXTERNAL_IP: ["198.19.0.2"]}
        await_table(live, bank.RANGE | bank.BEHIND_NODE_2 | bank.EXTERNAL_RANGE | behind)
        await_pods(live, bank.EXTERNAL_IP, {pod.name})
        assert {a.peer for a in spread(live.client, Target(bank.EXTERNAL_IP, 80), 30)} == {CLIENT[0]}

        # The pod moves: both host routes follow, and so do packets.
        (moved,) = live.scale(bank.CUSTOMER, "node3")
        behind = {bank.CLUSTER_IP: ["198.19.0.3"], bank.EXTERNAL_IP: ["198.19.0.3"]}
        await_table(live, bank.RANGE | bank.EXTERNAL_RANGE | behind)
        for address in (bank.EXTERNAL_IP, bank.CLUSTER_IP):
            await_pods(live, address, {moved.name})

        # Cluster again: through the ranges, by every node, which the pod then sees instead of the client.
        kubectl_patch(live, bank.CUSTOMER, externalTrafficPolicy="Cluster")
        await_table(live, bank.RANGE | bank.EXTERNAL_RANGE)
        await_pods(live, bank.EXTERNAL_IP, {moved.name})
        wait_for(lambda: entries(live, bank.EXTERNAL_IP) == set(bank.NODES), "every node lets clients in", 15)
        assert daemon.stop() == 0


@pytest.fixture(scope="module")
def published_live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    # The API server keeps the first address of its own range for itself, and the walkthrough uses that of 10.96.0.0/12:
    # so the published range is a further one of the cluster.
    own = ("10.43.0.0/16", "fd43::/108")
    directory: Path = tmp_path_factory.mktemp("published")
    with Live(range_and_local.TOPOLOGY, directory, service_cidrs=own) as live:
        live.api.create(service_cidr("published", *live.topology.service_cidrs))
        path = "/apis/networking.k8s.io/v1/servicecidrs/published"
        wait_for(lambda: live.api.get(path).get("status"), "the further range is Ready")
        yield live


@pytest.mark.parametrize("families", [(4,), (6,), (4, 6)], ids=["ipv4", "ipv6", "dual-stack"])
def test_service_range_then_local_service(published_live: Live, families: tuple[int, ...]) -> None:
    live, expected = published_live, range_and_local.expected
    ips = {family: range_and_local.CLUSTER_IPS[family] for family in families}
    nodes = {f: [f"{range_and_local.LAN[f]}{n}" for n in (2, 3, 4)] for f in families}
    cidrs = only(range_and_local.TOPOLOGY, families).service_cidrs
    policy = "RequireDualStack" if len(families) == 2 else "SingleStack"
    spec: dict[str, Any] = {
        "type": "NodePort",
        "clusterIP": next(iter(ips.values())),
        "clusterIPs": list(ips.values()),
        "ipFamilyPolicy": policy,
        "ipFamilies": [f"IPv{family}" for family in families],
    }
    settings = {"cluster": {"service_cidrs": list(cidrs)}, "pod_cidrs": True}
    try:
        with Daemon(live, settings) as daemon:
            # 1. The range and the pods of every node; a pod CIDR of a family without a range is a route as well.
            table = {**expected(families), **{p: h for p, h in expected((4, 6)).items() if "192" in p.split("/")[0]}}
            await_table(live, table)

            # 2. A service with one pod is reached through the range; no route is added for it.
            kubectl_apply(live, service(range_and_local.NGINX, **spec))
            pod = live.add_pod(range_and_local.NGINX, "kube-node-2")
            for family, ip in ips.items():
                await_pods(live, ip, {pod.name})
                assert entries(live, ip) == set(nodes[family])
            await_table(live, table)

            # 3. Local: a host route to the node of the pod beside the range.
            kubectl_patch(live, range_and_local.NGINX, externalTrafficPolicy="Local")
            await_table(live, table | expected(families, (3,)))
            for family, ip in ips.items():
                await_pods(live, ip, {pod.name})
                assert entries(live, ip) == {f"{range_and_local.LAN[family]}3"}

            # 4. A second pod, and back to one.
            live.scale(range_and_local.NGINX, "kube-node-2", "kube-node-3")
            await_table(live, table | expected(families, (3, 4)))
            for ip in ips.values():
                await_pods(live, ip, {pod.name for pod in live.pods_of(range_and_local.NGINX)})
            live.scale(range_and_local.NGINX, "kube-node-2")
            await_table(live, table | expected(families, (3,)))

            # Cluster again: the host route goes, the service stays reachable.
            kubectl_patch(live, range_and_local.NGINX, externalTrafficPolicy="Cluster")
            await_table(live, table)
            for family, ip in ips.items():
                await_pods(live, ip, {pod.name})
                assert entries(live, ip) == set(nodes[family])
            assert daemon.stop() == 0
    finally:
        for pod in list(live.pods.values()):
            live.remove_pod(pod)
        live.delete_service(range_and_local.NGINX)
        live.clear_routes()

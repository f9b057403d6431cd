"""kube-proxy's configuration as kubeadm and others write it, and what it means for traffic from outside."""

from typing import Any

import pytest
import yaml

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.doctor.kube_proxy import (
    ProxyConfiguration,
    check_local_policies,
    check_loops,
    check_masquerade,
    read_configuration,
)
from k8s_ecmp.model import ClusterState, DesiredRoute, Node, Prefix, Service
from k8s_ecmp.settings import ServiceSettings, Settings

KIND = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
SETTINGS = Settings(owner="prod", tag=4201)
NODES = [Node(name="n1", pod_cidrs=(Prefix.parse("10.244.1.0/24"),))]


def read(text: str, key: str = "config.conf") -> ProxyConfiguration:
    found = read_configuration({"kubeconfig.conf": "kind: Config", key: KIND + text})
    assert found is not None
    return found


def masquerade(text: str, *families: int, services: ServiceSettings | None = None) -> tuple[str, str]:
    settings = Settings(owner="prod", tag=4201, services=services or ServiceSettings())
    (finding,) = check_masquerade(read(text), settings, families or (4,), NODES)
    return finding.level, finding.saw


def test_what_kubeadm_writes() -> None:
    text = """
bindAddress: 0.0.0.0
clusterCIDR: 10.244.0.0/16,fd00:10:244::/48
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s}
ipvs: {scheduler: ""}
mode: ""
"""
    found = read(text)
    assert found.mode == "iptables"
    assert [str(cidr) for cidr in found.cluster_cidrs] == ["10.244.0.0/16", "fd00:10:244::/48"]
    assert masquerade(text, 4, 6) == (
        "ok",
        "kube-proxy runs in mode iptables and masquerades traffic from outside "
        "(clusterCIDR 10.244.0.0/16, fd00:10:244::/48)",
    )


@pytest.mark.parametrize(
    ("text", "families", "blind"),
    [
        ("clusterCIDR: 10.244.0.0/16", (4,), None),
        ("clusterCIDR: 10.244.0.0/16", (4, 6), "IPv6"),
        ("clusterCIDR: ''", (4, 6), "IPv4 and IPv6"),
        ("mode: ipvs", (4,), "IPv4"),
        ("iptables: {masqueradeAll: true}", (4, 6), None),
        ("mode: nftables\nnftables: {masqueradeAll: true}", (4, 6), None),
        ("detectLocalMode: NodeCIDR", (4,), None),
        ("detectLocalMode: NodeCIDR", (4, 6), "IPv6"),
        ("detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}", (4, 6), None),
        ("detectLocalMode: BridgeInterface", (4,), "IPv4"),
        ("detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: cali}", (4, 6), None),
        ("detectLocalMode: InterfaceNamePrefix\nclusterCIDR: 10.244.0.0/16", (4,), "IPv4"),
    ],
)
def test_who_masquerades(text: str, families: tuple[int, ...], blind: str | None) -> None:
    level, saw = masquerade(text, *families)
    assert level == ("problem" if blind else "ok")
    if blind:
        assert f"does not masquerade {blind} from outside" in saw


def test_it_does_not_matter_where_cluster_ips_are_not_routed() -> None:
    level, _ = masquerade("mode: ipvs", services=ServiceSettings(aggregate=False, cluster_ips="none"))
    assert level == "ok"
    assert masquerade("mode: ipvs", services=ServiceSettings(aggregate=False, cluster_ips="local"))[0] == "problem"


@pytest.mark.parametrize("values", [{}, {"config.conf": "a: [", "x": 5}, {"config": "kind: Other"}, {"config": "text"}])
def test_no_configuration(values: dict[str, Any]) -> None:
    assert read_configuration(values) is None


@pytest.mark.parametrize("text", ["clusterCIDR: 5", "clusterCIDR: nowhere", "iptables: yes please", "detectLocal: [1]"])
def test_a_broken_one_is_not_taken_for_a_good_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"not"):
        read_configuration({"config.conf": KIND + text})


def test_any_key_will_do() -> None:
    assert read("mode: nftables", "kube-proxy-config").mode == "nftables"
    assert (
        read_configuration({"config": yaml.safe_dump({"kind": "KubeProxyConfiguration", "mode": "ipvs"})}) is not None
    )


def service(name: str, **values: Any) -> Service:
    return Service(namespace="shop", name=name, cluster_ips=("10.96.0.5",), **values)


def test_promises_that_kube_proxy_does_not_keep() -> None:
    proxy = ProxyConfiguration("iptables")
    calm = ClusterState(
        services=(
            service("a"),
            service("b", external_local=True, internal_local=True),
            service("c", internal_local=True),
        )
    )
    assert check_local_policies(proxy, calm, SETTINGS).level == "ok"
    cluster = ClusterState(services=(*calm.services, *(service(f"x{n}", external_local=True) for n in range(7))))
    found = check_local_policies(proxy, cluster, SETTINGS)
    assert found.level == "warning"
    assert found.saw.endswith("shop/x0, shop/x1, shop/x2, shop/x3, shop/x4 and 2 more")
    assert check_local_policies(None, cluster, SETTINGS).level == "unknown"
    without = Settings(owner="o", tag=5, services=ServiceSettings(aggregate=False, cluster_ips="none"))
    assert check_local_policies(proxy, cluster, without).level == "ok"


def desired(*routes: tuple[str, str, str]) -> Desired:
    made = tuple(DesiredRoute(Prefix.parse(prefix), kind, (), (), (source,)) for prefix, kind, source in routes)  # type: ignore[arg-type]
    return Desired(made, {}, {}, {}, ())


AGGREGATE = ("10.96.0.0/12", "aggregate", "service CIDR (ServiceCIDR kubernetes)")


def test_loops() -> None:
    nftables, iptables = ProxyConfiguration("nftables"), ProxyConfiguration("iptables")
    assert check_loops(iptables, desired(("10.96.0.1/32", "host", "Service x"))).level == "ok"
    assert check_loops(nftables, desired(AGGREGATE)).level == "ok"
    for found in (
        check_loops(iptables, desired(AGGREGATE)),
        check_loops(None, desired(AGGREGATE)),
        check_loops(nftables, desired(AGGREGATE, ("198.51.100.0/28", "aggregate", "external_ips.cidrs"))),
    ):
        assert found.level == "unknown"
        assert "10.96.0.0/12" in found.saw
        assert "docs/guides/operations.md" in (found.remedy or "")

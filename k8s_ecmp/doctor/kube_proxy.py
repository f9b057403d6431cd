"""kube-proxy's configuration, and what it does to packets that come from outside to a cluster IP.

Sources: KubeProxyConfiguration v1alpha1; getLocalDetectors of kube-proxy (cmd/kube-proxy/app/server_linux.go) for when
it can tell pods' traffic from others'; pkg/proxy/nftables/proxier.go for the chain cluster-ips-check.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.finding import Finding, few
from k8s_ecmp.model import ClusterState, Node, Prefix, Service
from k8s_ecmp.settings import Settings

NAMESPACE, NAME = "kube-system", "kube-proxy"
_KIND = "KubeProxyConfiguration"
_DEFAULT_MODE = "iptables"
_OPERATIONS = "docs/guides/operations.md"


class ProxyConfiguration(NamedTuple):
    """What of a KubeProxyConfiguration matters here. `detect` is detectLocalMode, "ClusterCIDR" where none is set."""

    mode: str
    cluster_cidrs: tuple[Prefix, ...] = ()
    detect: str = "ClusterCIDR"
    interface: str = ""
    masquerade_all: bool = False

    def detects(self, family: int, nodes: Sequence[Node]) -> bool:
        """Whether it can tell pods' own traffic from that of others in a family, and so masquerades the latter."""
        if self.detect == "NodeCIDR":
            return all(any(cidr.family == family for cidr in node.pod_cidrs) for node in nodes)
        if self.detect == "ClusterCIDR":
            return any(cidr.family == family for cidr in self.cluster_cidrs)
        return bool(self.interface)


def read_configuration(values: Mapping[str, Any]) -> ProxyConfiguration | None:
    """The configuration in a ConfigMap's data, under whatever key; None where there is none that can be read.

    Raises:
        ValueError: one is there, and a value in it has not the type that it must have.
    """
    for text in values.values():
        try:
            document = yaml.safe_load(text) if isinstance(text, str) else None
        except yaml.YAMLError:
            continue
        if isinstance(document, dict) and document.get("kind") == _KIND:
            return _read(document)
    return None


def _read(document: Mapping[str, Any]) -> ProxyConfiguration:
    try:
        cidrs = [part.strip() for part in (document.get("clusterCIDR") or "").split(",") if part.strip()]
        detection = document.get("detectLocal") or {}
        backends = [document.get(name) or {} for name in ("iptables", "nftables", "ipvs")]
        return ProxyConfiguration(
            mode=document.get("mode") or _DEFAULT_MODE,
            cluster_cidrs=tuple(Prefix.parse(cidr, strict=False) for cidr in cidrs),
            detect=document.get("detectLocalMode") or "ClusterCIDR",
            interface=detection.get("bridgeInterface") or detection.get("interfaceNamePrefix") or "",
            masquerade_all=any(backend.get("masqueradeAll") is True for backend in backends),
        )
    except AttributeError as error:
        raise ValueError("a value of it has not the type that it must have") from error


def check_masquerade(
    found: ProxyConfiguration, settings: Settings, families: Collection[int], nodes: Sequence[Node]
) -> Iterator[Finding]:
    """Whether answers of pods on other nodes come back through the node that the packet entered.

    Args:
        found: kube-proxy's configuration.
        settings: whether cluster IPs are routed at all.
        families: of the service CIDRs.
        nodes: all of them.
    """
    how = "masqueradeAll" if found.masquerade_all else f"detectLocalMode {found.detect}"
    if found.detect == "ClusterCIDR" and not found.masquerade_all:
        how = f"clusterCIDR {', '.join(map(str, found.cluster_cidrs)) or 'empty'}"
    mode = f"kube-proxy runs in mode {found.mode}"
    if not settings.services.aggregate and settings.services.cluster_ips == "none":
        yield Finding("kube-proxy", "ok", f"{mode}; cluster IPs are not routed to it")
        return
    blind = [family for family in sorted(families) if not (found.masquerade_all or found.detects(family, nodes))]
    if not blind:
        yield Finding("kube-proxy", "ok", f"{mode} and masquerades traffic from outside ({how})")
        return
    yield Finding(
        "kube-proxy",
        "problem",
        f"{mode} and does not masquerade {' and '.join(f'IPv{family}' for family in blind)} from outside ({how})",
        "replies of endpoints on other nodes bypass the node that the packet entered, so that most connections to a "
        "cluster IP from outside the cluster hang (Calico #2507)",
        f"set clusterCIDR (a prefix of each family), detectLocalMode or masqueradeAll in ConfigMap {NAMESPACE}/{NAME}, "
        "and restart kube-proxy",
    )


def check_local_policies(found: ProxyConfiguration | None, cluster: ClusterState, settings: Settings) -> Finding:
    """Services whose externalTrafficPolicy Local promises for the cluster IP what kube-proxy does not keep."""
    if settings.services.cluster_ips == "none" and not settings.services.aggregate:
        return Finding("traffic-policy", "ok", "cluster IPs are not routed")
    services = sorted(service.key for service in cluster.services if _promises(service))
    if not services:
        return Finding("traffic-policy", "ok", "no service relies on externalTrafficPolicy Local for its cluster IP")
    saw = f"externalTrafficPolicy Local without internalTrafficPolicy Local: {few(services)}"
    why = (
        "to kube-proxy traffic to a cluster IP is internal wherever it comes from: it goes on to endpoints on other "
        "nodes, and the client's address is masqueraded (kubernetes #67202, #79866, #85306); external and "
        "load-balancer IPs are not concerned"
    )
    remedy = "set internalTrafficPolicy: Local too, or let clients use an external or load-balancer IP"
    if found is None:
        return Finding(
            "traffic-policy", "unknown", f"{saw}; whether it matters depends on the service proxy", why, remedy
        )
    return Finding("traffic-policy", "warning", saw, why, remedy)


def _promises(service: Service) -> bool:
    return service.external_local and not service.internal_local and bool(service.cluster_ips)


def check_loops(found: ProxyConfiguration | None, desired: Desired) -> Finding:
    """Whether a packet to an address that nobody uses bounces between node and router until its TTL ends."""
    aggregates = [route for route in desired.routes if route.kind == "aggregate"]
    ranges = few([str(route.prefix) for route in aggregates])
    if not aggregates:
        return Finding("loops", "ok", "no whole range is routed to the nodes")
    outside = [route for route in aggregates if not any("service CIDR" in source for source in route.sources)]
    if found is not None and found.mode == "nftables" and not outside:
        return Finding("loops", "ok", f"kube-proxy drops packets to cluster IPs that nobody uses (nftables; {ranges})")
    return Finding(
        "loops",
        "unknown",
        f"{ranges} is routed to the nodes as a whole; whether they drop what nobody uses cannot be seen from here",
        "a packet to an unused address of it goes to a node, back to its gateway and to a node again until its TTL "
        "ends: a scan of the range becomes many times its traffic",
        f"let the nodes drop in the forward chain what is still addressed to {ranges}: the rule is in {_OPERATIONS}",
    )

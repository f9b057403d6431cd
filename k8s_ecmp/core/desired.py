"""Cluster state -> the routes that every router shall have, before its own selection of next hops."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from k8s_ecmp.core.addresses import collect_claims, ranges
from k8s_ecmp.core.eligibility import Health, NodeVerdict, judge_nodes
from k8s_ecmp.core.endpoints import NO_ENDPOINTS, Carriers, Key, index_endpoints
from k8s_ecmp.core.placing import Ask, Hops, Placed, Unserved, View, place
from k8s_ecmp.errors import ServiceCIDRUnknown
from k8s_ecmp.model import ClusterState, DesiredRoute, Prefix, ServiceCIDR, Skipped, sorted_addresses
from k8s_ecmp.settings import ServiceSettings, Settings


@dataclass(frozen=True)
class Watched:
    """What only somebody who has watched the cluster for a while knows: nothing, for a run that looks once.

    `health` by node; `young` are nodes by service and family whose endpoints there do not count yet.
    """

    health: Mapping[str, Health] = field(default_factory=dict)
    young: Mapping[Key, AbstractSet[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Desired:
    """The decision for the whole cluster, or for some prefixes of it.

    `routes` are sorted by family, address and length; `bases` says per route what makes its nodes next hops.
    """

    routes: tuple[DesiredRoute, ...]
    unserved: Mapping[Prefix, Unserved]
    bases: Mapping[Prefix, str]
    nodes: Mapping[str, NodeVerdict]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def eligible(self) -> tuple[str, ...]:
        """Names of the eligible nodes, sorted."""
        return tuple(name for name, verdict in self.nodes.items() if verdict.standing == "eligible")


def decide(cluster: ClusterState, settings: Settings, now: datetime, watched: Watched | None = None) -> Desired:
    """The full build. The order of the cluster's objects changes nothing.

    Args:
        cluster: what was observed.
        settings: what is asked for.
        now: the time that the ages of node conditions are counted to.
        watched: what a daemon knows beyond the objects.

    Raises:
        ServiceCIDRUnknown: cluster IPs are asked for and no service CIDR is known.
    """
    watched = watched or Watched()
    require_service_cidrs(settings.services, cluster.service_cidrs, cluster.source)
    verdicts, node_skips = judge_nodes(cluster.nodes, settings.nodes, now, cluster.drains, watched.health)
    claims, claim_skips = collect_claims(cluster.services, settings.services, cluster.service_cidrs)
    endpoints = index_endpoints(cluster.slices, watched.young)
    aggregates = aggregate_sources(settings.services, cluster.service_cidrs)
    pods = _pod_cidrs(cluster, verdicts) if settings.pod_cidrs else {}
    view = View(
        settings.services,
        verdicts,
        {4: _everyone(verdicts, 4), 6: _everyone(verdicts, 6)},
        {4: Carriers.of(verdicts, 4), 6: Carriers.of(verdicts, 6)},
        lambda key: endpoints.get(key, NO_ENDPOINTS),
    )
    view.aggregates = tuple(prefix for prefix in aggregates if view.everyone[prefix.family].nodes)
    placed: dict[Prefix, Placed] = {
        prefix: place(prefix, Ask(aggregates.get(prefix, ()), claims.get(prefix, ()), pods.get(prefix, ())), view)
        for prefix in {**aggregates, **claims, **pods}
    }
    noted = (skip for found in placed.values() for skip in found.skipped)
    return Desired(
        routes=tuple(placed[prefix].route for prefix in sorted(placed) if placed[prefix].route),  # type: ignore[misc]
        unserved={prefix: found.unserved for prefix, found in placed.items() if found.unserved is not None},
        bases={prefix: found.basis for prefix, found in placed.items() if found.basis},
        nodes=verdicts,
        skipped=tuple(sorted({*cluster.skipped, *node_skips, *claim_skips, *noted})),
        warnings=(*cluster.warnings, *eligibility_warnings(verdicts)),
    )


def require_service_cidrs(settings: ServiceSettings, known: tuple[ServiceCIDR, ...], source: str) -> None:
    """Refuses to decide without the service CIDRs where cluster IPs are asked for.

    Raises:
        ServiceCIDRUnknown: none is known.
    """
    if (settings.aggregate or settings.cluster_ips != "none") and not known:
        raise ServiceCIDRUnknown(
            f"no service CIDR is known from {source or 'the cluster'}",
            remedy="set cluster.service_cidrs, for example [10.96.0.0/12], or add ServiceCIDR objects to the source; "
            "with services.aggregate: false and services.cluster_ips: none it is not needed",
        )


def aggregate_sources(
    settings: ServiceSettings, service_cidrs: tuple[ServiceCIDR, ...]
) -> dict[Prefix, tuple[str, ...]]:
    """Prefix -> the words for it, of every aggregate that is asked for (rule S5)."""
    wanted: dict[Prefix, list[str]] = {}
    if settings.aggregate:
        for cidr in service_cidrs:
            wanted.setdefault(cidr.prefix, []).append(f"service CIDR ({cidr.origin})")
    for section, name in (
        (settings.external_ips, "external-IP range"),
        (settings.load_balancer_ips, "load-balancer range"),
    ):
        if section.aggregate:
            for prefix in ranges(section):
                wanted.setdefault(prefix, []).append(name)
    return {prefix: tuple(sources) for prefix, sources in wanted.items()}


def eligibility_warnings(verdicts: Mapping[str, NodeVerdict]) -> tuple[str, ...]:
    """A warning where no node is eligible."""
    if any(verdict.standing == "eligible" for verdict in verdicts.values()):
        return ()
    return (f"no node is eligible ({len(verdicts)} seen); see `k8s-ecmp why` for each one's reason",)


def _everyone(verdicts: Mapping[str, NodeVerdict], family: int) -> Hops:
    found = {
        name: addresses
        for name, verdict in verdicts.items()
        if verdict.standing == "eligible" and (addresses := verdict.address_of(family))
    }
    return Hops(tuple(sorted(found)), sorted_addresses(address for some in found.values() for address in some))


def _pod_cidrs(cluster: ClusterState, verdicts: Mapping[str, NodeVerdict]) -> dict[Prefix, list[str]]:
    found: dict[Prefix, list[str]] = {}
    for node in sorted(cluster.nodes, key=lambda n: n.name):
        if node.name in verdicts:
            for prefix in node.pod_cidrs:
                found.setdefault(prefix, []).append(node.name)
    return found

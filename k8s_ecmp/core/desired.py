"""Cluster state -> the routes that every router shall have, before its own selection of next hops."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from k8s_ecmp.core.addresses import Claim, collect_claims, ranges
from k8s_ecmp.core.eligibility import NodeVerdict, judge_nodes
from k8s_ecmp.core.endpoints import NO_ENDPOINTS, ServiceEndpoints, index_endpoints, local_nodes
from k8s_ecmp.errors import ServiceCIDRUnknown
from k8s_ecmp.model import ClusterState, DesiredRoute, Prefix, RouteKind, Skipped, sorted_addresses
from k8s_ecmp.settings import Settings


class Unserved(msgspec.Struct, frozen=True):
    """A prefix that somebody asks for and that has no next hop.

    `wanted`: service and settings still want it, it only lost its nodes; its routes are not withdrawn without a
    question (guard "last-next-hop"). Otherwise its service has no usable endpoint and the route goes (rule S6).
    """

    wanted: bool
    reason: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Desired:
    """The decision for the whole cluster.

    `routes` are sorted by family, address and length; `bases` says per host route what makes its nodes next hops.
    """

    routes: tuple[DesiredRoute, ...]
    unserved: Mapping[Prefix, Unserved]
    bases: Mapping[Prefix, str]
    nodes: Mapping[str, NodeVerdict]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...] = ()

    @property
    def eligible(self) -> tuple[str, ...]:
        """Names of the eligible nodes, sorted."""
        return tuple(name for name, verdict in self.nodes.items() if verdict.standing == "eligible")


def decide(cluster: ClusterState, settings: Settings, now: datetime) -> Desired:
    """The full build. The order of the cluster's objects changes nothing.

    Args:
        cluster: what was observed.
        settings: what is asked for.
        now: the time that the ages of node conditions are counted to.

    Raises:
        ServiceCIDRUnknown: cluster IPs are asked for and no service CIDR is known.
    """
    wants_cluster_ips = settings.services.aggregate or settings.services.cluster_ips != "none"
    if wants_cluster_ips and not cluster.service_cidrs:
        raise ServiceCIDRUnknown(
            f"no service CIDR is known from {cluster.source or 'the cluster'}",
            remedy="set cluster.service_cidrs, for example [10.96.0.0/12], or add ServiceCIDR objects to the source; "
            "with services.aggregate: false and services.cluster_ips: none it is not needed",
        )
    verdicts, node_skips = judge_nodes(cluster.nodes, settings.nodes, now)
    builder = _Builder(settings, verdicts)
    builder.aggregates(cluster)
    claims, claim_skips = collect_claims(cluster.services, settings.services, cluster.service_cidrs)
    builder.hosts(claims, index_endpoints(cluster.slices))
    if settings.pod_cidrs:
        for node in sorted(cluster.nodes, key=lambda n: n.name):
            if node.name in verdicts:
                for prefix in node.pod_cidrs:
                    builder.pod_cidr(prefix, node.name)
    skipped = sorted({*cluster.skipped, *node_skips, *claim_skips, *builder.skipped})
    warnings = list(cluster.warnings)
    if not any(verdict.standing == "eligible" for verdict in verdicts.values()):
        warnings.append(f"no node is eligible ({len(verdicts)} seen); see `k8s-ecmp why` for each one's reason")
    return Desired(
        routes=tuple(builder.routes[prefix] for prefix in sorted(builder.routes)),
        unserved=builder.unserved,
        bases=builder.bases,
        nodes=verdicts,
        skipped=tuple(skipped),
        warnings=tuple(warnings),
    )


class _Builder:
    """Collects routes; a later rule overrides an earlier one at the same prefix only where the rules say so."""

    def __init__(self, settings: Settings, verdicts: Mapping[str, NodeVerdict]) -> None:
        self.settings = settings.services
        self.verdicts = verdicts
        self.routes: dict[Prefix, DesiredRoute] = {}
        self.unserved: dict[Prefix, Unserved] = {}
        self.bases: dict[Prefix, str] = {}
        self.skipped: list[Skipped] = []
        self.everyone = {
            family: frozenset(name for name, v in verdicts.items() if v.standing == "eligible" and v.address_of(family))
            for family in (4, 6)
        }
        self._hops: dict[tuple[int, frozenset[str]], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def _add(self, prefix: Prefix, kind: RouteKind, nodes: frozenset[str], sources: Iterable[str]) -> None:
        key = (prefix.family, nodes)
        found = self._hops.get(key)
        if found is None:
            addresses = (address for name in nodes for address in self.verdicts[name].address_of(prefix.family))
            found = self._hops[key] = (tuple(sorted(nodes)), sorted_addresses(addresses))
        self.routes[prefix] = DesiredRoute(prefix, kind, found[0], found[1], tuple(sorted(set(sources))))

    def aggregates(self, cluster: ClusterState) -> None:
        """Service CIDRs and allowed ranges to every eligible node (rule S5)."""
        wanted: dict[Prefix, list[str]] = {}
        if self.settings.aggregate:
            for cidr in cluster.service_cidrs:
                wanted.setdefault(cidr.prefix, []).append(f"service CIDR ({cidr.origin})")
        for section, name in (
            (self.settings.external_ips, "external-IP range"),
            (self.settings.load_balancer_ips, "load-balancer range"),
        ):
            if section.aggregate:
                for prefix in ranges(section):
                    wanted.setdefault(prefix, []).append(name)
        for prefix, sources in wanted.items():
            nodes = self.everyone[prefix.family]
            if nodes:
                self._add(prefix, "aggregate", nodes, sources)
                self.bases[prefix] = "eligible"
            else:
                reason = f"no eligible node has an IPv{prefix.family} address"
                self.unserved[prefix] = Unserved(True, reason, tuple(sources))
                self.skipped.append(Skipped(f"aggregate {prefix}", reason))

    def hosts(
        self, claims: Mapping[Prefix, Sequence[Claim]], endpoints: Mapping[tuple[str, int], ServiceEndpoints]
    ) -> None:
        """A host route for each address that asks for one (rules S4, S6 and S7)."""
        aggregates = tuple(self.routes)
        for prefix, wishes in claims.items():
            self._host(prefix, wishes, endpoints, aggregates)

    def _host(
        self,
        prefix: Prefix,
        wishes: Sequence[Claim],
        endpoints: Mapping[tuple[str, int], ServiceEndpoints],
        aggregates: Sequence[Prefix],
    ) -> None:
        policy = self.settings.terminating
        family = prefix.family
        local = [claim for claim in wishes if claim.local]
        everywhere = [claim for claim in wishes if not claim.local and claim.mode == "all"]
        if not local and not everywhere:
            return
        chosen = {
            claim.service: local_nodes(
                endpoints.get((claim.service, family), NO_ENDPOINTS), family, self.verdicts, policy
            )
            for claim in local
        }
        if len({nodes for nodes, _ in chosen.values()}) > 1:
            self._note_shared(prefix, chosen)
        nodes = frozenset[str]().union(*(names for names, _ in chosen.values()))
        if nodes:
            self._add(prefix, "host", nodes, (claim.source for claim in wishes))
            self.bases[prefix] = next(basis for names, basis in chosen.values() if names)
            return
        answering = [
            claim
            for claim in everywhere
            if endpoints.get((claim.service, family), NO_ENDPOINTS).usable_anywhere(policy)
        ]
        if answering and self.everyone[family]:
            self._add(prefix, "host", self.everyone[family], (claim.source for claim in answering))
            self.bases[prefix] = "eligible"
            return
        lost_nodes = bool(answering) or any(
            endpoints.get((claim.service, family), NO_ENDPOINTS).usable_on_a_node(policy) for claim in local
        )
        self._leave_unserved(prefix, wishes, lost_nodes, aggregates)

    def _leave_unserved(
        self, prefix: Prefix, wishes: Sequence[Claim], lost_nodes: bool, aggregates: Sequence[Prefix]
    ) -> None:
        reason = "has endpoints, but no node that may serve them is eligible" if lost_nodes else "no usable endpoint"
        all_local = all(claim.local for claim in wishes)
        asking = [claim for claim in wishes if claim.local or claim.mode == "all"]
        sources = tuple(sorted({claim.source for claim in asking}))
        self.unserved[prefix] = Unserved(lost_nodes, reason, sources)
        if self.settings.discard_unserved and all_local and not lost_nodes:
            self.routes[prefix] = DesiredRoute(prefix, "discard", (), (), sources)
            outcome = "a discard route stands in"
        else:
            cover = max((a for a in aggregates if a.covers(prefix)), key=lambda a: a.length, default=None)
            outcome = "no host route"
            if cover is not None:
                outcome += f"; {cover} still covers it"
                if any(claim.local for claim in asking):
                    outcome += ", and kube-proxy drops it on nodes without an endpoint"
        for service in sorted({claim.service for claim in asking}):
            self.skipped.append(Skipped(f"Service {service}", f"{prefix.address}: {reason}; {outcome}"))

    def _note_shared(self, prefix: Prefix, chosen: Mapping[str, tuple[frozenset[str], str]]) -> None:
        for service in chosen:
            others = ", ".join(sorted(set(chosen) - {service}))
            self.skipped.append(
                Skipped(
                    f"Service {service}",
                    f"{prefix.address} is shared with Service {others} on other nodes: the route takes the union, "
                    "and a node without an endpoint of the one that is asked for drops it",
                )
            )

    def pod_cidr(self, prefix: Prefix, node: str) -> None:
        """A node's pod CIDR to the node itself, as long as the Node object exists and has an address."""
        if not self.verdicts[node].address_of(prefix.family):
            reason = f"node {node} has no IPv{prefix.family} address"
            self.skipped.append(Skipped(f"Node {node}", f"pod CIDR {prefix}: no IPv{prefix.family} address"))
            self.unserved.setdefault(prefix, Unserved(False, reason, (f"Node {node} podCIDR",)))
        elif (present := self.routes.get(prefix)) is not None:
            self.skipped.append(
                Skipped(f"Node {node}", f"pod CIDR {prefix} is already routed for {', '.join(present.sources)}")
            )
        else:
            self._add(prefix, "pod-cidr", frozenset((node,)), (f"Node {node} podCIDR",))
            self.bases[prefix] = "podCIDR"

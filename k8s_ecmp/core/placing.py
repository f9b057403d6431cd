"""What stands at one prefix: the decision that the full build and the incremental one share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import msgspec

from k8s_ecmp.core.addresses import Claim
from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.core.endpoints import Carriers, ServiceEndpoints, local_nodes
from k8s_ecmp.model import DesiredRoute, Prefix, RouteKind, Skipped, sorted_addresses
from k8s_ecmp.settings import ServiceSettings


class Unserved(msgspec.Struct, frozen=True):
    """A prefix that somebody asks for and that has no next hop.

    `wanted`: service and settings still want it, it only lost its nodes; its routes are not withdrawn without a
    question (guard "last-next-hop"). Otherwise its service has no usable endpoint and the route goes (rule S6).
    """

    wanted: bool
    reason: str
    sources: tuple[str, ...]


class Hops(NamedTuple):
    """A set of nodes and their addresses, both sorted."""

    nodes: tuple[str, ...]
    addresses: tuple[str, ...]


class Ask(NamedTuple):
    """All that asks for one prefix.

    `ranges` are the words for an aggregate; `claims` come from services, sorted by namespace and name; `pods_of` are
    the nodes whose pod CIDR it is, sorted.
    """

    ranges: tuple[str, ...] = ()
    claims: Sequence[Claim] = ()
    pods_of: Sequence[str] = ()


class Placed(NamedTuple):
    """The decision for one prefix. `basis` says what makes the nodes next hops."""

    route: DesiredRoute | None = None
    unserved: Unserved | None = None
    basis: str = ""
    skipped: tuple[Skipped, ...] = ()


NOTHING = Placed()
_REMEMBERED = 512


@dataclass
class View:
    """What the decision for a prefix looks at.

    `everyone` are the eligible nodes by family, `carriers` those of Local addresses; `aggregates` the aggregates that
    are routed now; `endpoints` the usable endpoints of a service and family.
    """

    settings: ServiceSettings
    verdicts: Mapping[str, NodeVerdict]
    everyone: Mapping[int, Hops]
    carriers: Mapping[int, Carriers]
    endpoints: Callable[[tuple[str, int]], ServiceEndpoints]
    aggregates: Sequence[Prefix] = ()
    _known: dict[tuple[int, frozenset[str]], Hops] = field(default_factory=dict)

    def hops(self, family: int, nodes: frozenset[str]) -> Hops:
        """Carriers and their addresses in order; many prefixes share a set of nodes."""
        key = (family, nodes)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            eligible, draining = self.carriers[family]
            given = [eligible.get(name) or draining[name] for name in nodes]
            addresses = sorted_addresses(chain.from_iterable(given))
            found = self._known[key] = Hops(tuple(sorted(nodes)), addresses)
        return found

    def forget_hops(self) -> None:
        """To be called when a node's addresses may have changed, or to bound what is remembered."""
        self._known.clear()


def place(prefix: Prefix, ask: Ask, view: View) -> Placed:
    """Decides one prefix: a host route wins over an aggregate, both over a pod CIDR."""
    placed = _aggregate(prefix, ask.ranges, view) if ask.ranges else NOTHING
    if ask.claims:
        placed = _host(prefix, ask.claims, view, placed)
    for node in ask.pods_of:
        placed = _pod_cidr(prefix, node, view, placed)
    return placed


def _route(prefix: Prefix, kind: RouteKind, hops: Hops, sources: Iterable[str]) -> DesiredRoute:
    return DesiredRoute(prefix, kind, hops.nodes, hops.addresses, tuple(sorted(set(sources))))


def _aggregate(prefix: Prefix, sources: tuple[str, ...], view: View) -> Placed:
    """Service CIDRs and allowed ranges go to every eligible node (rule S5)."""
    everyone = view.everyone[prefix.family]
    if everyone.nodes:
        return Placed(_route(prefix, "aggregate", everyone, sources), None, "eligible")
    reason = f"no eligible node has an IPv{prefix.family} address"
    return Placed(None, Unserved(True, reason, sources), "", (Skipped(f"aggregate {prefix}", reason),))


def _host(prefix: Prefix, wishes: Sequence[Claim], view: View, beneath: Placed) -> Placed:
    """A host route for an address that asks for one (rules S4, S6 and S7)."""
    policy = view.settings.terminating
    family = prefix.family
    local = [claim for claim in wishes if claim.local]
    if not local and not any(claim.mode == "all" for claim in wishes):
        return beneath
    carriers = view.carriers[family]
    chosen = {claim.service: local_nodes(view.endpoints((claim.service, family)), carriers, policy) for claim in local}
    skipped = beneath.skipped
    if len(chosen) > 1 and any(nodes != chosen[local[0].service][0] for nodes, _ in chosen.values()):
        skipped += tuple(_shared(prefix, chosen))
    nodes = frozenset[str]().union(*(names for names, _ in chosen.values()))
    if nodes:
        route = _route(prefix, "host", view.hops(family, nodes), [claim.source for claim in wishes])
        basis = next(basis for names, basis in chosen.values() if names)
        return Placed(route, beneath.unserved, basis, skipped)
    everywhere = [claim for claim in wishes if not claim.local and claim.mode == "all"]
    answering = [claim for claim in everywhere if view.endpoints((claim.service, family)).usable_anywhere(policy)]
    if answering and view.everyone[family].nodes:
        route = _route(prefix, "host", view.everyone[family], (claim.source for claim in answering))
        return Placed(route, beneath.unserved, "eligible", skipped)
    lost_nodes = bool(answering) or any(
        view.endpoints((claim.service, family)).usable_on_a_node(policy) for claim in local
    )
    return _unserved(prefix, wishes, lost_nodes, view, beneath, skipped)


def _unserved(
    prefix: Prefix,
    wishes: Sequence[Claim],
    lost_nodes: bool,
    view: View,
    beneath: Placed,
    skipped: tuple[Skipped, ...],
) -> Placed:
    reason = "has endpoints, but no node that may serve them is eligible" if lost_nodes else "no usable endpoint"
    all_local = all(claim.local for claim in wishes)
    asking = [claim for claim in wishes if claim.local or claim.mode == "all"]
    sources = tuple(sorted({claim.source for claim in asking}))
    route = beneath.route
    if view.settings.discard_unserved and all_local and not lost_nodes:
        route = DesiredRoute(prefix, "discard", (), (), sources)
        outcome = "a discard route stands in"
    else:
        cover = max((a for a in view.aggregates if a.covers(prefix)), key=lambda a: a.length, default=None)
        outcome = "no host route"
        if cover is not None:
            outcome += f"; {cover} still covers it"
            if any(claim.local for claim in asking):
                outcome += ", and kube-proxy drops it on nodes without an endpoint"
    notes = tuple(
        Skipped(f"Service {service}", f"{prefix.address}: {reason}; {outcome}")
        for service in sorted({claim.service for claim in asking})
    )
    return Placed(route, Unserved(lost_nodes, reason, sources), beneath.basis, skipped + notes)


def _shared(prefix: Prefix, chosen: Mapping[str, object]) -> Iterable[Skipped]:
    for service in chosen:
        others = ", ".join(sorted(set(chosen) - {service}))
        yield Skipped(
            f"Service {service}",
            f"{prefix.address} is shared with Service {others} on other nodes: the route takes the union, "
            "and a node without an endpoint of the one that is asked for drops it",
        )


def _pod_cidr(prefix: Prefix, node: str, view: View, placed: Placed) -> Placed:
    """A node's pod CIDR goes to the node itself, as long as the Node object exists and has an address."""
    addresses = view.verdicts[node].address_of(prefix.family)
    if not addresses:
        note = Skipped(f"Node {node}", f"pod CIDR {prefix}: no IPv{prefix.family} address")
        reason = f"node {node} has no IPv{prefix.family} address"
        unserved = placed.unserved or Unserved(False, reason, (f"Node {node} podCIDR",))
        return placed._replace(unserved=unserved, skipped=(*placed.skipped, note))
    if placed.route is not None:
        sources = ", ".join(placed.route.sources)
        note = Skipped(f"Node {node}", f"pod CIDR {prefix} is already routed for {sources}")
        return placed._replace(skipped=(*placed.skipped, note))
    hops = Hops((node,), sorted_addresses(addresses))
    return placed._replace(route=_route(prefix, "pod-cidr", hops, (f"Node {node} podCIDR",)), basis="podCIDR")

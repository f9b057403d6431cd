"""The same decisions as `desired.decide`, updated object by object at a cost that does not grow with the cluster.

Objects go in one at a time; `settle` then decides anew the prefixes that they touch, and says which those are. Nothing
here knows a clock: times are arguments, and those of one object never go back.

What depends on what:

    node        -> every aggregate, host routes for all, prefixes of services with an endpoint on it, its pod CIDRs
    service     -> the prefixes that it claims
    slice       -> the prefixes that its service claims in its family
    a deadline  -> its node (a hold ends) or its service (a young endpoint counts)
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from k8s_ecmp.core.addresses import Allowance, Claim
from k8s_ecmp.core.desired import Desired, Watched, aggregate_sources, eligibility_warnings
from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.core.endpoints import Carriers
from k8s_ecmp.core.everyone import Everyone
from k8s_ecmp.core.live_endpoints import LiveEndpoints
from k8s_ecmp.core.live_nodes import Counts, LiveNodes
from k8s_ecmp.core.placing import NOTHING, Ask, Hops, Placed, View, place
from k8s_ecmp.core.pod_cidrs import PodCidrs
from k8s_ecmp.model import (
    ClusterState,
    EndpointSlice,
    Node,
    Prefix,
    Service,
    ServiceCIDR,
    Skipped,
)
from k8s_ecmp.settings import Settings

_FAMILIES = (4, 6)
_NO_HOPS = Hops((), ())


@dataclass(slots=True)
class _ServiceEntry:
    """A service with what it claims."""

    service: Service
    claims: tuple[tuple[Prefix, Claim], ...] = ()
    notes: tuple[Skipped, ...] = ()


class Incremental:
    """Holds the cluster as it was told, and the decision that follows from it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._nodes = LiveNodes(settings, self._follow)
        self._endpoints = LiveEndpoints(settings.services, self._touch)
        self._pods = PodCidrs()
        self._services: dict[str, _ServiceEntry] = {}
        self._cidrs: tuple[ServiceCIDR, ...] = ()
        self._allowance = Allowance.of(settings.services, ())
        self._ranges: dict[Prefix, tuple[str, ...]] = {}
        self._claims: dict[Prefix, dict[str, tuple[Claim, ...]]] = {}
        self._everyone = {4: Everyone(), 6: Everyone()}
        self._carriers = {4: Carriers({}, {}), 6: Carriers({}, {})}
        self._view = View(
            settings.services, self._nodes.verdicts, {4: _NO_HOPS, 6: _NO_HOPS}, self._carriers, self._endpoints.of
        )
        self._placed: dict[Prefix, Placed] = {}
        self._for_all: dict[int, set[Prefix]] = {4: set(), 6: set()}
        self._dirty: set[Prefix] = set()
        self._renewed: set[Prefix] = set()
        self._moved: set[int] = set()
        self.set_service_cidrs(())

    # --- what is told ---

    def put_node(self, node: Node, now: datetime, *, live: bool = True) -> None:
        """A node is new or different, as `LiveNodes.put`."""
        if self._settings.pod_cidrs:
            self._dirty |= self._pods.move(node.name, node.pod_cidrs)
        self._nodes.put(node, now, live=live)

    def drop_node(self, name: str) -> None:
        """A node is gone."""
        self._dirty |= self._pods.move(name, ())
        self._nodes.drop(name)

    def put_service(self, service: Service, now: datetime, *, live: bool = True) -> None:
        """A service is new or different. Endpoints of one that is new and `live` are young."""
        entry = self._services.get(service.key)
        young = live and entry is None
        if entry is None:
            entry = self._services[service.key] = _ServiceEntry(service)
        elif entry.service == service:
            return
        entry.service = service
        self._claim(service.key, entry, now if young else None)

    def drop_service(self, key: str) -> None:
        """A service is gone; its slices may still be there."""
        entry = self._services.pop(key, None)
        if entry is not None:
            self._unclaim(key, entry, ())
            self._endpoints.forget(key)

    def put_slice(self, key: str, piece: EndpointSlice, now: datetime, *, live: bool = True) -> None:
        """An EndpointSlice is new or different; what it adds is young for `services.add_delay_s` where it is `live`."""
        self._endpoints.put(key, piece, now, live=live)

    def drop_slice(self, key: str, now: datetime) -> None:
        """An EndpointSlice is gone."""
        self._endpoints.drop(key, now)

    def set_service_cidrs(self, cidrs: Iterable[ServiceCIDR]) -> None:
        """All service CIDRs that are known now."""
        known = tuple(cidrs)
        if known == self._cidrs and self._ranges:
            return
        self._cidrs = known
        self._allowance = Allowance.of(self._settings.services, known)
        ranges = aggregate_sources(self._settings.services, known)
        self._dirty |= self._ranges.keys() | ranges.keys()
        self._ranges = ranges
        for key, entry in self._services.items():
            self._claim(key, entry, None)
        self._mark_unserved()

    def set_drains(self, reasons: Mapping[str, str], now: datetime) -> None:
        """All drain signals that stand on no Node object: node -> reason."""
        self._nodes.set_drains(reasons, now)

    def set_health(self, name: str, ill: str | None, now: datetime) -> None:
        """What a node's own health check says, as `LiveNodes.set_health`."""
        self._nodes.set_health(name, ill, now)

    # --- time ---

    def next_deadline(self) -> datetime | None:
        """When `advance` has something to do; None: never."""
        both = (self._nodes.next_deadline(), self._endpoints.next_deadline())
        return min((deadline for deadline in both if deadline is not None), default=None)

    def advance(self, now: datetime) -> None:
        """Ends the holds whose time has come."""
        self._nodes.advance(now)
        self._endpoints.advance(now)

    # --- what follows ---

    def settle(self) -> frozenset[Prefix]:
        """Decides anew what was touched.

        Returns:
            The prefixes whose decision is another, or whose nodes have other labels or addresses.
        """
        self._nodes.hold_or_let_go()
        self._endpoints.settle()
        if self._moved:
            self._move_everyone()
        changed: set[Prefix] = self._renewed
        self._renewed = set()
        while self._dirty:
            dirty, self._dirty = self._dirty, set()
            for prefix in dirty:
                placed, before = self._place(prefix), self._placed.get(prefix, NOTHING)
                if placed != before:
                    changed.add(prefix)
                    if placed is NOTHING:
                        self._placed.pop(prefix, None)
                    else:
                        self._placed[prefix] = placed
        self._view.forget_hops()
        return frozenset(changed)

    def _place(self, prefix: Prefix) -> Placed:
        """The decision for one prefix. Where it would lose its host route, its young endpoints count at once."""
        ask = self._ask(prefix)
        if ask == _NOBODY_ASKS:
            return NOTHING
        placed = place(prefix, ask, self._view)
        if _is_host(self._placed.get(prefix, NOTHING)) and not _is_host(placed):
            services = {claim.service for claim in ask.claims if claim.local}
            counted = [self._endpoints.count_young(service, prefix.family) for service in services]
            if any(counted):
                return place(prefix, ask, self._view)
        return placed

    @property
    def nodes(self) -> Mapping[str, NodeVerdict]:
        """The verdicts of this moment by name, sorted; a snapshot that nobody changes."""
        return self._nodes.snapshot

    @property
    def counts(self) -> Counts:
        return self._nodes.counts

    @property
    def panicking(self) -> bool:
        """As `LiveNodes.panicking`."""
        return self._nodes.panicking

    def keys(self, kind: str) -> AbstractSet[str]:
        """The keys of the objects of one kind: "Node", "Service" or "EndpointSlice"."""
        if kind == "Node":
            return self._nodes.names
        return self._endpoints.names if kind == "EndpointSlice" else self._services.keys()

    @property
    def service_cidrs(self) -> tuple[ServiceCIDR, ...]:
        return self._cidrs

    def drains(self) -> dict[str, str]:
        """Nodes that are asked to leave -> the id that their annotation gives the drain, "" where there is none."""
        return self._nodes.draining()

    @property
    def routed(self) -> int:
        """Prefixes that have a route."""
        return sum(1 for placed in self._placed.values() if placed.route is not None)

    def desired(self, prefixes: Iterable[Prefix] | None = None) -> Desired:
        """The decision for some prefixes, or for all with everything that was left out."""
        if prefixes is None:
            chosen: Iterable[tuple[Prefix, Placed]] = self._placed.items()
        else:
            chosen = [(p, found) for p in prefixes if (found := self._placed.get(p)) is not None]
        listed = sorted(chosen, key=lambda pair: pair[0])
        return Desired(
            routes=tuple(found.route for _, found in listed if found.route is not None),
            unserved={prefix: found.unserved for prefix, found in listed if found.unserved is not None},
            bases={prefix: found.basis for prefix, found in listed if found.basis},
            nodes=self.nodes,
            skipped=self.skipped() if prefixes is None else (),
            warnings=eligibility_warnings(self._nodes.verdicts) if prefixes is None else (),
        )

    def skipped(self) -> tuple[Skipped, ...]:
        """What was left out, and why, sorted."""
        found = {note for placed in self._placed.values() for note in placed.skipped}
        found.update(self._nodes.notes())
        found.update(note for entry in self._services.values() for note in entry.notes)
        return tuple(sorted(found))

    def cluster(self, source: str = "") -> ClusterState:
        """The cluster as it counts here: what `decide` makes the same of, together with `watched`."""
        return ClusterState(
            nodes=self._nodes.objects(),
            services=tuple(entry.service for entry in self._services.values()),
            slices=self._endpoints.objects(),
            service_cidrs=self._cidrs,
            source=source,
            drains=self._nodes.drains,
        )

    def watched(self) -> Watched:
        """What was seen beyond the objects, as `decide` takes it."""
        return Watched(self._nodes.health(), self._endpoints.young())

    # --- nodes ---

    def _follow(self, name: str, old: NodeVerdict | None, new: NodeVerdict | None) -> None:
        """Marks what another verdict touches."""
        if old is not None and new is not None and _alike(old, new):
            return
        for family in _FAMILIES:
            self._carriers[family].put(name, new, family)
            before = old.address_of(family) if old is not None else ()
            after = new.address_of(family) if new is not None else ()
            was = before if old is not None and old.standing == "eligible" else ()
            now = after if new is not None and new.standing == "eligible" else ()
            if was != now:
                self._everyone[family].change(name, was, now)
                self._moved.add(family)
        for service, family in self._endpoints.on_node(name):
            self._touch(service, family)
        self._dirty.update(self._pods.of(name))
        if old is not None and new is not None and not _seen_alike(old, new):
            self._renew(name)

    def _renew(self, name: str) -> None:
        """A router's own selection may be another though the decision is the same."""
        for service, family in self._endpoints.on_node(name):
            entry = self._services[service]
            self._renewed.update(prefix for prefix, _ in entry.claims if prefix.family == family)
        for family in _FAMILIES:
            if name in self._everyone[family]:
                self._renewed |= self._for_all[family]
                self._renewed.update(prefix for prefix in self._ranges if prefix.family == family)
        self._renewed.update(self._pods.of(name))

    def _move_everyone(self) -> None:
        routed = self._view.aggregates
        self._view.everyone = {
            family: self._everyone[family].hops() if family in self._moved else hops
            for family, hops in self._view.everyone.items()
        }
        self._view.aggregates = self._routed_ranges()
        for family in self._moved:
            self._dirty |= self._for_all[family]
            self._dirty.update(prefix for prefix in self._ranges if prefix.family == family)
        self._moved = set()
        if self._view.aggregates != routed:
            self._mark_unserved()

    def _routed_ranges(self) -> tuple[Prefix, ...]:
        return tuple(prefix for prefix in self._ranges if self._view.everyone[prefix.family].nodes)

    def _mark_unserved(self) -> None:
        """Their words name the aggregate that still covers them."""
        self._view.aggregates = self._routed_ranges()
        self._dirty.update(prefix for prefix, placed in self._placed.items() if placed.unserved is not None)

    # --- services ---

    def _claim(self, key: str, entry: _ServiceEntry, young_from: datetime | None) -> None:
        made, notes = self._allowance.claims_of(entry.service)
        entry.notes = tuple(notes)
        claims = tuple(made)
        if claims == entry.claims:
            return
        self._unclaim(key, entry, claims)
        entry.claims = claims
        by_prefix: dict[Prefix, list[Claim]] = {}
        for prefix, claim in claims:
            by_prefix.setdefault(prefix, []).append(claim)
        for prefix, mine in by_prefix.items():
            self._claims.setdefault(prefix, {})[key] = tuple(mine)
            self._dirty.add(prefix)
            self._mark_for_all(prefix)
        if _asks_for_endpoints(claims):
            self._endpoints.ask(key, young_from)
        else:
            self._endpoints.forget(key)

    def _unclaim(self, key: str, entry: _ServiceEntry, after: tuple[tuple[Prefix, Claim], ...]) -> None:
        staying = {prefix for prefix, _ in after}
        for prefix in {prefix for prefix, _ in entry.claims}:
            self._dirty.add(prefix)
            if prefix not in staying:
                theirs = self._claims[prefix]
                del theirs[key]
                if not theirs:
                    del self._claims[prefix]
                self._mark_for_all(prefix)

    def _mark_for_all(self, prefix: Prefix) -> None:
        asks = self._claims.get(prefix, {}).values()
        if any(claim.mode == "all" and not claim.local for claims in asks for claim in claims):
            self._for_all[prefix.family].add(prefix)
        else:
            self._for_all[prefix.family].discard(prefix)

    def _ask(self, prefix: Prefix) -> Ask:
        theirs = self._claims.get(prefix)
        claims: tuple[Claim, ...] = ()
        if theirs is not None:
            if len(theirs) == 1:
                claims = next(iter(theirs.values()))
            else:
                ordered = sorted(theirs.items(), key=lambda item: item[0].partition("/")[::2])
                claims = tuple(claim for _, mine in ordered for claim in mine)
        return Ask(self._ranges.get(prefix, ()), claims, self._pods.nodes(prefix))

    def _touch(self, service: str, family: int) -> None:
        entry = self._services.get(service)
        if entry is not None:
            self._dirty.update(prefix for prefix, _ in entry.claims if prefix.family == family)


_NOBODY_ASKS = Ask()


def _is_host(placed: Placed) -> bool:
    return placed.route is not None and placed.route.kind == "host"


def _asks_for_endpoints(claims: Iterable[tuple[Prefix, Claim]]) -> bool:
    return any(claim.local or claim.mode == "all" for _, claim in claims)


def _seen_alike(old: NodeVerdict, new: NodeVerdict) -> bool:
    """Whether what routers select by is the same."""
    return (old.labels, old.internal, old.annotated) == (new.labels, new.internal, new.annotated)


def _alike(old: NodeVerdict, new: NodeVerdict) -> bool:
    """Whether two verdicts mean the same to every router; their words may differ."""
    return (
        old.standing == new.standing
        and old.annotated == new.annotated
        and old.internal == new.internal
        and old.addresses == new.addresses
        and old.labels == new.labels
    )

"""The same decisions as `desired.decide`, updated object by object at a cost that does not grow with the cluster.

Objects go in one at a time; `settle` then decides anew the prefixes that they touch, and says which those are. Nothing
here knows a clock: times are arguments, and those of one object never go back.

What depends on what:

    node        -> every aggregate, host routes for all, prefixes of services with an endpoint on it, its pod CIDRs
    service     -> the prefixes that it claims
    slice       -> the prefixes that its service claims in its family
    a deadline  -> its node (a hold ends) or its service (a young endpoint counts)
"""

import heapq
from bisect import insort
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from k8s_ecmp.core.addresses import Allowance, Claim
from k8s_ecmp.core.conditions import is_available, is_ready, not_in_the_future, since
from k8s_ecmp.core.desired import Desired, Watched, aggregate_sources, eligibility_warnings
from k8s_ecmp.core.eligibility import (
    DRAIN_ANNOTATION,
    DRAIN_ID_ANNOTATION,
    Health,
    NodeVerdict,
    counts_as_well,
    is_well,
    judge_node,
)
from k8s_ecmp.core.endpoints import NO_ENDPOINTS, Key, ServiceEndpoints
from k8s_ecmp.core.everyone import Everyone
from k8s_ecmp.core.flags import parse_bool
from k8s_ecmp.core.flapping import Flaps
from k8s_ecmp.core.placing import NOTHING, Ask, Hops, Placed, View, place
from k8s_ecmp.model import (
    ClusterState,
    Condition,
    EndpointSlice,
    Node,
    Prefix,
    Service,
    ServiceCIDR,
    Skipped,
)
from k8s_ecmp.selector import Selector
from k8s_ecmp.settings import Settings

_FAMILIES = (4, 6)
_NO_HOPS = Hops((), ())


@dataclass(slots=True)
class _NodeEntry:
    """A node as it is kept: `node` with its conditions' times as they count here, `told` as the API told them.

    `listed`: it was there when the cluster was first looked at, or came with a list. `before`: the conditions of the
    time before it was lost.
    """

    node: Node
    told: tuple[Condition | None, Condition | None]
    verdict: NodeVerdict
    health: Health
    listed: bool
    notes: tuple[Skipped, ...] = ()
    before: tuple[Condition | None, Condition | None] = (None, None)


@dataclass(slots=True)
class _ServiceEntry:
    """A service with what it claims, and the keys of its EndpointSlices, which may come before it and stay after."""

    service: Service | None = None
    claims: tuple[tuple[Prefix, Claim], ...] = ()
    notes: tuple[Skipped, ...] = ()
    slices: set[str] = field(default_factory=set)


class Counts(NamedTuple):
    """Nodes: those that are bad and those in all among the `selected` ones, and the eligible ones."""

    bad: int = 0
    selected: int = 0
    eligible: int = 0


class Incremental:
    """Holds the cluster as it was told, and the decision that follows from it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._selector = Selector.parse(settings.nodes.selector)
        self._flaps = Flaps(settings.nodes.hold_up_s)
        self._nodes: dict[str, _NodeEntry] = {}
        self._drains: Mapping[str, str] = {}
        self._draining: dict[str, str] = {}
        self._services: dict[str, _ServiceEntry] = {}
        self._slices: dict[str, EndpointSlice] = {}
        self._cidrs: tuple[ServiceCIDR, ...] = ()
        self._allowance = Allowance.of(settings.services, ())
        self._ranges: dict[Prefix, tuple[str, ...]] = {}
        self._claims: dict[Prefix, dict[str, tuple[Claim, ...]]] = {}
        self._pods: dict[Prefix, list[str]] = {}
        # Only of services whose claims ask for endpoints.
        self._endpoints: dict[Key, ServiceEndpoints] = {}
        self._on_node: dict[str, set[Key]] = {}
        self._deadlines: list[tuple[datetime, str, str, int]] = []
        self._young: dict[Key, dict[str, datetime]] = {}
        self._everyone = {4: Everyone(), 6: Everyone()}
        self._verdicts: dict[str, NodeVerdict] = {}
        self._snapshot: Mapping[str, NodeVerdict] | None = None
        self._view = View(
            settings.services,
            self._verdicts,
            {4: _NO_HOPS, 6: _NO_HOPS},
            lambda key: self._endpoints.get(key, NO_ENDPOINTS),
        )
        self._placed: dict[Prefix, Placed] = {}
        self._for_all: dict[int, set[Prefix]] = {4: set(), 6: set()}
        self._dirty: set[Prefix] = set()
        self._renewed: set[Prefix] = set()
        self._moved: set[int] = set()
        self._left: dict[str, datetime] = {}
        self._now = datetime.min.replace(tzinfo=UTC)
        self._held: set[str] = set()
        self.counts = Counts()
        self.set_service_cidrs(())

    # --- what is told ---

    def put_node(self, node: Node, now: datetime, *, live: bool = True) -> None:
        """A node is new or different.

        Args:
            node: as the API tells it.
            now: the time of this decision.
            live: it was just told of as a change. A condition that changed before our eyes counts from now on, whatever
                the API server's clock says; one out of a list counts from the time that it states.
        """
        self._now = max(self._now, now)
        old = self._nodes.get(node.name)
        told = (node.ready, node.network_unavailable)
        if old is None:
            timed = not_in_the_future(node, now)
        else:
            timed = msgspec.structs.replace(
                node,
                ready=since(node.ready, old.told[0], old.node.ready, is_ready, now, live=live),
                network_unavailable=since(
                    node.network_unavailable, old.told[1], old.node.network_unavailable, is_available, now, live=live
                ),
            )
            if is_well(timed) and not is_well(old.node) and old.verdict.standing != "out":
                # It was back before it counted as lost: nothing has happened.
                ready, network = old.before
                timed = msgspec.structs.replace(timed, ready=ready, network_unavailable=network)
            if timed == old.node:
                old.told = told
                return
        health = Health(_UNANSWERED if self._settings.nodes.probe.enabled else None) if old is None else old.health
        entry = _NodeEntry(timed, told, _NO_VERDICT, health, not live if old is None else old.listed)
        if old is not None:
            if is_well(old.node) and not is_well(timed):
                counted = counts_as_well(old.node, self._settings.nodes, now, health)
                entry.health = health._replace(held_down=counted)
                entry.before = (old.node.ready, old.node.network_unavailable)
            else:
                entry.before = old.before
            if old.node.pod_cidrs != timed.pod_cidrs:
                self._move_pod_cidrs(old.node, ())
                self._move_pod_cidrs(timed, timed.pod_cidrs)
        else:
            self._move_pod_cidrs(timed, timed.pod_cidrs)
        self._nodes[node.name] = entry
        self._judge(entry, None if old is None else old.verdict, now)

    def drop_node(self, name: str) -> None:
        """A node is gone."""
        entry = self._nodes.pop(name, None)
        if entry is None:
            return
        self._flaps.drop(name)
        self._move_pod_cidrs(entry.node, ())
        del self._verdicts[name]
        self._draining.pop(name, None)
        self._left.pop(name, None)
        self._held.discard(name)
        self._follow(name, entry.verdict, None)

    def put_service(self, service: Service, now: datetime, *, live: bool = True) -> None:
        """A service is new or different. Endpoints of one that is new and `live` are young."""
        key = service.key
        entry = self._services.setdefault(key, _ServiceEntry())
        if entry.service == service:
            return
        young = live and entry.service is None
        entry.service = service
        self._claim(key, entry, now, young=young)

    def drop_service(self, key: str) -> None:
        """A service is gone; its slices may still be there."""
        entry = self._services.get(key)
        if entry is None or entry.service is None:
            return
        entry.service = None
        self._unclaim(key, entry, ())
        entry.claims, entry.notes = (), ()
        self._forget_endpoints(key)
        if not entry.slices:
            del self._services[key]

    def put_slice(self, key: str, piece: EndpointSlice, now: datetime, *, live: bool = True) -> None:
        """An EndpointSlice is new or different; what it adds is young for `services.add_delay_s` where it is `live`."""
        old = self._slices.get(key)
        if old == piece:
            return
        self._slices[key] = piece
        if old is not None and old.service != piece.service:
            self._unlink(key, old)
        if piece.service is not None:
            self._services.setdefault(piece.service, _ServiceEntry()).slices.add(key)
        moved = old is not None and (old.service, old.family) != (piece.service, piece.family)
        if old is not None and moved:
            self._recount(old, None, now, live=live)
            old = None
        self._recount(old, piece, now, live=live)

    def drop_slice(self, key: str, now: datetime) -> None:
        """An EndpointSlice is gone."""
        old = self._slices.pop(key, None)
        if old is not None:
            self._unlink(key, old)
            self._recount(old, None, now, live=True)

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
            if entry.service is not None:
                self._claim(key, entry, None, young=False)
        self._mark_unserved()

    def set_drains(self, reasons: Mapping[str, str], now: datetime) -> None:
        """All drain signals that stand on no Node object: node -> reason."""
        different = {name for name in {*reasons, *self._drains} if reasons.get(name) != self._drains.get(name)}
        self._drains = dict(reasons)
        for name in different:
            entry = self._nodes.get(name)
            if entry is not None:
                self._judge(entry, entry.verdict, now)

    def set_health(self, name: str, ill: str | None, now: datetime) -> None:
        """What a node's own health check says: `ill` why it fails, None that it answers.

        A node that answers has to hold up, but not one of a list whose first answer this is: it was there before us.
        """
        self._now = max(self._now, now)
        entry = self._nodes.get(name)
        if entry is None or entry.health.ill == ill:
            return
        if ill is None:
            first = entry.health.ill == _UNANSWERED and entry.listed
            excused = entry.health.excused_until is not None and now < entry.health.excused_until
            well_since = None if first or excused else now
            entry.health = entry.health._replace(ill=None, well_since=well_since, excused_until=None)
        else:
            entry.health = entry.health._replace(ill=ill)
        self._judge(entry, entry.verdict, now)

    # --- time ---

    def next_deadline(self) -> datetime | None:
        """When `advance` has something to do; None: never."""
        return self._deadlines[0][0] if self._deadlines else None

    def advance(self, now: datetime) -> None:
        """Ends the holds whose time has come."""
        self._now = max(self._now, now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, kind, name, family = heapq.heappop(self._deadlines)
            if kind == "node":
                entry = self._nodes.get(name)
                if entry is not None and entry.verdict.changes_at is not None and entry.verdict.changes_at <= now:
                    self._judge(entry, entry.verdict, now)
            else:
                self._grow_up((name, family), now)

    # --- what follows ---

    def settle(self) -> frozenset[Prefix]:
        """Decides anew what was touched.

        Returns:
            The prefixes whose decision is another, or whose nodes have other labels or addresses.
        """
        self._hold_or_let_go()
        if self._moved:
            self._move_everyone()
        changed: set[Prefix] = self._renewed
        for prefix in self._dirty:
            ask = self._ask(prefix)
            placed = NOTHING if ask == _NOBODY_ASKS else place(prefix, ask, self._view)
            if placed != self._placed.get(prefix, NOTHING):
                changed.add(prefix)
                if placed is NOTHING:
                    self._placed.pop(prefix, None)
                else:
                    self._placed[prefix] = placed
        self._dirty = set()
        self._renewed = set()
        self._view.forget_hops()
        return frozenset(changed)

    @property
    def nodes(self) -> Mapping[str, NodeVerdict]:
        """The verdicts of this moment by name, sorted; a snapshot that nobody changes."""
        if self._snapshot is None:
            self._snapshot = dict(sorted(self._verdicts.items()))
        return self._snapshot

    def keys(self, kind: str) -> AbstractSet[str]:
        """The keys of the objects of one kind: "Node", "Service" or "EndpointSlice"."""
        if kind == "Node":
            return self._nodes.keys()
        if kind == "EndpointSlice":
            return self._slices.keys()
        return {key for key, entry in self._services.items() if entry.service is not None}

    @property
    def service_cidrs(self) -> tuple[ServiceCIDR, ...]:
        return self._cidrs

    def drains(self) -> dict[str, str]:
        """Nodes that are asked to leave -> the id that their annotation gives the drain, "" where there is none."""
        return dict(self._draining)

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
            warnings=eligibility_warnings(self._verdicts) if prefixes is None else (),
        )

    def skipped(self) -> tuple[Skipped, ...]:
        """What was left out, and why, sorted."""
        found = {note for placed in self._placed.values() for note in placed.skipped}
        found.update(note for entry in self._nodes.values() for note in entry.notes)
        found.update(note for entry in self._services.values() for note in entry.notes)
        return tuple(sorted(found))

    def cluster(self, source: str = "") -> ClusterState:
        """The cluster as it counts here: what `decide` makes the same of, together with `watched`."""
        return ClusterState(
            nodes=tuple(entry.node for entry in self._nodes.values()),
            services=tuple(entry.service for entry in self._services.values() if entry.service is not None),
            slices=tuple(self._slices.values()),
            service_cidrs=self._cidrs,
            source=source,
            drains=self._drains,
        )

    def watched(self) -> Watched:
        """What was seen beyond the objects, as `decide` takes it."""
        health = {name: entry.health for name, entry in self._nodes.items()}
        young = {key: frozenset(found.young) for key, found in self._endpoints.items() if found.young}
        return Watched(health, young)

    # --- nodes ---

    @property
    def panicking(self) -> bool:
        """Whether so many nodes are bad at once that guard "panic" holds everything."""
        most = self._settings.guards.max_not_ready_fraction
        return most < 1 and self.counts.bad > most * self.counts.selected

    def _hold_or_let_go(self) -> None:
        """Nodes that are lost while "panic" holds everything leave no router: well again, they count at once.

        So do those that were lost within the guards' window before it: they may not have left either.
        """
        if self.panicking:
            self._held |= self._left.keys()
            self._left.clear()
            return
        held, self._held = self._held, set()
        for name in sorted(held):
            self._let_go(self._nodes[name])

    def _let_go(self, entry: _NodeEntry) -> None:
        """Nothing holds a node any more that is still bad: its loss begins now, with the time that one is given.

        One whose health check failed may only not have been asked again yet: as many failures as ever are to be seen.
        """
        now = self._now
        node = entry.node
        ready, network = node.ready, node.network_unavailable
        if ready is not None and not is_ready(ready):
            ready = Condition(ready.status, now)
        if network is not None and not is_available(network):
            network = Condition(network.status, now)
        entry.node = msgspec.structs.replace(node, ready=ready, network_unavailable=network)
        probe = self._settings.nodes.probe
        rounds = timedelta(seconds=probe.interval_s * probe.failures) if entry.health.ill is not None else None
        excused_until = None if rounds is None else now + rounds
        entry.health = entry.health._replace(held_down=True, excused_until=excused_until)
        self._flaps.forgive(node.name)
        self._judge(entry, entry.verdict, now)

    def _went(self, name: str, now: datetime) -> None:
        window = timedelta(seconds=self._settings.guards.window_s)
        self._left.pop(name, None)
        self._left[name] = now
        while self._left[first := next(iter(self._left))] < now - window:
            del self._left[first]

    def _return_at_once(self, name: str, entry: _NodeEntry) -> None:
        """Nobody has missed the node, so it has nothing to prove, and its loss is not counted."""
        if name in self._held:
            self._flaps.forgive(name)
            entry.health = entry.health._replace(well_since=None, hold_up_s=0)

    def _lost(self, name: str, health: Health, now: datetime) -> Health:
        """A node that had been well is not: the oftener that was, the longer it has to hold up afterwards."""
        self._flaps.lost(name, now)
        return health._replace(hold_up_s=self._flaps.hold_up_s(name, now))

    def _judge(self, entry: _NodeEntry, old: NodeVerdict | None, now: datetime) -> None:
        name = entry.node.name
        if is_well(entry.node) and entry.health.ill is None:
            self._return_at_once(name, entry)
        verdict, entry.notes = judge_node(
            entry.node, self._selector, self._settings.nodes, now, self._drains.get(name), entry.health
        )
        entry.verdict = verdict
        self._verdicts[name] = verdict
        if verdict.standing != "out":
            self._left.pop(name, None)
            self._held.discard(name)
        elif old is not None and old.standing != "out" and (entry.health.ill is not None or not is_well(entry.node)):
            entry.health = self._lost(name, entry.health, now)
            self._went(name, now)
        if verdict.standing == "draining" or parse_bool(entry.node.annotations.get(DRAIN_ANNOTATION, "")):
            self._draining[name] = entry.node.annotations.get(DRAIN_ID_ANNOTATION, "")
        else:
            self._draining.pop(name, None)
        self._snapshot = None
        if verdict.changes_at is not None:
            heapq.heappush(self._deadlines, (verdict.changes_at, "node", name, 0))
        self._follow(name, old, verdict)

    def _follow(self, name: str, old: NodeVerdict | None, new: NodeVerdict | None) -> None:
        """Marks what another verdict touches."""
        self._snapshot = None
        bad, selected, eligible = self.counts
        for verdict, by in ((old, -1), (new, 1)):
            if verdict is not None:
                bad += by * (verdict.bad and verdict.selected)
                selected += by * verdict.selected
                eligible += by * (verdict.standing == "eligible")
        self.counts = Counts(bad, selected, eligible)
        if old is not None and new is not None and _alike(old, new):
            return
        for family in _FAMILIES:
            before = old.address_of(family) if old is not None else ()
            after = new.address_of(family) if new is not None else ()
            was = before if old is not None and old.standing == "eligible" else ()
            now = after if new is not None and new.standing == "eligible" else ()
            if was != now:
                self._everyone[family].change(name, was, now)
                self._moved.add(family)
        for service, family in self._on_node.get(name, ()):
            self._touch(service, family)
        entry = self._nodes.get(name)
        if entry is not None:
            self._dirty.update(prefix for prefix in entry.node.pod_cidrs if prefix in self._pods)
        if old is not None and new is not None and not _seen_alike(old, new):
            self._renew(name)

    def _renew(self, name: str) -> None:
        """A router's own selection may be another though the decision is the same."""
        for service, family in self._on_node.get(name, ()):
            entry = self._services[service]
            self._renewed.update(prefix for prefix, _ in entry.claims if prefix.family == family)
        for family in _FAMILIES:
            if name in self._everyone[family]:
                self._renewed |= self._for_all[family]
                self._renewed.update(prefix for prefix in self._ranges if prefix.family == family)
        self._renewed.update(self._nodes[name].node.pod_cidrs if self._settings.pod_cidrs else ())

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

    def _move_pod_cidrs(self, node: Node, after: tuple[Prefix, ...]) -> None:
        if not self._settings.pod_cidrs:
            return
        for prefix in node.pod_cidrs:
            names = self._pods.get(prefix, [])
            if node.name in names and prefix not in after:
                names.remove(node.name)
                if not names:
                    del self._pods[prefix]
                self._dirty.add(prefix)
        for prefix in after:
            names = self._pods.setdefault(prefix, [])
            if node.name not in names:
                insort(names, node.name)
            self._dirty.add(prefix)

    # --- services ---

    def _claim(self, key: str, entry: _ServiceEntry, now: datetime | None, *, young: bool) -> None:
        assert entry.service is not None  # noqa: S101  both callers have looked
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
            self._learn_endpoints(key, entry, now if young else None)
        else:
            self._forget_endpoints(key)

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
        return Ask(self._ranges.get(prefix, ()), claims, self._pods.get(prefix, ()))

    def _touch(self, service: str, family: int) -> None:
        entry = self._services.get(service)
        if entry is not None:
            self._dirty.update(prefix for prefix, _ in entry.claims if prefix.family == family)

    # --- endpoints ---

    def _learn_endpoints(self, key: str, entry: _ServiceEntry, young_from: datetime | None) -> None:
        """Counts the endpoints of a service that has just begun to ask for routes."""
        if any((key, family) in self._endpoints for family in _FAMILIES):
            return
        for name in entry.slices:
            piece = self._slices[name]
            found = self._endpoints.setdefault((key, piece.family), ServiceEndpoints())
            found.add(piece)
        for family in _FAMILIES:
            found_here = self._endpoints.get((key, family))
            if found_here is not None:
                for node in found_here.nodes:
                    self._join_node(node, (key, family))
                if young_from is not None:
                    self._make_young((key, family), found_here, set(found_here.nodes), young_from)

    def _forget_endpoints(self, key: str) -> None:
        for family in _FAMILIES:
            self._young.pop((key, family), None)
            found = self._endpoints.pop((key, family), None)
            for node in found.nodes if found is not None else ():
                self._leave_node(node, (key, family))

    def _recount(self, old: EndpointSlice | None, new: EndpointSlice | None, now: datetime, *, live: bool) -> None:
        """Replaces what one slice gives to its service in its family."""
        piece = new or old
        if piece is None or piece.service is None:
            return
        key = (piece.service, piece.family)
        entry = self._services.get(piece.service)
        if entry is None or not _asks_for_endpoints(entry.claims):
            return
        found = self._endpoints.get(key)
        if found is None:
            found = self._endpoints[key] = ServiceEndpoints()
        before = set(found.nodes)
        had_grown_up = bool(before - found.young)
        if new is not None:
            found.add(new)
        if old is not None:
            found.remove(old)
        after = found.nodes
        for node in after - before:
            self._join_node(node, key)
        for node in before - after:
            self._leave_node(node, key)
        young = self._young.get(key, {})
        for node in young.keys() - after:
            del young[node]
        if live and (fresh := after - before):
            self._make_young(key, found, fresh, now)
        if had_grown_up and found.young and not after - found.young:
            # Nothing else is left to carry the address: better a node whose kube-proxy may be late than none.
            self._young[key].clear()
        self._touch(*key)

    def _make_young(self, key: Key, found: ServiceEndpoints, nodes: AbstractSet[str], now: datetime) -> None:
        delay_s = self._settings.services.add_delay_s
        if delay_s:
            due = now + timedelta(seconds=delay_s)
            young = self._young.setdefault(key, {})
            young |= dict.fromkeys(nodes, due)
            found.young = young.keys()
            heapq.heappush(self._deadlines, (due, "service", *key))

    def _grow_up(self, key: Key, now: datetime) -> None:
        young = self._young.get(key, {})
        for node in [node for node, due in young.items() if due <= now]:
            del young[node]
        self._touch(*key)

    def _join_node(self, node: str, key: Key) -> None:
        self._on_node.setdefault(node, set()).add(key)

    def _leave_node(self, node: str, key: Key) -> None:
        keys = self._on_node[node]
        keys.remove(key)
        if not keys:
            del self._on_node[node]

    def _unlink(self, key: str, old: EndpointSlice) -> None:
        if old.service is None:
            return
        entry = self._services.get(old.service)
        if entry is not None:
            entry.slices.discard(key)
            if not entry.slices and entry.service is None:
                del self._services[old.service]


_NOBODY_ASKS = Ask()
_NO_VERDICT = NodeVerdict("", "out", "", False, False, {}, {}, {})
_UNANSWERED = "has not answered its health check yet"


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
        and old.readable == new.readable
        and old.labels == new.labels
    )

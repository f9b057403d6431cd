"""Desired routes against running routes: what shall change on one router, and what stops it.

What is decided for each prefix in the router's VRF:

    desired   running          result
    yes       nothing          create
    yes       ours, equal      nothing
    yes       ours, differs    update
    yes       not ours         conflict: reported, untouched
    no        ours             delete
    no        not ours         nothing
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.core.freeze import Freeze
from k8s_ecmp.core.guards import Limits, hold_prefixes, router_guards
from k8s_ecmp.core.ownership import Marks, fingerprint, foreign_reason, is_owned
from k8s_ecmp.core.reasons import Reasons, still_wanted
from k8s_ecmp.core.selection import RouterView, Selected, Selection
from k8s_ecmp.model import (
    Action,
    Conflict,
    DesiredRoute,
    GuardTrip,
    NextHop,
    Prefix,
    RouteChange,
    RouterPlan,
    RouterStatus,
    RunningRoutes,
    Skipped,
    StaticRoute,
)
from k8s_ecmp.settings import GuardSettings

Mode = Literal["observe", "propose", "withdraw-only", "full"]
Policy = Literal["sync", "upsert-only", "create-only"]


@dataclass(frozen=True)
class Rules:
    """What governs a plan beside the routes: from the settings, the clock and the command line.

    `holds` are the guards that stop every router (`guards.cluster_holds`).
    """

    tag: int
    owner: str
    guards: GuardSettings
    mode: Mode = "full"
    policy: Policy = "sync"
    freeze: Freeze | None = None
    holds: tuple[GuardTrip, ...] = ()
    overrides: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PlatformTraits:
    """What the decisions need to know of a router's platform."""

    name: str
    name_mark: bool
    limits: Limits
    default_distance: int = 1

    def marks(self, rules: Rules) -> Marks:
        """Our marks as this platform carries them."""
        return Marks(rules.tag, rules.owner, self.name_mark)


def plan_router(
    router: RouterView,
    traits: PlatformTraits,
    desired: Desired,
    running: RunningRoutes,
    rules: Rules,
    unresolved: Collection[str] = (),
) -> RouterPlan:
    """The plan of one router, without commands and diff.

    Args:
        router: its part of the inventory.
        traits: its platform.
        desired: the decision for the cluster.
        running: what was read from it.
        rules: owner, guards, mode and policy.
        unresolved: addresses that the router cannot resolve; they are not added anywhere, hops that stand stay.
    """
    marks = traits.marks(rules)
    here = {route.prefix: route for route in running if route.vrf == router.vrf}
    selection = Selection(router, desired.nodes)
    reasons = Reasons(desired, selection)
    compare = _Comparison(router, marks, traits.default_distance, reasons, frozenset(unresolved))
    changes: list[RouteChange] = []
    conflicts: list[Conflict] = []
    wanted: dict[Prefix, str] = still_wanted(desired)
    present_here: set[Prefix] = set()
    for route in desired.routes:
        selected = selection.of(route)
        present = here.get(route.prefix)
        if not selected.addresses and route.kind != "discard":
            continue
        present_here.add(route.prefix)
        if route.kind != "discard":
            wanted[route.prefix] = "no next hop that may be written gives it"
        if present is not None and not is_owned(present, marks):
            conflicts.append(Conflict(router.vrf, route.prefix, foreign_reason(present, marks)))
        elif (change := compare.change(route, selected, present)) is not None:
            changes.append(change)
    owned = [route for route in here.values() if is_owned(route, marks)]
    changes += [
        RouteChange("delete", router.vrf, route.prefix, route.next_hops, (), reasons.delete(route.prefix))
        for route in owned
        if route.prefix not in present_here
    ]
    changes.sort(key=lambda change: change.prefix)
    allowed = [left for change in changes if (left := _permit(change, rules)) is not None]
    dead = {hop.address for change in allowed for hop in change.before if hop.address and reasons.is_dead(hop.address)}
    kept, prefix_trips = hold_prefixes(router.name, allowed, wanted, dead, rules.freeze, rules.overrides)
    trips = prefix_trips + router_guards(router.name, kept, owned, traits.limits, rules.guards, rules.overrides)
    return RouterPlan(
        name=router.name,
        platform=traits.name,
        status=_status(kept, conflicts, trips, rules.holds),
        fingerprint=fingerprint(running, marks, router.vrf, [change.prefix for change in kept]),
        changes=kept,
        conflicts=tuple(conflicts),
        guards=trips,
        skipped=compare.skipped(),
    )


def is_blocked(plan: RouterPlan, holds: Sequence[GuardTrip]) -> bool:
    """Whether a guard stops all of the router's changes (one that names a prefix stops only that)."""
    return bool(plan.changes) and (bool(holds) or any(trip.prefix is None for trip in plan.guards))


def _status(
    changes: Sequence[RouteChange],
    conflicts: Sequence[Conflict],
    trips: Sequence[GuardTrip],
    holds: Sequence[GuardTrip],
) -> RouterStatus:
    if (changes and holds) or any(trip.prefix is None for trip in trips) or (trips and not changes):
        return "blocked"
    if changes:
        return "changes"
    return "conflict" if conflicts else "in-sync"


def _permit(change: RouteChange, rules: Rules) -> RouteChange | None:
    """What policy and mode leave of a change."""
    if change.action == "delete" and rules.policy != "sync":
        return None
    if change.action == "update" and rules.policy == "create-only":
        return None
    if rules.mode != "withdraw-only" or change.action == "delete":
        return change
    staying = set(change.next_hops)
    after = tuple(hop for hop in change.before if hop.label in staying)
    if change.action == "create" or len(after) == len(change.before):
        return None
    action: Action = "update" if after else "delete"
    return RouteChange(action, change.vrf, change.prefix, change.before, after, change.reasons)


class _Comparison:
    """Compares one prefix at a time; keeps the list of hops that were held back."""

    def __init__(
        self,
        router: RouterView,
        marks: Marks,
        default_distance: int,
        reasons: Reasons,
        unresolved: frozenset[str],
    ) -> None:
        self._router = router
        self._marks = marks
        self._default = default_distance
        self._distance = router.distance or default_distance
        self._reasons = reasons
        self._unresolved = unresolved
        self._held: dict[str, int] = {}
        self._hops: dict[tuple[str, ...], tuple[NextHop, ...]] = {}

    def change(self, route: DesiredRoute, selected: Selected, present: StaticRoute | None) -> RouteChange | None:
        """The change that makes `present` (ours or nothing) what it shall be; None where it is."""
        before = present.next_hops if present is not None else ()
        if present is not None and self._equal(before, route, selected.addresses):
            return None
        wanted = self._wanted(route, selected.addresses)
        standing = {hop.address: hop for hop in before if self._plain(hop)}
        after = []
        for hop in wanted:
            if hop.address in self._unresolved and hop.address not in standing:
                self._held[hop.address] = self._held.get(hop.address, 0) + 1
                continue
            # A hop that stands as it shall keeps its own written form, so that nothing is rewritten for it.
            same = standing.get(hop.address)
            after.append(same if same is not None and self._matches(same, hop) else hop)
        if not after and not before:
            return None
        if not after:
            return RouteChange("delete", self._router.vrf, route.prefix, before, (), self._reasons.delete(route.prefix))
        if present is None:
            reasons = self._reasons.create(route)
            return RouteChange("create", self._router.vrf, route.prefix, (), tuple(after), reasons)
        if len(after) == len(before) and set(after) == set(before):
            return None
        reasons = self._reasons.update(route, selected, before, after)
        return RouteChange("update", self._router.vrf, route.prefix, before, tuple(after), reasons)

    def skipped(self) -> tuple[Skipped, ...]:
        """The next hops that were held back because the router cannot resolve them."""
        return tuple(
            Skipped(
                f"router {self._router.name}",
                f"next hop {address} cannot be resolved there; held back at "
                f"{count} prefix{'es' if count > 1 else ''}: is a connected subnet missing?",
            )
            for address, count in sorted(self._held.items())
        )

    def _equal(self, before: Sequence[NextHop], route: DesiredRoute, addresses: Sequence[str]) -> bool:
        if route.kind == "discard":
            return len(before) == 1 and before[0].discard and self._at_distance(before[0])
        if len(before) != len(addresses):
            return False
        wanted = set(addresses)
        return all(hop.address in wanted and self._plain(hop) and self._at_distance(hop) for hop in before)

    def _wanted(self, route: DesiredRoute, addresses: tuple[str, ...]) -> tuple[NextHop, ...]:
        if route.kind == "discard":
            return (self._marks.hop(None, self._router.distance, discard=True),)
        hops = self._hops.get(addresses)
        if hops is None:
            hops = tuple(self._marks.hop(address, self._router.distance) for address in addresses)
            self._hops[addresses] = hops
        return hops

    @staticmethod
    def _plain(hop: NextHop) -> bool:
        return hop.interface is None and hop.vrf is None and not hop.discard

    def _at_distance(self, hop: NextHop) -> bool:
        return (hop.distance or self._default) == self._distance

    def _matches(self, running: NextHop, wanted: NextHop) -> bool:
        return self._plain(running) and self._at_distance(running) and running.discard == wanted.discard


def reviewed_changes(
    reviewed: Sequence[RouteChange], running: RunningRoutes, traits: PlatformTraits, rules: Rules, distance: int | None
) -> tuple[RouteChange, ...]:
    """The changes of a reviewed plan on the routes as they run, whose fingerprint is known to be the reviewed one.

    `reviewed` carry addresses alone (from a plan file); each becomes a whole change with marks and attributes.
    """
    marks = traits.marks(rules)
    out = []
    for change in reviewed:
        present = running.get(change.vrf, change.prefix)
        before = present.next_hops if present is not None else ()
        standing: Mapping[str, NextHop] = {hop.label: hop for hop in before}
        after = tuple(_restore(label, standing, marks, distance, traits.default_distance) for label in change.next_hops)
        out.append(RouteChange(change.action, change.vrf, change.prefix, before, after, change.reasons))
    return tuple(out)


def _restore(
    label: str, standing: Mapping[str, NextHop], marks: Marks, distance: int | None, default_distance: int
) -> NextHop:
    fresh = marks.hop(None, distance, discard=True) if label == "discard" else marks.hop(label, distance)
    same = standing.get(label)
    if same is not None and (same.distance or default_distance) == (distance or default_distance):
        return same
    return fresh

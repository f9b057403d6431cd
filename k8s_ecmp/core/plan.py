"""Desired routes against running routes: what shall change on one router, and what stops it.

What is decided for each prefix in the router's VRF:

    desired   running          result
    yes       nothing          create
    yes       ours, equal      nothing
    yes       ours, differs    update
    yes       not ours         conflict: reported, untouched; update where a person adopts it
    no        ours             delete
    no        not ours         nothing
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from k8s_ecmp.core.adoption import Adoptions
from k8s_ecmp.core.compare import Comparison
from k8s_ecmp.core.desired import Desired
from k8s_ecmp.core.guards import hold_prefixes, router_guards
from k8s_ecmp.core.ownership import fingerprint, is_owned
from k8s_ecmp.core.reasons import Reasons, still_wanted
from k8s_ecmp.core.rules import PlatformTraits, Rules
from k8s_ecmp.core.selection import RouterView, Selected, Selection
from k8s_ecmp.core.table import Size, Table, real_hops
from k8s_ecmp.model import (
    Conflict,
    DesiredRoute,
    GuardTrip,
    Prefix,
    RouteChange,
    RouterPlan,
    RouterStatus,
    RunningRoutes,
    Skipped,
    Standing,
)

_MOST_REMARKS = 10  # of a router
_MOST_WITHHELD = 3  # prefixes that are named
_NO_DISCARD = (
    "{} has no endpoint, and a discard route cannot be announced: where it is needed, configure it on the router"
)

_NO_FAMILY = "{} not announced: the router's bgp.families has no ipv{}"


class Withheld(NamedTuple):
    """A change that mode or policy keep back, and what they leave of it."""

    change: RouteChange
    left: RouteChange | None


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

    Raises:
        ParseError: a static line of the router's VRF may be about any prefix.
    """
    marks = traits.marks(rules, router)
    table = Table.of(running, marks, router.vrf)
    withheld: list[Withheld] = []
    scope = () if rules.adopt else None
    plan = plan_prefixes(router, traits, desired, table, rules, unresolved, scope=scope, withheld=withheld)
    touched = [change.prefix for change in plan.changes]
    return msgspec.structs.replace(
        plan,
        fingerprint=fingerprint(running, marks, router.vrf, touched),
        skipped=plan.skipped + _withheld(router, rules, withheld),
        failure_domain=router.failure_domain,
        standing=Standing(frozenset(table.here), frozenset(table.owned)),
        withheld=len(withheld),
    )


def plan_prefixes(
    router: RouterView,
    traits: PlatformTraits,
    desired: Desired,
    table: Table,
    rules: Rules,
    unresolved: Collection[str] = (),
    *,
    scope: Collection[Prefix] | None = None,
    start: Size | None = None,
    made: int | None = None,
    withheld: list[Withheld] | None = None,
) -> RouterPlan:
    """The plan of one router without fingerprint, commands and diff; for some of its prefixes where `scope` names them.

    Args:
        router: its part of the inventory.
        traits: its platform.
        desired: the decision, at least for the prefixes in `scope`.
        table: what runs on it.
        rules: owner, guards, mode and policy.
        unresolved: as for `plan_router`.
        scope: the prefixes to look at; None: all.
        start: what the router carried of ours when the guards' window began; None: what it carries now.
        made: prefixes that were changed on it since then; None: there is no window.
        withheld: is given what mode and policy keep back; None: nobody asks.
    """
    marks = traits.marks(rules, router)
    here = table.here
    selection = Selection(router, desired.nodes)
    reasons = Reasons(desired, selection)
    compare = Comparison(router, marks, traits.default_distance, frozenset(unresolved))
    adoptions = Adoptions(router, compare, marks, rules)
    changes: list[RouteChange] = []
    asked: dict[Prefix, tuple[DesiredRoute, Selected]] = {}
    conflicts: list[Conflict] = []
    wanted: dict[Prefix, str] = still_wanted(desired)
    left_out: list[Skipped] = []
    other_family: list[Prefix] = []
    for route in _about(desired, rules):
        if route.kind == "discard" and not traits.discards:
            left_out.append(Skipped(f"router {router.name}", _NO_DISCARD.format(route.prefix)))
            continue
        if route.prefix.family not in router.families:
            other_family.append(route.prefix)
            continue
        selected = selection.of(route)
        present = here.get(route.prefix)
        if not selected.addresses and route.kind != "discard":
            continue
        asked[route.prefix] = (route, selected)
        if route.kind != "discard":
            wanted[route.prefix] = "no next hop that may be written gives it"
        if present is not None and not is_owned(present, marks):
            outcome = adoptions.of(route, selected.addresses, present)
            if isinstance(outcome, Conflict):
                conflicts.append(outcome)
            else:
                changes.append(outcome)
        elif not rules.adopt and (change := compare.change(route, selected.addresses, present)) is not None:
            changes.append(change)
    changes += [
        RouteChange("delete", router.vrf, prefix, table.owned[prefix].next_hops, ())
        for prefix in (table.owned if scope is None else scope)
        if prefix not in asked and prefix in table.owned
    ]
    changes.sort(key=lambda change: change.prefix)
    left_out += _not_announced(router, other_family)
    closed = dict(table.running.closed)
    conflicts += [
        Conflict(router.vrf, change.prefix, closed[change.prefix.family])
        for change in changes
        if change.prefix.family in closed and change.add
    ]
    allowed = _allowed(changes, closed, rules, withheld)
    # A freeze lets withdrawals of dead nodes through: what stands in a route of others is no node of ours.
    standing = () if rules.adopt else (hop.address for change in allowed for hop in change.before if hop.address)
    dead = {address for address in standing if reasons.is_dead(address)}
    kept, prefix_trips = hold_prefixes(router.name, allowed, wanted, dead, rules.freeze, rules.overrides)
    kept = adoptions.whole(kept)
    size = adoptions.beside(table.size)
    trips = prefix_trips + router_guards(
        router.name, kept, size, traits.limits, rules.guards, rules.overrides, start, made
    )
    return RouterPlan(
        name=router.name,
        platform=traits.name,
        status=_status(kept, conflicts, trips, rules.holds),
        changes=tuple(adoptions.explained(reasons.explained(change, asked.get(change.prefix))) for change in kept),
        conflicts=tuple(conflicts),
        guards=trips,
        skipped=compare.skipped() + tuple(left_out) + _remarks(router, table.running),
    )


def by_drains(plan: RouterPlan, desired: Desired, router: RouterView) -> dict[str, Size]:
    """Node -> what a plan takes away because it drains."""
    reasons = Reasons(desired, Selection(router, desired.nodes))
    drained: dict[str, Size] = {}
    for change in plan.changes:
        staying = set(change.next_hops)
        leaving = [hop.address for hop in change.before if hop.label not in staying and hop.address is not None]
        nodes = [node for address in leaving if (node := reasons.draining(address)) is not None]
        for number, node in enumerate(nodes):
            known = drained.get(node, Size())
            whole = number == 0 and len(nodes) == len(change.before) and not real_hops(change.after)
            gone = whole and not change.after
            drained[node] = Size(known.prefixes + gone, known.hops + 1, known.dropped - (whole and not gone))
    return drained


def _about(desired: Desired, rules: Rules) -> Sequence[DesiredRoute]:
    """The desired routes that a plan is about."""
    return [route for route in desired.routes if route.prefix in rules.adopt] if rules.adopt else desired.routes


def _not_announced(router: RouterView, prefixes: Sequence[Prefix]) -> list[Skipped]:
    """That prefixes are of a family that the router's sessions do not carry, in a sentence."""
    if not prefixes:
        return []
    more = f" and {len(prefixes) - 1} more are" if len(prefixes) > 1 else " is"
    reason = _NO_FAMILY.format(f"{prefixes[0]}{more}", prefixes[0].family)
    return [Skipped(f"router {router.name}", reason)]


def _remarks(router: RouterView, running: RunningRoutes) -> tuple[Skipped, ...]:
    """What was not understood of the router's configuration."""
    notes = running.notes
    said = [f"line {note.line}: {note.text!r}: {note.reason}" for note in notes[:_MOST_REMARKS]]
    said += [f"and {len(notes) - len(said)} more lines like these"] if len(notes) > len(said) else []
    return tuple(Skipped(f"router {router.name}", reason) for reason in said)


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


def _allowed(
    changes: Sequence[RouteChange], closed: Collection[int], rules: Rules, withheld: list[Withheld] | None
) -> list[RouteChange]:
    """What policy and mode leave of changes, and of those in a closed address family what they take away."""
    allowed: list[RouteChange] = []
    for change in changes:
        possible = _removals(change) if change.prefix.family in closed else change
        if possible is None:
            continue
        left = _permit(possible, rules)
        if left is not None:
            allowed.append(left)
        if withheld is not None and left is not possible and (left is None or set(left.after) != set(possible.after)):
            withheld.append(Withheld(possible, left))
    return allowed


def _removals(change: RouteChange) -> RouteChange | None:
    """What a change takes away; None where it takes nothing."""
    if change.action == "delete":
        return change
    staying = set(change.next_hops)
    after = tuple(hop for hop in change.before if hop.label in staying)
    if change.action == "create" or len(after) == len(change.before):
        return None
    return RouteChange.between(change.vrf, change.prefix, change.before, after)


def _permit(change: RouteChange, rules: Rules) -> RouteChange | None:
    """What policy and mode leave of a change."""
    left = _removals(change) if rules.mode == "withdraw-only" else change
    if left is None or (left.action == "delete" and rules.policy != "sync"):
        return None
    return None if left.action == "update" and rules.policy == "create-only" else left


def _withheld(router: RouterView, rules: Rules, withheld: Sequence[Withheld]) -> tuple[Skipped, ...]:
    """What mode and policy keep back of a router, in a sentence."""
    if not withheld:
        return ()
    settings = [f"mode {rules.mode}"] if rules.mode == "withdraw-only" else []
    settings += [f"policy {rules.policy}"] if rules.policy != "sync" else []
    named = [
        f"{one.change.action} {one.change.prefix}" + ("" if one.left is None else " in part")
        for one in withheld[:_MOST_WITHHELD]
    ]
    rest = len(withheld) - len(named)
    count = "1 change is" if len(withheld) == 1 else f"{len(withheld)} changes are"
    more = f" and {rest} more" if rest else ""
    reason = f"{count} withheld by {' and '.join(settings)}: {', '.join(named)}{more}"
    return (Skipped(f"router {router.name}", reason),)

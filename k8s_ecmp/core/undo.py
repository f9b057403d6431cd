"""The plan that takes an earlier change back: its inverse, where the router still is as that change left it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from k8s_ecmp.core.guards import router_guards
from k8s_ecmp.core.ownership import Marks, fingerprint, is_owned
from k8s_ecmp.core.rules import PlatformTraits, Rules
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.core.table import Table
from k8s_ecmp.model import DISCARD, NextHop, Outcome, Prefix, RouteChange, RouterPlan, RunningRoutes, Skipped


class Done(msgspec.Struct, frozen=True):
    """One prefix of a change that was made: labels of its hops before and after, and their distance before.

    `adopted` are the hops that stood there without our marks, as people read them.
    """

    vrf: str
    prefix: Prefix
    before: tuple[str, ...]
    after: tuple[str, ...]
    distance: int | None = None
    adopted: tuple[str, ...] = ()


def done_of(changes: Sequence[dict[str, Any]]) -> tuple[Done, ...]:
    """What the journal keeps of changes."""
    return tuple(
        Done(
            c["vrf"],
            Prefix.parse(c["prefix"]),
            tuple(c["before"]),
            tuple(c["after"]),
            c["distance"],
            tuple(c.get("adopted", ())),
        )
        for c in changes
    )


def became_of(done: Sequence[Done], running: RunningRoutes, marks: Marks) -> tuple[Outcome, str | None]:
    """What became of a change whose process died, by the routes of now.

    Returns:
        "committed" where all of it is in force, "rolled-back" where nothing is, else "failed"; and what to say.
    """
    stands = gone = other = 0
    for was in done:
        route = running.get(was.vrf, was.prefix)
        now = {hop.label for hop in route.next_hops} if route is not None else set[str]()
        ours = route is None or is_owned(route, marks)
        if now == set(was.after) and ours:
            stands += 1
        elif now == set(was.before):
            gone += 1
        else:
            other += 1
    if stands == len(done):
        return "committed", None
    if gone == len(done):
        return "rolled-back", "nothing of it is in force"
    return "failed", f"of its {len(done)} prefixes {stands} are as it left them, {gone} as before, {other} as neither"


def plan_undo(
    router: RouterView, traits: PlatformTraits, done: Sequence[Done], running: RunningRoutes, rules: Rules, why: str
) -> RouterPlan:
    """The plan of one router, without commands and diff. What was changed since by others or by us is left as it is.

    Args:
        router: its part of the inventory.
        traits: its platform.
        done: what the change did.
        running: what runs now.
        rules: owner, guards, mode and policy; the cluster is not asked.
        why: what every change says as its reason.
    """
    marks = traits.marks(rules, router)
    table = Table.of(running, marks, router.vrf)
    changes: list[RouteChange] = []
    skipped: list[Skipped] = []
    for was in done:
        route = running.get(was.vrf, was.prefix)
        now = route.next_hops if route is not None else ()
        if was.vrf != router.vrf:
            skipped.append(_left(router, was, f"the inventory has VRF {router.vrf} for this router now, not {was.vrf}"))
        elif was.adopted:
            skipped.append(_left(router, was, f"it was adopted, and stood there as {', '.join(was.adopted)} before"))
        elif {hop.label for hop in now} == set(was.before):
            skipped.append(_left(router, was, "it is as it was before the change already"))
        elif {hop.label for hop in now} != set(was.after) or (route is not None and not is_owned(route, marks)):
            skipped.append(_left(router, was, "it was changed since"))
        else:
            standing = {hop.label: hop for hop in now}
            after = tuple(_restored(label, standing, marks, was.distance) for label in was.before)
            change = RouteChange.between(was.vrf, was.prefix, now, after)
            changes.append(msgspec.structs.replace(change, reasons=(why,)))
    changes.sort(key=lambda change: change.prefix)
    trips = router_guards(router.name, changes, table.size, traits.limits, rules.guards, rules.overrides)
    blocked = changes and (trips or rules.holds)
    return RouterPlan(
        name=router.name,
        platform=traits.name,
        status="blocked" if blocked else "changes" if changes else "in-sync",
        fingerprint=fingerprint(running, marks, router.vrf, [change.prefix for change in changes]),
        changes=tuple(changes),
        guards=trips,
        skipped=tuple(skipped),
        failure_domain=router.failure_domain,
    )


def _left(router: RouterView, was: Done, why: str) -> Skipped:
    return Skipped(f"router {router.name}", f"{was.prefix}: {why}; it is left alone")


def _restored(label: str, standing: dict[str, NextHop], marks: Marks, distance: int | None) -> NextHop:
    kept = standing.get(label)
    if kept is not None and kept.distance == distance:
        return kept
    return marks.hop(None if label == DISCARD else label, distance, discard=label == DISCARD)

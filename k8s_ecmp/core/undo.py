"""The plan that takes an earlier change back: its inverse, where the router still is as that change left it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from k8s_ecmp.core.configured import hop_key, hop_keys
from k8s_ecmp.core.guards import router_guards
from k8s_ecmp.core.ownership import Marks, fingerprint, is_marked, is_owned
from k8s_ecmp.core.rules import PlatformTraits, Rules
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.core.table import Table
from k8s_ecmp.model import (
    DISCARD,
    NextHop,
    Outcome,
    Prefix,
    RouteChange,
    RouterPlan,
    RunningRoutes,
    Skipped,
    canonical_address,
)


class Stood(msgspec.Struct, frozen=True):
    """The hops of a prefix on one side of a change: their labels, and with everything on them.

    `hops` None: the entry knows labels alone, as it was written by an older program, or they are others'.
    """

    labels: tuple[str, ...]
    hops: tuple[NextHop, ...] | None = None

    def are(self, now: Sequence[NextHop], default_distance: int) -> bool:
        """Whether these hops stand now, as far as the journal knows them."""
        if self.hops is None:
            return {hop.label for hop in now} == set(self.labels)
        return hop_keys(now, default_distance) == hop_keys(self.hops, default_distance)


class Done(msgspec.Struct, frozen=True):
    """One prefix of a change that was made: its hops before and after, and the distance that they all had before.

    `adopted` are the hops that stood there without our marks, as people read them.
    """

    vrf: str
    prefix: Prefix
    before: Stood
    after: Stood
    distance: int | None = None
    adopted: tuple[str, ...] = ()


def done_of(changes: Sequence[dict[str, Any]]) -> tuple[Done, ...]:
    """What the journal keeps of changes."""
    return tuple(
        Done(
            c["vrf"],
            Prefix.parse(c["prefix"]),
            _stood(c, "before"),
            _stood(c, "after"),
            c["distance"],
            tuple(c.get("adopted", ())),
        )
        for c in changes
    )


def _stood(change: dict[str, Any], side: Literal["before", "after"]) -> Stood:
    hops = change.get("hops", {}).get(side)
    return Stood(tuple(change[side]), None if hops is None else msgspec.convert(hops, tuple[NextHop, ...]))


def became_of(
    done: Sequence[Done], running: RunningRoutes, marks: Marks, default_distance: int
) -> tuple[Outcome, str | None]:
    """What became of a change whose process died, by the routes of now.

    Args:
        done: the change.
        running: the routes of now.
        marks: ours on this platform.
        default_distance: what a route has on which no distance is written.

    Returns:
        "committed" where all of it is in force, "rolled-back" where nothing is, else "failed"; and what to say.
    """
    stands = gone = other = 0
    for was in done:
        route = running.get(was.vrf, was.prefix)
        now = route.next_hops if route is not None else ()
        ours = route is None or is_owned(route, marks)
        if was.after.are(now, default_distance) and ours:
            stands += 1
        elif was.before.are(now, default_distance):
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
    default = traits.default_distance
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
        elif was.before.are(now, default):
            skipped.append(_left(router, was, "it is as it was before the change already"))
        elif not was.after.are(now, default) or (route is not None and not is_owned(route, marks)):
            skipped.append(_left(router, was, "it was changed since"))
        elif (lost := _lost(was, now, marks)) is not None:
            skipped.append(_left(router, was, f"how its next hop {lost} was written is not in the journal"))
        else:
            change = RouteChange.between(was.vrf, was.prefix, now, _restored(was, now, marks, default))
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


def _lost(was: Done, now: Sequence[NextHop], marks: Marks) -> str | None:
    """A next hop of before that the journal does not tell so that it could be written again as ours; None: none."""
    if was.before.hops is not None:
        return next((hop.label for hop in was.before.hops if not is_marked(hop, marks)), None)
    known = {DISCARD, *(hop.label for hop in now)}
    return next((label for label in was.before.labels if label not in known and not _is_address(label)), None)


def _restored(was: Done, now: Sequence[NextHop], marks: Marks, default_distance: int) -> tuple[NextHop, ...]:
    """The hops of before. One that stands as it shall keeps its written form, so that nothing is rewritten for it."""
    standing = {hop.label: hop for hop in now}
    before = was.before.hops
    if before is None:
        before = tuple(_of_label(label, standing, marks, was.distance) for label in was.before.labels)
    kept = {hop_key(hop, default_distance): hop for hop in now}
    return tuple(kept.get(hop_key(hop, default_distance), hop) for hop in before)


def _of_label(label: str, standing: Mapping[str, NextHop], marks: Marks, distance: int | None) -> NextHop:
    """A hop of which the journal knows no more than the label, and the distance where all had the same."""
    kept = standing.get(label)
    if kept is not None:
        return msgspec.structs.replace(kept, distance=distance)
    return marks.hop(None if label == DISCARD else label, distance, discard=label == DISCARD)


def _is_address(label: str) -> bool:
    try:
        canonical_address(label)
    except ValueError:
        return False
    return True

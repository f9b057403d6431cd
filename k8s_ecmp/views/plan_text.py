"""A plan as text for a terminal or a pipe.

On a terminal long lists are shortened, with a word on how to see them all, and prose is wrapped to its width. In a pipe
everything is there, one thing a line.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from k8s_ecmp.model import DEFAULT_VRF, DISCARD, Conflict, GuardTrip, Plan, RouteChange, RouterPlan, Skipped
from k8s_ecmp.views.page import MOST_WORDS, Page, Part, counted, header, status
from k8s_ecmp.views.schema import Summary

if TYPE_CHECKING:
    from rich.console import Console

# What a terminal shows of one router, or of one list; people who read on use a pager or a file.
_MOST_DIFF_LINES = 200
_MOST_CHANGES = 100
_MOST_ITEMS = 20
_SEE_ALL = "`| less`, `--format json` or `--out FILE.plan` shows all"

_SIGNS = {"create": "+", "update": "~", "delete": "-"}
_CHANGE_STYLES = {"create": "green", "update": "yellow", "delete": "red"}
_DIFF_STYLES = {"+": "green", "-": "red", " ": "dim"}


class _Entry(NamedTuple):
    """A change as it is shown."""

    reasons: tuple[str, ...]
    prefix: str
    hops: str
    action: str


def print_plan(plan: Plan, console: "Console | None" = None, *, times: bool = False) -> None:
    """Shows a plan.

    Args:
        plan: made now, or read from a file.
        console: rich's; None: standard output.
        times: show when it was made and when it expires, for a plan that comes from a file.
    """
    page = Page(console)
    digest = plan.cluster_digest.removeprefix("sha256:")[:12]
    page.prose(f"owner {plan.owner}, tag {plan.tag}; cluster {plan.cluster_source} (desired routes {digest})")
    if times:
        page.prose(f"made {plan.created:%Y-%m-%d %H:%M:%S} UTC, expires {plan.expires:%Y-%m-%d %H:%M:%S} UTC")
    page.line()
    if plan.holds:
        page.line(("Held: nothing is written to any router", "bold red"))
        _guards(page, plan.holds)
        page.line()
    _plan_table(page, plan.routers)
    seen: dict[object, str] = {}
    for router in plan.routers:
        if router.changes or router.conflicts or router.guards:
            page.line()
            _router(page, router, seen)
    if plan.skipped:
        page.line()
        skipped_objects(page, plan.skipped)
    page.line()
    page.prose(_summary(plan.routers), style="bold")
    page.show()


def _plan_table(page: Page, routers: Sequence[RouterPlan]) -> None:
    rows: list[list[Part]] = []
    for router in routers:
        summary = Summary.of((router,))
        gained = lost = 0
        for change in router.changes:
            before, after = {hop.label for hop in change.before}, {hop.label for hop in change.after}
            gained += len(after - before)
            lost += len(before - after)
        rows.append(
            [
                router.name,
                router.platform or "-",
                status(router.status),
                f"+{summary.create} ~{summary.update} -{summary.delete}" if router.changes else "-",
                f"+{gained} -{lost}" if router.changes else "-",
                (str(len(router.conflicts)), "magenta") if router.conflicts else "-",
            ]
        )
    head, *lines = page.table([header("ROUTER", "PLATFORM", "STATUS", "PREFIXES", "NEXT HOPS", "CONFLICTS"), *rows])
    page.line(*head)
    for router, line in zip(routers, lines, strict=True):
        page.line(*line)
        if router.error:
            page.prose(router.error, style="red", indent=2)


def _router(page: Page, router: RouterPlan, seen: dict[object, str]) -> None:
    """Changes, diff, guards and conflicts of one router; what an earlier one had as well is not repeated."""
    held = router.status == "blocked"
    page.line((router.name, "bold"), ": blocked, these changes are not written" if held and router.changes else "")
    if router.changes:
        twin = seen.setdefault(tuple(map(_entry, router.changes)), router.name)
        if twin == router.name:
            _changes(page, router.changes)
        else:
            page.line(f"  the same {counted(len(router.changes), 'change')} as on {twin}")
    if router.diff:
        twin = seen.setdefault((router.diff, router.diff_source), router.name)
        source = "computed by the device" if router.diff_source == "device" else "predicted"
        page.line(("  diff", "bold"), f", {source}" + ("" if twin == router.name else f": the same as on {twin}"))
        if twin == router.name:
            lines = router.diff.removesuffix("\n").split("\n")
            page.block(page.first(lines, _MOST_DIFF_LINES), _DIFF_STYLES, indent=4)
            page.left_out(lines, _MOST_DIFF_LINES, "lines", indent=4, how=_SEE_ALL)
    _guards(page, router.guards)
    _conflicts(page, router.conflicts)


def _entry(change: RouteChange, *, brief: bool = False) -> _Entry:
    """The change in words; `brief` counts the hops that stay, when they are many."""
    prefix = str(change.prefix) + (f" vrf {change.vrf}" if change.vrf != DEFAULT_VRF else "")
    before, after = [hop.label for hop in change.before], [hop.label for hop in change.after]
    if change.action != "update":
        hops = after or before
        count = "" if hops == [DISCARD] else f"{counted(len(hops), 'next hop')}: "
        return _Entry(change.reasons, prefix, count + " ".join(hops), change.action)
    left, kept = set(before), set(after)
    hops = [label for label in after if label in left]
    if brief and len(hops) > MOST_WORDS:
        hops = [f"{len(hops)} stay"]
    hops += [f"+{label}" for label in after if label not in left]
    hops += [f"-{label}" for label in before if label not in kept]
    text = f"{len(before)} -> {counted(len(after), 'next hop')}: {' '.join(hops)}"
    return _Entry(change.reasons, prefix, text, change.action)


def _changes(page: Page, changes: Sequence[RouteChange]) -> None:
    """Changes under what they have as their reason; that is short when one node's loss concerns a thousand prefixes."""
    groups: dict[tuple[str, ...], list[_Entry]] = {}
    for change in page.first(changes, _MOST_CHANGES):
        groups.setdefault(change.reasons, []).append(_entry(change, brief=page.is_terminal))
    width = max(len(entry.prefix) for group in groups.values() for entry in group)
    for reasons, group in groups.items():
        for reason in reasons:
            page.prose(reason, indent=2, hang=4)
        for entry in group:
            text = f"{_SIGNS[entry.action]} {entry.prefix.ljust(width)}  {entry.hops}"
            page.prose(text, style=_CHANGE_STYLES[entry.action], indent=4, hang=min(width + 8, 24))
    page.left_out(changes, _MOST_CHANGES, "changes", indent=2, how=_SEE_ALL)


def _guards(page: Page, trips: Sequence[GuardTrip]) -> None:
    for trip in page.first(trips, _MOST_ITEMS):
        what = f" holds {trip.prefix}" if trip.prefix is not None else ""
        page.prose(f"guard {trip.guard}{what}: {trip.detail}", style="red", indent=2, hang=4)
    page.left_out(trips, _MOST_ITEMS, "tripped guards", indent=2)
    if trips:
        options = " ".join(f"--override {guard}" for guard in dict.fromkeys(trip.guard for trip in trips))
        page.line(f"    to go on all the same: {options}")


def _conflicts(page: Page, conflicts: Sequence[Conflict]) -> None:
    for conflict in page.first(conflicts, _MOST_ITEMS):
        vrf = f" vrf {conflict.vrf}" if conflict.vrf != DEFAULT_VRF else ""
        page.prose(f"conflict {conflict.prefix}{vrf}: {conflict.reason}", style="magenta", indent=2, hang=4)
    page.left_out(conflicts, _MOST_ITEMS, "conflicts", indent=2)
    if conflicts:
        page.line("    left alone; ours is created once that route is removed from the router")


def _summary(routers: Sequence[RouterPlan]) -> str:
    count = Summary.of(routers)
    changing = sum(bool(router.changes) for router in routers)
    blocked = sum(router.status == "blocked" for router in routers)
    if not (changing or count.conflict or count.failed or blocked):
        return f"No changes: {counted(len(routers), 'router')} in sync."
    parts = [
        f"{count.create} to create, {count.update} to update, {count.delete} to delete "
        f"on {counted(changing, 'router')}",
        counted(count.conflict, "conflict"),
        f"{count.failed} failed",
    ]
    if blocked:
        parts.append(f"{blocked} blocked")
    return f"Plan: {'; '.join(parts)}."


def skipped_objects(page: Page, skipped: Sequence[Skipped]) -> None:
    """What was left out, one a line; on a terminal many with one reason share a line."""
    page.line((f"Skipped ({len(skipped)})", "bold"))
    by_reason: dict[str, list[str]] = {}
    for skip in skipped:
        by_reason.setdefault(skip.reason, []).append(skip.object)
    lines = [f"{skip.object}: {skip.reason}" for skip in skipped]
    if page.is_terminal and len(lines) > _MOST_ITEMS:
        lines = [f"{page.few(objects, ', ')}: {reason}" for reason, objects in by_reason.items()]
    for line in page.first(lines, _MOST_ITEMS):
        page.prose(line, indent=2, hang=4)
    page.left_out(lines, _MOST_ITEMS, "lines", indent=2)

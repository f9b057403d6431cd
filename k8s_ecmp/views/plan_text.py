"""A plan as text for a terminal or a pipe.

On a terminal long lists are shortened, with a word on how to see them all, and prose is wrapped to its width. In a pipe
everything is there, one thing a line.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from k8s_ecmp.model import Plan, Skipped
from k8s_ecmp.views import plan_rollout as rollout
from k8s_ecmp.views import plan_rows as rows
from k8s_ecmp.views.page import MOST_WORDS, Page, Part, header, status
from k8s_ecmp.views.plan_about import UNWRITTEN, PlanFile, about, scope, terms, time_text
from k8s_ecmp.views.plan_flows import MEANING, TITLE, flow_lines

if TYPE_CHECKING:
    from rich.console import Console

# What a terminal shows of one group of routers, or of one list; people who read on use a pager or a file.
_MOST_DIFF_LINES = 200
_MOST_CHANGES = 100
_MOST_ITEMS = 20
_SEE_ALL = "`| less`, `--format json` or `--out FILE.plan` shows all"

_CHANGE_STYLES = {"create": "green", "update": "yellow", "delete": "red"}
_DIFF_STYLES = {"+": "green", "-": "red", " ": "dim"}


def print_plan(
    plan: Plan, console: "Console | None" = None, *, file: PlanFile | None = None, applies: bool = False
) -> None:
    """Shows a plan.

    Args:
        plan: made now, or read from a file.
        console: rich's; None: standard output.
        file: where it is kept; None: nowhere.
        applies: whoever shows it is about to apply it: what is said for a review alone is left out then.
    """
    page = Page(console)
    sheet = rows.Sheet(plan)
    what = about(plan, file)
    made = f"Route plan of owner {plan.owner}, made {time_text(plan.created)} from {plan.cluster_source}."
    page.prose(made if applies else f"{made} {UNWRITTEN}")
    page.prose(scope(plan))
    if said := terms(plan):
        page.prose(said, style="bold yellow")
    if plan.overrides:
        page.prose(rows.overridden(plan.overrides), style="bold yellow")
    page.line()
    held = sheet.held()
    applying = f"k8s-ecmp apply{'' if file is None else f' {file.path}'}" if applies else None
    if plan.holds:
        page.line((rows.HELD, "bold red"))
        _guards(page, [one for one in held if one.everything], applying)
        page.line()
    _plan_table(page, sheet)
    for group in sheet.groups:
        page.line()
        _group(page, group)
    if some := [one for one in held if not one.everything]:
        page.line()
        page.line(("Guards", "bold"))
        _guards(page, some, applying)
    if clashes := sheet.clashes():
        page.line()
        _conflicts(page, clashes)
    if stages := rollout.waves(plan):
        page.line()
        _order(page, plan, stages)
    if plan.skipped:
        page.line()
        skipped_objects(page, plan.skipped)
    if sheet.changes and not applies:
        page.line()
        page.line(("About this plan", "bold"))
        for fact in what.facts:
            page.prose(str(fact), indent=2, hang=4)
    page.line()
    page.prose(rows.summary(plan.routers), style="bold")
    if applies:
        page.line()
    else:
        page.prose(f"{UNWRITTEN} {what.next_step}" if sheet.changes else what.next_step)
    page.show()


def _order(page: Page, plan: Plan, stages: Sequence[rollout.Wave]) -> None:
    """In which order, and how it is undone."""
    page.line((rollout.ORDER_TITLE, "bold"))
    for stage in page.first(stages, _MOST_ITEMS):
        page.prose(f"{stage.title}: {page.few(stage.routers, ', ')}", indent=2, hang=4)
    page.left_out(stages, _MOST_ITEMS, "waves", indent=2, how=_SEE_ALL)
    for sentence in rollout.rules(plan):
        page.prose(sentence, indent=4)
    page.line()
    page.line((rollout.UNDO_TITLE, "bold"))
    for sentence, routers in rollout.undo_lines(plan):
        page.prose(f"{page.few(routers, ', ')}: {sentence}", indent=2, hang=4)
    page.prose(rollout.later(plan), indent=2)


def _plan_table(page: Page, sheet: rows.Sheet) -> None:
    cells: list[list[Part]] = []
    for router in sheet.plan.routers:
        row: list[Part] = list(sheet.router_row(router))
        row[rows.STATUS_COLUMN] = status(router.status)
        if router.conflicts:
            row[-1] = (str(len(router.conflicts)), "magenta")
        cells.append(row)
    head, *found = page.rows([header(*rows.COLUMNS), *cells])
    page.lines(head)
    for router, lines in zip(sheet.plan.routers, found, strict=True):
        page.lines(lines)
        if router.error:
            page.prose(router.error, style="red", indent=2)
    for line in rows.legend(sheet.plan):
        page.prose(line, style="dim")
    if flows := flow_lines(sheet.plan):
        page.line()
        page.line((TITLE, "bold"))
        for sentence, routers in flows:
            page.prose(f"{page.few(routers, ', ')}: {sentence}", indent=2, hang=4)
        page.prose(MEANING, style="dim", indent=2)


def _group(page: Page, group: rows.Group) -> None:
    """Changes and diffs of the routers that have them in common."""
    names = page.few(group.routers, ", ")
    page.line((names, "bold"), f": {rows.NOT_WRITTEN}" if group.blocked and group.rows else "")
    _changes(page, group.rows)
    for diff in group.diffs:
        where = "" if diff.routers == group.routers else f" on {page.few(diff.routers, ', ')}"
        same = "" if diff.twin is None else f": the same as on {diff.twin}"
        page.line((f"  diff of the {diff.what}", "bold"), f"{where}, {diff.source}{same}")
        if diff.twin is None:
            page.block(page.first(diff.lines, _MOST_DIFF_LINES), _DIFF_STYLES, indent=4)
            page.left_out(diff.lines, _MOST_DIFF_LINES, "lines", indent=4, how=_SEE_ALL)


def _hops(row: rows.Row, *, brief: bool) -> str:
    """The hops in words; `brief` counts those that stay, when they are many."""
    if row.action != "update":
        return f"{row.numbers}: {' '.join(row.after or row.before)}"
    stay = row.stay
    if brief and len(stay) > MOST_WORDS:
        stay = [f"{len(stay)} stay"]
    return f"{row.numbers}: {' '.join([*stay, *(f'+{hop}' for hop in row.gained), *(f'-{hop}' for hop in row.lost)])}"


def _changes(page: Page, changes: Sequence[rows.Row]) -> None:
    shown = page.first(changes, _MOST_CHANGES)
    width = max((len(row.prefix) for row in shown), default=0)
    for cause in rows.causes(shown):
        for line in cause.lines:
            page.prose(line, indent=2, hang=4)
        for row in cause.rows:
            text = f"{row.sign} {row.prefix.ljust(width)}  {_hops(row, brief=page.is_terminal)}"
            page.prose(text, style=_CHANGE_STYLES[row.action], indent=4, hang=min(width + 8, 24))
    page.left_out(changes, _MOST_CHANGES, "changes", indent=2, how=_SEE_ALL)


def _guards(page: Page, found: Sequence[rows.Held], applying: str | None) -> None:
    for held in found:
        for detail, routers in page.first(held.details, _MOST_ITEMS):
            where = f" on {page.few(routers, ', ')}" if routers else ""
            page.prose(f"guard {held.guard}{where}: {detail}", style="red", indent=2, hang=4)
        page.left_out(held.details, _MOST_ITEMS, "of this guard", indent=2)
        page.prose(f"{held.meaning} {held.what}".strip(), indent=4)
        page.prose(f"to do: {held.remedy}; if all is as it should be, {held.lifted(applying)}", indent=4)


def _conflicts(page: Page, clashes: Sequence[rows.Clash]) -> None:
    page.line(("Conflicts", "bold"))
    for clash in page.first(clashes, _MOST_ITEMS):
        text = f"conflict {clash.prefix} on {page.few(clash.routers, ', ')}: {clash.reason}"
        page.prose(text, style="magenta", indent=2, hang=4)
        for what, routers in clash.elsewhere:
            page.prose(f"at this prefix on {page.few(routers, ', ')}: {what}", indent=4, hang=6)
    page.left_out(clashes, _MOST_ITEMS, "conflicts", indent=2)
    page.prose(rows.CONFLICT_REMEDY, indent=4)


def skipped_objects(page: Page, skipped: Sequence[Skipped]) -> None:
    """What was left out, one a line; on a terminal many with one reason share a line."""
    page.line((f"Skipped ({len(skipped)})", "bold"), f": objects {rows.SKIPPED_WORDS}")
    by_reason: dict[str, list[str]] = {}
    for skip in skipped:
        by_reason.setdefault(skip.reason, []).append(skip.object)
    lines = [f"{skip.object}: {skip.reason}" for skip in skipped]
    if page.is_terminal and len(lines) > _MOST_ITEMS:
        lines = [f"{page.few(objects, ', ')}: {reason}" for reason, objects in by_reason.items()]
    for line in page.first(lines, _MOST_ITEMS):
        page.prose(line, indent=2, hang=4)
    page.left_out(lines, _MOST_ITEMS, "lines", indent=2)

"""A daemon's report as text for a terminal or a pipe."""

from typing import TYPE_CHECKING

from k8s_ecmp.model import Skipped
from k8s_ecmp.views import status_rows as rows
from k8s_ecmp.views.page import Page, Part, counted, header, status
from k8s_ecmp.views.plan_text import skipped_objects

if TYPE_CHECKING:
    from rich.console import Console

    from k8s_ecmp.report import DaemonReport

_MOST_NOTES = 20
_MOST_NODES = 50
_STATE_STYLES = {"pending": "yellow", "held": "bold red"}
_NOTE_STYLES = {"error": "red", "guard": "red", "drift": "yellow", "conflict": "magenta", "warning": "yellow"}


def print_status(report: "DaemonReport", console: "Console | None" = None) -> None:
    """Shows a report: the daemon, what holds, routers, watches, nodes that are no next hops, skipped objects.

    Args:
        report: the daemon's.
        console: rich's; None: standard output.
    """
    page = Page(console)
    facts = rows.facts(report)
    width = max(len(name) for name, _ in facts) + 2
    for name, text in facts:
        style = "bold red" if name == "ready" and not report.ready else ""
        page.prose(f"{name.ljust(width)}{text}", style=style, hang=width)
    if report.holds:
        page.line()
        page.line(("Held: nothing is written to any router", "bold red"))
        for trip in report.holds:
            page.prose(f"guard {trip.guard}: {trip.detail}", style="red", indent=2, hang=4)
    page.line()
    _routers(page, report)
    if report.watches:
        page.line()
        _watches(page, report)
    page.line()
    _nodes(page, report)
    if report.skipped:
        page.line()
        skipped_objects(page, [Skipped(name, reason) for name, reason in report.skipped])
    page.line()
    page.prose(_summary(report), style="bold")
    page.show()


def _routers(page: Page, report: "DaemonReport") -> None:
    cells: list[list[Part]] = []
    for router in report.routers:
        row: list[Part] = list(rows.router_row(router, report.now))
        style = _STATE_STYLES.get(router.state)
        row[rows.STATE_COLUMN] = (router.state, style) if style else status(router.state)
        cells.append(row)
    head, *found = page.rows([header(*rows.ROUTER_COLUMNS), *cells])
    page.lines(head)
    for router, lines in zip(report.routers, found, strict=True):
        page.lines(lines)
        notes = list(rows.router_notes(router))
        for note in page.first(notes, _MOST_NOTES):
            page.prose(note.text, style=_NOTE_STYLES[note.level], indent=2, hang=4)
        page.left_out(notes, _MOST_NOTES, "lines", indent=2)


def _watches(page: Page, report: "DaemonReport") -> None:
    watches = rows.watch_rows(report)
    head, *lines = page.table([header(*rows.WATCH_COLUMNS), *(row for row, _ in watches)])
    page.line(*head)
    for (_, reason), line in zip(watches, lines, strict=True):
        page.line(*line)
        if reason:
            page.prose(reason, style="red", indent=2, hang=4)


def _nodes(page: Page, report: "DaemonReport") -> None:
    page.line((rows.nodes_summary(report), "bold"))
    found = rows.node_rows(report)
    if not found:
        return
    page.told([rows.NODE_COLUMNS, *page.first(found, _MOST_NODES)], indent=2, head="bold")
    page.left_out(found, _MOST_NODES, "nodes", indent=2)


def _summary(report: "DaemonReport") -> str:
    if not report.ready:
        return f"Not ready: {report.not_ready or 'the reason is not known'}."
    if rows.holds_something(report):
        return "Ready; a guard holds changes."
    if not report.leading:
        return "Ready, standing by."
    pending = sum(router.pending for router in report.routers)
    return f"Ready; {counted(pending, 'change')} pending on {counted(len(report.routers), 'router')}."

"""Desired routes, results of an apply and of a verify as text for a terminal or a pipe; plans are in `plan_text`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from k8s_ecmp.model import CommitResult, DesiredRoute, Skipped
from k8s_ecmp.views.apply_report import NOT_KEPT, Kept
from k8s_ecmp.views.next_step import NextSteps
from k8s_ecmp.views.page import Page, counted, header, length, status
from k8s_ecmp.views.plan_rows import overridden
from k8s_ecmp.views.plan_text import print_plan, skipped_objects

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_desired", "print_plan", "print_results", "print_verify"]

_MOST_DETAILS = 100


def print_results(
    results: Sequence[CommitResult],
    console: "Console | None" = None,
    *,
    overrides: Sequence[str] = (),
    identity: str | None = None,
    kept: Kept = NOT_KEPT,
    steps: NextSteps | None = None,
    why_stopped: str | None = None,
) -> None:
    """Shows what became of every router's plan.

    Args:
        results: of each router.
        console: rich's; None: standard output.
        overrides: the guards that were switched off for it.
        identity: the plan's id.
        kept: what the journal has of it.
        steps: what to do next.
        why_stopped: why the command exits with 3 though no change is left to be made; None: it is not so.
    """
    page = Page(console)
    rows = [
        [
            result.router,
            status(result.outcome),
            str(result.changes) if result.changes else "-",
            f"{result.elapsed_s:.1f}" if result.elapsed_s else "-",
            result.step or "-",
            _numbers(kept.routers.get(result.router, ())) or "-",
        ]
        for result in results
    ]
    head, *found = page.rows([header("ROUTER", "OUTCOME", "CHANGES", "SECONDS", "STEP", "JOURNAL"), *rows])
    page.lines(head)
    for result, lines in zip(results, found, strict=True):
        page.lines(lines)
        if result.error:
            page.prose(result.error, style="red" if result.outcome != "not-attempted" else "", indent=2)
        for warning in result.warnings:
            page.prose(f"warning: {warning}", style="yellow", indent=2, hang=4)
    page.line()
    if steps is not None and (left := steps.grouped(results)):
        page.line(("What to do next", "bold"))
        for sentence, routers in left:
            page.prose(f"{page.few(routers, ', ')}: {sentence}", indent=2, hang=4)
        page.line()
    if overrides:
        page.prose(overridden(overrides))
    if identity:
        page.prose(f"Plan {identity}")
    if kept.run:
        page.prose(f"Journal, on the run as a whole: {_numbers(kept.run)}; `k8s-ecmp history show ID` shows an entry.")
    page.line((f"Apply: {_tally(result.outcome for result in results)}.", "bold"))
    if why_stopped is not None:
        page.prose(why_stopped)
    page.show()


def _numbers(entries: Iterable[int]) -> str:
    return ", ".join(map(str, entries))


def print_verify(rows: Sequence[tuple[str, str, Sequence[str]]], console: "Console | None" = None) -> None:
    """Shows how every router stands against what it shall have.

    Args:
        rows: router, status in a word or two, and lines of detail, of which the first stands beside the status.
        console: rich's; None: standard output.
    """
    page = Page(console)
    head, *lines = page.table([header("ROUTER", "STATUS"), *([router, status(word)] for router, word, _ in rows)])
    page.line(*head)
    for (_, _, details), line in zip(rows, lines, strict=True):
        # The first detail is often an error: on a terminal it is wrapped under the router's line.
        room = page.width - length(line)
        beside = details[:1] if details and len(details[0]) <= room else []
        page.line(*line, *beside)
        below = details[len(beside) :]
        for detail in page.first(below, _MOST_DETAILS):
            page.prose(detail, style="yellow" if detail.startswith("warning: ") else "", indent=2, hang=4)
        page.left_out(below, _MOST_DETAILS, "lines", indent=2)
    page.line()
    page.line((f"Verify: {_tally(word for _, word, _ in rows)}.", "bold"))
    page.show()


def print_desired(routes: Sequence[DesiredRoute], skipped: Sequence[Skipped], console: "Console | None" = None) -> None:
    """Shows the routes that the cluster asks for, and what was left out."""
    page = Page(console)
    rows = [
        [
            str(route.prefix),
            route.kind,
            page.few(route.next_hops) or "-",
            page.few(route.nodes) or "-",
            ", ".join(route.sources),
        ]
        for route in routes
    ]
    if rows:
        lines = page.table([header("PREFIX", "KIND", "NEXT HOPS", "NODES", "SOURCES"), *rows])
        if max(map(length, lines)) - 2 <= page.width:
            for line in lines:
                page.line(*line)
        else:
            _desired_stack(page, rows)
        page.line()
    if skipped:
        skipped_objects(page, skipped)
        page.line()
    left = f"; {counted(len(skipped), 'object')} skipped" if skipped else ""
    page.line((f"Desired: {counted(len(routes), 'route')}{left}.", "bold"))
    page.show()


def _desired_stack(page: Page, rows: Iterable[Sequence[str]]) -> None:
    for prefix, kind, hops, nodes, sources in rows:
        page.line((prefix, "bold"), f"  {kind}")
        for name, text in (("via", hops), ("on", nodes), ("for", sources)):
            if text != "-":
                page.prose(f"{name:<4}{text}", indent=2, hang=6)


def _tally(words: Iterable[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in Counter(words).items()) or "no routers"

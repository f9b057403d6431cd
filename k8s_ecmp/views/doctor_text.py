"""What doctor found, as text for a terminal or a pipe."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from k8s_ecmp.views.page import Page, counted

if TYPE_CHECKING:
    from rich.console import Console

    from k8s_ecmp.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "unknown": "magenta"}


def print_findings(findings: "Sequence[Finding]", console: "Console | None" = None) -> None:
    """Shows the findings: those about everything first, then router by router.

    Args:
        findings: in the order of the checks.
        console: rich's; None: standard output.
    """
    page = Page(console)
    width = max((len(finding.check) for finding in findings), default=0) + 2
    routers = dict.fromkeys(finding.router for finding in findings if finding.router is not None)
    for router in (None, *routers):
        if router is not None:
            page.line()
            page.line((router, "bold"))
        for finding in findings:
            if finding.router == router:
                _finding(page, finding, width)
    levels = Counter(finding.level for finding in findings)
    page.line()
    tally = ", ".join(
        counted(levels[level], level) if level in ("problem", "warning") else f"{levels[level]} {level}"
        for level in ("problem", "warning", "unknown", "ok")
        if levels[level]
    )
    page.prose(f"Doctor: {tally or 'nothing was looked at'}.", style="bold")
    page.show()


def _finding(page: Page, finding: "Finding", width: int) -> None:
    lead = f"{finding.level:<9}{finding.check.ljust(width)}"
    page.prose(f"{lead}{finding.saw}", style=_STYLES[finding.level], hang=9)
    if finding.level == "ok":
        return
    if finding.why:
        page.prose(f"why: {finding.why}", indent=9, hang=11)
    if finding.remedy:
        page.prose(f"remedy: {finding.remedy}", indent=9, hang=11)

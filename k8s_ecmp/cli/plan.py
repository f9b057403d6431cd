"""`plan` and `diff`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from k8s_ecmp.cli.common import (
    FilterOption,
    OverrideOption,
    RouterOption,
    progress_over,
    routers_of,
    say,
    settings_of,
    warn_all,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from k8s_ecmp.core.eligibility import NodeVerdict
    from k8s_ecmp.model import Plan, Prefix


class PlanFormat(StrEnum):
    """How a plan is shown."""

    text = "text"
    json = "json"
    markdown = "markdown"
    html = "html"


def plan(
    context: typer.Context,
    router: RouterOption = None,
    filters: FilterOption = None,
    output: Annotated[PlanFormat, typer.Option("--format", help="How to show the plan.")] = PlanFormat.text,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.plan", help="Write the plan to a file for review and apply.")
    ] = None,
    device_diff: Annotated[
        bool, typer.Option("--device-diff", help="Ask the routers that can for the diff; takes their lock meanwhile.")
    ] = False,
    override: OverrideOption = None,
) -> int:
    """Show what would change on which router, and why. Writes to no router.

    Exits with 0 when there is nothing to change, 2 when there is, 3 when a guard or a conflict stops something, 1 when
    a router could not be read.
    """
    return plan_and_show(context, router, filters, output, out, override, device_diff=device_diff)


def plan_and_show(
    context: typer.Context,
    router: list[str] | None,
    filters: list[str] | None,
    output: PlanFormat,
    out: Path | None,
    override: list[str] | None,
    *,
    device_diff: bool = False,
    adopt: "Collection[Prefix]" = (),
) -> int:
    """Makes a plan, of everything or of the prefixes that `adopt` names, shows it and writes its file.

    Returns:
        The exit code.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.recording import record_plan
    from k8s_ecmp.routers.tasks import plan_routes, run
    from k8s_ecmp.views.document import write_plan
    from k8s_ecmp.views.plan_about import written

    settings, base = settings_of(context)
    nornir = routers_of(settings, base, router, filters)
    intent = runs.observe(settings, override or (), adopt)
    warn_all(intent.desired.warnings)
    with progress_over(len(nornir.inventory.hosts), "reading routers") as progress:
        results = run(nornir, plan_routes, intent=intent, device_diff=device_diff, progress=progress)
    planned = runs.assemble(intent, results)
    if out is not None:
        write_plan(out, planned)
        warn_all(record_plan(settings, planned, out))
    _show(planned, output, intent.desired.nodes, out)
    if out is not None:
        say(written(planned, out))
    return runs.plan_exit(planned)


def _show(plan: "Plan", output: PlanFormat, nodes: "Mapping[str, NodeVerdict]", out: Path | None) -> None:
    """Writes the plan to standard output."""
    from k8s_ecmp.views.document import plan_id
    from k8s_ecmp.views.plan_about import PlanFile

    file = None if out is None else PlanFile(str(out), plan_id(plan))
    match output:
        case PlanFormat.json:
            from k8s_ecmp.views.document import encode_plan

            _write(encode_plan(plan).decode() + "\n")
        case PlanFormat.markdown:
            from k8s_ecmp.views.plan_markdown import plan_markdown

            _write(plan_markdown(plan, file=file))
        case PlanFormat.html:
            from k8s_ecmp.views.plan_html import plan_html

            _write(plan_html(plan, nodes, file))
        case PlanFormat.text:
            from k8s_ecmp.views.plan_text import print_plan

            print_plan(plan, file=file)


def _write(text: str) -> None:
    """A document is UTF-8 whatever the locale says."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()

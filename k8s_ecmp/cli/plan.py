"""`plan` and `diff`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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


class PlanFormat(StrEnum):
    """How a plan is shown."""

    text = "text"
    json = "json"


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
    from k8s_ecmp import runs
    from k8s_ecmp.routers.tasks import plan_routes, run
    from k8s_ecmp.views.document import encode_plan, write_plan
    from k8s_ecmp.views.plan_text import print_plan

    settings, base = settings_of(context)
    nornir = routers_of(settings, base, router, filters)
    intent = runs.observe(settings, override or ())
    warn_all(intent.desired.warnings)
    with progress_over(len(nornir.inventory.hosts), "reading routers") as progress:
        results = run(nornir, plan_routes, intent=intent, device_diff=device_diff, progress=progress)
    planned = runs.assemble(intent, results)
    if output is PlanFormat.json:
        sys.stdout.write(encode_plan(planned).decode() + "\n")
    else:
        print_plan(planned)
    if out is not None:
        write_plan(out, planned)
        say(f"wrote {out}; apply it with: k8s-ecmp apply {out}")
    return runs.plan_exit(planned)

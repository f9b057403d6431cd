"""`apply`."""

import sys
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
from k8s_ecmp.errors import EcmpError
from k8s_ecmp.settings import Settings

if TYPE_CHECKING:
    from nornir.core import Nornir

    from k8s_ecmp.model import CommitResult, Plan


def apply(
    context: typer.Context,
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.plan]", help="A plan made by `plan --out`; applied exactly.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    override: OverrideOption = None,
    router: RouterOption = None,
    filters: FilterOption = None,
) -> int:
    """Change the routers: what a plan file says, or a plan made now that is shown and asked for first.

    Each router is locked, read again, changed, and verified in its routing table before the change is confirmed; what
    cannot be verified is taken back. Routers whose routes are no longer what the plan was made for are refused.

    Exits with 0 when all is done, 3 when a guard, a conflict, the mode or a refused plan stopped something, 1 on an
    error or a failed router; the others are done all the same.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.routers.inventory import select
    from k8s_ecmp.views.plan_text import print_plan
    from k8s_ecmp.views.text import print_results

    settings, base = settings_of(context)
    everyone = routers_of(settings, base, None, None)
    nornir = select(everyone, router or [], filters or [])
    overrides = override or []
    if plan_file is not None:
        planned = runs.reviewed(plan_file, settings, overrides)
        if _writes(settings):
            runs.check_current(everyone, settings, planned)
        planned = runs.narrowed(planned, nornir.inventory.hosts.keys())
    else:
        planned = _plan_now(settings, nornir, overrides)
    print_plan(planned, times=plan_file is not None)
    if not _writes(settings):
        say(f"stopped: mode is {settings.mode}, which writes to no router")
        return runs.ERROR if any(plan.status == "failed" for plan in planned.routers) else runs.STOPPED
    ready = [plan.name for plan in planned.routers if plan.status == "changes"]
    if ready and not planned.holds and plan_file is None and not yes:
        _ask(len(ready))
    results = _roll_out(settings, nornir, planned, overrides)
    print_results(results)
    return runs.apply_exit(planned, results)


def _plan_now(settings: Settings, nornir: "Nornir", overrides: list[str]) -> "Plan":
    from k8s_ecmp import runs
    from k8s_ecmp.routers.tasks import plan_routes, run

    intent = runs.observe(settings, overrides)
    warn_all(intent.desired.warnings)
    with progress_over(len(nornir.inventory.hosts), "reading routers") as progress:
        results = run(nornir, plan_routes, intent=intent, recover=_writes(settings), progress=progress)
    return runs.assemble(intent, results)


def _writes(settings: Settings) -> bool:
    from k8s_ecmp.routers.session import NEVER_WRITE

    return settings.mode not in NEVER_WRITE


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise EcmpError("apply asks before it writes and there is no terminal to ask on", remedy="add --yes")
    typer.confirm(f"Change {count} router{'s' if count > 1 else ''} as shown?", abort=True, err=True)


def _roll_out(settings: Settings, nornir: "Nornir", planned: "Plan", overrides: list[str]) -> "list[CommitResult]":
    from k8s_ecmp.routers.rollout import roll_out

    results = []
    ready = sum(plan.status == "changes" for plan in planned.routers)
    with progress_over(ready, "changing routers") as progress:
        for result in roll_out(nornir, settings, planned.routers, progress, overrides):
            if progress is None and result.outcome not in ("unchanged", "blocked"):
                say(f"{result.router}: {result.outcome} after {result.elapsed_s:.1f} s")
            results.append(result)
    order = {plan.name: number for number, plan in enumerate(planned.routers)}
    return sorted(results, key=lambda result: order[result.router])

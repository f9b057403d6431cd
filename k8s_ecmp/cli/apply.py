"""`apply`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from k8s_ecmp.cli.applied import ApplyFormat, Shown, say_what_is_not_recorded
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
from k8s_ecmp.cli.rebasing import rebase as show_rebase
from k8s_ecmp.errors import EcmpError, SettingsError
from k8s_ecmp.finding import few
from k8s_ecmp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection

    from nornir.core import Nornir

    from k8s_ecmp.model import CommitResult, Plan, Prefix
    from k8s_ecmp.routers.record import Record
    from k8s_ecmp.views.plan_about import PlanFile


class FailureAnswer(StrEnum):
    """What a failed router means for the others of its wave."""

    stop = "stop"
    rollback_wave = "rollback-wave"


def apply(
    context: typer.Context,
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.plan]", help="A plan made by `plan --out`; applied exactly.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    override: OverrideOption = None,
    router: RouterOption = None,
    filters: FilterOption = None,
    on_failure: Annotated[
        FailureAnswer | None,
        typer.Option(
            "--on-failure",
            help="When a router fails: stop before the next wave, or take its whole wave back too; "
            "`rollout.on_failure` where it is not given.",
        ),
    ] = None,
    pause: Annotated[
        float | None,
        typer.Option(
            "--pause",
            metavar="SECONDS",
            min=0,
            help="Wait so long between waves and verify the routers of the wave again; `rollout.pause_s` where it is "
            "not given.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Finish an interrupted FILE.plan: routers that have it already are left out."),
    ] = False,
    rebase: Annotated[
        bool,
        typer.Option(
            "--rebase",
            help="Apply nothing: make a new plan for the routers of FILE.plan, or for those that --router and "
            "--filter name, and show how it differs. Exits with 2 if it does.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="NEW.plan", help="With --rebase: write the new plan to a file.")
    ] = None,
    ticket: Annotated[
        str | None, typer.Option("--ticket", metavar="TEXT", help="The change's number elsewhere, for the journal.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why it is made, for the journal.")
    ] = None,
    output: Annotated[
        ApplyFormat,
        typer.Option(
            "--format",
            help="How to show what became of it. json: one document on standard output; plan and progress go to "
            "standard error.",
        ),
    ] = ApplyFormat.text,
) -> int:
    """Change the routers: what a plan file says, or a plan made now that is shown and asked for first.

    Each router is locked, read again, changed, and verified in its routing table before the change is confirmed; what
    cannot be verified is taken back. Routers whose routes are no longer what the plan was made for are refused.
    A canary goes first, then waves of `rollout.parallel` routers, never two of one failure domain at once; Ctrl-C stops
    before the next wave. What is done stands in the journal before it is begun: `k8s-ecmp history` shows it.

    Exits with 0 when all is done, 3 when a guard, a conflict, the mode or a refused plan stopped something, 1 on an
    error or a failed router; the others are done all the same.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.core.waves import rollout_of
    from k8s_ecmp.recording import record_held, recording, refusals_recorded
    from k8s_ecmp.routers.inventory import select
    from k8s_ecmp.routers.record import UNRECORDED
    from k8s_ecmp.routers.rollout import placed
    from k8s_ecmp.views.apply_report import NOT_KEPT, Kept

    _check_options(plan_file, resume=resume, rebase=rebase, out=out, output=output)
    settings, base = settings_of(context)
    settings = _with_rollout(settings, on_failure, pause)
    everyone = routers_of(settings, base, None, None)
    nornir = select(everyone, router or [], filters or [])
    chosen = nornir.inventory.hosts.keys() if router or filters else None
    overrides = override or []
    if rebase and plan_file is not None:
        return show_rebase(
            plan_file,
            settings,
            lambda names, adopts: _plan_now(settings, select(everyone, names, []), overrides, adopts, write=False),
            everyone.inventory.hosts.keys(),
            chosen,
            out,
        )
    file: PlanFile | None = None
    done: frozenset[str] = frozenset()
    if plan_file is not None:
        with refusals_recorded(settings, plan_file, ticket, reason, warn_all):
            planned, file = runs.reviewed(plan_file, settings, overrides)
            planned = _chosen(planned, file, router or [], filters or [], chosen)
            planned, done = _left(settings, everyone, planned, file if resume else None)
        settings = _with_rollout(runs.as_reviewed(settings, planned), on_failure, pause)
        planned = replace(
            planned, routers=tuple(placed(planned.routers, everyone)), rollout=rollout_of(settings.rollout)
        )
    else:
        planned = _plan_now(settings, nornir, overrides, write=runs.writes(settings))
    shown = Shown(planned, file, output)
    shown.plan()
    held = runs.held(planned, settings)
    kept = NOT_KEPT
    if held is not None:
        noted = record_held(settings, planned, held, file=file, overrides=overrides, ticket=ticket, reason=reason)
        warn_all(noted.warnings)
        kept = Kept(noted.entries)
    if not runs.writes(settings):
        return shown.stopped(runs.mode_words(settings), kept)
    _find_out(settings, nornir)
    ready = [plan.name for plan in planned.routers if plan.status == "changes"]
    if ready and not planned.holds:
        _warn_of_daemon(settings)
        if file is None and not yes:
            _ask(len(ready))
        with recording(
            settings, planned, file=file, overrides=overrides, ticket=ticket, reason=reason, resumed=done
        ) as record:
            results = _roll_out(settings, nornir, planned, overrides, record)
        kept = Kept(record.run_entries, record.entries)
    else:
        results = _roll_out(settings, nornir, planned, overrides, UNRECORDED)
    code = runs.apply_exit(planned, results)
    say_what_is_not_recorded(results, settings.journal)  # first: there may be no room for the report either
    shown.results(results, code, kept)
    return code


def _check_options(
    plan_file: Path | None, *, resume: bool, rebase: bool, out: Path | None, output: ApplyFormat
) -> None:
    if plan_file is None and (resume or rebase):
        raise EcmpError(f"--{'resume' if resume else 'rebase'} needs the plan file", remedy="apply FILE.plan --...")
    if resume and rebase:
        raise EcmpError("--resume finishes a plan and --rebase makes another one; not both")
    if rebase and output is ApplyFormat.json:
        raise EcmpError("--format json reports what was applied, and --rebase applies nothing")
    if out is not None and not rebase:
        raise EcmpError("--out is for --rebase", remedy="`k8s-ecmp plan --out FILE.plan` writes a plan")


def _with_rollout(settings: Settings, on_failure: FailureAnswer | None, pause: float | None) -> Settings:
    rollout = settings.rollout
    if on_failure is not None:
        rollout = replace(rollout, on_failure=on_failure.value)
    if pause is not None:
        rollout = replace(rollout, pause_s=pause)
    return replace(settings, rollout=rollout)


def _chosen(
    planned: "Plan", file: "PlanFile", routers: list[str], filters: list[str], names: "Collection[str] | None"
) -> "Plan":
    """The plan of a file for the routers that the command line asks for.

    Args:
        planned: what the file says.
        file: the same, for messages.
        routers: names, all of them in the inventory.
        filters: as `select` takes them.
        names: the routers of the inventory that both leave; None: neither was given.

    Raises:
        SettingsError: the file does not have one that is named, or none that the filters leave.
    """
    from k8s_ecmp import runs

    if names is None:
        return planned
    known = [router.name for router in planned.routers]
    if unknown := sorted(set(routers).difference(known)):
        raise SettingsError(
            f"the plan in {file.path} has no router {', '.join(unknown)}", remedy=f"it has {few(known, 20)}"
        )
    planned = runs.narrowed(planned, names)
    if not planned.routers:
        matching = f"has no router that matches {' and '.join(filters)}"
        raise SettingsError(f"the plan in {file.path} {matching}", remedy=f"it has {few(known, 20)}")
    return planned


def _left(
    settings: Settings, everyone: "Nornir", planned: "Plan", resumed: "PlanFile | None"
) -> "tuple[Plan, frozenset[str]]":
    """What is left to do of the plan of a file, and the routers that an interrupted run has done.

    Raises:
        PlanRefused: it is stale.
    """
    from k8s_ecmp import runs

    done = _checked(settings, everyone, planned, resumed) if runs.writes(settings) else frozenset[str]()
    return runs.without(runs.narrowed(planned, everyone.inventory.hosts.keys()), done), done


def _checked(settings: Settings, everyone: "Nornir", planned: "Plan", resumed: "PlanFile | None") -> frozenset[str]:
    """Refuses a stale file; the routers that an interrupted run has done, where that run is resumed."""
    from k8s_ecmp import runs
    from k8s_ecmp.recording import begun

    journaled = begun(settings, resumed.id) if resumed is not None else {}
    with progress_over(sum(bool(plan.changes) for plan in planned.routers), "checking routers") as progress:
        done = runs.check_current(everyone, settings, planned, journaled, progress)
    for name in sorted(done):
        say(f"{name}: left out: {journaled[name]}, and it still is as the plan leaves it")
    return done


def _warn_of_daemon(settings: Settings) -> None:
    from k8s_ecmp.cli.leading import leading_daemon

    if (leading := leading_daemon(settings)) is not None:
        warn_all((leading,))


def _find_out(settings: Settings, nornir: "Nornir") -> None:
    """What became of changes that the journal says were begun and no more."""
    from k8s_ecmp.recording import settle

    for sentence in settle(settings, nornir):
        say(sentence)


def _plan_now(
    settings: Settings, nornir: "Nornir", overrides: list[str], adopt: "Collection[Prefix]" = (), *, write: bool
) -> "Plan":
    from k8s_ecmp import runs
    from k8s_ecmp.routers.tasks import plan_routes, run

    intent = runs.observe(settings, overrides, adopt)
    warn_all(intent.desired.warnings)
    with progress_over(len(nornir.inventory.hosts), "reading routers") as progress:
        results = run(nornir, plan_routes, intent=intent, recover=write, progress=progress)
    return runs.assemble(intent, results)


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise EcmpError("apply asks before it writes and there is no terminal to ask on", remedy="add --yes")
    typer.confirm(f"Change {count} router{'s' if count > 1 else ''} as shown?", abort=True, err=True)


def _roll_out(
    settings: Settings, nornir: "Nornir", planned: "Plan", overrides: list[str], record: "Record"
) -> "list[CommitResult]":
    from k8s_ecmp.cli.watching import watching
    from k8s_ecmp.routers.interrupting import interruptible
    from k8s_ecmp.routers.rollout import roll_out
    from k8s_ecmp.runs import freeze_meanwhile

    ready = sum(plan.status == "changes" for plan in planned.routers)
    with interruptible() as stop, watching(ready) as spectator:
        results = list(
            roll_out(
                nornir,
                settings,
                planned.routers,
                spectator=spectator,
                overrides=overrides,
                record=record,
                stop=stop,
                frozen=freeze_meanwhile(planned, settings, overrides),
            )
        )
    order = {plan.name: number for number, plan in enumerate(planned.routers)}
    return sorted(results, key=lambda result: order[result.router])

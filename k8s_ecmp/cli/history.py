"""`history`: what was done, by whom and why; one entry whole; the way back; and whether the journal is whole."""

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from k8s_ecmp.cli.common import OverrideOption, say, settings_of, warn_all
from k8s_ecmp.errors import EcmpError, JournalError

if TYPE_CHECKING:
    from k8s_ecmp.journal import Entry, Journal
    from k8s_ecmp.model import Plan
    from k8s_ecmp.settings import Settings

_MORE = 200  # entries, for the results of changes that were begun before the first one shown

history = typer.Typer(
    help="Show what was done to the routers, by whom and why; check the journal; plan the way back.",
    invoke_without_command=True,
)


class HistoryFormat(StrEnum):
    """How entries are shown."""

    text = "text"
    json = "json"


FormatOption = Annotated[HistoryFormat, typer.Option("--format", help="How to show it.")]


@history.callback()
def listed(
    context: typer.Context,
    router: Annotated[str | None, typer.Option("--router", "-r", metavar="NAME", help="Only this router.")] = None,
    last: Annotated[int, typer.Option("--last", "-n", metavar="N", min=1, help="How many at most.")] = 30,
    output: FormatOption = HistoryFormat.text,
) -> int | None:
    """Show what was done to the routers, newest last. A number in front is what `show` and `undo` take."""
    if context.invoked_subcommand is not None:
        return None
    from k8s_ecmp.journal.only_writer import holder
    from k8s_ecmp.views.history import print_history, rows

    with _journal(context)[1] as journal:
        entries = journal.entries(router=router, kinds=("begin", "result"), last=2 * last + _MORE)
        found = rows(entries, {entry.owner: holder(journal.path, entry.owner) for entry in entries})[-last:]
    if output is HistoryFormat.json:
        _json([row.document() for row in found])
    else:
        print_history(found)
    return 0


@history.command()
def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", help="A number from `k8s-ecmp history`.")],
    output: FormatOption = HistoryFormat.text,
) -> int:
    """Show one entry whole, and the others of its run that belong to it: plan, overrides, change, outcome."""
    from k8s_ecmp.views.history import print_entries

    with _journal(context)[1] as journal:
        entry = journal.entry(number)
        found = [e for e in journal.entries(run=entry.run) if e.router in (None, entry.router)]
        if (plan := entry.body.get("plan")) is not None:
            made = [e for e in journal.entries(kinds=("plan",)) if e.run != entry.run and e.body["plan"] == plan]
            found = made + found
    if output is HistoryFormat.json:
        import msgspec

        _json([msgspec.to_builtins(e) for e in found])
    else:
        print_entries(found)
    return 0


@history.command()
def check(context: typer.Context) -> int:
    """Say whether any entry was changed, taken out or put between since it was written. Exits with 1 if so."""
    with _journal(context)[1] as journal:
        broken = list(journal.check())
        entries, first = journal.entries(last=1), journal.first
    for text in broken:
        typer.echo(text)
    if broken:
        say(f"error: the journal is broken in {len(broken)} place{'s' if len(broken) > 1 else ''}")
        return 1
    newest = f"; the newest is {entries[-1].id} with hash {entries[-1].hash}" if entries else ""
    begins = f", from entry {first} on; older files are not here" if first > 1 else ""
    typer.echo(f"the journal is whole: {entries[-1].id - first + 1 if entries else 0} entries{begins}{newest}")
    return 0


@history.command()
def undo(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", help="A number from `k8s-ecmp history`.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.plan", help="Write the plan, for `apply FILE.plan`.")
    ] = None,
    override: OverrideOption = None,
) -> int:
    """Plan the way back from a change. Writes to no router: apply the plan file for that, with a reason.

    What was changed since is left alone. The cluster is not asked: where it still wants the change, the next plan makes
    it again.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.recording import record_plan
    from k8s_ecmp.views.document import plan_id, write_plan
    from k8s_ecmp.views.plan_about import PlanFile
    from k8s_ecmp.views.plan_text import print_plan

    settings, opened = _journal(context)
    with opened as journal:
        entry = journal.entry(number)
        if entry.kind != "begin":
            raise JournalError(f"entry {number} is no change of a router", remedy="`k8s-ecmp history` lists those")
        if entry.owner != settings.owner:
            raise JournalError(f"entry {number} is owner {entry.owner}'s, the settings say {settings.owner}")
    planned = _way_back(context, settings, entry, override or [])
    if out is not None:
        write_plan(out, planned)
        warn_all(record_plan(settings, planned, out))
    print_plan(planned, file=None if out is None else PlanFile(str(out), plan_id(planned)))
    if out is not None:
        say(f"written to {out}; `k8s-ecmp apply {out}` does it")
    return runs.plan_exit(planned)


def _way_back(context: typer.Context, settings: "Settings", entry: "Entry", overrides: list[str]) -> "Plan":
    from k8s_ecmp import runs
    from k8s_ecmp.cli.common import routers_of
    from k8s_ecmp.core.freeze import freeze_of
    from k8s_ecmp.core.rules import Rules
    from k8s_ecmp.core.undo import done_of
    from k8s_ecmp.core.waves import rollout_of
    from k8s_ecmp.model import GuardTrip, Plan, RouterPlan
    from k8s_ecmp.model.plan import JOURNAL_ENTRY
    from k8s_ecmp.routers.connection import error_text
    from k8s_ecmp.routers.tasks import outcomes, run
    from k8s_ecmp.routers.undoing import undo_routes

    runs.check_overrides(overrides)
    now = datetime.now(UTC)
    freeze = freeze_of(settings.guards, now, runs.freeze_file_text(settings))
    frozen = freeze is not None and "frozen" not in overrides
    holds = (GuardTrip("frozen", None, None, freeze.detail),) if freeze is not None and frozen else ()
    rules = Rules(
        settings.tag,
        settings.owner,
        settings.guards,
        settings.mode,
        settings.policy,
        freeze,
        holds,
        frozenset(overrides),
    )
    nornir = routers_of(settings, settings_of(context)[1], [entry.router or ""], None)
    why = f"takes back entry {entry.id} of {entry.at[:19]}Z by {entry.who}"
    results = run(nornir, undo_routes, settings=settings, rules=rules, done=done_of(entry.body["changes"]), why=why)
    routers = outcomes(results, RouterPlan, lambda name, error: RouterPlan(name, "", "failed", error=error_text(error)))
    return Plan(
        created=now,
        expires=now + timedelta(seconds=settings.plan.expires_s),
        owner=settings.owner,
        tag=settings.tag,
        cluster_source=f"{JOURNAL_ENTRY}{entry.id}",
        cluster_digest=f"sha256:{entry.hash}",
        rollout=rollout_of(settings.rollout),
        routers=tuple(routers),
        holds=holds if any(router.changes for router in routers) else (),
        skipped=tuple(skip for router in routers for skip in router.skipped),
        overrides=tuple(sorted(overrides)),
    )


def _journal(context: typer.Context) -> "tuple[Settings, Journal]":
    from k8s_ecmp.journal import Journal

    settings, _ = settings_of(context)
    if not Path(settings.journal).expanduser().exists():
        raise EcmpError(
            f"there is no journal at {settings.journal}",
            remedy="`apply` makes it; `journal` in the settings says where",
        )
    return settings, Journal(settings.journal)


def _json(document: Any) -> None:
    import json

    sys.stdout.write(json.dumps({"version": 1, "entries": document}, ensure_ascii=False) + "\n")

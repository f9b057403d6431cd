"""`history`: what was done, by whom and why; one entry whole; the way back; and whether the journal is whole."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from k8s_ecmp.cli.common import OverrideOption, say, settings_of, warn_all
from k8s_ecmp.errors import JournalError

if TYPE_CHECKING:
    from k8s_ecmp.journal import Entry, Journal
    from k8s_ecmp.settings import Settings

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
        lines = journal.changes(last, router)
        found = rows(lines, {owner: holder(journal.path, owner) for owner in {line.owner for line in lines}})
    if output is HistoryFormat.json:
        _json([row.document() for row in found])
    else:
        print_history(found)
    return 0


@history.command()
def show(
    context: typer.Context,
    number: Annotated[
        int,
        typer.Argument(
            metavar="ID", help="A number from `k8s-ecmp history`; or of the plan or review that a whole run began with."
        ),
    ],
    output: FormatOption = HistoryFormat.text,
) -> int:
    """Show one entry whole, and the others of its run that belong to it: plan, overrides, change, outcome."""
    from k8s_ecmp.views.history import print_entries

    with _journal(context)[1] as journal:
        found = journal.told_with(journal.entry(number))
        spoiled = {e.id: journal.spoiled(e.id) for e in found}
    if output is HistoryFormat.json:
        import msgspec

        _json([msgspec.to_builtins(e) | {"spoiled": spoiled[e.id]} for e in found])
    else:
        print_entries(found, spoiled)
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
    number: Annotated[
        int,
        typer.Argument(
            metavar="ID", help="A number from `k8s-ecmp history`; or of the plan or review that a whole run began with."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.plan", help="Write the plan, for `apply FILE.plan`.")
    ] = None,
    override: OverrideOption = None,
) -> int:
    """Plan the way back from a change, or from a whole run: ID is then that of the plan or review it began with.

    Writes to no router: apply the plan file for that, with a reason.

    What was changed since is left alone. The cluster is not asked: where it still wants the change, the next plan makes
    it again. An entry that is not as it was written is refused.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.cli.way_back import way_back
    from k8s_ecmp.recording import record_plan
    from k8s_ecmp.views.document import plan_id, write_plan
    from k8s_ecmp.views.plan_about import PlanFile, written
    from k8s_ecmp.views.plan_text import print_plan

    settings, opened = _journal(context)
    with opened as journal:
        entry = journal.entry(number)
        begun = _begun(journal, entry)
    if entry.owner != settings.owner:
        raise JournalError(f"entry {number} is owner {entry.owner}'s, the settings say {settings.owner}")
    planned = way_back(settings, settings_of(context)[1], entry, begun, override or [])
    if out is not None:
        write_plan(out, planned)
        warn_all(record_plan(settings, planned, out))
    print_plan(planned, file=None if out is None else PlanFile(str(out), plan_id(planned)))
    if out is not None:
        say(written(planned, out))
    return runs.plan_exit(planned)


def _begun(journal: "Journal", entry: "Entry") -> "list[Entry]":
    """The changes that an entry stands for, as they were written; of a run those that were not taken back."""
    from k8s_ecmp.recording import not_taken_back

    if entry.kind not in ("begin", "plan", "review"):
        raise JournalError(
            f"entry {entry.id} is no change of a router, and not what a run began with",
            remedy="`k8s-ecmp history` lists changes; `k8s-ecmp history show ID` of one shows what its run began with",
        )
    told = [entry] if entry.kind == "begin" else journal.entries(run=entry.run)
    for one in told:
        if (spoiled := journal.spoiled(one.id)) is not None:
            raise JournalError(
                f"entry {one.id} is not as it was written: {spoiled}; no way back is planned from it",
                remedy="`k8s-ecmp history check` names every broken place; plan from the cluster with `k8s-ecmp plan`",
            )
    changes = [one for one in told if one.kind == "begin"]
    since = [
        later
        for router in dict.fromkeys(one.router for one in changes)
        for later in journal.entries(router=router, kinds=("begin", "result"), after=entry.id, intact=True)
    ]
    found = not_taken_back(changes, since)
    if not found:
        what = f"entry {entry.id} is" if entry.kind == "begin" else f"the run of entry {entry.id} has"
        raise JournalError(
            f"{what} no change of a router that was not taken back",
            remedy="`k8s-ecmp history` lists changes; `k8s-ecmp history show ID` of one shows what its run began with",
        )
    return found


def _journal(context: typer.Context) -> "tuple[Settings, Journal]":
    """The journal to read: these commands change nothing in it."""
    from k8s_ecmp.journal import Journal

    settings, _ = settings_of(context)
    return settings, Journal(settings.journal, to_write=False)


def _json(document: Any) -> None:
    import json

    sys.stdout.write(json.dumps({"version": 1, "entries": document}, ensure_ascii=False) + "\n")

"""Keeping account of one apply in the journal, and of what became of those that died."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from nornir.core import Nornir

from k8s_ecmp.core.undo import done_of
from k8s_ecmp.errors import JournalError, PlanRefused
from k8s_ecmp.journal import Author, Entry, Journal, stands
from k8s_ecmp.journal import Begun as BegunEntry
from k8s_ecmp.journal.entry import Kind
from k8s_ecmp.journal.only_writer import holder, only_writer
from k8s_ecmp.model import CommitResult, GuardTrip, HopRecord, NextHop, Outcome, Plan, RouteChange
from k8s_ecmp.model.plan import JOURNAL_ENTRY
from k8s_ecmp.routers.finding_out import find_out
from k8s_ecmp.routers.tasks import run
from k8s_ecmp.settings import Settings
from k8s_ecmp.views.document import plan_id
from k8s_ecmp.views.next_step import anew
from k8s_ecmp.views.plan_about import PlanFile
from k8s_ecmp.views.schema import Summary

_Said = tuple[Kind, dict[str, Any]]


class RunRecord:
    """The `routers.record.Record` of one run: an entry before and one after each router's change.

    `run_entries` are the numbers of the entries on the run as a whole, `entries` those of each router. `adopts`: its
    plan takes over routes of others.
    """

    def __init__(
        self, journal: Journal, author: Author, plan: str, run_entries: Sequence[int], *, adopts: bool = False
    ) -> None:
        self._journal = journal
        self._author = author
        self._plan = plan
        self._adopts = adopts
        self.run_entries = tuple(run_entries)
        self.entries: dict[str, list[int]] = defaultdict(list)
        self._begun: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(
        self, router: str, changes: Sequence[RouteChange], commands: Sequence[str], *, takes_back: bool = False
    ) -> None:
        """Writes down what is about to be done.

        Raises:
            JournalError: it cannot be written; nothing may be done.
        """
        body: dict[str, Any] = {
            "plan": self._plan,
            "changes": changes_body(changes, adopted=self._adopts and not takes_back),
            "commands": list(commands),
        }
        if takes_back:
            with self._lock:
                body["takes_back"] = self._last.get(router)
        number = self._journal.write(self._author, "begin", body, router)
        with self._lock:
            self._begun[router] = self._last[router] = number
            self.entries[router].append(number)

    def end(self, result: CommitResult) -> None:
        """Writes down what became of a router's plan, also of one that was never begun.

        Raises:
            JournalError: it cannot be written.
        """
        with self._lock:
            begun = self._begun.pop(result.router, None)
        number = self._journal.write(self._author, "result", result_body(result, self._plan, begun), result.router)
        with self._lock:
            self.entries[result.router].append(number)


class Begun(msgspec.Struct, frozen=True):
    """That a plan was begun on a router and not taken back: the entry that says so, and whether it says "committed"."""

    entry: int
    at: str
    committed: bool

    def __str__(self) -> str:
        said = "was committed" if self.committed else "was begun"
        return f"entry {self.entry} of {self.at[:19].replace('T', ' ')}Z says that this plan {said} on it"


def begun(settings: Settings, plan: str) -> dict[str, Begun]:
    """The routers on which a plan was begun and, as far as the journal knows, is in force.

    A router whose change was taken back, or failed so that nobody knows, is not among them.

    Args:
        settings: owner, and where the journal is.
        plan: the plan's id.

    Raises:
        JournalError: it cannot be read.
    """
    if not stands(settings.journal):
        return {}
    with Journal(settings.journal) as journal:
        return _begun(_told(journal, settings.owner, plan))


def _told(journal: Journal, owner: str, plan: str) -> list[Entry]:
    return [entry for entry in journal.entries(plan=plan) if entry.owner == owner]


def _begun(told: Sequence[Entry]) -> dict[str, Begun]:
    found: dict[str, Begun] = {}
    for entry in told:
        router = entry.router
        if router is None:
            continue
        if entry.kind == "begin":
            found.setdefault(router, Begun(entry.id, entry.at, committed=False))
        elif entry.body.get("outcome") == "committed":
            found[router] = Begun(entry.id, entry.at, committed=True)
        elif entry.body.get("begin") is not None:
            found.pop(router, None)
    return found


def _undone(journal: Journal, owner: str, plan: str, routers: Collection[str]) -> list[str]:
    """Those of routers on which a plan was committed, and taken back by a plan of `history undo` after it was made."""
    results = journal.entries(kinds=("result",), plan=plan)  # which are small, and there is none as a rule
    if not any(entry.body.get("outcome") == "committed" for entry in results):
        return []
    told = _told(journal, owner, plan)
    if not (done := _begun(told)):
        return []
    made = max((entry.id for entry in told if entry.kind == "plan"), default=0)
    sources = {f"{JOURNAL_ENTRY}{entry.id}" for entry in told}
    reviews = journal.entries(kinds=("review",), after=told[0].id, intact=True)
    ways = {entry.body["plan"] for entry in reviews if entry.body.get("cluster", {}).get("source") in sources}
    back = [_begun(_told(journal, owner, way)) for way in sorted(ways)]
    return [
        f"{router} (entries {done[router].entry} and {way[router].entry})"
        for router in routers
        for way in back
        if router in done and router in way and way[router].entry > max(done[router].entry, made)
    ]


def not_taken_back(begun: Sequence[Entry], since: Sequence[Entry]) -> list[Entry]:
    """Of changes that were begun those that are in force, in whole or in part, as far as the journal knows.

    What became of a change that failed or died is not known; the routers tell.

    Args:
        begun: changes and ways back.
        since: what was begun since then, and what became of it, by whatever run; as it was written.
    """
    ended = {entry.body["begin"]: entry.body["outcome"] for entry in since if entry.kind == "result"}
    gone = {number for number, outcome in ended.items() if outcome in ("rolled-back", "refused")}
    gone |= {entry.body["takes_back"] for entry in since if "takes_back" in entry.body and entry.id in gone}
    return [entry for entry in begun if "takes_back" not in entry.body and entry.id not in gone]


@contextmanager
def recording(
    settings: Settings,
    plan: Plan,
    *,
    file: PlanFile | None = None,
    overrides: Collection[str] = (),
    ticket: str | None = None,
    reason: str | None = None,
    resumed: Collection[str] = (),
) -> Iterator[RunRecord]:
    """For the time of one apply: the plan and its overrides are in the journal, and nobody else of the owner writes.

    Args:
        settings: owner, and where the journal is.
        plan: what is about to be applied.
        file: the plan file that was reviewed, None for a plan made on the spot.
        overrides: names of guards that are switched off.
        ticket: the change's number elsewhere.
        reason: why it is made, in somebody's words.
        resumed: routers that have the plan from an earlier run and are left out.

    Raises:
        JournalError: it cannot be written, or another process of the same owner is applying.
        PlanRefused: the plan of the file was committed on a router and taken back since, as the journal then says.
    """
    author = Author.here(settings.owner, ticket, reason)
    with Journal(settings.journal) as journal, only_writer(journal.path, settings.owner, author.who):
        identity = plan_id(plan) if file is None else file.id
        opening = _opening(plan, identity, file, overrides, resumed)
        entries = [journal.write(author, kind, body) for kind, body in opening]
        changing = [router.name for router in plan.routers if router.status == "changes"]
        if file is not None and (undone := _undone(journal, settings.owner, identity, changing)):
            error = PlanRefused(
                f"the plan in {file.path} was committed and taken back: {', '.join(undone)}; nothing was written",
                remedy=anew(plan.undoes, file.path),
            )
            refused = CommitResult("", "refused", error=str(error))
            journal.write(author, "result", result_body(refused, identity, None))
            raise error
        yield RunRecord(journal, author, identity, entries, adopts=bool(plan.adopts))


class Noted(msgspec.Struct, frozen=True):
    """The numbers of entries on what writes to no router; or why they could not be written, which stops nothing."""

    entries: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def record_held(
    settings: Settings,
    plan: Plan,
    why: str,
    *,
    file: PlanFile | None,
    overrides: Collection[str] = (),
    ticket: str | None = None,
    reason: str | None = None,
) -> Noted:
    """Writes down that an apply was held as a whole: the plan with its guards, the overrides, and why.

    Args:
        settings: owner, and where the journal is.
        plan: what would have been applied.
        why: what held it.
        file: the plan file that was reviewed, None for a plan made on the spot.
        overrides: names of guards that were switched off all the same.
        ticket: the change's number elsewhere.
        reason: why it was to be made.
    """
    identity = plan_id(plan) if file is None else file.id
    said = result_body(CommitResult("", "refused", error=f"{why}; nothing was written"), identity, None)
    entries = [*_opening(plan, identity, file, overrides), ("result", said)]
    return _noted(settings, entries, Author.here(settings.owner, ticket, reason))


def record_plan(settings: Settings, plan: Plan, file: Path) -> tuple[str, ...]:
    """Writes down that a plan file was made.

    Returns:
        Why that was not possible: it writes to no router, and so is no reason to stop.
    """
    identity = plan_id(plan)
    body = _plan(plan, identity, PlanFile(str(file), identity))
    return _noted(settings, [("plan", body)], Author.here(settings.owner)).warnings


@contextmanager
def refusals_recorded(
    settings: Settings,
    file: Path,
    ticket: str | None,
    reason: str | None,
    warn: Callable[[tuple[str, ...]], None],
) -> Iterator[None]:
    """Writes down that a plan file was refused, where that is how this ends; `warn` is told why where it cannot.

    Raises:
        PlanRefused: what came from within.
    """
    try:
        yield
    except PlanRefused as error:
        said = result_body(CommitResult("", "refused", error=str(error)), None, None)
        review = {"plan": None, "file": str(file)}
        author = Author.here(settings.owner, ticket, reason)
        warn(_noted(settings, [("review", review), ("result", said)], author).warnings)
        raise


def _noted(settings: Settings, entries: Sequence[_Said], author: Author) -> Noted:
    try:
        with Journal(settings.journal) as journal:
            return Noted(tuple(journal.write(author, kind, body) for kind, body in entries))
    except JournalError as error:
        return Noted(warnings=(f"this is not in the journal: {error}",))


def _opening(
    plan: Plan, identity: str, file: PlanFile | None, overrides: Collection[str], resumed: Collection[str] = ()
) -> list[_Said]:
    """The entries with which a run begins."""
    body = _plan(plan, identity, file)
    if resumed:
        body["resumed"] = sorted(resumed)
    entries: list[_Said] = [("plan" if file is None else "review", body)]
    if named := sorted({*plan.overrides, *overrides}):
        entries.append(("override", {"plan": identity, "guards": named}))
    return entries


def _plan(plan: Plan, identity: str, file: PlanFile | None) -> dict[str, Any]:
    return {
        "plan": identity,
        "file": None if file is None else file.path,
        "cluster": {"source": plan.cluster_source, "digest": plan.cluster_digest},
        "summary": {name: getattr(Summary.of(plan.routers), name) for name in Summary.__struct_fields__},
        "guards": [_guard(trip) for trip in plan.guards],
        "routers": {router.name: router.status for router in plan.routers},
    }


def _guard(trip: GuardTrip) -> dict[str, Any]:
    prefix = None if trip.prefix is None else str(trip.prefix)
    return {"guard": trip.guard, "router": trip.router, "prefix": prefix, "detail": trip.detail}


def changes_body(changes: Sequence[RouteChange], *, adopted: bool = False) -> list[dict[str, Any]]:
    """Changes as the journal keeps them; `core.undo.done_of` reads them. `adopted`: what stood there was others'."""
    told = cache(_hop_body)  # the same few hops stand at thousands of prefixes
    return [_change(change, told, adopted=adopted) for change in changes]


def result_body(result: CommitResult, plan: str | None, begun: int | None) -> dict[str, Any]:
    """What became of a change; `plan` None: a daemon's; `begun` None: it never was."""
    return {
        "plan": plan,
        "begin": begun,
        "outcome": result.outcome,
        "changes": result.changes,
        "elapsed_s": round(result.elapsed_s, 3),
        "error": result.error,
        "warnings": list(result.warnings),
    }


_OTHER_WAY: dict[Outcome, Outcome] = {"committed": "rolled-back", "rolled-back": "committed"}


def found_out(begun: BegunEntry, outcome: Outcome, detail: str | None) -> dict[str, Any]:
    """What became of a change whose process died, as was found out later.

    Args:
        begun: the change, or the way back from one.
        outcome: "committed" where all of that is in force, "rolled-back" where nothing is, else "failed".
        detail: what to say of it; None: all of it is in force.
    """
    said = detail or "all of it is in force"
    if "takes_back" in begun.body:  # the result of a way back is that of the change, also where nobody dies
        said = {"committed": "the way back is in force", "rolled-back": "the change stands"}.get(outcome, said)
        outcome = _OTHER_WAY.get(outcome, outcome)
    committed = outcome == "committed"
    error = None if committed else f"its process died; {said}"
    warnings = (f"its process died; {said}",) if committed else ()
    changes = len(begun.body["changes"]) if committed else 0
    return result_body(
        CommitResult(begun.router, outcome, changes, error=error, warnings=warnings), begun.body["plan"], begun.entry
    )


def settle(settings: Settings, nornir: Nornir) -> tuple[str, ...]:
    """Looks what became of changes whose process died, and writes it down; nothing while another process writes.

    Takes back what they left unconfirmed, where the router can. Its connections stay open, for what follows.

    Args:
        settings: owner, and where the journal is.
        nornir: the routers that may be asked.

    Returns:
        A sentence for each change.

    Raises:
        JournalError: it cannot be read or written, or another process began to write meanwhile.
    """
    path = Path(settings.journal).expanduser()
    if not stands(path) or holder(path, settings.owner) is not None:
        return ()
    author = Author.here(settings.owner)
    with Journal(path) as journal:
        if not journal.unfinished(settings.owner):
            return ()
        with only_writer(path, settings.owner, author.who):
            return _settle(settings, nornir, journal, author)


def _settle(settings: Settings, nornir: Nornir, journal: Journal, author: Author) -> tuple[str, ...]:
    begun: dict[str, list[BegunEntry]] = defaultdict(list)
    for entry in journal.unfinished(settings.owner):
        begun[entry.router].append(entry)
    some = nornir.filter(filter_func=lambda host: host.name in begun)
    if not some.inventory.hosts:
        return ()
    done = {router: [done_of(entry.body["changes"]) for entry in entries] for router, entries in begun.items()}
    results = run(some, find_out, settings=settings, begun=done)
    said: list[str] = []
    for router, multi in results.items():
        for entry, (outcome, detail) in zip(begun[router], multi[0].result or (), strict=False):
            journal.write(author, "result", found_out(entry, outcome, detail), router)
            said.append(
                f"{router}: the run that began entry {entry.entry} died: {detail or 'all of its change is in force'}"
            )
    return tuple(said)


def _change(change: RouteChange, told: Callable[[NextHop], dict[str, Any]], *, adopted: bool) -> dict[str, Any]:
    distances = {hop.distance for hop in change.before} or {None}
    return {
        "action": change.action,
        "vrf": change.vrf,
        "prefix": str(change.prefix),
        "before": [hop.label for hop in change.before],
        "after": [hop.label for hop in change.after],
        "distance": distances.pop() if len(distances) == 1 else None,
        "hops": {
            # What others wrote stands in "adopted", where passwords in it are hidden.
            **({} if adopted else {"before": list(map(told, change.before))}),
            "after": list(map(told, change.after)),
        },
        "reasons": list(change.reasons),
        **({"adopted": [hop.details for hop in change.before]} if adopted else {}),
    }


def _hop_body(hop: NextHop) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(HopRecord.of(hop))
    return found

"""Applying a reviewed plan to one router: lock, read, compare, stage, commit, verify, confirm, or take back."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from nornir.core.task import Task

from k8s_ecmp.core.configured import configured_problems
from k8s_ecmp.core.ownership import Marks, fingerprint, is_owned
from k8s_ecmp.core.reviewed import reviewed_changes
from k8s_ecmp.core.staleness import stale_text
from k8s_ecmp.errors import (
    CommitFailed,
    ConfirmExpired,
    DeadlineExceeded,
    EcmpError,
    NotSaved,
    PlanRefused,
    RouterError,
    Unreachable,
    VerifyFailed,
)
from k8s_ecmp.model import CommitResult, NextHop, Prefix, RouteChange, RouterPlan, RunningRoutes, StaticRoute
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import router_view
from k8s_ecmp.routers.port import hops_of
from k8s_ecmp.routers.record import Record
from k8s_ecmp.routers.session import Progress, new_session, open_session, port_of, tell, template_for
from k8s_ecmp.routers.tables import floating, in_use, silent_hops
from k8s_ecmp.routers.transaction import VANISHED, Transaction, WayBack
from k8s_ecmp.settings import Settings

_BY: Mapping[WayBack, str] = {"router": "the router", "inverse": "the inverse patch"}
_LOOK = "run verify, then apply"


def _how(session: Transaction, by: WayBack) -> str:
    """Who took a commit back, and what is as before it."""
    whole = by == "router" and session.restores == "configuration"
    return f"by {_BY[by]}, {'its whole configuration is' if whole else 'our routes are'} as before the commit"


def apply_plan(
    task: Task,
    settings: Settings,
    planned: RouterPlan,
    allow_foreign_lines: bool,
    in_time: Callable[[], None],
    progress: Progress | None,
    record: Record,
) -> CommitResult:
    """Does what the plan says, exactly that or nothing.

    Args:
        task: Nornir's.
        settings: owner, tag, rollout.
        planned: this router's plan, with changes.
        allow_foreign_lines: go on where the router's own diff shows other lines too.
        in_time: raises when it is too late to begin anything.
        progress: called with router and step.
        record: asked directly before the commit; raises when nothing may be written.

    Raises:
        PlanRefused: the routes or the commands are no longer those of the plan; nothing was written.
        ForeignLines, ConfigRejected, DeadlineExceeded: nothing was written.
        VerifyFailed: it was committed, did not show, and was taken back.
        RouterError: anything else; the message says what is left.
    """
    started = time.monotonic()
    port = port_of(task)
    marks = port.traits.marks(settings, router_view(task.host))
    vrf = planned.changes[0].vrf
    rollout = settings.rollout
    tell(progress, task, "connect")
    with open_session(task, port, template_for(settings, port), lock=True) as session, warned_on_error(session):
        tell(progress, task, "read")
        running = session.read()
        found = fingerprint(running, marks, vrf, [change.prefix for change in planned.changes])
        if found != planned.fingerprint:
            raise PlanRefused(stale_text(task.host.name, planned.changes, running), remedy="make a new plan")
        changes = reviewed_changes(planned.changes, running, marks, port.traits.default_distance)
        in_time()
        tell(progress, task, "stage")
        if session.stage(changes, running, allow_foreign_lines=allow_foreign_lines) != planned.commands:
            raise PlanRefused(
                f"the commands for {task.host.name} are no longer those of the plan", remedy="make a new plan"
            )
        # Not every lock keeps everybody out (Junos: `config_private`): a route that somebody adds now
        # would pass unseen, and on FRR take over our tag with the rest of its prefix. Where the candidate replaces the
        # whole configuration, whatever somebody changed since it was opened would be lost.
        again = fingerprint(session.read(), marks, vrf, [change.prefix for change in planned.changes])
        what = "the routes" if again != planned.fingerprint else "other lines" if session.diff_has_changed() else ""
        if what:
            raise PlanRefused(
                f"{what} on {task.host.name} were changed while the plan was being staged; nothing was written",
                remedy="make a new plan",
            )
        promised = planned.undo is not None and planned.undo.timer_s > 0
        if promised and not port.on(session.shown.running).capabilities.confirm:
            raise PlanRefused(
                f"{task.host.name} has no timer any more, by which the plan takes an unconfirmed change back: its "
                f"configuration lacks {port.capabilities.timer_needs}",
                remedy="make a new plan",
            )
        in_time()
        record.begin(task.host.name, changes, planned.commands)
        tell(progress, task, "commit")
        with settled_on_error(session):
            session.commit(rollout.confirm_within_s, hops_of(changes))
        with taken_back_on_error(session):
            with contextlib.ExitStack() as stack:
                witness = session
                if rollout.new_connection != "never":
                    tell(progress, task, "connect again")
                    witness = stack.enter_context(new_session(task.host, task.nornir.config, port, rollout))
                tell(progress, task, "verify")
                warnings = _verify_commit(session, witness, running, changes, marks, rollout.verify_timeout_s)
            tell(progress, task, "confirm")
            session.confirm()
        warnings += session.router_warnings()
        # Only now, because nothing that is found here, and no time that it takes, is a reason to take the change back.
        with contextlib.suppress(EcmpError):
            hops = {change.prefix: frozenset(change.next_hops) for change in changes}
            warnings += silent_hops(session.shown.neighbours(vrf, hops), hops)
    warnings += session.unsaved()  # known when the session has ended
    return CommitResult(task.host.name, "committed", len(changes), time.monotonic() - started, None, warnings)


@contextlib.contextmanager
def warned_on_error(session: Transaction) -> Iterator[None]:
    """Where it fails, what the router warned of goes along with the error."""
    try:
        yield
    except EcmpError as error:
        error.warnings = session.router_warnings()
        raise


@contextlib.contextmanager
def settled_on_error(session: Transaction, what: str = "the change") -> Iterator[None]:
    """Where a commit of `what` breaks off on a router that may have taken a part of it, takes that part back; one that
    settles it by itself goes on alone where the session is lost in the middle, and the error says to what end.
    """
    try:
        yield
    except NotSaved:
        raise
    except EcmpError as error:
        if session.undoes_itself:
            if isinstance(error, Unreachable | DeadlineExceeded):
                left, remedy = _left(session, what, f"it did not get as far as {what}")
                raise type(error)(f"{error.message}; {left}", remedy=error.remedy or remedy) from error
            raise
        try:
            stood = session.take_back_what_stands()
        except NotSaved as unsaved:
            raise VerifyFailed(
                f"{error}; what was in force of {what} was taken back, {_how(session, 'inverse')}, but {unsaved}",
                undone="inverse",
            ) from error
        except EcmpError as second:
            raise CommitFailed(
                f"{error}; what is in force now could not be found out or taken back: {error_text(second)}",
                remedy=_LOOK,
            ) from error
        if stood is not None:
            raise VerifyFailed(
                f"{error}; what was in force of {what} was taken back, {_how(session, stood)}", undone=stood
            ) from error
        raise CommitFailed(f"{error}; nothing of {what} is in force") from error


@contextlib.contextmanager
def taken_back_on_error(session: Transaction) -> Iterator[None]:
    """Takes a commit back where what follows it fails, and says what is left on the router."""
    try:
        yield
    except (ConfirmExpired, NotSaved):
        raise
    except EcmpError as error:
        prefixes = error.prefixes if isinstance(error, VerifyFailed) else ()
        try:
            how = _take_back(session)
        except NotSaved as unsaved:
            raise VerifyFailed(
                f"{error}; the change was taken back, {_how(session, 'inverse')}, but {unsaved}",
                prefixes=prefixes,
                undone="inverse",
            ) from error
        except EcmpError as second:
            # The router that says so has ended the timer, or the change is no longer ours to be taken back by one.
            over = isinstance(second, CommitFailed)
            left, remedy = _unverified("the change") if over else _left(session, "the change", "the confirm arrived")
            raise RouterError(
                f"{error}; it could not be taken back: {error_text(second)}; {left}", remedy=remedy
            ) from error
        raise VerifyFailed(
            f"{error}; the change was taken back, {_how(session, how)}", prefixes=prefixes, undone=how
        ) from error


def _left(session: Transaction, what: str, unless: str) -> tuple[str, str | None]:
    """What becomes of a commit of `what` that nobody hears of any more; and what to do about it, None: nothing."""
    if session.kept:
        return f"the router has {what} whole or not at all, which the next reading finds out", None
    if session.waits:
        return f"the router takes {what} back by itself within {session.timer_s} s, unless {unless}", None
    return _unverified(what)


def _unverified(what: str) -> tuple[str, str]:
    """As `_left`, where nobody but people will do anything about it."""
    return f"what is in force of {what} is not verified", _LOOK


def _take_back(session: Transaction) -> WayBack:
    """Takes the commit back, over a new connection where this one is lost: the confirm may have arrived or not."""
    try:
        return session.rollback()
    except (CommitFailed, NotSaved):
        raise
    except RouterError:
        timed = session.timer_s > 0
        if session.undoes_itself:
            raise
        how = session.take_back_what_stands()
        if how is None and not timed:
            raise CommitFailed(VANISHED, remedy=_LOOK) from None
        return how or "router"


def _verify_commit(
    session: Transaction,
    witness: Transaction,
    before: RunningRoutes,
    changes: Sequence[RouteChange],
    marks: Marks,
    timeout_s: float,
) -> tuple[str, ...]:
    """Checks configuration and tables after a commit of `session`, over `witness`, which may be the same.

    Returns, raises: as `_as_planned`.
    """
    if witness is not session:
        note = session.write_down(changes[0].vrf, [change.prefix for change in changes])
        with witness.fetched(note) as fetched:
            if fetched:
                with contextlib.suppress(EcmpError):  # nothing is taken back for what was only written down
                    return _as_planned(witness, before, changes, marks, 0)
    return _as_planned(witness, before, changes, marks, timeout_s)


def _as_planned(
    witness: Transaction, before: RunningRoutes, changes: Sequence[RouteChange], marks: Marks, timeout_s: float
) -> tuple[str, ...]:
    """Compares configuration and tables with what they were to become; waits for the tables.

    Returns:
        Warnings: of `Transaction.verify`, and what others changed meanwhile.

    Raises:
        VerifyFailed: they are not what the plan says.
    """
    vrf = changes[0].vrf
    wanted = owned_hops(before, marks, vrf) | {change.prefix: change.after for change in changes}
    default = witness.default_distance
    after = witness.read()
    problems = tuple(configured_problems(owned_hops(after, marks, vrf), wanted, default).values())
    warnings: tuple[str, ...] = ()
    if not problems:
        # A prefix that somebody else routes too stays in the tables after we have left it.
        expected = {
            change.prefix: in_use(change.after, default)
            for change in changes
            if change.after or after.get(vrf, change.prefix) is None
        }
        standby = floating(((change.prefix, change.after) for change in changes), default)
        removed = {change.prefix: change.remove for change in changes}
        problems, warnings = witness.verify(vrf, expected, timeout_s, standby=standby, removed=removed)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise VerifyFailed(f"after the commit {'; '.join(problems[:3])}{more}")
    ours = {(vrf, prefix) for prefix in wanted} | {(change.vrf, change.prefix) for change in changes}
    return warnings + tuple(
        f"{route.vrf} {route.prefix} was changed by somebody else meanwhile"
        for route in _differing(before, after)
        if (route.vrf, route.prefix) not in ours
    )


def _differing(before: RunningRoutes, after: RunningRoutes) -> list[StaticRoute]:
    mine = {(route.vrf, route.prefix, frozenset(route.next_hops)): route for route in before}
    theirs = {(route.vrf, route.prefix, frozenset(route.next_hops)): route for route in after}
    return [theirs.get(key) or mine[key] for key in sorted(mine.keys() ^ theirs.keys(), key=lambda k: (k[0], k[1]))]


def owned_hops(running: RunningRoutes, marks: Marks, vrf: str) -> dict[Prefix, tuple[NextHop, ...]]:
    """The next hops of our routes in the VRF."""
    return {route.prefix: route.next_hops for route in running if route.vrf == vrf and is_owned(route, marks)}

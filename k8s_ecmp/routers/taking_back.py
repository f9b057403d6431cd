"""Nornir tasks for a wave that has been changed: look at its routers again, and take its changes back."""

import time
from collections.abc import Collection, Mapping, Sequence

from nornir.core.task import Result, Task

from k8s_ecmp.core.configured import configured_problems
from k8s_ecmp.core.staleness import way_back
from k8s_ecmp.errors import (
    AuthenticationFailed,
    ChangePending,
    CommitFailed,
    CredentialsUnusable,
    EcmpError,
    HostKeyRejected,
    RouterError,
    UnsupportedPlatform,
)
from k8s_ecmp.model import CommitResult, RouteChange, RunningRoutes
from k8s_ecmp.routers.applying import owned_hops, settled_on_error, warned_on_error
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import router_view
from k8s_ecmp.routers.record import UNRECORDED, Record, ended
from k8s_ecmp.routers.session import Progress, open_session, port_of, tell, template_for
from k8s_ecmp.routers.tables import floating, in_use
from k8s_ecmp.routers.tasks import FOREIGN_LINES
from k8s_ecmp.routers.transaction import VANISHED, Transaction
from k8s_ecmp.settings import Settings

Changes = Mapping[str, Sequence[RouteChange]]

_RETRY_S = 1.0
_LASTING = (AuthenticationFailed, CredentialsUnusable, HostKeyRejected, UnsupportedPlatform)


def look_again(task: Task, *, settings: Settings, done: Changes, progress: Progress | None = None) -> Result:
    """Whether the router still has what was committed on it: `result` is a tuple of differences, a sentence each.

    What differs, and a router that does not answer, is looked at again until `verify_timeout_s` have passed. Where a
    change of another run waits for its confirm until then, nothing was seen: no difference, and `exception` says why.

    Args:
        task: Nornir's.
        settings: owner, tag, rollout.
        done: the changes that were committed, by router.
        progress: called with router and step.
    """
    deadline = time.monotonic() + settings.rollout.verify_timeout_s
    while True:
        error: Exception | None = None
        try:
            left_s = max(0.0, deadline - time.monotonic())
            found = _differences(task, settings, done[task.host.name], left_s, progress)
        except Exception as caught:  # noqa: BLE001  whatever it is, it is this router's alone
            error, found = caught, (error_text(caught),)
        lasts = error is not None and (isinstance(error, _LASTING) or not isinstance(error, EcmpError))
        if not found or lasts or time.monotonic() >= deadline:
            break
        time.sleep(_RETRY_S)
    unseen = isinstance(error, ChangePending)
    return Result(host=task.host, result=() if unseen else found, failed=error is not None, exception=error)


def _differences(
    task: Task, settings: Settings, changes: Sequence[RouteChange], timeout_s: float, progress: Progress | None
) -> tuple[str, ...]:
    port = port_of(task)
    marks = port.traits.marks(settings, router_view(task.host))
    vrf = changes[0].vrf
    tell(progress, task, "look again")
    with open_session(task, port, None) as session:
        running = session.read()
        wanted = {change.prefix: change.after for change in changes}
        found = {prefix: hops for prefix, hops in owned_hops(running, marks, vrf).items() if prefix in wanted}
        if differing := configured_problems(found, wanted, session.default_distance):
            return tuple(differing.values())
        return _verify(session, running, changes, timeout_s)[0]


def _verify(
    session: Transaction, running: RunningRoutes, changes: Sequence[RouteChange], timeout_s: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the tables do not show of changes, and warnings; `running` is what is configured after them."""
    vrf = changes[0].vrf
    default = session.default_distance
    expected = {c.prefix: in_use(c.after, default) for c in changes if c.after or running.get(vrf, c.prefix) is None}
    standby = floating(((change.prefix, change.after) for change in changes), default)
    return session.verify(vrf, expected, timeout_s, standby=standby)


def take_back_routes(
    task: Task,
    *,
    settings: Settings,
    done: Changes,
    why: str,
    overrides: Collection[str] = (),
    progress: Progress | None = None,
    record: Record = UNRECORDED,
) -> Result:
    """Takes committed changes of the router back by their inverse, or nothing: `result` is a `CommitResult`.

    Under the router's lock the routes are read again; where one is no longer what the change made of it, all are left
    as they are. Then stage, commit without a timer, verify: tables that do not show the way back are a warning.

    Args:
        task: Nornir's.
        settings: owner, tag, rollout.
        done: the changes that were committed, by router, with every attribute of their hops.
        why: the reason, for the report.
        overrides: names of guards that are switched off; "foreign-lines" is the one that is asked here.
        progress: called with router and step.
        record: what keeps account of changes; one that cannot stops them.
    """
    started = time.monotonic()
    name = task.host.name
    error: Exception | None = None
    try:
        allowed = FOREIGN_LINES in overrides
        count, warnings = _take_back(task, settings, done[name], why, allowed, progress, record)
        result = CommitResult(name, "rolled-back", count, time.monotonic() - started, why, warnings, undone="inverse")
    except Exception as caught:  # noqa: BLE001  whatever it is, it is this router's alone
        error = caught
        text = f"{why}, but that failed: {error_text(caught)}"
        remedy = caught.remedy if isinstance(caught, EcmpError) else None
        warnings = caught.warnings if isinstance(caught, EcmpError) else ()
        result = CommitResult(name, "failed", 0, time.monotonic() - started, text, warnings, remedy=remedy)
    result = ended(record, result)
    return Result(host=task.host, result=result, failed=error is not None, exception=error, changed=error is None)


def _take_back(
    task: Task,
    settings: Settings,
    done: Sequence[RouteChange],
    why: str,
    allow_foreign_lines: bool,
    progress: Progress | None,
    record: Record,
) -> tuple[int, tuple[str, ...]]:
    port = port_of(task)
    marks = port.traits.marks(settings, router_view(task.host))
    rollout = settings.rollout
    tell(progress, task, "connect")
    with open_session(task, port, template_for(settings, port), lock=True) as session, warned_on_error(session):
        tell(progress, task, "read")
        running = session.read()
        undo, others = way_back(done, running, marks, port.traits.default_distance)
        if others:
            raise RouterError(f"{others[0]} was changed by somebody else meanwhile; all of it was left as it is")
        if not undo:
            raise CommitFailed(VANISHED, remedy="run verify, then apply")
        changes = tuple(RouteChange(c.action, c.vrf, c.prefix, c.before, c.after, (why,)) for c in undo)
        tell(progress, task, "stage")
        commands = session.stage(changes, running, allow_foreign_lines=allow_foreign_lines)
        again = way_back(done, session.read(), marks, port.traits.default_distance)
        if again != (undo, others) or session.diff_has_changed():
            raise RouterError("the routes were changed while the way back was being staged; nothing was written")
        record.begin(task.host.name, changes, commands, takes_back=True)
        tell(progress, task, "commit")
        with settled_on_error(session, "the way back"):
            unsaved = session.commit_way_back()
        tell(progress, task, "verify")
        after = session.read()
        standing, others = way_back(done, after, marks, port.traits.default_distance)
        for prefix in (*(change.prefix for change in standing), *others):
            more = "" if unsaved is None else f"; {unsaved.message}"
            raise CommitFailed(f"{prefix} is not as it was after the way back{more}", remedy="run verify, then apply")
        # What the tables do not show is no reason to put the change in force again.
        problems, warnings = _verify(session, after, changes, rollout.verify_timeout_s)
        said = session.router_warnings() if unsaved is None else (str(unsaved), *session.router_warnings())
        warnings = (*said, *warnings, *(f"after the way back {problem}" for problem in problems))
    return len(changes), warnings + session.unsaved()

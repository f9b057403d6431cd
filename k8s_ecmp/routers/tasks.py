"""Nornir tasks for scripts: read, plan, apply and verify, one router each.

Every task returns a `Result` whose `result` is a noun of `k8s_ecmp.model` or of this module. What goes wrong on a
router is in `Result.exception`, with `Result.failed` set, and never raised into the run: the other routers go on.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from nornir.core import Nornir
from nornir.core.task import AggregatedResult, Result, Task

from k8s_ecmp.core.intent import Intent
from k8s_ecmp.core.ownership import Marks, fingerprint, is_owned
from k8s_ecmp.core.plan import plan_router
from k8s_ecmp.core.reviewed import reviewed_changes
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.errors import (
    ConfirmExpired,
    DeadlineExceeded,
    EcmpError,
    ForeignLines,
    PlanRefused,
    RenderError,
    RouterError,
    UnsupportedPlatform,
    VerifyFailed,
)
from k8s_ecmp.model import CommitResult, GuardTrip, Outcome, Prefix, RouteChange, RouterPlan, RunningRoutes, StaticRoute
from k8s_ecmp.routers.connection import CONNECTION, connect, describe, driver_class, platform_of
from k8s_ecmp.routers.inventory import router_settings, router_view
from k8s_ecmp.routers.transaction import Port, Transaction, predict, table_problems
from k8s_ecmp.settings import Settings

Progress = Callable[[str, str], None]
FOREIGN_LINES = "foreign-lines"
# Guards that hold single prefixes back from a plan.
_PREFIX_GUARDS = frozenset(("last-next-hop", "frozen"))
_T = TypeVar("_T")


@dataclass(frozen=True)
class VerifyReport:
    """What a router has against what it shall have.

    `plan` holds the drift as the changes that would mend it; `problems` are differences between its configuration and
    its routing and forwarding tables. `error` is set when the router could not be asked.
    """

    router: str
    plan: RouterPlan | None = None
    problems: tuple[str, ...] = ()
    owned: int = 0
    error: str | None = None

    @property
    def drifted(self) -> bool:
        """Configuration or tables differ from what they shall be."""
        return bool(self.problems) or (self.plan is not None and bool(self.plan.changes))

    @property
    def in_sync(self) -> bool:
        """Nothing differs and nothing stands in the way."""
        return self.error is None and not self.drifted and self.plan is not None and not self.plan.conflicts


def read_routes(task: Task, *, recover: bool = False) -> Result:
    """The static routes of the router: `result` is a `RunningRoutes`.

    Args:
        task: Nornir's.
        recover: first take back what a run that died left unconfirmed; takes the router's lock for that moment.
    """

    def read() -> RunningRoutes:
        with _session(task, _port(task), None, recover=recover) as session:
            return session.read()

    return _guarded(task, read, lambda _: None)


def plan_routes(
    task: Task,
    *,
    intent: Intent,
    device_diff: bool = False,
    recover: bool = False,
    progress: Progress | None = None,
) -> Result:
    """What shall change on the router: `result` is a `RouterPlan`, `diff` its diff. Writes nothing.

    Args:
        task: Nornir's.
        intent: what is wanted.
        device_diff: ask the router for the diff where it can compute one; takes its lock for that moment.
        recover: first take back what a run that died left unconfirmed, as `apply` does.
        progress: called with router and step.
    """

    def plan() -> RouterPlan:
        port = _port(task)
        ask_device = device_diff and port.own and port.capabilities.device_diff
        _tell(progress, task, "connect")
        template = _template(intent.settings, port)
        with _session(task, port, template, recover=recover or ask_device) as session:
            _tell(progress, task, "read")
            running = session.read()
            planned = _plan(task, port, session, intent, running, intent.rules)
            predicted = predict(port, planned.changes, running, template)
            planned = msgspec.structs.replace(planned, commands=predicted.commands, diff=predicted.diff)
            if planned.changes and ask_device:
                allowed = FOREIGN_LINES in intent.rules.overrides
                try:
                    session.stage(planned.changes, running, allow_foreign_lines=allowed)
                except ForeignLines as error:
                    trip = GuardTrip(FOREIGN_LINES, planned.name, None, str(error))
                    planned = msgspec.structs.replace(planned, status="blocked", guards=(*planned.guards, trip))
                planned = msgspec.structs.replace(planned, diff=session.device_diff(), diff_source="device")
            return planned

    def failed(error: Exception) -> RouterPlan:
        return RouterPlan(task.host.name, platform_of(task.host) or "", "failed", error=error_text(error))

    result = _guarded(task, plan, failed, progress)
    result.diff = result.result.diff
    return result


def apply_routes(
    task: Task,
    *,
    settings: Settings,
    plans: Sequence[RouterPlan],
    overrides: Collection[str] = (),
    deadline_s: float | None = None,
    progress: Progress | None = None,
) -> Result:
    """Does what a plan says for this router, exactly that or nothing: `result` is a `CommitResult`.

    Under the router's lock the routes are read again; when those that the plan speaks of are no longer what they were,
    the plan is refused. Then stage, commit, verify, confirm; a change that the router's tables do not show is taken
    back.

    Args:
        task: Nornir's.
        settings: owner, tag, rollout.
        plans: the plans of all routers; a router without one is left alone.
        overrides: names of guards that are switched off; "foreign-lines" is the one that is asked here.
        deadline_s: seconds after which nothing is begun any more, because nobody waits for this router.
        progress: called with router and step.
    """
    started = time.monotonic()
    name = task.host.name
    planned = next((plan for plan in plans if plan.name == name), None)

    def apply() -> CommitResult:
        if planned is None or not planned.changes:
            return CommitResult(name, "unchanged")

        def in_time() -> None:
            if deadline_s is not None and time.monotonic() > started + deadline_s:
                raise DeadlineExceeded(f"{name} came no further within {deadline_s:g} s; nothing was written")

        return _apply(task, settings, planned, FOREIGN_LINES in overrides, in_time, progress)

    def failed(error: Exception) -> CommitResult:
        outcome: Outcome = "failed"
        if isinstance(error, PlanRefused):
            outcome = "refused"
        elif isinstance(error, ForeignLines):
            outcome = "blocked"
        elif isinstance(error, VerifyFailed):
            outcome = "rolled-back"
        return CommitResult(name, outcome, 0, time.monotonic() - started, error_text(error))

    result = _guarded(task, apply, failed, progress)
    result.changed = result.result.outcome == "committed"
    result.diff = planned.diff if planned is not None else ""
    return result


def verify_routes(task: Task, *, intent: Intent, progress: Progress | None = None) -> Result:
    """Whether the router has what it shall have, in configuration and tables: `result` is a `VerifyReport`."""

    def verify() -> VerifyReport:
        port = _port(task)
        _tell(progress, task, "connect")
        with _session(task, port, None) as session:
            _tell(progress, task, "read")
            running = session.read()
            planned = _plan(task, port, session, intent, running, _everything(intent.rules))
            marks = port.traits.marks(intent.rules)
            vrf = router_view(task.host).vrf
            expected = _owned(running, marks, vrf)
            _tell(progress, task, "verify")
            problems = table_problems(tables, expected) if (tables := session.installed(vrf)) is not None else ()
            return VerifyReport(task.host.name, planned, problems, len(expected))

    return _guarded(task, verify, lambda error: VerifyReport(task.host.name, error=error_text(error)), progress)


def run(nornir: Nornir, task: Callable[..., Result], **kwargs: Any) -> AggregatedResult:
    """Runs one of these tasks; slow libraries are imported here once, not in every thread."""
    for platform in {platform_of(host) for host in nornir.inventory.hosts.values()}:
        with contextlib.suppress(RouterError):
            driver_class(platform)
    return nornir.run(task=task, **kwargs)


def outcomes(results: AggregatedResult, kind: type[_T], missing: Callable[[str, BaseException], _T]) -> list[_T]:
    """The nouns of a run in the inventory's order; `missing` makes one for a router whose task did not return."""
    out = []
    for name, multi in results.items():
        value = multi[0].result
        if isinstance(value, kind):
            out.append(value)
        else:
            out.append(missing(name, multi[0].exception or RouterError("no result")))
    return out


def error_text(error: BaseException) -> str:
    """One line for people: the message and remedy of our own errors, kind and text of others."""
    return str(error) if isinstance(error, EcmpError) else describe(error)


def _port(task: Task) -> Port:
    if router_settings(task.host).mode == "bgp":
        raise UnsupportedPlatform(
            "mode: bgp is not in this version, which programs static routes", remedy="set mode: static in the inventory"
        )
    return Port.of(task.host)


def _everything(rules: Rules) -> Rules:
    """The rules of a plan that holds nothing back: what verify compares with."""
    overrides = rules.overrides | _PREFIX_GUARDS
    return replace(rules, mode="full", policy="sync", freeze=None, overrides=overrides)


def _plan(
    task: Task, port: Port, session: Transaction, intent: Intent, running: RunningRoutes, rules: Rules
) -> RouterPlan:
    view = router_view(task.host)
    planned = plan_router(view, port.traits, intent.desired, running, rules)
    gained = sorted({hop.address for change in planned.changes for hop in change.after if hop.address})
    unresolved = session.unresolved(view.vrf, gained)
    if unresolved:
        planned = plan_router(view, port.traits, intent.desired, running, rules, unresolved)
    return planned


def _apply(
    task: Task,
    settings: Settings,
    planned: RouterPlan,
    allow_foreign_lines: bool,
    in_time: Callable[[], None],
    progress: Progress | None,
) -> CommitResult:
    started = time.monotonic()
    port = _port(task)
    marks = port.traits.marks(Rules(tag=settings.tag, owner=settings.owner, guards=settings.guards))
    vrf = planned.changes[0].vrf
    rollout = settings.rollout
    _tell(progress, task, "connect")
    with _session(task, port, _template(settings, port), recover=True) as session:
        _tell(progress, task, "read")
        running = session.read()
        found = fingerprint(running, marks, vrf, [change.prefix for change in planned.changes])
        if found != planned.fingerprint:
            raise PlanRefused(
                f"the routes on {task.host.name} are not those that the plan was made for", remedy="make a new plan"
            )
        changes = reviewed_changes(planned.changes, running, marks, port.traits.default_distance)
        in_time()
        _tell(progress, task, "stage")
        if session.stage(changes, running, allow_foreign_lines=allow_foreign_lines) != planned.commands:
            raise PlanRefused(
                f"the commands for {task.host.name} are no longer those of the plan", remedy="make a new plan"
            )
        in_time()
        _tell(progress, task, "commit")
        session.commit(rollout.confirm_within_s, sum(len(change.before) + len(change.after) for change in changes))
        with _taken_back_on_error(session, rollout.confirm_within_s if port.capabilities.confirm else 0):
            _tell(progress, task, "verify")
            warnings = _verify_commit(session, vrf, running, changes, marks, rollout.verify_timeout_s)
            _tell(progress, task, "confirm")
            session.confirm()
    return CommitResult(task.host.name, "committed", len(changes), time.monotonic() - started, None, warnings)


@contextlib.contextmanager
def _taken_back_on_error(session: Transaction, timer_s: int) -> Iterator[None]:
    """Takes a commit back where what follows it fails, and says what is left on the router."""
    try:
        yield
    except ConfirmExpired:
        raise
    except EcmpError as error:
        try:
            session.rollback()
        except EcmpError as second:
            left = (
                f"the router takes the change back by itself within {timer_s} s"
                if timer_s
                else "the change is in force and not verified"
            )
            raise RouterError(f"{error}; it could not be taken back: {error_text(second)}; {left}") from error
        raise VerifyFailed(f"{error}; the change was taken back") from error


def _verify_commit(
    session: Transaction,
    vrf: str,
    before: RunningRoutes,
    changes: Sequence[RouteChange],
    marks: Marks,
    timeout_s: float,
) -> tuple[str, ...]:
    """Checks configuration and tables after a commit.

    Returns:
        Warnings: next hops that the router cannot resolve, and what others changed meanwhile.

    Raises:
        VerifyFailed: they are not what the plan says.
    """
    after = session.read()
    wanted = _owned(before, marks, vrf)
    for change in changes:
        if change.after:
            wanted[change.prefix] = frozenset(change.next_hops)
        else:
            wanted.pop(change.prefix, None)
    found = _owned(after, marks, vrf)
    problems: tuple[str, ...] = tuple(
        f"{prefix} is configured as {_words(found.get(prefix))} instead of {_words(wanted.get(prefix))}"
        for prefix in sorted(wanted.keys() | found.keys())
        if wanted.get(prefix) != found.get(prefix)
    )
    warnings: tuple[str, ...] = ()
    if not problems:
        # A prefix that somebody else routes too stays in the tables after we have left it.
        expected = {
            change.prefix: wanted.get(change.prefix, frozenset[str]())
            for change in changes
            if change.after or after.get(vrf, change.prefix) is None
        }
        problems, warnings = session.verify(vrf, expected, timeout_s)
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


def _owned(running: RunningRoutes, marks: Marks, vrf: str) -> dict[Prefix, frozenset[str]]:
    return {
        route.prefix: frozenset(hop.label for hop in route.next_hops)
        for route in running
        if route.vrf == vrf and is_owned(route, marks)
    }


def _words(hops: frozenset[str] | None) -> str:
    return "nothing" if hops is None else ", ".join(sorted(hops))


def _template(settings: Settings, port: Port) -> str | None:
    if settings.templates is None:
        return None
    path = Path(settings.templates) / f"{port.syntax.name}.j2"
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"the template {path} cannot be read: {error}") from error


@contextlib.contextmanager
def _session(task: Task, port: Port, template: str | None, *, recover: bool = False) -> Iterator[Transaction]:
    """An open transaction, discarded and closed at the end whatever happens.

    With `recover` it holds the router's lock and has taken back what a dead run left; else such a change is an error,
    because what would be read does not last.
    """
    driver = connect(task.host, task.nornir.config)
    session = Transaction(driver, port, template)
    try:
        if recover and port.own:
            session.begin()
        else:
            session.expect_settled()
        yield session
    finally:
        try:
            with contextlib.suppress(RouterError):
                session.discard()
        finally:
            with contextlib.suppress(Exception):
                task.host.close_connection(CONNECTION)


def _guarded(
    task: Task,
    work: Callable[[], Any],
    failed: Callable[[Exception], Any],
    progress: Progress | None = None,
) -> Result:
    try:
        return Result(host=task.host, result=work())
    except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
        return Result(host=task.host, result=failed(error), failed=True, exception=error)
    finally:
        _tell(progress, task, "done")


def _tell(progress: Progress | None, task: Task, step: str) -> None:
    if progress is not None:
        progress(task.host.name, step)

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
    EcmpError,
    ForeignLines,
    PlanRefused,
    RenderError,
    RouterError,
    UnsupportedPlatform,
    VerifyFailed,
)
from k8s_ecmp.model import CommitResult, GuardTrip, Outcome, Prefix, RouteChange, RouterPlan, RunningRoutes, StaticRoute
from k8s_ecmp.routers.connection import CONNECTION, connect, describe, driver_class
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


def read_routes(task: Task) -> Result:
    """The static routes of the router: `result` is a `RunningRoutes`."""
    return _guarded(task, lambda: _read(task), lambda _: None)


def plan_routes(task: Task, *, intent: Intent, device_diff: bool = False, progress: Progress | None = None) -> Result:
    """What shall change on the router: `result` is a `RouterPlan`, `diff` its diff. Writes nothing.

    Args:
        task: Nornir's.
        intent: what is wanted.
        device_diff: ask the router for the diff where it can compute one; takes its lock for that moment.
        progress: called with router and step.
    """

    def plan() -> RouterPlan:
        port = _port(task)
        ask_device = device_diff and port.own and port.capabilities.device_diff
        _tell(progress, task, "connect")
        with _session(task, port, _template(intent.settings, port)) as session:
            if ask_device:
                session.begin()
            _tell(progress, task, "read")
            running = session.read()
            planned = _plan(task, port, session, intent, running, intent.rules)
            predicted = predict(port, planned.changes, running, _template(intent.settings, port))
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
        return RouterPlan(task.host.name, task.host.platform or "", "failed", error=error_text(error))

    result = _guarded(task, plan, failed)
    result.diff = result.result.diff
    return result


def apply_routes(
    task: Task,
    *,
    settings: Settings,
    plans: Sequence[RouterPlan],
    overrides: Collection[str] = (),
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
        progress: called with router and step.
    """
    started = time.monotonic()
    name = task.host.name
    planned = next((plan for plan in plans if plan.name == name), None)

    def apply() -> CommitResult:
        if planned is None or not planned.changes:
            return CommitResult(name, "unchanged")
        return _apply(task, settings, planned, FOREIGN_LINES in overrides, progress, started)

    def failed(error: Exception) -> CommitResult:
        outcome: Outcome = "failed"
        if isinstance(error, PlanRefused):
            outcome = "refused"
        elif isinstance(error, ForeignLines):
            outcome = "blocked"
        elif isinstance(error, VerifyFailed):
            outcome = "rolled-back"
        return CommitResult(name, outcome, 0, time.monotonic() - started, error_text(error))

    result = _guarded(task, apply, failed)
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

    return _guarded(task, verify, lambda error: VerifyReport(task.host.name, error=error_text(error)))


def run(nornir: Nornir, task: Callable[..., Result], **kwargs: Any) -> AggregatedResult:
    """Runs one of these tasks; slow libraries are imported here once, not in every thread."""
    for platform in {host.platform for host in nornir.inventory.hosts.values()}:
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


def _read(task: Task) -> RunningRoutes:
    port = _port(task)
    with _session(task, port, None) as session:
        return session.read()


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
    progress: Progress | None,
    started: float,
) -> CommitResult:
    port = _port(task)
    marks = port.traits.marks(Rules(tag=settings.tag, owner=settings.owner, guards=settings.guards))
    vrf = planned.changes[0].vrf
    rollout = settings.rollout
    _tell(progress, task, "connect")
    with _session(task, port, _template(settings, port)) as session:
        session.begin()
        _tell(progress, task, "read")
        running = session.read()
        found = fingerprint(running, marks, vrf, [change.prefix for change in planned.changes])
        if found != planned.fingerprint:
            raise PlanRefused(
                f"the routes on {task.host.name} are not those that the plan was made for", remedy="make a new plan"
            )
        changes = reviewed_changes(planned.changes, running, marks, port.traits.default_distance)
        _tell(progress, task, "stage")
        if session.stage(changes, running, allow_foreign_lines=allow_foreign_lines) != planned.commands:
            raise PlanRefused(
                f"the commands for {task.host.name} are no longer those of the plan", remedy="make a new plan"
            )
        _tell(progress, task, "commit")
        session.commit(rollout.confirm_within_s, sum(len(change.before) + len(change.after) for change in changes))
        _tell(progress, task, "verify")
        warnings = _verify_commit(session, vrf, running, changes, marks, rollout.verify_timeout_s)
        _tell(progress, task, "confirm")
        session.confirm()
        _tell(progress, task, "done")
    return CommitResult(task.host.name, "committed", len(changes), time.monotonic() - started, None, warnings)


def _verify_commit(
    session: Transaction,
    vrf: str,
    before: RunningRoutes,
    changes: Sequence[RouteChange],
    marks: Marks,
    timeout_s: float,
) -> tuple[str, ...]:
    """Checks configuration and tables after a commit; takes it back where they are wrong.

    Returns:
        Warnings: next hops that the router cannot resolve, and what others changed meanwhile.
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
        text = f"{'; '.join(problems[:3])}{more}"
        try:
            session.rollback()
        except EcmpError as error:
            raise RouterError(f"{text}; and the change could not be taken back: {error_text(error)}") from error
        raise VerifyFailed(f"after the commit {text}; the change was taken back")
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
def _session(task: Task, port: Port, template: str | None) -> Iterator[Transaction]:
    """An open transaction; discarded and closed at the end whatever happens."""
    driver = connect(task.host, task.nornir.config)
    session = Transaction(driver, port, template)
    try:
        yield session
    finally:
        try:
            with contextlib.suppress(RouterError):
                session.discard()
        finally:
            with contextlib.suppress(Exception):
                task.host.close_connection(CONNECTION)


def _guarded(task: Task, work: Callable[[], Any], failed: Callable[[Exception], Any]) -> Result:
    try:
        return Result(host=task.host, result=work())
    except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
        return Result(host=task.host, result=failed(error), failed=True, exception=error)


def _tell(progress: Progress | None, task: Task, step: str) -> None:
    if progress is not None:
        progress(task.host.name, step)

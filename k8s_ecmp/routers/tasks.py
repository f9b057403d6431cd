"""Nornir tasks for scripts: read, plan, apply and verify, one router each.

Every task returns a `Result` whose `result` is a noun of `k8s_ecmp.model` or of this module. What goes wrong on a
router is in `Result.exception`, with `Result.failed` set, and never raised into the run: the other routers go on.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from nornir.core import Nornir
from nornir.core.task import AggregatedResult, Result, Task

from k8s_ecmp.core.intent import Intent
from k8s_ecmp.core.plan import plan_router
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.errors import (
    DeadlineExceeded,
    EcmpError,
    ForeignLines,
    Frozen,
    PlanRefused,
    RouterError,
    SessionDown,
    VerifyFailed,
)
from k8s_ecmp.model import CommitResult, GuardTrip, Outcome, Prefix, RouterPlan, RunningRoutes
from k8s_ecmp.platforms.base import Installed
from k8s_ecmp.routers.applying import apply_plan, owned_hops
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import platform_of, router_view
from k8s_ecmp.routers.plugin import driver_class
from k8s_ecmp.routers.port import Port, foreseen
from k8s_ecmp.routers.record import UNRECORDED, Record, ended
from k8s_ecmp.routers.session import NEVER_WRITE, Progress, open_session, port_of, tell, template_for
from k8s_ecmp.routers.tables import floating, silent_hops, standing_by, table_problems
from k8s_ecmp.routers.transaction import Transaction
from k8s_ecmp.settings import Settings

FOREIGN_LINES = "foreign-lines"
# Guards that hold single prefixes back from a plan.
_PREFIX_GUARDS = frozenset(("last-next-hop", "frozen"))
_T = TypeVar("_T")


@dataclass(frozen=True)
class VerifyReport:
    """What a router has against what it shall have.

    `plan` holds the drift as the changes that would mend it; `problems` are differences between its configuration and
    its routing and forwarding tables. `warnings` are as `apply` has them: floating routes that stand behind a better
    one, next hops that do not answer ARP or ND, and tables that could not be read. `error` is set when the router could
    not be asked.
    """

    router: str
    plan: RouterPlan | None = None
    problems: tuple[str, ...] = ()
    owned: int = 0
    error: str | None = None
    warnings: tuple[str, ...] = ()

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
        recover: first take back what a run that died left unconfirmed; takes the router's lock where it is needed.
    """

    def read() -> RunningRoutes:
        with open_session(task, port_of(task), None, recover=recover) as session:
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
        port = port_of(task)
        ask_device = device_diff and port.capabilities.device_diff
        tell(progress, task, "connect")
        template = template_for(intent.settings, port)
        with open_session(task, port, template, lock=ask_device, recover=recover) as session:
            tell(progress, task, "read")
            running = session.read()
            planned = _plan(task, port, session, intent, running, intent.rules)
            marks = port.traits.marks(intent.rules, router_view(task.host))
            confirm_within_s = intent.settings.rollout.confirm_within_s
            planned = foreseen(port, planned, running, template, marks, confirm_within_s)
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
    record: Record = UNRECORDED,
) -> Result:
    """Does what a plan says for this router, exactly that or nothing: `result` is a `CommitResult`.

    Under the router's lock the routes are read again; when those that the plan speaks of are no longer what they were,
    the plan is refused. Then stage, commit, verify, confirm; a change that the router's tables do not show is taken
    back. A plan that a guard blocks is not applied, and none in a mode that never writes.

    Args:
        task: Nornir's.
        settings: owner, tag, rollout.
        plans: the plans of all routers; a router without one is left alone.
        overrides: names of guards that are switched off; "foreign-lines" is the one that is asked here.
        deadline_s: seconds after which nothing is begun any more, because nobody waits for this router.
        progress: called with router and step.
        record: what keeps account of changes; one that cannot stops them.
    """
    started = time.monotonic()
    name = task.host.name
    planned = next((plan for plan in plans if plan.name == name), None)

    def apply() -> CommitResult:
        if planned is None or not planned.changes:
            return CommitResult(name, "unchanged")
        if planned.status != "changes":
            return CommitResult(name, "blocked")
        if settings.mode in NEVER_WRITE:
            raise PlanRefused(f"mode is {settings.mode}, which writes to no router")

        def in_time() -> None:
            if deadline_s is not None and time.monotonic() > started + deadline_s:
                raise DeadlineExceeded(f"{name} came no further within {deadline_s:g} s; nothing was written")

        return apply_plan(task, settings, planned, FOREIGN_LINES in overrides, in_time, progress, record)

    def failed(error: Exception) -> CommitResult:
        outcome: Outcome = "failed"
        if isinstance(error, PlanRefused):
            outcome = "refused"
        elif isinstance(error, ForeignLines | Frozen):
            outcome = "blocked"
        elif isinstance(error, VerifyFailed):
            outcome = "rolled-back"
        return CommitResult(
            name,
            outcome,
            0,
            time.monotonic() - started,
            error_text(error),
            error.warnings if isinstance(error, EcmpError) else (),
            remedy=error.remedy if isinstance(error, EcmpError) else None,
            undone=error.undone if isinstance(error, VerifyFailed) else None,
        )

    result = _guarded(task, apply, failed, progress)
    if planned is not None and planned.changes:
        result.result = ended(record, result.result)
    result.changed = result.result.outcome == "committed"
    result.diff = planned.diff if planned is not None else ""
    return result


def verify_routes(task: Task, *, intent: Intent, progress: Progress | None = None) -> Result:
    """Whether the router has what it shall have, in configuration and tables: `result` is a `VerifyReport`."""

    def verify() -> VerifyReport:
        port = port_of(task)
        tell(progress, task, "connect")
        with open_session(task, port, None) as session:
            tell(progress, task, "read")
            running = session.read()
            planned = _plan(task, port, session, intent, running, _everything(intent.rules))
            view = router_view(task.host)
            marks, vrf = port.traits.marks(intent.rules, view), view.vrf
            owned = owned_hops(running, marks, vrf)
            expected = {prefix: frozenset(hop.table_label for hop in hops) for prefix, hops in owned.items()}
            standby = floating(owned.items(), session.default_distance)
            tell(progress, task, "verify")
            try:
                tables = session.shown.installed(vrf, standby=standby)
            except SessionDown as error:
                return VerifyReport(task.host.name, planned, (session.why_down(error),), len(expected))
            if tables is None:
                return VerifyReport(task.host.name, planned, (), len(expected), warnings=session.shown.blind)
            problems = table_problems(tables, expected, standby)
            received = session.compare_received(expected, whole=True)
            warnings = standing_by(tables, expected, standby) + received.warnings + session.shown.half_blind
            warnings += _silent(session, vrf, expected, tables)
            return VerifyReport(task.host.name, planned, problems + received.problems, len(expected), warnings=warnings)

    return _guarded(task, verify, lambda error: VerifyReport(task.host.name, error=error_text(error)), progress)


def _silent(
    session: Transaction, vrf: str, expected: Mapping[Prefix, frozenset[str]], tables: Mapping[Prefix, Installed]
) -> tuple[str, ...]:
    """Warnings of next hops that do not answer, or that it cannot be told whether they do."""
    try:
        return silent_hops(session.shown.neighbours(vrf, expected, tables), expected)
    except EcmpError as error:
        return (f"whether next hops answer ARP and ND could not be seen: {error_text(error)}",)


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
    unresolved = session.shown.unresolved(view.vrf, gained)
    if unresolved:
        planned = plan_router(view, port.traits, intent.desired, running, rules, unresolved)
    return planned


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
        tell(progress, task, "done")

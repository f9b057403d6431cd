"""One run, as the command line and the playbooks make it: observe, plan, review, apply; and its exit codes."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from nornir.core import Nornir
from nornir.core.task import AggregatedResult

from k8s_ecmp.core.guards import GUARDS
from k8s_ecmp.core.intent import Intent
from k8s_ecmp.core.ownership import Marks, fingerprint
from k8s_ecmp.errors import PlanRefused, SettingsError
from k8s_ecmp.kube import load_cluster
from k8s_ecmp.model import CommitResult, Plan, RouterPlan, RunningRoutes
from k8s_ecmp.routers.tasks import VerifyReport, error_text, outcomes, read_routes, run
from k8s_ecmp.routers.transaction import Port
from k8s_ecmp.settings import Settings
from k8s_ecmp.views.document import decode_plan

DONE, ERROR, CHANGES, STOPPED = 0, 1, 2, 3


def observe(settings: Settings, overrides: Collection[str] = ()) -> Intent:
    """Reads the cluster and decides.

    Raises:
        ClusterError: the cluster's state could not be had.
        SettingsError: an override is no guard's name.
    """
    unknown = sorted(set(overrides) - set(GUARDS))
    if unknown:
        raise SettingsError(f"there is no guard {', '.join(unknown)}", remedy=f"guards are {', '.join(GUARDS)}")
    return Intent.build(
        settings,
        load_cluster(settings),
        datetime.now(UTC),
        overrides=overrides,
        freeze_file_text=freeze_file_text(settings),
    )


def freeze_file_text(settings: Settings) -> str | None:
    """The first line of the freeze file; None where there is none."""
    if settings.guards.freeze_file is None:
        return None
    path = Path(settings.guards.freeze_file)
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0] if path.exists() else None
    except OSError:
        return "it cannot be read"


def assemble(intent: Intent, results: AggregatedResult) -> Plan:
    """The plan of all routers out of a run of `plan_routes`."""
    return intent.plan(outcomes(results, RouterPlan, _failed_plan))


def reports(results: AggregatedResult) -> list[VerifyReport]:
    """The reports out of a run of `verify_routes`."""
    return outcomes(results, VerifyReport, lambda name, error: VerifyReport(name, error=error_text(error)))


def report_lines(report: VerifyReport) -> list[str]:
    """A verify report in sentences; the first one says how the router stands."""
    if report.error is not None or report.plan is None:
        return [f"failed: {report.error}"]
    if report.in_sync:
        return [f"in sync: {report.owned} owned prefixes"]
    lines = [f"{change.action} {change.prefix}: {'; '.join(change.reasons)}" for change in report.plan.changes]
    lines += report.problems
    return [f"drift: {len(lines)} difference{'s' if len(lines) > 1 else ''}", *lines]


def reviewed(path: Path, settings: Settings) -> Plan:
    """The plan of a plan file, whole and fresh.

    Raises:
        PlanRefused: it is edited, expired, unreadable, or another owner's.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PlanRefused(f"the plan file {path} cannot be read: {error.strerror}") from error
    plan = decode_plan(content, str(path))
    if plan.expires <= datetime.now(UTC):
        raise PlanRefused(
            f"the plan in {path} expired at {plan.expires:%Y-%m-%d %H:%M:%S} UTC", remedy="make a new one"
        )
    if (plan.owner, plan.tag) != (settings.owner, settings.tag):
        raise PlanRefused(
            f"the plan in {path} is for owner {plan.owner} and tag {plan.tag}, "
            f"the settings say {settings.owner} and {settings.tag}"
        )
    return plan


def check_current(nornir: Nornir, settings: Settings, plan: Plan) -> None:
    """Reads every router that the plan changes, before anything is written.

    Raises:
        PlanRefused: a router is not in the inventory, or its routes are not those that were reviewed.
    """
    changing = {router.name: router for router in plan.routers if router.changes}
    missing = sorted(set(changing) - set(nornir.inventory.hosts))
    if missing:
        raise PlanRefused(f"the plan changes {', '.join(missing)}, which the inventory does not have")
    some = nornir.filter(filter_func=lambda host: host.name in changing)
    if not changing:
        return
    stale = []
    for name, multi in run(some, read_routes).items():
        running = multi[0].result
        if isinstance(running, RunningRoutes):
            traits = Port.of(nornir.inventory.hosts[name]).traits
            marks = Marks(settings.tag, settings.owner, traits.name_mark)
            changes = changing[name].changes
            found = fingerprint(running, marks, changes[0].vrf, [change.prefix for change in changes])
            if found != changing[name].fingerprint:
                stale.append(name)
    if stale:
        raise PlanRefused(
            f"the routes on {', '.join(stale)} are not those that the plan was made for; nothing was written",
            remedy="make a new plan and have it reviewed",
        )


def plan_exit(plan: Plan) -> int:
    """1 a router failed, 3 a guard tripped, 2 changes, 3 conflicts only, 0 nothing to do."""
    if any(router.status == "failed" for router in plan.routers):
        return ERROR
    if plan.guards:
        return STOPPED
    if any(router.changes for router in plan.routers):
        return CHANGES
    return STOPPED if any(router.conflicts for router in plan.routers) else DONE


def apply_exit(plan: Plan, results: Sequence[CommitResult]) -> int:
    """1 a router failed, 3 something was stopped (guard, conflict, refused plan), 0 all done."""
    if any(result.outcome in ("failed", "rolled-back", "not-attempted") for result in results):
        return ERROR
    refused = any(result.outcome in ("blocked", "refused") for result in results)
    conflicts = any(router.conflicts for router in plan.routers)
    return STOPPED if refused or conflicts or plan.guards else DONE


def verify_exit(found: Sequence[VerifyReport]) -> int:
    """1 a router failed, 2 drift, 0 in sync."""
    if any(report.error is not None for report in found):
        return ERROR
    return DONE if all(report.in_sync for report in found) else CHANGES


def _failed_plan(name: str, error: BaseException) -> RouterPlan:
    return RouterPlan(name, "", "failed", error=error_text(error))

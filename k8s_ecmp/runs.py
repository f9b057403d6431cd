"""One run, as the command line and the playbooks make it: observe, plan, review, apply; and its exit codes."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from nornir.core import Nornir
from nornir.core.task import AggregatedResult

from k8s_ecmp.core.freeze import Freeze, freeze_of
from k8s_ecmp.core.guards import GUARDS, run_holds
from k8s_ecmp.core.intent import Intent
from k8s_ecmp.core.reviewed import forbids
from k8s_ecmp.errors import PlanRefused, SettingsError
from k8s_ecmp.finding import few
from k8s_ecmp.kube import load_cluster
from k8s_ecmp.model import CommitResult, GuardTrip, Plan, Prefix, RouterPlan
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.reviewing import Standing, compare_with_review
from k8s_ecmp.routers.session import NEVER_WRITE, Progress, close_kept
from k8s_ecmp.routers.tasks import VerifyReport, outcomes, run
from k8s_ecmp.settings import Settings
from k8s_ecmp.views.apply_report import complete
from k8s_ecmp.views.document import decode_document, plan_of
from k8s_ecmp.views.next_step import anew
from k8s_ecmp.views.plan_about import PlanFile
from k8s_ecmp.views.plan_rows import difference

_CLOCKS_DIFFER = timedelta(seconds=60)  # at most, between the machine that planned and the one that applies
DONE, ERROR, CHANGES, STOPPED = 0, 1, 2, 3
_MOST_NAMES = 10
_NOT_PROBED = (
    "nodes.probe is on, and only the daemon asks the nodes: this run goes by what Kubernetes says of them, which may "
    "be 40 s late; let the daemon make the changes"
)


def observe(settings: Settings, overrides: Collection[str] = (), adopt: Collection[Prefix] = ()) -> Intent:
    """Reads the cluster and decides; `adopt`: prefixes at which a plan takes over what others have, as `Intent.build`.

    Raises:
        ClusterError: the cluster's state could not be had.
        SettingsError: an override is no guard's name.
        EcmpError: nothing asks for a prefix that is to be adopted.
    """
    check_overrides(overrides)
    cluster = load_cluster(settings)
    if settings.nodes.probe.enabled:
        cluster = replace(cluster, warnings=(*cluster.warnings, _NOT_PROBED))
    return Intent.build(
        settings,
        cluster,
        datetime.now(UTC),
        overrides=overrides,
        freeze_file_text=freeze_file_text(settings),
        adopt=adopt,
    )


def check_overrides(names: Collection[str]) -> None:
    """Refuses names that no guard has.

    Raises:
        SettingsError: it lists the guards that there are.
    """
    unknown = sorted(set(names) - set(GUARDS))
    if unknown:
        raise SettingsError(f"there is no guard {', '.join(unknown)}", remedy=f"guards are {', '.join(GUARDS)}")


def freeze_file_text(settings: Settings) -> str | None:
    """The first line of the freeze file; None where there is none. Whatever else has its name freezes too."""
    if settings.guards.freeze_file is None:
        return None
    path = Path(settings.guards.freeze_file)
    try:
        path.lstat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return "it cannot be read"
    with contextlib.suppress(OSError):
        if path.is_file():  # to read a pipe would last for ever
            return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
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
    warnings = [f"warning: {warning}" for warning in report.warnings]
    if report.in_sync:
        return [f"in sync: {report.owned} owned prefixes", *warnings]
    lines = [*map(difference, report.plan.changes), *report.problems]
    count = len(lines)
    first = f"drift: {count} difference{'s' if count > 1 else ''}" if count else "conflict: nothing else differs"
    lines += (f"conflict {conflict.prefix}: {conflict.reason}" for conflict in report.plan.conflicts)
    return [first, *lines, *warnings]


def reviewed(path: Path, settings: Settings, overrides: Collection[str] = ()) -> tuple[Plan, PlanFile]:
    """The plan of a plan file, whole and fresh, as today's settings let it through; and the file as it was read.

    Guards that block are taken off where `overrides` names them; a freeze that came after the plan is put on. A guard
    that holds a single prefix stays: what it holds is not in the file.

    Raises:
        PlanRefused: it is edited, expired, from the future, unreadable, another owner's, or against today's mode or
            policy.
        SettingsError: an override is no guard's name.
    """
    check_overrides(overrides)
    now = datetime.now(UTC)
    plan, file = read_plan(path, settings)
    if plan.expires <= now:
        raise PlanRefused(
            f"the plan in {path} expired at {plan.expires:%Y-%m-%d %H:%M:%S} UTC", remedy=anew(plan.undoes)
        )
    if plan.created > now + _CLOCKS_DIFFER:  # it would live for longer than it may
        raise PlanRefused(
            f"the plan in {path} was made at {plan.created:%Y-%m-%d %H:%M:%S} UTC, and here it is "
            f"{now:%Y-%m-%d %H:%M:%S} UTC",
            remedy="compare the clocks of the machine that planned and of this one (`date -u`), then make a new plan",
        )
    for router in plan.routers:
        for change in router.changes:
            forbidden = forbids(change, settings.mode, settings.policy, adopts=bool(plan.adopts))
            if forbidden is not None:
                raise PlanRefused(
                    f"the plan in {path} would {change.action} {change.prefix} on {router.name}, "
                    f"which the settings' {forbidden} does not allow",
                    remedy="make a new plan"
                    if plan.undoes is None
                    else "apply this way back with settings that allow it",
                )
    return _held_today(plan, settings, now, frozenset(overrides)), file


def as_reviewed(settings: Settings, plan: Plan) -> Settings:
    """The settings with the rollout that the plan was reviewed with, whatever they say of it by now."""
    if plan.rollout is None:
        return settings
    terms = msgspec.structs.asdict(plan.rollout)
    return msgspec.structs.replace(settings, rollout=msgspec.structs.replace(settings.rollout, **terms))


def read_plan(path: Path, settings: Settings) -> tuple[Plan, PlanFile]:
    """The plan of a plan file, be it expired or stale; and the file with the id that was verified.

    The file is read this once: another may stand there a moment later, and a pipe has nothing more to read.

    Raises:
        PlanRefused: it is edited, unreadable or another owner's.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PlanRefused(f"the plan file {path} cannot be read: {error.strerror}") from error
    document = decode_document(content, str(path))
    plan = plan_of(document)
    if (plan.owner, plan.tag) != (settings.owner, settings.tag):
        raise PlanRefused(
            f"the plan in {path} is for owner {plan.owner} and tag {plan.tag}, "
            f"the settings say {settings.owner} and {settings.tag}"
        )
    return plan, PlanFile(str(path), document.id)


def _held_today(plan: Plan, settings: Settings, now: datetime, overrides: frozenset[str]) -> Plan:
    frozen = _freeze_now(settings, now)
    freeze = _new_to(plan, frozen)
    named = overrides | set(plan.overrides)
    holds = tuple(_as_of_now(trip, frozen) for trip in plan.holds if trip.guard not in overrides)
    if not any(trip.guard == "max-changes" for trip in holds):
        holds += run_holds({router.name: router.changes for router in plan.routers}, settings.guards, named)
    if freeze is not None and "frozen" not in overrides and not any(trip.guard == "frozen" for trip in holds):
        holds += (GuardTrip("frozen", None, None, freeze.detail),)
    routers = []
    for router in plan.routers:
        guards = tuple(
            _as_of_now(trip, frozen) for trip in router.guards if trip.prefix is not None or trip.guard not in overrides
        )
        status = router.status
        if router.changes and status in ("changes", "blocked"):
            blocked = holds or any(trip.prefix is None for trip in guards)
            status = "blocked" if blocked else "changes"
        routers.append(msgspec.structs.replace(router, guards=guards, status=status))
    return msgspec.structs.replace(plan, holds=holds, routers=tuple(routers), overrides=tuple(sorted(named)))


def _freeze_now(settings: Settings, now: datetime) -> Freeze | None:
    return freeze_of(settings.guards, now, freeze_file_text(settings))


def _as_of_now(trip: GuardTrip, freeze: Freeze | None) -> GuardTrip:
    """The trip of a plan file: it stays when the freeze that it speaks of is over, and says so."""
    if trip.guard != "frozen" or freeze is not None:
        return trip
    return msgspec.structs.replace(trip, detail=f"when this was planned, and no longer: {trip.detail}")


def _new_to(plan: Plan, freeze: Freeze | None) -> Freeze | None:
    """The freeze in force, but not where it is windows alone that the plan says it was made in. Clocks are not asked:
    settings may have got a window since, and another machine's clock may have planned.
    """
    if freeze is None or freeze.everything or not set(freeze.windows) <= set(plan.freeze_windows):
        return freeze
    return None


def freeze_meanwhile(plan: Plan, settings: Settings, overrides: Collection[str] = ()) -> Callable[[], str | None]:
    """For `roll_out`: tells of a freeze that came after the plan, but where this run overrides that guard.

    An override that the plan was made with was meant for the freeze of then.
    """

    def frozen() -> str | None:
        freeze = None if "frozen" in overrides else _new_to(plan, _freeze_now(settings, datetime.now(UTC)))
        return None if freeze is None else freeze.detail

    return frozen


def writes(settings: Settings) -> bool:
    """Whether the mode lets anything be written to routers."""
    return settings.mode not in NEVER_WRITE


def mode_words(settings: Settings) -> str:
    """Of a mode that does not, why nothing is written."""
    return f"mode is {settings.mode}, which writes to no router"


def held(plan: Plan, settings: Settings) -> str | None:
    """What holds all that a plan would do; None: nothing does, or there is nothing to do."""
    if not writes(settings):
        return mode_words(settings) if any(router.changes for router in plan.routers) else None
    statuses = {router.status for router in plan.routers}
    if "blocked" not in statuses or "changes" in statuses:
        return None
    return f"held by {', '.join(dict.fromkeys(trip.guard for trip in plan.guards))}"


def narrowed(plan: Plan, names: Collection[str]) -> Plan:
    """The plan for these routers alone."""
    return msgspec.structs.replace(plan, routers=tuple(router for router in plan.routers if router.name in names))


def check_current(
    nornir: Nornir, settings: Settings, plan: Plan, begun: Collection[str] = (), progress: Progress | None = None
) -> frozenset[str]:
    """Reads every router that the plan changes, before anything is written.

    Args:
        nornir: all routers.
        settings: owner, tag.
        plan: what was reviewed.
        begun: routers on which an earlier run began the plan and did not take it back.
        progress: called with router and step.

    Returns:
        Those of `begun` that still are as the plan leaves them; all others are as they were reviewed.

    Raises:
        PlanRefused: a router is not in the inventory, or its routes are not those that were reviewed.
    """
    changing = {router.name: router for router in plan.routers if router.changes}
    missing = sorted(set(changing) - set(nornir.inventory.hosts))
    if missing:
        raise PlanRefused(f"the plan changes {', '.join(missing)}, which the inventory does not have")
    some = nornir.filter(filter_func=lambda host: host.name in changing)
    if not changing:
        return frozenset()
    results = run(
        some, compare_with_review, settings=settings, plans=list(changing.values()), begun=begun, progress=progress
    )
    standings = outcomes(results, Standing, lambda name, error: Standing(name, "unread", error_text(error)))
    stale = [standing.detail for standing in standings if standing.state == "stale"]
    if stale:
        close_kept(some.inventory.hosts.values())
        raise PlanRefused("\n  ".join([f"{stale[0]}", *stale[1:]]) + "\nnothing was written", remedy=anew(plan.undoes))
    return frozenset(standing.router for standing in standings if standing.state == "as-left")


def without(plan: Plan, done: Collection[str]) -> Plan:
    """What is left of a plan when some routers have it."""
    routers = tuple(
        msgspec.structs.replace(router, status="in-sync", changes=(), commands=(), diff="")
        if router.name in done
        else router
        for router in plan.routers
    )
    return msgspec.structs.replace(plan, routers=routers)


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
    """1 a router failed or its result is not in the journal, 3 something was stopped (guard, conflict, refused plan), 0
    all done.
    """
    lost = any(not result.recorded for result in results)
    if lost or any(result.outcome in ("failed", "rolled-back", "not-attempted") for result in results):
        return ERROR
    refused = any(result.outcome in ("blocked", "refused") for result in results)
    conflicts = any(router.conflicts for router in plan.routers)
    return STOPPED if refused or conflicts or plan.guards else DONE


def stopped_exit(plan: Plan) -> int:
    """Of an apply that attempts nothing: 1 a router could not be planned, 3 otherwise."""
    return ERROR if any(router.status == "failed" for router in plan.routers) else STOPPED


def why_stopped(plan: Plan, results: Sequence[CommitResult]) -> str | None:
    """Why an apply that made all changes of its plan exits with 3; None where it did not, or exits otherwise."""
    if apply_exit(plan, results) != STOPPED or not complete(plan, results):
        return None
    conflicts = [f"{conflict.prefix} on {router.name}" for router in plan.routers for conflict in router.conflicts]
    held = [f"{trip.guard}: {trip.prefix} on {trip.router}" if trip.prefix else trip.guard for trip in plan.guards]
    left = [f"{len(conflicts)} conflict{'s' if len(conflicts) > 1 else ''} ({_few(conflicts)})"] if conflicts else []
    left += [f"what guards hold ({_few(held)})"] if held else []
    alone = " and ".join(left)
    return (
        f"No change of this plan is left to be made on these routers. Exit code 3 is for what is left alone: {alone}."
    )


def not_recorded(results: Sequence[CommitResult], journal: str) -> str | None:
    """The routers whose outcome the journal could not take, and what that means; None: there are none.

    Args:
        results: of the routers.
        journal: its path.
    """
    lost = [f"{result.router} ({result.outcome})" for result in results if not result.recorded]
    if not lost:
        return None
    return (
        f"not in the journal: what became of {few(lost, _MOST_NAMES)}; make {journal} writable again: `k8s-ecmp "
        "history` shows a change without a result as died, until the next apply has looked at the router and written "
        "down what is in force"
    )


def _few(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return "; ".join(names[:most]) + (f"; and {rest} more" if rest > 0 else "")


def verify_exit(found: Sequence[VerifyReport]) -> int:
    """1 a router failed, 2 drift, 3 conflicts only, 0 in sync."""
    if any(report.error is not None for report in found):
        return ERROR
    if any(report.drifted for report in found):
        return CHANGES
    return DONE if all(report.in_sync for report in found) else STOPPED


def _failed_plan(name: str, error: BaseException) -> RouterPlan:
    return RouterPlan(name, "", "failed", error=error_text(error))

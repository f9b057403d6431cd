"""What became of an apply, as JSON, version 1: `apply --format json`."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import msgspec

from k8s_ecmp.core.waves import order
from k8s_ecmp.model import CommitResult, Outcome, Plan
from k8s_ecmp.views.document import canonical_json
from k8s_ecmp.views.next_step import NextSteps
from k8s_ecmp.views.schema import VERSION, GuardDocument, twin


class RouterReport(msgspec.Struct, frozen=True, kw_only=True):
    """A `CommitResult`.

    `wave` counts from 1, None where the plan changes nothing on the router. `remedy` says what to do next wherever the
    router is not as the plan wanted it. `journal` are the numbers of its entries:
    each change that was begun and what became of it. `recorded`: false where the journal could not take the latter.
    """

    name: str
    wave: int | None
    outcome: Outcome
    changes: int
    elapsed_s: float
    step: str | None
    error: str | None
    remedy: str | None
    undone: Literal["router", "inverse"] | None
    warnings: tuple[str, ...]
    recorded: bool
    journal: tuple[int, ...]


class ConflictReport(msgspec.Struct, frozen=True):
    """A conflict of the plan; nothing was written at its prefix."""

    router: str
    vrf: str
    prefix: str
    reason: str


class ApplyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report.

    `plan` is the plan's id and `file` the file that it came from, None for a plan made on the spot. `journal` are the
    numbers of the entries on the run as a whole: its plan or review, and its overrides. `exit_code` is that of the
    command. `complete`: no change of the plan is left to be made; conflicts, and prefixes that a guard holds, are no
    changes. `stopped` says why nothing was attempted at all, where that was not a guard. `summary` counts routers by
    outcome and, as "changes", the prefixes that were changed; the way back counts as none.
    """

    version: int = VERSION
    plan: str
    file: str | None
    owner: str
    exit_code: int
    complete: bool
    stopped: str | None
    overrides: tuple[str, ...]
    guards: tuple[GuardDocument, ...]
    conflicts: tuple[ConflictReport, ...]
    journal: tuple[int, ...]
    routers: tuple[RouterReport, ...]
    summary: dict[str, int]


class Kept(msgspec.Struct, frozen=True):
    """What the journal has of a run: numbers of the entries on the whole, and on each router."""

    run: tuple[int, ...] = ()
    routers: Mapping[str, Sequence[int]] = {}


NOT_KEPT = Kept()
"""Of a run that wrote nothing down, because there was nothing to do."""


def complete(plan: Plan, results: Sequence[CommitResult]) -> bool:
    """Whether no change of the plan is left to be made.

    Args:
        plan: what was applied. A router on which all that differs is held is "blocked" in it, and has no changes.
        results: of each of its routers.
    """
    changing = {router.name for router in plan.routers if router.changes}
    return all(
        result.outcome in ("committed", "unchanged") or (result.outcome == "blocked" and result.router not in changing)
        for result in results
    )


def apply_report(
    plan: Plan,
    results: Sequence[CommitResult],
    *,
    identity: str,
    file: str | None,
    exit_code: int,
    kept: Kept,
    stopped: str | None = None,
) -> bytes:
    """The report as canonical JSON.

    Args:
        plan: what was applied, with the rollout by which it was.
        results: of each of its routers.
        identity: the plan's id.
        file: the file that it came from; None: it was made on the spot.
        exit_code: the command's.
        kept: what the journal has of it.
        stopped: why nothing was attempted; None where it was.
    """
    found = order(plan.routers, plan.rollout) if plan.rollout is not None else []
    place = {name: number for number, wave in enumerate(found, 1) for name in wave}
    steps = NextSteps(plan.guards, file, kept.routers, plan.undoes)
    summary = dict.fromkeys(get_args(Outcome), 0)
    for result in results:
        summary[result.outcome] += 1
    report = ApplyReport(
        plan=identity,
        file=file,
        owner=plan.owner,
        exit_code=exit_code,
        complete=stopped is None and complete(plan, results),
        stopped=stopped,
        overrides=plan.overrides,
        guards=tuple(twin(GuardDocument, trip) for trip in plan.guards),
        conflicts=tuple(
            twin(ConflictReport, conflict, router=router.name)
            for router in plan.routers
            for conflict in router.conflicts
        ),
        journal=kept.run,
        routers=tuple(
            twin(
                RouterReport,
                result,
                name=result.router,
                wave=place.get(result.router),
                elapsed_s=round(result.elapsed_s, 3),
                remedy=steps.of(result),
                journal=tuple(kept.routers.get(result.router, ())),
            )
            for result in results
        ),
        summary={**summary, "changes": sum(r.changes for r in results if r.outcome == "committed")},
    )
    return canonical_json(report)

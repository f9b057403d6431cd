"""What `apply` shows: the plan before it, and what became of it, as text or as one JSON document."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from k8s_ecmp.cli.common import say

if TYPE_CHECKING:
    from k8s_ecmp.model import CommitResult, Plan
    from k8s_ecmp.views.apply_report import Kept
    from k8s_ecmp.views.plan_about import PlanFile


class ApplyFormat(StrEnum):
    """How what became of it is shown."""

    text = "text"
    json = "json"


class Shown:
    """One plan that is applied, and how it is shown.

    Args:
        plan: with the rollout by which it is applied.
        file: the plan file that it came from, as it was read; None: it was made on the spot.
        output: text: both on standard output; json: the report there, the plan on standard error.
    """

    def __init__(self, plan: "Plan", file: "PlanFile | None", output: ApplyFormat) -> None:
        self._plan = plan
        self._file = file
        self._output = output

    def plan(self) -> None:
        """Shows the plan."""
        from k8s_ecmp.views.plan_text import print_plan

        console = None
        if self._output is ApplyFormat.json:
            from rich.console import Console

            console = Console(stderr=True)
        print_plan(self._plan, console, file=self._file, applies=True)

    def stopped(self, why: str, kept: "Kept | None" = None) -> int:
        """Says that nothing is attempted at all, and returns the command's exit code; `kept` as of `results`."""
        from k8s_ecmp import runs

        say(f"stopped: {why}")
        code = runs.stopped_exit(self._plan)
        self.results(_not_attempted(self._plan), code, kept, stopped=why)
        return code

    def results(
        self, results: "Sequence[CommitResult]", code: int, kept: "Kept | None" = None, stopped: str | None = None
    ) -> None:
        """Shows what became of it.

        Args:
            results: of each router.
            code: the command's exit code.
            kept: what the journal has of it; None: nothing, because nothing was attempted.
            stopped: why nothing was attempted, where that was no guard; as text it has been said already.
        """
        from k8s_ecmp import runs
        from k8s_ecmp.views.apply_report import NOT_KEPT, apply_report
        from k8s_ecmp.views.document import plan_id
        from k8s_ecmp.views.next_step import NextSteps
        from k8s_ecmp.views.text import print_results

        why = runs.why_stopped(self._plan, results) if stopped is None else None
        identity = plan_id(self._plan) if self._file is None else self._file.id
        if self._output is ApplyFormat.text:
            if stopped is None:
                kept = kept or NOT_KEPT
                file = None if self._file is None else self._file.path
                steps = NextSteps(self._plan.guards, file, kept.routers, self._plan.undoes)
                overrides = self._plan.overrides
                print_results(results, overrides=overrides, identity=identity, kept=kept, steps=steps, why_stopped=why)
            return
        document = apply_report(
            self._plan,
            results,
            identity=identity,
            file=None if self._file is None else self._file.path,
            exit_code=code,
            kept=kept or NOT_KEPT,
            stopped=stopped,
        )
        sys.stdout.buffer.write(document + b"\n")
        sys.stdout.buffer.flush()
        if why is not None:
            say(why)


def _not_attempted(plan: "Plan") -> "list[CommitResult]":
    """The results of a plan that nothing was done for."""
    from k8s_ecmp.model import CommitResult

    return [
        CommitResult(router.name, "failed", error=router.error)
        if router.status == "failed"
        else CommitResult(router.name, "blocked" if router.changes else "unchanged")
        for router in plan.routers
    ]


def say_what_is_not_recorded(results: "Sequence[CommitResult]", journal: str) -> None:
    """The routers whose outcome the journal could not take, and what that means."""
    from k8s_ecmp import runs

    if (lost := runs.not_recorded(results, journal)) is not None:
        say(lost)

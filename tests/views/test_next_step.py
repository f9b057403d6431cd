"""What to do next: a sentence for every outcome that is not as the plan wanted it, with commands that there are."""

import json
import re
from typing import get_args

import msgspec
import pytest
from typer.testing import CliRunner

from k8s_ecmp.cli.app import app
from k8s_ecmp.model import CommitResult, GuardTrip, Outcome
from k8s_ecmp.views.apply_report import Kept, apply_report
from k8s_ecmp.views.next_step import NextSteps
from tests.views.plans import BLOCKED, EVERYTHING, RESULTS, STEPS

WELL = {"committed", "unchanged"}
STEP = (None, "connect", "read", "stage", "commit", "connect again", "verify", "confirm")
KEPT = Kept((1,), {"r1": (2, 3)})


def result(
    outcome: Outcome, step: str | None = None, remedy: str | None = None, error: str | None = "no"
) -> CommitResult:
    return CommitResult("r1", outcome, error=error, step=step, remedy=remedy)


@pytest.mark.parametrize("file", [None, "today.plan"])
@pytest.mark.parametrize("step", STEP)
@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_every_outcome_but_success_has_one_in_the_document(
    outcome: Outcome, step: str | None, file: str | None
) -> None:
    done = apply_report(EVERYTHING, (result(outcome, step),), identity="sha256:1", file=file, exit_code=1, kept=KEPT)
    (router,) = json.loads(done)["routers"]
    if outcome in WELL:
        assert router["remedy"] is None
    else:
        assert re.search(r"`k8s-ecmp |`--override ", router["remedy"])
        assert ("today.plan" in router["remedy"]) == (file is not None)


def test_what_the_error_says_stands_first() -> None:
    said = NextSteps().of(result("failed", "connect", remedy="check the address"))
    assert said == "check the address; then `k8s-ecmp apply`, which plans anew"
    said = NextSteps((), "a.plan").of(result("refused", "read", remedy="make a new plan"))
    assert (
        said
        == "`k8s-ecmp apply a.plan --rebase --out NEW.plan` makes a new plan for the same routers and shows how it differs"
    )


def test_a_router_that_could_not_be_planned_needs_another_plan() -> None:
    said = NextSteps((), "a.plan").of(result("failed"))
    assert said is not None
    assert said.startswith("mend what its error names, then `k8s-ecmp apply a.plan --rebase ")
    assert NextSteps().of(result("failed")) == (
        "mend what its error names, then `k8s-ecmp apply` plans anew and applies that"
    )


def test_where_a_commit_had_begun_one_looks_what_is_in_force() -> None:
    ends: tuple[tuple[Outcome, str], ...] = (("failed", "verify"), ("failed", "commit"), ("rolled-back", "verify"))
    for outcome, step in ends:
        said = NextSteps((), "a.plan", {"r1": (2, 3)}).of(result(outcome, step))
        assert said is not None
        assert "`k8s-ecmp verify --router r1` shows what is in force" in said
        assert "`k8s-ecmp history show 3` what was sent" in said
        assert ("then `k8s-ecmp apply a.plan --resume`" in said) == (outcome == "rolled-back")
    said = NextSteps((), "a.plan").of(result("failed", "stage"))
    assert said is not None
    assert "in force" not in said, "nothing was written"


def test_a_way_back_that_failed_before_its_commit_leaves_the_change_in_force() -> None:
    said = NextSteps((), "a.plan", {"r1": (2, 3, 4)}).of(result("failed", "read"))
    assert said is not None
    assert said.startswith("`k8s-ecmp verify --router r1` shows what is in force")
    assert said.endswith(
        "; then `k8s-ecmp apply a.plan --rebase --out NEW.plan` makes a new plan for the same routers and shows how it differs"
    )
    again = NextSteps((), "back.plan", {"r1": (2, 3, 4)}, undoes=7).of(result("failed", "confirm"))
    assert str(again).endswith("; then `k8s-ecmp history undo 7 --out NEW.plan` plans that way back anew")


def test_a_guard_is_named_with_its_remedy() -> None:
    of_router = msgspec.structs.replace(result("blocked", error=None), router=BLOCKED.name)
    said = NextSteps(BLOCKED.guards).of(of_router)
    assert said is not None
    assert "guard mass-withdrawal: see whether that many nodes or services really went away" in said
    assert "last-next-hop" not in said, "it holds nothing but its own prefix"
    alone = NextSteps([trip for trip in BLOCKED.guards if trip.prefix is not None]).of(of_router)
    assert "`--override last-next-hop`" in str(alone)
    everything = NextSteps((GuardTrip("panic", None, None, "3 of 4"),)).of(of_router)
    assert everything is not None
    assert "`k8s-ecmp apply --override panic`" in everything
    of_file = str(NextSteps((GuardTrip("frozen", None, None, "audit"),), "a.plan").of(of_router))
    assert "`k8s-ecmp apply a.plan --override frozen --resume`" in of_file, "that of a plan is not that of its apply"
    both = str(NextSteps((*BLOCKED.guards, GuardTrip("panic", None, None, "3 of 4"))).of(of_router))
    assert both.endswith("`k8s-ecmp apply --override mass-withdrawal --override panic`")
    assert "`k8s-ecmp apply --override foreign-lines`" in str(NextSteps().of(result("blocked", "stage")))
    meanwhile = result("blocked", error="guard frozen: the freeze file /etc/freeze exists")
    assert "when it is over go on with `k8s-ecmp apply a.plan --resume`" in str(NextSteps((), "a.plan").of(meanwhile))
    assert "mode" in str(NextSteps().of(result("blocked", error=None)))
    unknown = NextSteps((GuardTrip("of-tomorrow", "r1", None, ""),)).of(result("blocked", error=None))
    assert "guard of-tomorrow: see what it says" in str(unknown)


def test_a_plan_that_takes_back_is_made_again_from_the_journal() -> None:
    said = NextSteps((), "back.plan", undoes=7).of(result("refused", "read"))
    assert said == "`k8s-ecmp history undo 7 --out NEW.plan` plans that way back anew"


def test_a_change_that_is_not_in_the_journal_is_not_done_with() -> None:
    lost = CommitResult("r1", "committed", recorded=False)
    assert "make the journal writable again" in str(NextSteps().of(lost))
    assert NextSteps().of(CommitResult("r1", "committed")) is None


def test_routers_with_the_same_to_do_share_a_line() -> None:
    results = [CommitResult(f"r{number}", "rolled-back", step="verify", error="no") for number in range(3)]
    ((said, routers),) = NextSteps((), "a.plan", {f"r{number}": (number,) for number in range(3)}).grouped(results)
    assert routers == ("r0", "r1", "r2")
    assert "`k8s-ecmp verify --router NAME`" in said
    assert "`k8s-ecmp history show ID`" in said
    assert [routers for _, routers in STEPS.grouped(RESULTS)] == [("r2",), ("r3",), ("r4",)]
    assert all("NAME" not in said and "ID" not in said for said, _ in STEPS.grouped(RESULTS))


def test_the_commands_that_it_names_are_there() -> None:
    said = " ".join(
        str(NextSteps((), file, {"r1": (2,)}).of(result(outcome, step)))
        for file in (None, "a.plan")
        for outcome in get_args(Outcome)
        for step in STEP
    )
    runner = CliRunner()
    commands = {
        tuple(re.findall(r"^k8s-ecmp (\w+)(?: (show))?", one)[0]) for one in re.findall(r"`(k8s-ecmp [^`]+)`", said)
    }
    assert commands == {("apply", ""), ("verify", ""), ("history", "show")}
    for words in commands:
        shown = runner.invoke(app, [*filter(None, words), "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0
        for option in re.findall(rf"`k8s-ecmp {words[0]} [^`]*?(--[a-z-]+)", said):
            assert option in shown.output

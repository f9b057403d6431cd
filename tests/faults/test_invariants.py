"""The invariants find what they are for."""

import pytest

from tests.faults.invariants import Ended, Review, agreement, gaps, unsettled
from tests.faults.watch import Seen, Table
from tests.site import Outcome

A, B, C, X = "10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1"
PREFIX, OTHER = "10.96.0.0/12", "172.16.0.0/12"
REVIEW = Review({PREFIX: frozenset({A, C})}, {PREFIX: frozenset({A, B})})
OLD: Table = {PREFIX: frozenset({A, C}), OTHER: frozenset({X})}
NEW: Table = {PREFIX: frozenset({A, B}), OTHER: frozenset({X})}
WHOLE = Outcome(0, "", "")


LOST = "warning: what became of this could not be written down"


def through(*tables: Table) -> Seen:
    seen = Seen(tables[0])
    for table in tables[1:]:
        seen.note(table)
    return seen


@pytest.mark.parametrize(
    ("between", "found"),
    [
        ({PREFIX: frozenset({A, B, C}), OTHER: frozenset({X})}, []),
        ({PREFIX: frozenset({B, C}), OTHER: frozenset({X})}, [f"{PREFIX} was without {A}"]),
        ({OTHER: frozenset({X})}, [f"{PREFIX} was without {A}", f"{PREFIX} was gone"]),
        ({PREFIX: frozenset({A, X}), OTHER: frozenset({X})}, [f"{PREFIX} had {X}"]),
        (
            {PREFIX: frozenset({A, C})},
            [f"{OTHER}, which is no business of the plan, went through [['{X}'], [], ['{X}']]"],
        ),
    ],
)
def test_every_state_in_between_counts(between: Table, found: list[str]) -> None:
    assert gaps(REVIEW, through(OLD, between, NEW), ()) == found


def test_old_new_and_part() -> None:
    assert [REVIEW.ended(table) for table in (OLD, NEW, {PREFIX: frozenset({A})})] == ["old", "new", "part"]


def applied(outcome: str, error: str = "", code: int = 1) -> Outcome:
    return Outcome(code, f"ROUTER  OUTCOME  CHANGES  SECONDS\nr1      {outcome}  1        0.1\n  {error}\n", "")


@pytest.mark.parametrize(
    ("ended", "done", "outcome", "agrees"),
    [
        ("new", applied("committed", code=0), "committed", True),
        ("old", applied("committed", code=0), "committed", False),
        ("new", applied("rolled-back"), "rolled-back", False),
        ("new", applied("committed", code=1), "committed", False),
        ("old", applied("failed"), "committed", False),
        ("old", applied("failed", "could not connect"), "failed", True),
        ("new", applied("failed", "could not connect"), "failed", False),
        ("new", applied("failed", "nothing of the change is in force"), "failed", False),
        ("new", applied("failed", "what is in force of the change is not verified"), "failed", True),
        ("new", applied("committed", LOST, code=1), "died", True),
        ("new", applied("committed", LOST, code=0), "died", False),
        ("new", None, None, False),
        ("new", None, "died", True),
        ("part", applied("refused", code=3), "refused", False),
    ],
)
def test_what_report_and_journal_say_is_held_against_the_router(
    ended: Ended, done: Outcome | None, outcome: str | None, agrees: bool
) -> None:
    said = done.out if done else ""
    rows: list[dict[str, object]] = [{"outcome": outcome, "error": said}] if outcome else []
    assert (agreement(ended, done, rows, WHOLE) == []) is agrees


def test_a_refused_file_has_to_stand_in_the_journal() -> None:
    refused = Outcome(3, "", "refused: the routes on r1 are not those that the plan was made for")
    row: dict[str, object] = {"router": "-", "outcome": "refused", "error": refused.err}
    assert agreement("old", refused, [row], WHOLE) == []
    assert agreement("old", refused, [], WHOLE)


def test_what_a_run_leaves_behind_it_has_to_say() -> None:
    left = ["a commit that waits for its confirm"]
    assert unsettled(left, applied("rolled-back")) == ["it ended and left a commit that waits for its confirm"]
    assert unsettled([], applied("rolled-back")) == []
    assert unsettled(left, applied("failed", "the router takes the change back by itself within 60 s")) == []
    assert unsettled(left, None) == []


def test_a_broken_journal_is_found() -> None:
    assert agreement("new", applied("committed", code=0), [{"outcome": "committed"}], Outcome(1, "entry 2", ""))

"""What the journal says of a plan that was begun earlier."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from k8s_ecmp.journal import Author, Journal
from k8s_ecmp.model import CommitResult, Outcome, Plan
from k8s_ecmp.recording import begun, found_out, not_taken_back, recording
from k8s_ecmp.settings import Settings
from k8s_ecmp.views.document import plan_id, write_plan
from k8s_ecmp.views.plan_about import PlanFile

NOW = datetime.now(UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(owner="prod", tag=4201, inventory="", journal=str(tmp_path / "journal.sqlite"))


def plan_file(folder: Path, name: str = "a.plan", created: datetime = NOW) -> tuple[Plan, PlanFile]:
    plan = Plan(
        created=created,
        expires=created + timedelta(hours=1),
        owner="prod",
        tag=4201,
        cluster_source=name,
        cluster_digest="sha256:0",
        routers=(),
    )
    write_plan(folder / name, plan)
    return plan, PlanFile(str(folder / name), plan_id(plan))


def test_without_a_journal_nothing_was_begun(settings: Settings, tmp_path: Path) -> None:
    assert begun(settings, plan_file(tmp_path)[1].id) == {}
    assert not Path(settings.journal).exists()


def test_committed_and_begun_count_and_what_was_taken_back_or_failed_does_not(
    settings: Settings, tmp_path: Path
) -> None:
    plan, file = plan_file(tmp_path)
    ends: dict[str, Outcome] = {"done": "committed", "back": "rolled-back", "lost": "failed", "again": "committed"}
    with recording(settings, plan, file=file) as record:
        for router in (*ends, "dead"):
            record.begin(router, (), ())
        for router, outcome in ends.items():
            record.end(CommitResult(router, outcome))
        record.end(CommitResult("refused", "refused"))
        record.begin("again", (), (), takes_back=True)
        record.end(CommitResult("again", "rolled-back"))
    found = begun(settings, file.id)
    assert {name: one.committed for name, one in found.items()} == {"done": True, "dead": False}
    assert "says that this plan was committed on it" in str(found["done"])
    assert "says that this plan was begun on it" in str(found["dead"])


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=50), timedelta(days=1)])
def test_what_was_begun_is_found_whatever_the_planner_s_clock_said(
    settings: Settings, tmp_path: Path, ahead: timedelta
) -> None:
    plan, file = plan_file(tmp_path, created=NOW + ahead)
    with recording(settings, plan, file=file) as record:
        record.begin("r1", (), ())
        record.end(CommitResult("r1", "committed"))
    assert set(begun(settings, file.id)) == {"r1"}


def test_another_plan_and_another_owner_do_not_count(settings: Settings, tmp_path: Path) -> None:
    plan, file = plan_file(tmp_path)
    with recording(settings, plan, file=file) as record:
        record.begin("r1", (), ())
        record.end(CommitResult("r1", "committed"))
    assert set(begun(settings, file.id)) == {"r1"}
    assert begun(settings, plan_file(tmp_path, "b.plan")[1].id) == {}
    assert begun(Settings(owner="test", tag=4201, inventory="", journal=settings.journal), file.id) == {}


def test_the_journal_is_read_from_an_entry_on_and_for_one_plan(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        for plan in ("sha256:0", "sha256:1", None, "sha256:1"):
            journal.write(Author("prod", "me", "run"), "result", {"plan": plan, "error": '"plan":"sha256:0"'})
        assert [entry.id for entry in journal.entries(after=2)] == [3, 4]
        assert [entry.id for entry in journal.entries(plan="sha256:1")] == [2, 4]
        assert [entry.id for entry in journal.entries(plan="sha256:0", after=1)] == []


@pytest.mark.parametrize(("outcome", "stands"), [("committed", False), ("rolled-back", True)])
def test_a_way_back_that_died_is_told_by_what_became_of_the_change(
    settings: Settings, tmp_path: Path, outcome: Outcome, stands: bool
) -> None:
    """`outcome` is that of the way back itself, as the routes tell it."""
    _, file = plan_file(tmp_path)
    with recording(settings, plan_file(tmp_path)[0], file=file) as record:
        record.begin("edge1", (), ())
        record.end(CommitResult("edge1", "committed"))
        record.begin("edge1", (), (), takes_back=True)
    author = Author.here(settings.owner)
    with Journal(settings.journal) as journal:
        (died,) = journal.unfinished(settings.owner)
        body = found_out(died, outcome, None if outcome == "committed" else "nothing of it is in force")
        journal.write(author, "result", body, "edge1")
        told = journal.entries(kinds=("begin", "result"))
        changes = [entry for entry in told if entry.kind == "begin"]
        assert bool(not_taken_back(changes, told)) is stands
    assert ("edge1" in begun(settings, file.id)) is stands
    said = str(body["error"]) + str(body["warnings"])
    assert ("the change stands" if stands else "the way back is in force") in said


def test_what_was_begun_is_known_without_the_first_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pruning takes it away."""
    monkeypatch.setattr("k8s_ecmp.journal.files._FILE_BYTES", 100_000)
    plan, file = plan_file(tmp_path)
    with recording(settings, plan, file=file) as record:
        record.begin("early", (), ["x" * 200_000])
        record.end(CommitResult("early", "committed"))
        record.begin("late", (), ())
    assert sorted(path.name for path in tmp_path.glob("journal*.sqlite")) == ["journal.2.sqlite", "journal.sqlite"]
    Path(settings.journal).unlink()
    assert "late" in begun(settings, file.id)

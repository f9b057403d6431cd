"""The steps that a run is stopped at: they are told, in their order, and the rows that kill a run there leave none out."""

from pathlib import Path

import pytest

from tests.faults.faults import IN_COMMIT, KILLED_AT
from tests.faults.stepped import Stepped
from tests.site import new_site

CHECK = ["check: lock", "check: read the running configuration", "check: discard"]
APPLY = [
    "journal review",
    "connect",
    "connect: lock",
    "read",
    "read: read the running configuration",
    "stage",
    "stage: stage",
    "stage: compare",
    "stage: read the running configuration",
    "stage: compare",
    "journal begin",
    "commit",
    "commit: commit",
    "connect again",
    "verify",
    "verify: read the running configuration",
    "confirm",
    "confirm: discard",
    "done",
    "journal result",
]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a whole apply on one router in a file."""
    folder: Path = tmp_path_factory.mktemp("steps")
    site = new_site(folder / "site")
    plan = str(site.folder / "reviewed.plan")
    assert site.run_here("plan", "--router", "edge1", "--out", plan).code == 2
    words = ["--config", str(site.folder / "k8s-ecmp.yaml"), "apply", plan, "--router", "edge1"]
    with Stepped(words, folder) as run:
        done = run.finish()
    assert done.code == 0, done.err
    return run.steps


def test_every_step_is_told_in_its_order(steps: list[str]) -> None:
    assert steps == CHECK + APPLY


def test_every_step_behind_which_something_may_have_changed_is_a_row(steps: list[str]) -> None:
    progress = [step for step in steps if ": " not in step and step != "done"]  # calls to the router are within steps
    assert progress == [step for step in KILLED_AT if step != IN_COMMIT]

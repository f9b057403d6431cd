"""The rows that kill a run at each of its steps leave none out."""

from pathlib import Path

import pytest

from tests.faults.faults import IN_COMMIT, KILLED_AT
from tests.faults.stepped import Stepped
from tests.site import Site, new_site

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path / "site")


def test_every_step_of_a_run_is_a_row(site: Site, tmp_path: Path) -> None:
    plan = str(site.folder / "reviewed.plan")
    assert site.run("plan", "--out", plan).code == 2
    words = ["--config", str(site.folder / "k8s-ecmp.yaml"), "apply", plan, "--router", "edge1"]
    with Stepped(words, tmp_path) as run:
        assert run.finish().code == 0
    steps = [step for step in run.steps if ": " not in step and step != "done"]  # calls to the router are within steps
    assert steps == [step for step in KILLED_AT if step != IN_COMMIT]

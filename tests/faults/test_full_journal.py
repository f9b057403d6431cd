"""The journal's disk fills up in the middle of a rollout over several routers."""

from pathlib import Path

import pytest

from tests.faults.disk import SmallDisk
from tests.faults.routers import AFTER_COMMIT
from tests.faults.stepped import Stepped
from tests.fleet import Fleet
from tests.site import new_site

pytestmark = [pytest.mark.slow, pytest.mark.world]


def test_a_result_that_cannot_be_written_down_stops_the_rollout_and_the_next_run_settles_it(tmp_path: Path) -> None:
    fleet = Fleet(new_site(tmp_path / "site"), 3)
    fleet.rollout(canary=1, parallel=2)
    site, before = fleet.site, fleet.texts
    folder = site.folder / "state"
    folder.mkdir()
    site.settings(journal="state/journal.sqlite")
    words = ["--config", str(site.folder / "k8s-ecmp.yaml"), "apply", "--yes"]
    with SmallDisk(folder) as disk, Stepped(words, tmp_path, disk.around) as run:
        run.until(AFTER_COMMIT)
        with disk.full():
            done = run.finish()
    assert done.code == 1, done.out + done.err
    said = " ".join(done.err.split())
    assert "not in the journal: what became of r1 (committed); make" in said
    assert str(folder / "journal.sqlite") in said
    assert "r2, r3: not begun; go on with `k8s-ecmp apply`" in " ".join(done.out.split())
    assert "what became of r1 could not be written down" in " ".join(done.out.split())
    assert fleet.changed(before) == {"r1"}

    def history() -> dict[str, str]:
        rows = site.run_here("history", "--format", "json").json()["entries"]
        return {row["router"]: row["outcome"] for row in rows}

    assert history() == {"r1": "died"}
    again = site.run_here("apply", "--yes")
    assert again.code == 0, again.out + again.err
    assert "r1: the run that began entry" in again.err
    assert "all of its change is in force" in again.err
    assert history() == {"r1": "committed", "r2": "committed", "r3": "committed"}
    assert site.run_here("history", "check").code == 0

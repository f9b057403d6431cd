"""The Nornir scripts for cron and CI, run as cron would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import REPO, Outcome, Site, new_site

pytestmark = pytest.mark.slow


def play(site: Site, name: str, *arguments: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, str(REPO / "playbooks" / name), str(site.folder / "k8s-ecmp.yaml"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_plan_on_a_schedule_approve_the_file_apply_exactly_it(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    planned = play(site, "plan.py", "--out", path)
    assert planned.code == 2, planned.err
    assert "Plan: 14 to create" in planned.out
    assert play(site, "verify.py").code == 2
    applied = play(site, "apply.py", path)
    assert applied.code == 0, applied.err
    assert "edge1: committed" in applied.out
    checked = play(site, "verify.py")
    assert (checked.code, checked.out.count("in sync")) == (0, 2)
    stale = play(site, "apply.py", path)
    assert stale.code == 3
    assert all(f"the routes on {name} are not those" in stale.err for name in ("edge1", "edge2"))
    assert play(site, "plan.py").code == 0


def test_apply_goes_on_where_it_was_interrupted_and_keeps_ticket_and_reason(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    play(site, "plan.py", "--out", path)
    assert site.run("apply", path, "--router", "edge1").code == 0
    refused = play(site, "apply.py", path)
    assert (refused.code, "the routes on edge1 are not those" in refused.err) == (3, True)
    resumed = play(site, "apply.py", path, "--resume", "--ticket", "CHG-17", "--reason", "go on")
    assert resumed.code == 0, resumed.err
    assert "edge2: committed" in resumed.out
    assert "edge1: committed" not in resumed.out
    last = site.run("history", "--format", "json").json()["entries"][-1]
    assert (last["router"], last["ticket"], last["reason"]) == ("edge2", "CHG-17", "go on")


@pytest.mark.parametrize("settings", [{"mode": "observe"}, {"guards": {"freeze_file": "cluster.yaml"}}])
def test_apply_keeps_to_mode_and_freeze(tmp_path: Path, settings: dict[str, object]) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    play(site, "plan.py", "--out", path)
    before = site.config("edge1").read_text()
    site.settings(**settings)
    assert play(site, "apply.py", path).code == 3
    assert site.config("edge1").read_text() == before


@pytest.mark.parametrize("name", ["plan.py", "apply.py", "verify.py"])
def test_they_are_short_and_say_what_is_wrong_in_one_line(tmp_path: Path, name: str) -> None:
    assert len((REPO / "playbooks" / name).read_text().splitlines()) <= 62
    site = new_site(tmp_path)
    (tmp_path / "k8s-ecmp.yaml").write_text("owner: demo\n")
    done = play(site, name, *(["x.plan"] if name == "apply.py" else []))
    assert done.code == 1
    assert "tag" in done.err
    assert "Traceback" not in done.err

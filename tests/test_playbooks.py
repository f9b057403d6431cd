"""The Nornir scripts for cron and CI, run as cron would run them."""

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from k8s_ecmp.journal import Journal
from tests.site import REPO, Outcome, Site, new_site
from tests.world.netns import wait_for

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


@contextmanager
def begun(site: Site, name: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A script while it runs; killed at the end."""
    command = [sys.executable, str(REPO / "playbooks" / name), str(site.folder / "k8s-ecmp.yaml"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "observe"}, "mode is observe, which writes to no router"),
        ({"guards": {"freeze_file": "cluster.yaml"}}, "held by frozen"),
    ],
)
def test_apply_keeps_to_mode_and_freeze_and_writes_down_that_it_was_held(
    tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    play(site, "plan.py", "--out", path)
    before = site.config("edge1").read_text()
    site.settings(**settings)
    done = play(site, "apply.py", path, "--ticket", "CHG-17")
    assert (done.code, done.out, done.err) == (3, f"stopped: {said}\n", "")
    assert site.config("edge1").read_text() == before
    (held,) = site.run("history", "--format", "json").json()["entries"]
    assert (held["router"], held["outcome"], held["ticket"]) == ("-", "refused", "CHG-17")
    assert held["error"] == f"{said}; nothing was written"


def test_apply_says_what_is_not_in_the_journal_and_every_warning(tmp_path: Path) -> None:
    """The journal's disk is full after the commit of the first router."""
    site = new_site(tmp_path)
    path, journal = str(tmp_path / "today.plan"), tmp_path / "journal.sqlite"
    play(site, "plan.py", "--out", path)
    with sqlite3.connect(journal) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entry WHEN NEW.kind = 'result' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    done = play(site, "apply.py", path)
    assert (done.code, "edge1: committed\n" in done.out) == (1, True)
    assert "warning: edge1: what became of this could not be written down: " in done.err
    assert "disk is full" in done.err
    assert f"not in the journal: what became of edge1 (committed); make {journal} writable again: " in done.err


def test_every_router_is_changed_though_nobody_reads_the_output_any_more(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    play(site, "plan.py", "--out", path)
    with begun(site, "apply.py", path) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: PT018
        process.stdout.close()
        process.stderr.close()
        assert process.wait(120) == 0
    assert play(site, "plan.py").code == 0


NO_ROOM = "error: standard output cannot be written: No space left on device\n"


def play_without_room(site: Site, path: str, unbuffered: str) -> Outcome:
    """`apply.py` with its standard output on a disk that is full."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, str(REPO / "playbooks/apply.py"), str(site.folder / "k8s-ecmp.yaml"), path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    return Outcome(done.returncode, "", done.stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_every_router_is_changed_though_the_log_finds_no_room(tmp_path: Path, unbuffered: str) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    play(site, "plan.py", "--out", path)
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entry WHEN NEW.kind = 'result' AND NEW.router = 'edge2' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    done = play_without_room(site, path, unbuffered)
    assert done.code == 1
    warning, lost, error = done.err.splitlines(keepends=True)
    assert warning.startswith("warning: edge2: what became of this could not be written down: ")
    assert lost.startswith("not in the journal: what became of edge2 (committed); ")
    assert error == NO_ROOM
    assert play(site, "plan.py").code == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_last_line_that_finds_no_room_is_an_error(tmp_path: Path, unbuffered: str) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    play(site, "plan.py", "--out", path)
    site.settings(mode="observe")
    done = play_without_room(site, path, unbuffered)
    assert (done.code, done.err) == (1, NO_ROOM)


def test_a_plan_in_sync_is_done_without_the_journal(tmp_path: Path) -> None:
    """Whoever else of the owner is writing."""
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    assert site.run("apply", "--yes").code == 0
    assert play(site, "plan.py", "--out", path).code == 0
    with Journal(tmp_path / "journal.sqlite") as journal:
        before = len(journal.entries())
    with (tmp_path / "journal.sqlite.demo.lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = play(site, "apply.py", path)
    assert (done.code, done.out, done.err) == (0, "edge1: unchanged\nedge2: unchanged\n", "")
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert len(journal.entries()) == before


def test_a_plan_comes_through_a_pipe_too(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    path = tmp_path / "today.plan"
    play(site, "plan.py", "--out", str(path))
    script, settings = REPO / "playbooks/apply.py", site.folder / "k8s-ecmp.yaml"
    command = f'"{sys.executable}" "{script}" "{settings}" <(cat "{path}") --resume'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    with Journal(tmp_path / "journal.sqlite") as journal:
        told = {entry.body["plan"] for entry in journal.entries(kinds=("review", "begin", "result"))}
    assert told == {json.loads(path.read_text())["id"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_apply_lets_the_wave_in_hand_end_when_it_is_stopped(tmp_path: Path, number: int) -> None:
    site = new_site(tmp_path)
    path = str(tmp_path / "today.plan")
    site.settings(rollout={"pause_s": 600})
    play(site, "plan.py", "--out", path)
    before = site.config("edge2").read_text()
    with begun(site, "apply.py", path) as process:
        wait_for(lambda: site.run("history", "--format", "json").out.count("committed") == 1, "the canary is committed")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "stopping after this wave; press Ctrl-C again to break off\n"
    assert "edge1: committed" in out
    assert "edge2: not-attempted the rollout was stopped before this wave" in out
    assert site.config("edge2").read_text() == before
    assert play(site, "apply.py", path, "--resume").code == 0


@pytest.mark.parametrize("name", ["plan.py", "apply.py", "verify.py"])
def test_they_are_short_and_say_what_is_wrong_in_one_line(tmp_path: Path, name: str) -> None:
    assert len((REPO / "playbooks" / name).read_text().splitlines()) <= 85
    site = new_site(tmp_path)
    (tmp_path / "k8s-ecmp.yaml").write_text("owner: demo\n")
    done = play(site, name, *(["x.plan"] if name == "apply.py" else []))
    assert done.code == 1
    assert "tag" in done.err
    assert "Traceback" not in done.err

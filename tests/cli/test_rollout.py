"""A rollout from the command line: interrupted and resumed, taken back, paused, and watched on a terminal."""

import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import time

import pytest

from tests.fleet import Fleet
from tests.site import COMMAND, Outcome, Site, ended, read_until
from tests.world.netns import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.long]


def plan_file(site: Site) -> str:
    path = str(site.folder / "today.plan")
    assert site.run("plan", "--out", path).code == 2
    return path


def interrupted(site: Site, path: str) -> Outcome:
    """The plan applied to the canary and stopped in the pause after it."""
    with site.begun("apply", path, "--pause", "600") as process:
        read_until(process, "pause of 600 s")
        process.send_signal(signal.SIGINT)
        return ended(process)


def test_ctrl_c_in_a_pause_stops_and_says_what_is_left_and_resume_does_it(site: Site) -> None:
    path = plan_file(site)
    before = site.config("edge2").read_text()
    done = interrupted(site, path)
    assert done.code == 1
    assert f"edge2: not begun; go on with `k8s-ecmp apply {path} --resume`" in done.out
    assert "edge1   committed" in done.out
    assert "not-attempted" in done.out
    assert "the rollout was stopped before this wave" in done.out
    assert site.config("edge2").read_text() == before

    refused = site.run("apply", path)
    assert refused.code == 3, "without --resume the file is stale"
    first = site.config("edge1").read_text()
    resumed = site.run("apply", path, "--resume")
    assert resumed.code == 0, resumed.out + resumed.err
    assert re.search(r"edge1: left out: entry \d+ of .* says that this plan was committed on it", resumed.err)
    assert "edge1   unchanged" in resumed.out
    assert "edge2   committed" in resumed.out
    assert site.config("edge1").read_text() == first
    assert site.run("plan").code == 0
    again = site.run("apply", path, "--resume")
    assert again.code == 0, "all of it is done"
    shown = site.run("history", "--format", "json").json()["entries"]
    assert [(row["router"], row["outcome"]) for row in shown] == [
        ("edge1", "committed"),
        ("-", "refused"),
        ("edge2", "committed"),
    ]


def test_a_second_ctrl_c_breaks_off(site: Site) -> None:
    with site.begun("apply", plan_file(site), "--pause", "600") as process:
        read_until(process, "pause of 600 s")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert ended(process).code in (1, 130)


def test_resume_does_a_router_that_the_journal_says_was_begun_and_has_the_plan(site: Site) -> None:
    """Killed between the commit and the entry that says so."""
    path = plan_file(site)
    interrupted(site, path)
    with sqlite3.connect(site.folder / "journal.sqlite") as journal:
        journal.execute("DROP TRIGGER entry_remains")
        journal.execute("DELETE FROM entry WHERE kind = 'result' AND router = 'edge1'")
    resumed = site.run("apply", path, "--resume")
    assert resumed.code == 0, resumed.out + resumed.err
    assert "says that this plan was begun on it" in resumed.err


@pytest.mark.parametrize("changed", ["edge1", "edge2"])
def test_resume_refuses_what_is_neither_reviewed_nor_as_the_plan_left_it(site: Site, changed: str) -> None:
    path = plan_file(site)
    interrupted(site, path)
    config = site.config(changed)
    config.write_text(config.read_text().replace("ip route 172", "ip route 10.96.0.0/12 192.0.2.77\nip route 172"))
    before = {name: site.config(name).read_text() for name in ("edge1", "edge2")}
    done = site.run("apply", path, "--resume")
    assert done.code == 3
    assert f"the routes on {changed} are not those" in done.err
    assert "192.0.2.77" in done.err
    assert {name: site.config(name).read_text() for name in ("edge1", "edge2")} == before


def test_resume_does_not_trust_a_router_that_has_the_plan_by_chance(site: Site) -> None:
    """As the plan leaves it, but the journal knows of no commit of this plan."""
    path = plan_file(site)
    made_s = int(time.time())
    wait_for(lambda: int(time.time()) > made_s, "another second: a plan's id is a digest over its time too")
    assert site.run("apply", "--yes").code == 0
    done = site.run("apply", path, "--resume")
    assert done.code == 3
    assert "10.96.0.0/12: no route -> 10.192.0.1, 10.192.0.2, 10.192.0.3" in done.err


def test_resume_refuses_what_an_operator_took_back_and_does_the_rest(site: Site) -> None:
    fleet = Fleet(site, 2)
    fleet.rollout(canary=0, parallel=2)
    path = plan_file(site)
    with site.begun("apply", path, "--on-failure", "rollback-wave", "--pause", "600", "--router", "r1") as process:
        done = ended(process)
    assert done.code == 0
    number = str(site.run("history", "--format", "json").json()["entries"][0]["id"])
    back = str(site.folder / "back.plan")
    guards = ("--override", "empty-desired", "--override", "mass-withdrawal")
    assert site.run("history", "undo", number, "--out", back, *guards).code == 2
    assert site.run("apply", back, *guards).code == 0
    refused = site.run("apply", path, "--resume")
    assert refused.code == 3, refused.out + refused.err
    assert "was committed and taken back: r1 (entries " in refused.err
    resumed = site.run("apply", path, "--resume", "--router", "r2")
    assert resumed.code == 0, resumed.out + resumed.err
    assert "r2      committed" in resumed.out


def test_on_failure_and_pause_stand_over_the_settings(site: Site) -> None:
    fleet = Fleet(site, 3)
    fleet.rollout(canary=0, parallel=2, pause_s=600, on_failure="stop")
    before = fleet.texts
    with site.begun("apply", "--yes", "--on-failure", "rollback-wave", "--pause", "500") as process:
        read_until(process, "pause of 500 s; 2 routers of this wave verified again")
        fleet.drop_lines("r2", "10.97.10.1/32 10.192.0.2")
        done = ended(process)
    assert done.code == 1
    assert re.search(r"^r1 +rolled-back", done.out, re.MULTILINE)
    assert re.search(r"^r3 +not-attempted", done.out, re.MULTILINE)
    assert fleet.changed(before) == {"r2"}
    assert "rolled-back" in site.run("history").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "needs the plan file"),
        (["--rebase"], "needs the plan file"),
        (["x.plan", "--rebase", "--resume"], "not both"),
        (["x.plan", "--out", "y.plan"], "--out is for --rebase"),
        (["x.plan", "--pause", "-1"], "--pause"),
        (["x.plan", "--on-failure", "shrug"], "--on-failure"),
    ],
)
def test_options_that_do_not_go_together(site: Site, arguments: list[str], message: str) -> None:
    done = site.run("apply", *arguments)
    assert done.code == 1
    assert message in done.err


def test_on_a_terminal_fifty_routers_fit(site: Site) -> None:
    fleet = Fleet(site, 50)
    fleet.rollout(canary=1, parallel=10)
    screen = _on_a_terminal(site, "apply", "--yes")
    assert "wave 6 of 6" in screen
    counts = [int(number) for number in re.findall(r"(\d+) of 50 routers done", screen)]
    assert counts == sorted(counts)
    assert counts[-1] > 1
    assert re.search(r"r\d+ +(connect|read|stage|commit|verify|confirm) +\d+\.\d s", screen)
    assert "50 committed" in screen
    assert all("tag 4201" in text for text in fleet.texts.values())


def test_in_a_pipe_there_is_a_line_for_each_router(site: Site) -> None:
    done = site.run("apply", "--yes")
    assert done.code == 0
    assert re.findall(r"^(edge\d): committed after \d+\.\d s$", done.err, re.MULTILINE) == ["edge1", "edge2"]
    assert "\x1b" not in done.err + done.out


def _on_a_terminal(site: Site, *arguments: str) -> str:
    """All that a command writes to a terminal of 24 lines, without its escape sequences."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
    command = [*COMMAND, "--config", str(site.folder / "k8s-ecmp.yaml"), *arguments]
    written = b""
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        try:
            os.close(slave)
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and select.select([master], [], [], 60)[0]:
                try:
                    chunk = os.read(master, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                written += chunk
            assert process.wait(60) == 0, written.decode()
        finally:
            process.kill()
    os.close(master)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())

"""docs/guides/scheduled.md: the very commands of the page, on embedded routers."""

import fcntl
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim
from markdown_it import MarkdownIt

from k8s_ecmp.journal import Entry, Journal
from tests.fleet import Fleet
from tests.site import REPO, Site, new_site
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

PAGE = REPO / "docs/guides/scheduled.md"
ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "CI_PIPELINE_ID": "4711",
    "GITLAB_USER_LOGIN": "ada",
    "GITHUB_RUN_ID": "4712",
}


def blocks(heading: str, language: str) -> list[str]:
    """The fenced blocks under a heading."""
    found, here = [], ""
    tokens = MarkdownIt().parse(PAGE.read_text())
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            here = tokens[number + 1].content
        elif token.type == "fence" and here == heading and token.info == language:
            found.append(token.content)
    return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


def shell(site: Site, commands: str, shell: str = "bash", **environment: str) -> subprocess.CompletedProcess[str]:
    """As a CI runner does it: in the project's folder, ended by the first command that fails."""
    return subprocess.run(
        [shell, "-e", "-c", commands],
        cwd=site.folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def by_cron(site: Site, command: str) -> subprocess.CompletedProcess[str]:
    """As cron does it: its own shell and environment, and what the crontab sets."""
    name, _, path = blocks("cron", "cron")[0].splitlines()[0].partition("=")
    assert name == "PATH"
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd="/",
        env={
            "SHELL": "/bin/sh",
            "LOGNAME": "k8s-ecmp",
            "HOME": "/nonexistent",
            "PATH": path.replace("/opt/k8s-ecmp/bin", str(Path(sys.executable).parent)),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def configs(site: Site) -> dict[str, str]:
    return {path.name: path.read_text() for path in site.folder.glob("inventories/demo/routers/*.cfg")}


def entries(site: Site, *kinds: Any) -> list[Entry]:
    with Journal(site.folder / "journal.sqlite") as journal:
        return journal.entries(kinds=kinds)


def identity(path: Path) -> str:
    return str(json.loads(path.read_text())["id"])


@pytest.fixture
def cron(site: Site) -> dict[str, str]:
    """The two scripts in their place, and what the crontab says: name -> command."""
    scripts = blocks("cron", "sh")[:2]
    commands = {}
    for line in blocks("cron", "cron")[0].splitlines()[1:]:
        *schedule, user, command = line.split()
        assert next(CronSim(" ".join(schedule), datetime.now(UTC)))
        assert user == "k8s-ecmp"
        commands[Path(command).name] = command.replace("/srv/k8s-ecmp", str(site.folder))
    for name, script in zip(commands, scripts, strict=True):
        path = site.folder / name
        path.write_text(script)
        path.chmod(0o755)
    return commands


def conflict(site: Site) -> None:
    """Somebody else's route stands at a prefix of ours on edge1."""
    router = site.config("edge1")
    router.write_text(f"ip route 198.51.100.10/32 192.0.2.77\n{router.read_text()}")


def approved(site: Site) -> None:
    """What the page says of approving, for the plan that waits."""
    (waiting,) = (site.folder / "waiting").glob("*.plan")
    command = blocks("cron", "sh")[2].replace("20261121T060000Z", waiting.stem)
    assert waiting.stem in command
    assert shell(site, command, "sh").returncode == 0


def test_cron_plans_a_person_approves_and_cron_applies_exactly_that(site: Site, cron: dict[str, str]) -> None:
    before = configs(site)
    planned = by_cron(site, cron["plan.sh"])
    made_s = int(time.time())
    assert planned.returncode == 2, planned.stderr
    assert "a plan waits for approval: waiting/" in planned.stdout
    text = next((site.folder / "waiting").glob("*.md")).read_text()
    assert "14 to create" in text
    assert by_cron(site, cron["apply.sh"]).returncode == 0
    assert configs(site) == before, "nobody has approved anything"
    (site.folder / "approved").mkdir(exist_ok=True)
    approved(site)
    wanted = identity(site.folder / "approved/CHG-17.plan")
    assert wanted in text
    applied = by_cron(site, cron["apply.sh"])
    assert applied.returncode == 0, applied.stdout + applied.stderr
    (review,) = entries(site, "review")
    assert review.body["plan"] == wanted
    assert (review.ticket, review.reason) == ("CHG-17", "approved by root")
    assert [path.name for path in (site.folder / "done").iterdir()] == ["CHG-17.plan"]
    done = configs(site)
    assert done != before
    assert by_cron(site, cron["apply.sh"]).returncode == 0
    wait_for(lambda: int(time.time()) > made_s, "another second: files are named after theirs")
    assert by_cron(site, cron["plan.sh"]).returncode == 0
    assert configs(site) == done
    assert len(list((site.folder / "waiting").iterdir())) == 2, "a plan without changes leaves nothing"


def test_cron_refuses_what_no_longer_fits_and_lays_it_away(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    router = site.config("edge1")
    router.write_text(f"ip route 10.96.0.0/12 10.192.0.9\n{router.read_text()}")
    before = configs(site)
    done = by_cron(site, cron["apply.sh"])
    assert done.returncode == 3
    assert "the routes on edge1 are not those that the plan was made for" in done.stderr
    assert configs(site) == before
    assert [path.name for path in (site.folder / "refused").iterdir()] == ["CHG-17.plan"]


def test_cron_files_a_plan_as_applied_where_conflicts_are_all_that_is_left(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    conflict(site)
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    done = by_cron(site, cron["apply.sh"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == (
        "approved/CHG-17.plan is done; what it leaves alone, such as conflicts, stands in reports/CHG-17.json\n"
    )
    assert "Exit code 3 is for what is left alone: 1 conflict (198.51.100.10/32 on edge1)." in done.stderr
    assert [path.name for path in (site.folder / "done").iterdir()] == ["CHG-17.plan"]
    assert not any((site.folder / "refused").iterdir())
    report = json.loads((site.folder / "reports/CHG-17.json").read_text())
    assert [conflict["prefix"] for conflict in report["conflicts"]] == ["198.51.100.10/32"]
    assert {entry.body["outcome"] for entry in entries(site, "result")} == {"committed"}


def test_cron_does_not_file_as_applied_what_a_freeze_held_beside_a_conflict(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    conflict(site)
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    before = configs(site)
    site.settings(guards={"freeze_file": "freeze"})
    (site.folder / "freeze").touch()
    held = by_cron(site, cron["apply.sh"])
    assert held.returncode == 3
    assert "approved/CHG-17.plan was refused or stopped" in held.stdout
    assert "Exit code 3 is for" not in held.stderr
    assert configs(site) == before
    (site.folder / "freeze").unlink()
    (site.folder / "refused/CHG-17.plan").rename(site.folder / "approved/CHG-17.plan")
    assert by_cron(site, cron["apply.sh"]).returncode == 0
    assert (site.folder / "done/CHG-17.plan").exists()


def test_cron_leaves_a_run_alone_that_takes_longer(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    before = configs(site)
    with (site.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = by_cron(site, cron["apply.sh"])
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert configs(site) == before
    assert by_cron(site, cron["apply.sh"]).returncode == 0
    assert configs(site) != before


def test_cron_goes_on_with_a_file_whose_run_failed(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    site.settings(journal="cluster.yaml/journal.sqlite")
    assert by_cron(site, cron["apply.sh"]).returncode == 1
    assert (site.folder / "approved/CHG-17.plan").exists()
    site.settings(journal="journal.sqlite")
    assert by_cron(site, cron["apply.sh"]).returncode == 0
    assert (site.folder / "done/CHG-17.plan").exists()


def test_cron_does_not_do_again_what_somebody_took_back(site: Site, cron: dict[str, str]) -> None:
    """The script was killed between `apply` and `mv`."""
    (site.folder / "approved").mkdir()
    before = configs(site)
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    assert by_cron(site, cron["apply.sh"]).returncode == 0
    (site.folder / "done/CHG-17.plan").rename(site.folder / "approved/CHG-17.plan")
    back = str(site.folder / "back.plan")
    guards = ("--override", "empty-desired", "--override", "mass-withdrawal")
    (review,) = entries(site, "review")
    assert site.run_here("history", "undo", str(review.id), "--out", back, *guards).code == 2
    assert site.run_here("apply", back).code == 0
    done = by_cron(site, cron["apply.sh"])
    assert (done.returncode, "was committed and taken back" in done.stderr) == (3, True), done.stderr
    assert configs(site) == before
    assert (site.folder / "refused/CHG-17.plan").exists()


def rounds(site: Site, cron: dict[str, str]) -> list[int]:
    """What cron does a few times."""
    return [by_cron(site, cron["apply.sh"]).returncode for _ in range(3)]


def test_cron_does_not_make_a_change_again_that_was_taken_back(site: Site, cron: dict[str, str]) -> None:
    """Somebody takes a route of r2's away at once, so that its wave is taken back."""
    fleet = Fleet(site, 3)
    fleet.rollout(canary=0, parallel=2, pause_s=3, on_failure="rollback-wave")
    (site.folder / "approved").mkdir()
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    before = fleet.texts
    with ThreadPoolExecutor() as pool:
        round_one = pool.submit(by_cron, site, cron["apply.sh"])
        wait_for(lambda: "10.96.0.0/12" in site.config("r2").read_text(), "the first wave")
        fleet.drop_lines("r2", "10.96.0.0/12")
        done = round_one.result()
    assert done.returncode == 1
    assert "approved/CHG-17.plan changed routers and failed; it is in failed now" in done.stdout
    summary = json.loads((site.folder / "reports/CHG-17.json").read_text())["summary"]
    assert summary["rolled-back"] > 0
    assert (summary["committed"], summary["not-attempted"]) == (0, 1)
    count = len(entries(site, "begin"))
    assert rounds(site, cron) == [0, 0, 0]
    assert len(entries(site, "begin")) == count
    assert fleet.changed(before) <= {"r2"}
    assert [path.name for path in (site.folder / "failed").iterdir()] == ["CHG-17.plan"]
    assert not any((site.folder / "approved").iterdir())


def test_cron_tries_again_what_no_router_could_be_reached_for(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    assert by_cron(site, cron["plan.sh"]).returncode == 2
    approved(site)
    routers = site.folder / "inventories/demo/routers"
    away = routers.rename(routers.with_name("away"))
    assert rounds(site, cron) == [1, 1, 1]
    assert (site.folder / "approved/CHG-17.plan").exists()
    report = json.loads((site.folder / "reports/CHG-17.json").read_text())
    assert {router["step"] for router in report["routers"]} <= {"connect", "read"}
    away.rename(routers)
    assert by_cron(site, cron["apply.sh"]).returncode == 0
    assert not any((site.folder / "failed").iterdir())
    assert (site.folder / "done/CHG-17.plan").exists()


def jobs(heading: str) -> dict[str, Any]:
    (text,) = blocks(heading, "yaml")
    # YAML 1.1 reads GitHub's key "on" as true.
    found = yaml.safe_load(text)
    whole: dict[str, Any] = found.get("jobs", found)
    return whole


def exactly(site: Site, before: dict[str, str], ticket: str, reason: str) -> None:
    (review,) = entries(site, "review")
    assert review.body["plan"] == identity(site.folder / "today.plan")
    assert (review.ticket, review.reason) == (ticket, reason)
    assert {entry.body["outcome"] for entry in entries(site, "result")} == {"committed"}
    planned = json.loads((site.folder / "today.plan").read_text())
    sent = {entry.router: entry.body["commands"] for entry in entries(site, "begin")}
    assert sent == {router["name"]: router["commands"] for router in planned["routers"]}
    assert configs(site) != before


def test_gitlab(site: Site) -> None:
    found = jobs("GitLab")
    before = configs(site)
    planned = shell(site, "\n".join(found["plan"]["script"]))
    assert planned.returncode == 0, planned.stderr
    assert all((site.folder / path).stat().st_size for path in found["plan"]["artifacts"]["paths"])
    assert configs(site) == before
    assert found["apply"]["rules"][0]["when"] == "manual"
    site.not_ready("node2")  # what the cluster says meanwhile is for the next plan
    applied = shell(site, "\n".join(found["apply"]["script"]))
    assert applied.returncode == 0, applied.stdout + applied.stderr
    exactly(site, before, "pipeline 4711", "approved by ada")
    assert "10.192.0.2" in configs(site)["edge1.cfg"]


def test_gitlab_fails_for_what_was_not_done_and_not_for_conflicts(site: Site) -> None:
    found = jobs("GitLab")
    conflict(site)
    before = configs(site)
    assert shell(site, "\n".join(found["plan"]["script"])).returncode == 0
    applied = shell(site, "\n".join(found["apply"]["script"]))
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "1 conflict (198.51.100.10/32 on edge1)" in applied.stderr
    assert configs(site) != before
    assert found["apply"]["artifacts"]["paths"] == ["report.json"]
    assert json.loads((site.folder / "report.json").read_text())["complete"] is True
    (site.folder / "today.plan").write_text("{}")
    assert shell(site, "\n".join(found["apply"]["script"])).returncode == 1


def test_gitlab_fails_where_a_plan_does(site: Site) -> None:
    (site.folder / "cluster.yaml").write_text("kind: [")
    assert shell(site, "\n".join(jobs("GitLab")["plan"]["script"])).returncode == 1


def test_github(site: Site) -> None:
    found = jobs("GitHub")
    before = configs(site)
    files = {name: str(site.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    (plan,) = (step["run"] for step in found["plan"]["steps"] if "run" in step)
    (apply,) = (step["run"] for step in found["apply"]["steps"] if "run" in step)
    planned = shell(site, plan, **files)
    assert planned.returncode == 0, planned.stderr
    assert (site.folder / "GITHUB_OUTPUT").read_text() == "code=2\n"
    assert found["apply"]["if"].endswith("== '2'")
    assert "14 to create" in (site.folder / "GITHUB_STEP_SUMMARY").read_text()
    assert configs(site) == before
    applied = shell(site, apply)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    exactly(site, before, "run 4712", "approved in environment routers")
    assert shell(site, plan, **files).returncode == 0
    assert (site.folder / "GITHUB_OUTPUT").read_text() == "code=2\ncode=0\n", "and `apply` is skipped"


def test_github_fails_for_what_was_not_done_and_not_for_conflicts(site: Site) -> None:
    found = jobs("GitHub")
    conflict(site)
    files = {name: str(site.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    (plan,) = (step["run"] for step in found["plan"]["steps"] if "run" in step)
    (apply,) = (step["run"] for step in found["apply"]["steps"] if "run" in step)
    assert shell(site, plan, **files).returncode == 0
    applied = shell(site, apply)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert applied.stdout == "::warning::applied; the log says what the plan leaves alone\n"
    assert "1 conflict (198.51.100.10/32 on edge1)" in applied.stderr
    (site.folder / "today.plan").write_text("{}")
    refused = shell(site, apply)
    assert (refused.returncode, refused.stdout) == (1, "")


def test_the_next_day(site: Site) -> None:
    assert site.run("apply", "--yes").code == 0
    done = shell(site, blocks("The next day", "sh")[0])
    assert done.returncode == 0, done.stderr
    assert "the journal is whole" in done.stdout

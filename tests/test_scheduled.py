"""docs/guides/scheduled.md: the very commands of the page, on embedded routers."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim
from markdown_it import MarkdownIt

from k8s_ecmp.journal import Entry, Journal
from tests.site import REPO, Site, new_site

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
    for line in blocks("cron", "cron")[0].splitlines():
        *schedule, user, command = line.split()
        assert next(CronSim(" ".join(schedule), datetime.now(UTC)))
        assert user == "k8s-ecmp"
        commands[Path(command).name] = command.replace("/srv/k8s-ecmp", str(site.folder))
    for name, script in zip(commands, scripts, strict=True):
        path = site.folder / name
        path.write_text(script)
        path.chmod(0o755)
    return commands


def approved(site: Site) -> None:
    """What the page says of approving, for the plan that waits."""
    (waiting,) = (site.folder / "waiting").glob("*.plan")
    command = blocks("cron", "sh")[2].replace("20261121T060000Z", waiting.stem)
    assert waiting.stem in command
    assert shell(site, command, "sh").returncode == 0


def test_cron_plans_a_person_approves_and_cron_applies_exactly_that(site: Site, cron: dict[str, str]) -> None:
    before = configs(site)
    planned = shell(site, cron["plan.sh"], "sh")
    assert planned.returncode == 2, planned.stderr
    assert "a plan waits for approval: waiting/" in planned.stdout
    text = next((site.folder / "waiting").glob("*.md")).read_text()
    assert "14 to create" in text
    assert shell(site, cron["apply.sh"], "sh").returncode == 0
    assert configs(site) == before, "nobody has approved anything"
    (site.folder / "approved").mkdir(exist_ok=True)
    approved(site)
    wanted = identity(site.folder / "approved/CHG-17.plan")
    assert wanted in text
    applied = shell(site, cron["apply.sh"], "sh")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    (review,) = entries(site, "review")
    assert review.body["plan"] == wanted
    assert (review.ticket, review.reason) == ("CHG-17", "approved by root")
    assert [path.name for path in (site.folder / "done").iterdir()] == ["CHG-17.plan"]
    done = configs(site)
    assert done != before
    assert shell(site, cron["apply.sh"], "sh").returncode == 0
    assert shell(site, cron["plan.sh"], "sh").returncode == 0
    assert configs(site) == done
    assert len(list((site.folder / "waiting").iterdir())) == 2, "a plan without changes leaves nothing"


def test_cron_refuses_what_no_longer_fits_and_lays_it_away(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    assert shell(site, cron["plan.sh"], "sh").returncode == 2
    approved(site)
    router = site.config("edge1")
    router.write_text(f"ip route 10.96.0.0/12 10.192.0.9\n{router.read_text()}")
    before = configs(site)
    done = shell(site, cron["apply.sh"], "sh")
    assert done.returncode == 3
    assert "the routes on edge1 are not those that the plan was made for" in done.stderr
    assert configs(site) == before
    assert [path.name for path in (site.folder / "refused").iterdir()] == ["CHG-17.plan"]


def test_cron_goes_on_with_a_file_whose_run_failed(site: Site, cron: dict[str, str]) -> None:
    (site.folder / "approved").mkdir()
    assert shell(site, cron["plan.sh"], "sh").returncode == 2
    approved(site)
    site.settings(journal="cluster.yaml/journal.sqlite")
    assert shell(site, cron["apply.sh"], "sh").returncode == 1
    assert (site.folder / "approved/CHG-17.plan").exists()
    site.settings(journal="journal.sqlite")
    assert shell(site, cron["apply.sh"], "sh").returncode == 0
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


def test_the_next_day(site: Site) -> None:
    assert site.run("apply", "--yes").code == 0
    done = shell(site, blocks("The next day", "sh")[0])
    assert done.returncode == 0, done.stderr
    assert "the journal is whole" in done.stdout

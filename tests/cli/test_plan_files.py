"""Plan files: applied exactly, or refused."""

import hashlib
import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp import runs
from k8s_ecmp.journal import Journal
from tests.site import Site
from tests.world.netns import wait_for

OURS = re.compile(r".*\btag 4201\b.*\n")


def plan_file(site: Site) -> Path:
    path = site.folder / "today.plan"
    assert site.run_here("plan", "--out", str(path)).code == 2
    return path


def test_a_plan_file_is_applied_exactly_whatever_the_cluster_says_now(site: Site) -> None:
    path = plan_file(site)
    site.not_ready("node2")
    done = site.run_here("apply", str(path))
    assert done.code == 0, done.err
    commands = json.loads(path.read_text())["routers"][0]["commands"]
    text = site.config("edge1").read_text()
    assert commands
    assert all(command in text for command in commands)
    assert site.run_here("apply", str(path)).code == 3


def replaced(path: Path, by: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(by)
    new.replace(path)


@pytest.mark.parametrize("options", [(), ("--resume",), ("--router", "edge1")])
@pytest.mark.parametrize("meanwhile", [replaced, lambda path, by: path.unlink()])
def test_what_was_reviewed_is_what_journal_and_report_name_whatever_becomes_of_the_file(
    site: Site, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], meanwhile: Callable[[Path, bytes], None]
) -> None:
    """While the routers are read another plan takes its place, as one on a schedule does, or it is removed."""
    path = plan_file(site)
    reviewed, file = path.read_bytes(), json.loads(path.read_text())
    site.not_ready("node2")
    another = plan_file(site).read_bytes()
    path.write_bytes(reviewed)
    check = runs.check_current

    def checked(*arguments: Any) -> frozenset[str]:
        meanwhile(path, another)
        return check(*arguments)

    monkeypatch.setattr(runs, "check_current", checked)
    done = site.run_here("apply", str(path), "--format", "json", *options)
    assert (done.code, done.json()["plan"]) == (0, file["id"]), done.err
    assert file["routers"][0]["commands"][0] in site.config("edge1").read_text()
    with Journal(site.folder / "journal.sqlite") as journal:
        told = [entry.body["plan"] for entry in journal.entries(kinds=("review", "begin", "result"))]
    assert (set(told), len(told) >= 3) == ({file["id"]}, True)


@pytest.mark.parametrize("mode", ["full", "observe"])
def test_a_plan_comes_through_a_pipe_too(site: Site, mode: str) -> None:
    """As in `apply <(ssh planner cat today.plan)`: what can be read once is read once."""
    path = plan_file(site)
    site.settings(mode=mode)
    end, start = os.pipe()

    def fill() -> None:
        with os.fdopen(start, "wb") as pipe:
            pipe.write(path.read_bytes())

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        done = site.run_here("apply", f"/dev/fd/{end}", "--format", "json")
    finally:
        os.close(end)
        thread.join()
    assert done.code == (0 if mode == "full" else 3), done.err
    assert done.json()["plan"] == json.loads(path.read_text())["id"]


def test_an_edited_plan_file_is_refused(site: Site) -> None:
    path = plan_file(site)
    path.write_text(path.read_text().replace("10.192.0.3", "10.192.0.4"))
    before = site.config("edge1").read_text()
    done = site.run("apply", str(path))
    assert done.code == 3
    assert "refused" in done.err
    assert site.config("edge1").read_text() == before


@pytest.mark.slow
def test_an_expired_plan_file_is_refused(site: Site) -> None:
    site.settings(plan={"expires_s": 1})
    path = plan_file(site)
    expires = json.loads(path.read_text())["expires"]
    wait_for(lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) > expires[:19], "it has expired")
    done = site.run_here("apply", str(path))
    assert done.code == 3
    assert "expired" in done.err


@pytest.mark.parametrize(("ahead_s", "code"), [(30, 0), (90, 3), (7200, 3)])
def test_a_plan_from_the_future_is_refused_but_for_what_clocks_differ_by(site: Site, ahead_s: int, code: int) -> None:
    path = plan_file(site)
    _set_ahead(path, ahead_s)
    before = site.config("edge1").read_text()
    done = site.run_here("apply", str(path))
    assert done.code == code, done.err
    assert ("compare the clocks of the machine that planned and of this one" in done.err) is (code == 3)
    assert (site.config("edge1").read_text() == before) is (code == 3)


def test_resume_goes_on_with_a_plan_of_a_clock_that_is_ahead(site: Site) -> None:
    path = plan_file(site)
    _set_ahead(path, 50)
    assert site.run_here("apply", str(path), "--router", "edge1").code == 0
    done = site.run_here("apply", str(path), "--resume")
    assert (done.code, "edge1: left out: entry" in done.err) == (0, True), done.err


def test_a_stale_router_refuses_the_whole_file_by_name_before_anything_is_written(site: Site) -> None:
    path = plan_file(site)
    config = site.config("edge2")
    config.write_text(config.read_text().replace("ip route 172", "ip route 10.97.10.1/32 192.0.2.77\nip route 172"))
    before = site.config("edge1").read_text()
    done = site.run_here("apply", str(path))
    assert done.code == 3
    assert "edge2" in done.err
    assert "edge1" not in done.err
    assert site.config("edge1").read_text() == before


def test_what_somebody_else_changes_elsewhere_does_not_make_a_plan_stale(site: Site) -> None:
    path = plan_file(site)
    config = site.config("edge1")
    config.write_text(config.read_text().replace("ip route 172", "ip route 203.0.113.0/24 192.0.2.77\nip route 172"))
    assert site.run_here("apply", str(path)).code == 0
    assert "203.0.113.0/24" in config.read_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mode": "withdraw-only"}, "mode: withdraw-only"),
        ({"guards": {"freeze_windows": [{"start": "* * * * *", "duration_s": 3600}]}}, "frozen"),
        ({"guards": {"freeze_windows": [{"start": "* * * * *", "duration_s": 3600, "freeze_all": True}]}}, "frozen"),
        ({"guards": {"freeze_file": "cluster.yaml"}}, "frozen"),
    ],
)
def test_todays_settings_stand_over_a_plan_file(site: Site, settings: dict[str, object], says: str) -> None:
    path = plan_file(site)
    before = site.config("edge1").read_text()
    site.settings(**settings)
    done = site.run_here("apply", str(path))
    assert done.code == 3
    assert says in done.out + done.err
    assert site.config("edge1").read_text() == before


LONG_WINDOW = {"start": "0 0 * * *", "duration_s": 86400}


def test_a_window_holds_a_file_that_does_not_know_it_whatever_the_clocks_say(site: Site) -> None:
    """Set after the plan, or over by the clock of the machine that planned: it was made later than the window began."""
    path = plan_file(site)
    assert "freeze_windows" not in json.loads(path.read_text()), "as an older program wrote it"
    before = site.config("edge1").read_text()
    site.settings(guards={"freeze_windows": [LONG_WINDOW]})
    held = site.run_here("apply", str(path))
    assert (held.code, "frozen" in held.out) == (3, True)
    assert site.config("edge1").read_text() == before
    assert site.run_here("apply", str(path), "--override", "frozen").code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        assert [entry.body["guards"] for entry in journal.entries(kinds=("override",))] == [["frozen"]]


@pytest.mark.parametrize("another", [False, True])
def test_a_file_from_a_window_is_applied_in_it_and_held_by_another(site: Site, *, another: bool) -> None:
    assert site.run_here("apply", "--yes").code == 0
    site.settings(guards={"freeze_windows": [LONG_WINDOW], "max_withdrawn_fraction": 1})
    site.not_ready("node2")
    path = site.folder / "today.plan"
    site.run_here("plan", "--out", str(path))
    (known,) = json.loads(path.read_text())["freeze_windows"]
    assert known == time.strftime("'0 0 * * *' (UTC) since %Y-%m-%dT00:00:00Z", time.gmtime())
    if another:
        site.settings(guards={"freeze_windows": [LONG_WINDOW, {**LONG_WINDOW, "time_zone": "Asia/Tokyo"}]})
    site.run_here("apply", str(path))
    assert ("10.192.0.2 " in site.config("edge1").read_text()) is another


def test_a_file_made_in_spite_of_a_window_needs_the_override_again(site: Site) -> None:
    site.settings(guards={"freeze_windows": [LONG_WINDOW]})
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path, "--override", "frozen").code == 2
    assert site.run_here("apply", path).code == 3
    assert site.run_here("apply", path, "--override", "frozen").code == 0


def _set_ahead(path: Path, seconds: int) -> None:
    """As the plan would be if the planner's clock were ahead."""
    document = json.loads(path.read_text())
    for key, later_s in (("created", 0), ("expires", 3600)):
        document[key] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds + later_s))
    _seal(path, document)


def _seal(path: Path, document: dict[str, Any]) -> None:
    """Writes a plan that was edited, with the hash that belongs to it."""
    document.pop("id", None)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    document["id"] = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document))


def test_one_router_of_a_plan_file_can_be_applied_alone(site: Site) -> None:
    path = plan_file(site)
    assert site.run_here("apply", str(path), "--router", "edge2").code == 0
    assert OURS.findall(site.config("edge1").read_text()) == []
    assert len(OURS.findall(site.config("edge2").read_text())) == 16
    assert site.run_here("apply", str(path), "--override", "bogus").code == 1
    whole = site.run_here("apply", str(path))
    assert whole.code == 3, "edge2 is no longer what was reviewed"
    rest = site.run_here("apply", str(path), "--router", "edge1")
    assert rest.code == 0, rest.err
    assert len(OURS.findall(site.config("edge1").read_text())) == 16


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--router", "edge2"), "has no router edge2 (it has edge1)"),
        (("--router", "edge1", "--router", "edge2"), "has no router edge2 (it has edge1)"),
        (("--filter", "name=edge2"), "has no router that matches name=edge2 (it has edge1)"),
    ],
)
@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_router_that_the_file_does_not_have_is_no_router_in_sync(
    site: Site, asked: tuple[str, ...], said: str, resume: tuple[str, ...]
) -> None:
    path = str(site.folder / "e1.plan")
    assert site.run_here("plan", "--router", "edge1", "--out", path).code == 2
    before = site.config("edge1").read_text()
    done = site.run_here("apply", path, *asked, *resume)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"error: the plan in {path} {said}\n"
    assert site.config("edge1").read_text() == before
    assert site.run_here("apply", path, "--filter", "group=edge").code == 0, "of which the file has one"


def test_a_router_without_changes_may_have_left_the_inventory(site: Site) -> None:
    assert site.run_here("apply", "--yes", "--router", "edge2").code == 0
    path = plan_file(site)
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts.pop("edge2"))
    done = site.run_here("apply", str(path))
    assert done.code == 0, done.err
    assert len(OURS.findall(site.config("edge1").read_text())) == 16


def test_the_distance_is_that_of_the_file(site: Site) -> None:
    site.edit("inventories/demo/groups.yaml", lambda groups: groups["edge"]["data"]["k8s_ecmp"].update(distance=77))
    path = plan_file(site)
    site.edit("inventories/demo/groups.yaml", lambda groups: groups["edge"]["data"]["k8s_ecmp"].update(distance=78))
    assert site.run_here("apply", str(path)).code == 0
    assert "ip route 10.96.0.0/12 10.192.0.1 tag 4201 77" in site.config("edge1").read_text()


def test_a_plan_of_another_owner_is_refused(site: Site) -> None:
    path = plan_file(site)
    site.settings(owner="other")
    assert site.run_here("apply", str(path)).code == 3


def test_something_that_is_no_plan_is_refused(site: Site) -> None:
    for content in ("", "{", "[]", '{"version": 2}', "hello"):
        path = site.folder / "x.plan"
        path.write_text(content)
        done = site.run_here("apply", str(path))
        assert (done.code, "x.plan" in done.err) == (3, True), (content, done.err)


def device(path: Path) -> None:
    """The same as /dev/null, elsewhere."""
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


@pytest.mark.parametrize("make", [device, os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_not_replaced_by_a_plan(site: Site, make: Callable[[Path], None]) -> None:
    path, link = site.folder / "node", site.folder / "link"
    make(path)
    link.symlink_to(path)
    before = path.lstat()
    for out in (path, link):
        done = site.run_here("plan", "--out", str(out))
        assert (done.code, done.out) == (1, "")
        assert (
            done.err == f"error: the plan file {out} cannot be written: it is no regular file, and is left as it is\n"
        )
    assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)
    assert link.is_symlink()
    assert {entry.name for entry in site.folder.iterdir() if entry.name.startswith(".")} == set()


def test_a_file_and_a_link_to_one_are_replaced_by_a_plan(site: Site) -> None:
    path, link = site.folder / "old.plan", site.folder / "link.plan"
    path.write_text("old")
    link.symlink_to(path)
    assert site.run_here("plan", "--out", str(link)).code == 2
    assert (path.read_text(), link.is_symlink()) == ("old", False)
    assert site.run_here("plan", "--out", str(path)).code == 2
    assert path.read_bytes()[:1] == b"{"

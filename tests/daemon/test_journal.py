"""The daemon's journal: what it keeps, what it does without one, and who else may write meanwhile."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.journal import Entry, Journal
from k8s_ecmp.journal.only_writer import holder
from tests.daemon.running import Running, in_sync, rewrite, routers
from tests.faults.disk import SmallDisk
from tests.site import Site, new_site
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

STOP_BEGIN = "CREATE TRIGGER stop BEFORE INSERT ON entry WHEN NEW.kind = 'begin' BEGIN SELECT RAISE(ABORT, 'disk'); END"
STOP_RESULT = STOP_BEGIN.replace("'begin'", "'result'")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = new_site(tmp_path)
    site.settings(nodes={"hold_down_s": 0, "hold_up_s": 0}, guards={"max_withdrawn_fraction": 1})
    return site


@pytest.fixture
def running(site: Site) -> Iterator[Running]:
    made = Running(site)
    yield made
    made.kill()


def entries(site: Site, *kinds: Any) -> list[Entry]:
    with Journal(site.folder / "journal.sqlite") as journal:
        assert list(journal.check()) == []
        return journal.entries(kinds=kinds)


def configs(site: Site) -> dict[str, str]:
    return {path.stem: path.read_text() for path in site.folder.glob("inventories/demo/routers/*.cfg")}


def spoilt(site: Site, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(site.folder / "journal.sqlite")) as connection:
        connection.execute(statement)


def outcomes(site: Site) -> list[str]:
    return [row["outcome"] for row in site.run("history", "--format", "json").json()["entries"]]


def await_results(site: Site) -> None:
    """What became of each change is written down: the journal's thread does that behind the change."""
    wait_for(lambda: "begun" not in outcomes(site), "what became of each change is written down")


def node1_out(document: dict[str, Any]) -> bool:
    return any(node["name"] == "node1" and node["standing"] == "out" for node in document["nodes"])


def lose_node1(running: Running) -> None:
    rewrite(running.site, lambda: running.site.not_ready("node1"))
    running.until(node1_out, "node1 is out")


def test_every_change_stands_there_before_and_after(running: Running) -> None:
    running.start("--identity", "leaf-daemon")
    running.until(in_sync, "the routers are in sync")
    lose_node1(running)
    running.until(in_sync, "the routers follow")
    assert running.stop() == 0
    found = entries(running.site)
    assert {entry.kind for entry in found} == {"begin", "result"}
    for router in ("edge1", "edge2"):
        first, done, out, followed = (entry for entry in found if entry.router == router)
        assert first.who.startswith("k8s-ecmp run leaf-daemon@")
        assert {change["action"] for change in first.body["changes"]} == {"create"}
        assert first.body["commands"]
        assert first.body["cluster"]["source"].endswith("cluster.yaml")
        assert first.body["cluster"]["digest"] != out.body["cluster"]["digest"]
        assert (done.body["begin"], done.body["outcome"], done.run) == (first.id, "committed", first.run)
        assert any("node1" in reason for change in out.body["changes"] for reason in change["reasons"])
        assert (followed.body["begin"], followed.body["outcome"]) == (out.id, "committed")
    number = next(entry.id for entry in found if entry.kind == "begin" and entry.router == "edge2")
    shown = running.site.run("history", "show", str(number))
    assert "create 10.96.0.0/12 in VRF default" in shown.out
    assert "outcome: committed" in shown.out
    undone = running.site.run(
        "history", "undo", str(number), "--override", "empty-desired", "--override", "max-changes"
    )
    assert undone.code in (2, 3), undone.err


def unwritable(running: Running, words: str) -> None:
    """Node 1 leaves, and no router is told; everything that can say so does."""
    before = configs(running.site)
    lose_node1(running)
    running.until(lambda d: words in (d["journal_trouble"] or ""), "it says so")
    document = running.until(lambda d: set(routers(d).values()) == {"held"}, "everything is held")
    assert [hold["guard"] for hold in document["holds"]] == ["journal"]
    status, text = running.page("/readyz")
    assert (status, "journal" in text) == (503, True)
    assert "k8s_ecmp_journal_writable 0.0" in running.page("/metrics")[1]
    assert running.page("/livez")[0] == 200
    said = running.said("nothing is written to routers: the journal cannot be written")
    assert (said["level"], words in said["error"]) == ("error", True)
    assert configs(running.site) == before


def healed(running: Running, save: Callable[[], None] = lambda: None) -> None:
    before = configs(running.site)
    document = running.until(in_sync, "it goes on by itself")
    assert document["journal_trouble"] is None
    assert "k8s_ecmp_journal_writable 1.0" in running.page("/metrics")[1]
    assert configs(running.site) != before
    running.said("the journal can be written again")
    assert running.stop() == 0
    save()
    trouble = entries(running.site, "trouble")
    assert len(trouble) == 1
    assert trouble[0].body["since"] <= trouble[0].at


def test_a_journal_that_takes_nothing_stops_all_writing_until_it_does(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    spoilt(running.site, STOP_BEGIN)
    spoilt(running.site, STOP_BEGIN.replace("stop", "stop2").replace("'begin'", "'trouble'"))
    unwritable(running, "disk")
    spoilt(running.site, "DROP TRIGGER stop")
    spoilt(running.site, "DROP TRIGGER stop2")
    healed(running)


def test_a_journal_that_somebody_locks(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    other = sqlite3.connect(running.site.folder / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    unwritable(running, "locked")
    other.execute("ROLLBACK")
    other.close()
    healed(running)


def fill(path: Path) -> None:
    """Everything that the disk has left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


@pytest.mark.world
def test_a_full_disk(site: Site) -> None:
    folder = site.folder / "disk"
    folder.mkdir()
    site.settings(journal="disk/journal.sqlite")
    (site.folder / "journal.sqlite").symlink_to(folder / "journal.sqlite")
    with SmallDisk(folder) as disk:
        running = Running(site, disk.around)
        try:
            running.start()
            running.until(in_sync, "the routers are in sync")
            fill(disk.path("ballast"))
            unwritable(running, "full")
            disk.path("ballast").unlink()
            healed(running, disk.save)
        finally:
            running.kill()


def test_a_journal_that_was_removed_is_missed(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    (running.site.folder / "journal.sqlite").rename(running.site.folder / "taken-away.sqlite")
    lose_node1(running)
    said = running.said("nothing is written to routers: the journal cannot be written")
    assert "was moved or removed" in said["error"]
    running.until(in_sync, "it goes on in a new one")
    assert running.stop() == 0
    assert entries(running.site)[0].kind == "trouble"


def test_a_link_to_the_journal_that_leads_elsewhere_by_now(site: Site) -> None:
    link, one, other = (site.folder / name for name in ("link.sqlite", "one.sqlite", "journal.sqlite"))
    link.symlink_to(one)
    site.settings(journal="link.sqlite")
    running = Running(site)
    try:
        running.start()
        running.until(in_sync, "the routers are in sync")
        assert holder(one, "demo") is not None
        link.unlink()
        link.symlink_to(other)
        lose_node1(running)
        running.said("nothing is written to routers: the journal cannot be written")
        running.until(in_sync, "it goes on in the other one")
        assert holder(other, "demo") is not None
        assert holder(one, "demo") is None
        assert {entry.kind for entry in entries(site)} >= {"trouble", "begin"}
    finally:
        running.kill()


def test_a_daemon_that_died_in_a_change_is_seen_and_the_next_one_says_what_became_of_it(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    await_results(running.site)
    spoilt(running.site, STOP_RESULT)
    lose_node1(running)
    running.said("nothing is written to routers: the journal cannot be written")
    wait_for(lambda: len(entries(running.site, "begin")) >= 3, "a change was begun")
    assert "begun" in outcomes(running.site), "its process lives"
    running.kill()
    spoilt(running.site, "DROP TRIGGER stop")
    assert set(outcomes(running.site)) == {"committed", "died"}
    listed = running.site.run("history").out
    assert "ended without a word" in listed
    running.start()
    running.until(in_sync, "the routers are in sync")
    running.said("found out what became of a change whose process had died")
    wait_for(lambda: set(outcomes(running.site)) == {"committed"}, "what became of it is written down", timeout=60)
    assert "its process died; all of it is in force" in json.dumps(
        [entry.body["warnings"] for entry in entries(running.site, "result")]
    )


def test_apply_finds_out_too_and_resume_goes_on_from_there(running: Running) -> None:
    running.start()
    running.until(in_sync, "the routers are in sync")
    await_results(running.site)
    spoilt(running.site, STOP_RESULT)
    lose_node1(running)
    running.said("nothing is written to routers: the journal cannot be written")
    wait_for(lambda: len(entries(running.site, "begin")) >= 3, "a change was begun")
    running.kill()
    spoilt(running.site, "DROP TRIGGER stop")
    # The second router's worker may have died between its entry and its commit.
    begun = {entry.id: entry.router for entry in entries(running.site, "begin")[2:]}
    followed = {name for name, text in configs(running.site).items() if "10.96.0.0/12 10.192.0.1 " not in text}
    assert followed
    done = running.site.run("apply", "--yes")
    assert done.code == 0, done.err
    assert "the run that began entry" in done.err
    found = [(entry.body["begin"], entry.body["outcome"]) for entry in entries(running.site, "result")]
    assert {begun[number]: outcome for number, outcome in found if number in begun} == {
        router: "committed" if router in followed else "rolled-back" for router in begun.values()
    }
    assert "began entry" not in running.site.run("apply", "--yes").err


def test_apply_refuses_while_a_daemon_writes(running: Running) -> None:
    running.start("--identity", "leaf-daemon")
    running.until(in_sync, "the routers are in sync")
    line = next(line for line in configs(running.site)["edge1"].splitlines() if "tag 4201" in line)
    running.site.config("edge1").write_text(configs(running.site)["edge1"].replace(f"{line}\n", ""))
    before = configs(running.site)
    done = running.site.run("apply", "--yes")
    assert done.code == 1, done.out
    assert "k8s-ecmp run leaf-daemon@" in done.err
    assert "two of one owner never write at once" in done.err
    assert configs(running.site) == before
    running.stop()
    assert running.site.run("apply", "--yes").code == 0


def test_a_daemon_waits_for_an_apply_and_for_another_daemon(site: Site, tmp_path: Path) -> None:
    one, two = Running(site), Running(site)
    two.log = tmp_path / "log2"
    try:
        one.start("--identity", "one")
        one.until(in_sync, "the routers are in sync")
        two.start("--identity", "two")
        two.until(lambda d: "k8s-ecmp run one@" in (d["journal_trouble"] or ""), "the second one is held")
        lose_node1(one)
        one.until(in_sync, "the first one follows")
        assert two.page("/readyz")[0] == 503
        assert {entry.who.partition("@")[0] for entry in entries(site, "begin")} == {"k8s-ecmp run one"}
        one.stop()
        two.until(in_sync, "the second one takes over")
        rewrite(site, lambda: site.node("node1", lambda item: item["status"]["conditions"][1].update(status="True")))
        wait_for(lambda: entries(site, "begin")[-1].who.startswith("k8s-ecmp run two@"), "the second one writes")
    finally:
        one.kill()
        two.kill()


def test_a_mode_that_never_writes_needs_no_journal_and_stops_nobody(running: Running) -> None:
    running.site.settings(mode="observe")
    running.start()
    running.until(lambda d: d["ready"] and set(routers(d).values()) == {"held"}, "the mode holds them")
    assert not (running.site.folder / "journal.sqlite").exists()
    running.site.settings(mode="full")
    assert running.site.run("apply", "--yes").code == 0

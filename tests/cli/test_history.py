"""The journal from the command line: what apply writes down, what stops it, and the way back."""

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from k8s_ecmp.journal import Author, Entry, Journal
from k8s_ecmp.journal.only_writer import holder
from tests.site import COMMAND, Site
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

BOTH = ("edge1", "edge2")


def configs(site: Site) -> dict[str, str]:
    return {name: site.config(name).read_text() for name in BOTH}


def entries(site: Site) -> list[dict[str, object]]:
    done = site.run_here("history", "--format", "json")
    assert done.code == 0, done.err
    found: list[dict[str, object]] = done.json()["entries"]
    return found


def test_apply_writes_down_what_it_does_and_history_shows_it(site: Site) -> None:
    applied = site.run_here("apply", "--yes", "--ticket", "CHG-17", "--reason", "first routes")
    assert applied.code == 0, applied.err
    found = entries(site)
    assert [(row["router"], row["outcome"], row["ticket"]) for row in found] == [
        ("edge1", "committed", "CHG-17"),
        ("edge2", "committed", "CHG-17"),
    ]
    text = site.run_here("history").out
    assert "CHG-17" in text
    assert "first routes" in text
    shown = site.run_here("history", "show", str(found[0]["id"]))
    assert shown.code == 0
    assert "create 10.96.0.0/12 in VRF default" in shown.out
    assert "+ 10.192.0.1, 10.192.0.2, 10.192.0.3" in shown.out
    assert "ip route 10.96.0.0/12" in shown.out
    assert "outcome: committed" in shown.out
    assert "edge2" not in shown.out.replace("edge2 changes", ""), "but in the plan of both"
    assert site.run_here("apply", "--yes").code == 0
    assert len(entries(site)) == 2, "nothing to change leaves no entry"
    checked = site.run_here("history", "check")
    assert (checked.code, "is whole" in checked.out) == (0, True)


def test_a_password_in_a_reason_is_not_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_ECMP_PASSWORD", "Wander-Falke9")
    assert site.run_here("apply", "--yes", "--reason", "pw Wander-Falke9").code == 0
    shown = site.run_here("history").out
    assert "pw ***" in shown
    assert "Falke" not in shown + site.run_here("history", "show", "1").out


def test_a_reviewed_file_and_an_override_stand_there_too(site: Site) -> None:
    path = str(site.folder / "today.plan")
    site.run_here("plan", "--out", path)
    identity = json.loads(Path(path).read_text())["id"]
    assert site.run_here("apply", path).code == 0
    site.not_ready("node2")
    done = site.run_here("apply", "--yes", "--override", "mass-withdrawal", "--override", "panic")
    assert done.code == 0, done.out + done.err
    shown = site.run_here("history", "show", "2").out
    assert "review" in shown
    assert identity in shown
    assert path in shown
    last = entries(site)[-1]["id"]
    assert "guards: mass-withdrawal; panic" in site.run_here("history", "show", str(last)).out


def test_undo_plans_the_way_back_and_apply_goes_it(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    full = configs(site)
    site.not_ready("node2")
    assert site.run_here("apply", "--yes", "--override", "mass-withdrawal").code == 0
    without = configs(site)
    assert without != full
    number = next(row["id"] for row in entries(site)[2:] if row["router"] == "edge1")
    path = str(site.folder / "back.plan")
    planned = site.run_here("history", "undo", str(number), "--out", path)
    assert planned.code == 2, planned.out + planned.err
    assert f"takes back entry {number}" in planned.out
    assert configs(site) == without, "undo wrote to a router"
    assert site.run_here("apply", path, "--reason", "too early").code == 0
    assert sorted(site.config("edge1").read_text().splitlines()) == sorted(full["edge1"].splitlines())
    assert site.config("edge2").read_text() == without["edge2"]
    assert site.run_here("history", "undo", str(number)).code == 0, "there is nothing left to take back"


HOPS = "10.96.0.0/12 10.192.0."


def attributed(site: Site, **data: object) -> None:
    """The inventory's words for edge1 alone."""
    options = {"syntax": "frr", "path": str(site.config("edge1"))}
    optional = {"connection_options": {"napalm": {"extras": {"optional_args": options}}}}
    site.hosts(edge1={"platform": "file", **optional, "data": {"k8s_ecmp": data}})


def typed(site: Site, change: Callable[[str], str]) -> None:
    site.config("edge1").write_text(change(site.config("edge1").read_text()))


@pytest.mark.parametrize(
    ("typing", "data"),
    [
        (None, {"bfd": True}),
        (None, {"distance": 77}),
        (lambda text: text.replace(f"{HOPS}1 tag 4201", f"{HOPS}1 tag 4201 10"), {}),
        (lambda text: text.replace(f"{HOPS}3 tag 4201", f"{HOPS}3 tag 4201 200"), {}),
        (lambda text: text.replace(f"{HOPS}3 tag", f"{HOPS}9 eth0 tag"), {}),
        (lambda text: text.replace(f"{HOPS}3 tag 4201", f"{HOPS}3 tag 4201 bfd"), {}),
    ],
    ids=["bfd", "distance", "primary", "backup", "interface", "one"],
)
def test_undo_brings_back_everything_that_was_written_on_a_hop(
    site: Site, typing: Callable[[str], str] | None, data: dict[str, object]
) -> None:
    """Whatever the inventory asks for by then; in the cases with a typing the apply made plain ECMP of our own route."""
    attributed(site)
    assert site.run_here("apply", "--yes").code == 0
    if typing is not None:
        typed(site, typing)
    before = site.config("edge1").read_text()
    attributed(site, **data)
    applied = site.run_here("apply", "--yes", "--override", "mass-withdrawal")
    assert applied.code == 0, applied.out + applied.err
    after = site.config("edge1").read_text()
    assert after != before
    number, path = str(entries(site)[-1]["id"]), str(site.folder / "back.plan")
    planned = site.run_here("history", "undo", number, "--out", path, "--override", "mass-withdrawal")
    assert planned.code == 2, planned.out + planned.err
    done = site.run_here("apply", path, "--override", "mass-withdrawal")
    assert done.code == 0, done.out + done.err
    assert sorted(site.config("edge1").read_text().splitlines()) == sorted(before.splitlines())
    again = site.run_here("history", "undo", number)
    assert again.code == 0
    assert "it is as it was before the change already" in again.out


def test_an_attribute_that_changed_alone_is_shown(site: Site) -> None:
    attributed(site)
    assert site.run_here("apply", "--yes").code == 0
    attributed(site, distance=77)
    assert site.run_here("apply", "--yes").code == 0
    shown = " ".join(site.run_here("history", "show", str(entries(site)[-1]["id"])).out.split())
    assert "- 10.192.0.1 tag 4201, 10.192.0.2 tag 4201" in shown
    assert "+ 10.192.0.1 distance 77 tag 4201, 10.192.0.2 distance 77 tag 4201" in shown


def test_undo_leaves_alone_what_was_changed_since(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    number = str(entries(site)[0]["id"])
    text = site.config("edge1").read_text()
    lines = [line for line in text.splitlines() if "10.97.10.1/32 10.192.0.2" not in line]
    site.config("edge1").write_text("\n".join(lines) + "\n")
    done = site.run_here("history", "undo", number, "--override", "empty-desired", "--override", "mass-withdrawal")
    assert done.code == 2, done.out + done.err
    assert "10.97.10.1/32: it was changed since; it is left alone" in done.out
    assert "delete  10.97.10.1/32" not in done.out


def test_a_stale_way_back_is_planned_anew_from_the_journal(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    number = next(row["id"] for row in entries(site) if row["router"] == "edge1")
    path = str(site.folder / "back.plan")
    overrides = ("--override", "empty-desired", "--override", "mass-withdrawal")
    assert site.run_here("history", "undo", str(number), "--out", path, *overrides).code == 2
    text = site.config("edge1").read_text()
    site.config("edge1").write_text(text.replace("10.97.10.1/32 10.192.0.2 tag", "10.97.10.1/32 10.192.0.9 tag"))
    before = configs(site)
    refused = site.run_here("apply", path)
    assert refused.code == 3
    assert f"`k8s-ecmp history undo {number} --out NEW.plan`" in refused.err
    rebased = site.run_here("apply", path, "--rebase")
    assert rebased.code == 3, "a plan of the cluster is no new version of it"
    assert f"takes back entry {number}" in rebased.err
    assert configs(site) == before


def test_the_plan_file_and_its_refusal_stand_there(site: Site) -> None:
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path).code == 2
    with Journal(site.folder / "journal.sqlite") as journal:
        (made,) = journal.entries()
    assert (made.kind, made.body["file"], made.body["routers"]["edge1"]) == ("plan", path, "changes")
    assert entries(site) == [], "nothing was done to a router"
    text = site.config("edge1").read_text()
    site.config("edge1").write_text(text.replace("ip route 172", "ip route 10.96.0.0/12 192.0.2.77\nip route 172", 1))
    assert site.run_here("apply", path, "--ticket", "CHG-18").code == 3
    (refused,) = entries(site)
    assert (refused["router"], refused["outcome"], refused["ticket"]) == ("-", "refused", "CHG-18")
    assert "10.96.0.0/12" in str(refused["error"])
    shown = site.run_here("history", "show", str(refused["id"])).out
    assert f"file: {path}" in " ".join(shown.split())
    site.config("edge1").write_text(text)
    assert site.run_here("apply", path).code == 0
    done = next(row["id"] for row in entries(site) if row["router"] == "edge1")
    first = site.run_here("history", "show", str(done), "--format", "json").json()["entries"][0]
    assert (first["id"], first["kind"]) == (made.id, "plan"), "who made the plan is shown with what was done by it"


HOLDS: dict[str, tuple[dict[str, object], str]] = {
    "freeze": ({"guards": {"freeze_file": "cluster.yaml"}}, "held by frozen"),
    "max-changes": ({"guards": {"max_changes": 1}}, "held by max-changes"),
    "mode": ({"mode": "observe"}, "mode"),
}


@pytest.mark.parametrize("reviewed", [False, True])
@pytest.mark.parametrize("hold", HOLDS)
def test_what_is_held_as_a_whole_stands_there_with_the_guards(site: Site, hold: str, *, reviewed: bool) -> None:
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path).code == 2
    changed, said = HOLDS[hold]
    site.settings(**changed)
    done = site.run_here("apply", *([path] if reviewed else ["--yes"]), "--ticket", "CHG-19", "--reason", "nightly")
    assert done.code == 3
    (row,) = entries(site)
    assert (row["router"], row["outcome"], row["changes"]) == ("-", "refused", 0)
    assert (row["ticket"], row["reason"]) == ("CHG-19", "nightly")
    assert said in str(row["error"])
    found = site.run_here("history", "show", str(row["id"])).out
    assert ("review" in found) == reviewed
    if hold != "mode":
        assert f"    {hold.replace('freeze', 'frozen')} on all routers: " in found
        assert "; `k8s-ecmp history show ID` shows an entry" in done.out
    assert site.run_here("history", "check").code == 0


def test_an_override_beside_a_guard_that_holds_stands_there(site: Site) -> None:
    site.settings(guards={"freeze_file": "cluster.yaml", "max_changes": 1})
    assert site.run_here("apply", "--yes", "--override", "frozen").code == 3
    (row,) = entries(site)
    assert (row["outcome"], row["error"]) == ("refused", "held by max-changes; nothing was written")
    with Journal(site.folder / "journal.sqlite") as journal:
        made, override, result = journal.entries()
    assert override.body["guards"] == ["frozen"]
    assert made.body["plan"] == override.body["plan"] == result.body["plan"]
    assert [trip["guard"] for trip in made.body["guards"]] == ["max-changes"]


@pytest.mark.parametrize("changed", [{}, {"mode": "observe"}])
def test_nothing_to_do_and_a_mere_plan_leave_no_entry(site: Site, changed: dict[str, object]) -> None:
    assert site.run_here("apply", "--yes").code == 0
    before = len(entries(site))
    site.settings(**changed)
    site.run_here("apply", "--yes")
    site.not_ready("node2", "node3")
    assert site.run_here("plan").code == 3
    assert len(entries(site)) == before


def test_a_hold_that_cannot_be_written_down_is_said_and_changes_nothing(site: Site) -> None:
    site.settings(journal=str(site.folder / "cluster.yaml" / "journal.sqlite"), guards={"max_changes": 1})
    done = site.run_here("apply", "--yes")
    assert done.code == 3
    assert "this is not in the journal" in done.err


@pytest.mark.parametrize("way", ["rebased", "undo"])
def test_every_way_to_make_a_plan_file_stands_there(site: Site, way: str) -> None:
    path, new = str(site.folder / "old.plan"), str(site.folder / "new.plan")
    assert site.run_here("plan", "--out", path).code == 2
    if way == "rebased":
        assert site.run_here("apply", path, "--rebase", "--out", new).code == 0
    else:
        assert site.run_here("apply", path).code == 0
        number = str(next(row["id"] for row in entries(site) if row["router"] == "edge1"))
        assert site.run_here("history", "undo", number, "--out", new).code == 3
    with Journal(site.folder / "journal.sqlite") as journal:
        assert [made.body["file"] for made in journal.entries(kinds=("plan",))] == [path, new]


def test_a_plan_is_made_without_a_journal_too(site: Site) -> None:
    site.settings(journal=str(site.folder / "cluster.yaml" / "journal.sqlite"))
    done = site.run_here("plan", "--out", str(site.folder / "today.plan"))
    assert done.code == 2, done.err
    assert "this is not in the journal" in done.err


def test_undo_keeps_to_the_guards(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    done = site.run_here("history", "undo", str(entries(site)[0]["id"]))
    assert done.code == 3
    assert "empty-desired" in done.out


def test_without_its_journal_nothing_is_written(site: Site) -> None:
    before = configs(site)
    (site.folder / "journal.sqlite").write_bytes(b"no database at all, but somebody's notes" * 10)
    done = site.run_here("apply", "--yes")
    assert done.code == 1
    assert "journal.sqlite" in done.err
    assert "nothing is written to routers" in done.err
    assert configs(site) == before


def test_a_journal_that_fills_up_stops_before_the_router(site: Site) -> None:
    """The plan still fits, the changes do not: a journal of the same size as now may not grow."""
    assert site.run_here("apply", "--yes").code == 0
    site.not_ready("node2")
    before = configs(site)
    path = site.folder / "journal.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entry WHEN NEW.kind = 'begin' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    done = site.run_here("apply", "--yes", "--override", "mass-withdrawal")
    assert done.code == 1
    assert "disk is full" in done.out
    assert configs(site) == before


def test_two_of_one_owner_never_write_at_once(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    site.not_ready("node2")
    before = configs(site)
    with (site.folder / "journal.sqlite.demo.lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = site.run_here("apply", "--yes", "--override", "mass-withdrawal")
    assert done.code == 1
    assert "is writing to routers for owner demo; two of one owner never write at once" in done.err
    assert configs(site) == before


def test_what_died_is_shown_and_resume_writes_what_became_of_it(site: Site) -> None:
    path = str(site.folder / "today.plan")
    journal = site.folder / "journal.sqlite"
    site.run_here("plan", "--out", path)
    Journal(journal).close()
    with sqlite3.connect(journal) as connection:
        connection.execute(
            "CREATE TRIGGER stop BEFORE INSERT ON entry WHEN NEW.kind = 'result' BEGIN SELECT RAISE(ABORT, 'killed'); END"
        )
    assert site.run_here("apply", path, "--router", "edge1").code == 1
    assert [(row["router"], row["outcome"]) for row in entries(site)] == [("edge1", "died")]
    text = site.run_here("history").out
    assert "1 ended without a word: `k8s-ecmp apply` looks what became of it" in " ".join(text.split())
    with sqlite3.connect(journal) as connection:
        connection.execute("DROP TRIGGER stop")
    done = site.run_here("apply", path, "--resume")
    assert done.code == 0, done.err
    assert "edge1: left out" in done.err
    assert "all of its change is in force" in done.err
    assert [(row["router"], row["outcome"]) for row in entries(site)] == [
        ("edge1", "committed"),
        ("edge2", "committed"),
    ]
    assert site.run_here("history", "check").code == 0


@pytest.mark.parametrize(
    ("spoil", "outcome", "said"),
    [
        (lambda text, old: old, "rolled-back", "nothing of it is in force"),
        (
            lambda text, old: text.replace("10.96.0.0/12 10.192.0.2", "10.96.0.0/12 10.192.0.99"),
            "failed",
            "1 as neither",
        ),
    ],
)
def test_what_is_not_in_force_any_more_is_said_too(
    site: Site, spoil: Callable[[str, str], str], outcome: str, said: str
) -> None:
    old = site.config("edge1").read_text()
    Journal(site.folder / "journal.sqlite").close()
    with sqlite3.connect(site.folder / "journal.sqlite") as connection:
        connection.execute(
            "CREATE TRIGGER stop BEFORE INSERT ON entry WHEN NEW.kind = 'result' BEGIN SELECT RAISE(ABORT, 'killed'); END"
        )
    assert site.run_here("apply", "--yes", "--router", "edge1").code == 1
    with sqlite3.connect(site.folder / "journal.sqlite") as connection:
        connection.execute("DROP TRIGGER stop")
    site.config("edge1").write_text(spoil(site.config("edge1").read_text(), old))
    done = site.run_here("apply", "--yes")
    assert said in done.err, done.err
    assert entries(site)[0]["outcome"] == outcome


def test_an_apply_refuses_while_another_one_is_at_work(site: Site) -> None:
    """The first one pauses behind its canary."""
    command = [*COMMAND, "--config", str(site.folder / "k8s-ecmp.yaml"), "apply", "--yes", "--pause", "600"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        journal = site.folder / "journal.sqlite"
        wait_for(lambda: holder(journal, "demo"), "the first one writes")
        wait_for(lambda: "committed" in {row["outcome"] for row in entries(site)}, "its canary is done")
        before = configs(site)
        second = site.run_here("apply", "--yes")
        assert second.code == 1
        assert f"process {first.pid} is writing to routers for owner demo" in second.err
        assert configs(site) == before
        first.send_signal(signal.SIGINT)
        assert first.wait(120) == 1
        assert site.run_here("apply", "--yes").code == 0
    finally:
        first.kill()
        first.wait()


def test_a_broken_chain_is_said(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    with sqlite3.connect(site.folder / "journal.sqlite") as connection:
        connection.execute("DROP TRIGGER entry_stays")
        connection.execute("UPDATE entry SET ticket = 'CHG-18' WHERE id = 2")
    done = site.run_here("history", "check")
    assert done.code == 1
    assert "entry 2 was changed" in done.out


@pytest.mark.parametrize("body", [None, "{}", "no JSON"])
def test_a_changed_entry_is_shown_as_such_and_never_undone(site: Site, body: str | None) -> None:
    """None: its prefixes are others, as in an edit that is meant to be believed."""
    assert site.run_here("apply", "--yes").code == 0
    number = next(row["id"] for row in entries(site) if row["router"] == "edge1")
    with sqlite3.connect(site.folder / "journal.sqlite") as connection:
        connection.execute("DROP TRIGGER entry_stays")
        (text,) = connection.execute("SELECT body FROM entry WHERE id = ?", (number,)).fetchone()
        new = text.replace("10.97.10.1/32", "10.97.10.77/32") if body is None else body
        connection.execute("UPDATE entry SET body = ? WHERE id = ?", (new, number))
    back = site.folder / "back.plan"
    done = site.run_here("history", "undo", str(number), "--out", str(back), "--override", "empty-desired")
    assert (done.code, back.exists()) == (1, False)
    assert f"entry {number} was changed; no way back is planned from it" in done.err
    assert "`k8s-ecmp history check`" in done.err
    shown = site.run_here("history", "show", str(number))
    assert (shown.code, shown.out.count("not as it was written")) == (0, 1)
    assert f"not as it was written: entry {number} was changed" in shown.out
    document = site.run_here("history", "show", str(number), "--format", "json").json()
    assert {one["id"]: one["spoiled"] for one in document["entries"] if one["spoiled"]} == {
        number: f"entry {number} was changed"
    }
    assert "edge1" in site.run_here("history").out


def damaged(site: Site, number: int, body: str) -> None:
    with sqlite3.connect(site.folder / "journal.sqlite") as connection:
        connection.execute("DROP TRIGGER entry_stays")
        connection.execute("UPDATE entry SET body = CAST(? AS TEXT) WHERE id = ?", (body.encode("latin-1"), number))


DAMAGE = ["no JSON", "not \xfctf-8", "{}", "[1]", '{"begin":[1]}', '{"begin":2,"outcome":"rolled-back"}']


@pytest.mark.parametrize("body", DAMAGE)
def test_no_way_back_is_planned_past_a_later_entry_that_is_damaged(site: Site, body: str) -> None:
    """It may be the one that says that the change was taken back."""
    assert site.run_here("apply", "--yes").code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        begun, result = (entry.id for entry in journal.entries(router="edge1"))
        whole = journal.entries(router="edge2")[0].id
    damaged(site, result, body)
    back = site.folder / "back.plan"
    done = site.run_here("history", "undo", str(begun), "--out", str(back), *WITHDRAWING)
    assert (done.code, done.out, back.exists()) == (1, "", False)
    assert f"entry {result} of the journal is not as it was written" in done.err
    assert "`k8s-ecmp history check`" in done.err
    assert site.run_here("history", "undo", str(whole), *WITHDRAWING).code == 2, "of a router whose entries are whole"


@pytest.mark.parametrize(("router", "code"), [("edge1", 1), ("edge2", 2)])
def test_a_run_is_taken_back_past_a_damaged_entry_of_a_router_that_it_did_not_change(
    site: Site, router: str, code: int
) -> None:
    assert site.run_here("apply", "--yes", "--router", "edge1").code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        number = journal.write(Author("demo", "me", "another"), "result", {"begin": None}, router)
    damaged(site, number, "no JSON")
    done = site.run_here("history", "undo", "1", *WITHDRAWING)
    assert (done.code, f"entry {number} of the journal is not" in done.err) == (code, code == 1)


@pytest.mark.parametrize("kind", ["begin", "result"])
@pytest.mark.parametrize("body", DAMAGE[:-1])
def test_apply_names_the_damaged_entry_that_hides_what_became_of_a_change(site: Site, kind: str, body: str) -> None:
    """Of a change whose process died the change itself, and of one that was done what became of it."""
    assert site.run_here("apply", "--yes").code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        begun, result = journal.entries(router="edge1")
        number = begun.id if kind == "begin" else result.id
        if kind == "begin":
            number = journal.write(Author("demo", "me", "died"), "begin", begun.body, "edge1")
    damaged(site, number, body)
    site.not_ready("node2")
    before = configs(site)
    done = site.run_here("apply", "--yes", "--override", "mass-withdrawal")
    assert done.code == 1
    assert done.err == (
        f"error: entry {number} of the journal is not as it was written, so that nothing can be decided by it "
        "(`k8s-ecmp history check` names every broken place; docs/guides/journal.md says how to go on)\n"
    )
    assert configs(site) == before


def test_apply_goes_on_beside_a_damaged_entry_that_hides_nothing(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    damaged(site, 2, "no JSON")  # a change, the result of which is whole
    site.not_ready("node2")
    assert site.run_here("apply", "--yes", "--override", "mass-withdrawal").code == 0


def test_a_damaged_review_does_not_hide_that_a_plan_was_taken_back(site: Site) -> None:
    path, back = str(site.folder / "today.plan"), str(site.folder / "back.plan")
    site.run_here("plan", "--out", path)
    assert site.run_here("apply", path).code == 0
    number = str(next(row["id"] for row in entries(site) if row["router"] == "edge1"))
    site.run_here("history", "undo", number, "--out", back, *WITHDRAWING)
    assert site.run_here("apply", back).code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        review = journal.entries(kinds=("review",))[-1].id
    before = configs(site)
    damaged(site, review, '{"cluster":4}')
    done = site.run_here("apply", path, "--router", "edge1")
    assert (done.code, f"entry {review} of the journal is not as it was written" in done.err) == (1, True), done.err
    assert configs(site) == before


def test_an_entry_is_shown_in_lines_not_in_what_it_is_stored_as(site: Site) -> None:
    site.not_ready("node2", "node3")
    assert site.run_here("plan", "--out", str(site.folder / "held.plan")).code == 3
    shown = site.run_here("history", "show", "1").out
    assert "    panic on all routers: " in shown
    assert "none" not in shown
    assert "{" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["history"], "there is no journal"),
        (["history", "show", "7"], "there is no journal"),
    ],
)
def test_before_the_first_apply_there_is_none(site: Site, arguments: list[str], message: str) -> None:
    done = site.run_here(*arguments)
    assert done.code == 1
    assert message in done.err


@pytest.mark.parametrize("number", ["99999999999999999999", "-99999999999999999999", "0"])
def test_a_number_that_no_entry_can_have(site: Site, number: str) -> None:
    assert site.run_here("apply", "--yes").code == 0
    for command in ("show", "undo"):
        done = site.run_here("history", command, "--", number)
        assert (done.code, done.out) == (1, "")
        assert done.err == f"error: the journal has no entry {number} (`k8s-ecmp history` lists them)\n"
    assert site.run_here("history", "--last", "99999999999999999999").code == 0


@pytest.mark.parametrize("arguments", [("apply", "--yes", "--reason"), ("history", "--router"), ("plan", "--out")])
def test_an_argument_that_is_not_utf_8(site: Site, arguments: tuple[str, ...]) -> None:
    before = configs(site)
    done = site.run(*arguments, os.fsdecode(b"/n\xf6/M\xfcller"))
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: the argument '/n\\xf6/M\\xfcller' is not in UTF-8\ntry: k8s-ecmp --help\n"
    assert configs(site) == before
    assert not (site.folder / "journal.sqlite").exists()


def test_the_commands_that_read_wait_for_nobody_who_writes(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    other = sqlite3.connect(site.folder / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for words in ([], ["show", "1"], ["check"], ["undo", "1"]):
        began = time.monotonic()
        assert site.run_here("history", *words).code == (3 if words == ["undo", "1"] else 0)
        assert time.monotonic() - began < 5, "SQLite was waited for"
    other.execute("ROLLBACK")
    other.close()


def test_a_journal_whose_first_file_was_removed_is_shown(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    shown = site.run_here("history").out
    (site.folder / "journal.sqlite").rename(site.folder / "journal.2.sqlite")
    assert site.run_here("history").out == shown


def test_what_is_no_change_cannot_be_undone(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        result = journal.entries(kinds=("result",))[0].id
    assert "no change of a router" in site.run_here("history", "undo", str(result)).err
    assert "no entry 99" in site.run_here("history", "undo", "99").err


def test_what_was_taken_back_is_known_whatever_the_clock_did_meanwhile(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author("demo", "me", "run")
    with Journal(site.folder / "journal.sqlite") as journal:
        begun = journal.write(author, "begin", {"plan": None, "changes": [], "commands": []}, "edge1")
        clock = Mock(now=lambda zone: datetime.now(zone) - timedelta(hours=1))
        monkeypatch.setattr("k8s_ecmp.journal.files.datetime", clock)
        journal.write(author, "result", {"plan": None, "begin": begun, "outcome": "rolled-back"}, "edge1")
    assert "no change of a router that was not taken back" in site.run_here("history", "undo", str(begun)).err


WITHDRAWING = ("--override", "empty-desired", "--override", "mass-withdrawal")


def applied_and_undone(site: Site, number: Callable[[list[Entry]], int]) -> tuple[str, str]:
    """A plan file that was applied, and the way back from an entry of that, which was applied, too."""
    path, back = str(site.folder / "today.plan"), str(site.folder / "back.plan")
    assert site.run_here("plan", "--out", path).code == 2
    assert site.run_here("apply", path).code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        told = journal.entries()
    assert site.run_here("history", "undo", str(number(told)), "--out", back, *WITHDRAWING).code == 2
    assert site.run_here("apply", back).code == 0
    return path, back


def review(told: list[Entry]) -> int:
    return next(entry.id for entry in told if entry.kind == "review")


def change_of_edge1(told: list[Entry]) -> int:
    return next(entry.id for entry in told if entry.kind == "begin" and entry.router == "edge1")


@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_a_plan_that_was_taken_back_is_not_applied_again(site: Site, options: tuple[str, ...]) -> None:
    before = configs(site)
    path, back = applied_and_undone(site, review)
    assert configs(site) == before
    done = site.run_here("apply", path, *options)
    assert done.code == 3, done.out + done.err
    with Journal(site.folder / "journal.sqlite") as journal:
        ends = [e.id for e in journal.entries(kinds=("result",)) if e.router == "edge1"]
        *_, reviewed, refused = journal.entries()
    assert f"was committed and taken back: edge1 (entries {ends[0]} and {ends[1]}), edge2 (" in done.err
    assert f"`k8s-ecmp apply {path} --rebase --out NEW.plan`" in done.err
    assert (reviewed.kind, refused.kind, refused.body["outcome"]) == ("review", "result", "refused")
    assert configs(site) == before
    assert site.run_here("apply", path, "--rebase").code == 0
    assert site.run_here("apply", back, *options).code == (0 if options else 3), "all of it is done, or it is stale"
    assert site.run_here("apply", "--yes").code == 0, "a plan of its own"


def test_where_one_router_was_taken_back_the_others_go_their_way(site: Site) -> None:
    path, _ = applied_and_undone(site, change_of_edge1)
    before = configs(site)
    done = site.run_here("apply", path, "--resume")
    assert (done.code, "edge2: left out: entry" in done.err, "edge1 (entries " in done.err) == (3, True, True)
    assert "edge2 (entries " not in done.err
    assert configs(site) == before
    assert site.run_here("apply", path, "--resume", "--router", "edge2").code == 0


def test_a_way_back_that_was_taken_back_is_not_gone_again(site: Site) -> None:
    _, back = applied_and_undone(site, review)
    forth = str(site.folder / "forth.plan")
    with Journal(site.folder / "journal.sqlite") as journal:
        number = [entry.id for entry in journal.entries(kinds=("review",))][-1]
    assert site.run_here("history", "undo", str(number), "--out", forth).code == 2
    assert site.run_here("apply", forth).code == 0
    done = site.run_here("apply", back, *WITHDRAWING)
    assert (done.code, "was committed and taken back" in done.err, "`k8s-ecmp history undo " in done.err) == (
        3,
        True,
        True,
    )


def test_a_plan_that_is_made_anew_after_the_way_back_is_applied(site: Site) -> None:
    """Also within the second in which the first one was made: then they have one id."""
    path, _ = applied_and_undone(site, review)
    with Journal(site.folder / "journal.sqlite") as journal:
        made = journal.entries(kinds=("plan",))[0]
        journal.write(Author("demo", "me", "run"), "plan", made.body)
    assert site.run_here("apply", path).code == 0


def test_a_whole_run_is_taken_back_by_one_plan(site: Site) -> None:
    before = configs(site)
    assert site.run_here("apply", "--yes").code == 0
    path = str(site.folder / "back.plan")
    planned = site.run_here("history", "undo", "1", "--out", path, *WITHDRAWING)
    assert planned.code == 2, planned.out + planned.err
    changed = [row["id"] for row in entries(site)]
    assert all(f"takes back entry {number} of" in planned.out for number in changed)
    assert site.run_here("apply", path, "--reason", "all of it").code == 0
    assert {name: sorted(text.splitlines()) for name, text in configs(site).items()} == {
        name: sorted(text.splitlines()) for name, text in before.items()
    }
    assert site.run_here("history", "undo", "1").code == 0, "there is nothing left to take back"


@pytest.mark.parametrize("itself", [True, False])
def test_of_a_run_only_what_is_in_force_is_taken_back(site: Site, itself: bool) -> None:
    """The run took edge2's change back, or another run found out that it was; and edge1 is no more in the inventory."""
    assert site.run_here("apply", "--yes").code == 0
    with Journal(site.folder / "journal.sqlite") as journal:
        (number,) = [entry.id for entry in journal.entries(kinds=["begin"], router="edge2")]
        author = Author("demo", "me", journal.entry(1).run if itself else "another")
        if itself:
            back = {"takes_back": number, "changes": [], "commands": [], "plan": None}
            number = journal.write(author, "begin", back, "edge2")
        journal.write(author, "result", {"outcome": "rolled-back", "begin": number, "error": None}, "edge2")
    done = site.run_here("history", "undo", "1", *WITHDRAWING)
    assert done.code == 2, done.out + done.err
    assert "edge1" in done.out
    assert "edge2" not in done.out
    gone = site.run_here("history", "undo", str(number), *WITHDRAWING)
    assert gone.code == 1
    assert f"entry {number} is no change of a router that was not taken back" in gone.err
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts.pop("edge1"))
    assert "no router edge1 in the inventory" in site.run_here("history", "undo", "1").err


def test_a_router_that_is_gone_does_not_hold_up_the_others(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts.pop("edge1"))
    done = site.run_here("history", "undo", "1", *WITHDRAWING)
    assert done.code == 2, done.out + done.err
    assert "router edge1: the inventory does not have it; its change is left alone" in done.out


def test_of_a_run_with_a_changed_entry_nothing_is_planned(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    with sqlite3.connect(site.folder / "journal.sqlite") as connection:
        connection.execute("DROP TRIGGER entry_stays")
        (number,) = connection.execute("SELECT max(id) FROM entry WHERE kind = 'begin'").fetchone()
        connection.execute("UPDATE entry SET kind = 'trouble' WHERE id = ?", (number,))
    done = site.run_here("history", "undo", "1", *WITHDRAWING)
    assert done.code == 1
    assert f"entry {number} was changed; no way back" in done.err


def test_a_run_that_changed_nothing_has_no_way_back(site: Site) -> None:
    assert site.run_here("plan", "--out", str(site.folder / "today.plan")).code == 2
    assert "the run of entry 1 has no change of a router" in site.run_here("history", "undo", "1").err


def test_a_way_back_that_is_too_large_is_held(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    site.settings(guards={"max_changes": 2})
    done = site.run_here("history", "undo", "1", *WITHDRAWING)
    assert done.code == 3
    assert "more than the 2 of guards.max_changes" in done.out

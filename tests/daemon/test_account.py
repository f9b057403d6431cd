"""The daemon's journal thread: what it writes, how much of it stays, and what it does when the disk does not answer."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.daemon.account import Account
from k8s_ecmp.daemon.authority import Sole
from k8s_ecmp.errors import JournalError
from k8s_ecmp.journal import Author, Begun, Journal
from k8s_ecmp.model import CommitResult, NextHop, RouteChange
from k8s_ecmp.settings import DaemonSettings, Settings
from tests.core.build import p
from tests.world.netns import wait_for

CHANGE = RouteChange("create", "default", p("10.96.0.10/32"), (), (NextHop("10.0.0.1", tag=4201),), ("n1 is eligible",))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a journal whose disk may be slow: that is for the test of one that hangs."""
    monkeypatch.setattr("k8s_ecmp.daemon.account._PATIENCE_S", 60.0)
    return tmp_path / "journal.sqlite"


def new(path: Path, on_change: Callable[[], None] = lambda: None, **daemon: int) -> Account:
    settings = Settings(owner="prod", tag=4201, inventory="", journal=str(path), daemon=DaemonSettings(**daemon))  # type: ignore[arg-type]
    account = Account(settings, Sole("d1"), "d1", lambda: "https://api", None, on_change)
    account.start()
    return account


def commit(account: Account) -> None:
    begin = account.begin("r1", (CHANGE,), ("ip route 10.96.0.10/32 10.0.0.1 tag 4201",), ())
    begin.wait()
    account.end(begin, CommitResult("r1", "committed", 1, 0.01))


def test_what_waits_when_it_stops_is_written(path: Path) -> None:
    account = new(path)
    for _ in range(20):
        commit(account)
    account.stop(60)
    with Journal(path) as journal:
        assert sorted(entry.kind for entry in journal.entries()) == ["begin"] * 20 + ["result"] * 20
        assert journal.unfinished("prod") == []


@pytest.mark.slow
def test_what_a_busy_daemon_writes_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s_ecmp.journal.files._FILE_BYTES", 64 * 1024)
    monkeypatch.setattr("k8s_ecmp.daemon.account._PRUNE_S", 0)
    account = new(path, journal_files=2)
    for _ in range(300):
        commit(account)
    account.stop(60)
    files = sorted(path.parent.glob("*.sqlite"))
    assert len(files) == 2
    assert sum(file.stat().st_size for file in files) < 2 * 96 * 1024
    with Journal(path) as journal:
        assert list(journal.check()) == []
        assert journal.first > 1
        assert journal.entries(kinds=["pruned"])[-1].body["last"] == journal.first - 1


@pytest.mark.slow
def test_without_a_limit_every_file_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s_ecmp.journal.files._FILE_BYTES", 64 * 1024)
    monkeypatch.setattr("k8s_ecmp.daemon.account._PRUNE_S", 0)
    settings = Settings(
        owner="prod", tag=4201, inventory="", journal=str(path), daemon=DaemonSettings(journal_files=None)
    )
    account = Account(settings, Sole("d1"), "d1", lambda: "https://api", None, lambda: None)
    account.start()
    for _ in range(150):
        commit(account)
    account.stop(60)
    with Journal(path) as journal:
        assert len(journal.entries(kinds=["begin", "result"])) == 300
        assert journal.first == 1


def test_a_disk_that_hangs_lets_nothing_begin_and_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that does not come back: no change is begun, and what did get there in the end has a result."""
    account = new(path)
    commit(account)
    with Journal(path) as journal:
        wait_for(lambda: journal.entries(kinds=["result"]), "the first change is told")
    # Only now: the first commit makes the file, which may well take longer.
    monkeypatch.setattr("k8s_ecmp.daemon.account._PATIENCE_S", 0.2)
    begun, answers = threading.Event(), threading.Event()
    write = Journal.write

    def slow(self: Journal, *arguments: object, **named: object) -> int:
        begun.set()
        answers.wait(60)
        return write(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "write", slow)
    begin = account.begin("r1", (CHANGE,), (), ())
    assert begun.wait(60), "given up before, it would not be written at all"
    with pytest.raises(JournalError, match="took longer"):
        begin.wait()
    account.end(begin, CommitResult("r1", "refused"))
    wait_for(lambda: "does not answer" in (account.trouble or ""), "it is told")
    answers.set()
    wait_for(lambda: account.trouble is None, "it answers again")
    account.stop(60)
    with Journal(path) as journal:
        assert [entry.body["outcome"] for entry in journal.entries(kinds=["result"])] == ["committed", "refused"]
        assert journal.unfinished("prod") == []


def test_a_damaged_entry_is_trouble_for_as_long_as_it_lasts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hide what became of a change whose process died, which is found out once it is whole again."""
    monkeypatch.setattr("k8s_ecmp.daemon.account._RETRY_S", 0.05)
    author = Author("prod", "me", "died")
    with Journal(path) as journal:
        body: dict[str, Any] = {"changes": [], "commands": []}
        dead, ended = (journal.write(author, "begin", body, router) for router in ("r1", "r2"))
        result = journal.write(author, "result", {"begin": ended, "outcome": "committed"}, "r2")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER entry_stays")
        (whole,) = connection.execute("SELECT body FROM entry WHERE id = ?", (result,)).fetchone()
        connection.execute("UPDATE entry SET body = 'no JSON' WHERE id = ?", (result,))
    attempts: list[None] = []
    unfinished = Journal.unfinished

    def counted(self: Journal, owner: str) -> list[Begun]:
        attempts.append(None)
        return unfinished(self, owner)

    monkeypatch.setattr(Journal, "unfinished", counted)
    told: list[str | None] = []
    account = new(path, lambda: told.append(account.trouble))
    try:
        wait_for(lambda: len(attempts) > 3 or None in told, "it has been looked at again")
        assert {f"entry {result} of the journal" in (trouble or "") for trouble in told} == {True}
        begin = account.begin("r1", (CHANGE,), (), ())
        with pytest.raises(JournalError, match=f"entry {result} of the journal is not as it was written"):
            begin.wait()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE entry SET body = ? WHERE id = ?", (whole, result))
        wait_for(lambda: account.trouble is None, "the journal is well again")
        assert [begun.entry for begun in account.dead("r1")] == [dead]
        assert account.dead("r2") == ()
        commit(account)
    finally:
        account.stop(60)
    with Journal(path) as journal:
        assert [entry.kind for entry in journal.entries()][3:] == ["trouble", "begin", "result"]

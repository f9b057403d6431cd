"""The journal: what it keeps, what it refuses, and what `check` finds."""

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from k8s_ecmp import redaction
from k8s_ecmp.errors import JournalError
from k8s_ecmp.journal import Author, Journal
from k8s_ecmp.journal.entry import hash_of
from k8s_ecmp.views.history import rows

AUTHOR = Author.here("prod", ticket="CHG-17", reason="move rack")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/journal.sqlite"


def filled(path: Path, count: int = 5) -> None:
    with Journal(path) as journal:
        for number in range(count):
            journal.write(AUTHOR, "begin", {"number": number, "text": "ä"}, router=f"r{number % 2}")


def tampered(path: Path, *statements: str) -> list[str]:
    """What `check` says after somebody with a SQLite shell was there."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER entry_stays")
    connection.execute("DROP TRIGGER entry_remains")
    for statement in statements:
        connection.execute(statement)
    connection.close()
    with Journal(path) as journal:
        return list(journal.check())


def test_what_is_written_is_read_again(path: Path):
    filled(path)
    with Journal(path) as journal:
        assert [entry.id for entry in journal.entries()] == [1, 2, 3, 4, 5]
        assert [entry.body["number"] for entry in journal.entries(router="r1")] == [1, 3]
        assert [entry.id for entry in journal.entries(last=2)] == [4, 5]
        assert journal.entries(kinds=["result"]) == []
        entry = journal.entry(3)
        assert (entry.owner, entry.ticket, entry.reason, entry.router) == ("prod", "CHG-17", "move rack", "r0")
        assert entry.who.endswith(f"process {os.getpid()}")
        assert list(journal.check()) == []
        with pytest.raises(JournalError, match="no entry 9"):
            journal.entry(9)


def test_a_process_may_have_it_open_twice_beside_others(path: Path):
    """A file that is closed gives up the locks of its process: the other would take SQLite's log away then."""
    elsewhere = f"""
from k8s_ecmp.journal import Author, Journal
with Journal({str(path)!r}) as journal:
    journal.write(Author.here("prod"), "begin", {{}})
"""
    with Journal(path) as one, Journal(path) as another:
        one.write(AUTHOR, "begin", {})
        subprocess.run([sys.executable, "-c", elsewhere], check=True)
        another.write(AUTHOR, "begin", {})
        subprocess.run([sys.executable, "-c", elsewhere], check=True)
        one.write(AUTHOR, "begin", {})
    with Journal(path) as journal:
        assert [entry.id for entry in journal.entries()] == [1, 2, 3, 4, 5]
        assert list(journal.check()) == []


def test_the_file_is_its_owners_alone(path: Path):
    filled(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("uid", "sudo", "said"),
    [
        (0, None, f"root@{socket.gethostname()} process"),
        (0, "alice", f"root@{socket.gethostname()} (sudo: alice) process"),
        (2_000_000_123, "alice", f"2000000123@{socket.gethostname()} process"),
    ],
)
def test_who_writes_is_told_by_the_uid(monkeypatch: pytest.MonkeyPatch, uid: int, sudo: str | None, said: str):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo is not None:
        monkeypatch.setenv("SUDO_USER", sudo)
    monkeypatch.setattr(os, "getuid", lambda: uid)
    assert Author.here("prod").who == f"{said} {os.getpid()}"
    daemon = Author.here("prod", identity="k8s-ecmp run one").who
    assert daemon == f"k8s-ecmp run one@{socket.gethostname()} process {os.getpid()}"


@pytest.mark.parametrize("statement", ["UPDATE entry SET body = '{}'", "DELETE FROM entry"])
def test_entries_can_neither_be_changed_nor_deleted(path: Path, statement: str):
    filled(path)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE entry SET body = '{}' WHERE id = 3"], ["entry 3 was changed"]),
        (["UPDATE entry SET who = 'nobody' WHERE id = 5"], ["entry 5 was changed"]),
        (["UPDATE entry SET who = CAST(x'e4' AS TEXT) WHERE id = 5"], ["entry 5 was changed"]),
        (["DELETE FROM entry WHERE id = 2"], ["entry 2 missing"]),
        (["DELETE FROM entry WHERE id IN (2, 3)"], ["entries 2 to 3 missing"]),
        (
            ["DELETE FROM entry WHERE id = 2", "UPDATE entry SET id = 2 WHERE id = 3"],
            ["entry 2 does not follow the one before it", "entry 2 was changed", "entry 3 missing"],
        ),
    ],
)
def test_check_finds_what_was_done_to_the_chain(path: Path, statements: list[str], found: list[str]):
    filled(path)
    assert tampered(path, *statements) == found


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE entry SET body = '{}' WHERE id = 3", "entry 3 was changed"),
        ("UPDATE entry SET body = 'no JSON' WHERE id = 3", "entry 3 was changed"),
        ("UPDATE entry SET body = CAST(x'7b22ff227d' AS TEXT) WHERE id = 3", "entry 3 was changed"),
        ("DELETE FROM entry WHERE id = 2", "entry 2 missing"),
        ("DELETE FROM entry WHERE id = 4", "entry 4 missing"),
        ("UPDATE entry SET hash = 'forged' WHERE id = 2", "entry 3 does not follow the one before it"),
        ("UPDATE entry SET previous = 'forged' WHERE id = 4", "entry 4 does not follow the one before it"),
        ("UPDATE entry SET body = '{}' WHERE id IN (2, 4)", None),
        ("UPDATE entry SET previous = 'forged' WHERE id IN (2, 5)", None),
    ],
)
def test_one_entry_and_its_place_in_the_chain_are_verified_alone(path: Path, statement: str, found: str | None):
    filled(path)
    tampered(path, statement)
    with Journal(path) as journal:
        assert journal.spoiled(3) == found
        assert journal.entry(3).id == 3


def test_an_entry_with_a_new_hash_is_betrayed_by_the_next_one(path: Path):
    filled(path)
    with sqlite3.connect(path) as connection:
        row = list(connection.execute("SELECT * FROM entry WHERE id = 3").fetchone())
    row[9] = "{}"
    tampered(path, f"UPDATE entry SET body = '{{}}', hash = '{hash_of(row[:-1])}' WHERE id = 3")
    with Journal(path) as journal:
        assert journal.spoiled(3) == "entry 4 does not follow the one before it"


def test_threads_and_processes_make_one_chain(path: Path):
    filled(path, 1)
    script = (
        "import sys; from k8s_ecmp.journal import Author, Journal\n"
        "with Journal(sys.argv[1], busy_s=60) as journal:\n"
        "    for number in range(25): journal.write(Author.here('prod'), 'plan', {'number': number})\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", script, str(path)]) for _ in range(2)]
    with Journal(path, busy_s=60) as journal:
        threads = [
            threading.Thread(target=lambda: [journal.write(AUTHOR, "plan", {}) for _ in range(25)]) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [other.wait(120) for other in others] == [0, 0]
        assert len(journal.entries()) == 101
        assert list(journal.check()) == []


def test_a_process_that_dies_in_a_write_leaves_a_whole_journal(path: Path):
    filled(path)
    script = (
        "import os, sys; from k8s_ecmp.journal import Author, Journal\n"
        "journal = Journal(sys.argv[1])\n"
        "journal._connection.set_trace_callback(lambda sql: os._exit(9) if sql.startswith('COMMIT') else None)\n"
        "journal.write(Author.here('prod'), 'plan', {})\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 9
    with Journal(path) as journal:
        assert list(journal.check()) == []
        assert journal.write(AUTHOR, "plan", {}) == 6


def test_a_locked_file_is_said_after_a_while(path: Path):
    filled(path)
    with Journal(path, busy_s=0.1) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"locked.*nothing is written to routers"):
            journal.write(AUTHOR, "plan", {})
        other.execute("ROLLBACK")
        other.close()
        assert journal.write(AUTHOR, "plan", {}) == 6


def test_who_reads_waits_for_nobody_and_changes_nothing(path: Path):
    with Journal(path) as writer:
        writer.write(AUTHOR, "begin", {})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with Journal(path, busy_s=0, to_write=False) as journal:
            assert [entry.id for entry in journal.entries()] == [1]
            assert list(journal.check()) == []
        other.execute("ROLLBACK")
        other.close()
    with Journal(path, to_write=False) as journal:
        assert journal.entry(1).kind == "begin"
    assert [file.name for file in path.parent.iterdir()] == [path.name], "no log is left where there was none"


def test_there_must_be_one_to_read(path: Path):
    for _ in range(2):
        with pytest.raises(JournalError, match="there is no journal at"):
            Journal(path, to_write=False)
        assert not path.exists()
        path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(JournalError, match=r"or empty.*makes it one of this version"):
        Journal(path, to_write=False)
    assert path.read_bytes() == b""


READ_ONLY = """
mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/new" && exec "$@"
"""
READ = """
import sys
from k8s_ecmp.journal import Journal
with Journal(sys.argv[1], to_write=False) as journal:
    print(len(journal.entries()), list(journal.check()), journal.first)
"""


def read_in_a_read_only_folder(path: Path) -> tuple[str, str]:
    """What is said there of number of entries, breaks and first entry; and the error."""
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", READ_ONLY, str(path.parent), *command],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.world
def test_a_read_only_folder_is_read_with_and_without_somebody_who_writes(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("k8s_ecmp.journal.files._FILE_BYTES", 64 * 1024)
    write_many(path, 20)
    count = 20 + len(names(path)) - 1
    assert read_in_a_read_only_folder(path)[0] == f"{count} [] 1"
    with Journal(path) as writer:
        gone = next(entry.id for entry in writer.entries(kinds=["closed"]))
        writer.write(AUTHOR, "plan", {})
        assert read_in_a_read_only_folder(path)[0] == f"{count + 1} [] 1"
        folder = path.parent / "copy"
        folder.mkdir()
        for file in path.parent.glob("*.sqlite*"):
            shutil.copy(file, folder)
    for index in folder.glob("*-shm"):
        index.unlink()
    path.unlink()
    assert read_in_a_read_only_folder(path)[0] == f"{count + 1 - gone} [] {gone + 1}", "the first file is elsewhere"
    said, error = read_in_a_read_only_folder(folder / path.name)
    assert said == ""
    assert "copy it with the `-wal` file" in error
    with Journal(folder / path.name, to_write=False) as journal:
        assert len(journal.entries()) == count + 1


def test_a_full_disk_stops_writing_and_leaves_what_was_written(path: Path):
    filled(path)
    with Journal(path) as journal:
        (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalError, match="full"):
            journal.write(AUTHOR, "plan", {"text": "x" * 100_000})
        assert len(journal.entries()) == 5
        assert list(journal.check()) == []


def test_a_newer_file_is_refused(path: Path):
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="version 99"):
        Journal(path)


def test_something_else_is_refused_and_left_alone(path: Path):
    path.parent.mkdir()
    path.write_bytes(b"shopping list\n" * 100)
    with pytest.raises(JournalError, match="not a database"):
        Journal(path)
    assert path.read_bytes() == b"shopping list\n" * 100


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(tmp_path / "file/journal.sqlite")


# --- more than one file


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are full soon."""
    monkeypatch.setattr("k8s_ecmp.journal.files._FILE_BYTES", 64 * 1024)


def names(path: Path) -> list[str]:
    """Of the files, oldest first."""
    return sorted((file.name for file in path.parent.glob("*.sqlite")), key=lambda name: (len(name), name))


def write_many(path: Path, count: int, start: int = 0) -> None:
    with Journal(path) as journal:
        for number in range(start, start + count):
            journal.write(AUTHOR, "begin", {"number": number, "text": "x" * 4000}, router=f"r{number % 2}")


@pytest.mark.usefixtures("small")
def test_a_full_file_is_closed_and_the_next_goes_on(path: Path):
    write_many(path, 20)
    write_many(path, 20, 20)
    assert names(path)[:3] == ["journal.sqlite", "journal.2.sqlite", "journal.3.sqlite"]
    with Journal(path) as journal:
        assert list(journal.check()) == []
        found = journal.entries()
        last = 40 + len(names(path)) - 1
        assert [entry.id for entry in found] == list(range(1, last + 1))
        assert [entry.body["number"] for entry in found if entry.kind == "begin"] == list(range(40))
        assert [entry.body["next"] for entry in found if entry.kind == "closed"] == names(path)[1:]
        assert [entry.id for entry in journal.entries(last=25)] == list(range(last - 24, last + 1))
        assert len(journal.entries(router="r1")) == 20
        assert all(journal.entry(number).id == number for number in (1, 20, last))
        assert [number for number in range(1, last + 1) if journal.spoiled(number)] == []
        assert journal.first == 1
    assert all(stat.S_IMODE((path.parent / name).stat().st_mode) == 0o600 for name in names(path))


@pytest.mark.usefixtures("small")
def test_two_that_write_go_on_in_the_same_file(path: Path):
    with Journal(path) as one, Journal(path) as two:
        for number in range(40):
            (one, two)[number % 2].write(AUTHOR, "plan", {"text": "x" * 4000})
        assert [entry.id for entry in one.entries()] == [entry.id for entry in two.entries()]
        assert list(two.check()) == []
    assert len(names(path)) > 2


@pytest.mark.usefixtures("small")
def test_who_dies_between_two_files_leaves_a_whole_journal(path: Path):
    write_many(path, 20)
    with sqlite3.connect(path.parent / names(path)[-1]) as connection:
        connection.execute("DROP TRIGGER entry_remains")
        connection.execute("DELETE FROM entry")
    with Journal(path) as journal:
        number = journal.write(AUTHOR, "plan", {})
        assert journal.entry(number - 1).kind == "closed"
        assert list(journal.check()) == []


@pytest.mark.usefixtures("small")
def test_what_goes_goes_by_files_and_says_so(path: Path):
    write_many(path, 60)
    with Journal(path) as journal:
        before = journal.entries()
        keep = len(names(path)) - 1
        closing = next(entry for entry in before if entry.kind == "closed")
        assert journal.prune(AUTHOR, keep) == ("journal.sqlite",)
        assert journal.prune(AUTHOR, keep) == ()
        last = journal.entries()[-1]
        gone = {"file": "journal.sqlite", "first": 1, "last": closing.id, "hash": closing.hash}
        assert (last.kind, last.body) == ("pruned", gone)
        assert journal.first == closing.id + 1
        assert list(journal.check()) == []
        assert [entry.id for entry in journal.entries()] == [entry.id for entry in before[closing.id :]] + [last.id]
    write_many(path, 1)
    with Journal(path) as journal:
        assert list(journal.check()) == []


@pytest.mark.usefixtures("small")
def test_a_file_that_is_missing_between_others_is_found(path: Path):
    write_many(path, 60)
    (path.parent / "journal.2.sqlite").unlink()
    with Journal(path) as journal:
        (broken,) = journal.check()
        assert broken.startswith("entries ")
        assert broken.endswith(" missing")


def test_a_file_that_was_taken_away_is_missed(path: Path):
    filled(path)
    with Journal(path) as journal:
        path.rename(path.with_name("elsewhere.sqlite"))
        with pytest.raises(JournalError, match="was moved or removed"):
            journal.write(AUTHOR, "plan", {})


@pytest.mark.usefixtures("small")
def test_a_journal_behind_a_link_is_one_with_all_its_files(path: Path, tmp_path: Path):
    write_many(path, 5)
    link = tmp_path / "other/other.sqlite"
    link.parent.mkdir()
    link.symlink_to(path)
    write_many(link, 35, 5)
    assert names(path)[:3] == ["journal.sqlite", "journal.2.sqlite", "journal.3.sqlite"]
    assert list(link.parent.iterdir()) == [link]
    with Journal(path) as one, Journal(link) as other:
        assert one.path == other.path
        assert [entry.id for entry in one.entries()] == [entry.id for entry in other.entries()]
        assert list(other.check()) == []


def test_a_link_that_leads_elsewhere_by_now_is_noticed(path: Path, tmp_path: Path):
    filled(path)
    link = tmp_path / "link.sqlite"
    link.symlink_to(path)
    with Journal(link) as journal:
        link.unlink()
        link.symlink_to(tmp_path / "another.sqlite")
        with pytest.raises(JournalError, match="was moved or removed"):
            journal.write(AUTHOR, "plan", {})


def test_files_that_an_older_version_laid_beside_a_link_are_not_passed_over(path: Path, tmp_path: Path):
    filled(path)
    link = tmp_path / "other/other.sqlite"
    link.parent.mkdir()
    link.symlink_to(path)
    stray = link.with_name("other.2.sqlite")
    stray.touch()
    with pytest.raises(JournalError, match=r"other\.2\.sqlite goes on .* move it to .*/journal\.2\.sqlite"):
        Journal(link)
    stray.unlink()
    with Journal(link) as journal:
        assert journal.write(AUTHOR, "plan", {}) == 6


def test_no_secret_of_this_process_is_written(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A short one may stand in a hash or an address by chance: what is read again stays."""
    monkeypatch.setattr(redaction, "_shapes", ())  # other tests of this process have addresses that begin so
    monkeypatch.setenv("K8S_ECMP_PASSWORD", "8a1.Tiger")
    monkeypatch.setenv("K8S_ECMP_EDGE_1_KEY_PASSPHRASE", 'Lion says "7"')
    monkeypatch.setenv("K8S_ECMP_ENABLE_SECRET", "10.97")
    change = {"prefix": "10.97.0.0/16", "before": ["10.97.0.1"], "after": [], "reasons": ["8a1.Tiger is out"]}
    body = {
        "plan": "sha256:10.97",
        "changes": [change],
        "commands": ["no ip route x", "password 8a1.Tiger"],
        "error": 'login failed: Lion says "7"',
        "cluster": {"source": "https://me:word@api.example"},
        "elapsed_s": 10.97,
    }
    with Journal(path) as journal:
        journal.write(Author("prod", "me", "run", "T 8a1.Tiger", "pw 8a1.Tiger"), "begin", body)
        entry = journal.entry(1)
        assert list(journal.check()) == []
    assert (entry.ticket, entry.reason) == ("T ***", "pw ***")
    assert entry.body == {
        **body,
        "changes": [{**change, "reasons": ["*** is out"]}],
        "commands": ["no ip route x", "password ***"],
        "error": "login failed: ***",
        "cluster": {"source": "https://***@api.example"},
    }
    assert "Tiger" not in "".join(file.read_bytes().decode("latin-1") for file in path.parent.iterdir())


def test_a_weak_password_is_hidden_in_words_and_left_in_data(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redaction, "_plain", frozenset())
    monkeypatch.setenv("K8S_ECMP_PASSWORD", "supersecret")
    body = {"changes": [{"vrf": "supersecret", "prefix": "10.0.0.0/8"}], "commands": ["ip route vrf supersecret"]}
    with Journal(path) as journal:
        journal.write(Author("prod", "me", "run", "T supersecret", "router login supersecret"), "begin", body)
        entry = journal.entry(1)
    assert (entry.ticket, entry.reason) == ("T ***", "router login ***")
    assert entry.body == body


def test_what_was_begun_and_has_no_result(path: Path):
    with Journal(path) as journal:
        one = journal.write(AUTHOR, "begin", {"number": 1}, "r1")
        two = journal.write(AUTHOR, "begin", {"number": 2}, "r2")
        journal.write(Author.here("another"), "begin", {}, "r1")
        journal.write(AUTHOR, "result", {"begin": None}, "r3")
        journal.write(AUTHOR, "result", {"begin": two}, "r2")
        assert [(begun.entry, begun.router) for begun in journal.unfinished("prod")] == [(one, "r1")]


@pytest.mark.parametrize("body", ["no JSON", "[1]", "7", "{}", '{"begin":"1"}', '{"begin":[1]}'])
def test_what_hides_whether_a_change_has_a_result_is_named(path: Path, body: str):
    with Journal(path) as journal:
        journal.write(AUTHOR, "result", {"begin": None}, "r3")
        one = journal.write(AUTHOR, "begin", {"number": 1}, "r1")
        done = journal.write(AUTHOR, "result", {"begin": one}, "r1")
    tampered(path, f"UPDATE entry SET body = '{body}' WHERE id = 1")
    with Journal(path) as journal:
        assert journal.unfinished("prod") == [], "no change stands before it"
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE entry SET body = '{body}' WHERE id = {done}")
    with Journal(path) as journal:
        with pytest.raises(JournalError, match=rf"entry {done} of the journal is not .*k8s-ecmp history check"):
            journal.unfinished("prod")
        assert journal.unfinished("another") == []
        journal.write(AUTHOR, "result", {"begin": one}, "r1")
        assert journal.unfinished("prod") == [], "another one says it"


def test_a_change_without_a_result_is_not_told_unless_it_is_as_it_was_written(path: Path):
    with Journal(path) as journal:
        one = journal.write(AUTHOR, "begin", {"number": 1}, "r1")
    tampered(path, f"UPDATE entry SET body = '{{\"number\":2}}' WHERE id = {one}")
    with Journal(path) as journal, pytest.raises(JournalError, match=f"entry {one} of the journal is not as"):
        journal.unfinished("prod")


def test_entries_are_asked_for_as_they_were_written(path: Path):
    filled(path)
    tampered(path, "UPDATE entry SET body = '{}' WHERE id = 3")
    with Journal(path) as journal:
        assert [entry.id for entry in journal.entries(router="r1", intact=True)] == [2, 4]
        assert [entry.id for entry in journal.entries(after=3, intact=True)] == [4, 5]
        with pytest.raises(JournalError, match="entry 3 of the journal is not as it was written"):
            journal.entries(after=1, intact=True)


def change_of(path: Path, number: int, outcome: str | None = "committed", *, size: int = 3) -> None:
    """A change of r0 or r1 in a run of its own; outcome None: it has none."""
    author = AUTHOR.again()
    router = f"r{number % 2}"
    with Journal(path) as journal:
        journal.write(author, "plan", {"plan": f"sha256:{number}"})
        begun = journal.write(author, "begin", {"changes": [{}] * size, "commands": ["x" * 9000]}, router)
        if outcome is not None:
            journal.write(author, "result", {"begin": begun, "outcome": outcome, "error": "no"}, router)


@pytest.mark.parametrize("size", [None, 64 * 1024])
@pytest.mark.parametrize("router", [None, "r1"])
@pytest.mark.parametrize("last", [1, 2, 5, 100])
def test_a_list_of_changes_is_what_the_entries_say(
    path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, router: str | None, last: int
):
    if size is not None:
        monkeypatch.setattr("k8s_ecmp.journal.files._FILE_BYTES", size)
    for number, outcome in enumerate(("committed", None, "rolled-back", "failed", None, "committed")):
        change_of(path, number, outcome, size=number)
    with Journal(path) as journal:
        first = journal.entries(kinds=["begin"], router="r1")[0].id
        journal.write(AUTHOR, "result", {"begin": None, "outcome": "refused", "error": "held"})
        journal.write(AUTHOR, "result", {"begin": first, "outcome": "failed", "error": "died"}, "r1")
        assert len(names(path)) == 1 if size is None else len(names(path)) > 1
        shown = rows(journal.changes(last, router), {})
        entries = journal.entries(kinds=["begin", "result"], router=router)
    results = {entry.body["begin"]: entry.body for entry in entries if entry.kind == "result"}
    expected = [
        (e.id, e.router or "-", len(e.body["changes"]), results.get(e.id, {"outcome": "died"})["outcome"])
        if e.kind == "begin"
        else (e.id, e.router or "-", 0, e.body["outcome"])
        for e in entries
        if e.kind == "begin" or e.body["begin"] is None
    ]
    assert [(row.id, row.router, row.changes, row.outcome) for row in shown] == expected[-last:]
    told = [row.error for row in shown if row.outcome not in ("died", "refused")]
    assert told == [results[row.id]["error"] for row in shown if row.id in results]


@pytest.mark.parametrize("body", ["no JSON", "[1]", "7", '{"changes":4}', "{}"])
def test_a_spoiled_body_stands_in_the_list_without_what_it_said(path: Path, body: str):
    change_of(path, 1)
    change_of(path, 2)
    tampered(path, f"UPDATE entry SET body = '{body}' WHERE id IN (2, 6)")
    with Journal(path) as journal:
        found = [(row.id, row.changes, row.outcome) for row in rows(journal.changes(9), {})]
    assert found == [(2, 0, "committed"), (5, 3, "died"), (6, 0, "unknown")]


def test_neither_a_list_nor_one_entry_reads_the_others(path: Path):
    large, count = 300_000, 20
    with Journal(path) as journal:
        for number in range(count):
            journal.write(AUTHOR, "begin", {"changes": [], "text": "x" * large, "plan": "p"}, f"r{number}")
            journal.write(
                AUTHOR, "result", {"begin": 2 * number + 1, "outcome": "committed", "error": None}, f"r{number}"
            )
        other = AUTHOR.again()
        journal.write(other, "plan", {"plan": "p"})
        journal.write(other, "begin", {"changes": [], "text": "x" * large, "plan": "p"}, "r1")

        def read() -> tuple[int, list[int]]:
            return len(journal.changes(count + 1)), [entry.id for entry in journal.told_with(journal.entry(3))]

        tracemalloc.start()
        try:
            assert read() == (2 * count + 1, [2 * count + 1, 3, 4])
            assert journal.spoiled(3) is None
            assert tracemalloc.get_traced_memory()[1] < 8 * large
        finally:
            tracemalloc.stop()

"""Nobody reads standard error, or standard output, any more: what happens to routers, and what is told, is the same."""

import contextlib
import os
import pty
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from k8s_ecmp.journal import Journal
from tests.fleet import Fleet
from tests.site import COMMAND, Outcome, Site, new_site

pytestmark = pytest.mark.slow

OURS = "tag 4201"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A canary and a wave of two."""
    made = Fleet(new_site(tmp_path), 3)
    made.rollout(canary=1, parallel=2)
    return made


@contextlib.contextmanager
def unread() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextlib.contextmanager
def full() -> Iterator[int]:
    """A file on a disk without room."""
    with Path("/dev/full").open("wb", buffering=0) as file:
        yield file.fileno()


@contextlib.contextmanager
def clogged() -> Iterator[int]:
    """A pipe that nobody empties, and that does not wait for it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, bytes(4096)):
            pass
    yield writer
    os.close(reader)
    os.close(writer)


def command(site: Site, *arguments: str) -> list[str]:
    return [*COMMAND, "--config", str(site.folder / "k8s-ecmp.yaml"), *arguments]


def run(site: Site, *arguments: str, out: int = subprocess.PIPE, err: int = subprocess.PIPE) -> Outcome:
    done = subprocess.run(
        command(site, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        text=True,
        timeout=240,
        check=False,
    )
    return Outcome(done.returncode, done.stdout or "", done.stderr or "")


def cannot_commit(fleet: Fleet, name: str) -> None:
    """The router's commit fails: its earlier versions cannot be kept."""
    (fleet.site.config(name).parent / f"{name}.cfg.history").write_text("in the way")


def ours(fleet: Fleet) -> set[str]:
    return {name for name, text in fleet.texts.items() if OURS in text}


def journal(fleet: Fleet) -> list[tuple[str | None, str]]:
    with Journal(fleet.site.folder / "journal.sqlite", to_write=False) as kept:
        return [(entry.router, entry.body["outcome"]) for entry in kept.entries(kinds=("result",))]


@pytest.mark.parametrize("lost", [unread, full, clogged])
def test_without_standard_error_all_waves_are_done_and_reported(
    fleet: Fleet, lost: Callable[[], AbstractContextManager[int]]
) -> None:
    with lost() as err:
        done = run(fleet.site, "apply", "--yes", "--pause", "0.1", err=err)
    assert done.code == 0, done.out
    assert "Apply: 3 committed." in done.out
    assert ours(fleet) == {"r1", "r2", "r3"}
    assert [outcome for _, outcome in journal(fleet)] == ["committed"] * 3


def test_without_standard_error_a_wave_is_taken_back_with_the_router_that_failed_in_it(fleet: Fleet) -> None:
    fleet.rollout(canary=0, parallel=2)
    cannot_commit(fleet, "r2")
    with unread() as err:
        done = run(fleet.site, "apply", "--yes", "--on-failure", "rollback-wave", err=err)
    assert done.code == 1
    assert "Apply: 1 rolled-back, 1 failed, 1 not-attempted." in done.out
    assert "taken back with its wave, because r2 failed in it" in done.out
    assert ours(fleet) == set()
    assert sorted(journal(fleet)) == [("r1", "committed"), ("r1", "rolled-back"), ("r2", "failed")]


def test_without_standard_error_the_report_in_json_is_whole(fleet: Fleet) -> None:
    with unread() as err:
        done = run(fleet.site, "apply", "--yes", "--format", "json", err=err)
    assert done.code == 0
    assert done.json()["summary"]["committed"] == 3
    assert ours(fleet) == {"r1", "r2", "r3"}


def test_a_reader_of_both_that_ends_with_ctrl_c_leaves_the_exit_code_and_the_journal(fleet: Fleet) -> None:
    """`k8s-ecmp apply ... 2>&1 | tee log`, and Ctrl-C, which ends tee at once and the command after its wave."""
    reader, writer = os.pipe()
    with subprocess.Popen(
        command(fleet.site, "apply", "--yes", "--pause", "600"),
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
    ) as process:
        try:
            os.close(writer)
            said = b""
            while b"pause of 600 s; 1 router" not in said:
                said += os.read(reader, 65536)
            os.close(reader)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 1
        finally:
            process.kill()
    assert journal(fleet) == [("r1", "committed")]
    assert ours(fleet) == {"r1"}


@pytest.mark.parametrize("fails", [False, True])
def test_without_both_the_exit_code_is_that_of_the_outcome(fleet: Fleet, fails: bool) -> None:
    if fails:
        cannot_commit(fleet, "r3")
    with unread() as lost:
        done = run(fleet.site, "apply", "--yes", out=lost, err=lost)
    assert done.code == int(fails)
    assert ours(fleet) == {"r1", "r2"} | (set() if fails else {"r3"})
    assert len(journal(fleet)) == 3


@pytest.mark.parametrize("arguments", [(), ("--format", "json")])
def test_without_standard_output_the_exit_code_is_that_of_the_outcome(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    cannot_commit(fleet, "r3")
    with unread() as out:
        done = run(fleet.site, "apply", "--yes", *arguments, out=out)
    assert done.code == 1
    assert "r2: committed" in done.err
    assert "r3: failed" in done.err
    assert "Traceback" not in done.err
    assert "BrokenPipe" not in done.err


@pytest.mark.parametrize("arguments", [(), ("--format", "json")])
def test_a_report_that_finds_no_room_is_an_error_in_a_word(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    path = str(fleet.site.folder / "today.plan")
    assert run(fleet.site, "plan", "--out", path).code == 2
    with full() as out:
        done = run(fleet.site, "apply", path, *arguments, out=out)
    assert done.code == 1
    assert "error: standard output cannot be written: No space left on device" in done.err
    assert "Traceback" not in done.err


def test_a_report_that_finds_no_room_does_not_hide_what_the_journal_lacks(fleet: Fleet) -> None:
    assert run(fleet.site, "plan", "--out", str(fleet.site.folder / "today.plan")).code == 2  # makes the journal
    with sqlite3.connect(fleet.site.folder / "journal.sqlite") as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entry WHEN NEW.kind = 'result' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    with full() as out:
        done = run(fleet.site, "apply", "--yes", "--format", "json", out=out)
    assert done.code == 1
    assert "not in the journal: what became of r1 (committed)" in done.err
    assert done.err.endswith("error: standard output cannot be written: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "code"), [(("apply", "no.plan"), 3), (("apply", "--yes", "--router", "nobody"), 1), (("nothing",), 1)]
)
def test_without_standard_error_what_is_refused_ends_with_its_code(
    fleet: Fleet, arguments: tuple[str, ...], code: int
) -> None:
    with unread() as lost:
        assert run(fleet.site, *arguments, err=lost).code == code
        assert run(fleet.site, *arguments, out=lost, err=lost).code == code


def test_a_reader_that_has_enough_is_no_error(fleet: Fleet) -> None:
    with unread() as out:
        done = run(fleet.site, "plan", out=out)
    assert done.code == 2
    assert done.err == ""


def test_a_terminal_that_is_closed_ends_the_run_before_its_next_wave(fleet: Fleet) -> None:
    """Its controlling terminal: SIGHUP comes, and neither stream can be written any more."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", *command(fleet.site, "apply", "--yes", "--pause", "600")],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        try:
            os.close(slave)
            seen = b""
            while b"pause, " not in seen:
                seen += os.read(master, 65536)
            os.close(master)
            assert process.wait(60) == 1
        finally:
            process.kill()
    assert journal(fleet) == [("r1", "committed")]
    assert ours(fleet) == {"r1"}


@pytest.mark.long
def test_a_terminal_that_goes_away_under_the_table_changes_nothing(fleet: Fleet) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        command(fleet.site, "apply", "--yes", "--pause", "2"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        try:
            os.close(slave)
            seen = b""
            while b"pause, " not in seen:
                seen += os.read(master, 65536)
            os.close(master)
            out, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, out
    assert "Apply: 3 committed." in out
    assert ours(fleet) == {"r1", "r2", "r3"}

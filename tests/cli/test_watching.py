"""The rollout's table: what it shows, and that 50 routers fit."""

import os
import re
import sys
from io import StringIO

import pytest
from rich.console import Console

from k8s_ecmp.cli.common import progress_over, say
from k8s_ecmp.cli.streams import leave
from k8s_ecmp.cli.watching import Lines, Table
from k8s_ecmp.model import CommitResult

NAMES = [f"r{number:02}" for number in range(50)]


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def shown(table: Table, height: int = 24) -> str:
    page = StringIO()
    Console(file=page, width=80, height=height, force_terminal=True, color_system=None).print(table)
    return page.getvalue()


def started(clock: Clock) -> Table:
    table = Table(clock)
    table.begins([NAMES[:1], NAMES[1:11], NAMES[11:]])
    table.wave(0)
    return table


def test_a_router_at_work_has_a_row_and_one_that_is_done_folds_into_a_count() -> None:
    clock = Clock()
    table = started(clock)
    table.step("r00", "connect")
    clock.seconds += 3
    table.step("r00", "stage")
    lines = shown(table).splitlines()
    assert lines[0].strip() == "wave 1 of 3; 0 of 50 routers done  0:03"
    assert lines[1].split() == ["r00", "stage", "3.0", "s"]
    table.step("r00", "done")
    table.ended(CommitResult("r00", "committed", 3, 4.2))
    table.wave(1)
    assert shown(table).splitlines()[0].strip() == "wave 2 of 3; 1 of 50 routers done; 1 committed  0:03"
    assert "r00" not in shown(table)


def test_one_that_failed_stays_with_its_error_in_one_line() -> None:
    table = started(Clock())
    table.ended(CommitResult("r00", "committed", 3, 4.2))
    table.step("r00", "take back: commit")
    assert "take back: commit" in shown(table)
    table.ended(CommitResult("r00", "rolled-back", 3, 5.0, "taken back, because [bold]it[/bold] differed " + "x" * 90))
    row = shown(table).splitlines()[1]
    assert row.startswith("r00  rolled-back  5.0 s  taken back, because [bold]it[/bold] differed")
    assert len(row) <= 80
    assert "1 rolled-back" in shown(table)


def test_no_more_rows_than_the_terminal_has() -> None:
    table = started(Clock())
    for name in NAMES:
        table.step(name, "connect")
    for height in (10, 24, 80):
        lines = shown(table, height).splitlines()
        assert len(lines) <= height
        assert lines[-1].strip() == (f"and {50 - (height - 2)} more" if height < 52 else lines[-1].strip())


def test_a_pause_counts_down() -> None:
    clock = Clock()
    table = started(clock)
    table.pauses(["r00"], 30)
    clock.seconds += 10
    assert "pause, 20 s left" in shown(table)
    table.wave(1)
    assert "pause" not in shown(table)


def test_lines_say_how_each_router_ended_and_no_steps() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    lines.begins([["r1"], ["r2"]])
    lines.wave(0)
    lines.step("r1", "connect")
    lines.ended(CommitResult("r1", "committed", 3, 0.42))
    lines.pauses(["r1"], 30)
    assert said == ["r1: committed after 0.4 s", "pause of 30 s; 1 router of this wave verified again meanwhile"]


HOSTILE = "r\u202e1\x1b[2J\rdone"
SEEN = "r\\u202e1\\x1b[2J\\x0ddone"


def test_names_steer_no_terminal_in_the_table() -> None:
    table = Table(Clock())
    table.begins([[HOSTILE, "b"]])
    table.step(HOSTILE, "connect")
    table.ended(CommitResult("b", "failed", error=f"{HOSTILE} is down"))
    text = shown(table)
    assert f"{SEEN}  " in text
    assert f"{SEEN} is down" in text
    assert not {"\u202e", "\x1b", "\r"} & set(re.sub(r"\x1b\[[0-9;]*m", "", text))


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_names_steer_no_terminal_in_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress_over(1, "reading routers") as tell:
        assert tell is not None
        tell(HOSTILE, "connect")
    assert f"{SEEN}: connect" in terminal.getvalue()
    assert "\u202e" not in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()


def test_names_steer_no_terminal_in_lines_and_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Lines(say).ended(CommitResult(HOSTILE, "committed", 3, 4.2))
    monkeypatch.setattr(os, "_exit", lambda code: None)
    leave(f"error: {HOSTILE}\n  and ü\t{HOSTILE}", 1)
    assert capsys.readouterr().err == f"{SEEN}: committed after 4.2 s\nerror: {SEEN}\n  and ü\t{SEEN}\n"

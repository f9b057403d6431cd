"""The log, line by line, as it leaves a process."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import threading
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.daemon.logs import Log, Repeats

START = """
import logging, sys
from k8s_ecmp.daemon.logs import configure
log = configure({level!r})
ours = logging.getLogger("k8s_ecmp.daemon.loop")
"""


def lines(program: str, level: str = "info") -> list[dict[str, Any]]:
    """What a process logs on its stderr, to its ordinary end."""
    done = subprocess.run(
        [sys.executable, "-c", START.format(level=level) + program], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_one_json_object() -> None:
    (line,) = lines('ours.info("%s on %s", "committed", "r1", extra={"router": "r1", "changes": 3, "text": "a\\nb"})')
    when = datetime.fromisoformat(line.pop("timestamp"))
    assert when.utcoffset() is not None
    assert not when.utcoffset()
    assert line == {
        "event": "committed on r1",
        "level": "info",
        "logger": "k8s_ecmp.daemon.loop",
        "router": "r1",
        "changes": 3,
        "text": "a\nb",
    }


def test_an_exception_stands_on_its_line() -> None:
    (line,) = lines(
        """
try:
    1 / 0
except ZeroDivisionError:
    ours.exception("a bug")
"""
    )
    assert (line["event"], line["level"]) == ("a bug", "error")
    assert line["exception"].splitlines()[0] == "Traceback (most recent call last):"
    assert line["exception"].splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_libraries_speak_of_warnings_alone() -> None:
    program = """
import warnings
for name in ("paramiko.transport", "kubernetes.client.rest", "urllib3.connectionpool", "uvicorn.error", "elsewhere"):
    logging.getLogger(name).debug("response body: token")
    logging.getLogger(name).info("hello")
    logging.getLogger(name).warning("beware")
warnings.warn("old", DeprecationWarning)
ours.debug("detail")
"""
    found = [(line["logger"], line["event"].split("\n")[0]) for line in lines(program, "debug")]
    libraries = ["paramiko.transport", "kubernetes.client.rest", "urllib3.connectionpool", "uvicorn.error", "elsewhere"]
    assert [entry for entry in found if entry[0] != "py.warnings"] == [
        *((name, "beware") for name in libraries),
        ("k8s_ecmp.daemon.loop", "detail"),
    ]
    assert not any(line["event"] == "detail" for line in lines(program, "info"))


def test_no_secrets() -> None:
    cases = [
        ('ours.error("Authorization: Bearer %s", "s3cr3t.abcdefgh")', "s3cr3t"),
        ('ours.error("proxy http://user:s3cr3t@10.0.0.1:3128/ fails")', "s3cr3t"),
        ('ours.error("login", extra={"password": "s3cr3t"})', "s3cr3t"),
        ('ours.error("login", extra={"bearer_token": "s3cr3t"})', "s3cr3t"),
        ('ours.error("connect(host=r1, password=s3cr3t)")', "s3cr3t"),
        ('ours.error("x", extra={"headers": "Authorization: Basic czNjcjN0czNjcjN0"})', "czNjcjN0"),
        ("try:\n    raise ValueError('token=s3cr3t')\nexcept ValueError:\n    ours.exception('x')", "s3cr3t"),
    ]
    logged = lines("\n".join(program for program, _ in cases))
    for (program, secret), line in zip(cases, logged, strict=True):
        assert secret not in json.dumps(line), program
        assert "***" in json.dumps(line), program


def test_a_warning_that_repeats_is_said_once_and_then_counted() -> None:
    found = lines(
        """
for attempt in range(100):
    ours.warning("router %s does not answer", "r1", extra={"router": "r1", "retry_in_s": attempt / 7})
    ours.warning("a conflict", extra={"router": f"r{attempt % 2}"})
    ours.info("committed")
"""
    )
    warned = [line for line in found if line["event"] == "router r1 does not answer"]
    assert [line.get("repeated") for line in warned] == [None, 99]
    assert warned[-1]["retry_in_s"] == 99 / 7
    conflicts = [(line["router"], line.get("repeated")) for line in found if line["event"] == "a conflict"]
    assert conflicts == [("r0", None), ("r1", None), ("r0", 49), ("r1", 49)]
    assert sum(line["event"] == "committed" for line in found) == 100


def record(text: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("k8s_ecmp.x", level, "", 0, text, (), None)


class TestRepeats:
    def test_it_is_said_again_with_its_number(self) -> None:
        repeats = Repeats(60)
        assert repeats.admit(record("x"), 0)
        assert repeats.next_s() == 60
        assert not any(repeats.admit(record("x"), at) for at in range(1, 50))
        assert list(repeats.due(59)) == []
        (again,) = repeats.due(60)
        assert vars(again)["repeated"] == 49
        assert not repeats.admit(record("x"), 61)
        assert [vars(found)["repeated"] for found in repeats.due(120)] == [1]

    def test_what_ended_is_said_at_once_when_it_comes_back(self) -> None:
        repeats = Repeats(60)
        assert repeats.admit(record("x"), 0)
        assert list(repeats.due(60)) == []
        assert repeats.next_s() is None
        assert repeats.admit(record("x"), 61)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=80))
    def test_nothing_is_lost(self, row: list[tuple[str, float]]) -> None:
        """Every record is said or stands in a number."""
        repeats, now, said = Repeats(60), 0.0, 0
        for text, passed_s in row:
            now += passed_s
            said += sum(vars(found)["repeated"] for found in repeats.due(now))
            said += repeats.admit(record(text), now)
        said += sum(vars(found)["repeated"] for found in repeats.due(None))
        assert said == len(row)

    def test_it_does_not_grow(self) -> None:
        repeats = Repeats(60)
        for number in range(5_000):
            assert repeats.admit(record(f"message {number}"), 0)
        assert len(repeats._seen) == 1_000

    def test_numbers_in_time(self) -> None:
        """In the running log, without another record that would wake it."""
        stream = io.StringIO()
        log = Log(stream, terminal=False, repeat_s=0.05)
        both, said = threading.Event(), threading.Event()

        def flush() -> None:
            both.wait(30)  # with the second behind the first, however long a slow machine takes in between
            if "repeated" in stream.getvalue():
                said.set()

        stream.flush = flush  # type: ignore[method-assign]
        log.handler.handle(record("x"))
        log.handler.handle(record("x"))
        both.set()
        assert said.wait(30)
        log.stop()


def test_a_stream_that_is_full_holds_nobody_up() -> None:
    """Nobody reads the pipe: those who log go on, what does not fit is counted."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        log = Log(stream, terminal=False, most_waiting=100)
        for number in range(3_000):
            log.handler.handle(record(f"{number} {'x' * 100}", logging.INFO))
        with os.fdopen(reader) as other_end:
            text = iter(other_end)
            first = json.loads(next(text))
            assert first["event"].startswith("0 ")
            lost = first.get("lost", 0)
            log.handler.handle(record("the end", logging.INFO))

            def end() -> None:
                log.stop()
                stream.close()

            threading.Thread(target=end, daemon=True).start()
            told = 1
            for line in text:
                told += 1
                lost += json.loads(line).get("lost", 0)
            assert lost > 0
            assert told + lost == 3_001


def test_on_a_terminal_it_is_for_people() -> None:
    parent, child = pty.openpty()
    program = START.format(level="info") + 'ours.info("committed", extra={"router": "r1"})'
    environment = {**os.environ, "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", program], stderr=child, check=True, env=environment)
    os.close(child)
    text = os.read(parent, 65536).decode()
    os.close(parent)
    assert not text.startswith("{")
    assert "\x1b" not in text
    assert "committed" in text
    assert "router=r1" in text


def test_an_unknown_level_is_refused() -> None:
    from k8s_ecmp.daemon.logs import configure

    with pytest.raises(ValueError, match="levels are debug, info, warning, error"):
        configure("loud")

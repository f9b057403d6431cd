"""The daemon's log: one JSON object a line on stderr, or text for people where stderr is a terminal.

Modules log with the standard library: `logging.getLogger(__name__).info("committed", extra={"router": name})`; what
stands in `extra` becomes keys of the line. structlog renders it, in a thread of its own: a slow or full stderr holds
nothing up, and structlog, which takes a tenth of a second to load, does not delay the first cycle.
"""

import atexit
import contextlib
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from k8s_ecmp.redaction import redacted, sanitized

if TYPE_CHECKING:
    from structlog.stdlib import ProcessorFormatter

LEVELS = ("debug", "info", "warning", "error")
REPEAT_S = 60.0
"""A warning that comes again within so many seconds is counted, not said."""

_MOST_REMEMBERED = 1_000
_MOST_WAITING = 10_000
_FLUSH_S = 5.0
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
# Libraries at this level whatever ours is: at their own debug level they print requests, tokens and all.
_LIBRARIES = ("kubernetes", "urllib3", "paramiko", "netmiko", "napalm", "nornir", "uvicorn", "asyncio", "websocket")

_SECRET_KEY = re.compile(r"passw|secret|token|authorization|credential|private_key|enable_password", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(?i)\b(password|passwd|secret|token)(['\"]?\s*[=:]\s*['\"]?)[^\s'\",;}]+")


class Repeats:
    """Remembers which warnings were said, and counts those that come again.

    Two records are the same when logger, level, text and the words among their extra fields are; numbers among them
    (durations, counts) do not tell them apart.
    """

    def __init__(self, repeat_s: float = REPEAT_S) -> None:
        self._repeat_s = repeat_s
        self._seen: dict[tuple[object, ...], _Seen] = {}

    def admit(self, record: logging.LogRecord, now_s: float) -> bool:
        """Whether to say the record; False: it was counted."""
        if record.levelno < logging.WARNING:
            return True
        fields = sorted((k, v) for k, v in vars(record).items() if k not in _STANDARD and isinstance(v, str))
        key = (record.name, record.levelno, record.getMessage(), *fields)
        seen = self._seen.get(key)
        if seen is not None:
            self._seen[key] = seen._replace(record=record, more=seen.more + 1)
            return False
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = _Seen(now_s + self._repeat_s, record, 0)
        return True

    def due(self, now_s: float | None) -> Iterator[logging.LogRecord]:
        """What came again and has not been said for `repeat_s`: the last of each, with `repeated`, how often it came.

        What did not come again is forgotten, so that it is said at once when it does. `now_s` None: all.
        """
        for key, seen in list(self._seen.items()):
            if now_s is not None and seen.until_s > now_s:
                continue
            del self._seen[key]
            if seen.more:
                seen.record.repeated = seen.more
                if now_s is not None:
                    self._seen[key] = _Seen(now_s + self._repeat_s, seen.record, 0)
                yield seen.record

    def next_s(self) -> float | None:
        """When `due` is to be asked again; None: never."""
        return min((seen.until_s for seen in self._seen.values()), default=None)


class _Seen(NamedTuple):
    until_s: float
    record: logging.LogRecord
    more: int


class Log:
    """The running log. `stop` writes what waits; it is called at the exit of the process too.

    Args:
        stream: where lines go.
        terminal: for people instead of programs.
        repeat_s: as `REPEAT_S`.
        most_waiting: lines that wait for a slow stream; more are counted, not kept.
    """

    def __init__(
        self, stream: TextIO, *, terminal: bool, repeat_s: float = REPEAT_S, most_waiting: int = _MOST_WAITING
    ) -> None:
        self._stream = stream
        self._terminal = terminal
        self._repeats = Repeats(repeat_s)
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(most_waiting)
        self._lost = 0
        self._lost_lock = threading.Lock()
        self.handler = _Handler(self._take)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Writes what waits and ends the thread. May be called twice."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=_FLUSH_S)
        self._thread.join(_FLUSH_S)

    def _take(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            with self._lost_lock:
                self._lost += 1

    def _write(self) -> None:
        formatter = _formatter(terminal=self._terminal)
        while True:
            next_s = self._repeats.next_s()
            try:
                timeout = None if next_s is None else max(0.0, next_s - time.monotonic())
                record = self._waiting.get(timeout=timeout)
            except queue.Empty:
                self._say(formatter, self._repeats.due(time.monotonic()))
                continue
            if record is None:
                self._say(formatter, self._repeats.due(None))
                return
            if self._repeats.admit(record, time.monotonic()):
                self._say(formatter, iter((record,)))

    def _say(self, formatter: "ProcessorFormatter", records: Iterator[logging.LogRecord]) -> None:
        for record in records:
            if self._lost:
                with self._lost_lock:
                    record.lost, self._lost = self._lost, 0
            # Nobody reads it: a log that cannot be written is no reason to stop.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(formatter.format(record) + "\n")
                self._stream.flush()


class _Handler(logging.Handler):
    def __init__(self, take: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        # Arguments may change before the thread comes to it, and a traceback would keep frames alive.
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exception = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        self._take(record)


def configure(level: str = "info", stream: TextIO | None = None) -> Log:
    """Sends everything that is logged in this process through one `Log`, which replaces what stood there.

    Args:
        level: of this project's own messages, one of `LEVELS`; libraries speak from "warning" on.
        stream: None: stderr.

    Raises:
        ValueError: no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"there is no log level {level!r}; levels are {', '.join(LEVELS)}")
    out = stream or sys.stderr
    log = Log(out, terminal=out.isatty())
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(log.handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("k8s_ecmp").setLevel(level.upper())
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.handlers.clear()
        library.propagate = True
    logging.captureWarnings(True)
    atexit.register(log.stop)
    return log


# --- rendering -----------------------------------------------------------------------------------------------------

_Event = MutableMapping[str, Any]


def _formatter(*, terminal: bool) -> "ProcessorFormatter":
    from structlog import dev, processors, stdlib

    renderer: Any = processors.JSONRenderer(default=str, ensure_ascii=False)
    if terminal:
        colours = "NO_COLOR" not in os.environ
        renderer = dev.ConsoleRenderer(colors=colours, exception_formatter=dev.plain_traceback)
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[_when, stdlib.add_log_level, stdlib.add_logger_name, stdlib.ExtraAdder()],
        processors=[stdlib.ProcessorFormatter.remove_processors_meta, _redact, renderer],
    )


def _when(_: Any, __: str, event: _Event) -> _Event:
    """The time at which it was logged, not that of its rendering."""
    created = event["_record"].created
    event["timestamp"] = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _redact(_: Any, __: str, event: _Event) -> _Event:
    """No message of this project holds a secret; those of libraries may, and may quote a router's configuration."""
    ours = str(event.get("logger", "")).startswith("k8s_ecmp")
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = "***"
        elif isinstance(value, str):
            clean = redacted(value) if ours and key != "exception" else sanitized(value)
            event[key] = _SECRET_TEXT.sub(r"\1\2***", clean)
    return event

"""The pipes to ExaBGP: what it says is read at once, whatever else happens; what it is told waits for its answers.

ExaBGP writes to its process without looking whether anybody reads: once 64 KiB are unread it stands still, its hold
timers end and the peers drop every route. It takes commands faster than it does them; more than ten unanswered ones
make it slower, not faster.
"""

import asyncio
import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator

WINDOW = 10
"""Lines without an answer."""

_BURST = 4  # blocks that are sent before somebody else may send
_STDIN, _STDOUT = 0, 1


class Pipe:
    """Reads standard input in a thread of its own, and writes commands to standard output.

    Answers come without saying to what, and not in order: they are counted. One sender at a time therefore has the
    pipe, and hands it on when all of its lines are answered.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, event: Callable[[str], None], end: Callable[[], None]) -> None:
        """Starts reading.

        Args:
            loop: in which `event` and `end` are called.
            event: takes every line that is no answer.
            end: called when ExaBGP has closed the pipe.
        """
        self._event = event
        self._sender = asyncio.Lock()
        self._answered = asyncio.Condition()
        self._waiting = 0
        self._errors = 0
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        threading.Thread(target=self._read, args=(end,), name="exabgp", daemon=True).start()

    @property
    def unanswered(self) -> int:
        """Lines to which ExaBGP has not yet said anything."""
        return self._waiting

    async def send(self, blocks: Iterable[list[str]]) -> int:
        """Sends lines and waits until all are answered.

        Args:
            blocks: lists of lines; each list is made directly before it is sent, and nobody else sends in between.

        Returns:
            How many of the lines ExaBGP refused.
        """
        refused = 0
        left: Iterator[list[str]] = iter(blocks)
        while True:
            async with self._sender:
                before = self._errors
                sent = 0
                for block in itertools.islice(left, _BURST):
                    sent += 1
                    for line in block:
                        await self._room(WINDOW - 1)
                        self._write(line)
                await self._room(0)
                refused += self._errors - before
            if not sent:
                return refused

    def _write(self, line: str) -> None:
        text = line.encode("ascii") + b"\n"
        self._waiting += 1
        while text:
            text = text[os.write(_STDOUT, text) :]

    async def _room(self, most: int) -> None:
        async with self._answered:
            await self._answered.wait_for(lambda: self._waiting <= most)

    def _read(self, end: Callable[[], None]) -> None:
        rest = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the bridge is leaving
            while part := os.read(_STDIN, 1 << 16):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    self._loop.call_soon_threadsafe(self._take, line.decode("ascii", "replace").strip())
            self._loop.call_soon_threadsafe(end)

    def _take(self, line: str) -> None:
        if line in ("done", "error"):
            self._waiting = max(0, self._waiting - 1)
            self._errors += line == "error"
            task = self._loop.create_task(self._tell())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif line:
            self._event(line)

    async def _tell(self) -> None:
        async with self._answered:
            self._answered.notify_all()

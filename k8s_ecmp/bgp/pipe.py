"""The pipes to ExaBGP: what it says is read at once, whatever else happens; what it is told waits for its answers.

ExaBGP writes to its process without looking whether anybody reads: once 64 KiB are unread it stands still, its hold
timers end and the peers drop every route. It takes commands faster than it does them; more than ten unanswered ones
make it slower, not faster.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable

WINDOW = 10
"""Lines without an answer."""

_BURST = 4  # blocks that are sent before somebody else may send
_STDIN, _STDOUT = 0, 1


class Pipe:
    """Reads standard input in a thread of its own, and writes commands to standard output.

    Answers come without saying to what, and not in order: they are counted. One sender at a time therefore has the
    pipe. It hands it on, when all of its lines are answered, to the next that waits for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, event: Callable[[str], None], end: Callable[[], None]) -> None:
        """Starts reading.

        Args:
            loop: in which `event` and `end` are called.
            event: takes every line that is no answer.
            end: called when ExaBGP has closed the pipe.
        """
        self._event = event
        self._end = end
        self._sender = asyncio.Lock()
        self._senders = 0
        self._waiting = 0
        self._errors = 0
        self._most = 0
        self._room: asyncio.Future[None] | None = None
        self._loop = loop
        threading.Thread(target=self._read, name="exabgp", daemon=True).start()

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
        refused, more, left = 0, True, iter(blocks)
        self._senders += 1
        try:
            while more:
                async with self._sender:
                    await self._await_room(0)  # what a sender left behind whose blocks failed
                    before = self._errors
                    more = await self._send_some(left)
                    await self._await_room(0)
                    refused += self._errors - before
        finally:
            self._senders -= 1
        return refused

    async def _send_some(self, blocks: Iterable[list[str]]) -> bool:
        """Whether there may be more: somebody else waits for the pipe."""
        for sent, block in enumerate(blocks, 1):
            for line in block:
                await self._await_room(WINDOW - 1)
                self._write(line)
            if sent >= _BURST and self._senders > 1:
                return True
        return False

    def _write(self, line: str) -> None:
        text = line.encode("ascii") + b"\n"
        self._waiting += 1
        try:
            while text:
                text = text[os.write(_STDOUT, text) :]
        except BrokenPipeError:  # no answer will come: who waits for one is told so by the end of this process
            self._end()

    async def _await_room(self, most: int) -> None:
        """Until no more lines than that are unanswered; the sender alone."""
        while self._waiting > most:
            self._most, self._room = most, self._loop.create_future()
            await self._room

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the bridge is leaving
            while part := os.read(_STDIN, 1 << 16):
                *lines, rest = (rest + part).split(b"\n")
                self._loop.call_soon_threadsafe(self._take, lines)
            self._loop.call_soon_threadsafe(self._end)

    def _take(self, lines: Iterable[bytes]) -> None:
        """Counts the answers. Events are heard before the sender goes on, and a mistake in one of them ends nothing."""
        for said in lines:
            line = said.decode("ascii", "replace").strip()
            if line in ("done", "error"):
                self._waiting = max(0, self._waiting - 1)
                self._errors += line == "error"
            elif line:
                self._loop.call_soon(self._event, line)
        if self._room is not None and self._waiting <= self._most:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

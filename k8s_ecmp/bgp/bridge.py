"""The process that ExaBGP runs: it keeps what is announced, tells ExaBGP, and serves clients on a unix socket.

    python -m k8s_ecmp.bgp.bridge FOLDER/bridge.json

Clients come and go; the sessions and what they announce stay. The bridge itself may be killed: ExaBGP starts it again,
and it says everything once more. Standard library alone, so that what is upgraded with the client leaves it running.
"""

import asyncio
import contextlib
import fcntl
import itertools
import os
import signal
import stat
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k8s_ecmp.bgp import events
from k8s_ecmp.bgp.announced import Announced, Wanted
from k8s_ecmp.bgp.frames import Message
from k8s_ecmp.bgp.lines import BLOCK, end_of_rib
from k8s_ecmp.bgp.peer import Change, Link, Peer
from k8s_ecmp.bgp.peers import BridgeConfig, Session, read_config
from k8s_ecmp.bgp.pipe import Pipe
from k8s_ecmp.bgp.requests import Refused, Requests
from k8s_ecmp.bgp.signs import Signs
from k8s_ecmp.bgp.troubles import Troubles, say
from k8s_ecmp.memory import collect_rarely

AGAIN_S = 3.0
"""ExaBGP drops withdrawals in the first batch after a session came up, and does not say when that batch is out: they
are said again so long after."""

_WRITTEN_AT_ONCE = 4 * BLOCK  # prefixes
_TICK_S = 1.0
_RELOADED_S = 20.0
_RETRIED_S = 80.0
_TOLD_AGAIN_S = 0.5


class Bridge:
    """All peers of one ExaBGP."""

    def __init__(self, config: BridgeConfig, loop: asyncio.AbstractEventLoop) -> None:
        """Reads what was announced; ExaBGP is asked for its sessions when the loop runs.

        Raises:
            sqlite3.Error, ValueError: what is on disk cannot be used.
        """
        self._loop = loop
        self._file = config.file
        self._announced = Announced(config.database)
        self.peers: dict[str, Peer] = {}
        self.writing: dict[str, asyncio.Lock] = {}
        self.signs = Signs(self._announced)
        self._adopt(config)
        self._announced.keep_only(self.peers)
        self._reloading = asyncio.Lock()
        self._listed: frozenset[Session] = frozenset()
        self._described: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writes: set[asyncio.Task[None]] = set()
        self._letting_go: set[str] = set()
        self._troubles = Troubles()
        self.ended = asyncio.Event()
        self._pipe = Pipe(loop, self._event, self.ended.set)

    async def start(self) -> None:
        """Learns which sessions stand, and begins to look at the clock."""
        await self._pipe.send([["show neighbor json"]])
        self.spawn(self._watch())

    @property
    def unanswered(self) -> int:
        """Lines that ExaBGP has not yet answered."""
        return self._pipe.unanswered

    # --- what ExaBGP says ---

    def _event(self, line: str) -> None:
        event = events.read(line)
        match event:
            case events.Described(mark):
                self._described.add(mark)
            case events.Shutdown():
                self.ended.set()
            case events.Listed(sessions, standing):
                self._listed = sessions
                for agreed in standing:
                    if (found := self._links.get(agreed.session)) and not found[1].up:
                        found[1].agree(agreed)
                        self._up(*found)
            case events.Negotiated(session) | events.Up(session) | events.Down(session):
                if found := self._links.get(session):
                    self._of_session(event, *found)

    def _of_session(self, event: events.Negotiated | events.Up | events.Down, peer: Peer, link: Link) -> None:
        match event:
            case events.Negotiated():
                link.agree(event)
            case events.Up():
                self._up(peer, link)
            case events.Down(_, reason):
                self._down(peer, link, reason)

    def _up(self, peer: Peer, link: Link) -> None:
        before = peer.closed()
        link.up, link.synced, link.since, link.reason = True, False, time.time(), ""
        peer.version += peer.closed() != before  # clients read anew
        link.epoch += 1
        self.spawn(self._resend(peer, link, link.epoch))

    def _down(self, peer: Peer, link: Link, reason: str) -> None:
        before = peer.closed()
        if link.up:
            link.since = time.time()
        link.up, link.synced, link.reason = False, False, reason
        peer.version += peer.closed() != before

    async def _resend(self, peer: Peer, link: Link, epoch: int) -> None:
        """Everything, then what was withdrawn of late, then the end-of-RIB; then the withdrawals once more.

        It ends with its session: the next one is told everything again.
        """

        def still_up(_: list[str]) -> bool:
            return link.epoch == epoch and link.up

        await self._pipe.send(itertools.takewhile(still_up, peer.announce(link)))
        await self._pipe.send(itertools.takewhile(still_up, peer.withdraw(link, list(peer.leaving))))
        if link.epoch != epoch or not link.up:
            return
        await self._pipe.send([[end_of_rib(link.session.selector, family) for family in peer.config.families]])
        link.synced = link.epoch == epoch and link.up
        await asyncio.sleep(AGAIN_S)
        if link.epoch == epoch and link.up:
            await self._pipe.send(peer.withdraw(link, list(peer.leaving)))

    # --- the clock ---

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            for name, peer in self.peers.items():
                with self._troubles.outlived(name):
                    if not self.signs.current(name, peer.config.hand_over_s):
                        self.stand(peer, behind=True)
                    if self.signs.broken(name) and name not in self._letting_go:
                        self._letting_go.add(name)
                        self.spawn(self._let_go(peer))
                with self._troubles.outlived(f"{name}, what was withdrawn of late"):
                    peer.forget_leaving()
                with self._troubles.outlived(f"{name}, a change that could not be written"):
                    if not self.writing[name].locked():
                        peer.forget_begun()

    async def _let_go(self, peer: Peer) -> None:
        """Nobody has followed the cluster for too long: what is announced may lead to nodes that are dead.

        The promise is forgotten when the withdrawal is written and said: what fails is tried again at the next tick.
        """
        name = peer.config.name
        with self._troubles.outlived(f"{name}, the withdrawal of everything"):
            try:
                async with self.writing[name]:
                    if self.peers.get(name) is peer and self.signs.broken(name):
                        within_s = self.signs.within_s(name)
                        note = f"withdrawn: no client that follows the cluster was here for {within_s:g} s"
                        await self.change(peer, dict.fromkeys(peer.routes, ()))
                        peer.note = note
                        say(f"{name}: {note}")
                        if self.signs.broken(name):
                            self.signs.promise(name, None)
            finally:
                self._letting_go.discard(name)

    def stand(self, peer: Peer, *, behind: bool) -> None:
        """Leaves the routes to the other replicas, or takes them back: everything is said again with another MED."""
        if peer.config.attributes_behind is None or peer.behind == behind:
            return
        peer.behind = behind
        say(f"{peer.config.name}: {'stands back' if behind else 'is current'}")
        self.spawn(self._say_again(peer))

    async def _say_again(self, peer: Peer) -> None:
        """On sessions that are down, too: ExaBGP keeps it, and says it before anything else when they come up."""
        for link in peer.links:
            await self._pipe.send(peer.announce(link))

    # --- its configuration ---

    def _adopt(self, config: BridgeConfig) -> None:
        """Puts these peers in place of those that are there."""
        peers = {}
        for told in config.peers:
            peer = self.peers.get(told.name)
            if peer is None:
                peer = Peer(told, self._announced)
            elif peer.config != told:
                peer.configure(told)
            peers[told.name] = peer
        for name in self.peers.keys() - peers.keys():
            self.writing.pop(name, None)
            self.signs.forget(name)
        self.peers = peers
        self._links = {link.session: (peer, link) for peer in peers.values() for link in peer.links}
        for name in peers:
            self.writing.setdefault(name, asyncio.Lock())
            self.signs.watch(name)

    async def reload(self) -> Message:
        """Reads what was written for bridge and ExaBGP anew; sessions that are to be as they were stay up."""
        async with self._reloading, contextlib.AsyncExitStack() as stack:
            try:
                was = dict(self.peers)
                config, changed, removed = await self._locked(stack)
                said = {name: peer.attributes for name, peer in was.items()}
                down = any(not link.up for _, link in self._links.values())
                owners = {session: told.name for told in config.peers for session in told.sessions}
                farewells = [
                    (link, list(peer.farewell(link)))
                    for peer, link in self._links.values()
                    if link.up and owners.get(link.session) != peer.config.name
                ]
                self._adopt(config)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Refused("reload", f"{self._file} cannot be used: {error}") from error
            for name in changed:
                if name not in was:
                    await stack.enter_async_context(self.writing[name])
            for link, lines in farewells:
                link.up = False  # what is being said to it ends
                await self._pipe.send(lines)
            if not await self._taken_over(config.mark, _RETRIED_S if down else _RELOADED_S):
                raise Refused("reload", "ExaBGP did not take its new configuration; its log says why")
            for name in changed:
                if self.peers[name].attributes != said.get(name, self.peers[name].attributes):
                    await self._say_again(self.peers[name])
            self._announced.keep_only(self.peers)
            return {"changed": changed, "removed": removed}

    async def _locked(self, stack: contextlib.AsyncExitStack) -> tuple[BridgeConfig, list[str], list[str]]:
        """What is in the file once nothing is written to peers that it changes, with their names and those it removes.

        Whoever wrote the file may have put back the one before while a change was waited for.
        """
        while True:
            config = read_config(self._file)
            was = self.peers
            changed = [told.name for told in config.peers if told.name not in was or was[told.name].config != told]
            removed = sorted(was.keys() - {told.name for told in config.peers})
            async with contextlib.AsyncExitStack() as locks:
                for name in (*changed, *removed):
                    if name in was:
                        await locks.enter_async_context(self.writing[name])
                if read_config(self._file) == config:
                    stack.push_async_exit(locks.pop_all())
                    return config, changed, removed

    async def _taken_over(self, mark: str, within_s: float) -> bool:
        """Whether ExaBGP comes to have exactly the sessions that are known here, from the file with this mark.

        It answers before it has read the file, and forgets to read it where it has not yet said everything: it is told
        until it has. What it has to say to a session that is not up it gives up when it has tried in vain to connect,
        once a minute at least: the bridge says it again when that is up.
        """
        sessions = frozenset(self._links)
        began = told = time.monotonic()
        await self._pipe.send([["reload"]])
        while time.monotonic() - began < within_s:
            self._described = set()
            await self._pipe.send([["show neighbor json"], ["show neighbor configuration"]])
            if self._listed == sessions and (not mark or self._described == {mark}):
                return True
            await asyncio.sleep(0.1)
            if time.monotonic() - told > _TOLD_AGAIN_S:
                told = time.monotonic()
                await self._pipe.send([["reload"]])
        return False

    async def change(self, peer: Peer, wanted: Wanted) -> int:
        """Writes a change, which was checked, down and says it. Returns how many lines were refused.

        Some prefixes are written at a time, and the next while ExaBGP is busy with these. All of it is written, whether
        or not ExaBGP answers.
        """
        written: deque[Change] = deque()
        writing = self.spawn(self._write(peer, wanted, written))
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        refused = 0
        try:
            while written or not writing.done():
                refused += await self._pipe.send(_lines(peer, written))
                await asyncio.sleep(0)
        finally:
            await writing
        return refused

    async def _write(self, peer: Peer, wanted: Wanted, written: deque[Change]) -> None:
        if len(wanted) > _WRITTEN_AT_ONCE:
            peer.begin(wanted)
        left, count = iter(wanted.items()), len(wanted)
        while part := dict(itertools.islice(left, _WRITTEN_AT_ONCE)):
            count -= len(part)
            written.append(peer.set(part, last=not count))
            await asyncio.sleep(0)

    async def written(self) -> None:
        """Returns when nothing is being written any more."""
        while self._writes:
            await asyncio.wait(self._writes)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Runs it, keeps it until it has ended, and says what ended it where that was a mistake."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            say("".join(traceback.format_exception(error)))


def _lines(peer: Peer, written: deque[Change]) -> Iterator[list[str]]:
    while written:
        yield from peer.lines(written.popleft())


async def _run(config: BridgeConfig) -> None:
    loop = asyncio.get_running_loop()
    bridge = Bridge(config, loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, bridge.ended.set)
    starting, ending = loop.create_task(bridge.start()), loop.create_task(bridge.ended.wait())
    # An ExaBGP that is gone already answers nothing any more.
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        return
    await starting
    with contextlib.suppress(FileNotFoundError):
        config.socket.unlink()
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(Requests(bridge).serve, str(config.socket))
    finally:
        os.umask(before)
    await ending
    server.close()
    await bridge.written()


def _make_private(folder: Path) -> None:
    """Takes the others' rights from a folder that was there before, unless it is not ours (a volume) or everybody's."""
    mode = folder.stat().st_mode
    if mode & 0o077 and not mode & stat.S_ISVTX:
        with contextlib.suppress(PermissionError):
            folder.chmod(0o700)


def main() -> int:
    """Serves until ExaBGP closes the pipe or ends this process."""
    os.umask(0o077)
    collect_rarely()
    file = Path(sys.argv[1])
    config = read_config(file)
    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_private(config.folder)
    with config.lock.open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the bridge before this one is gone
        asyncio.run(_run(read_config(file)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

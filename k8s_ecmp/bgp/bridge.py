"""The process that ExaBGP runs: it keeps what is announced, tells ExaBGP, and serves clients on a unix socket.

    python -m k8s_ecmp.bgp.bridge FOLDER/bridge.json

Clients come and go; the sessions and what they announce stay. The bridge itself may be killed: ExaBGP starts it again,
and it says everything once more. Standard library alone, so that what is upgraded with the client leaves it running.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from k8s_ecmp.bgp.announced import Announced
from k8s_ecmp.bgp.frames import Message, pack, receive_async
from k8s_ecmp.bgp.lines import end_of_rib
from k8s_ecmp.bgp.peer import Link, Peer
from k8s_ecmp.bgp.peers import BridgeConfig, read_config
from k8s_ecmp.bgp.pipe import Pipe

AGAIN_S = 3.0
"""ExaBGP drops withdrawals in the first batch after a session came up, and does not say when that batch is out: they
are said again so long after."""

_TICK_S = 1.0


class Refused(Exception):
    """A request that is answered with an error of some kind."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Client:
    """One connection, and the peers that it has locked."""

    def __init__(self) -> None:
        self.name = "a client"
        self.locked: set[str] = set()


class Bridge:
    """All peers of one ExaBGP."""

    def __init__(self, config: BridgeConfig, loop: asyncio.AbstractEventLoop) -> None:
        """Reads what was announced; ExaBGP is asked for its sessions when the loop runs.

        Raises:
            sqlite3.Error, ValueError: what is on disk cannot be used.
        """
        self._loop = loop
        self._announced = Announced(config.database)
        self.peers = {peer.name: Peer(peer, self._announced) for peer in config.peers}
        self._links = {
            (link.session.local, link.session.peer): (peer, link) for peer in self.peers.values() for link in peer.links
        }
        self._holders: dict[str, Client] = {}
        self._writing = {name: asyncio.Lock() for name in self.peers}
        self._held = {name: self._announced.held(name) for name in self.peers}
        self._seen = dict.fromkeys(self.peers, time.monotonic())
        self._tasks: set[asyncio.Task[Any]] = set()
        self.ended = asyncio.Event()
        self._pipe = Pipe(loop, self._event, self.ended.set)
        self._verbs: dict[str, Callable[[Message, Client], Awaitable[Message]]] = {
            "hello": self._hello,
            "status": self._status,
            "lock": self._lock,
            "unlock": self._unlock,
            "read": self._read,
            "commit": self._commit,
            "hold": self._hold,
        }

    async def start(self) -> None:
        """Learns which sessions stand, and begins to look at the clock."""
        await self._pipe.send([["show neighbor json"]])
        self._spawn(self._watch())

    # --- what ExaBGP says ---

    def _event(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if isinstance(said, list):
            for entry in said:
                self._found(entry)
        elif said.get("notification") == "shutdown":
            self.ended.set()
        elif said.get("type") in ("state", "negotiated"):
            neighbor = said["neighbor"]
            found = self._links.get((neighbor["address"]["local"], neighbor["address"]["peer"]))
            if found is None:
                return
            if said["type"] == "negotiated":
                found[1].add_path = frozenset(neighbor["negotiated"]["add_path"]["send"])
            elif neighbor["state"] == "up":
                self._up(*found)
            elif neighbor["state"] == "down":
                self._down(found[1], str(neighbor.get("reason") or "the session was lost"))

    def _found(self, entry: Message) -> None:
        """A session as ExaBGP lists it: how a bridge that was started again learns of those that stand.

        Not by `state`, which is "down" in the first second of a session.
        """
        found = self._links.get((str(entry["local"]["address"]), str(entry["peer"]["address"])))
        if found is None or str(entry["fsm"]).upper() != "ESTABLISHED" or found[1].up:
            return
        sending = {name for name, way in entry["add-path"].items() if "send" in str(way)}
        found[1].add_path = frozenset(sending)
        self._up(*found)

    def _up(self, peer: Peer, link: Link) -> None:
        link.up, link.synced, link.since, link.reason = True, False, time.time(), ""
        link.epoch += 1
        self._spawn(self._resend(peer, link, link.epoch))

    def _down(self, link: Link, reason: str) -> None:
        if link.up:
            link.since = time.time()
        link.up, link.synced, link.reason = False, False, reason

    async def _resend(self, peer: Peer, link: Link, epoch: int) -> None:
        """Everything, then what was withdrawn of late, then the end-of-RIB; then the withdrawals once more."""
        await self._pipe.send(peer.announce(link))
        await self._pipe.send(peer.withdraw(link, list(peer.leaving)))
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
                peer.forget_leaving()
                within = self._held[name]
                if within is not None and time.monotonic() - self._seen[name] > within:
                    self._promise(name, None)
                    self._spawn(self._let_go(peer, within))

    async def _let_go(self, peer: Peer, within_s: float) -> None:
        """Nobody has followed the cluster for too long: what is announced may lead to nodes that are dead."""
        peer.note = f"withdrawn: no client that follows the cluster was here for {within_s:g} s"
        print(f"{peer.config.name}: {peer.note}", file=sys.stderr, flush=True)  # noqa: T201
        async with self._writing[peer.config.name]:
            await self._change(peer, dict.fromkeys(peer.routes, ()))

    def _promise(self, name: str, within_s: float | None) -> None:
        if self._held[name] != within_s:
            self._announced.hold(name, within_s)
            self._held[name] = within_s
        self._seen[name] = time.monotonic()

    # --- what clients ask ---

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, request by request, until it leaves."""
        client = Client()
        try:
            while (request := await receive_async(reader)) is not None:
                # A commit that has begun is finished, whether or not its client waits for the end.
                answer = await asyncio.shield(self._spawn(self._answer(request, client)))
                writer.write(pack(answer))
                await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):  # it is gone, or the bridge is leaving
            pass
        finally:
            self._release(client)
            writer.close()

    async def _answer(self, request: Message, client: Client) -> Message:
        verb = self._verbs.get(str(request.get("op")))
        try:
            if verb is None:
                raise Refused("protocol", f"the bridge does not know {request.get('op')!r}")
            return {"ok": True, **await verb(request, client)}
        except Refused as error:
            return {"ok": False, "error": {"kind": error.kind, "text": str(error)}}
        except Exception as error:  # noqa: BLE001  a client's mistake must not end the sessions
            return {"ok": False, "error": {"kind": "internal", "text": f"{type(error).__name__}: {error}"}}

    async def _hello(self, request: Message, client: Client) -> Message:
        client.name = str(request.get("client") or client.name)
        return {"protocol": 1, "pid": os.getpid(), "exabgp_pid": os.getppid(), "peers": sorted(self.peers)}

    async def _status(self, request: Message, client: Client) -> Message:  # noqa: ARG002
        return {
            "unanswered": self._pipe.unanswered,
            "peers": {name: self._state(peer) for name, peer in self.peers.items()},
        }

    def _state(self, peer: Peer) -> Message:
        name = peer.config.name
        holder = self._holders.get(name)
        return {
            "prefixes": len(peer.routes),
            "next_hops": sum(map(len, peer.routes.values())),
            "refused": peer.refusal(),
            "note": peer.note,
            "holder": None if holder is None else holder.name,
            "held_s": self._held[name],
            "version": peer.version,
            "sessions": [
                {
                    "local": link.session.local,
                    "peer": link.session.peer,
                    "up": link.up,
                    "synced": link.synced,
                    "since": link.since,
                    "reason": link.reason,
                }
                for link in peer.links
            ],
        }

    async def _read(self, request: Message, client: Client) -> Message:  # noqa: ARG002
        peer = self._peer(request)
        routes = {
            prefix: [[address, hop.tag, hop.name] for address, hop in hops.items()]
            for prefix, hops in peer.routes.items()
        }
        return {"routes": routes, "state": self._state(peer)}

    async def _lock(self, request: Message, client: Client) -> Message:
        name = self._peer(request).config.name
        holder = self._holders.setdefault(name, client)
        if holder is not client:
            raise Refused("locked", holder.name)
        client.locked.add(name)
        return {}

    async def _unlock(self, request: Message, client: Client) -> Message:
        name = self._peer(request).config.name
        if self._holders.get(name) is client:
            del self._holders[name]
            client.locked.discard(name)
        return {}

    async def _commit(self, request: Message, client: Client) -> Message:
        peer = self._peer(request)
        name = peer.config.name
        if self._holders.get(name) is not client:
            raise Refused("lock", f"{name} is not locked by this client")
        wanted = {str(prefix): [(hop[0], hop[1], hop[2]) for hop in hops] for prefix, hops in request["routes"].items()}
        async with self._writing[name]:
            if self._holders.get(name) is not client:
                raise Refused("lock", f"{name} is no longer locked by this client")
            try:
                refused = await self._change(peer, wanted)
            except ValueError as error:
                raise Refused("invalid", str(error)) from error
        peer.note = None
        if refused:
            raise Refused("exabgp", f"ExaBGP refused {refused} of the commands; its log says why")
        return {"version": peer.version}

    async def _hold(self, request: Message, client: Client) -> Message:  # noqa: ARG002
        within = request.get("within_s")
        self._promise(self._peer(request).config.name, None if within is None else float(within))
        return {}

    async def _change(self, peer: Peer, wanted: dict[str, Any]) -> int:
        """Writes the change down, announces what is new, and then withdraws. Returns how many lines were refused."""
        gained, left = peer.set(wanted)
        refused = 0
        for link in peer.links:
            refused += await self._pipe.send(peer.announce(link, gained))
        for link in peer.links:
            refused += await self._pipe.send(peer.withdraw(link, left))
        return refused

    def _peer(self, request: Message) -> Peer:
        name = str(request.get("peer"))
        if name not in self.peers:
            raise Refused("peer", f"ExaBGP's configuration has no peer {name}")
        return self.peers[name]

    def _release(self, client: Client) -> None:
        for name in client.locked:
            if self._holders.get(name) is client:
                del self._holders[name]

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _run(config: BridgeConfig) -> None:
    loop = asyncio.get_running_loop()
    bridge = Bridge(config, loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, bridge.ended.set)
    await bridge.start()
    with contextlib.suppress(FileNotFoundError):
        config.socket.unlink()
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(bridge.serve, str(config.socket))
    finally:
        os.umask(before)
    await bridge.ended.wait()
    server.close()


def main() -> int:
    """Serves until ExaBGP closes the pipe or ends this process."""
    os.umask(0o077)
    config = read_config(Path(sys.argv[1]))
    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with config.lock.open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the bridge before this one is gone
        asyncio.run(_run(config))
    return 0


if __name__ == "__main__":
    sys.exit(main())

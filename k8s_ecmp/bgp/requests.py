"""What clients of the bridge ask: each connection has one request at a time, and may hold the locks of peers."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from k8s_ecmp.bgp.announced import Wanted
from k8s_ecmp.bgp.frames import Message, pack, receive_async
from k8s_ecmp.bgp.peer import Peer
from k8s_ecmp.bgp.signs import Signs


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


class Serving(Protocol):
    """The bridge, as requests need it."""

    peers: dict[str, Peer]
    signs: Signs
    writing: dict[str, asyncio.Lock]

    @property
    def unanswered(self) -> int: ...

    async def change(self, peer: Peer, wanted: Wanted) -> int: ...

    async def reload(self) -> Message: ...

    def stand(self, peer: Peer, *, behind: bool) -> None: ...

    def spawn(self, work: Any) -> asyncio.Task[Any]: ...


class Requests:
    """Answers them."""

    def __init__(self, bridge: Serving) -> None:
        self._bridge = bridge
        self._holders: dict[str, Client] = {}
        self._verbs: dict[str, Callable[[Message, Client], Awaitable[Message]]] = {
            "hello": self._hello,
            "status": self._status,
            "lock": self._lock,
            "unlock": self._unlock,
            "read": self._read,
            "commit": self._commit,
            "hold": self._hold,
            "reload": self._reload,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, request by request, until it leaves."""
        client = Client()
        try:
            while (request := await receive_async(reader)) is not None:
                # A commit that has begun is finished, whether or not its client waits for the end.
                answer = await asyncio.shield(self._bridge.spawn(self._answer(request, client)))
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
        return {"protocol": 1, "pid": os.getpid(), "exabgp_pid": os.getppid(), "peers": sorted(self._bridge.peers)}

    async def _status(self, request: Message, client: Client) -> Message:  # noqa: ARG002
        return {
            "unanswered": self._bridge.unanswered,
            "peers": {name: self._state(peer) for name, peer in self._bridge.peers.items()},
        }

    def _state(self, peer: Peer) -> Message:
        name = peer.config.name
        holder = self._holders.get(name)
        return {
            "prefixes": len(peer.routes),
            "next_hops": sum(map(len, peer.routes.values())),
            "refused": peer.refusal(),
            "closed": peer.closed(),
            "note": peer.note,
            "holder": None if holder is None else holder.name,
            "held_s": self._bridge.signs.within_s(name),
            "behind": peer.behind and peer.config.attributes_behind is not None,
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
        async with self._bridge.writing[name]:
            if self._holders.get(name) is not client:
                raise Refused("lock", f"{name} is no longer locked by this client")
            if self._peer(request) is not peer:
                raise Refused("peer", f"ExaBGP's configuration has another peer {name} now")
            try:
                peer.check(wanted)
            except ValueError as error:
                raise Refused("invalid", str(error)) from error
            refused = await self._bridge.change(peer, wanted)
        peer.note = None
        if refused:
            raise Refused("exabgp", f"ExaBGP refused {refused} of the commands; its log says why")
        return {"version": peer.version}

    async def _hold(self, request: Message, client: Client) -> Message:  # noqa: ARG002
        """A client that follows the cluster is here: `current` while what it had announced is what shall be."""
        peer = self._peer(request)
        name = peer.config.name
        within = request.get("within_s")
        self._bridge.signs.promise(name, None if within is None else float(within))
        current = bool(request.get("current"))
        if current or within is None:
            self._bridge.signs.say_current(name, current=current)
            self._bridge.stand(peer, behind=not current)
        return {}

    async def _reload(self, request: Message, client: Client) -> Message:  # noqa: ARG002
        return await self._bridge.reload()

    def _peer(self, request: Message) -> Peer:
        name = str(request.get("peer"))
        if name not in self._bridge.peers:
            raise Refused("peer", f"ExaBGP's configuration has no peer {name}")
        return self._bridge.peers[name]

    def _release(self, client: Client) -> None:
        for name in client.locked:
            if self._holders.get(name) is client:
                del self._holders[name]

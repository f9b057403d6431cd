"""NETCONF over SSH as a server (RFC 6241, RFC 6242): hello, both framings, and the way from an operation to its answer.

A device gives a `NetconfServer` a function that makes a `Session` for each client. asyncio runs in a thread of its own.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Protocol
from xml.sax.saxutils import escape, quoteattr

import asyncssh
from lxml import etree

BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
BASE_11 = "urn:ietf:params:netconf:base:1.1"
_END = b"]]>]]>"


class Cut(Exception):
    """The connection ends here, without an answer."""


class RpcError(Exception):
    """The operation is refused; `body` is the XML of one or more <rpc-error> elements."""

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.body = body


class Session(Protocol):
    """What the device knows of one client."""

    async def answer(self, operation: etree._Element) -> str:
        """The XML inside of the <rpc-reply>, for the element inside of the <rpc>.

        Raises:
            RpcError: the operation is refused.
            Cut: the connection is to be lost instead of an answer.
        """
        ...

    def ended(self) -> None:
        """The client is gone; called once."""
        ...


def rpc_error(message: str, *, tag: str = "operation-failed", severity: str = "error", more: str = "") -> str:
    """An <rpc-error> as RFC 6241 has it; `more` is XML behind the message."""
    return (
        f"<rpc-error><error-type>application</error-type><error-tag>{tag}</error-tag>"
        f"<error-severity>{severity}</error-severity><error-message>{escape(message)}</error-message>{more}</rpc-error>"
    )


def local_name(element: etree._Element) -> str:
    """The name of an element without its namespace."""
    return str(etree.QName(element).localname)


class NetconfServer:
    """Serves the subsystem "netconf" on a free port of 127.0.0.1.

    Args:
        folder: where `known_hosts` is written, with the key of this server.
        logins: passwords by username.
        capabilities: of the hello; with base:1.1 among them and in the client's, messages are chunked.
        new_session: called with the number and username of each new session.
        namespaces: declarations on each reply, by prefix.
    """

    def __init__(
        self,
        folder: Path,
        logins: Mapping[str, str],
        capabilities: Sequence[str],
        new_session: Callable[[int, str], Session],
        namespaces: Mapping[str, str] | None = None,
    ) -> None:
        self.port = 0
        self.known_hosts = folder / "known_hosts"
        self._logins = logins
        self._capabilities = capabilities
        self._new_session = new_session
        self._namespaces = dict(namespaces or {})
        self._numbers: Iterator[int] = count(40001)
        self._clients: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Serves until `stop`."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(30)

    def stop(self) -> None:
        """Ends all sessions and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def cut(self) -> None:
        """Loses every connection."""
        for task in list(self._clients):
            self._loop.call_soon_threadsafe(task.cancel)

    async def _serve(self) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        self._server = await asyncssh.create_server(
            lambda: _Login(self._logins),
            "127.0.0.1",
            0,
            server_host_keys=[key],
            process_factory=self._client,
            encoding=None,
        )
        self.port = self._server.get_port()
        public = key.export_public_key().decode().strip()
        with self.known_hosts.open("a", encoding="utf-8") as file:  # others may share the folder
            file.write(f"[127.0.0.1]:{self.port} {public}\n")

    async def _end(self) -> None:
        self._server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _client(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        if process.subsystem != "netconf":
            process.exit(1)
            return
        number = next(self._numbers)
        session = self._new_session(number, str(process.get_extra_info("username")))
        task = asyncio.current_task()
        if task is not None:
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
        try:
            with suppress(asyncssh.Error, OSError, asyncio.IncompleteReadError, Cut):
                await self._talk(process, session, number)
        finally:
            session.ended()
            with suppress(Exception):
                process.get_extra_info("connection").abort()

    async def _talk(self, process: "asyncssh.SSHServerProcess[bytes]", session: Session, number: int) -> None:
        listed = "".join(f"<capability>{escape(item)}</capability>" for item in self._capabilities)
        hello = f'<hello xmlns="{BASE}"><capabilities>{listed}</capabilities><session-id>{number}</session-id></hello>'
        process.stdout.write(hello.encode() + _END)
        theirs = etree.fromstring(await _until_end(process.stdin))
        chunked = BASE_11 in self._capabilities and any(
            (item.text or "").strip() == BASE_11 for item in theirs.iter("{*}capability")
        )
        while True:
            message = await (_chunks(process.stdin) if chunked else _until_end(process.stdin))
            rpc = etree.fromstring(message)
            operation = next(rpc.iterchildren("*"))
            closing = local_name(operation) == "close-session"
            try:
                body = "<ok/>" if closing else await session.answer(operation)
            except RpcError as refused:
                body = refused.body
            reply = self._envelope(rpc, body).encode()
            process.stdout.write(b"\n#%d\n%s\n##\n" % (len(reply), reply) if chunked else reply + b"\n" + _END)
            await process.stdout.drain()
            if closing:
                return

    def _envelope(self, rpc: etree._Element, body: str) -> str:
        """RFC 6241, 4.2: every attribute of the request comes back."""
        names = [f'xmlns="{BASE}"', *(f"xmlns:{key}={quoteattr(uri)}" for key, uri in self._namespaces.items())]
        names += [f"{key}={quoteattr(value)}" for key, value in rpc.attrib.items() if "{" not in key]
        return f"<rpc-reply {' '.join(names)}>\n{body}\n</rpc-reply>"


class _Login(asyncssh.SSHServer):
    """Passwords only."""

    def __init__(self, logins: Mapping[str, str]) -> None:
        self._logins = logins

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self._logins.get(username) == password


async def _until_end(stdin: "asyncssh.SSHReader[bytes]") -> bytes:
    """A message up to the end-of-message mark of RFC 6242, 4.3."""
    message = await stdin.readuntil(_END)
    return message[: -len(_END)].strip()


async def _chunks(stdin: "asyncssh.SSHReader[bytes]") -> bytes:
    """A message in the chunks of RFC 6242, 4.2."""
    parts: list[bytes] = []
    while True:
        head = (await stdin.readuntil(b"\n")).strip()
        if not head:
            continue
        if head == b"##":
            return b"".join(parts)
        parts.append(await stdin.readexactly(int(head[1:])))

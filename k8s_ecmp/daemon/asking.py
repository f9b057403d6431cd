"""One HTTP connection on which a health port is asked, once or again and again."""

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping
from typing import Final

from k8s_ecmp.core.probing import ANSWERED, Outcome

_log = logging.getLogger(__name__)

_LONGEST_HEAD = 8 << 10
_LONGEST_BODY = 64 << 10
_OUR_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_WORDS: Final[Mapping[int, str]] = {
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
}


def write_request(address: str, port: int, path: str) -> bytes:
    """A GET in HTTP/1.0, so that no answer comes in chunks."""
    host = f"[{address}]" if ":" in address else address
    return (
        f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: k8s-ecmp\r\nConnection: keep-alive\r\n\r\n"
    ).encode()


class Line(asyncio.Protocol):
    """One connection. Asks one thing at a time, and again while `free`; once it has hung up, never again."""

    __slots__ = (
        "_address",
        "_buffer",
        "_connecting",
        "_expiry",
        "_loop",
        "_port",
        "_receiving",
        "_request",
        "_reused",
        "_told",
        "_transport",
        "asking",
    )

    def __init__(self, address: str, port: int, request: bytes, told: Callable[["Line", Outcome | None], None]) -> None:
        """Connects when it is asked first. All of it happens in the thread of its event loop.

        Args:
            address: of IPv4 or IPv6.
            port: the TCP port.
            request: what is sent to ask.
            told: takes the line and the outcome, once for each `ask` that is not hung up; None: it could not ask,
                because this process or machine is at a limit of its own.
        """
        self._address = address
        self._port = port
        self._request = request
        self._told = told
        self.asking = False
        """Has asked, and has neither told an outcome nor hung up."""
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._receiving = False  # the answer is not whole yet
        self._reused = False  # asked on a connection that had served before
        self._buffer = b""
        self._expiry: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_event_loop()

    @property
    def free(self) -> bool:
        """Whether it may be asked again: the last answer was received whole and the server keeps the connection."""
        return self._transport is not None and not self._receiving

    def ask(self) -> None:
        """Sends the request: first, or while `free`."""
        self.asking = True
        if self._transport is None:
            self._connect()
        else:
            self._reused = self._receiving = True
            self._transport.write(self._request)

    def expire(self, after_s: float) -> None:
        """Where it still asks: tells that no answer came within `after_s` seconds, and hangs up."""
        if self.asking:
            self._end(Outcome("failed", f"no answer within {after_s:g} s"))
            self.hang_up()

    def expire_at(self, when: float, after_s: float) -> None:
        """Expires by itself at that time of the loop's clock, if it still asks the same."""
        self._expiry = self._loop.call_at(when, self.expire, after_s)

    def hang_up(self) -> None:
        """Gives the connection up, in whatever state it is, and tells nothing any more."""
        self.asking = False
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _connect(self) -> None:
        self._connecting = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, self._address, self._port)
        except ConnectionRefusedError:
            self._connecting = None
            self._end(Outcome("refused", "connection refused"))
        except OSError as error:
            self._connecting = None
            if error.errno in _OUR_OWN_LIMITS:  # which say nothing of the node
                _log.warning("nodes cannot be probed: %s", error.strerror)
                self._end(None)
            else:
                self._end(Outcome("failed", _words(error)))

    def _end(self, outcome: Outcome | None) -> None:
        if self.asking:
            self.asking = False
            if self._expiry is not None:
                self._expiry.cancel()
                self._expiry = None
            self._told(self, outcome)

    # --- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connecting = None
        if not self.asking or transport.is_closing() or not isinstance(transport, asyncio.Transport):
            transport.close()
            return
        self._transport = transport
        self._reused = False
        self._receiving = True
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._receiving:  # nobody has asked
            self.hang_up()
            return
        self._buffer += data
        if self.asking:
            line, newline, _ = self._buffer.partition(b"\n")
            if newline:
                self._end(_read_status(line))
            elif len(self._buffer) > _LONGEST_HEAD:
                self._end(Outcome("failed", "the answer is no HTTP"))
        whole = _is_whole(self._buffer)
        if whole:
            self._receiving = False
            self._buffer = b""
        elif whole is None and not self.asking:
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        silent = not self._buffer
        self._transport = None
        self._buffer = b""
        if self.asking and self._reused and silent:
            self._connect()  # the server had closed it between two probes; this one is asked anew
        elif self.asking:
            self._end(Outcome("failed", _words(error) if isinstance(error, OSError) else "connection closed"))


def _read_status(line: bytes) -> Outcome:
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Outcome("failed", "the answer is no HTTP")
    return ANSWERED if words[1] == b"200" else Outcome("failed", f"status {words[1][:3].decode()}")


def _is_whole(answer: bytes) -> bool | None:
    """Whether the answer has come to its end and another may follow; None: never, the connection is of no more use."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False if len(answer) <= _LONGEST_HEAD else None
    length = None
    kept = False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length":
                length = int(value) if value.strip().isdigit() else None
            case b"connection":
                kept = value.strip().lower() == b"keep-alive"
    if not kept or length is None or length > _LONGEST_BODY or len(body) > length:
        return None
    return len(body) == length


def _words(error: OSError) -> str:
    return _WORDS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()

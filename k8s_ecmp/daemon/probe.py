"""Probes kube-proxy's health port on every node, some seconds faster than Kubernetes notices that a node is gone.

One thread, one event loop, and for each address one timer and one connection that is kept open: 5,000 addresses at one
probe a second would otherwise be 5,000 TCP handshakes a second here and as many closed connections on the nodes.
"""

import asyncio
import errno
import logging
import random
import resource
import threading
from collections.abc import Callable, Mapping
from typing import Final

from k8s_ecmp.core.probing import ANSWERED, Health, Outcome, judge, verdict
from k8s_ecmp.settings import ProbeSettings

_log = logging.getLogger(__name__)

Verdicts = Callable[[str, str | None], None]
"""Takes a node and why it is ill; None: it is well."""

_LONGEST_HEAD = 8 << 10
_LONGEST_BODY = 64 << 10
_SPARE_FILES = 256
_JOIN_S = 5.0
_OUR_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_WORDS: Final[Mapping[int, str]] = {
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
}


class Prober:
    """Asks every node's addresses and tells when a node's verdict changes.

    A node whose verdict was not told yet has not answered. A node that is taken away and comes back begins anew.
    """

    def __init__(self, settings: ProbeSettings, sink: Verdicts) -> None:
        """Asks nobody yet.

        Args:
            settings: port, path, interval and how many failures in a row count; `enabled` is not looked at.
            sink: called from the prober's thread, on each change of a node's verdict alone; returns at once.
        """
        self._settings = settings
        self._sink = sink
        self._nodes: dict[str, dict[str, _Line]] = {}
        self._told: dict[str, str | None] = {}
        self._targets: Mapping[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread. The first probes are spread over one interval, as all later ones are."""
        with self._lock:
            if self._thread is not None:
                raise RuntimeError("the prober is started already")
            self._loop = loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(loop,), name="probe", daemon=True)
            loop.call_soon(self._follow, self._targets)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes all connections; no verdict is told after it. May be called twice."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_JOIN_S)

    def set_targets(self, targets: Mapping[str, tuple[str, ...]]) -> None:
        """Says whom to ask from now on: node -> addresses. Any thread; what stays is not disturbed.

        A node without an address is ill.
        """
        copied = dict(targets)
        with self._lock:
            self._targets = copied
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._follow, copied)

    # --- in the prober's thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            self._follow({})
            # Cancelled connections and closed ones are only gone after another turn.
            loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    def _follow(self, targets: Mapping[str, tuple[str, ...]]) -> None:
        _allow_files(sum(map(len, targets.values())))
        for node in self._nodes.keys() - targets.keys():
            for line in self._nodes.pop(node).values():
                line.close()
            self._told.pop(node, None)
        for node, addresses in targets.items():
            lines = self._nodes.get(node)
            if lines is None:
                lines = self._nodes[node] = {}
            elif lines.keys() == set(addresses):
                continue
            for address in lines.keys() - set(addresses):
                lines.pop(address).close()
            for address in addresses:
                if address not in lines:
                    lines[address] = _Line(node, address, self._settings, self._heard)
            self._heard(node)

    def _heard(self, node: str) -> None:
        """Looks whether the node's verdict is another one now."""
        known, ill = verdict((address, line.health) for address, line in self._nodes[node].items())
        if not known or (node in self._told and (self._told[node] is None) == (ill is None)):
            return
        self._told[node] = ill
        self._sink(node, ill)


class _Line(asyncio.Protocol):
    """One address: its timer, its connection, and what is known of it.

    Each tick judges the probe before it, if that has not ended, and sends the next one. The connection is used again
    when the answer to the last probe was received whole and the server keeps it open.
    """

    __slots__ = (
        "_address",
        "_asking",
        "_buffer",
        "_connecting",
        "_heard",
        "_loop",
        "_node",
        "_receiving",
        "_request",
        "_reused",
        "_settings",
        "_timer",
        "_transport",
        "health",
    )

    def __init__(self, node: str, address: str, settings: ProbeSettings, heard: Callable[[str], None]) -> None:
        self._node = node
        self._address = address
        self._settings = settings
        self._heard = heard
        self.health: Health | None = None
        host = f"[{address}]" if ":" in address else address
        # HTTP/1.0, so that no answer comes in chunks.
        self._request = (
            f"GET {settings.path} HTTP/1.0\r\nHost: {host}:{settings.port}\r\n"
            "User-Agent: k8s-ecmp\r\nConnection: keep-alive\r\n\r\n"
        ).encode()
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._asking = False  # the probe has no verdict yet
        self._receiving = False  # its answer is not whole yet
        self._reused = False  # it went out on a connection that had served another one
        self._buffer = b""
        self._loop = asyncio.get_event_loop()
        phase_s = random.random() * settings.interval_s  # noqa: S311  no secret
        self._timer = self._loop.call_later(phase_s, self._tick)

    def close(self) -> None:
        self._timer.cancel()
        self._asking = False
        self._drop()

    def _tick(self) -> None:
        interval_s = self._settings.interval_s
        self._timer = self._loop.call_later(interval_s, self._tick)
        if self._asking:
            self._end(Outcome("failed", f"no answer within {interval_s:g} s"))
        if self._receiving or self._connecting is not None:
            self._drop()
        self._asking = True
        if self._transport is None:
            self._connect()
        else:
            self._reused = self._receiving = True
            self._transport.write(self._request)

    def _connect(self) -> None:
        self._connecting = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, self._address, self._settings.port)
        except ConnectionRefusedError:
            self._connecting = None
            self._end(Outcome("refused", "connection refused"))
        except OSError as error:
            self._connecting = None
            if error.errno in _OUR_OWN_LIMITS:  # which say nothing of the node
                _log.warning("nodes cannot be probed: %s", error.strerror)
                self._asking = False
            else:
                self._end(Outcome("failed", _words(error)))

    def _end(self, outcome: Outcome) -> None:
        if not self._asking:
            return
        self._asking = False
        before, now = self.health, judge(self.health, outcome, self._loop.time(), self._settings.failures)
        self.health = now
        if before is None or before.ill != now.ill:
            self._heard(self._node)

    def _drop(self) -> None:
        """Gives the connection up, in whatever state it is."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        transport, self._transport = self._transport, None
        self._receiving = False
        self._buffer = b""
        if transport is not None:
            transport.abort()

    # --- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connecting = None
        if not self._asking or transport.is_closing() or not isinstance(transport, asyncio.Transport):
            transport.close()
            return
        self._transport = transport
        self._reused = False
        self._receiving = True
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        if not self._receiving:  # nobody has asked
            self._drop()
            return
        self._buffer += data
        if self._asking:
            line, newline, _ = self._buffer.partition(b"\n")
            if newline:
                self._end(_read_status(line))
            elif len(self._buffer) > _LONGEST_HEAD:
                self._end(Outcome("failed", "the answer is no HTTP"))
        if self._transport is None:
            return
        whole = _is_whole(self._buffer)
        if whole:
            self._receiving = False
            self._buffer = b""
        elif whole is None and not self._asking:
            self._drop()

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is None or not self._transport.is_closing():
            return
        silent = not self._buffer
        self._transport = None
        self._receiving = False
        self._buffer = b""
        if self._asking and self._reused and silent:
            self._connect()  # the server had closed it between two probes; this one is asked anew
        elif self._asking:
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
        match name.strip().lower():
            case b"content-length":
                length = int(value) if value.strip().isdigit() else None
            case b"connection":
                kept = value.strip().lower() == b"keep-alive"
    if not kept or length is None or length > _LONGEST_BODY or len(body) > length:
        return None
    return len(body) == length


def _words(error: OSError) -> str:
    return _WORDS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()


def _allow_files(addresses: int) -> None:
    """Each address takes a file descriptor; the soft limit is often 1,024, and a process may raise it by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = addresses + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning("%d addresses are to be probed, but the process may only open %d files", addresses, allowed)

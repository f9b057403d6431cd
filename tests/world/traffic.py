"""Clients: single questions, spreads over many connections, a steady load, and the moments at which a FIB changed."""

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from tests.world.netns import Namespace, wait_for

# A lost SYN is repeated after one second: an answer later than this means that one was lost.
CONNECT_TIMEOUT_S = 0.9
_ANSWER_TIMEOUT_S = 15.0
_CONNECTION_S = 0.05  # far more than a connection of the load lives where the machine has nothing else to do
_ROUTE_GROUPS = 0x40 | 0x400  # RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE


class Answer(NamedTuple):
    """Who answered, and the client's address as the pod saw it."""

    pod: str
    node: str
    peer: str


class Target(NamedTuple):
    """A TCP service. `speaks_first`: the server greets, nothing is asked (MySQL's way)."""

    address: str
    port: int
    speaks_first: bool = False


def ask(client: Namespace, target: Target) -> Answer:
    """One new connection from inside `client`.

    Raises:
        OSError: refused, reset, or no answer in time.
    """
    with client.entered():
        return _ask(target)


def spread(client: Namespace, target: Target, connections: int) -> list[Answer]:
    """The answers of as many new connections, one after the other."""
    with client.entered():
        return [_ask(target) for _ in range(connections)]


class _Broken(OSError):
    """A connection that failed after its handshake."""


def _ask(target: Target) -> Answer:
    with socket.create_connection((target.address, target.port), timeout=CONNECT_TIMEOUT_S) as connection:
        try:
            text = _exchange(connection, target)
        except OSError as error:
            raise _Broken(f"{type(error).__name__}: {error}") from error
    answer = json.loads(text.split(b"\r\n")[-1])
    return Answer(answer["pod"], answer["node"], answer["peer"])


def _exchange(connection: socket.socket, target: Target) -> bytes:
    connection.settimeout(_ANSWER_TIMEOUT_S)
    if not target.speaks_first:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    text = b""
    while chunk := connection.recv(65536):
        text += chunk
    if not text.endswith(b"\n"):
        raise ConnectionError(f"incomplete answer {text!r}")
    return text


# --- a load -------------------------------------------------------------------------------------------------------


class Moment(NamedTuple):
    """A span of the monotonic clock, in seconds."""

    start: float
    end: float

    def overlaps(self, other: "Moment") -> bool:
        return self.start <= other.end and other.start <= self.end


class Failure(NamedTuple):
    """A connection that got no answer. `established`: its handshake had ended."""

    when: Moment
    error: str
    established: bool

    def broken_by(self, change: Moment, longest_s: float = _CONNECTION_S) -> bool:
        """Whether the connection was open at a change of routes, and can have been moved to another node by it.

        A handshake that does not end is never excused: its first packet meets either the old route or the new one. Nor
        is a change more than `longest_s` after the start, when a working connection would have ended.
        """
        alive = Moment(self.when.start, min(self.when.end, self.when.start + longest_s))
        return self.established and alive.overlaps(change)


@dataclass(frozen=True)
class LoadReport:
    """What became of a load.

    `seconds` is the time from the first connection's start to the last one's end; `entered` counts the answers by the
    client's address as the pod saw it, which is the entry node's for a masqueraded service; `longest_s` is what the
    longest connection took that worked.
    """

    attempts: int
    seconds: float
    failures: tuple[Failure, ...]
    entered: Counter[str]
    longest_s: float = 0

    @property
    def rate(self) -> float:
        return self.attempts / self.seconds

    def new_failures(self, changes: Iterable[Moment]) -> list[Failure]:
        """Failures of connections that were not open while a router's FIB changed.

        ECMP keeps no state: a connection that is open at that moment may go on through another node and break, whoever
        programs the routes. What users open before or after must work.
        """
        moments = list(changes)
        longest_s = max(_CONNECTION_S, self.longest_s)
        return [f for f in self.failures if not any(f.broken_by(moment, longest_s) for moment in moments)]

    def __str__(self) -> str:
        lines = [
            f"{self.attempts} connections in {self.seconds:.2f} s ({self.rate:.0f}/s), {len(self.failures)} failed",
            *(f"  entered as {peer}: {count}" for peer, count in sorted(self.entered.items())),
            *(f"  failed at {f.when.start:.4f}-{f.when.end:.4f}: {f.error}" for f in self.failures[:20]),
        ]
        return "\n".join(lines)


@dataclass
class Load:
    """New connections from a namespace at a steady pace until the end of the `with` block.

    They are made one after the other, so at most one is open at any time.
    """

    client: Namespace
    target: Target
    per_second: float = 200
    attempts: int = 0
    _first: float = 0
    _last: float = 0
    _longest: float = 0
    _failures: list[Failure] = field(default_factory=list)
    _entered: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def report(self) -> LoadReport:
        seconds = self._last - self._first
        return LoadReport(self.attempts, seconds, tuple(self._failures), Counter(self._entered), self._longest)

    def await_more(self, connections: int, timeout_s: float = 180) -> None:
        """Returns when as many connections more have ended; all that were open before have ended then."""
        wanted = self.attempts + connections
        self._await(lambda: self.attempts >= wanted, f"{connections} more connections", timeout_s)

    def await_failure(self, timeout_s: float = 60) -> None:
        """Returns when a connection has failed."""
        self._await(lambda: bool(self._failures), "a failed connection", timeout_s)

    def _await(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        wait_for(lambda: condition() or not self._alive(), what, timeout_s)
        if not condition():
            raise RuntimeError(f"the load broke off after {self.attempts} connections")

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        with self.client.entered():
            self._first = self._last = time.monotonic()
            while not self._stop.is_set():
                start = time.monotonic()
                try:
                    self._entered[_ask(self.target).peer] += 1
                    self._longest = max(self._longest, time.monotonic() - start)
                except OSError as error:
                    moment = Moment(start, time.monotonic())
                    # Linux reports a reset as "refused" while the handshake runs, as "reset" once it has ended.
                    established = isinstance(error, _Broken | ConnectionResetError)
                    text = (
                        str(error) if isinstance(error, _Broken) else f"no connection: {type(error).__name__}: {error}"
                    )
                    self._failures.append(Failure(moment, text, established))
                self._last = time.monotonic()
                self.attempts += 1
                self._stop.wait(self._first + self.attempts / self.per_second - self._last)


# --- the moments at which routes changed ---------------------------------------------------------------------------


class FibWatch:
    """Notes when a namespace's kernel told of a route that was added, replaced or removed.

    `moments` are spans that contain the change for certain: from the last look at which nothing had happened to the
    look that found no further notification.
    """

    def __init__(self, router: Namespace) -> None:
        self.moments: list[Moment] = []
        with router.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((0, _ROUTE_GROUPS))
        self._socket.setblocking(False)
        self._wake, self._bell = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        idle = time.monotonic()
        ends: list[socket.socket | int] = [self._socket, self._wake]
        while True:
            readable, _, _ = select.select(ends, [], [], 0.002)
            if self._wake in readable:
                return
            if self._socket in readable:
                with contextlib.suppress(BlockingIOError):
                    while self._socket.recv(1 << 16):
                        pass
                # After the last of them: a change of several prefixes goes on while its notifications are taken.
                self.moments.append(Moment(idle, time.monotonic()))
            # Whatever happens from here on lies after this moment only if nothing waits now.
            before = time.monotonic()
            if not select.select([self._socket], [], [], 0)[0]:
                idle = before

    def close(self) -> None:
        os.write(self._bell, b"x")
        self._thread.join()
        self._socket.close()
        os.close(self._wake)
        os.close(self._bell)


@contextlib.contextmanager
def watching(*routers: Namespace) -> Iterator[list[FibWatch]]:
    """A `FibWatch` on each router's namespace."""
    watches = [FibWatch(router) for router in routers]
    try:
        yield watches
    finally:
        for watch in watches:
            watch.close()

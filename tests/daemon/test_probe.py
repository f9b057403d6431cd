"""The prober against servers on loopback sockets that behave as sick nodes do.

Prober and servers share one event loop, whose clock is not the wall's (`jumping`), so a busy machine changes no result.
"""

import asyncio
import queue
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import pytest

from k8s_ecmp.daemon.probe import Prober
from k8s_ecmp.settings import ProbeSettings
from tests.daemon.jumping import JumpingLoop, jumping
from tests.world.netns import wait_for

OK = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
UNHEALTHY = b"HTTP/1.0 503 Service Unavailable\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
WAIT_S = 60.0  # of the wall

pytestmark = pytest.mark.slow

T = TypeVar("T")

Behaviour = Callable[[asyncio.Transport, bytes], bool]
"""Answers one request; False: close the connection."""


class Server:
    """One node's health port. What it does is `behave`, which may be exchanged at any time."""

    def __init__(self, host: str, port: int, behave: Behaviour) -> None:
        self.behave = behave
        self.requests: list[bytes] = []
        self.connections = 0
        self.open: set[asyncio.Transport] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.create_server((host, port), family=family, backlog=512)
        self.port: int = self.socket.getsockname()[1]

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), sock=self.socket, backlog=512)

    async def close(self) -> None:
        """The process ends: its port is refused, and its connections are broken off."""
        self._listener.close()
        for made in list(self.open):
            made.abort()


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        # What waits for an acknowledgement is on its way while the loop's clock jumps.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._server.connections += 1
        self._server.open.add(transport)

    def data_received(self, data: bytes) -> None:
        self._server.requests.append(data)
        if not self._server.behave(self._transport, data):
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.open.discard(self._transport)


def always(answer: bytes, keep: bool = True) -> Behaviour:
    def behave(connection: asyncio.Transport, _: bytes) -> bool:
        connection.write(answer)
        return keep

    return behave


def hang(_: asyncio.Transport, __: bytes) -> bool:
    return True


class World:
    """Servers on addresses of 127.0.0.0/8 and a prober whose verdicts are collected."""

    def __init__(self, loop: JumpingLoop) -> None:
        self.loop = loop
        self.said: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        self.servers: list[Server] = []
        self.prober: Prober | None = None
        self.port = 0

    def serve(self, behave: Behaviour, host: str = "127.0.1.1") -> Server:
        server = Server(host, self.port, behave)
        self.servers.append(server)
        self.port = server.port
        if self.prober is None:
            self.loop.run_until_complete(server.listen())
        else:
            self.do(server.listen())
        return server

    def probe(self, targets: Mapping[str, tuple[str, ...]], **settings: Any) -> Prober:
        values = {"interval_s": 0.2, "failures": 3, **settings}
        self.prober = Prober(ProbeSettings(port=self.port, **values), lambda node, why: self.said.put((node, why)))
        self.prober.set_targets(targets)
        self.prober.start()
        return self.prober

    def next(self) -> tuple[str, str | None]:
        return self.said.get(timeout=WAIT_S)

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """In the loop's thread and by its clock."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def close(self) -> None:
        if self.prober is not None:
            self.prober.stop()
        for server in self.servers:
            server.socket.close()


@pytest.fixture
def world() -> Iterator[World]:
    with jumping() as loop:
        made = World(loop)
        yield made
        made.close()


def test_a_well_node_is_told_once_and_asked_on_one_connection(world: World) -> None:
    server = world.serve(always(OK))
    world.probe({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", None)
    wait_for(lambda: len(server.requests) >= 10, "probes go on", timeout=WAIT_S)
    assert server.connections == 1
    assert world.said.empty()
    assert server.requests[0] == (
        b"GET /healthz HTTP/1.0\r\nHost: 127.0.1.1:%d\r\nUser-Agent: k8s-ecmp\r\nConnection: keep-alive\r\n\r\n"
        % server.port
    )


@pytest.mark.parametrize("answer", [CLOSING, b"HTTP/1.0 200 OK\r\n\r\nok", b"HTTP/1.1 200\n"])
def test_servers_that_keep_no_connection_are_well_too(world: World, answer: bytes) -> None:
    server = world.serve(always(answer, keep=False))
    world.probe({"n1": ("127.0.1.1",)}, path="/live?x=1")
    assert world.next() == ("n1", None)
    wait_for(lambda: server.connections >= 5, "probes go on", timeout=WAIT_S)
    assert world.said.empty()
    assert server.requests[0].startswith(b"GET /live?x=1 HTTP/1.0\r\n")


def test_a_server_that_closes_between_two_probes_is_well(world: World) -> None:
    """It announced to keep the connection; the probe that runs into it is asked anew."""
    server = world.serve(always(OK, keep=False))
    world.probe({"n1": ("127.0.1.1",)}, interval_s=0.5, failures=1)
    assert world.next() == ("n1", None)
    wait_for(lambda: server.connections >= 5, "probes go on", timeout=WAIT_S)
    assert world.said.empty()


@pytest.mark.parametrize(
    ("sick", "why"),
    [
        (hang, "no answer within 0.2 s"),
        (always(UNHEALTHY), "status 503"),
        (always(b"HTTP/1.0 301 Moved\r\nLocation: /\r\n\r\n", keep=False), "status 301"),
        (always(b"SSH-2.0-OpenSSH_9.2\r\n"), "the answer is no HTTP"),
        (always(b"x" * 20_000), "the answer is no HTTP"),
        (always(b"", keep=False), "connection closed"),
    ],
)
def test_a_node_falls_ill_and_gets_well(world: World, sick: Behaviour, why: str) -> None:
    server = world.serve(always(OK))
    world.probe({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", None)
    server.behave = sick
    assert world.next() == ("n1", f"127.0.1.1: 3 probes in a row failed: {why}")
    server.behave = always(OK)
    assert world.next() == ("n1", None)
    assert world.said.empty()


def test_a_server_that_drips_is_no_answer(world: World) -> None:
    """Byte by byte, never a whole status line within the interval; and nothing is kept of it."""

    def drip(connection: asyncio.Transport, _: bytes) -> bool:
        for number, byte in enumerate(b"HTTP/1.0 200 OK"):
            world.loop.call_later(0.05 * number, drop, connection, byte)
        return True

    def drop(connection: asyncio.Transport, byte: int) -> None:
        if not connection.is_closing():
            connection.write(bytes([byte]))

    server = world.serve(always(OK))
    world.probe({"n1": ("127.0.1.1",)}, interval_s=0.3, failures=2)
    assert world.next() == ("n1", None)
    server.behave = drip
    assert world.next() == ("n1", "127.0.1.1: 2 probes in a row failed: no answer within 0.3 s")
    server.behave = always(OK)
    assert world.next() == ("n1", None)


def test_an_answer_in_pieces_is_an_answer(world: World) -> None:
    def pieces(connection: asyncio.Transport, _: bytes) -> bool:
        send(connection, OK)
        return True

    def send(connection: asyncio.Transport, rest: bytes) -> None:
        connection.write(rest[:1])
        if rest[1:]:
            world.loop.call_soon(send, connection, rest[1:])

    server = world.serve(pieces)
    world.probe({"n1": ("127.0.1.1",)}, interval_s=0.5, failures=1)
    assert world.next() == ("n1", None)
    wait_for(lambda: len(server.requests) >= 4, "probes go on", timeout=WAIT_S)
    assert server.connections == 1
    assert world.said.empty()


def test_a_body_without_end_is_cut(world: World) -> None:
    """The status line is the answer; what follows it is not read for ever."""
    endless = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000
    server = world.serve(always(endless))
    world.probe({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", None)
    wait_for(lambda: server.connections >= 5, "probes go on", timeout=WAIT_S)
    assert world.said.empty()


def test_a_refused_port_has_credit_once_it_has_answered(world: World) -> None:
    """kube-proxy restarts: its port is refused for many probes more than `failures`, and nothing is told."""
    server = world.serve(always(OK))
    witness = world.serve(always(OK), "127.0.1.2")
    world.probe({"n1": ("127.0.1.1",), "witness": ("127.0.1.2",)})
    assert {world.next(), world.next()} == {("n1", None), ("witness", None)}

    async def restart() -> Server:
        await server.close()
        await asyncio.sleep(10 * 0.2)  # ten intervals
        again = Server("127.0.1.1", server.port, always(OK))
        world.servers.append(again)
        await again.listen()
        return again

    seen = len(witness.requests)
    again = world.do(restart())
    assert len(witness.requests) >= seen + 9
    wait_for(lambda: len(again.requests) >= 3, "probes go on", timeout=WAIT_S)
    assert world.said.empty()


def test_a_port_that_is_refused_for_half_a_minute_is_ill(world: World) -> None:
    server = world.serve(always(OK))
    world.probe({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", None)
    world.do(server.close())
    assert world.next() == ("n1", "127.0.1.1: connection refused for 30 s")


def test_a_node_that_never_answered_is_ill_at_once(world: World) -> None:
    world.serve(always(OK), "127.0.1.2")
    world.probe({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", "127.0.1.1: has never answered, at first: connection refused")
    world.serve(always(OK), "127.0.1.1")
    assert world.next() == ("n1", None)


def test_each_family_counts(world: World) -> None:
    four = world.serve(always(OK), "127.0.1.1")
    six = world.serve(always(OK), "::1")
    world.probe({"n1": ("127.0.1.1", "::1")})
    assert world.next() == ("n1", None)
    six.behave = hang
    assert world.next() == ("n1", "::1: 3 probes in a row failed: no answer within 0.2 s")
    four.behave = always(UNHEALTHY)
    seen = len(four.requests)
    wait_for(lambda: len(four.requests) >= seen + 5, "probes go on", timeout=WAIT_S)
    six.behave = always(OK)
    seen = len(six.requests)
    wait_for(lambda: len(six.requests) >= seen + 5, "probes go on", timeout=WAIT_S)
    assert world.said.empty()
    four.behave = always(OK)
    assert world.next() == ("n1", None)


def test_targets_change_while_it_runs(world: World) -> None:
    first = world.serve(always(OK), "127.0.1.1")
    second = world.serve(hang, "127.0.1.2")
    prober = world.probe({})
    assert world.said.empty()
    prober.set_targets({"n1": ("127.0.1.1",), "n2": ("127.0.1.2",), "no-address": ()})
    assert {world.next(), world.next(), world.next()} == {
        ("n1", None),
        ("n2", "127.0.1.2: has never answered, at first: no answer within 0.2 s"),
        ("no-address", "has no address to be asked at"),
    }
    prober.set_targets({"n1": ("127.0.1.1",), "n2": ("127.0.1.2",), "no-address": ("127.0.1.1",)})
    assert world.next() == ("no-address", None)
    prober.set_targets({"n1": ("127.0.1.1",), "n2": ("127.0.1.1",)})
    assert world.next() == ("n2", None)  # its sick address is not asked any more
    prober.set_targets({"n2": ("127.0.1.1", "127.0.1.2")})
    assert world.next() == ("n2", "127.0.1.2: has never answered, at first: no answer within 0.2 s")
    prober.set_targets({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", None)  # it came back, and begins anew
    seen = len(second.requests)
    asked = len(first.requests)
    wait_for(lambda: len(first.requests) >= asked + 5, "probes go on", timeout=WAIT_S)
    assert len(second.requests) <= seen + 1
    assert world.said.empty()


def test_nothing_is_told_after_the_end(world: World) -> None:
    server = world.serve(always(OK))
    prober = world.probe({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", None)
    prober.stop()
    prober.stop()
    prober.set_targets({"n2": ("127.0.1.1",)})
    server.socket.close()
    assert world.said.empty()
    assert not any(thread.name == "probe" for thread in threading.enumerate())


def test_many_nodes(world: World) -> None:
    world.serve(always(OK), "0.0.0.0")
    targets = {f"n{number}": (f"127.0.{number // 200}.{number % 200 + 1}",) for number in range(300)}
    world.probe(targets, interval_s=2)
    assert {world.next() for _ in targets} == {(node, None) for node in targets}


def test_a_node_that_is_another_one_of_the_same_name_is_told_anew(world: World) -> None:
    world.serve(always(OK), "127.0.1.1")
    targets = {"n1": ("127.0.1.1",)}
    prober = world.probe(targets)
    assert world.next() == ("n1", None)
    prober.forget({"n1", "unknown"})
    prober.set_targets(targets)
    assert world.next() == ("n1", None)

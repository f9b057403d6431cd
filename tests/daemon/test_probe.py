"""The prober against servers on loopback sockets that behave as sick nodes do."""

import contextlib
import queue
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from k8s_ecmp.daemon.probe import Prober
from k8s_ecmp.settings import ProbeSettings
from tests.world.netns import wait_for

OK = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
UNHEALTHY = b"HTTP/1.0 503 Service Unavailable\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
WAIT_S = 20.0

pytestmark = [pytest.mark.slow, pytest.mark.long]  # verdicts take some intervals

Behaviour = Callable[[socket.socket, bytes], bool]
"""Answers one request; False: close the connection."""


class Server:
    """One node's health port. What it does is `behave`, which may be exchanged at any time."""

    def __init__(self, host: str, port: int, behave: Behaviour) -> None:
        self.behave = behave
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                server.connections += 1
                server._open.add(self.request)
                with contextlib.suppress(OSError):
                    while request := self.request.recv(65536):
                        server.requests.append(request)
                        if not server.behave(self.request, request):
                            return

        class Listener(socketserver.ThreadingTCPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 512
            block_on_close = False

        self._listener = Listener((host, port), Handler)
        self.port: int = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """The process ends: its port is refused, and its connections are reset."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
        for made in self._open:
            with contextlib.suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)


def always(answer: bytes, keep: bool = True) -> Behaviour:
    def behave(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(answer)
        return keep

    return behave


def hang(_: socket.socket, __: bytes) -> bool:
    return True


class World:
    """Servers on addresses of 127.0.0.0/8 and a prober whose verdicts are collected."""

    def __init__(self) -> None:
        self.said: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        self.servers: list[Server] = []
        self.probers: list[Prober] = []
        self.port = 0

    def serve(self, behave: Behaviour, host: str = "127.0.1.1") -> Server:
        server = Server(host, self.port, behave)
        self.port = server.port
        self.servers.append(server)
        return server

    def probe(self, targets: Mapping[str, tuple[str, ...]], **settings: Any) -> Prober:
        values = {"interval_s": 0.2, "failures": 3, **settings}
        prober = Prober(ProbeSettings(port=self.port, **values), lambda node, why: self.said.put((node, why)))
        prober.set_targets(targets)
        prober.start()
        self.probers.append(prober)
        return prober

    def next(self) -> tuple[str, str | None]:
        return self.said.get(timeout=WAIT_S)

    def close(self) -> None:
        for prober in self.probers:
            prober.stop()
        for server in self.servers:
            server.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
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
    stop = threading.Event()

    def drip(connection: socket.socket, _: bytes) -> bool:
        for byte in b"HTTP/1.0 200 OK":
            connection.sendall(bytes([byte]))
            if stop.wait(0.05):
                return False
        return False

    server = world.serve(always(OK))
    world.probe({"n1": ("127.0.1.1",)}, interval_s=0.3, failures=2)
    assert world.next() == ("n1", None)
    server.behave = drip
    assert world.next() == ("n1", "127.0.1.1: 2 probes in a row failed: no answer within 0.3 s")
    server.behave = always(OK)
    stop.set()
    assert world.next() == ("n1", None)


def test_an_answer_in_pieces_is_an_answer(world: World) -> None:
    def pieces(connection: socket.socket, _: bytes) -> bool:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in OK:
            connection.sendall(bytes([byte]))
        return True

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
    world.serve(always(OK), "127.0.1.2")
    world.probe({"n1": ("127.0.1.1",), "witness": ("127.0.1.2",)})
    assert {world.next(), world.next()} == {("n1", None), ("witness", None)}
    server.close()
    seen = len(world.servers[1].requests)
    wait_for(
        lambda: len(world.servers[1].requests) >= seen + 10, "probes go on", timeout=WAIT_S
    )  # ten intervals have passed
    world.servers[0] = world.serve(always(OK))
    wait_for(lambda: len(world.servers[0].requests) >= 3, "probes go on", timeout=WAIT_S)
    assert world.said.empty()


def test_a_port_that_is_refused_for_half_a_minute_is_ill(world: World) -> None:
    server = world.serve(always(OK))
    world.probe({"n1": ("127.0.1.1",)})
    assert world.next() == ("n1", None)
    server.close()
    node, why = world.said.get(timeout=60)
    assert (node, why) == ("n1", "127.0.1.1: connection refused for 30 s")


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
    server.close()
    assert world.said.empty()
    assert not any(thread.name == "probe" for thread in threading.enumerate())


def test_many_nodes(world: World) -> None:
    """On a busy machine an answer may come too late; in the end all are well."""
    world.serve(always(OK), "0.0.0.0")
    targets = {f"n{number}": (f"127.0.{number // 200}.{number % 200 + 1}",) for number in range(300)}
    world.probe(targets, interval_s=2)
    verdicts: dict[str, str | None] = {}
    while len(verdicts) < len(targets) or any(verdicts.values()):
        node, why = world.next()
        verdicts[node] = why
    assert verdicts.keys() == targets.keys()


def test_a_node_that_is_another_one_of_the_same_name_is_told_anew(world: World) -> None:
    world.serve(always(OK), "127.0.1.1")
    targets = {"n1": ("127.0.1.1",)}
    prober = world.probe(targets)
    assert world.next() == ("n1", None)
    prober.forget({"n1", "unknown"})
    prober.set_targets(targets)
    assert world.next() == ("n1", None)

"""Late answers and the verdict on a dead node, to the millisecond.

Prober and servers share one event loop and speak over real sockets. Its clock is not the wall's (`jumping`), so a busy
machine changes no result.
"""

import asyncio
import copy
import itertools
import queue
import resource
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

import pytest

from k8s_ecmp.daemon.probe import Prober
from k8s_ecmp.settings import ProbeSettings
from tests.daemon.jumping import JumpingLoop, jumping

pytestmark = pytest.mark.slow

T = TypeVar("T")

OK = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
UNHEALTHY = b"HTTP/1.0 503 Service Unavailable\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
WAIT_S = 30.0  # of the wall
ADDRESSES = tuple(f"127.0.2.{number}" for number in range(1, 7))


class Connection(asyncio.Protocol):
    """One connection to a node's health port, seen from the node."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.opened = world.loop.time()
        self.asked: list[float] = []
        self.closed: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.address: str = transport.get_extra_info("sockname")[0]
        self.world.connections.append(self)

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"GET /healthz HTTP/1.0\r\n")
        self.asked.append(self.world.loop.time())
        self.world.behave(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = self.world.loop.time()

    def answer(self, answer: bytes = OK) -> None:
        self.transport.write(answer)


def at_once(connection: Connection) -> None:
    connection.answer()


def never(_: Connection) -> None:
    pass


class World:
    """Health ports, what came there, and a prober with its verdicts; all times are of the loop's clock."""

    def __init__(self, loop: JumpingLoop) -> None:
        self.loop = loop
        self.connections: list[Connection] = []
        self.behave: Callable[[Connection], None] = at_once
        self.said: queue.SimpleQueue[tuple[float, str, str | None]] = queue.SimpleQueue()
        self.prober: Prober | None = None

    def probe(self, *addresses: str, interval_s: float = 1, failures: int = 3) -> None:
        """Returns when all addresses, which are nodes of the same name, have answered."""
        # A server that listens before the loop runs in its thread.
        self.listener = self.loop.run_until_complete(
            self.loop.create_server(lambda: Connection(self), "0.0.0.0", 0, backlog=64)
        )
        port = self.listener.sockets[0].getsockname()[1]
        self.prober = Prober(
            ProbeSettings(port=port, interval_s=interval_s, failures=failures),
            lambda node, why: self.said.put((self.loop.time(), node, why)),
        )
        self.prober.set_targets({address: (address,) for address in addresses})
        self.prober.start()
        for _ in addresses:
            assert self.next()[2] is None

    def next(self) -> tuple[float, str, str | None]:
        return self.said.get(timeout=WAIT_S)

    def do(self, action: Callable[[], T], after_s: float = 0) -> T:
        """Does something in the loop's thread, `after_s` from now by its clock; returns when it is done.

        When some time was to pass, all that was sent before has been received then.
        """

        async def act() -> T:
            await asyncio.sleep(after_s)
            return action()

        return self.run(act())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def exchange(self, behave: Callable[[Connection], None], after_s: float = 0) -> float:
        """Lets the nodes behave otherwise, and says since when."""

        def act() -> float:
            self.behave = behave
            return self.loop.time()

        return self.do(act, after_s)

    def connections_after(self, seconds: float) -> list[Connection]:
        """All there have been, in the order in which they came, and as they are then."""
        return self.do(lambda: [copy.copy(made) for made in self.connections], seconds)

    def asked(self, address: str, since: float, until: float) -> list[float]:
        asked = (at for made in self.connections if made.address == address for at in made.asked)
        return sorted(at for at in asked if since <= at < until)

    def close(self) -> None:
        if self.prober is not None:
            self.do(self.listener.close)
            self.prober.stop()


def still_open(connections: Iterable[Connection], address: str) -> int:
    return sum(made.address == address and made.closed is None for made in connections)


def most_open(connections: Iterable[Connection], address: str) -> int:
    """How many were open at once at most."""
    events = []
    for made in connections:
        if made.address == address:
            events.append((made.opened, 1))
            if made.closed is not None:
                events.append((made.closed, -1))
    return max(itertools.accumulate(change for _, change in sorted(events)))


@pytest.fixture
def world() -> Iterator[World]:
    with jumping() as loop:
        made = World(loop)
        yield made
        made.close()


@pytest.mark.parametrize("failures", [1, 2, 3, 5])
@pytest.mark.parametrize("interval_s", [1, 2.5])
def test_a_dead_node_is_ill_in_time(world: World, failures: int, interval_s: float) -> None:
    """Wherever in its interval the death comes: the next probe, then one each 0.4 intervals, then their deadlines."""
    world.probe(*ADDRESSES, interval_s=interval_s, failures=failures)
    dead = world.exchange(never, 5 * interval_s)
    row_s = 0.4 * (failures - 1) * interval_s
    for _ in ADDRESSES:
        at, address, why = world.next()
        probes = "1 probe" if failures == 1 else f"{failures} probes in a row"
        assert why == f"{address}: {probes} failed: no answer within {interval_s:g} s"
        asked = world.asked(address, dead, at)
        assert len(asked) == failures
        assert asked[0] <= dead + interval_s
        assert asked[-1] == pytest.approx(asked[0] + row_s)
        assert at == pytest.approx(asked[-1] + interval_s)
    connections = world.connections_after(2 * interval_s)
    assert all(most_open(connections, address) == min(failures, 3) for address in ADDRESSES)
    for made in connections:
        if made.asked and made.asked[-1] >= dead and made.closed is not None:
            assert made.closed == pytest.approx(made.asked[-1] + interval_s), "each has its whole interval"


@pytest.mark.parametrize("failures", [1, 2, 3, 5])
def test_late_answers_in_time_are_no_failures(world: World, failures: int) -> None:
    world.probe(*ADDRESSES, failures=failures)

    def late(connection: Connection) -> None:
        world.loop.call_later(0.95, connection.answer)

    world.exchange(late, 3)
    connections = world.connections_after(12)
    assert world.said.empty()
    for address in ADDRESSES:
        assert most_open(connections, address) == min(failures, 3), "the doubt was there"


def test_a_slow_503_in_doubt_is_a_failure(world: World) -> None:
    world.probe(ADDRESSES[0])

    def sick(connection: Connection) -> None:
        world.loop.call_later(0.6, connection.answer, UNHEALTHY)

    since = world.exchange(sick, 3)
    at, _, why = world.next()
    assert why == f"{ADDRESSES[0]}: 3 probes in a row failed: status 503"
    assert len(world.asked(ADDRESSES[0], since, at)) == 3


def test_a_connection_that_failed_and_asks_again_has_a_whole_interval_anew(world: World) -> None:
    """The first of three answers 503 late; on its connection the third goes out, and is answered in time."""
    world.probe(ADDRESSES[0])
    asked: list[Connection] = []

    def behave(connection: Connection) -> None:
        asked.append(connection)
        if len(asked) == 1:
            world.loop.call_later(0.5, connection.answer, UNHEALTHY)
        elif len(asked) == 3:
            world.loop.call_later(0.9, connection.answer)
        elif len(asked) > 3:
            connection.answer()

    world.exchange(behave, 3)
    connections = world.connections_after(10)
    assert world.said.empty()
    assert asked[0] is asked[2]
    assert len(connections) == 2


def test_an_answer_without_its_end_blocks_nothing(world: World) -> None:
    """The status line says enough; the connection is of no more use when the next probe is due."""
    address = ADDRESSES[0]
    world.probe(address)
    since = world.exchange(lambda connection: connection.answer(OK[:-1]), 3)
    connections = world.connections_after(10)
    assert world.said.empty()
    assert still_open(connections, address) == 1
    assert most_open(connections, address) == 1
    assert len(connections) == len(world.asked(address, since, since + 10))


@pytest.mark.parametrize("answered", [1, 2, 3])
def test_an_answer_ends_the_doubt(world: World, answered: int) -> None:
    """Whichever probe gets it: the address is well, and its connection alone is left and asked on from then on."""
    address = ADDRESSES[0]
    world.probe(address)
    asked: list[Connection] = []
    revived: list[float] = []

    def one_in_three(connection: Connection) -> None:
        asked.append(connection)
        if len(asked) == 3:
            world.loop.call_later(0.1, revive)

    def revive() -> None:
        revived.append(world.loop.time())
        world.behave = at_once
        asked[answered - 1].answer()

    since = world.exchange(one_in_three, 3)
    connections = world.connections_after(20)
    assert world.said.empty()
    assert len(connections) == 3, "no other was made"
    ended = [made.closed for made in connections]
    assert ended.pop(answered - 1) is None
    assert ended == [pytest.approx(revived[0])] * 2
    doubtful, last, *quiet = world.asked(address, since, since + 18)[1:]
    assert last == pytest.approx(doubtful + 0.4)
    assert quiet == pytest.approx([last + 1 + number for number in range(len(quiet))])
    assert len(quiet) >= 15


def test_a_node_that_is_down_gets_one_probe_an_interval(world: World) -> None:
    """One that fell ill, and one that has never answered."""
    world.probe(*ADDRESSES)
    world.exchange(never, 3)
    ill = max(world.next()[0] for _ in ADDRESSES)
    connections = world.connections_after(12)
    for address in ADDRESSES:
        asked = world.asked(address, ill, ill + 10)
        assert len(asked) in {9, 10, 11}
        assert all(later - sooner == pytest.approx(1) for sooner, later in itertools.pairwise(asked))
        assert still_open(connections, address) == 1
    back = world.exchange(at_once)
    for _ in ADDRESSES:
        at, _, why = world.next()
        assert why is None
        assert at <= back + 1
    connections = world.connections_after(5)
    assert all(still_open(connections, address) == 1 for address in ADDRESSES)


def test_an_address_that_is_taken_away_in_doubt_is_let_go(world: World) -> None:
    world.probe(*ADDRESSES)
    prober = world.prober
    assert prober is not None
    world.exchange(never, 3)
    world.do(lambda: prober.set_targets({}), 1.5)
    gone = world.do(world.loop.time)
    connections = world.connections_after(10)
    assert world.said.empty()
    assert not any(still_open(connections, address) for address in ADDRESSES)
    assert not any(world.asked(address, gone, gone + 9) for address in ADDRESSES)


def test_refusals_beside_a_probe_in_doubt_are_no_failures(world: World) -> None:
    """kube-proxy hangs and is gone: the node lives, and has half a minute."""
    world.probe(ADDRESSES[0])

    def gone() -> float:
        world.behave = never
        world.listener.close()
        return world.loop.time()

    since = world.do(gone, 3)
    at, _, why = world.next()
    assert why == f"{ADDRESSES[0]}: connection refused for 30 s"
    assert since + 30 <= at <= since + 32.5


def test_own_limits_say_nothing_of_a_node(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """While there is no file for another connection nothing is learnt; when there is again, the verdict comes in time."""
    world.probe(ADDRESSES[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def starve() -> None:
        world.behave = never
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

    try:
        world.do(starve, 3)
        world.connections_after(10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert world.said.empty()
    assert "nodes cannot be probed: Too many open files" in caplog.text
    fed = world.do(world.loop.time)
    at, _, why = world.next()
    assert why == f"{ADDRESSES[0]}: 3 probes in a row failed: no answer within 1 s"
    assert at <= fed + 2.8

"""The API server and etcd fail in every way; the routes stand still, and follow again afterwards."""

import random
import time
from collections.abc import Iterator

import pytest

from tests.daemon.following import SHORT_LEASE, TIMES, Following, Table, between, following
from tests.world import live as world
from tests.world.fib import FibHistory
from tests.world.live import EXCLUDE_LABEL, Live
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.slow, pytest.mark.long]

FOLLOW_S = 60  # a watch that has failed for long asks again at most every 30 s
SETS = (("n1", "n2"), ("n2", "n3"), ("n1", "n2", "n3"), ("n3",))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=4), tmp_path_factory.mktemp("live")) as live:
        for proxy in live.proxies.values():
            proxy.stop()  # these tests look at routes only
        yield live


@pytest.fixture
def scene(live: Live) -> Iterator[Following]:
    with following(live, SHORT_LEASE, restart_proxies=False) as scene:
        scene.await_exactly(scene.ranges())
        yield scene


class Chain:
    """A service that moves from one set of nodes to the next, and the table that is right for each."""

    def __init__(self, scene: Following, name: str = "moving") -> None:
        self.scene = scene
        self.name = name
        self.prefix = scene.live.add_by_hand(name, *SETS[0])
        self.table = self._table(0)
        scene.await_exactly(self.table)
        self._step = 0

    def _table(self, step: int) -> Table:
        nodes = SETS[step % len(SETS)]
        return self.scene.ranges() | {self.prefix: self.scene.live.addresses(4, *nodes)}

    def move(self) -> tuple[Table, Table]:
        """Moves it on; the tables before and after."""
        self._step += 1
        before, self.table = self.table, self._table(self._step)
        self.scene.live.place_by_hand(self.name, *SETS[self._step % len(SETS)])
        return before, self.table


def whole(fib: FibHistory, old: Table, new: Table) -> Table:
    """One of the two tables, as soon as the router has it: what is under way is brought to its end."""
    return wait_for(lambda: next((table for table in (old, new) if fib.table() == table), None), "one of the two")


@pytest.mark.timeout(1200)
def test_the_api_server_is_killed_and_started_again(scene: Following) -> None:
    live, chain = scene.live, Chain(scene)
    chance = random.Random(4)
    for turn in range(TIMES):
        since = time.monotonic()
        old, new = chain.move()
        if turn % 2:
            scene.await_exactly(new)
        time.sleep(chance.uniform(0, 0.05))  # the server dies while the change is on its way, or after it
        live.api.kill("kube-apiserver")
        scene.daemon.await_status(lambda status: not status["synced"], "the daemon knows that its watches are broken")
        frozen = {fib: whole(fib, old, new) for fib in scene.fibs}
        still = time.monotonic()
        assert scene.daemon.get("/livez").status == 200
        live.api.start_again("kube-apiserver")
        scene.await_exactly(new, timeout=FOLLOW_S)
        scene.daemon.await_page("/readyz", 200, FOLLOW_S)
        scene.assert_only(between(old, new), since)
        for fib, table in frozen.items():
            fib.assert_only(between(table, new), still)


@pytest.mark.timeout(1200)
def test_what_was_deleted_while_the_history_was_compacted_is_gone(scene: Following) -> None:
    """Objects go unseen, the history of their going is lost: only a new list can show it."""
    live = scene.live
    for turn in range(TIMES):
        names = [f"gap{turn}-{n}" for n in range(3)]
        nodes = SETS[turn % len(SETS)]
        hosts = {live.add_by_hand(name, *nodes): live.addresses(4, *nodes) for name in names}
        full = scene.ranges() | hosts
        scene.await_exactly(full)
        since = time.monotonic()
        with scene.unseen():
            for name in names[:2]:
                live.remove_by_hand(name)
            live.label("n4", EXCLUDE_LABEL, "true" if turn % 2 == 0 else None)
            assert all(fib.table() == full for fib in scene.fibs)
        kept = dict(list(hosts.items())[2:])
        ranges = scene.ranges("n1", "n2", "n3") if turn % 2 == 0 else scene.ranges()
        scene.await_exactly(ranges, kept, timeout=FOLLOW_S)
        scene.assert_only(between(full, ranges | kept), since)
        live.remove_by_hand(names[2])
        live.label("n4", EXCLUDE_LABEL, None)
        scene.await_exactly(scene.ranges(), timeout=FOLLOW_S)


@pytest.mark.timeout(1200)
def test_etcd_stands_still(scene: Following) -> None:
    """Short pauses, and some that outlast the Lease: the leader stops to write, nothing moves, and it leads again."""
    live, chain = scene.live, Chain(scene)
    chance = random.Random(7)
    for turn in range(TIMES):
        since = time.monotonic()
        old, new = chain.move()
        time.sleep(chance.uniform(0, 0.02))
        with live.api.etcd_frozen():
            if turn % 4 == 3:
                scene.daemon.await_status(lambda status: not status["leading"], "the Lease has run out", FOLLOW_S)
            else:
                time.sleep(chance.uniform(0.1, 1.5))
            for fib in scene.fibs:
                whole(fib, old, new)
        scene.await_exactly(new, timeout=FOLLOW_S)
        scene.daemon.await_status(lambda status: status["leading"], "it leads again", FOLLOW_S)
        scene.assert_only(between(old, new), since)


def test_started_without_an_api_server_it_waits_and_changes_nothing(live: Live) -> None:
    prefix = live.add_by_hand("early", "n1", "n2")
    with following(live, SHORT_LEASE, restart_proxies=False) as scene:
        table = scene.ranges() | {prefix: live.addresses(4, "n1", "n2")}
        scene.await_exactly(table)
        since = time.monotonic()
        assert scene.daemon.stop() == 0
        live.api.kill("kube-apiserver")
        scene.daemon.start()
        scene.daemon.await_page("/livez", 200)
        wait_for(lambda: scene.daemon.get("/readyz").status == 503, "it is alive and not ready")
        assert all(fib.kernel() == table for fib in scene.fibs)
        live.api.start_again("kube-apiserver")
        live.place_by_hand("early", "n3")
        after = scene.ranges() | {prefix: live.addresses(4, "n3")}
        scene.await_exactly(after, timeout=FOLLOW_S)
        scene.assert_only(between(table, after), since)

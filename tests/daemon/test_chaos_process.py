"""The daemon dies, stands still or loses its routers at the worst moment."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from k8s_ecmp.journal import Begun, Journal
from tests.daemon.following import MANY, SHORT_LEASE, TIMES, Following, Table, between, following, times
from tests.world import clock
from tests.world import live as world
from tests.world.daemon import Daemon
from tests.world.fib import FibHistory
from tests.world.live import EXCLUDE_LABEL, Live
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.slow, pytest.mark.long]

SERVICES = 30
# Of two daemons: one that a busy machine keeps waiting does not lose it to the other, one that stands still does.
CONTESTED_LEASE = {"daemon": {"lease": {"duration_s": 10, "renew_deadline_s": 8, "retry_s": 0.5}}}
NODES = ("n1", "n2", "n3", "n4")
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp-lab"
OFFSETS = (3600, 86400, -3600, -86400, 5, -5, 0)  # of the wall clock, in seconds


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=len(NODES)), tmp_path_factory.mktemp("live")) as live:
        for proxy in live.proxies.values():
            proxy.stop()  # these tests look at routes only
        yield live


@pytest.fixture
def scene(live: Live) -> Iterator[Following]:
    with following(live, SHORT_LEASE, restart_proxies=False) as scene:
        yield scene


class Crowd:
    """Many services on all nodes: a node's leaving changes every one of them, and takes a while to write."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.prefixes = [live.add_by_hand(f"crowd{number}", *NODES) for number in range(SERVICES)]

    def table(self, *nodes: str) -> Table:
        ranges = {"10.43.0.0/16": self.live.addresses(4, *nodes), "fd43::/108": self.live.addresses(6, *nodes)}
        return ranges | dict.fromkeys(self.prefixes, self.live.addresses(4, *nodes))

    def exclude(self, node: str, *, excluded: bool) -> tuple[Table, Table]:
        """Takes a node out, or in again; the tables before and after."""
        rest = [name for name in NODES if name != node]
        whole, less = self.table(*NODES), self.table(*rest)
        self.live.label(node, EXCLUDE_LABEL, "true" if excluded else None)
        return (whole, less) if excluded else (less, whole)


def at_rest(scene: Following, table: Table) -> None:
    """Returns when the routes are these, and the commit that made them is confirmed."""
    scene.await_exactly(table)
    scene.daemon.await_status(lambda status: status["routers"][0]["state"] == "in-sync", "nothing is left to do")


class Moment:
    """So long after a commit began that each part of it is met: the longest delay is that by which some come too late."""

    def __init__(self) -> None:
        self._chance, self._longest_s, self._last_s = random.Random(9), 0.01, 0.0

    def wait(self) -> None:
        self._last_s = self._chance.uniform(0, self._longest_s)
        time.sleep(self._last_s)

    def learn(self, *, in_time: bool) -> None:
        self._longest_s = self._longest_s * 1.5 if in_time else self._last_s


def begun(daemon: Daemon) -> list[Begun]:
    """Changes that have no end in the journal."""
    with Journal(daemon.folder / "journal.sqlite") as journal:
        return journal.unfinished("lab")


def killed_in_commit(scene: Following, moment: Moment) -> str | None:
    """Kills the daemon after its next commit has begun; how far the router was then, None where it was confirmed."""
    router = scene.live.router
    router.await_commit()
    moment.wait()
    seen = router.unconfirmed()
    scene.daemon.kill()
    router.await_unlocked()  # by now all that the dead one had said was heard
    met = bool(router.unconfirmed())
    assert begun(scene.daemon) or not met, "a commit that is not in the journal"
    moment.learn(in_time=met)
    return ("applying" if any(name.startswith("tx.") for name in seen) else "applied") if met else None


@pytest.mark.timeout(1200)
def test_the_daemon_is_killed_in_the_middle_of_a_commit(scene: Following) -> None:
    """One that the router has begun, and that nobody will confirm: so it was `TIMES` times, others do not count."""
    crowd, moment, met = Crowd(scene.live), Moment(), Counter[str]()
    at_rest(scene, crowd.table(*NODES))
    for turn in range(5 * TIMES):
        since = time.monotonic()
        old, new = crowd.exclude("n4", excluded=turn % 2 == 0)
        how_far = killed_in_commit(scene, moment)
        if turn % 3 != 2:  # the next one need not wait for its end, and may meet the router still at work
            scene.live.api.request("DELETE", LEASE)
        scene.daemon.start()
        at_rest(scene, new)
        assert scene.live.router.unconfirmed() == []
        scene.assert_only(between(old, new), since)
        wait_for(lambda: not begun(scene.daemon), "the journal says what became of every change", interval=0.05)
        if how_far is not None:
            met[how_far] += 1
        if met.total() == TIMES:
            break
    assert met.total() == TIMES, f"only {met} of {turn + 1} were in the middle of a commit"
    assert TIMES < MANY or len(met) == 2, f"the moments were not spread: {met}"


@pytest.mark.timeout(1200)
def test_the_daemon_is_killed_at_any_moment_of_a_change(scene: Following) -> None:
    crowd, chance, early, turns = Crowd(scene.live), random.Random(9), 0, times(1)
    scene.await_exactly(crowd.table(*NODES))
    for turn in range(turns):
        since = time.monotonic()
        old, new = crowd.exclude("n4", excluded=turn % 2 == 0)
        time.sleep(chance.uniform(0, 0.25))
        scene.daemon.kill()
        early += scene.fib.table() == old
        scene.daemon.start()
        scene.await_exactly(new, timeout=60)
        scene.daemon.await_ready()
        scene.assert_only(between(old, new), since)
    assert turns < MANY or 0 < early < turns, (
        f"{early} of {turns} were killed before the change: the moments were not spread"
    )


def told_to_end(daemon: Daemon) -> None:
    """SIGTERM; returns when it says that it has heard it."""

    def said() -> int:
        return sum(line["event"] == "stopping; the routes stay" for line in daemon.log())

    before = said()
    daemon.send(signal.SIGTERM)
    wait_for(lambda: said() > before, "it says that it stops")


def holder(live: Live) -> str | None:
    """Who has the Lease."""
    found: str | None = live.api.get(LEASE)["spec"].get("holderIdentity")
    return found or None


@pytest.mark.timeout(1200)
def test_told_to_end_in_the_middle_of_a_commit_it_leaves_nothing_half_done(scene: Following) -> None:
    crowd, daemon, router = Crowd(scene.live), scene.daemon, scene.live.router
    at_rest(scene, crowd.table(*NODES))
    for _ in range(times(1)):
        since = time.monotonic()
        with router.stopped("staticd"):  # so that the commit does not end before the daemon was told to
            old, new = crowd.exclude("n4", excluded=True)
            router.await_commit()
            told_to_end(daemon)
        assert daemon.wait() == 0, daemon.tail()
        assert router.unconfirmed() == [], "the router would take it back"
        wait_for(router.settled, "nothing goes on on the router")
        left = scene.fib.kernel()
        assert left in (old, new)
        with Journal(daemon.folder / "journal.sqlite") as journal:
            (end,) = journal.entries(kinds=["result"], last=1)
        assert (end.body["outcome"] == "committed") == (left == new)
        assert begun(daemon) == []
        assert holder(scene.live) is None
        router.await_unlocked()
        daemon.start()
        at_rest(scene, new)
        assert daemon.status()["routers"][0]["commits"] == (left != new)
        scene.assert_only(between(old, new), since)
        crowd.exclude("n4", excluded=False)
        at_rest(scene, old)


def test_told_to_end_while_a_router_hangs_it_ends_and_the_router_takes_the_change_back(scene: Following) -> None:
    crowd, daemon, router = Crowd(scene.live), scene.daemon, scene.live.router
    at_rest(scene, crowd.table(*NODES))
    since = time.monotonic()
    with router.stopped("staticd"):
        old, new = crowd.exclude("n4", excluded=True)
        router.await_commit()
        assert daemon.stop(timeout=20) == 0, daemon.tail()  # it says 10 s, a busy machine takes longer
        (late,) = (line["routers"] for line in daemon.log() if line["event"].startswith("routers that did not end"))
        assert late == ["r1"]
        assert begun(daemon)
        assert holder(scene.live) is None
    scene.await_exactly(new)
    router.end_timer()
    scene.await_exactly(old)
    wait_for(router.settled, "nothing goes on on the router")
    daemon.start()
    at_rest(scene, new)
    wait_for(lambda: not begun(daemon), "the journal says what became of the change", interval=0.05)
    scene.assert_only(between(old, new), since)


@pytest.mark.timeout(1200)
def test_the_routers_sshd_is_killed(scene: Following) -> None:
    crowd, chance = Crowd(scene.live), random.Random(11)
    router = scene.live.router
    scene.await_exactly(crowd.table(*NODES))
    for turn in range(TIMES):
        since = time.monotonic()
        old, new = crowd.exclude("n3", excluded=turn % 2 == 0)
        time.sleep(chance.uniform(0, 0.2))
        router.kill_sshd()
        if turn % 4 == 3:
            scene.daemon.await_status(
                lambda status: status["routers"][0]["state"] in {"failed", "connecting"}, "the loss is noticed", 60
            )
            assert scene.daemon.get("/livez").status == 200
        router.start_sshd()
        scene.await_exactly(new, timeout=60)
        scene.assert_only(between(old, new), since)


def assert_sequence(fib: FibHistory, tables: list[Table], since: float) -> None:
    """Every prefix has gone through the tables in their order and never back."""
    for prefix in tables[0]:
        wanted = [table[prefix] for table in tables]
        place = 0
        for sample in fib.samples(prefix, since):
            while (
                place < len(wanted)
                and sample.hops not in between({prefix: wanted[max(place - 1, 0)]}, {prefix: wanted[place]})[prefix]
            ):
                place += 1
            assert place < len(wanted), f"{prefix} went back: {fib.samples(prefix, since)}"


def take_over(
    live: Live, first: Daemon, second: Daemon, fib: FibHistory, crowd: Crowd, pause_s: float, delay_s: float | None
) -> None:
    """`first` leads and is paused; `second` takes over; `first` goes on and must not write.

    `delay_s`: it is paused so long after a change, in the middle of writing it; None: when it has written it.
    """
    first.await_leading()
    tables = [crowd.table(*NODES)]
    fib.await_exactly(tables[0], timeout=60)
    since = time.monotonic()
    crowd.exclude("n4", excluded=True)
    tables.append(crowd.table("n1", "n2", "n3"))
    if delay_s is None:
        fib.await_exactly(tables[1], timeout=60)
        first.await_status(lambda status: not status["routers"][0]["pending"], "nothing is pending", 60)
    else:
        time.sleep(delay_s)
    with first.paused():
        paused = time.monotonic()
        second.await_leading(timeout=60)
        fib.await_exactly(tables[1], timeout=60)
        # Two more changes that the paused one knows nothing of; the second gives back what it was about to take.
        live.label("n1", EXCLUDE_LABEL, "true")
        tables.append(crowd.table("n2", "n3"))
        fib.await_exactly(tables[2], timeout=60)
        live.label("n4", EXCLUDE_LABEL, None)
        tables.append(crowd.table("n2", "n3", "n4"))
        fib.await_exactly(tables[3], timeout=60)
        time.sleep(max(0, paused + pause_s - time.monotonic()))
    first.await_status(lambda status: not status["leading"] and status["leader"] == second.name, "it stands by", 60)
    live.label("n1", EXCLUDE_LABEL, None)
    tables.append(crowd.table(*NODES))
    fib.await_exactly(tables[4], timeout=60)
    assert second.status()["leading"]
    assert_sequence(fib, tables, since)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("lease", "pause_s", "turns"),
    [({}, 30, times(1)), (CONTESTED_LEASE, 12, times(2))],
    ids=["default lease, 30 s", "short lease"],
)
def test_a_leader_that_stood_still_does_not_write(
    live: Live, lease: dict[str, Any], pause_s: float, turns: int
) -> None:
    crowd = Crowd(live)
    a, b = Daemon(live, lease, name="a"), Daemon(live, lease, name="b")
    try:
        with FibHistory(live.router.netns) as fib, a, b:
            a.await_page("/livez", 200)
            b.await_page("/livez", 200)
            a.await_status(lambda status: status["leader"], "somebody leads", 60)
            chance = random.Random(pause_s)
            for turn in range(turns):
                leader, standby = (a, b) if a.status()["leading"] else (b, a)
                take_over(live, leader, standby, fib, crowd, pause_s, chance.uniform(0, 0.1) if turn % 2 else None)
            assert (a.stop(), b.stop()) == (0, 0)
    finally:
        live.restore(proxies=False)
        live.clear_routes()


def test_a_standby_takes_over_at_once_from_a_leader_that_ends_in_order(live: Live) -> None:
    crowd = Crowd(live)
    lease = {"daemon": {"lease": {"duration_s": 600, "renew_deadline_s": 400}}}
    a, b = Daemon(live, lease, name="a"), Daemon(live, lease, name="b")
    try:
        with FibHistory(live.router.netns) as fib, a:
            a.await_ready().await_leading()
            with b:
                b.await_ready()
                assert not b.status()["leading"]
                fib.await_exactly(crowd.table(*NODES))
                since = time.monotonic()
                assert a.stop() == 0
                b.await_leading(timeout=60)  # far less than the Lease's time: it was given back
                crowd.exclude("n2", excluded=True)
                fib.await_exactly(crowd.table("n1", "n3", "n4"))
                assert_sequence(fib, [crowd.table(*NODES), crowd.table("n1", "n3", "n4")], since)
                assert b.stop() == 0
    finally:
        live.restore(proxies=False)
        live.clear_routes()


@pytest.mark.timeout(1200)
@pytest.mark.skipif(clock.missing() is not None, reason=str(clock.missing()))
def test_the_wall_clock_jumps(live: Live) -> None:
    """By an hour, a day, backwards, around the Lease's times, at and after a change."""
    bent, chance, offset = clock.Clock(live.directory), random.Random(13), 0
    with following(live, SHORT_LEASE, restart_proxies=False, environment=bent.environment) as scene:
        crowd = Crowd(live)
        scene.await_exactly(crowd.table(*NODES))
        for turn in range(TIMES):
            since = time.monotonic()
            old, new = crowd.exclude("n2", excluded=turn % 2 == 0)
            time.sleep(chance.uniform(0, 0.1))
            offset = chance.choice([other for other in OFFSETS if other != offset])
            bent.jump(offset)
            scene.await_exactly(new, timeout=60)
            scene.daemon.await_status(lambda status: status["leading"] and status["ready"], "it leads and is ready", 60)
            scene.assert_only(between(old, new), since)
        month = datetime.now(UTC) + timedelta(days=29)
        bent.jump(30 * 86400)
        scene.daemon.await_status(
            lambda status: datetime.fromisoformat(status["now"]) > month, "the daemon lives by the bent clock"
        )

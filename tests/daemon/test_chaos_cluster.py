"""The API tells of the end of the world: everything not Ready, everything deleted, empty lists. The routes stay."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.daemon.following import SHORT_LEASE, TIMES, Following, Table, following, times
from tests.world import live as world
from tests.world.daemon import merged
from tests.world.fib import GONE
from tests.world.kube.server import COLLECTIONS
from tests.world.live import EXCLUDE_LABEL, Live

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.slow, pytest.mark.long]

FOLLOW_S = 60
NODES = ("n1", "n2", "n3", "n4", "n5")
SERVICES = 6
# The hold-down of the first node must not be over before most nodes were told of, one after the other.
GUARDED = {**SHORT_LEASE, "nodes": {"hold_down_s": 15, "hold_up_s": 0}, "guards": {"max_withdrawn_fraction": 0.5}}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=len(NODES)), tmp_path_factory.mktemp("live")) as live:
        for proxy in live.proxies.values():
            proxy.stop()  # these tests look at routes only
        yield live


@pytest.fixture
def scene(live: Live) -> Iterator[Following]:
    with following(live, GUARDED, restart_proxies=False) as scene:
        yield scene


def peopled(scene: Following) -> Table:
    """Some Local services on all nodes; the table with them."""
    prefixes = [scene.live.add_by_hand(f"web{number}", *NODES) for number in range(SERVICES)]
    table = scene.ranges() | dict.fromkeys(prefixes, scene.live.addresses(4))
    scene.await_exactly(table)
    return table


def holds(guard: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a status says that the guard holds something."""

    def held(status: dict[str, Any]) -> bool:
        everywhere = [hold["guard"] for hold in status["holds"]]
        return guard in [*everywhere, *(hold["guard"] for router in status["routers"] for hold in router["guards"])]

    return held


def nobody_eligible(status: dict[str, Any]) -> bool:
    return all(node["standing"] == "out" for node in status["nodes"])


def settled(status: dict[str, Any]) -> bool:
    """All nodes are eligible as the daemon sees them, and nothing is left to do on the routers."""
    eligible = [node["name"] for node in status["nodes"] if node["standing"] == "eligible"]
    done = all(router["state"] == "in-sync" and not router["pending"] for router in status["routers"])
    return status["synced"] and len(eligible) == len(NODES) and done and not status["holds"]


def assert_kept(scene: Following, table: Table, nodes: tuple[str, ...], since: float) -> None:
    """No route has been without one of these nodes since then."""
    for prefix in table:
        kept = scene.live.addresses(6 if ":" in prefix else 4, *nodes)
        for sample in scene.fib.samples(prefix, since):
            assert kept <= sample.hops, f"{prefix} had {sorted(sample.hops)} at +{sample.at - since:.3f} s"


def all_not_ready(scene: Following, table: Table, status: str) -> None:
    """Every node is not Ready, for longer than the hold-down: nothing moves."""
    since = time.monotonic()
    for node in NODES:
        scene.live.set_ready(node, status)
    scene.daemon.await_status(holds("panic"), "the panic guard holds")
    scene.daemon.await_status(nobody_eligible, "the hold-down of every node is over")
    scene.assert_only({prefix: {hops} for prefix, hops in table.items()}, since)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_all_nodes_not_ready_at_once_are_held(scene: Following, status: str) -> None:
    live, table = scene.live, peopled(scene)
    for _ in range(times(1)):
        all_not_ready(scene, table, status)
        since = time.monotonic()
        for node in NODES:
            live.set_ready(node)
        scene.daemon.await_status(settled, "all nodes are well and the routers are done", FOLLOW_S)
        scene.await_exactly(table)
        # The guard ends with the third of five: only those that are still not Ready may leave then.
        assert_kept(scene, table, NODES[:3], since)
    # It is well again: a change goes through.
    without = {prefix: hops - live.addresses(6 if ":" in prefix else 4, "n5") for prefix, hops in table.items()}
    scene.change(lambda: live.label("n5", EXCLUDE_LABEL, "true"), table, without)


def test_nodes_that_were_held_do_not_leave_when_they_are_well_again(live: Live) -> None:
    """The time that a node has to be well before it returns is for nodes that have left."""
    held = merged(GUARDED, {"nodes": {"hold_up_s": 5}, "guards": {"max_withdrawn_fraction": 1}})
    with following(live, held, restart_proxies=False) as scene:
        table = peopled(scene)
        all_not_ready(scene, table, "Unknown")
        since = time.monotonic()
        for node in NODES:
            live.set_ready(node)
        scene.daemon.await_status(settled, "all nodes are well and the routers are done", FOLLOW_S)
        scene.await_exactly(table)
        assert_kept(scene, table, NODES[:3], since)


@pytest.mark.timeout(1200)
def test_all_nodes_deleted_at_once_never_empty_the_routes(scene: Following) -> None:
    """One by one they go, as a DELETE of the collection does: what goes first may leave, half of all hops stay."""
    live, table = scene.live, peopled(scene)
    for turn in range(TIMES):
        since = time.monotonic()
        live.api.request("DELETE", COLLECTIONS["Node"])
        scene.daemon.await_status(
            lambda status: not status["nodes"] and any(holds(g)(status) for g in ("mass-withdrawal", "empty-desired")),
            "all nodes are gone and a guard holds",
        )
        if turn % 5 == 4:
            time.sleep(2.5)  # and it goes on to hold, however often it is looked at again
        for prefix in table:
            fewest = min(len(sample.hops) for sample in scene.fib.samples(prefix, since))
            assert fewest * 2 >= len(NODES) - 1, f"turn {turn}: {prefix} had {fewest} next hops"
        for node in NODES:
            live.add_node(node)
        scene.daemon.await_status(settled, "all nodes are back and the routers are done", FOLLOW_S)
        scene.await_exactly(table)
        parts = {
            prefix: {hops for s in scene.fib.samples(prefix, since) if (hops := s.hops) <= whole and hops != GONE}
            for prefix, whole in table.items()
        }
        scene.assert_only(parts, since)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["Node", "EndpointSlice", "Service"])
def test_an_empty_list_is_held(scene: Following, kind: str) -> None:
    """Everything vanishes unseen, and the next list is empty."""
    live, table = scene.live, peopled(scene)
    for _ in range(times(1)):
        since = time.monotonic()
        with scene.unseen():
            listed = live.api.get(COLLECTIONS[kind].format("default"))
            keep = [item for item in listed["items"] if item["metadata"]["name"] != "kubernetes"]
            for item in keep:
                live.api.delete(kind, item["metadata"]["name"])
        scene.daemon.await_status(
            lambda status: (
                status["synced"]
                and any(holds(guard)(status) for guard in ("mass-withdrawal", "empty-desired", "last-next-hop"))
            ),
            "a guard holds what the empty list would take",
            FOLLOW_S,
        )
        hosts = {prefix: hops for prefix, hops in table.items() if prefix not in scene.ranges()}
        if kind == "Node":
            scene.assert_only({prefix: {hops} for prefix, hops in table.items()}, since)
        else:
            scene.assert_only({prefix: {hops} for prefix, hops in (scene.ranges() | hosts).items()}, since)
        for item in keep:
            fresh = {k: v for k, v in item["metadata"].items() if k in {"name", "namespace", "labels"}}
            live.api.create({**item, "apiVersion": listed["apiVersion"], "kind": kind, "metadata": fresh})
        scene.daemon.await_status(settled, "everything is back and the routers are done", FOLLOW_S)
        scene.await_exactly(table)

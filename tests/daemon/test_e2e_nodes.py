"""What becomes of Nodes ends in the router's kernel: health, maintenance, labels, taints, deletion."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.daemon.following import Following, Table, following
from tests.world import live as world
from tests.world.live import DRAIN_ANNOTATION, EXCLUDE_LABEL, Live

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.long]

HOLD_DOWN_S = 2.0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=5), tmp_path_factory.mktemp("live")) as live:
        yield live


@pytest.fixture
def scene(live: Live) -> Iterator[Following]:
    with following(live) as scene:
        yield scene


def local_on(scene: Following, *nodes: str) -> Callable[..., Table]:
    """A Local service with pods on those nodes; the table that is right without the nodes that are named."""
    ips = scene.live.add_local("default/web", *nodes)

    def without(*gone: str) -> Table:
        everybody = [name for name in scene.live.nodes if name not in gone]
        return scene.ranges(*everybody) | scene.over(ips, *(name for name in nodes if name not in gone))

    scene.await_exactly(without())
    return without


def test_a_cordoned_node_goes_on_serving(scene: Following) -> None:
    table = local_on(scene, "n1", "n2")
    since = time.monotonic()
    scene.live.cordon("n1")
    # What happens to a node after it is seen after it.
    scene.live.label("n5", EXCLUDE_LABEL, "true")
    scene.await_exactly(table("n5"))
    assert all("10.98.0.11" in sample.hops for sample in scene.fib.samples("10.43.0.0/16", since))


def test_a_cordon_withdraws_where_the_settings_say_so(live: Live) -> None:
    with following(live, {"nodes": {"withdraw_on_cordon": True}}) as scene:
        table = local_on(scene, "n1", "n2")
        scene.change(lambda: live.cordon("n1"), table(), table("n1"))
        scene.change(lambda: live.cordon("n1", on=False), table("n1"), table())


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_node_that_is_not_ready_leaves_after_the_hold_down(live: Live, status: str) -> None:
    with following(live, {"nodes": {"hold_down_s": HOLD_DOWN_S, "hold_up_s": 1}}) as scene:
        table = local_on(scene, "n1", "n2")
        started = time.monotonic()
        scene.change(lambda: live.set_ready("n2", status), table(), table("n2"))
        left = scene.fib.samples("10.43.0.0/16", started)[-1]
        assert left.at - started >= HOLD_DOWN_S - 1, "lastTransitionTime has whole seconds: up to one is lost"
        back = time.monotonic()
        scene.change(lambda: live.set_ready("n2"), table("n2"), table())
        assert scene.fib.samples("10.43.0.0/16", back)[-1].at > back


def test_a_short_absence_is_not_noticed(live: Live) -> None:
    with following(live, {"nodes": {"hold_down_s": 20, "hold_up_s": 0}}) as scene:
        table = local_on(scene, "n1", "n2")
        since = time.monotonic()
        live.set_ready("n2", "Unknown")
        live.set_ready("n2")
        live.label("n5", EXCLUDE_LABEL, "true")
        scene.await_exactly(table("n5"))
        assert all("10.98.0.12" in sample.hops for sample in scene.fib.samples("10.43.0.0/16", since))


def test_a_deleted_node_leaves_at_once_whatever_the_hold_down(live: Live) -> None:
    with following(live, {"nodes": {"hold_down_s": 3600}}) as scene:
        table = local_on(scene, "n1", "n3")
        scene.change(lambda: live.delete_node("n3"), table(), table("n3"))
        scene.change(lambda: live.add_node("n3"), table("n3"), table())


def test_the_exclude_label(scene: Following) -> None:
    live, table = scene.live, local_on(scene, "n1", "n4")
    for value in ("true", "", "yes"):
        scene.change(lambda value=value: live.label("n4", EXCLUDE_LABEL, value), table(), table("n4"))
        scene.change(lambda: live.label("n4", EXCLUDE_LABEL, "false"), table("n4"), table())
        scene.live.label("n4", EXCLUDE_LABEL, None)
        scene.await_exactly(table())


@pytest.mark.parametrize(
    "taint",
    [
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "node.kubernetes.io/out-of-service",
        "medik8s.io/drain",
    ],
)
def test_taints_that_announce_an_end(scene: Following, taint: str) -> None:
    live, table = scene.live, local_on(scene, "n1", "n2")
    scene.change(lambda: live.taint("n2", "some.other/taint", taint), table(), table("n2"))
    scene.change(lambda: live.taint("n2", "some.other/taint"), table("n2"), table())


def test_a_drained_node_leaves(scene: Following) -> None:
    live, table = scene.live, local_on(scene, "n1", "n2")
    scene.change(lambda: live.annotate("n1", DRAIN_ANNOTATION, "true"), table(), table("n1"))
    scene.change(lambda: live.annotate("n1", DRAIN_ANNOTATION, None), table("n1"), table())


def test_a_drained_node_with_the_last_endpoint_keeps_its_host_routes(scene: Following) -> None:
    live, table = scene.live, local_on(scene, "n2")
    last = table() | scene.ranges("n1", "n3", "n4", "n5")
    scene.change(lambda: live.annotate("n2", DRAIN_ANNOTATION, "true"), table(), last)
    # Its pod has moved: now nothing holds it.
    moved = {
        prefix: hops if prefix in scene.ranges() else live.addresses(6 if ":" in prefix else 4, "n5")
        for prefix, hops in last.items()
    }
    scene.change(lambda: live.scale("default/web", "n5"), last, moved)


def test_an_annotation_says_which_address_is_the_hop(scene: Following) -> None:
    live, table = scene.live, local_on(scene, "n1", "n2")
    old = table()
    live.nodes["n2"].namespace.ip("address add 10.98.0.112/24 dev lan")
    try:
        new = {
            prefix: (hops - {"10.98.0.12"}) | {"10.98.0.112"} if "10.98.0.12" in hops else hops  # IPv6 stays as it was
            for prefix, hops in old.items()
        }
        scene.change(lambda: live.annotate("n2", "k8s-ecmp.io/next-hops", "10.98.0.112"), old, new)
        scene.change(lambda: live.annotate("n2", "k8s-ecmp.io/next-hops", None), new, old)
    finally:
        live.nodes["n2"].namespace.ip("address del 10.98.0.112/24 dev lan")

"""What other route controllers lose: services without slices, both deleted at once, a thousand at a time."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon.following import Following, between, following
from tests.world import live as world
from tests.world.fib import GONE
from tests.world.kube import documents
from tests.world.live import Live

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.long]

MANY = 1000
HAND_MADE: dict[str, Any] = {"selector": None, "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=3), tmp_path_factory.mktemp("live")) as live:
        for proxy in live.proxies.values():
            proxy.stop()  # nobody asks for these services, and rules for a thousand of them take processor time
        yield live


@pytest.fixture
def scene(live: Live) -> Iterator[Following]:
    with following(live, restart_proxies=False) as scene:
        scene.await_exactly(scene.ranges())
        yield scene


def test_a_service_without_a_slice_holds_up_nobody(scene: Following) -> None:
    live = scene.live
    bare = documents.service("default/bare", type="NodePort", externalTrafficPolicy="Local", **HAND_MADE)
    live.api.create(bare)
    prefix = live.add_by_hand("first", "n1")
    table = scene.ranges() | {prefix: live.addresses(4, "n1")}
    scene.await_exactly(table)
    live.api.delete("Service", "bare")
    live.api.create(documents.service("default/bare2", type="NodePort", externalTrafficPolicy="Local", **HAND_MADE))
    second = live.add_by_hand("second", "n2", "n3")
    scene.await_exactly(table | {second: live.addresses(4, "n2", "n3")})


def test_service_and_slice_deleted_together_leave_nothing(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    for number in range(20):
        name = f"brief{number}"
        prefix = live.add_by_hand(name, "n1", "n2")
        scene.await_exactly(ranges | {prefix: live.addresses(4, "n1", "n2")})
        live.remove_by_hand(name, slice_first=bool(number % 2))
        scene.await_exactly(ranges)
    # Gone before anybody can have written its route: whatever was seen of it, nothing stays.
    for number in range(20):
        live.add_by_hand(f"flash{number}", "n1", "n2")
        live.remove_by_hand(f"flash{number}", slice_first=bool(number % 2))
    last = live.add_by_hand("last", "n3")
    scene.await_exactly(ranges | {last: live.addresses(4, "n3")})


@pytest.mark.slow
def test_a_thousand_services_come_and_go(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    names = [f"many{number}" for number in range(MANY)]
    nodes = ("n1", "n2", "n3")
    since = time.monotonic()
    prefixes = [live.add_by_hand(name, *nodes) for name in names]
    created = time.monotonic()
    hops = live.addresses(4, *nodes)
    scene.await_exactly(ranges | dict.fromkeys(prefixes, hops), timeout=60)
    complete = max(scene.fib.samples(prefix)[-1].at for prefix in prefixes)
    scene.assert_only(between(ranges, ranges | dict.fromkeys(prefixes, hops)), since)

    for number, name in enumerate(names):
        live.remove_by_hand(name, slice_first=bool(number % 2))
    deleted = time.monotonic()
    scene.await_exactly(ranges, timeout=60)
    empty = max(scene.fib.samples(prefix)[-1].at for prefix in prefixes)
    assert all(scene.fib.samples(prefix)[-1].hops == GONE for prefix in prefixes)
    print(
        f"{MANY} services: in the kernel {complete - created:+.3f} s after the last request, gone {empty - deleted:+.3f} s"
    )

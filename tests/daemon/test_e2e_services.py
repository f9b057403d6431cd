"""What becomes of Services ends in the routers' kernels: real API server, real controllers, real kube-proxy, two routers."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.following import Following, between, following
from tests.world import live as world
from tests.world.daemon import merged
from tests.world.fib import Hops
from tests.world.frr import FrrRouter
from tests.world.kube import documents
from tests.world.kube.documents import service_cidr
from tests.world.kube.server import COLLECTIONS
from tests.world.live import EXCLUDE_LABEL, Live
from tests.world.netns import wait_for
from tests.world.traffic import Answer, Target, ask, spread

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.long]

EXTERNAL = ("198.51.100.0/24", "fd51::/64")
BALANCED = ("192.0.2.0/24", "fd02::/64")
RANGES = {
    "services": {
        "external_ips": {"cidrs": list(EXTERNAL), "aggregate": False},
        "load_balancer_ips": {"cidrs": list(BALANCED), "aggregate": False},
    }
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=3, routers=2), tmp_path_factory.mktemp("live")) as live:
        yield live


@pytest.fixture
def scene(live: Live) -> Iterator[Following]:
    with following(live, RANGES) as scene:
        scene.await_exactly(scene.ranges())
        yield scene


def answer(live: Live, address: str, port: int = 80) -> Answer:
    """The first answer from there: kube-proxy writes its rules at most once a second."""

    def tried() -> Answer | None:
        try:
            return ask(live.client, Target(address, port))
        except OSError:
            return None

    found = wait_for(tried, f"{address} answers", timeout=60, interval=0.05)
    assert found is not None
    return found


def nodes_of(answers: list[Answer]) -> set[str]:
    return {answer.node for answer in answers}


def test_a_prefix_that_cannot_show_costs_the_others_nothing(live: Live) -> None:
    """The router has the address itself: what is written there never shows, is taken back, and is left alone."""
    only_four: dict[str, Any] = {"selector": None, "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}
    live.router.ip("addr", "add", "10.43.77.77/32", "dev", "lo")
    try:
        with following(live, merged(RANGES, {"rollout": {"verify_timeout_s": 4}})) as scene:
            lost = live.api.create(
                documents.service(
                    "default/lost", type="NodePort", externalTrafficPolicy="Local", clusterIP="10.43.77.77", **only_four
                )
            )
            assert lost["spec"]["clusterIP"] == "10.43.77.77"
            live.api.create(
                documents.endpoint_slice("default/lost", "lost-hand", [("10.244.1.200", "n1"), ("10.244.2.200", "n2")])
            )
            scene.daemon.await_status(
                lambda status: any(c["prefix"] == "10.43.77.77/32" for c in status["routers"][0]["conflicts"]),
                "the prefix is left alone",
            )
            prefix = live.add_by_hand("found", "n1", "n2")
            wanted = scene.ranges() | {prefix: live.addresses(4, "n1", "n2")}
            scene.fib.await_exactly(wanted)
            since = time.monotonic()
            live.label("n1", EXCLUDE_LABEL, "true")
            without = scene.ranges("n2", "n3") | {prefix: live.addresses(4, "n2")}
            scene.fib.await_exactly(without)
            scene.fib.assert_only(between(wanted, without), since)
            live.remove_by_hand("lost")
            live.remove_by_hand("found")
            scene.await_exactly(scene.ranges("n2", "n3"))
    finally:
        live.router.ip("addr", "del", "10.43.77.77/32", "dev", "lo")


def test_a_local_service_is_scaled_up_and_down(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    ips = live.add_local("default/web", "n1")
    tables = [ranges | scene.over(ips, "n1")]
    scene.await_exactly(tables[0])
    for ip in ips:
        assert answer(live, ip).node == "n1"

    for nodes in (["n1", "n2"], ["n1", "n2", "n3"], ["n2", "n3"], ["n3"], [], ["n2"]):
        tables.append(ranges | (scene.over(ips, *nodes) if nodes else {}))
        scene.change(lambda nodes=nodes: live.scale("default/web", *nodes), tables[-2], tables[-1])

    for ip in ips:
        assert answer(live, ip).node == "n2"
        assert nodes_of(spread(live.client, Target(ip, 80), 20)) == {"n2"}
    scene.change(lambda: live.remove_service("default/web"), tables[-1], ranges)


def test_external_traffic_policy_decides_about_the_host_route(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    ips = live.add_service("default/web", "n1", "n3", type="NodePort")
    local = ranges | scene.over(ips, "n1", "n3")
    live.await_slices("default/web", 4)
    for pod in live.pods_of("default/web"):
        live.await_used(pod)  # a kube-proxy that does not know the service yet refuses its connections
    assert {answer(live, ip).node for ip in ips} <= {"n1", "n3"}
    scene.change(lambda: live.change_service("default/web", externalTrafficPolicy="Local"), ranges, local)
    entered = {answer.peer for answer in spread(live.client, Target(ips[0], 80), 60)}
    assert entered == live.addresses(4, "n1", "n3")
    scene.change(lambda: live.change_service("default/web", externalTrafficPolicy="Cluster"), local, ranges)
    assert live.addresses(4) == {answer.peer for answer in spread(live.client, Target(ips[0], 80), 90)}


def test_internal_traffic_policy_decides_about_a_cluster_ip(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    ips = live.add_service("default/inner", "n2")
    live.await_slices("default/inner", 2)
    local = ranges | scene.over(ips, "n2")
    scene.change(lambda: live.change_service("default/inner", internalTrafficPolicy="Local"), ranges, local)
    # Only n2 serves the address now: whatever entered by another node would be dropped.
    for ip in ips:
        assert answer(live, ip).node == "n2"
        assert len(spread(live.client, Target(ip, 80), 30)) == 30
    scene.change(lambda: live.change_service("default/inner", internalTrafficPolicy="Cluster"), local, ranges)


def test_external_ips_are_routed_inside_the_allowed_ranges_only(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    ips = live.add_local("default/web", "n1", "n2")
    table = ranges | scene.over(ips, "n1", "n2")
    scene.await_exactly(table)

    allowed, refused = ["198.51.100.7", "fd51::7"], ["198.51.101.7", "fd52::7"]
    with_allowed = table | scene.over(allowed, "n1", "n2")
    scene.change(
        lambda: live.change_service("default/web", externalIPs=[*refused, *allowed]),
        table,
        with_allowed,
    )
    for ip in allowed:
        assert answer(live, ip).node in {"n1", "n2"}
    scene.change(
        lambda: live.change_service("default/web", externalIPs=[*refused, allowed[0]]),
        with_allowed,
        table | scene.over(allowed[:1], "n1", "n2"),
    )
    scene.change(
        lambda: live.change_service("default/web", externalIPs=None), table | scene.over(allowed[:1], "n1", "n2"), table
    )


def test_load_balancer_ips_come_from_the_status(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    ips = live.add_service("default/web", "n3", type="LoadBalancer", externalTrafficPolicy="Local")
    table = ranges | scene.over(ips, "n3")
    scene.await_exactly(table)
    balanced = ["192.0.2.5", "fd02::5"]
    both = table | scene.over(balanced, "n3")
    scene.change(lambda: live.set_load_balancer_ips("default/web", *balanced, "203.0.113.99"), table, both)
    for ip in balanced:
        assert answer(live, ip).node == "n3"
    one = table | scene.over(balanced[1:], "n3")
    scene.change(lambda: live.set_load_balancer_ips("default/web", balanced[1]), both, one)
    scene.change(lambda: live.set_load_balancer_ips("default/web"), one, table)


def test_each_family_stands_by_itself(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    six = live.add_local("default/six", "n1", ipFamilyPolicy="SingleStack", ipFamilies=["IPv6"])
    four = live.add_local("default/four", "n2", ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])
    assert (len(six), len(four)) == (1, 1)
    table = ranges | scene.over(six, "n1") | scene.over(four, "n2")
    scene.await_exactly(table)
    assert answer(live, six[0]).node == "n1"
    assert answer(live, four[0]).node == "n2"

    # A service of one family gets the other one: a route more, the first is not touched.
    live.change_service("default/four", ipFamilyPolicy="RequireDualStack")
    ips = live.service("default/four")["spec"]["clusterIPs"]
    assert len(ips) == 2
    scene.await_exactly(table | scene.over(ips, "n2"))
    assert answer(live, ips[1]).node == "n2"


def test_pods_that_are_not_ready_or_that_end_give_no_hop(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    ips = live.add_local("default/web", "n1", "n2")
    both, first = ranges | scene.over(ips, "n1", "n2"), ranges | scene.over(ips, "n1")
    pod = next(pod for pod in live.pods_of("default/web") if pod.node == "n2")
    scene.change(lambda: live.set_pod_ready(pod, ready=False), both, first)
    scene.change(lambda: live.set_pod_ready(pod), first, both)
    scene.change(lambda: live.terminate_pod(pod), both, first)
    # The last pod ends: kube-proxy goes on to use it while it serves (KEP-1669), and so does its route.
    last = next(pod for pod in live.pods_of("default/web") if pod.node == "n1")
    live.remove_pod(pod)
    live.terminate_pod(last)
    live.await_slices("default/web", 2)
    other = live.add_local("default/other", "n3")
    beside = scene.over(other, "n3")
    scene.await_exactly(first | beside)
    assert answer(live, ips[0]).pod == last.name
    scene.change(lambda: live.remove_pod(last), first | beside, ranges | beside)


def test_a_service_without_endpoints_is_dropped_at_the_router_where_that_is_asked_for(live: Live) -> None:
    with following(live, {"services": {"discard_unserved": True}}) as scene:
        ranges = scene.ranges()
        scene.await_exactly(ranges)
        ips = live.add_local("default/web", "n1")
        served = ranges | scene.over(ips, "n1")
        unserved = ranges | {prefix: frozenset({"blackhole"}) for prefix in scene.over(ips)}
        scene.change(lambda: live.scale("default/web"), served, unserved)
        # What drops holds up nothing else.
        others = live.add_local("default/other", "n2")
        scene.await_exactly(unserved | scene.over(others, "n2"))
        live.scale("default/web", "n1")
        scene.await_exactly(served | scene.over(others, "n2"))


def test_a_range_that_comes_and_goes_needs_no_restart(scene: Following) -> None:
    live, ranges = scene.live, scene.ranges()
    further = ["10.44.0.0/24", "fd45::/112"]
    wider = ranges | scene.over(further)
    scene.change(lambda: live.api.create(service_cidr("test-further", *further)), ranges, wider)
    ips = live.add_local("default/web", "n2", clusterIP="10.44.0.9", clusterIPs=["10.44.0.9", "fd45::9"])
    scene.await_exactly(wider | scene.over(ips, "n2"))
    for ip in ips:
        assert answer(live, ip).node == "n2"
    # Kubernetes keeps a range that is deleted as long as a Service has an address of it, and so do its routes.
    used = wider | scene.over(ips, "n2")
    since = time.monotonic()
    live.api.delete("ServiceCIDR", "test-further")
    wait_for(lambda: _is_terminating(live, "test-further"), "the range is marked as terminating")
    for ip in ips:
        assert answer(live, ip).node == "n2"
    live.scale("default/web", "n1", "n2")
    both = wider | scene.over(ips, "n1", "n2")
    scene.await_exactly(both)
    scene.assert_only(between(used, both), since)
    since = time.monotonic()
    live.remove_service("default/web")
    scene.await_exactly(ranges, timeout=90)
    scene.assert_only(between(both, ranges), since)


def _is_terminating(live: Live, name: str) -> bool:
    found = live.api.get(f"{COLLECTIONS['ServiceCIDR']}/{name}")
    conditions = found["status"].get("conditions", [])
    return any(
        (each["type"], each["status"], each["reason"]) == ("Ready", "False", "Terminating") for each in conditions
    )


def test_routes_outlive_the_daemon(scene: Following) -> None:
    live = scene.live
    ips = live.add_local("default/web", "n1", "n2")
    table = scene.ranges() | scene.over(ips, "n1", "n2")
    scene.await_exactly(table)
    since = time.monotonic()
    assert scene.daemon.stop() == 0
    live.scale("default/web", "n1")
    live.await_slices("default/web", 2)
    for fib in scene.fibs:
        assert fib.kernel() == table
    scene.daemon.start().await_ready()
    after = scene.ranges() | scene.over(ips, "n1")
    scene.await_exactly(after)
    scene.assert_only(between(table, after), since)


def patient(live: Live, folder: Path) -> Path:
    """An inventory whose routers are a pair, and whose sessions wait for an answer longer than any test does."""
    shutil.copytree(live.directory / "inventory", folder)
    groups = folder / "groups.yaml"
    text = groups.read_text()
    assert "failure_domain: pair-a" in text
    assert "timeout: 30\n" in text
    groups.write_text(text.replace("timeout: 30\n", "timeout: 600\n"))
    return folder


@contextlib.contextmanager
def dead(router: FrrRouter) -> Iterator[None]:
    router.kill_sshd()
    try:
        yield
    finally:
        router.start_sshd()


def hung(router: FrrRouter) -> AbstractContextManager[None]:
    return router.stopped("sshd")


def states(status: dict[str, Any]) -> tuple[str, ...]:
    """Of both routers."""
    return tuple(router["state"] for router in status["routers"])


@pytest.mark.parametrize("away", [dead, hung])
def test_a_router_that_is_away_holds_up_the_other_for_a_moment_only_and_catches_up(
    live: Live, away: Callable[[FrrRouter], AbstractContextManager[None]], tmp_path: Path
) -> None:
    prefix = live.add_by_hand("web", "n1")
    with following(live, {"inventory": str(patient(live, tmp_path / "inventory"))}, restart_proxies=False) as scene:
        one, other = scene.fibs
        places = [("n1",), ("n1", "n2"), ("n2",)]
        first, second, third = (scene.ranges() | {prefix: live.addresses(4, *nodes)} for nodes in places)
        scene.await_exactly(first)
        scene.daemon.await_status(lambda status: set(states(status)) == {"in-sync"}, "both are in sync")
        since = time.monotonic()
        with away(live.router):
            # Twice: where the other has its turn first, it meets that of the one that is away the second time.
            for nodes, table in ((places[1], second), (places[2], third)):
                live.place_by_hand("web", *nodes)
                other.await_exactly(table)
            scene.daemon.await_status(lambda s: states(s)[0] != "in-sync" == states(s)[1], "one of them is in sync")
            assert scene.daemon.get("/livez").status == 200
            assert one.table() == first
        scene.await_exactly(third)
        scene.daemon.await_status(lambda status: set(states(status)) == {"in-sync"}, "both are in sync")
        ways = [between(first, second), between(second, third), between(first, third)]
        allowed: dict[str, set[Hops]] = {at: set().union(*(way[at] for way in ways)) for at in first}
        scene.assert_only(allowed, since)

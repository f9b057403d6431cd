"""The live cluster by itself: routes are written by hand, and packets arrive through a real kube-proxy."""

from collections.abc import Iterator

import pytest

from tests.world import live as world
from tests.world.fib import FibHistory
from tests.world.live import Live
from tests.world.netns import wait_for
from tests.world.traffic import Target, ask, spread

pytestmark = [pytest.mark.world, pytest.mark.kubeworld]


@pytest.fixture(scope="module", params=["nftables", "iptables"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=3), tmp_path_factory.mktemp("live"), mode=request.param) as live:
        yield live


@pytest.fixture
def routed(live: Live) -> Iterator[FibHistory]:
    lines = [f"ip route 10.43.0.0/16 {address}" for address in live.addresses(4)]
    lines += [f"ipv6 route fd43::/108 {address}" for address in live.addresses(6)]
    with FibHistory(live.router.netns) as fib:
        live.router.configure("\n".join(lines))
        fib.await_table({"10.43.0.0/16": live.addresses(4), "fd43::/108": live.addresses(6)})
        yield fib
        live.restore()
        live.clear_routes()


def pods_behind(live: Live, address: str) -> set[str]:
    """Who answers there; nobody while a connection fails."""
    try:
        return {answer.pod for answer in spread(live.client, Target(address, 80), 30)}
    except OSError:
        return set()


def test_a_cluster_ip_answers_from_outside(live: Live, routed: FibHistory) -> None:
    ips = live.add_service("default/web", "n1", "n2")
    pods = {pod.name for pod in live.pods_of("default/web")}
    for ip, family in zip(ips, (4, 6), strict=True):
        wait_for(lambda ip=ip: pods_behind(live, ip) == pods, "both pods answer")
        # It is masqueraded on the node that it enters by.
        assert {answer.peer for answer in spread(live.client, Target(ip, 80), 90)} == live.addresses(family)
    (left,) = live.scale("default/web", "n2")
    wait_for(lambda: pods_behind(live, ips[0]) == {left.name}, "only the pod that is left answers")


def test_a_node_is_cut_and_dies_and_comes_back(live: Live, routed: FibHistory) -> None:
    (ip, _) = live.add_service("default/web", "n1")
    live.await_slices("default/web", 2)
    live.router.configure("no ip route 10.43.0.0/16 10.98.0.12\nno ip route 10.43.0.0/16 10.98.0.13")
    routed.await_hops("10.43.0.0/16", ["10.98.0.11"])
    wait_for(lambda: pods_behind(live, ip), "it answers")
    live.cut("n1")
    with pytest.raises(OSError):
        ask(live.client, Target(ip, 80))
    live.mend("n1")
    wait_for(lambda: pods_behind(live, ip), "it answers again")
    live.power_off("n1")
    assert not pods_behind(live, ip)
    live.power_on("n1")
    wait_for(lambda: pods_behind(live, ip), "it is back with its pods and rules")


def test_the_control_plane_fails_and_the_data_plane_does_not_notice(live: Live, routed: FibHistory) -> None:
    (ip, _) = live.add_service("default/web", "n1")
    wait_for(lambda: pods_behind(live, ip), "it answers")
    live.api.kill("kube-apiserver")
    with pytest.raises(OSError):
        live.api.get("/readyz", text=True)
    live.proxies["n2"].stop()
    assert pods_behind(live, ip), "rules stay in the kernel"
    live.api.start_again("kube-apiserver")
    live.proxies["n2"].start()
    live.proxies["n2"].await_ready()
    with live.api.etcd_frozen():
        assert pods_behind(live, ip)
    assert live.service("default/web")["spec"]["clusterIP"] == ip
    live.scale("default/web", "n1", "n2", "n3")
    live.await_slices("default/web", 6, timeout=60)

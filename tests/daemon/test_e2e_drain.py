"""A node goes while users are at work: planned, and dead without a word."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon.following import Following, following
from tests.world import live as world
from tests.world.live import EXCLUDE_LABEL, Live
from tests.world.netns import wait_for
from tests.world.traffic import Load, Target, ask, watching

pytestmark = [pytest.mark.world, pytest.mark.kubeworld, pytest.mark.slow, pytest.mark.long]

PACE = 230  # connections a second that each load tries
RATE = 200  # of both together, measured: less would prove little


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    world.require()
    with Live(world.topology(nodes=4, routers=2), tmp_path_factory.mktemp("live")) as live:
        yield live


@pytest.fixture
def scene(live: Live) -> Iterator[Following]:
    # As an operator has it, but for the time that a node has to be well before it returns.
    with following(live, {"services": {"add_delay_s": 1}, "nodes": {"hold_down_s": 5, "hold_up_s": 2}}) as scene:
        yield scene


def test_a_planned_drain_fails_no_new_connection(scene: Following) -> None:
    live = scene.live
    local = live.add_local("default/local", "n1", "n2", "n3")
    shared = live.add_service("default/shared", "n1", "n2", "n3")
    whole = scene.ranges() | scene.over(local, "n1", "n2", "n3")
    without = scene.ranges("n2", "n3", "n4") | scene.over(local, "n2", "n3")
    scene.await_exactly(whole)
    for pod in live.pods.values():
        live.await_used(pod)

    routers = [router.netns for router in live.routers.values()]
    with watching(*routers) as watches:
        with (
            Load(live.client, Target(local[0], 80), PACE) as one,
            Load(live.client, Target(shared[0], 80), PACE) as two,
        ):

            def more(connections: int) -> None:
                for load in (one, two):
                    load.await_more(connections, timeout_s=240)

            def attempts() -> int:
                return one.attempts + two.attempts

            more(400)
            began, before = time.monotonic(), attempts()
            done = scene.daemon.cli("drain", "n1", "--wait")
            assert done.exit_code == 0, done
            for fib in scene.fibs:
                assert fib.kernel() == without, "the command returned before the routes had left the node"
            drained = time.monotonic()

            # As kubectl drain does it: pods end while they still serve, then the node goes down.
            ending = live.pods_on("n1")
            for pod in ending:
                live.terminate_pod(pod)
            for pod in ending:
                live.await_unused(pod)
            more(50)
            for pod in ending:
                live.remove_pod(pod)
            live.power_off("n1")
            live.set_ready("n1", "Unknown")
            more(800)
            rate = (attempts() - before) / (time.monotonic() - began)

            live.power_on("n1")
            live.set_ready("n1")
            for key in ("default/local", "default/shared"):
                live.add_pod(key, "n1")
            back = time.monotonic()
            assert scene.daemon.cli("undrain", "n1").exit_code == 0
            scene.await_exactly(whole)
            more(400)
        moments = [moment for watch in watches for moment in watch.moments]

    for fib in scene.fibs:
        away = [s for prefix in whole for s in fib.samples(prefix, drained) if s.at < back]
        assert not any({"10.98.0.11", "fd98::11"} & sample.hops for sample in away)
    assert rate >= RATE, f"{rate:.0f} new connections a second during the drain"
    for load in (one, two):
        report = load.report()
        print(f"{load.target.address}: {report}")
        assert report.new_failures(moments) == [], str(report)
        assert len(report.failures) <= len(moments), str(report)
        assert report.attempts >= 1650, f"the load was too light to prove anything\n{report}"


def test_a_dead_node_is_withdrawn_by_probes_before_kubernetes_knows(live: Live) -> None:
    """How soon is for `python -m bench dead-node`."""
    probe = {"nodes": {"probe": {"enabled": True, "interval_s": 1, "failures": 3}, "hold_up_s": 1}}
    with following(live, probe) as scene:
        ips = live.add_local("default/web", "n1", "n2")
        whole = scene.ranges() | scene.over(ips, "n1", "n2")
        without = scene.ranges("n2", "n3", "n4") | scene.over(ips, "n2")
        scene.await_exactly(whole)
        for _ in range(3):
            live.cut("n1")
            scene.await_exactly(without)
            ready = live.api.get("/api/v1/nodes/n1")["status"]["conditions"][0]
            assert ready["status"] == "True", "the API does not know of it"
            live.mend("n1")
            scene.await_exactly(whole)


def test_a_restarting_kube_proxy_is_given_time(live: Live) -> None:
    probe = {"nodes": {"probe": {"enabled": True, "interval_s": 1, "failures": 2}, "hold_up_s": 1}}
    with following(live, probe) as scene:
        ips = live.add_local("default/web", "n1")
        host = scene.over(ips, "n1")
        scene.await_exactly(scene.ranges() | host)
        wait_for(lambda: answered(live, ips[0]), "the service answers")
        since = time.monotonic()
        live.proxies["n1"].stop()
        live.cut("n4")
        scene.daemon.await_status(
            lambda status: any(node["name"] == "n4" and node["standing"] == "out" for node in status["nodes"]),
            "n4 has failed its probes, n1 was refused as often",
            60,
        )
        assert answered(live, ips[0]), "the rules of a killed kube-proxy go on to work"
        live.proxies["n1"].start()  # first of all: it has half a minute
        scene.await_exactly(scene.ranges("n1", "n2", "n3") | host)
        live.proxies["n1"].await_ready()
        live.mend("n4")
        scene.await_exactly(scene.ranges() | host)
        for prefix, hops in host.items():
            assert [sample.hops for sample in scene.fib.samples(prefix, since)] == [hops]


def test_probes_that_all_fail_are_held(live: Live) -> None:
    """The daemon itself is cut off and sees nobody: at most half of the nodes leave, and none when they are seen again."""
    probe = {"nodes": {"probe": {"enabled": True, "interval_s": 1, "failures": 2}, "hold_up_s": 3}}
    with following(live, probe) as scene:
        scene.await_exactly(scene.ranges())
        since = time.monotonic()
        live.lab.lan.ip("link set monitor down")
        try:
            scene.daemon.await_status(lambda status: "panic" in guards(status), "the panic guard holds", 60)
        finally:
            live.lab.lan.ip("link set monitor up")
        scene.daemon.await_status(lambda status: "panic" not in guards(status), "nothing is held any more", 60)
        live.label("n4", EXCLUDE_LABEL, "true")
        scene.await_exactly(scene.ranges("n1", "n2", "n3"))
        for fib in scene.fibs:
            for prefix in scene.ranges():
                samples = fib.samples(prefix, since)
                assert all(len(sample.hops) >= 2 for sample in samples), f"{prefix}: {samples}"


def guards(status: dict[str, Any]) -> set[str]:
    """The guards that hold every router."""
    return {hold["guard"] for hold in status["holds"]}


def answered(live: Live, address: str) -> bool:
    try:
        ask(live.client, Target(address, 80))
    except OSError:
        return False
    return True

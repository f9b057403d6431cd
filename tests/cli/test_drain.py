"""`drain` and `undrain` as users call them: a real API server, routers in files, and a daemon's part where it matters."""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest

from k8s_ecmp.kube import drain as drains
from k8s_ecmp.kube.drain import DRAIN_PENDING_ANNOTATION, DRAINED_ANNOTATION, Ack, encode_acks, encode_pending
from k8s_ecmp.kube.lease import Elector
from k8s_ecmp.kube.writes import Writer
from k8s_ecmp.settings import ClusterSettings, LeaseSettings
from tests.kube.relay import PutOff, Relay
from tests.site import COMMAND, Outcome, Site
from tests.world.kube import sample
from tests.world.kube.server import ADMIN, READER, Failed, KubeApi
from tests.world.netns import wait_for

pytestmark = pytest.mark.long

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp-demo"
WITHDRAW_ONE_OF_TWO = {"max_withdrawn_fraction": 1}


@pytest.fixture
def live(site: Site, kube_api: KubeApi, tmp_path: Path) -> Iterator[Site]:
    """The sample cluster (n1 excluded, n2 and n3 work) on both routers of the demo, every prefix written."""
    sample.create(kube_api)
    site.edit("inventories/demo/groups.yaml", lambda groups: groups["edge"]["data"]["k8s_ecmp"].pop("next_hops"))
    site.settings(
        cluster={"source": "live", "kubeconfig": str(kube_api.kubeconfig(tmp_path / "kubeconfig", ADMIN))},
        guards=WITHDRAW_ONE_OF_TWO,
        services={"external_ips": {"cidrs": ["198.51.100.0/24"]}},
    )
    apply(site)
    yield site
    try:
        kube_api.request("DELETE", LEASE)
    except Failed as error:
        if "404" not in str(error):
            raise


def apply(site: Site, expect: int = 0) -> None:
    done = site.run("apply", "--yes")
    assert done.code == expect, done.err


def annotations(kube: KubeApi, node: str = "n2") -> dict[str, str]:
    return dict(kube.get(f"/api/v1/nodes/{node}")["metadata"].get("annotations", {}))


class Daemon:
    """A leader that confirms drains as `confirm` says, through its Lease and nothing else."""

    def __init__(self, folder: Path, confirm: Callable[[drains.DrainedNode], dict[str, str | None]]) -> None:
        cluster = ClusterSettings(kubeconfig=str(folder / "kubeconfig"))
        self.elector = Elector(cluster, LeaseSettings(retry_s=0.2, identity="the-daemon"), "demo")
        self._writer = Writer(cluster)
        self._confirm = confirm
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.elector.start()
        wait_for(lambda: self.elector.leading, "the daemon leads")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.elector.stop()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            node = drains.read_node(self._writer, "n2")
            if node.asked:
                for key, value in self._confirm(node).items():
                    self.elector.annotate(key, value)


def confirming(*kept: str) -> Callable[[drains.DrainedNode], dict[str, str | None]]:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return lambda node: {DRAINED_ANNOTATION: encode_acks({"n2": Ack(node.drain_id, node.uid, now, kept)})}


def test_a_file_cannot_be_annotated(site: Site) -> None:
    for command in ("drain", "undrain"):
        done = site.run_here(command, "node1")
        assert done.code == 1
        assert "cluster.yaml" in done.err
        assert "cluster.source: live" in done.err


def test_the_ways_to_wait_need_wait(site: Site) -> None:
    site.settings(cluster={"source": "live"})
    for option in (["--timeout", "5"], ["--read-routers"]):
        done = site.run_here("drain", "node1", *option)
        assert done.code == 1
        assert "add --wait" in done.err


def test_help_teaches(site: Site) -> None:
    shown = re.sub(r"[\s│]+", " ", site.run_here("drain", "--help").out)
    for words in ("--wait", "--timeout", "--read-routers", "kubectl drain", "undrain", "the node stays annotated"):
        assert words in shown


@pytest.mark.kubeworld
def test_without_wait_it_annotates_and_says_how_to_wait(live: Site, kube_api: KubeApi) -> None:
    before = live.config("edge1").read_text()
    done = live.run("drain", "n2")
    assert done.code == 0, done.err
    assert "k8s-ecmp drain n2 --wait" in done.err
    found = annotations(kube_api)
    assert found["k8s-ecmp.io/drain"] == "true"
    assert found["k8s-ecmp.io/drain-id"]
    again = live.run("drain", "n2")
    assert again.code == 0
    assert "already" in again.out
    assert annotations(kube_api) == found
    assert live.config("edge1").read_text() == before
    assert live.run("undrain", "n2").code == 0
    assert annotations(kube_api) == {}
    undone = live.run("undrain", "n2")
    assert undone.code == 0
    assert "was not asked" in undone.out


@pytest.mark.kubeworld
@pytest.mark.parametrize("command", ["drain", "undrain"])
def test_an_unknown_node(live: Site, command: str) -> None:
    done = live.run(command, "n9")
    assert done.code == 1
    assert "the cluster has no node n9" in done.err
    assert "kubectl get nodes" in done.err


@pytest.mark.kubeworld
def test_what_may_not_be_done_is_named(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    kube_api.kubeconfig(tmp_path / "kubeconfig", READER)
    assert "grant the verb get on nodes" in live.run("drain", "n2").err
    kube_api.allow(READER, ("", "nodes", "get"))
    assert "grant the verb patch on nodes" in live.run("drain", "n2").err
    waiting = live.run("drain", "n2", "--wait")
    assert waiting.code == 1
    assert "grant the verb get on leases.coordination.k8s.io" in waiting.err
    assert "--read-routers" in waiting.err
    assert annotations(kube_api) == {}


@pytest.mark.kubeworld
def test_a_daemon_confirms(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    """The hook of a node needs no way to the routers: their inventory is not even there."""
    live.settings(inventory="nowhere")
    with Daemon(tmp_path, confirming()):
        done = live.run("drain", "n2", "--wait", "--timeout", "60")
    assert done.code == 0, done.err
    assert "n2 is drained" in done.out


@pytest.mark.kubeworld
def test_what_is_kept_is_named(live: Site, tmp_path: Path) -> None:
    with Daemon(tmp_path, confirming("203.0.113.7/32", "10.43.7.20/32")):
        done = live.run("drain", "n2", "--wait", "--timeout", "60")
    assert done.code == 0, done.err
    assert "203.0.113.7/32" in done.out
    assert "10.43.7.20/32" in done.out


@pytest.mark.kubeworld
def test_a_confirmation_of_another_drain_never_counts(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    def stale(node: drains.DrainedNode) -> dict[str, str | None]:
        acks = {"n2": Ack("an earlier one", node.uid, "t"), "n3": Ack(node.drain_id, node.uid, "t")}
        pending = {"n2": {"edge1": ["10.43.0.0/16", "198.51.100.9/32"]}}
        return {DRAINED_ANNOTATION: encode_acks(acks), DRAIN_PENDING_ANNOTATION: encode_pending(pending)}

    def told() -> bool:
        return DRAIN_PENDING_ANNOTATION in kube_api.get(LEASE)["metadata"].get("annotations", {})

    with Daemon(tmp_path, stale):
        assert live.run("drain", "n2").code == 0
        wait_for(told, "the daemon says what is pending")
        done = live.run("drain", "n2", "--wait", "--timeout", "10")
    assert done.code == 1
    assert "edge1: 10.43.0.0/16, 198.51.100.9/32" in done.err
    assert "k8s-ecmp undrain n2" in done.err
    assert annotations(kube_api)["k8s-ecmp.io/drain"] == "true"


@pytest.mark.kubeworld
def test_what_was_confirmed_before_the_command_is_asked_again(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    seen: list[str] = []

    def once(node: drains.DrainedNode) -> dict[str, str | None]:
        if node.drain_id not in seen:
            seen.append(node.drain_id)
        return confirming()(node)

    with Daemon(tmp_path, once):
        for _ in range(2):
            assert live.run("drain", "n2", "--wait", "--timeout", "60").code == 0
    assert len(seen) == 2


@pytest.mark.kubeworld
def test_a_daemon_that_says_nothing_leaves_the_routers_to_tell(live: Site, tmp_path: Path) -> None:
    with Daemon(tmp_path, lambda _: {}):
        done = live.run("drain", "n2", "--wait", "--timeout", "0")
    assert done.code == 1
    assert re.search(r"edge1: .*10\.43\.0\.0/16", done.err)
    assert re.search(r"edge2: .*10\.43\.0\.0/16", done.err)


@pytest.mark.kubeworld
def test_somebody_takes_the_drain_back(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    def undrain(_: drains.DrainedNode) -> dict[str, str | None]:
        kube_api.patch("/api/v1/nodes/n2", {"metadata": {"annotations": {"k8s-ecmp.io/drain": None}}})
        return {}

    with Daemon(tmp_path, undrain):
        done = live.run("drain", "n2", "--wait", "--timeout", "60")
    assert done.code == 1
    assert "taken back" in done.err


# --- without a daemon


@pytest.mark.kubeworld
def test_without_a_daemon_the_routers_are_read(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    late = live.run("drain", "n2", "--wait", "--timeout", "1")
    assert late.code == 1
    assert "no daemon holds the Lease" in late.err
    assert re.search(r"edge1: .*10\.43\.0\.0/16", late.err)
    assert annotations(kube_api)["k8s-ecmp.io/drain"] == "true"
    done: list[Outcome] = []
    waiting = threading.Thread(
        target=lambda: done.append(live.run("drain", "n2", "--wait", "--timeout", "100")), daemon=True
    )
    waiting.start()
    apply(live)
    waiting.join()
    assert done[0].code == 0, done[0].err
    # nginx has its only endpoint on n2.
    assert "10.43.7.20/32" in done[0].out
    assert "10.43.7.21/32" not in done[0].out
    assert live.run("drain", "n2", "--wait", "--read-routers").code == 0


@pytest.mark.kubeworld
def test_a_router_that_cannot_be_read_is_no_confirmation(live: Site) -> None:
    live.run("drain", "n2")
    apply(live)
    live.config("edge2").unlink()
    done = live.run("drain", "n2", "--wait", "--timeout", "0")
    assert done.code == 1
    assert "edge2: " in done.err
    assert "edge1: " not in done.err


@pytest.mark.kubeworld
def test_a_pod_cidr_stays_with_its_node_and_is_named(live: Site) -> None:
    live.settings(pod_cidrs=True)
    apply(live)
    live.run("drain", "n2")
    apply(live)
    done = live.run("drain", "n2", "--wait", "--timeout", "0")
    assert done.code == 0, done.err
    assert "10.244.2.0/24" in done.out


@pytest.mark.kubeworld
def test_routes_of_others_through_the_node_are_none_of_ours(live: Site) -> None:
    for router in ("edge1", "edge2"):
        config = live.config(router)
        config.write_text(f"ip route 192.0.2.0/24 10.0.0.12\n{config.read_text()}")
    live.run("drain", "n2")
    apply(live)
    done = live.run("drain", "n2", "--wait", "--timeout", "0")
    assert done.code == 0, done.err


@pytest.mark.kubeworld
def test_neither_daemon_nor_routers(live: Site, kube_api: KubeApi) -> None:
    live.settings(inventory="nowhere")
    done = live.run("drain", "n2", "--wait", "--timeout", "30")
    assert done.code == 1
    assert "nowhere" in done.err
    assert annotations(kube_api)["k8s-ecmp.io/drain"] == "true"


@pytest.mark.kubeworld
def test_an_api_server_that_goes_away_meanwhile(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    """It is asked again until the time is up."""
    relay = Relay(kube_api, tmp_path)
    live.settings(cluster={"source": "live", "kubeconfig": str(relay.config)})
    done: list[Outcome] = []

    def confirm(node: drains.DrainedNode) -> dict[str, str | None]:
        return {} if relay.down else confirming()(node)

    try:
        relay.down = False
        waiting = threading.Thread(
            target=lambda: done.append(live.run("drain", "n2", "--wait", "--timeout", "100")), daemon=True
        )
        waiting.start()
        wait_for(lambda: ("GET", LEASE) in relay.seen[3:], "the command waits")
        relay.down = True
        asked = len(relay.seen)
        wait_for(lambda: len(relay.seen) > asked + 3, "it asks again and again")
        relay.down = False
        with Daemon(tmp_path, confirm):
            waiting.join()
    finally:
        relay.close()
    assert done[0].code == 0, done[0].err


@pytest.mark.kubeworld
def test_an_api_server_that_is_busy_is_asked_again(live: Site, kube_api: KubeApi, tmp_path: Path) -> None:
    relay = Relay(kube_api, tmp_path)
    live.settings(cluster={"source": "live", "kubeconfig": str(relay.config)})
    try:
        relay.put_off = PutOff("PATCH", retry_after="1")
        done = live.run_here("drain", "n2")
        assert done.code == 0, done.err
        assert relay.put_off is None
    finally:
        relay.close()
    assert annotations(kube_api)["k8s-ecmp.io/drain"] == "true"


@pytest.mark.kubeworld
def test_the_whole_way_with_the_daemon(live: Site, kube_api: KubeApi) -> None:
    """`run`, `drain --wait`, `undrain`: the routers have changed before the command returns."""
    live.settings(nodes={"hold_up_s": 0})
    daemon = subprocess.Popen(
        [*COMMAND, "--config", str(live.folder / "k8s-ecmp.yaml"), "run", "--listen", "none", "--identity", "one"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(live.folder / "daemon.log").open("wb"),
    )
    try:
        wait_for(lambda: holder(kube_api) == "one", "the daemon leads", timeout=60)
        done = live.run("drain", "n2", "--wait", "--timeout", "100")
        assert done.code == 0, done.err + (live.folder / "daemon.log").read_text()
        assert "waiting for one to confirm" in done.err
        assert "10.43.7.20/32" in done.out
        for router in ("edge1", "edge2"):
            through = [line for line in live.config(router).read_text().splitlines() if " 10.0.0.12" in line]
            assert through
            assert all(re.search(r" (10\.43\.7\.20|203\.0\.113\.7)/32 ", line) for line in through)
        assert live.run("undrain", "n2").code == 0
        wait_for(lambda: "10.43.0.0/16 10.0.0.12" in live.config("edge1").read_text(), "the node is back", timeout=60)
        daemon.terminate()
        assert daemon.wait(timeout=60) == 0
    finally:
        daemon.kill()
        daemon.wait()
    assert holder(kube_api) is None


def holder(kube: KubeApi) -> str | None:
    try:
        return kube.get(LEASE)["spec"]["holderIdentity"] or None
    except Failed:
        return None

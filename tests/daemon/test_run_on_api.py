"""`k8s-ecmp run` on a real API server, with routers that are files: Lease, take-over, Events, what users see."""

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.journal import Journal
from k8s_ecmp.settings import LeaseSettings
from tests.site import COMMAND, Site, new_site
from tests.world.kube import sample
from tests.world.kube.server import ADMIN, STRANGER, Failed, KubeApi
from tests.world.netns import wait_for

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp-demo"
EVENTS = "/api/v1/namespaces/default/events"
# So that a replica on a busy machine loses it to nobody.
LEASE_TIMES = {"duration_s": 15, "renew_deadline_s": 12, "retry_s": 1}

pytestmark = [pytest.mark.kubeworld, pytest.mark.slow]


class Replica:
    def __init__(self, site: Site, name: str) -> None:
        self.log = site.folder / f"{name}.log"
        words = ["--config", str(site.folder / "k8s-ecmp.yaml"), "run", "--listen", "127.0.0.1:0", "--identity", name]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*COMMAND, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, event: str, **fields: Any) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.log.read_text()
            lines = (line for line in self.lines() if line["event"].startswith(event))
            return next((line for line in lines if fields.items() <= line.items()), None)

        try:
            line = wait_for(found, f"the log says {event!r} {fields}", timeout=60)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log.read_text()}") from error
        assert line is not None
        return line

    def url(self) -> str:
        return f"http://{self.said('started')['listen']}"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture
def site(tmp_path: Path, kube_api: KubeApi) -> Iterator[Site]:
    """The sample cluster: n1 excluded, n2 and n3 work; both routers take every node's address."""
    sample.create(kube_api)
    made = new_site(tmp_path)
    made.edit("inventories/demo/groups.yaml", lambda groups: groups["edge"]["data"]["k8s_ecmp"].pop("next_hops"))
    made.settings(
        cluster={"source": "live", "kubeconfig": str(kube_api.kubeconfig(tmp_path / "kubeconfig", ADMIN))},
        nodes={"hold_down_s": 0, "hold_up_s": 0},
        guards={"max_withdrawn_fraction": 1},
        daemon={"lease": LEASE_TIMES},
    )
    yield made
    for path in (LEASE, EVENTS):
        try:
            kube_api.request("DELETE", path)
        except Failed as error:
            if "404" not in str(error):
                raise


@pytest.fixture
def replicas(site: Site) -> Iterator[dict[str, Replica]]:
    running: dict[str, Replica] = {}
    yield running
    for replica in running.values():
        replica.process.kill()
        replica.process.wait()


def holder(kube: KubeApi) -> str | None:
    try:
        return kube.get(LEASE)["spec"].get("holderIdentity") or None
    except Failed:
        return None


def hops(site: Site, prefix: str = "10.43.0.0/16") -> set[str]:
    words = (line.split() for line in site.config("edge1").read_text().splitlines())
    return {line[3] for line in words if line[:3] == ["ip", "route", prefix]}


def set_ready(kube: KubeApi, name: str, status: str) -> None:
    path = f"/api/v1/nodes/{name}/status"
    conditions = kube.get(f"/api/v1/nodes/{name}")["status"]["conditions"]
    others = [condition for condition in conditions if condition["type"] != "Ready"]
    kube.patch(path, {"status": {"conditions": [*others, {"type": "Ready", "status": status}]}})


def reasons(kube: KubeApi, kind: str, name: str) -> set[str]:
    about = ((item["involvedObject"], item["reason"]) for item in kube.get(EVENTS)["items"])
    return {reason for involved, reason in about if (involved["kind"], involved["name"]) == (kind, name)}


def test_one_writes_and_the_other_takes_over(site: Site, kube_api: KubeApi, replicas: dict[str, Replica]) -> None:
    replicas["a"] = a = Replica(site, "a")
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "a has written", timeout=60)
    replicas["b"] = b = Replica(site, "b")
    b.said("all watches are synced")
    status = site.run("status", "--url", b.url(), "--format", "json")
    assert status.json()["leader"] == "a"
    assert {router["state"] for router in status.json()["routers"]} == {"idle"}
    assert status.code == 0  # a standby is ready when it follows
    a.process.kill()
    set_ready(kube_api, "n3", "False")
    wait_for(lambda: holder(kube_api) == "b", "b leads", timeout=60)
    wait_for(lambda: hops(site) == {"10.0.0.12"}, "b has written", timeout=60)
    assert not any(line["event"] == "committed" for line in a.lines() if line.get("update"))
    assert b.stop() == 0
    assert holder(kube_api) is None
    assert hops(site) == {"10.0.0.12"}


def test_how_soon_another_takes_over(site: Site, kube_api: KubeApi, replicas: dict[str, Replica]) -> None:
    """With the times that a user gets: at once from a leader that ends, and in `duration_s` and a look of one that dies.

    Never sooner: for as long as that a commit of the dead one may still be on its way (docs/adr/0008).
    """
    times = LeaseSettings()
    site.settings(daemon={})

    def standby(name: str, leader: str) -> Replica:
        replicas[name] = made = Replica(site, name)
        made.said("all watches are synced")
        made.said(f"the Lease default/k8s-ecmp-demo: waiting, {leader} holds it")
        return made

    replicas["a"] = a = Replica(site, "a")
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "a has written", timeout=60)
    standby("b", "a")
    assert a.stop() == 0
    ended = time.monotonic()
    wait_for(lambda: holder(kube_api) == "b", "b leads", timeout=60)
    assert time.monotonic() - ended < times.renew_deadline_s, "it waited until the Lease expired"

    standby("c", "b")
    replicas["b"].process.kill()
    renewed = times_of(kube_api)[0]
    set_ready(kube_api, "n3", "False")
    wait_for(lambda: hops(site) == {"10.0.0.12"}, "c has written", timeout=60)
    assert holder(kube_api) == "c"
    # All are of one machine and one clock, but for what is slewed.
    assert times.duration_s - 0.1 <= times_of(kube_api)[1] - renewed <= times.duration_s + times.retry_s


def times_of(kube: KubeApi) -> tuple[float, float]:
    """When the Lease was renewed and acquired."""
    spec = kube.get(LEASE)["spec"]
    renewed, acquired = (datetime.fromisoformat(spec[name]).timestamp() for name in ("renewTime", "acquireTime"))
    return renewed, acquired


def test_a_leader_that_is_frozen_holds_nobody_up_beside_one_journal(
    site: Site, kube_api: KubeApi, replicas: dict[str, Replica]
) -> None:
    replicas["a"] = a = Replica(site, "a")
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "a has written", timeout=60)
    replicas["b"] = b = Replica(site, "b")
    b.said("all watches are synced")
    a.process.send_signal(signal.SIGSTOP)
    set_ready(kube_api, "n3", "False")
    wait_for(lambda: hops(site) == {"10.0.0.12"}, "b has written", timeout=60)
    a.process.send_signal(signal.SIGCONT)
    set_ready(kube_api, "n3", "True")
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "b has written again", timeout=60)
    with Journal(site.folder / "journal.sqlite") as journal:
        assert list(journal.check()) == []
        who = [entry.who.partition("@")[0] for entry in journal.entries(kinds=["begin"])]
    assert who[-2:] == ["k8s-ecmp run b"] * 2
    assert set(who) == {"k8s-ecmp run a", "k8s-ecmp run b"}


def test_apply_from_elsewhere_is_told_of_the_daemon(
    site: Site, kube_api: KubeApi, replicas: dict[str, Replica]
) -> None:
    replicas["a"] = Replica(site, "a")
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "a has written", timeout=60)
    site.settings(journal="elsewhere.sqlite")
    text = site.config("edge1").read_text()
    line = next(line for line in text.splitlines(keepends=True) if "ip route 10.43.0.0/16 10.0.0.13" in line)

    def told() -> bool:
        """It says so where it has something to write, unless the daemon was faster."""
        site.config("edge1").write_text(text.replace(line, ""))
        done = site.run("apply", "--yes")
        assert done.code == 0, done.err
        return "daemon a holds the Lease default/k8s-ecmp-demo" in done.err

    wait_for(told, "it is told", timeout=120)
    replicas["a"].stop()
    site.config("edge1").write_text(text.replace(line, ""))
    assert "holds the Lease" not in site.run("apply", "--yes").err


def test_users_of_the_cluster_see_events(site: Site, kube_api: KubeApi, replicas: dict[str, Replica]) -> None:
    foreign = "ip route 10.43.7.99/32 192.0.2.1\n"
    site.config("edge1").write_text(site.config("edge1").read_text() + foreign)
    replicas["a"] = Replica(site, "a")
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "it has written", timeout=60)
    set_ready(kube_api, "n3", "False")
    wait_for(lambda: "RoutesWithdrawn" in reasons(kube_api, "Node", "n3"), "an Event on the node", timeout=60)
    set_ready(kube_api, "n3", "True")
    wait_for(lambda: "RoutesReturned" in reasons(kube_api, "Node", "n3"), "an Event on the node", timeout=60)
    kube_api.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "loud", "namespace": "default"},
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.43.7.99",
                "externalTrafficPolicy": "Local",
                "externalIPs": ["192.0.2.200"],
                "ports": [{"port": 80}],
                "allocateLoadBalancerNodePorts": False,
            },
        }
    )
    wait_for(lambda: "NotRouted" in reasons(kube_api, "Service", "loud"), "192.0.2.200 is not allowed", timeout=60)
    kube_api.create(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "loud-1",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "loud"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.2.9"], "nodeName": "n2", "conditions": {"ready": True}}],
            "ports": [{"port": 80}],
        }
    )
    wait_for(lambda: "RouteConflict" in reasons(kube_api, "Service", "loud"), "a route stands there", timeout=60)
    assert foreign in site.config("edge1").read_text()
    wait_for(lambda: "10.43.7.99/32" in site.config("edge2").read_text(), "the other router has it", timeout=60)


def test_a_journal_that_cannot_be_written_is_an_event_of_the_lease(
    site: Site, kube_api: KubeApi, replicas: dict[str, Replica]
) -> None:
    replicas["a"] = Replica(site, "a")
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "it has written", timeout=60)
    other = sqlite3.connect(site.folder / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    set_ready(kube_api, "n3", "False")
    wait_for(lambda: "JournalFails" in reasons(kube_api, "Lease", "k8s-ecmp-demo"), "an Event", timeout=60)
    assert hops(site) == {"10.0.0.12", "10.0.0.13"}
    other.execute("ROLLBACK")
    other.close()
    wait_for(lambda: hops(site) == {"10.0.0.12"}, "it goes on by itself", timeout=60)
    wait_for(lambda: "JournalWell" in reasons(kube_api, "Lease", "k8s-ecmp-demo"), "an Event", timeout=60)


def test_without_rights_it_waits_and_says_which(site: Site, kube_api: KubeApi, replicas: dict[str, Replica]) -> None:
    config = kube_api.kubeconfig(site.folder / "stranger", STRANGER)
    site.settings(cluster={"source": "live", "kubeconfig": str(config)})
    before = site.config("edge1").read_bytes()
    replicas["a"] = a = Replica(site, "a")
    said = a.said("watch is not in order", kind="Node")
    assert "forbids to get, list or watch" in said["reason"]
    status = site.run("status", "--url", a.url(), "--format", "json")
    assert (status.code, status.json()["ready"]) == (1, False)
    grant(kube_api)
    wait_for(lambda: hops(site) == {"10.0.0.12", "10.0.0.13"}, "it goes on by itself", timeout=90)
    assert before != site.config("edge1").read_bytes()


def grant(kube: KubeApi) -> None:
    kube.allow(
        STRANGER,
        ("", "nodes", "get,list,watch"),
        ("", "services", "get,list,watch"),
        ("discovery.k8s.io", "endpointslices", "get,list,watch"),
        ("networking.k8s.io", "servicecidrs", "get,list,watch"),
        ("coordination.k8s.io", "leases", "create,get,update,patch"),
    )

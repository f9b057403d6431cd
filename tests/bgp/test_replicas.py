"""Two ExaBGPs, each beside a daemon of its own, announce the same to one router: whichever dies, no route is missing."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bgp.edge import nodes, require
from tests.world import bgp
from tests.world.bgp import BgpWorld, await_services, bird_config, frr_config
from tests.world.bgp_machine import TAG, Machine, Table
from tests.world.daemon import AT_ONCE
from tests.world.fib import FibHistory
from tests.world.frr import FrrRouter
from tests.world.kube import sample
from tests.world.kube.server import KubeApi
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.slow, pytest.mark.long]

LOCAL = {"a": "10.9.0.21", "b": "10.9.0.22"}
MED = {"a": 100, "b": 200}
MED_BEHIND = {"a": 300, "b": 400}
HAND_OVER_S = 10  # a daemon that a busy machine keeps waiting is no dead one


@dataclass
class Replica(Machine):
    """A machine with a `bgp start` and a `run` on it, both of the same inventory as the other's."""

    name: str

    def start_daemon(self) -> None:
        self.run("run", "--listen", "127.0.0.1:0", "--identity", self.name)

    def end_all(self) -> None:
        self.end("run", signal.SIGKILL)
        self.stop()

    def await_behind(self, behind: bool = True) -> None:
        def done() -> bool:
            states = self.states().values()
            return bool(states) and all(state["behind"] is behind for state in states)

        wait_for(done, f"{self.name} {'stands back' if behind else 'is current'}", 180)

    def await_current(self) -> None:
        self.await_behind(behind=False)


class Receivers(BgpWorld):
    """Both hear both replicas."""

    frr: FrrRouter
    bird: bgp.Daemon


@dataclass
class Site:
    """Both replicas and their router."""

    world: Receivers
    a: Replica
    b: Replica
    kernels: tuple[FibHistory, ...]

    def replica(self, name: str) -> Replica:
        return self.a if name == "a" else self.b

    def await_routes(self, wanted: Mapping[str, frozenset[str]]) -> None:
        for kernel in self.kernels:
            await_services(kernel, wanted)

    def wanted(self) -> Table:
        """What the cluster as written last asks for."""
        return nodes(*(int(name[1:]) for name in self.world.cluster.nodes))

    def write(self) -> Table:
        self.world.write_cluster()
        return self.wanted()

    def meds(self) -> dict[str, int]:
        """Of the paths that FRR has and that are not stale, by replica."""
        found: dict[str, int] = {}
        said = json.loads(self.world.frr.vtysh("show bgp ipv4 unicast 10.96.0.0/12 json"))
        for path in said.get("paths", ()):
            if not path.get("stale"):
                found |= {name: path["metric"] for name, local in LOCAL.items() if path["peer"]["peerId"] == local}
        return found

    def await_meds(self, **meds: int) -> None:
        wait_for(lambda: self.meds() == meds, f"FRR has {meds}", 60, 0.05)

    def settle(self) -> float:
        """Both announce what is wanted, as they should; from the moment that is returned nothing may change."""
        for replica in (self.a, self.b):
            if "bgp" not in replica.processes:
                replica.start()
            if "run" not in replica.processes:
                replica.start_daemon()
        wanted = self.write()
        for replica in (self.a, self.b):
            replica.await_current()
            wait_for(lambda replica=replica: replica.announced("edge") == wanted, f"{replica.name} announces it", 180)
        self.await_meds(**MED)
        self.await_routes(wanted)
        return time.monotonic()

    def assert_undisturbed(self, since: float, *more: Mapping[str, frozenset[str]]) -> None:
        """No prefix lost all next hops, or had one that neither `wanted` nor one of `more` has.

        While paths get another MED one after the other, those that have it already are preferred: some next hops of
        the set, never one that is not of it.
        """
        tables = [self.wanted(), *more]
        for prefix in tables[0]:
            allowed = [table[prefix] for table in tables]
            for state in (state for kernel in self.kernels for state in kernel.samples(prefix, since)):
                assert state.hops, f"{prefix} was gone after {state.at - since:.3f} s"
                assert any(state.hops <= hops for hops in allowed), f"{prefix} had {sorted(state.hops)}"


def machine(world: Receivers, name: str, *, live: bool) -> Replica:
    """Where the API server runs, if its cluster is live, its daemon runs, too: here."""
    folder = world.folder / name
    (folder / "inventory").mkdir(parents=True)
    hosts = json.loads(json.dumps(world.hosts))
    for host in hosts.values():
        host["data"]["k8s_ecmp"]["bgp"]["folder"] = str(folder / "exa")
    (folder / "inventory/hosts.yaml").write_text(yaml.safe_dump(hosts))
    settings = {
        **AT_ONCE,
        "owner": "prod",
        "tag": TAG,
        "inventory": "inventory",
        "journal": "journal.sqlite",
        "cluster": {"source": str(world.folder / "cluster.json"), "service_cidrs": list(bgp.SERVICE_CIDRS)},
    }
    (folder / "k8s-ecmp.yaml").write_text(yaml.safe_dump(settings))
    netns = world.plugged(f"speaker-{name}", [f"{LOCAL[name]}/24"])
    return Replica(folder, name, spaces={"bgp": netns} if live else {"bgp": netns, "run": netns})


@contextmanager
def built(folder: Path, *, live: bool = False, **keys: Any) -> Iterator[Site]:
    require("bird")
    replicas = [{"local_addresses": [local]} for local in LOCAL.values()]
    with ExitStack() as stack:
        world = stack.enter_context(Receivers(folder))
        config = frr_config(tuple(LOCAL.values()))
        keys = {"hand_over_s": HAND_OVER_S, "dead_man_s": 3600, "graceful_restart_s": 10, **keys}
        world.frr = world.add_frr("edge", 2, config, local_addresses=[], replicas=replicas, **keys)
        world.bird = world.add_bird(
            "bird", 3, config=bird_config(3, LOCAL.values()), local_addresses=[], replicas=replicas, **keys
        )
        machines = [machine(world, name, live=live) for name in LOCAL]
        for replica in machines:
            stack.callback(replica.end_all)
        kernels = tuple(stack.enter_context(FibHistory(netns)) for netns in (world.frr.netns, world.bird.netns))
        a, b = machines
        yield Site(world, a, b, kernels)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with built(tmp_path_factory.mktemp("world")) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    for number in (1, 2, 3):
        running.world.add_node(number)
    running.settle()
    return running


def test_both_announce_the_same_and_the_primary_is_preferred(site: Site) -> None:
    assert site.a.announced("edge") == site.b.announced("edge") == site.wanted()
    paths = json.loads(site.world.frr.vtysh("show bgp ipv4 unicast 10.96.0.0/12 json"))["paths"]
    used = {
        path["peer"]["peerId"] for path in paths if path.get("multipath") or path.get("bestpath", {}).get("overall")
    }
    assert len(paths) == 6
    assert used == {LOCAL["a"]}


@pytest.mark.parametrize("name", ["a", "b"])
def test_exabgp_of_either_is_killed(site: Site, name: str) -> None:
    replica, since = site.replica(name), time.monotonic()
    replica.kill_exabgp()
    replica.await_up()
    site.settle()
    site.assert_undisturbed(since)


@pytest.mark.parametrize("name", ["a", "b"])
def test_either_machine_is_stopped_for_good_and_the_other_follows(site: Site, name: str) -> None:
    replica, since, before = site.replica(name), time.monotonic(), site.wanted()
    other = site.b if name == "a" else site.a
    replica.end("run")
    replica.stop()
    wait_for(lambda: set(site.meds()) == {other.name}, "its paths are gone, or stale", 180)
    site.world.add_node(4)
    site.await_routes(site.write())
    site.world.cluster.delete_node("n4")
    during = site.wanted() | {prefix: hops | before[prefix] for prefix, hops in site.wanted().items()}
    site.await_routes(site.write())
    site.world.add_node(4)
    four = site.wanted()
    site.world.cluster.delete_node("n4")
    site.settle()
    site.assert_undisturbed(since, before, during, four)


def test_both_are_stopped_and_started_one_after_the_other_as_in_an_upgrade(site: Site) -> None:
    since = time.monotonic()
    for replica in (site.a, site.b):
        replica.end("run")
        replica.stop()
        site.settle()
    site.assert_undisturbed(since)


def test_a_frozen_daemon_hands_over_and_takes_back(site: Site) -> None:
    since, before = time.monotonic(), site.wanted()
    process = site.a.processes["run"]
    process.send_signal(signal.SIGSTOP)
    try:
        site.world.cluster.delete_node("n3")
        after = site.write()
        # The primary goes on announcing the node that is gone; the routers no longer listen to it.
        site.await_routes(after)
        assert site.a.announced("edge") == before
        site.await_meds(a=MED_BEHIND["a"], b=MED["b"])
        site.assert_undisturbed(since, before)
        since = time.monotonic()
    finally:
        process.send_signal(signal.SIGCONT)
    site.settle()
    site.assert_undisturbed(since)


def test_a_primary_that_fell_behind_while_it_was_cut_off_says_so_first(site: Site) -> None:
    """What ExaBGP keeps for a session that is down, and says when it comes up, has the higher MED as well."""
    site.world.lan.ip("link set speaker-a down")

    def down() -> bool:
        return not any(session["up"] for state in site.a.states().values() for session in state["sessions"])

    try:
        wait_for(down, "they are down", 180)
        site.a.end("run", signal.SIGKILL)
        site.a.await_behind()
        site.world.cluster.delete_node("n3")
        site.await_routes(site.write())
        wait_for(lambda: set(site.meds()) == {"b"}, "its paths are gone", 180)
        wait_for(lambda: site.a.ask("status").get("unanswered") == 0, "ExaBGP has heard it", 180)
        since = time.monotonic()
    finally:
        site.world.lan.ip("link set speaker-a up")
    site.a.await_up()  # after an outage ExaBGP tries once a minute
    site.await_meds(a=MED_BEHIND["a"], b=MED["b"])
    site.assert_undisturbed(since)


def test_a_frozen_machine_is_left_after_its_hold_time(site: Site) -> None:
    since, before = time.monotonic(), site.wanted()
    pids = [*site.a.pids(), site.a.processes["run"].pid]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        site.world.cluster.delete_node("n3")
        site.await_routes(site.write())
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    site.settle()
    site.assert_undisturbed(since, before)


def test_a_primary_that_returns_is_preferred_only_when_its_daemon_is_current(site: Site) -> None:
    before = site.wanted()
    site.a.end("run")
    site.a.stop()
    site.world.cluster.delete_node("n3")
    after = site.write()
    site.await_routes(after)
    since = time.monotonic()
    site.a.start()
    assert site.a.announced("edge") == before, "it says what it said last"
    site.await_meds(a=MED_BEHIND["a"], b=MED["b"])
    site.settle()
    site.assert_undisturbed(since)


def test_a_daemon_that_ends_hands_over_at_once_and_withdraws_nothing(site: Site) -> None:
    since = time.monotonic()
    site.a.end("run")
    assert all(state["behind"] for state in site.a.states().values())
    site.await_meds(a=MED_BEHIND["a"], b=MED["b"])
    site.b.end("run")
    site.await_meds(**MED_BEHIND)
    assert site.a.announced("edge") == site.b.announced("edge") == site.wanted()
    site.settle()
    site.assert_undisturbed(since)


def test_the_bridge_of_the_primary_is_killed(site: Site) -> None:
    since = time.monotonic()
    site.a.kill_bridge()
    site.settle()
    site.assert_undisturbed(since)


def test_both_lead_at_once_through_many_changes(site: Site) -> None:
    """There is no Lease in this world: both daemons write, each to its own ExaBGP, for the whole time."""
    chance = random.Random(3)
    since, seen = time.monotonic(), [site.wanted()]
    for _ in range(30):
        number = chance.randint(2, 8)
        if f"n{number}" in site.world.cluster.nodes:
            site.world.cluster.delete_node(f"n{number}")
        else:
            site.world.add_node(number)
        seen.append(site.write())
        site.await_routes(seen[-1])
    site.settle()
    assert site.a.announced("edge") == site.b.announced("edge")
    union = {prefix: frozenset(hop for table in seen for hop in table[prefix]) for prefix in seen[0]}
    site.assert_undisturbed(since, union)
    for number in range(4, 9):
        if f"n{number}" in site.world.cluster.nodes:
            site.world.cluster.delete_node(f"n{number}")


@pytest.mark.kubeworld
def test_the_lease_says_who_leads_and_both_write_all_the_same(kube_api: KubeApi, tmp_path: Path) -> None:
    """Each to its own ExaBGP. The router of static routes is the leader's alone."""
    sample.create(kube_api)
    with built(tmp_path, live=True) as site:
        replicas = (site.a, site.b)
        for replica in replicas:
            settings = yaml.safe_load((replica.folder / "k8s-ecmp.yaml").read_text())
            kubeconfig = kube_api.kubeconfig(replica.folder / "admin.conf")
            settings["cluster"] = {"source": "live", "kubeconfig": str(kubeconfig)}
            settings["daemon"] = {"lease": {"duration_s": 30, "renew_deadline_s": 20, "retry_s": 0.5}}
            (replica.folder / "k8s-ecmp.yaml").write_text(yaml.safe_dump(settings))
            hosts = yaml.safe_load((replica.folder / "inventory/hosts.yaml").read_text())
            router = replica.folder / "static.cfg"
            router.write_text("hostname static\n!\nend\n")
            options = {"syntax": "frr", "path": str(router)}
            hosts["static"] = {
                "platform": "file",
                "connection_options": {"napalm": {"extras": {"optional_args": options}}},
            }
            (replica.folder / "inventory/hosts.yaml").write_text(yaml.safe_dump(hosts))
            replica.start()
            replica.start_daemon()
        for replica in replicas:
            replica.await_current()
        wait_for(lambda: site.a.announced("edge") == site.b.announced("edge") != {}, "both announce the same", 180)
        lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp-prod"
        leader = wait_for(lambda: kube_api.get(lease)["spec"].get("holderIdentity"), "somebody leads")
        assert leader in ("a", "b")
        first, second = replicas if leader == "a" else replicas[::-1]
        written = "ip route 10.43."
        wait_for(lambda: written in (first.folder / "static.cfg").read_text(), "the leader writes")
        assert written not in (second.folder / "static.cfg").read_text()

        everywhere = frozenset({"10.0.0.12", "10.0.0.13"})
        shared = [prefix for prefix, hops in site.a.announced("edge").items() if hops == everywhere]
        assert shared
        kube_api.request("DELETE", "/api/v1/nodes/n3")
        left = {prefix: frozenset({"10.0.0.12"}) for prefix in shared}
        for replica in replicas:
            wait_for(lambda r=replica: left.items() <= r.announced("edge").items(), f"{replica.name} follows")
        assert kube_api.get(lease)["spec"]["holderIdentity"] == leader

        first.end("run", signal.SIGKILL)
        kube_api.patch(lease, {"spec": {"leaseDurationSeconds": 1}})  # it would end after half a minute
        first.await_behind()
        wait_for(lambda: written in (second.folder / "static.cfg").read_text(), "the other leads", 180)
        assert site.a.announced("edge") == site.b.announced("edge") != {}

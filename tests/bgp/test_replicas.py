"""Two ExaBGPs, each beside a daemon of its own, announce the same to one router: whichever dies, no route is missing."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.errors import RouterError
from tests.world import bgp
from tests.world.bgp import BgpWorld, await_services, frr_config
from tests.world.daemon import AT_ONCE
from tests.world.fib import FibHistory
from tests.world.kube import sample
from tests.world.kube.server import KubeApi
from tests.world.netns import Namespace, wait_for

pytestmark = [pytest.mark.world, pytest.mark.slow]

LOCAL = {"a": "10.9.0.21", "b": "10.9.0.22"}
MED = {"a": 100, "b": 200}
MED_BEHIND = {"a": 300, "b": 400}
HAND_OVER_S = 4
CHANNELS = "\n".join(
    f"  {family} {{ import all; export none; add paths rx; gateway direct; }};" for family in ("ipv4", "ipv6")
)
BIRD = "\n".join(
    [
        "router id 10.9.0.3;\nprotocol device {}\nprotocol direct { ipv4; ipv6; }",
        "protocol kernel { ipv4 { export all; import none; }; merge paths yes limit 64; }",
        "protocol kernel { ipv6 { export all; import none; }; merge paths yes limit 64; }",
        *(
            f"protocol bgp {name} {{\n  local 10.9.0.3 as {bgp.ROUTER_AS};\n  neighbor {local} as {bgp.SPEAKER_AS};\n"
            f"  passive yes;\n  graceful restart yes;\n{CHANNELS}\n}}"
            for name, local in LOCAL.items()
        ),
    ]
)
Table = dict[str, frozenset[str]]


@dataclass
class Replica:
    """A machine with a `bgp start` and a `run` on it, both of the same inventory as the other's."""

    name: str
    folder: Path
    netns: Namespace
    daemon_netns: Namespace | None = None
    """Where its daemon runs; None: here, where the API server is."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        """`k8s-ecmp COMMAND`, until `end`."""
        argv = [bgp.COMMAND, "--config", str(self.folder / "k8s-ecmp.yaml"), *command]
        netns = self.netns if command[0] == "bgp" else self.daemon_netns
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            if netns is None:
                self.processes[command[0]] = subprocess.Popen(argv, stdout=log, stderr=log)
            else:
                self.processes[command[0]] = netns.popen(*argv, stdout=log, stderr=log)
        return self.processes[command[0]]

    def start_exabgp(self) -> None:
        self.run("bgp", "start")
        self.await_up()

    def start_daemon(self) -> None:
        self.run("run", "--listen", "127.0.0.1:0", "--identity", self.name)

    def end(self, command: str, number: int = signal.SIGTERM) -> None:
        process = self.processes.pop(command, None)
        if process is not None:
            process.send_signal(number)
            process.wait(30)

    def end_all(self) -> None:
        self.end("run", signal.SIGKILL)
        self.end("bgp")

    def ask(self, op: str, **words: Any) -> dict[str, Any]:
        """The bridge's answer; {} where there is none at the moment."""
        try:
            client = BridgeClient(self.folder / "exa", 30)
        except RouterError:
            return {}
        try:
            return client.ask(op, **words)
        except RouterError:
            return {}
        finally:
            client.close()

    def states(self) -> list[dict[str, Any]]:
        """Of its peers; none where no bridge answers."""
        return list(self.ask("status").get("peers", {}).values())

    def await_up(self, timeout: float = 180) -> None:
        def done() -> bool:
            states = self.states()
            return bool(states) and all(session["synced"] for state in states for session in state["sessions"])

        wait_for(done, f"{self.name} is up", timeout)

    def await_behind(self, behind: bool = True) -> None:
        def done() -> bool:
            states = self.states()
            return bool(states) and all(state["behind"] is behind for state in states)

        wait_for(done, f"{self.name} {'stands back' if behind else 'is current'}", 180)

    def await_current(self) -> None:
        self.await_behind(behind=False)

    def announced(self) -> Table:
        routes = self.ask("read", peer="edge").get("routes", {})
        return {prefix: frozenset(hop[0] for hop in hops) for prefix, hops in routes.items()}


@dataclass
class Site:
    """Both replicas and their router."""

    world: BgpWorld
    a: Replica
    b: Replica
    kernels: tuple[FibHistory, ...]

    def await_routes(self, wanted: Mapping[str, frozenset[str]]) -> None:
        for kernel in self.kernels:
            await_services(kernel, wanted)

    def wanted(self) -> Table:
        """What the cluster as written last asks for."""
        numbers = sorted(int(name[1:]) for name in self.world.cluster.nodes)
        return {
            "10.96.0.0/12": frozenset(f"10.9.0.{100 + n}" for n in numbers),
            "fd00:96::/112": frozenset(f"fd09::{100 + n}" for n in numbers),
        }

    def write(self) -> Table:
        self.world.write_cluster()
        return self.wanted()

    def meds(self) -> dict[str, int]:
        """Of the paths that FRR has and that are not stale, by replica."""
        found = {}
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
                replica.start_exabgp()
            if "run" not in replica.processes:
                replica.start_daemon()
        wanted = self.write()
        for replica in (self.a, self.b):
            replica.await_current()
            wait_for(lambda replica=replica: replica.announced() == wanted, f"{replica.name} announces it", 180)
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


def machine(world: BgpWorld, name: str, *, live: bool) -> Replica:
    folder = world.folder / name
    (folder / "inventory").mkdir(parents=True)
    hosts = json.loads(json.dumps(world.hosts))
    for host in hosts.values():
        host["data"]["k8s_ecmp"]["bgp"]["folder"] = str(folder / "exa")
    (folder / "inventory/hosts.yaml").write_text(yaml.safe_dump(hosts))
    settings = {
        **AT_ONCE,
        "owner": "prod",
        "tag": bgp.TAG,
        "inventory": "inventory",
        "journal": "journal.sqlite",
        "cluster": {"source": str(world.folder / "cluster.json"), "service_cidrs": list(bgp.SERVICE_CIDRS)},
    }
    (folder / "k8s-ecmp.yaml").write_text(yaml.safe_dump(settings))
    netns = world.plugged(f"speaker-{name}", [f"{LOCAL[name]}/24"])
    return Replica(name, folder, netns, None if live else netns)


@contextmanager
def built(folder: Path, *, live: bool = False, **keys: Any) -> Iterator[Site]:
    if reason := bgp.missing("bird"):
        pytest.skip(reason)
    replicas = [{"local_addresses": [local]} for local in LOCAL.values()]
    with ExitStack() as stack:
        world = stack.enter_context(BgpWorld(folder))
        config = frr_config(tuple(LOCAL.values()))
        keys = {"hand_over_s": HAND_OVER_S, "dead_man_s": 3600, "graceful_restart_s": 10, **keys}
        world.frr = world.add_frr("edge", 2, config, local_addresses=[], replicas=replicas, **keys)
        world.bird = world.add_bird("bird", 3, config=BIRD, local_addresses=[], replicas=replicas, **keys)
        machines = [machine(world, name, live=live) for name in LOCAL]
        for replica in machines:
            stack.callback(replica.end_all)
        kernels = tuple(stack.enter_context(FibHistory(netns)) for netns in (world.frr.netns, world.bird.netns))
        yield Site(world, *machines, kernels)


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
    assert site.a.announced() == site.b.announced() == site.wanted()
    paths = json.loads(site.world.frr.vtysh("show bgp ipv4 unicast 10.96.0.0/12 json"))["paths"]
    used = {
        path["peer"]["peerId"] for path in paths if path.get("multipath") or path.get("bestpath", {}).get("overall")
    }
    assert len(paths) == 6
    assert used == {LOCAL["a"]}


@pytest.mark.parametrize("name", ["a", "b"])
def test_exabgp_of_either_is_killed(site: Site, name: str) -> None:
    replica, since = getattr(site, name), time.monotonic()
    pid = replica.ask("hello")["exabgp_pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: replica.ask("hello").get("exabgp_pid", pid) != pid, "it is started again", 180)
    replica.await_up()
    site.settle()
    site.assert_undisturbed(since)


@pytest.mark.parametrize("name", ["a", "b"])
def test_either_machine_is_stopped_for_good_and_the_other_follows(site: Site, name: str) -> None:
    replica, since, before = getattr(site, name), time.monotonic(), site.wanted()
    other = site.b if name == "a" else site.a
    replica.end("run")
    replica.end("bgp")
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
        replica.end("bgp")
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
        assert site.a.announced() == before
        assert site.meds() == {"a": MED_BEHIND["a"], "b": MED["b"]}
        site.assert_undisturbed(since, before)
        since = time.monotonic()
    finally:
        process.send_signal(signal.SIGCONT)
    site.settle()
    site.assert_undisturbed(since)


def test_a_primary_that_fell_behind_while_it_was_cut_off_says_so_first(site: Site) -> None:
    """What ExaBGP keeps for a session that is down, and says when it comes up, has the higher MED as well."""
    site.world.lan.ip("link set speaker-a down")
    try:
        sessions = lambda: [session for state in site.a.states() for session in state["sessions"]]  # noqa: E731
        wait_for(lambda: not any(session["up"] for session in sessions()), "they are down", 180)
        site.a.end("run", signal.SIGKILL)
        site.a.await_behind()
        site.world.cluster.delete_node("n3")
        site.await_routes(site.write())
        wait_for(lambda: set(site.meds()) == {"b"}, "its paths are gone", 180)
        wait_for(lambda: site.a.ask("status").get("unanswered") == 0, "ExaBGP has heard it", 180)
        since = time.monotonic()
    finally:
        site.world.lan.ip("link set speaker-a up")
    site.a.await_up(180)  # after an outage ExaBGP tries once a minute
    site.await_meds(a=MED_BEHIND["a"], b=MED["b"])
    site.assert_undisturbed(since)


def test_a_frozen_machine_is_left_after_its_hold_time(site: Site) -> None:
    since, before = time.monotonic(), site.wanted()
    pids = [site.a.ask("hello")[key] for key in ("exabgp_pid", "pid")] + [site.a.processes["run"].pid]
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
    site.a.end("bgp")
    site.world.cluster.delete_node("n3")
    after = site.write()
    site.await_routes(after)
    since = time.monotonic()
    site.a.start_exabgp()
    assert site.a.announced() == before, "it says what it said last"
    site.await_meds(a=MED_BEHIND["a"], b=MED["b"])
    site.settle()
    site.assert_undisturbed(since)


def test_a_daemon_that_ends_hands_over_at_once_and_withdraws_nothing(site: Site) -> None:
    since = time.monotonic()
    site.a.end("run")
    assert all(state["behind"] for state in site.a.states())
    site.await_meds(a=MED_BEHIND["a"], b=MED["b"])
    site.b.end("run")
    site.await_meds(**MED_BEHIND)
    assert site.a.announced() == site.b.announced() == site.wanted()
    site.settle()
    site.assert_undisturbed(since)


def test_the_bridge_of_the_primary_is_killed(site: Site) -> None:
    since, pid = time.monotonic(), site.a.ask("hello")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.a.ask("hello").get("pid", pid) != pid, "ExaBGP has started another", 180)
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
    assert site.a.announced() == site.b.announced()
    union = {prefix: frozenset().union(*(table[prefix] for table in seen)) for prefix in seen[0]}
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
            settings["daemon"] = {"lease": {"duration_s": 3, "renew_deadline_s": 2, "retry_s": 0.5}}
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
            replica.start_exabgp()
            replica.start_daemon()
        for replica in replicas:
            replica.await_current()
        wait_for(lambda: site.a.announced() == site.b.announced() != {}, "both announce the same", 180)
        lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp-prod"
        leader = wait_for(lambda: kube_api.get(lease)["spec"].get("holderIdentity"), "somebody leads", 30)
        assert leader in ("a", "b")
        first, second = replicas if leader == "a" else replicas[::-1]
        written = "ip route 10.43."
        wait_for(lambda: written in (first.folder / "static.cfg").read_text(), "the leader writes", 30)
        assert written not in (second.folder / "static.cfg").read_text()

        everywhere = frozenset({"10.0.0.12", "10.0.0.13"})
        shared = [prefix for prefix, hops in site.a.announced().items() if hops == everywhere]
        assert shared
        kube_api.request("DELETE", "/api/v1/nodes/n3")
        left = {prefix: frozenset({"10.0.0.12"}) for prefix in shared}
        for replica in replicas:
            wait_for(lambda r=replica: left.items() <= r.announced().items(), f"{replica.name} follows", 30)
        assert kube_api.get(lease)["spec"]["holderIdentity"] == leader

        first.end("run", signal.SIGKILL)
        first.await_behind()
        wait_for(lambda: written in (second.folder / "static.cfg").read_text(), "the other leads", 180)
        assert site.a.announced() == site.b.announced() != {}

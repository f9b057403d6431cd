"""One ExaBGP, started by `k8s-ecmp bgp start` in a namespace, and receivers on the same LAN: FRR, BIRD, GoBGP.

Every namespace hangs on one switch, 10.9.0.0/24 and fd09::/64. The nodes are addresses alone: a receiver resolves them
because they are on the LAN.
"""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tests.world import frr
from tests.world.bgp_machine import TAG, Machine, Table
from tests.world.cluster import Cluster
from tests.world.fib import FibHistory
from tests.world.frr import FrrRouter, Link
from tests.world.netns import Namespace, veth, wait_for

SPEAKER_AS, ROUTER_AS = 65010, 65001
SPEAKERS = tuple(f"10.9.0.{number}" for number in range(11, 15))
SERVICE_CIDRS = ("10.96.0.0/12", "fd00:96::/112")


def missing(*programs: str) -> str | None:
    """Why this world cannot be built here; None when it can."""
    for program in programs:
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return frr.missing()


def frr_config(speakers: Sequence[str] = SPEAKERS[:1], *lines: str) -> str:
    """bgpd's lines for sessions with the speakers; `lines` for each neighbor, such as "password x"."""
    config = [
        f"router bgp {ROUTER_AS}",
        " no bgp ebgp-requires-policy",
        " bgp bestpath as-path multipath-relax",
        " bgp graceful-restart",
        " bgp graceful-restart stalepath-time 300",
    ]
    for speaker in speakers:
        config += [f" neighbor {speaker} remote-as {SPEAKER_AS}", f" neighbor {speaker} timers connect 1"]
        config += [f" neighbor {speaker} {line}" for line in lines]
    for family in ("ipv4", "ipv6"):
        config += [f" address-family {family} unicast", "  maximum-paths 64"]
        config += [f"  neighbor {speaker} activate" for speaker in speakers]
        config += [" exit-address-family"]
    return "\n".join(config)


def bird_config(number: int, speakers: Iterable[str] = SPEAKERS[:1]) -> str:
    """BIRD at 10.9.0.NUMBER, with sessions to the speakers.

    After an error of a session it takes a new one within seconds, not after its default of a minute and more.
    """
    channels = "\n".join(
        f"  {family} {{ import all; export none; add paths rx; gateway direct; }};" for family in ("ipv4", "ipv6")
    )
    kernels = [
        f"protocol kernel {{ {family} {{ export all; import none; }}; merge paths yes limit 64; }}"
        for family in ("ipv4", "ipv6")
    ]
    sessions = [
        f"protocol bgp {{\n  local 10.9.0.{number} as {ROUTER_AS};\n  neighbor {speaker} as {SPEAKER_AS};\n"
        f"  passive yes;\n  error wait time 1, 2;\n  graceful restart yes;\n{channels}\n}}"
        for speaker in speakers
    ]
    head = f"router id 10.9.0.{number};\nprotocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}"
    return "\n".join([head, *kernels, *sessions, ""])


@dataclass
class Daemon:
    """A receiver that is one process in a namespace: BIRD or GoBGP. `start` may be called again after `kill`."""

    name: str
    netns: Namespace
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = self.netns.popen(*self.command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class BgpWorld(Machine):
    """`with BgpWorld(folder) as world:`, then receivers, then `start`."""

    cluster: Cluster = field(
        default_factory=lambda: Cluster(service_cidrs=SERVICE_CIDRS, pod_cidrs=("10.200.0.0/13", "fd00:192::/48"))
    )
    lan: Namespace = field(init=False)
    speaker: Namespace = field(init=False)
    hosts: dict[str, Any] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.lan = self._stack.enter_context(Namespace("lan"))
            self.lan.ip("link add switch type bridge")
            self.lan.ip("link set switch up")
            addresses = [f"{address}/24" for address in SPEAKERS]
            self.speaker = self.spaces["bgp"] = self.plugged("speaker", [*addresses, "fd09::b/64"])
            for number in (1, 2, 3):
                self.add_node(number)
            self.write_settings()
            self.write_cluster()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._stack.close()

    # --- receivers ---

    def add_frr(self, name: str, number: int, config: str, **bgp: Any) -> FrrRouter:
        """An FRR with bgpd at 10.9.0.NUMBER; `bgp` are keys of data.k8s_ecmp.bgp."""
        router = self._frr(name, number, config, ("bgpd",))
        self.add_peer(name, number, bgp)
        if bgp.get("read_receiver"):
            self.hosts[name] |= self._login(router)
            self.write_inventory()
        return router

    def add_static(self, name: str, number: int) -> FrrRouter:
        """An FRR that gets the same routes as static ones, over SSH."""
        router = self._frr(name, number, "", ())
        self.hosts[name] = self._login(router)
        self.write_inventory()
        return router

    def add_bird(self, name: str, number: int, *, config: str | None = None, **bgp: Any) -> Daemon:
        """A BIRD that writes into its kernel's table; `config` is its whole configuration instead of the usual one."""
        netns = self.plugged(name, [f"10.9.0.{number}/24", f"fd09::{number}/64"])
        file, control = self.folder / f"{name}.conf", self.folder / f"{name}.ctl"
        file.write_text(config or bird_config(number))
        bird = Daemon(name, netns, ["bird", "-f", "-c", str(file), "-s", str(control)], self.folder / f"{name}.log")
        bird.start()
        self._stack.callback(bird.kill)
        self.add_peer(name, number, bgp)
        return bird

    def add_gobgp(self, name: str, number: int, *, config: str | None = None, **bgp: Any) -> Daemon:
        """A GoBGP, which keeps what it receives in its own table; `config` is its whole TOML instead of the usual one."""
        netns = self.plugged(name, [f"10.9.0.{number}/24", f"fd09::{number}/64"])
        families = [
            {"config": {"afi-safi-name": f"{name}-unicast"}, "add-paths": {"config": {"receive": True}}}
            for name in ("ipv4", "ipv6")
        ]
        neighbor = {
            "config": {"neighbor-address": SPEAKERS[0], "peer-as": SPEAKER_AS},
            "transport": {"config": {"passive-mode": True}},
            "afi-safis": families,
        }
        document = {"global": {"config": {"as": ROUTER_AS, "router-id": f"10.9.0.{number}"}}, "neighbors": [neighbor]}
        file = self.folder / f"{name}.conf"
        file.write_text(config or yaml.safe_dump(document))
        form = "toml" if config else "yaml"
        gobgp = Daemon(name, netns, ["gobgpd", "-t", form, "-f", str(file)], self.folder / f"{name}.log")
        gobgp.start()
        self._stack.callback(gobgp.kill)
        self.add_peer(name, number, bgp)
        return gobgp

    @contextlib.contextmanager
    def node_space(self, number: int, *services: str) -> Iterator[None]:
        """Node n<number> in the flesh: it answers on the services' addresses with its name."""
        addresses = [f"10.9.0.{100 + number}/24", f"fd09::{100 + number}/64"]
        with contextlib.ExitStack() as stack:
            netns = self.plugged(f"n{number}", addresses, stack)
            # The same each time it comes: for up to 45 s a neighbour does not ask again whose the address is.
            netns.ip(f"link set dev lan address 02:00:0a:09:00:{number:02x}")
            for service in services:
                netns.ip("address add", service, "dev lo")
            server = netns.popen("socat", "TCP6-LISTEN:80,fork,reuseaddr,ipv6only=0", f"SYSTEM:echo n{number}")
            stack.callback(server.wait)
            stack.callback(server.kill)
            yield

    # --- files ---

    def add_node(self, number: int) -> None:
        """Node n<number> at 10.9.0.(100 + number)."""
        addresses = (f"10.9.0.{100 + number}", f"fd09::{100 + number}")
        self.cluster.add_node(f"n{number}", addresses, (f"10.{200 + number}.0.0/16", f"fd00:192:0:{number}::/64"))

    def write_cluster(self) -> None:
        self.cluster.write(self.folder / "cluster.json")

    def write_settings(self, **sections: Any) -> None:
        settings = {
            "owner": "prod",
            "tag": TAG,
            "inventory": "inventory",
            "journal": "journal.sqlite",
            "cluster": {"source": "cluster.json", "service_cidrs": list(SERVICE_CIDRS)},
            "rollout": {"canary": 0, "verify_timeout_s": 30},
        }
        (self.folder / "k8s-ecmp.yaml").write_text(yaml.safe_dump(settings | sections))

    def write_inventory(self) -> None:
        (self.folder / "inventory").mkdir(exist_ok=True)
        (self.folder / "inventory/hosts.yaml").write_text(yaml.safe_dump(self.hosts))

    # --- commands ---

    def program(self) -> dict[str, Any]:
        """Plans changes, applies and verifies them; afterwards nothing is left to plan."""
        self.write_cluster()
        document = self.plan()
        self.cli("apply", "--yes")
        self.cli("verify")
        self.plan(code=0)
        return document

    # --- inside ---

    def _frr(self, name: str, number: int, config: str, daemons: Sequence[str]) -> FrrRouter:
        addresses = [f"10.9.0.{number}/24", f"fd09::{number}/64"]
        router = FrrRouter(name, self.folder, [Link("lan", addresses, self.lan, name)], config=config, daemons=daemons)
        self._stack.callback(router.stop)
        router.start()
        self.lan.ip("link set", name, "master switch")
        return router

    def _login(self, router: FrrRouter) -> dict[str, Any]:
        options = {"extras": {"timeout": 60, "optional_args": router.ssh_options}}
        login = {"hostname": router.name, "username": "netops", "password": ""}
        return {**login, "platform": "frr", "connection_options": {"napalm": options}}

    def add_peer(self, name: str, number: int, bgp: Mapping[str, Any]) -> None:
        """A router with `mode: bgp` in the inventory, at 10.9.0.NUMBER; nothing is started."""
        settings = {
            "folder": str(self.exabgp_folder),
            "local_as": SPEAKER_AS,
            "peer_as": ROUTER_AS,
            "peer_address": f"10.9.0.{number}",
            "local_addresses": [SPEAKERS[0]],
            **bgp,
        }
        data = {"k8s_ecmp": {"mode": "bgp", "bgp": settings}}
        self.hosts[name] = {"hostname": f"10.9.0.{number}", "platform": "frr", "data": data}
        self.write_inventory()

    def plugged(self, name: str, addresses: Iterable[str], stack: contextlib.ExitStack | None = None) -> Namespace:
        """A namespace on the LAN."""
        netns = (stack or self._stack).enter_context(Namespace(name))
        veth(self.lan, name, netns, "lan", (), list(addresses))
        self.lan.ip("link set", name, "master switch")
        self.lan.ip("link set", name, "up")
        return netns


def gobgp_table(gobgp: Daemon) -> Table:
    """GoBGP's own table: next hops by prefix."""
    found = {}
    for family in ("ipv4", "ipv6"):
        said = json.loads(gobgp.netns.run("gobgp", "global", "rib", "-a", family, "-j") or "{}")
        for prefix, paths in said.items():
            attributes = [attribute for path in paths for attribute in path["attrs"]]
            found[prefix] = frozenset(a["nexthop"] for a in attributes if "nexthop" in a)
    return found


def services(history: FibHistory) -> Table:
    """The routes of a kernel that are not the LAN's own."""
    return {p: hops for p, hops in history.table().items() if not p.startswith(("10.9.0.", "fd09::", "fe80:", "ff00:"))}


def await_services(history: FibHistory, wanted: Mapping[str, Iterable[str]], timeout: float = 60) -> None:
    """Returns when these are all the services' routes in the kernel."""
    goal = {prefix: frozenset(hops) for prefix, hops in wanted.items()}
    interval = 0.02 + len(goal) / 40_000  # to look at all of a large table takes a while itself
    try:
        wait_for(lambda: services(history) == goal, "the kernel has the wanted routes", timeout, interval)
    except TimeoutError:
        found = services(history)
        wrong = {p: (found.get(p), goal.get(p)) for p in found.keys() | goal.keys() if found.get(p) != goal.get(p)}
        raise AssertionError(f"{len(wrong)} prefixes differ (found, wanted): {dict(list(wrong.items())[:5])}") from None

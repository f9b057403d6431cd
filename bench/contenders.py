"""Those who bring a change to the FIB, each in a world of its own: ours, MetalLB's speakers, and a line by hand."""

import contextlib
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml

from bench.byhand import HandSession
from bench.kubeworld import ALL_HOPS, NODES, POOL, ROUTER_ADDRESS, World, hop, prefix
from bench.site import TAG
from bench.startup import COMMAND
from tests.world import metallb
from tests.world.netns import wait_for

_STOP_S = 15
_STAGES = ("started", "cluster is read", "committed")  # in the daemon's log


class Contender(Protocol):
    """One that keeps a router's routes; `world` is its own."""

    world: World

    def change(self, number: int, node: str, *, there: bool) -> float:
        """A service has an endpoint on the node again, or no more; the moment before the one request or line."""
        ...


class _Followed:
    """One who follows the API server."""

    def __init__(self, world: World) -> None:
        self.world = world

    def change(self, number: int, node: str, *, there: bool) -> float:
        return self.world.set_endpoints(number, [name for name in NODES if there or name != node])


class Ours(_Followed):
    """`k8s-ecmp run`, which logs in to the router over SSH as documented; no damping, no delay, guards that let it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = datetime.now(UTC)
        self.log = world.folder / "k8s-ecmp.log"
        self._settings = _lay_out(world)

    def start(self) -> None:
        """Returns at once."""
        command = self.world.management.argv(COMMAND, "--config", str(self._settings), "run")
        with self.log.open("wb") as log:
            self._started = datetime.now(UTC)
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        """Ends it; the routes stay. May be called twice."""
        _end(self._process)
        self._process = None

    def stages(self) -> dict[str, float]:
        """Where the time from the start to the first commit went, by the daemon's own log; seconds.

        To be asked after `stop`: the log is written behind.
        """
        said: dict[str, tuple[float, dict[str, Any]]] = {}
        for line in self.log.read_text().splitlines():
            entry = json.loads(line)
            at = (datetime.fromisoformat(entry["timestamp"]) - self._started).total_seconds()
            said.setdefault(entry["event"], (at, entry))
        (started, _), (read, _), (committed, commit) = (said[event] for event in _STAGES)
        commit_s = commit["commit_ms"] / 1000
        return {
            "interpreter, modules, settings": started,
            "the cluster's lists": read - started,
            "plan, and what is left of reading the router": committed - commit_s - read,
            "commit and verify": commit_s,
        }

    def clear(self) -> None:
        """Takes every route away by hand."""
        self._by_hand([f"no ip route {prefix(n)} {hop(node)}" for node in NODES for n in range(self.world.services)])
        self.world.await_table(frozenset())

    def typed_in(self) -> float:
        """Seconds until the same routes are in the FIB, by `vtysh -f` on the router itself: a file for each hop."""
        started = time.monotonic()
        for node in NODES:
            self._by_hand([f"ip route {prefix(n)} {hop(node)} tag {TAG}" for n in range(self.world.services)])
        return self.world.await_table() - started

    def _by_hand(self, lines: Sequence[str]) -> None:
        (self.world.folder / "edge1/hand.conf").write_text("\n".join(lines) + "\n")
        self.world.router.run("vtysh", "-f", "/run/world/hand.conf")

    def show_log(self) -> None:
        """The end of what it printed, for a measurement that failed."""
        if self.log.exists():
            print(*(line[:300] for line in self.log.read_text().splitlines()[-20:]), sep="\n", flush=True)


class MetalLB(_Followed):
    """A speaker on every node, each with a BGP session to the router's bgpd."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        metallb.install(world.api, router=ROUTER_ADDRESS, pool=POOL, nodes=NODES)
        self._speakers = [
            metallb.Speaker(node, world.nodes[node], world.kubeconfig, world.folder / f"{node}.log") for node in NODES
        ]

    def start(self) -> None:
        """All at once; returns at once."""
        for speaker in self._speakers:
            speaker.start()

    def stop(self) -> None:
        """Ends them, and with them their sessions and routes. May be called twice."""
        for speaker in self._speakers:
            speaker.stop()

    def settle(self) -> None:
        """Returns when the speakers have written what they write about services, which takes them a minute."""

        def quiet() -> bool:
            before = metallb.writes(self.world.api)
            time.sleep(1)
            return metallb.writes(self.world.api) - before < 5

        wait_for(quiet, "the speakers write no more", timeout=300)


class ByHand:
    """A line typed in an open session."""

    def __init__(self, world: World, session: HandSession) -> None:
        self.world = world
        self._session = session

    def change(self, number: int, node: str, *, there: bool) -> float:
        started = self._session.line(f"{'' if there else 'no '}ip route {prefix(number)} {hop(node)} tag {TAG}")
        self._session.answered()
        return started


@contextmanager
def ours(folder: Path, services: int, *, routed: bool = False) -> Iterator[Ours]:
    """Not started; `routed`: with every route in the router's configuration already."""
    with World(folder, services, config=_every_route(services) if routed else "") as world:
        made = Ours(world)
        try:
            yield made
        except BaseException:
            made.show_log()
            raise
        finally:
            made.stop()


@contextmanager
def speakers(folder: Path, services: int) -> Iterator[MetalLB]:
    """Not started."""
    reason = metallb.missing()
    if reason:
        raise RuntimeError(reason)
    config = metallb.router_config(ROUTER_ADDRESS, sorted(ALL_HOPS))
    with World(folder, services, config=config, daemons=["bgpd"]) as world:
        made = MetalLB(world)
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def by_hand(folder: Path, services: int) -> Iterator[ByHand]:
    """With every route in the router's configuration."""
    with World(folder, services, config=_every_route(services), api=False) as world:
        world.await_table()
        with HandSession(world.router, world.management) as session:
            yield ByHand(world, session)


def _every_route(services: int) -> str:
    return "\n".join(f"ip route {prefix(n)} {hop(node)} tag {TAG}" for node in NODES for n in range(services))


def shuffled(contenders: Sequence[Contender], seed: int) -> list[Contender]:
    """In an order that differs from round to round and is the same in every run."""
    return random.Random(seed).sample(contenders, len(contenders))


def _lay_out(world: World) -> Path:
    """Settings and inventory of the world."""
    folder = world.folder / "site"
    (folder / "inventory").mkdir(parents=True)
    router = world.router
    login = {
        "key_file": str(router.key_file),
        "use_keys": True,
        "allow_agent": False,
        "ssh_config_file": None,
        "alt_host_keys": True,
        "alt_key_file": str(router.known_hosts),
    }
    host = {
        "hostname": router.address,
        "username": "netops",
        "platform": "frr",
        "connection_options": {"napalm": {"extras": {"timeout": 60, "optional_args": login}}},
    }
    (folder / "inventory/hosts.yaml").write_text(yaml.safe_dump({router.name: host}))
    settings: dict[str, Any] = {
        "owner": "bench",
        "tag": TAG,
        "cluster": {"source": "live", "kubeconfig": str(world.kubeconfig)},
        "inventory": "inventory",
        "services": {
            "aggregate": False,
            "cluster_ips": "none",
            "load_balancer_ips": {"cidrs": [POOL], "aggregate": False, "host_routes": "local"},
            "add_delay_s": 0,
        },
        "nodes": {"hold_down_s": 0, "hold_up_s": 0},
        "guards": {"max_withdrawn_fraction": 1, "max_not_ready_fraction": 1},
        "journal": str(folder / "journal.sqlite"),
    }
    path = folder / "k8s-ecmp.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

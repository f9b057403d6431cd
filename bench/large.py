"""5,000 nodes, 10,000 services, 150,000 endpoints, followed and decided in one process: cold start, memory, processor
time. `largedaemon` has the whole daemon."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from bench.largecluster import MARKER, LargeCluster
from bench.largeobjects import ENDPOINTS, LOCAL_SERVICES, NODES, SERVICES
from bench.results import Row, median

_STARTS = 3
_EVENTS = {"endpoint": 20_000, "heartbeat": 20_000, "node": 2_000}
_IDLE_S = 30
_BEATS_A_SECOND = NODES / 300  # a kubelet without news writes its status every five minutes


def follow_large() -> list[Row]:
    """Median of three cold starts; the rest in the last of them."""
    size = f"{NODES:,} nodes, {SERVICES:,} services, {ENDPOINTS:,} endpoints"
    with tempfile.TemporaryDirectory(prefix="bench") as place, LargeCluster(Path(place)) as cluster:
        print(f"{cluster.size / 1e6:.0f} MB of JSON", flush=True)
        starts: list[dict[str, Any]] = []
        for turn in range(_STARTS):
            with _Follower(cluster.kubeconfig) as follower:
                starts.append(follower.started)
                if turn == _STARTS - 1:
                    cost = {kind: follower.cost(cluster, kind, count) for kind, count in _EVENTS.items()}
                    after = follower.said[-1]
                    idle = follower.idle(cluster)
    cold, load, rss, empty, peak = (
        median([start[what] for start in starts]) for what in ("took_s", "loaded_s", "rss_mb", "loaded_mb", "peak_mb")
    )
    mean = sum(cost[kind] * count for kind, count in _EVENTS.items()) / sum(_EVENTS.values())
    name = "follow-large"
    return [
        Row(name, f"{size}: process start to desired routes", cold, None, "<= 2 s", cold <= 2),
        Row(name, f"{size}: of which interpreter and modules", load, None, "-", True),
        Row(name, f"{size}: memory with the modules loaded", empty, None, "-", True, "MB"),
        Row(name, f"{size}: memory after the start", rss, None, "<= 120 MB", rss <= 120, "MB"),
        Row(name, f"{size}: most memory during the start", peak, None, "-", True, "MB"),
        Row(name, f"{size}: memory after {sum(_EVENTS.values()):,} events", after["rss_mb"], None, "-", True, "MB"),
        *(_cost_row(name, size, kind, cost[kind]) for kind in _EVENTS),
        Row(
            name, f"{size}: an event, mean of all {sum(_EVENTS.values()):,}", mean, None, "<= 100 us", mean <= 100, "us"
        ),
        Row(name, f"{size}: idle, {_BEATS_A_SECOND:.0f} heartbeats a second", idle, None, "<= 1 %", idle <= 1, "%"),
    ]


def _cost_row(name: str, size: str, kind: str, cost_us: float) -> Row:
    """A node that flips is some sixteen changes: the aggregate, and its Local services with fifteen endpoints each."""
    what = {"endpoint": "an endpoint flips", "heartbeat": "a node's heartbeat", "node": "a node flips"}[kind]
    return Row(name, f"{size}: {what}", cost_us, None, "<= 100 us", cost_us <= 100, "us")


class _Follower:
    """`bench.largefollower` as a process. Use as a context manager.

    Attributes:
        started: what it said when everything was desired, with `took_s` since its start and how it stood before.
        said: everything that it said, in order.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self.said: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        began = time.monotonic()
        command = [sys.executable, "-m", "bench.largefollower", str(self._kubeconfig), MARKER]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        loaded = self._next()
        self.started = self._next()
        self.started["took_s"] = self.started["at"] - began
        self.started["loaded_s"] = loaded["at"] - began
        self.started["loaded_mb"] = loaded["rss_mb"]
        assert self.started["routes"] == LOCAL_SERVICES + 1, self.started
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def cost(self, cluster: LargeCluster, kind: str, count: int) -> float:
        """Microseconds of processor time for one event, all threads together, from the socket to the routes."""
        before = self._processor_s()
        cluster.tell(kind, count)
        while kind not in self._next()["marker"]:
            pass
        return (self._processor_s() - before) / count * 1e6

    def idle(self, cluster: LargeCluster) -> float:
        """Percent of one processor while nothing but heartbeats comes."""
        before, began = self._processor_s(), time.monotonic()
        cluster.tell("heartbeat", int(_BEATS_A_SECOND * _IDLE_S), _BEATS_A_SECOND)
        return (self._processor_s() - before) / (time.monotonic() - began) * 100

    def _processor_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the follower has ended")
        self.said.append(json.loads(line))
        return self.said[-1]

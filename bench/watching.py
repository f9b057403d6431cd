"""What following a large cluster costs by itself: from the API server's bytes to the model's objects, nothing decided.

    python -m bench.watching KUBECONFIG     follows, says when everything is listed, and answers each line of its input

`bench.largecluster` serves the objects in another process, over TLS, as a stream of one chunk an object.
"""

import json
import queue
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.largecluster import MARKER, LargeCluster
from bench.largeobjects import ENDPOINTS, NODES, SERVICES
from bench.results import Row, median

_RUNS = 3
_EVENTS = 20_000
_CIDRS = ("10.96.0.0/12",)


def watch_large() -> list[Row]:
    """Start to all lists, processor time of it, memory, and processor time of one event."""
    with tempfile.TemporaryDirectory() as folder, LargeCluster(Path(folder) / "cluster") as cluster:
        runs = [_follow(cluster) for _ in range(_RUNS)]
    size = f"{NODES:,} nodes, {SERVICES:,} services, {ENDPOINTS:,} endpoints ({cluster.size / 1e6:.0f} MB)"

    def middle(key: str) -> float:
        return median([run[key] for run in runs])

    def row(what: str, key: str, target: str, limit: float, unit: str) -> Row:
        value = middle(key)
        return Row("watch-large", f"{size}: {what}", value, None, target, value <= limit, unit)

    return [
        row("all listed, without the start of Python", "listed_s", "<= 2 s", 2, "s"),
        row("processor time of it", "processor_s", "<= 1 s", 1, "s"),
        row("memory of the whole process, objects kept", "rss_mb", "<= 100 MB", 100, "MB"),
        row("an endpoint flips, bytes to model", "endpoint", "<= 100 us", 100, "us"),
        row("a node's heartbeat, bytes to nothing", "heartbeat", "<= 100 us", 100, "us"),
    ]


def _follow(cluster: LargeCluster) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.watching", str(cluster.kubeconfig)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        found: dict[str, float] = json.loads(process.stdout.readline())
        for kind in ("endpoint", "heartbeat"):
            cluster.tell(kind, _EVENTS)
            process.stdin.write("\n")
            process.stdin.flush()
            found[kind] = json.loads(process.stdout.readline())["processor_s"] / _EVENTS * 1e6
    finally:
        process.kill()
        process.wait()
    return found


def main() -> None:
    """The process that follows."""
    from k8s_ecmp.kube.follow import Follow
    from k8s_ecmp.kube.updates import Gone, Listed, Update
    from k8s_ecmp.settings import ClusterSettings

    updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
    follow = Follow(ClusterSettings(kubeconfig=sys.argv[1], service_cidrs=_CIDRS), updates.put, drains=False)
    before, began, spent = _memory_mb(), time.monotonic(), time.process_time()
    follow.start()
    objects: dict[str, Any] = {}
    while len(objects) < 3:
        update = updates.get()
        if isinstance(update, Listed):
            objects[update.kind] = dict(update.objects)
    took = {"listed_s": time.monotonic() - began, "processor_s": time.process_time() - spent}
    _say(**took, **dict(zip(("rss_mb", "peak_mb"), _memory_mb(), strict=True)), before_mb=before[0])
    while True:
        spent = time.process_time()
        while not (isinstance(update := updates.get(), Gone) and update.key.rpartition("/")[2].startswith(MARKER)):
            pass
        used = time.process_time() - spent
        sys.stdin.readline()
        _say(processor_s=used)


def _memory_mb() -> tuple[float, float]:
    """Now, and at most."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, int(status["VmHWM"].split()[0]) / 1024


def _say(**what: float) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()

"""`k8s-ecmp run` itself on the large cluster, its router a file: how soon that is in sync, and the memory then."""

import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from bench.largecluster import LargeCluster
from bench.largeobjects import ENDPOINTS, NODES, SERVICES
from bench.results import Row, median
from bench.startup import COMMAND
from tests.world.netns import wait_for

_STARTS = 3


def run_large() -> list[Row]:
    """Medians of three starts, each with an empty router."""
    size = f"{NODES:,} nodes, {SERVICES:,} services, {ENDPOINTS:,} endpoints: the daemon with one router"
    with tempfile.TemporaryDirectory(prefix="bench") as place, LargeCluster(Path(place)) as cluster:
        runs = [_run(Path(place) / f"site{turn}", cluster.kubeconfig) for turn in range(_STARTS)]
    took_s, rss_mb = (median(values) for values in zip(*runs, strict=True))
    return [
        Row("run-large", f"{size}: process start to in sync", took_s, None, "-", True),
        Row("run-large", f"{size}: memory in sync", rss_mb, None, "<= 120 MB", rss_mb <= 120, "MB"),
    ]


def _run(folder: Path, kubeconfig: Path) -> tuple[float, float]:
    """Seconds until every router is in sync, and the memory then in MB."""
    began = time.monotonic()
    log = folder / "log"
    settings = _site(folder, kubeconfig)
    with log.open("wb") as said:
        process = subprocess.Popen(
            [COMMAND, "--config", str(settings), "run", "--listen", "127.0.0.1:0"], stdout=said, stderr=said
        )
    try:
        listen = wait_for(lambda: _listens(log), "the daemon has started")
        wait_for(lambda: _ready(listen), "the router is in sync", timeout=300, interval=0.1)
        took_s = time.monotonic() - began
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        return took_s, int(status["VmRSS"].split()[0]) / 1024
    finally:
        process.terminate()
        process.wait(60)


def _site(folder: Path, kubeconfig: Path) -> Path:
    (folder / "inventory").mkdir(parents=True)
    router = folder / "edge1.cfg"
    router.write_text("hostname edge1\n!\n")
    options = {"syntax": "frr", "path": str(router)}
    host = {"platform": "file", "connection_options": {"napalm": {"extras": {"optional_args": options}}}}
    (folder / "inventory/hosts.yaml").write_text(yaml.safe_dump({"edge1": host}))
    document = {
        "owner": "bench",
        "tag": 4201,
        "cluster": {"source": "live", "kubeconfig": str(kubeconfig)},
        "inventory": "inventory",
        "services": {"add_delay_s": 0},
        "guards": {"max_withdrawn_fraction": 1, "max_not_ready_fraction": 1},
        "daemon": {"lease": {"enabled": False}},  # the API server of this measurement takes no writes
        "journal": str(folder / "journal.sqlite"),
    }
    path = folder / "k8s-ecmp.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def _listens(log: Path) -> str | None:
    for line in log.read_text().splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("event") == "started":
            return str(entry["listen"])
    return None


def _ready(listen: str) -> bool:
    """Whether all is watched and the router was done; /status, which names every node, would slow it down."""
    try:
        with urllib.request.urlopen(f"http://{listen}/readyz", timeout=60) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False

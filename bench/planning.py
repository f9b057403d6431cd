"""Parsing and planning of large tables; no router is needed."""

import subprocess
import tempfile
import time
from pathlib import Path

from bench.results import Row, median, timed
from bench.site import TAG, address, cluster, hop, lay_out
from bench.startup import COMMAND
from k8s_ecmp.platforms import get_platform

PREFIXES, HOPS = 10_000, 16


def running_config(syntax: str, prefixes: int = PREFIXES, hops: int = HOPS) -> str:
    """A running configuration that holds what the cluster of the same size asks for."""
    name = " name bench" if syntax == "eos" else ""
    routes = ["10.96.0.0/12", *(f"{address(number)}/32" for number in range(prefixes))]
    lines = [f"ip route {route} {hop(number)} tag {TAG}{name}" for route in routes for number in range(hops)]
    return "\n".join(["hostname r1", "!", *lines, "!", "end", ""])


def parse() -> list[Row]:
    """160,016 lines."""
    rows = []
    for syntax in ("frr", "eos"):
        text, platform = running_config(syntax), get_platform(syntax)
        took = median([timed(lambda p=platform, t=text: p.parse(t)) for _ in range(3)])  # type: ignore[misc]
        rows.append(Row("parse", f"parse {PREFIXES:,} x {HOPS}, {syntax}", took, None, "<= 1 s", took <= 1))
    return rows


def plan_large() -> list[Row]:
    """The whole `k8s-ecmp plan`, in sync and with a node gone."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for syntax in ("frr", "eos"):
            (folder / f"{syntax}.cfg").write_text(running_config(syntax))
            options = {"optional_args": {"syntax": syntax, "path": f"{syntax}.cfg"}}
            hosts = {syntax: {"platform": "file", "connection_options": {"napalm": {"extras": options}}}}
            for what, gone, code in (("in sync", None, 0), ("a node gone", 0, 2)):
                settings = lay_out(folder, cluster(PREFIXES, HOPS, gone), hosts)
                took = median([_plan(settings, code) for _ in range(3)])
                rows.append(
                    Row("plan-10k", f"plan {PREFIXES:,} x {HOPS}, {syntax}, {what}", took, None, "<= 3 s", took <= 3)
                )
    return rows


def _plan(settings: Path, code: int) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [COMMAND, "--config", str(settings), "plan", "--format", "json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    took = time.perf_counter() - started
    assert done.returncode == code, done.stderr.decode()
    return took

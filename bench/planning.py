"""Planning of large tables; no router is needed."""

import subprocess
import tempfile
import time
from pathlib import Path

from bench.results import Row, median
from bench.site import cluster, lay_out
from bench.startup import COMMAND
from bench.syntaxes import HOPS, PREFIXES, running_config
from k8s_ecmp.platforms.drivers import SYNTAXES


def plan_large() -> list[Row]:
    """The whole `k8s-ecmp plan`, in sync and with a node gone."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for syntax in SYNTAXES:
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

"""Routes into one real FRR router: ours against `vtysh -f` of the same lines in the same files, run on the router.

By hand nothing is read before or checked after, nothing can be taken back, and nothing is saved.
"""

import json
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.results import Row, median, timed
from bench.site import TAG, address, cluster, hop, lay_out, write_cluster
from bench.startup import COMMAND
from tests.world.frr import FrrRouter, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

HOPS = 16


@contextmanager
def router(folder: Path, name: str) -> "Iterator[FrrRouter]":
    """A router to which 16 nodes are connected and which already sends the aggregate to all of them."""
    aggregate = "\n".join(f"ip route 10.96.0.0/12 {hop(number)} tag {TAG}" for number in range(HOPS))
    with FrrRouter(name, folder, links=[Link("fabric", ["10.192.0.254/24"])], config=aggregate) as made:
        yield made


def fib_complete(made: FrrRouter, prefixes: int, hops: int) -> bool:
    """Whether every service address has every next hop in the kernel."""
    found = json.loads(made.ip("-4", "-j", "route", "show", "proto", "196"))
    hosts = [route for route in found if "/" not in route["dst"]]
    return len(hosts) == prefixes and all(len(route.get("nexthops", [1])) == hops for route in hosts)


def wait_complete(made: FrrRouter, prefixes: int, hops: int) -> None:
    deadline = time.monotonic() + 60
    while not fib_complete(made, prefixes, hops):
        if time.monotonic() > deadline:
            raise AssertionError(f"{made.name}: the FIB is not complete")
        time.sleep(0.05)


def host_of(made: FrrRouter) -> dict[str, Any]:
    """The router in an inventory."""
    options = {"timeout": 900, "optional_args": made.ssh_options}
    return {
        made.name: {
            "hostname": made.name,
            "username": "root",
            "platform": "frr",
            "connection_options": {"napalm": {"extras": options}},
        }
    }


def apply(settings: Path) -> tuple[float, float]:
    """Seconds of a whole `k8s-ecmp apply --yes`; and of its part on the router, from connecting to confirmed."""
    started = time.perf_counter()
    done = subprocess.run(
        [COMMAND, "--config", str(settings), "apply", "--yes"], capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - started
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    on_router = re.search(r"committed after ([\d.]+) s", done.stderr)
    assert on_router is not None, done.stderr
    return took, float(on_router[1])


def by_hand(made: FrrRouter, files: list[list[str]]) -> float:
    """Seconds of `vtysh -f` of each file on the router itself, without SSH."""
    folder = made.directory / made.name / "hand"
    folder.mkdir(exist_ok=True)
    for number, lines in enumerate(files):
        (folder / f"{number}.conf").write_text("\n".join(lines) + "\n")
    started = time.perf_counter()
    for number in range(len(files)):
        made.run("vtysh", "-f", f"/run/world/hand/{number}.conf", timeout=900)
    return time.perf_counter() - started


def _push(name: str, prefixes: int, pairs: int) -> list[Row]:
    """A cold push, then one node out of every prefix, both against the same lines by hand; medians over the pairs."""
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        Path(place).chmod(0o755)
        for number in range(pairs):
            folder = Path(place) / str(number)
            folder.mkdir()
            for what, seconds in {**_push_by_hand(folder, prefixes), **_push_ours(folder, prefixes)}.items():
                measured.setdefault(what, []).append(seconds)
    took = {what: median(times) for what, times in measured.items()}
    push, node = f"push {prefixes:,} x {HOPS} to FRR", f"one node out of {prefixes:,} prefixes"
    met = took["push"] / took["push by hand"] <= 1.2
    steps = "read, stage, commit, verify, confirm"
    return [
        Row(name, f"{push}: {steps}", took["push"], took["push by hand"], "<= 1.2", met),
        Row(name, f"{push}: the whole command", took["push, all"], took["push by hand"], "-", True),
        Row(name, f"{node}: {steps}", took["removal"], took["removal by hand"], "-", True),
        Row(name, f"{node}: the whole command", took["removal, all"], took["removal by hand"], "-", True),
    ]


def _push_by_hand(folder: Path, prefixes: int) -> dict[str, float]:
    adds = [[f"ip route {address(n)}/32 {hop(k)} tag {TAG}" for n in range(prefixes)] for k in range(HOPS)]
    removal = [f"no ip route {address(n)}/32 {hop(0)}" for n in range(prefixes)]
    with router(folder, "hand") as theirs:
        push = by_hand(theirs, adds)
        wait_complete(theirs, prefixes, HOPS)
        removed = by_hand(theirs, [[*removal, f"no ip route 10.96.0.0/12 {hop(0)}"]])
        wait_complete(theirs, prefixes, HOPS - 1)
    return {"push by hand": push, "removal by hand": removed}


def _push_ours(folder: Path, prefixes: int) -> dict[str, float]:
    with router(folder, "ours") as ours:
        settings = lay_out(folder / "site", cluster(prefixes, HOPS), host_of(ours))
        push_all, push = apply(settings)
        assert fib_complete(ours, prefixes, HOPS)
        write_cluster(folder / "site", cluster(prefixes, HOPS, gone=0))
        removal_all, removal = apply(settings)
        assert fib_complete(ours, prefixes, HOPS - 1)
    return {"push": push, "push, all": push_all, "removal": removal, "removal, all": removal_all}


def push_1k() -> list[Row]:
    """1,000 prefixes, five times each in turn."""
    return _push("push-1k", 1_000, 5)


def push_10k() -> list[Row]:
    """10,000 prefixes, once each."""
    return _push("push-10k", 10_000, 1)


def per_service(prefixes: int = 200) -> list[Row]:
    """Ours against a plain script: for each service, over one open SSH session, look, configure, look again."""
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        folder = Path(place)
        folder.chmod(0o755)
        with router(folder, "plain") as theirs:
            took_theirs = timed(lambda: _plain_script(theirs, prefixes))
            wait_complete(theirs, prefixes, HOPS)
        with router(folder, "ours") as ours:
            settings = lay_out(folder / "site", cluster(prefixes, HOPS), host_of(ours))
            took_ours, _ = apply(settings)
            assert fib_complete(ours, prefixes, HOPS)
    what = f"push {prefixes} x {HOPS} to FRR against one commit a service"
    return [Row("per-service", what, took_ours, took_theirs, "<= 0.1", took_ours / took_theirs <= 0.1)]


def _plain_script(made: FrrRouter, prefixes: int) -> None:
    """What one writes first: load, compare, commit and save for one service after the other, hop by hop."""
    import paramiko

    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    proxy = paramiko.ProxyCommand(" ".join([*made.netns.argv("socat", "-", "TCP:127.0.0.1:22")]))
    client.connect(made.name, username="root", key_filename=str(made.key_file), sock=proxy)

    def vtysh(*commands: str) -> str:
        words = " ".join(f"-c '{command}'" for command in commands)
        _, out, _ = client.exec_command(f"vtysh {words}")
        return out.read().decode()

    for number in range(prefixes):
        lines = [f"ip route {address(number)}/32 {hop(k)} tag {TAG}" for k in range(HOPS)]
        running = vtysh("show running-config")
        missing = [line for line in lines if line not in running]
        vtysh("configure terminal", *missing)
        if any(line not in vtysh("show running-config") for line in lines[:1]):
            raise AssertionError(f"{address(number)} was not configured")
        vtysh("write memory")
    client.close()

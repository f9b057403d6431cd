"""One reviewed change of three lines on 50 FRR routers: in waves and all at once, against one router.

Every router has zebra, staticd and sshd in namespaces of its own; all of them, and the command, share this machine's
cores, so what 50 routers compute at once is not in parallel as it would be in a network.

`python -m bench.rollout SETTINGS FILE.plan` applies a plan as the playbook does, and prints the seconds of each router.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.results import Row, median
from bench.site import TAG, cluster, hop, lay_out, write_cluster
from bench.startup import COMMAND
from k8s_ecmp.model import CommitResult
from tests.world.frr import FrrRouter, ManagementNetwork
from tests.world.netns import veth

ROUTERS = 50
NODES = 3
PAIRS = 3


class Applied(NamedTuple):
    """Seconds of one run from the start of its process to its end; and of each router, its check and its change."""

    total: float
    routers: dict[str, float]


@contextmanager
def routers(folder: Path, names: Sequence[str]) -> Iterator[tuple[ManagementNetwork, list[FrrRouter]]]:
    """Routers that know the nodes on an interface of their own and send the aggregate there already.

    They are reached by their addresses from within the management network.
    """
    aggregate = "\n".join(f"ip route 10.96.0.0/12 {hop(node)} tag {TAG}" for node in range(NODES))
    with ManagementNetwork() as network, ExitStack() as stack:
        made = [FrrRouter(name, folder, config=aggregate, management=network) for name in names]
        for router in made:
            stack.enter_context(router)
            veth(router.netns, "fabric", router.netns, "nodes", ["10.192.0.254/24"])
        yield network, made


def site(folder: Path, made: Sequence[FrrRouter], **rollout: int) -> Path:
    """A user's folder for these routers; returns its settings file."""
    hosts: dict[str, Any] = {
        router.name: {
            "hostname": router.address,
            "username": "netops",
            "platform": "frr",
            "connection_options": {"napalm": {"extras": {"timeout": 120, "optional_args": _login(router)}}},
        }
        for router in made
    }
    settings = lay_out(folder, cluster(0, NODES), hosts)
    content = yaml.safe_load(settings.read_text())
    settings.write_text(yaml.safe_dump({**content, "rollout": rollout}))
    return settings


def _login(router: FrrRouter) -> dict[str, Any]:
    return {name: value for name, value in router.ssh_options.items() if name != "ssh_config_file"}


def change(network: ManagementNetwork, settings: Path, services: int) -> Applied:
    """Plans the cluster with so many services, three lines more than before, and measures applying the file."""
    write_cluster(settings.parent, cluster(services, NODES))
    plan = settings.parent / "change.plan"
    _run(network, [COMMAND, "--config", str(settings), "plan", "--out", str(plan)], code=2)
    started = time.perf_counter()
    done = _run(network, [sys.executable, "-m", "bench.rollout", str(settings), str(plan)], code=0)
    return Applied(time.perf_counter() - started, json.loads(done))


def _run(network: ManagementNetwork, argv: Sequence[str], code: int) -> str:
    done = subprocess.run(
        network.argv(*argv), capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


class _Clock:
    """Adds up the seconds of each router from its first step to its last, over check and change."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def step(self, router: str, step: str) -> None:
        now = time.perf_counter()
        if step == "done":
            self.seconds[router] = self.seconds.get(router, 0) + now - self._began.pop(router)
        else:
            self._began.setdefault(router, now)

    def begins(self, waves: Sequence[Sequence[str]]) -> None: ...

    def wave(self, number: int) -> None: ...

    def ended(self, result: CommitResult) -> None: ...

    def pauses(self, routers: Sequence[str], seconds: float) -> None: ...


def apply_here(settings_file: Path, plan_file: Path) -> dict[str, float]:
    """Applies a plan file; the seconds of each router."""
    from k8s_ecmp import runs
    from k8s_ecmp.recording import recording
    from k8s_ecmp.routers.inventory import init_nornir
    from k8s_ecmp.routers.rollout import roll_out
    from k8s_ecmp.settings import load_settings

    settings = load_settings(settings_file)
    nornir = init_nornir(settings, settings_file.parent)
    plan, file = runs.reviewed(plan_file, settings)
    clock = _Clock()
    runs.check_current(nornir, settings, plan, progress=clock.step)
    with recording(settings, plan, file=file) as record:
        results = list(roll_out(nornir, settings, plan.routers, spectator=clock, record=record))
    assert all(result.outcome == "committed" for result in results), results
    return clock.seconds


def rollout_50() -> list[Row]:
    """Medians over the pairs: one router, 50 in waves of 10 after a canary, 50 at once."""
    single: list[float] = []
    waves: list[float] = []
    at_once: list[float] = []
    slowest: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        folder = Path(place)
        folder.chmod(0o755)
        names = ["one", *(f"r{number:02}" for number in range(ROUTERS))]
        with routers(folder, names) as (network, (one, *many)):
            alone = site(folder / "site-one", [one])
            waved = site(folder / "site-waves", many, canary=1, parallel=10)
            wide = site(folder / "site-wide", many, canary=1, parallel=ROUTERS)
            for pair in range(PAIRS):
                single.append(change(network, alone, pair + 1).total)
                waves.append(_whole(change(network, waved, 2 * pair + 1)).total)
                done = _whole(change(network, wide, 2 * pair + 2))
                at_once.append(done.total)
                slowest.append(max(done.routers.values()))
                print(f"  one {single[-1]:.2f} waves {waves[-1]:.2f} wide {at_once[-1]:.2f} slowest {slowest[-1]:.2f}")
    name, what = "rollout-50", f"3 lines on {ROUTERS} FRR routers"
    in_waves, once = median(waves) / median(single), median(at_once) / median(slowest)
    return [
        Row(name, f"{what}, canary 1, parallel 10, against one", median(waves), median(single), "<= 6", in_waves <= 6),
        Row(
            name,
            f"{what}, parallel 50, against the slowest of them",
            median(at_once),
            median(slowest),
            "<= 2",
            once <= 2,
        ),
    ]


def _whole(done: Applied) -> Applied:
    assert len(done.routers) == ROUTERS, done.routers
    return done


if __name__ == "__main__":
    json.dump(apply_here(Path(sys.argv[1]), Path(sys.argv[2])), sys.stdout)

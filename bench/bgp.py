"""Routes through ExaBGP into the kernel of a receiver: ours against ExaBGP driven by hand with the same blocks.

By hand nothing is kept on disk, nothing is read back, and nothing is said again when a session comes up.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.results import Row
from k8s_ecmp.bgp import lines
from k8s_ecmp.bgp.speaker import command, environment
from k8s_ecmp.memory import collect_rarely
from tests.world.bgp import SPEAKERS, BgpWorld, frr_config, services
from tests.world.bgp_machine import announcements
from tests.world.fib import FibHistory
from tests.world.netns import Namespace, wait_for

PREFIXES = [f"10.97.{number // 250}.{number % 250 + 1}/32" for number in range(10_000)]
HOPS = [f"10.9.0.{number}" for number in range(101, 117)]
_WITHIN_S = 600.0
_PAIRS = 3


@contextmanager
def _world(receiver: str) -> Iterator[tuple[BgpWorld, Namespace]]:
    with tempfile.TemporaryDirectory() as folder, BgpWorld(Path(folder)) as world:
        made = world.add_frr("edge", 2, frr_config()) if receiver == "frr" else world.add_bird("edge", 2)
        yield world, made.netns


def _complete(kernel: FibHistory, prefixes: int) -> float:
    """When the last of the prefixes had all of its next hops, in seconds of the monotonic clock."""
    goal = frozenset(HOPS)

    def done() -> bool:
        found = services(kernel)
        return len(found) == prefixes and all(hops == goal for hops in found.values())

    wait_for(done, f"{prefixes} prefixes are complete", _WITHIN_S, 0.5)
    return max(kernel.samples(prefix)[-1].at for prefix in PREFIXES[:prefixes])


def _ours(prefixes: int) -> tuple[float, float]:
    """Seconds from the first command to the last route in the kernel; and the memory of ExaBGP and bridge, in MB."""
    collect_rarely()  # as the command line does
    with _world("frr") as (world, netns), FibHistory(netns) as kernel:
        world.start()
        with world.driver("edge", _WITHIN_S) as peer:
            commands = "\n".join(line for prefix in PREFIXES[:prefixes] for line in announcements(prefix, HOPS))
            began = time.monotonic()
            peer.load_merge_candidate(config=commands)
            peer.commit_config()
            seconds = _complete(kernel, prefixes) - began
            return seconds, sum(_rss_mb(pid) for pid in world.pids())


def _by_hand(prefixes: int) -> float:
    with _world("frr") as (world, netns), FibHistory(netns) as kernel:
        world.cli("bgp", "config", "--write")
        file, go = world.folder / "lines", world.folder / "go"
        routes = {prefix: dict(enumerate(HOPS, 1)) for prefix in PREFIXES[:prefixes]}
        selector = f"neighbor 10.9.0.2 local-ip {SPEAKERS[0]}"
        file.write_text("".join(f"{line}\n" for line in lines.announcements(selector, "", routes)))
        script = Path(__file__).with_name("bgp_by_hand.py")
        config = world.exabgp_folder / "exabgp.conf"
        text = config.read_text()
        old = next(line for line in text.splitlines() if line.strip().startswith("run "))
        text = text.replace(old, f"    run {sys.executable} {script} {file} {go};")
        config.write_text(text.replace("manual-eor true;", ""))
        with (world.folder / "exabgp.log").open("wb") as log:
            process = world.speaker.popen(*command(world.exabgp_folder), env=environment(), stdout=log, stderr=log)
        try:
            wait_for(lambda: _established(netns), "the session is up", 60)
            time.sleep(1)
            began = time.monotonic()
            go.touch()
            return _complete(kernel, prefixes) - began
        finally:
            process.kill()
            process.wait()


def _established(netns: Namespace) -> bool:
    return bool(netns.run("ss", "-tnH", "state", "established", "( sport = :179 or dport = :179 )").strip())


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def push_10k() -> list[Row]:
    """In turns, for others load the machine; by hand ExaBGP is started in the same way."""
    pairs = [(_by_hand(len(PREFIXES)), *_ours(len(PREFIXES))) for _ in range(_PAIRS)]
    theirs, ours, memory = map(statistics.median, zip(*pairs, strict=True))
    return [
        Row("bgp-10k", "ExaBGP, 10,000 x 16 to FRR", ours, theirs, "<= 1.2 x by hand", ours <= 1.2 * theirs),
        Row("bgp-10k", "ExaBGP and bridge, memory at 160,000 paths", memory, None, "<= 600 MB", memory <= 600, "MB"),
    ]


def single_change() -> list[Row]:
    """One next hop of one of 1,000 prefixes comes and goes, to the kernel of the receiver."""
    return [
        Row("bgp-change", f"one change through ExaBGP to {name}", seconds, None, target, seconds <= most)
        for name, receiver, target, most in (("FRR", "frr", "<= 0.1 s", 0.1), ("BIRD", "bird", "<= 0.02 s", 0.02))
        for seconds in [_change(receiver)]
    ]


def _change(receiver: str) -> float:
    with _world(receiver) as (world, netns), FibHistory(netns) as kernel:
        world.start()
        world.announce("edge", dict.fromkeys(PREFIXES[:1000], HOPS[:3]))
        wait_for(lambda: len(services(kernel)) == 1000, "the routes are there", 120)
        prefix, more = PREFIXES[500], HOPS[3]
        (comes,) = announcements(prefix, [more])
        goes = f"withdraw route {prefix} next-hop {more}"
        times = []
        with world.driver("edge", _WITHIN_S) as peer:
            for line, hops in ((comes, HOPS[:4]), (goes, HOPS[:3])) * 15:
                peer.load_merge_candidate(config=line)
                began = time.monotonic()
                peer.commit_config()
                times.append(kernel.await_hops(prefix, hops).at - began)
        return statistics.median(times)

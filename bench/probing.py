"""A node dies without a word: from the cut of its link to the kernels of two FRR routers, by probes alone.

A whole control plane with real kube-proxies; Kubernetes itself notes a silent node after 40 s.
"""

import tempfile
import time
from pathlib import Path

from bench.results import Row, median
from tests.daemon.following import following
from tests.world.live import Live, topology

_DEATHS = 7
_PROBE = {"nodes": {"probe": {"enabled": True, "interval_s": 1, "failures": 3}, "hold_up_s": 1}}


def dead_node() -> list[Row]:
    """The moment within the probes' interval is another each time: the return of the node takes its own time."""
    found: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        folder = Path(place)
        folder.chmod(0o755)
        with Live(topology(nodes=4, routers=2), folder) as live, following(live, _PROBE) as scene:
            ips = live.add_local("default/web", "n1", "n2")
            whole = scene.ranges() | scene.over(ips, "n1", "n2")
            without = scene.ranges("n2", "n3", "n4") | scene.over(ips, "n2")
            for _ in range(_DEATHS):
                scene.await_exactly(whole, timeout=30)
                since = time.monotonic()
                live.cut("n1")
                scene.await_exactly(without)
                found.append(max(fib.samples(prefix, since)[-1].at for fib in scene.fibs for prefix in whole) - since)
                live.mend("n1")
    what = "a dead node, probed each second, to the FIB of two routers"
    return [
        Row("dead-node", f"{what}: median of {_DEATHS}", median(found), None, "<= 3 s", median(found) <= 3),
        Row("dead-node", f"{what}: the slowest", max(found), None, "<= 3 s", max(found) <= 3),
    ]

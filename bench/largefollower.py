"""Follows the large cluster in one process, from the API server's bytes to the desired routes, and says how it stands.

    python -m bench.largefollower KUBECONFIG MARKER

It prints a line of JSON when its modules are loaded, one when everything is desired for the first time, and one when an
object has gone whose name begins with MARKER. It loads nothing that a daemon would not, since its memory is measured; a
daemon loads more, for routers, health and logs: `bench.largedaemon`.
Every change is decided on its own: what the daemon decides together is not counted on here.
"""

import json
import queue
import sys
import time
from pathlib import Path

from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.kube.follow import Follow
from k8s_ecmp.kube.updates import Gone, Update
from k8s_ecmp.memory import keep, put_off
from k8s_ecmp.settings import ClusterSettings, NodeSettings, ServiceSettings, Settings


def main() -> None:
    kubeconfig, marker = sys.argv[1:]
    put_off()  # as the daemon does
    _say(loaded=True)
    settings = Settings(
        owner="bench",
        tag=4201,
        cluster=ClusterSettings(kubeconfig=kubeconfig),
        nodes=NodeSettings(hold_down_s=0, hold_up_s=0),
        services=ServiceSettings(add_delay_s=0),
    )
    updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
    decision = Decision(settings, Clock())
    follow = Follow(settings.cluster, updates.put)
    follow.start()
    while not decision.complete:
        decision.tell([updates.get()])
    keep()
    _say(routes=len(decision.snapshot(None).desired.routes))
    while True:
        update = updates.get()
        decision.tell([update])
        if isinstance(update, Gone) and update.key.rpartition("/")[2].startswith(marker):
            _say(marker=update.key)


def _say(**what: object) -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    rss, peak = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    print(json.dumps({"at": time.monotonic(), "rss_mb": rss, "peak_mb": peak, **what}), flush=True)


if __name__ == "__main__":
    main()

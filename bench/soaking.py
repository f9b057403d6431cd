"""A whole daemon in one process that is told a day of events as fast as it can take them; the router is a file.

    python -m bench.soaking FOLDER EVENTS

Only the API server is left out: a `Story` tells what the watches would. It prints a line of JSON every hundredth of the
way, and at the end one with what of the router's routes is not as decided.
"""

import json
import sys
import threading
import time
from pathlib import Path

import yaml

from bench.story import Story
from k8s_ecmp.daemon.logs import configure
from k8s_ecmp.daemon.service import Daemon
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.settings import load_settings

_NODES, _SERVICES = 40, 400
_STEP = 500  # events between two commits
_COMMITTED_S = 5.0
_SETTLED_S = 60.0


class _Source:
    """Stands where the watches are."""

    server = "story"

    def __init__(self, daemon: Daemon, router: Path, count: int) -> None:
        self._daemon = daemon
        self._router = router
        self._count = count
        self._thread = threading.Thread(target=self._run, name="story", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, _: float = 0) -> bool:
        return True

    def _run(self) -> None:
        try:
            self._tell()
        finally:
            self._daemon._loop.stop()

    def _tell(self) -> None:
        story = Story(_NODES, _SERVICES)
        tell = self._daemon._loop.tell
        for update in story.beginning():
            tell(update)
        self._await_routes()
        said = 0
        for told, update in enumerate(story.events(self._count), 1):
            tell(update)
            if told % _STEP == 0:
                self._await_commit()
            if told * 100 // self._count > said:
                said += 1
                self._say(events=told)
        for update in story.calm():
            tell(update)
        self._say(wrong=self._await_routes(), prefixes=len(self._daemon._decision.snapshot(None).desired.routes))

    def _await_commit(self) -> None:
        """Returns when the router was written to once more."""
        before, deadline = self._commits(), time.monotonic() + _COMMITTED_S
        while self._commits() == before and time.monotonic() < deadline:
            time.sleep(0.002)

    def _await_routes(self) -> list[str]:
        """Prefixes that are not as decided once nothing changes any more."""
        deadline = time.monotonic() + _SETTLED_S
        while (wrong := self._wrong()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return wrong

    def _wrong(self) -> list[str]:
        desired = self._daemon._decision.snapshot(None).desired
        wanted = {str(route.prefix): frozenset(route.next_hops) for route in desired.routes}
        running = get_platform("frr").parse(self._router.read_text())
        found = {str(route.prefix): frozenset(hop.address for hop in route.next_hops) for route in running}
        return sorted(prefix for prefix in wanted.keys() | found.keys() if wanted.get(prefix) != found.get(prefix))

    def _say(self, **what: object) -> None:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        rss = int(status["VmRSS"].split()[0]) / 1024
        print(json.dumps({"at": time.monotonic(), "rss_mb": rss, "commits": self._commits(), **what}), flush=True)

    def _commits(self) -> int:
        return sum(router.commits for router in self._daemon.report().routers)


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    router = folder / "edge1.cfg"
    router.write_text("hostname edge1\n!\n")
    (folder / "inventory").mkdir()
    options = {"syntax": "frr", "path": str(router)}
    host = {"platform": "file", "connection_options": {"napalm": {"extras": {"optional_args": options}}}}
    (folder / "inventory/hosts.yaml").write_text(yaml.safe_dump({"edge1": host}))
    # A file in the cluster's place, so that nobody looks for a kubeconfig; it is never read.
    (folder / "cluster.json").write_text('{"kind": "List", "apiVersion": "v1", "items": []}')
    document = {
        "owner": "bench",
        "tag": 4201,
        "cluster": {"source": "cluster.json"},
        "inventory": "inventory",
        "services": {"add_delay_s": 0},
        "nodes": {"hold_down_s": 0, "hold_up_s": 0},
        "guards": {"max_withdrawn_fraction": 1, "max_not_ready_fraction": 1},
        "daemon": {"listen": None, "coalesce_s": 0},  # as many commits as there can be
        "journal": str(folder / "journal.sqlite"),
    }
    (folder / "k8s-ecmp.yaml").write_text(yaml.safe_dump(document))
    log = configure("info")
    daemon = Daemon(load_settings(folder / "k8s-ecmp.yaml"), folder)
    daemon._source = _Source(daemon, router, count)  # type: ignore[assignment]
    daemon.run()
    log.stop()


if __name__ == "__main__":
    main()

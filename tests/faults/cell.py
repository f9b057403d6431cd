"""One cell of the matrix: a router in its old state, a reviewed plan, and what became of both."""

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.disk import SmallDisk
from tests.faults.invariants import Ended, Review, agreement, gaps, unsettled
from tests.faults.routers import Router
from tests.faults.stepped import Stepped
from tests.faults.watch import GONE, Seen
from tests.site import COMMAND, Outcome, Site, new_site
from tests.world.clock import Clock

_OLD_ADDRESS, _NEW_ADDRESS = "198.51.100.11", "198.51.100.10"
CREATED = f"{_NEW_ADDRESS}/32"


class Prepared:
    """What all cells of a router begin with: its old and its new configuration and the plan between them.

    In the plan node3 leaves and node2 comes at every prefix, where node1 stays; a host route goes and another comes.
    """

    def __init__(self, router: Router, folder: Path) -> None:
        self.router = router
        self.site = new_site(folder / "site")
        self.clock = Clock(folder)
        inventory(self.site, router)
        self._old_cluster()
        _expect(self.site.run("apply", "--yes"), 0)
        self.old = router.running()
        self._new_cluster()
        plan = self.site.folder / "reviewed.plan"
        _expect(self.site.run("plan", "--out", str(plan)), 2)
        self.review = Review.read(plan)
        _expect(self.site.run("apply", str(plan)), 0)
        self.new = router.running()
        for path in self.site.folder.glob("journal.*"):
            path.unlink()

    def _old_cluster(self) -> None:
        def edit(cluster: Any) -> None:
            cluster["items"] = [item for item in cluster["items"] if not item["metadata"]["name"].startswith("cart")]
            for item in cluster["items"]:
                if item["metadata"]["name"] == "web":
                    item["spec"]["externalIPs"] = [_OLD_ADDRESS]

        self.site.edit("cluster.yaml", edit)
        self.site.not_ready("node2")

    def _new_cluster(self) -> None:
        path = self.site.folder / "cluster.yaml"
        path.write_text(path.read_text().replace(_OLD_ADDRESS, _NEW_ADDRESS))
        self.site.node("node2", lambda item: item["status"]["conditions"][1].update(status="True"))
        self.site.not_ready("node3")


@dataclass
class Cell:
    """`with cell.begun():` around the fault. What the fault says goes into `done` and `problems`."""

    prepared: Prepared
    folder: Path
    seen: Seen = field(init=False)
    done: Outcome | None = None
    """What the run whose fault it is ended with; None: it was killed."""
    problems: list[str] = field(default_factory=list)
    typed: dict[str, str] = field(default_factory=dict)
    """Lines that somebody else typed, by prefix."""
    left: Sequence[str] = ()
    """What was not settled on the router when the fault was over."""
    ended: Ended = "old"
    _around: Sequence[str] = ()

    def __post_init__(self) -> None:
        shutil.copytree(self.prepared.site.folder, self.folder / "site")
        self.site = Site(self.folder / "site")
        self.plan = str(self.site.folder / "reviewed.plan")
        self.router = self.prepared.router
        self.router.restore(self.prepared.old)
        inventory(self.site, self.router)

    # --- what faults do ---

    def run(self, *arguments: str, site: Site | None = None) -> Outcome:
        """The command in a process of its own."""
        words = [*self._around, *COMMAND, "--config", str((site or self.site).folder / "k8s-ecmp.yaml")]
        done = subprocess.run(
            [*words, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def apply(self) -> None:
        """The reviewed plan, at one go."""
        self.done = self.run("apply", self.plan)

    @contextmanager
    def stepped(self, environment: dict[str, str] | None = None) -> Iterator[Stepped]:
        """The reviewed plan, step by step."""
        words = ["--config", str(self.site.folder / "k8s-ecmp.yaml"), "apply", self.plan]
        with Stepped(words, self.folder, self._around, environment) as run:
            yield run

    @contextmanager
    def small_disk(self, folder: Path) -> Iterator[SmallDisk]:
        """A small file system on the folder, for all commands meanwhile."""
        with SmallDisk(folder) as disk:
            self._around = disk.around
            try:
                yield disk
            finally:
                self._around = ()

    def type(self, prefix: str, hop: str = "10.192.0.77") -> None:
        """Somebody types a route of their own."""
        self.typed[prefix] = f"ip route {prefix} {hop}"
        self.router.type(self.typed[prefix])

    def claim(self, true: bool, text: str) -> None:
        """Notes a problem where it is not true."""
        if not true:
            self.problems.append(text)

    def ends(self, ended: Ended | Collection[Ended], *codes: int | None) -> None:
        """How it has to have ended, with which exit codes (None: killed)."""
        self._wanted = ({ended} if isinstance(ended, str) else {*ended}), codes

    # --- what is looked at ---

    @contextmanager
    def watched(self) -> Iterator[None]:
        with self.router.watched() as self.seen:
            yield
            self.left = self.router.unsettled()
            self.router.settle()

    def look(self) -> None:
        """Holds router, report and journal against one another, after the fault."""
        table = self.router.table()
        self.ended = self.prepared.review.ended(table, self.typed)
        blind = [
            prefix for prefix in self.prepared.review.before if self.seen.of(prefix)[-1] != table.get(prefix, GONE)
        ]
        self.claim(not blind, f"the watch did not see what {', '.join(blind)} came to")
        self.problems += gaps(self.prepared.review, self.seen, self.typed)
        listed = self.site.run_here("history", "--format", "json")
        rows = listed.json()["entries"] if listed.code == 0 else []
        whole = self.site.run_here("history", "check") if listed.code == 0 else Outcome(0, "", "")
        self.problems += agreement(self.ended, self.done, rows, whole)
        self.problems += unsettled(self.left, self.done)
        code = None if self.done is None else self.done.code
        ended, codes = self._wanted
        said = "" if self.done is None else f": {self.done.out}{self.done.err}"
        self.claim(self.ended in ended, f"ended {self.ended} instead of {' or '.join(sorted(ended))}{said}")
        self.claim(code in codes, f"exit {code} instead of {codes}{said}")
        for prefix, line in self.typed.items():
            kept = line.split()[-1] in table.get(prefix, ())
            self.claim(kept, f"the route that somebody typed at {prefix} is gone")
        if not self.typed and self.ended != "part":
            wanted = self.prepared.old if self.ended == "old" else self.prepared.new
            self.claim(_lines(self.router.running()) == _lines(wanted), "the configuration differs in other lines")

    def heal(self) -> None:
        """What the next clean run makes of it."""
        for line in self.typed.values():
            self.router.type(f"no {line}")
        self.site.settings(rollout={})
        plan = str(self.site.folder / "healing.plan")
        planned = self.site.run_here("plan", "--out", plan)
        if planned.code == 2:
            applied = self.site.run_here("apply", plan)
            self.claim(applied.code == 0, f"the next apply exits with {applied.code}: {applied.out}{applied.err}")
        else:
            self.claim(planned.code == 0, f"the next plan exits with {planned.code}: {planned.out}{planned.err}")
        again = self.site.run_here("plan")
        self.claim(again.code == 0, f"the plan after healing exits with {again.code}: {again.out}{again.err}")
        self.claim(_lines(self.router.running()) == _lines(self.prepared.new), "the healed configuration is another")
        self.problems += unsettled(self.router.unsettled(), again)


def inventory(site: Site, router: Router) -> None:
    """The router alone."""
    site.hosts(r1=router.host())


def _lines(text: str) -> list[str]:
    return sorted(line for line in text.splitlines() if not re.match(r"!|Current configuration", line))


def _expect(done: Outcome, code: int) -> None:
    if done.code != code:
        raise AssertionError(f"exit {done.code} instead of {code}: {done.out}{done.err}")

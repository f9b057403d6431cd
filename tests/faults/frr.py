"""The matrix's FRR router: zebra, staticd and sshd in namespaces, watched in its kernel."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.faults.routers import AFTER_COMMIT, BEFORE_COMMIT, Router, configured
from tests.faults.stepped import Stepped
from tests.faults.watch import Hops, Poller, Seen, Table
from tests.world.edge import FOREIGN, LINKS
from tests.world.emulators.base import Drop
from tests.world.fib import FibHistory
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

_ROUTE = re.compile(r"^ip(?:v6)? route .*$", re.MULTILINE)


class _KernelSeen(Seen):
    """The states of a prefix as the kernel told them, one by one."""

    def __init__(self, fib: FibHistory) -> None:
        super().__init__(fib.table())
        self._fib = fib

    def of(self, prefix: str) -> list[Hops]:
        return [sample.hops for sample in self._fib.samples(prefix)][1:] or [frozenset()]

    def prefixes(self) -> set[str]:
        return {*super().prefixes(), *self._fib.table()}


class Frr(Router):
    """A real one."""

    name, timer, lock = "frr", True, True

    def __init__(self, router: FrrRouter) -> None:
        self.router = router

    def host(self) -> dict[str, Any]:
        return self.router.host()

    def running(self) -> str:
        return self.router.running_config()

    def table(self) -> Table:
        with FibHistory(self.router.netns) as fib:
            return fib.kernel()

    def restore(self, running: str) -> None:
        self.settle()
        now, then = (_ROUTE.findall(text) for text in (self.running(), running))
        lines = [f"no {line}" for line in now if line not in then] + [line for line in then if line not in now]
        if lines:
            self.router.configure("\n".join(lines))

    def type(self, line: str) -> None:
        self.router.configure(line)

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        with FibHistory(self.router.netns) as fib:
            seen = _KernelSeen(fib)
            poller = Poller(seen, fib.table)
            try:
                yield seen
            finally:
                poller.stop()
                wait_for(lambda: fib.kernel() == fib.table(), "what the kernel told is what it has")

    @contextmanager
    def down(self) -> Iterator[None]:
        self.router.kill_sshd()
        try:
            yield
        finally:
            self.router.start_sshd()

    def cut(self, run: Stepped, moment: Drop, seen: Seen) -> None:
        run.until(AFTER_COMMIT if moment == "after-commit" else BEFORE_COMMIT)
        if moment == "in-commit":
            restarted = threading.Event()

            def restart() -> None:
                self._restart_sshd()
                restarted.set()

            seen.at_next_change(restart)
            run.stands()  # the commit has ended at the latest, seen or not
            wait_for(restarted.is_set, "the session is cut")
        else:
            self._restart_sshd()
        run.finish()

    def _restart_sshd(self) -> None:
        self.router.kill_sshd()
        self.router.start_sshd()

    @contextmanager
    def held(self) -> Iterator[None]:
        driver = FrrDriver(**self.router.login())
        driver.open()
        try:
            driver.load_merge_candidate(config="")
            yield
        finally:
            driver.close()

    @contextmanager
    def not_installing(self, prefix: str) -> Iterator[None]:
        """A connected route wins over ours."""
        self.router.ip("address add", prefix, "dev uplink")
        try:
            wait_for(lambda: '"connected"' in self.router.vtysh(f"show ip route {prefix} json"), "the connected route")
            yield
        finally:
            self.router.ip("address del", prefix, "dev uplink")

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        used_kb = int(self.router.run("df", "-k", "--output=used", "/run").split()[1])
        self.router.run("mount", "-o", f"remount,size={used_kb + 4}k", "/run")
        self.router.run("sh", "-c", "cat /dev/zero >/run/fill", check=False)
        try:
            yield
        finally:
            self.router.run("rm", "/run/fill")
            self.router.run("mount", "-o", "remount,size=64m", "/run")

    def unsettled(self) -> list[str]:
        left = "ls /run/k8s-ecmp | grep -E '^(pending|reverting|tx.applying|tx.undoing)[.]'"
        return [f"the file {name}" for name in self.router.run("sh", "-c", left, check=False).split()]

    def settle(self) -> None:
        def settled() -> bool:
            return not self.router.end_timers() and not self.unsettled() and not self.router.locked()

        wait_for(settled, f"{self.router.name} has no change pending", timeout=60, interval=0.05)
        wait_for(self._forwards_as_configured, f"the kernel of {self.router.name} has what is configured")

    def _forwards_as_configured(self) -> bool:
        """vtysh is done when staticd has the lines; zebra gives them to the kernel after that."""
        wanted = {prefix: hops for prefix, hops in configured(self.running()).items() if " " not in prefix}
        return self.table() == wanted


def router(folder: Path) -> FrrRouter:
    """Not started yet."""
    return FrrRouter("r1", folder, links=LINKS, config=FOREIGN)

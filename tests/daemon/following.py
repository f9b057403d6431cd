"""A daemon that follows a live world, and the routes that the kernels of its routers must have."""

import contextlib
import ipaddress
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.world.daemon import Daemon
from tests.world.fib import FibHistory, Hops, histories, steps
from tests.world.live import Live

Table = dict[str, Hops]

MANY = 20
_ASKED = os.environ.get("K8S_ECMP_CHAOS")
# `make chaos` repeats every disturbance so often that a rare fault shows; other runs see whether it works at all.
TIMES = int(_ASKED or "3")


def times(otherwise: int) -> int:
    """`TIMES` where K8S_ECMP_CHAOS asks for it, and `otherwise` where not, for what takes long."""
    return TIMES if _ASKED else otherwise


# A Lease whose times a test can wait for.
SHORT_LEASE = {"daemon": {"lease": {"duration_s": 4, "renew_deadline_s": 3, "retry_s": 0.5}}}


@dataclass(frozen=True)
class Following:
    """What a test works with."""

    live: Live
    daemon: Daemon
    fibs: list[FibHistory]

    @property
    def fib(self) -> FibHistory:
        """Of the first router."""
        return self.fibs[0]

    def over(self, prefixes: Iterable[str], *nodes: str) -> Table:
        """Prefixes or addresses of both families, routed to the nodes (all, when none is named)."""
        networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
        return {str(network): self.live.addresses(network.version, *nodes) for network in networks}

    def ranges(self, *nodes: str) -> Table:
        """The service CIDRs over the nodes."""
        return self.over(self.live.topology.service_cidrs, *nodes)

    def await_exactly(self, *tables: Table, timeout: float = 60) -> None:
        """Returns when the tables together are all that every router's kernel has."""
        wanted = {prefix: hops for table in tables for prefix, hops in table.items()}
        for fib in self.fibs:
            try:
                fib.await_exactly(wanted, timeout)
            except TimeoutError as error:
                raise TimeoutError(f"{error}\nthe daemon says:\n{self.daemon.tail()}") from error

    def change(self, act: Any, old: Table, new: Table, timeout: float = 60) -> None:
        """Does something that turns the table `old` into `new`, and sees nothing but these and their union meanwhile."""
        self.await_exactly(old)
        since = time.monotonic()
        act()
        self.await_exactly(new, timeout=timeout)
        self.assert_only(between(old, new), since)

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """The daemon can neither watch nor read up what is done in here: only a new list can show it.

        It stands still, its watches are dead before anything happens, and the history is lost afterwards.
        """
        api = self.live.api
        with self.daemon.paused():
            api.kill("kube-apiserver")
            api.start_again("kube-apiserver")
            yield
            api.compact()
            api.kill("kube-apiserver")
            api.start_again("kube-apiserver")  # its cache of changes begins now

    def assert_only(self, allowed: Mapping[str, Collection[Hops]], since: float) -> None:
        """No router has had another state since then."""
        for fib in self.fibs:
            fib.assert_only(allowed, since)


def between(old: Table, new: Table) -> dict[str, set[Hops]]:
    """Every state that the prefixes may have on the way from one table to another."""
    nothing: Hops = frozenset()
    return {prefix: steps(old.get(prefix, nothing), new.get(prefix, nothing)) for prefix in old.keys() | new.keys()}


@contextlib.contextmanager
def following(
    live: Live,
    settings: Mapping[str, Any] | None = None,
    *,
    restart_proxies: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Following]:
    """A daemon that is ready; afterwards it ends in order, and the world is as before."""
    daemon = Daemon(live, settings, environment=environment)
    try:
        with histories(*(router.netns for router in live.routers.values())) as fibs, daemon:
            daemon.await_ready()
            scene = Following(live, daemon, fibs)
            yield scene
            if daemon.exit_code is None:
                assert daemon.stop() == 0, daemon.tail()
    finally:
        live.restore(proxies=restart_proxies)
        live.clear_routes()

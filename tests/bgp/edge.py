"""What most tests here stand on: one receiver, an FRR with the name edge, and what the usual cluster asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.world import bgp
from tests.world.bgp import BgpWorld, frr_config
from tests.world.bgp_machine import Table
from tests.world.fib import FibHistory
from tests.world.frr import FrrRouter


class Edge(BgpWorld):
    """`kernel` is the receiver's table, where a fixture watches it."""

    frr: FrrRouter
    kernel: FibHistory


def nodes(*numbers: int) -> Table:
    """The service ranges, to these nodes."""
    return {
        "10.96.0.0/12": frozenset(f"10.9.0.{100 + number}" for number in numbers),
        "fd00:96::/112": frozenset(f"fd09::{100 + number}" for number in numbers),
    }


WANTED = nodes(1, 2, 3)
NODES4, NODES6 = (sorted(hops) for hops in WANTED.values())


@contextmanager
def started(
    folder: Path, config: str | None = None, settings: dict[str, Any] | None = None, **keys: Any
) -> Iterator[Edge]:
    """The session is up, nothing is announced.

    Args:
        folder: of its files.
        config: of the router's bgpd, instead of the usual one.
        settings: sections of the settings file.
        keys: of data.k8s_ecmp.bgp.
    """
    require()
    with Edge(folder) as world:
        world.frr = world.add_frr("edge", 2, config or frr_config(), **keys)
        world.write_settings(**settings or {})
        world.start()
        yield world


def require(*programs: str) -> None:
    """Skips the test where these programs, or those of every such world, are missing."""
    if reason := bgp.missing(*programs):
        pytest.skip(reason)

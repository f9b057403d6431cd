"""What a receiver hears when a session comes up: everything, and everything once.

ExaBGP repeats what it knows by itself, and the bridge says everything to ExaBGP, which may have been started anew. Counted
in IPv6, where ExaBGP puts one path into an update; the end-of-RIB of each family is an update, too.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bgp.edge import Edge, started
from tests.world.bgp import SPEAKERS, await_services
from tests.world.fib import FibHistory
from tests.world.netns import wait_for

pytestmark = pytest.mark.world

HOPS = ["fd09::101", "fd09::102"]
FAMILIES = 2


def heard(world: Edge) -> tuple[int, int]:
    """How many updates the receiver has had from ExaBGP, and how often the session came up."""
    neighbor = json.loads(world.frr.vtysh(f"show bgp neighbors {SPEAKERS[0]} json"))[SPEAKERS[0]]
    return neighbor["messageStats"]["updatesRecv"], neighbor["connectionsEstablished"]


def test_a_session_that_comes_up_is_told_everything_once(tmp_path: Path) -> None:
    prefixes = [f"fd00:96::{number:x}/128" for number in range(1, 1001)]
    with started(tmp_path) as world, FibHistory(world.frr.netns) as kernel:
        world.announce("edge", dict.fromkeys(prefixes, HOPS))
        await_services(kernel, dict.fromkeys(prefixes, HOPS))

        def told(come_up: Callable[[], object]) -> int:
            """Updates of a session that comes up, and of one prefix that is announced behind all of it."""
            before, ups = heard(world)
            come_up()
            wait_for(lambda: heard(world)[1] > ups, "the session is new", 180)
            world.await_up()
            last = f"fd00:96::{len(prefixes) + 1:x}/128"
            world.announce("edge", {last: HOPS})
            prefixes.append(last)
            await_services(kernel, dict.fromkeys(prefixes, HOPS))
            return heard(world)[0] - before

        assert told(lambda: world.frr.vtysh("clear bgp *")) == 1001 * len(HOPS) + FAMILIES
        assert told(world.kill_exabgp) == 1002 * len(HOPS) + FAMILIES
        world.stop()
        assert told(world.start) == 1003 * len(HOPS) + FAMILIES

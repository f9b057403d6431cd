"""The receivers' configurations of the guide, as they stand there, on the real daemons."""

import re
from collections.abc import Iterator

import pytest

from tests.bgp.edge import NODES4, WANTED, require
from tests.site import REPO
from tests.world.bgp import SPEAKERS, BgpWorld, Daemon, await_services, gobgp_table
from tests.world.fib import FibHistory
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = pytest.mark.world

GUIDE = (REPO / "docs/guides/bgp-receivers.md").read_text()


class Receivers(BgpWorld):
    """One of each kind that runs here."""

    frr: FrrRouter
    bird: Daemon
    gobgp: Daemon


def block(heading: str) -> str:
    """The first code block behind a heading of the guide."""
    found = re.search(rf"^{heading}.*?```\n(.*?)```", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    require("bird", "gobgpd", "gobgp")
    folder = tmp_path_factory.mktemp("world")
    key = folder / "key"
    key.write_text("KEY\n")
    key.chmod(0o600)
    with Receivers(folder) as world:
        world.frr = world.add_frr("frr", 1, block("FRR"), password_file=str(key), ttl_security=True)
        bird = block("BIRD").replace("10.9.0.1 ", "10.9.0.2 ")
        world.bird = world.add_bird(
            "bird", 2, config=f"router id 10.9.0.2;\nprotocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}\n{bird}"
        )
        gobgp = block("GoBGP").replace('"10.9.0.1"', '"10.9.0.3"')
        world.gobgp = world.add_gobgp("gobgp", 3, config=gobgp, password_file=str(key), ttl_security=True)
        world.start()
        yield world


@pytest.mark.parametrize("name", ["frr", "bird", "gobgp"])
def test_it_takes_the_service_ranges_and_nothing_else(world: Receivers, name: str) -> None:
    world.write_cluster()
    world.cli("apply", "--yes", "--router", name)
    world.announce(name, dict.fromkeys(("10.200.0.0/16", "0.0.0.0/0", "10.97.0.7/32"), NODES4[:1]))
    wanted = {**WANTED, "10.97.0.7/32": frozenset(NODES4[:1])}
    if name == "gobgp":
        wait_for(lambda: gobgp_table(world.gobgp) == wanted, "GoBGP has taken what it may", 180)
        return
    with FibHistory(world.frr.netns if name == "frr" else world.bird.netns) as kernel:
        await_services(kernel, wanted)
    assert SPEAKERS[0] in GUIDE

"""Address families that the inventory does not name, or that the router has not activated: nothing of them is said to
be announced.
"""

from pathlib import Path

import pytest

from tests.bgp.edge import NODES4, require
from tests.world.bgp import SPEAKERS, BgpWorld, await_services, frr_config
from tests.world.fib import FibHistory

pytestmark = pytest.mark.world

WANTED = {"10.96.0.0/12": NODES4}


def test_only_what_a_session_carries_is_announced(tmp_path: Path) -> None:
    require()
    with BgpWorld(tmp_path) as world:
        one = world.add_frr("one", 2, frr_config(), families=["ipv4"], read_receiver=True)
        without, _, _ = frr_config(SPEAKERS[:3]).partition(" address-family ipv6 unicast")
        several = world.add_frr("several", 3, without, local_addresses=list(SPEAKERS[:3]))
        world.start()
        planned = {router["name"]: router for router in world.plan(code=None)["routers"]}
        assert [change["prefix"] for change in planned["one"]["changes"]] == ["10.96.0.0/12"]
        reasons = [skip["reason"] for skip in world.plan(code=None)["skipped"] if skip["object"] == "router one"]
        assert reasons == ["fd00:96::/112 is not announced: the router's bgp.families has no ipv6"]
        (conflict,) = planned["several"]["conflicts"]
        assert conflict["prefix"] == "fd00:96::/112"
        assert "10.9.0.3 has not activated ipv6 unicast" in conflict["reason"]
        assert "bgp.families" in conflict["reason"]

        world.cli("apply", "--yes", code=None)
        for name, router in (("one", one), ("several", several)):
            assert set(world.announced(name)) == set(WANTED)
            with FibHistory(router.netns) as kernel:
                await_services(kernel, WANTED)
        assert "one in sync 1 owned prefix" in " ".join(world.cli("verify", "--router", "one").stdout.split())
        said = " ".join(world.cli("verify", code=2).stdout.split())
        assert "has not activated ipv6 unicast" in said
        assert "has not activated ipv6 unicast" in world.cli("bgp", "status", code=1).stdout
        assert "is not configured on neighbor" not in (world.folder / "exabgp.log").read_text()

        # As the remedy says.
        world.hosts["several"]["data"]["k8s_ecmp"]["bgp"]["families"] = ["ipv4"]
        world.write_inventory()
        world.cli("bgp", "reload")
        world.await_up()
        world.plan(code=0)
        world.cli("verify")
        world.cli("bgp", "status")

"""Distance, BFD and tracked objects on each of NAPALM's drivers whose platform has them, all in one run.

The configuration lines are those of the vendors' command references, written here by hand.
"""

import pytest

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.routers.vendors.options import (
    DISTANT,
    HOPS,
    PLAIN,
    Racks,
    asked,
    expect_routes,
    having,
    lacking,
    lines,
    settle,
    take_away,
)
from tests.routers.vendors.rack import Rack

pytestmark = [pytest.mark.slow, pytest.mark.long]

FOLLOWED = {
    "eos": "ip route 10.97.10.1/32 10.192.0.1 track bfd tag 4201 name demo",
    "iosxr": "  10.97.10.1/32 10.192.0.1 bfd fast-detect tag 4201 description demo",
    "junos": "        route 10.97.10.1/32 { bfd-liveness-detection { minimum-interval 1000; } "
    "next-hop [ 10.192.0.1 10.192.0.2 ]; tag 4201; }",
}
TRACKED = {
    "ios": "ip route 10.97.10.1 255.255.255.255 10.192.0.1 tag 4201 name demo track {}",
    "iosxr": "  10.97.10.1/32 10.192.0.1 tag 4201 description demo track {}",
    "nxos": "ip route 10.97.10.1/32 10.192.0.1 track {} name demo tag 4201",
}


def test_a_distance_comes_changes_and_goes(rack: Rack) -> None:
    asked(rack, distance=200)
    settle(rack, DISTANT, 200, creates=True)
    expect_routes(rack, HOPS)
    asked(rack, distance=150)
    settle(rack, DISTANT, 150, creates=False)
    for name, device in rack.devices.items():
        assert DISTANT[DRIVERS[name].syntax].format(200) not in lines(device), name
    asked(rack)
    settle(rack, PLAIN, creates=False)
    expect_routes(rack, HOPS)
    take_away(rack)


def test_bfd_comes_and_goes(racks: Racks) -> None:
    rack = racks(having("bfd"))
    asked(rack, bfd=True)
    settle(rack, FOLLOWED, creates=True)
    expect_routes(rack, HOPS)
    asked(rack, bfd=False)
    settle(rack, PLAIN, creates=False)
    asked(rack, bfd=True)
    settle(rack, FOLLOWED, creates=False)
    take_away(rack)


def test_a_tracked_object_comes_changes_and_goes(racks: Racks) -> None:
    rack = racks(having("track"))
    asked(rack, track="7")
    settle(rack, TRACKED, 7, creates=True)
    expect_routes(rack, HOPS)
    asked(rack, track="8")
    settle(rack, TRACKED, 8, creates=False)
    asked(rack)
    settle(rack, PLAIN, creates=False)
    take_away(rack)


@pytest.mark.parametrize("feature", ["bfd", "track"])
def test_what_a_platform_has_not_is_said(racks: Racks, feature: str) -> None:
    rack = racks(lacking(feature))
    asked(rack, **{feature: True if feature == "bfd" else "7"})
    done = rack.run("plan", "--format", "json")
    assert done.code == 1
    for router in done.json()["routers"]:
        assert router["status"] == "failed", router
        assert f"{feature}: " in router["error"], router
        if feature == "bfd" and router["name"].startswith(("ios", "nxos")):
            assert "'ip route static bfd INTERFACE NEXTHOP'" in router["error"], router
    assert {name: device.running() for name, device in rack.devices.items()} == rack.before

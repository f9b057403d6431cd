"""Routes in a VRF, and floating routes, with each of NAPALM's drivers, all in one run."""

import pytest

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.routers.vendors.device import AGGREGATE, NODES
from tests.routers.vendors.options import (
    DISTANT,
    DONE,
    HOPS,
    HOST,
    Racks,
    asked,
    expect_lines,
    expect_routes,
    having,
    settle,
    take_away,
)
from tests.routers.vendors.rack import Rack
from tests.world.emulators import emulator
from tests.world.emulators.base import Learned

pytestmark = [pytest.mark.slow, pytest.mark.long]

IN_VRF = {
    "eos": "ip route vrf red 10.97.10.1/32 10.192.0.1 tag 4201 name demo",
    "ios": "ip route vrf red 10.97.10.1 255.255.255.255 10.192.0.1 tag 4201 name demo",
    "iosxr": "   10.97.10.1/32 10.192.0.1 tag 4201 description demo",
    "nxos": "  ip route 10.97.10.1/32 10.192.0.1 name demo tag 4201",
    "junos": "                route 10.97.10.1/32 { next-hop [ 10.192.0.1 10.192.0.2 ]; tag 4201; }",
}
BETTER = {
    "eos": "eBGP",
    "ios": "bgp 65001",
    "iosxr": "bgp 65001",
    "iosxr_netconf": "bgp",
    "nxos": "bgp-65001",
    "nxos_ssh": "bgp-65001",
    "junos": "BGP",
}
# The interface of the nodes in the VRF, of each sample.
TO_RED = {
    "eos": [
        ("   no switchport\n   ip address 10.192", "   no switchport\n   vrf red\n   ip address 10.192"),
        ("ipv6 unicast-routing\n", "ipv6 unicast-routing\nipv6 unicast-routing vrf red\n"),
    ],
    "ios": [(" ip address 10.192.0.254 ", " vrf forwarding red\n ip address 10.192.0.254 ")],
    "iosxr": [(" ipv4 address 10.192.0.254 ", " vrf red\n ipv4 address 10.192.0.254 ")],
    "nxos": [("  ip address 10.192.0.253/24", "  vrf member red\n  ip address 10.192.0.253/24")],
    "junos": [("        interface et-0/0/1.0;\n", "        interface et-0/0/0.0;\n        interface et-0/0/1.0;\n")],
}


def in_red(name: str) -> str:
    """The sample of a driver, with the nodes in VRF red."""
    text = emulator(name).SAMPLE
    for old, new in TO_RED[DRIVERS[name].syntax]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def test_routes_of_a_vrf(racks: Racks) -> None:
    rack = racks(having("vrf"), {name: in_red(name) for name in having("vrf")})
    asked(rack, vrf="red")
    settle(rack, IN_VRF, creates=True)
    expect_routes(rack, HOPS, ("red", HOST))
    expect_routes(rack, {f"fd10:192::{number}" for number in (1, 2, 3)}, ("red", "fd96::/108"))
    for name in rack.devices:
        assert not [prefix for vrf, prefix in rack.ours(name) if vrf == "default"], name
    rack.site.not_ready("node2")
    assert rack.run("apply", "--yes").code in DONE
    expect_routes(rack, {"10.192.0.1"}, ("red", HOST))
    take_away(rack, "red")


def announced(rack: Rack, distance: int = 20) -> None:
    """A BGP neighbour announces the aggregate and the host route."""
    for device in rack.devices.values():
        device.learned = {prefix: Learned("10.192.0.9", distance) for prefix in (AGGREGATE[1], HOST)}


def test_a_floating_route_behind_a_better_one_is_no_failure_and_no_drift(rack: Rack) -> None:
    announced(rack)
    asked(rack, distance=250)
    applied = rack.run("apply", "--yes")
    assert applied.code in DONE, applied.out + applied.err
    expect_lines(rack, DISTANT, 250)
    expect_routes(rack, None, AGGREGATE)
    verified = rack.run("verify")
    assert verified.code in DONE, verified.out
    assert "drift" not in verified.out
    for report in (rack.said(applied), rack.said(verified)):
        for name, said in report.items():
            better = f"{HOST} is not in use: the router prefers {BETTER[name]} with distance 20, ours has 250"
            assert better in said, name
    for device in rack.devices.values():
        device.learned = {}
    verified = rack.run("verify")
    assert verified.code in DONE
    assert "warning" not in verified.out, verified.out
    expect_routes(rack, NODES, AGGREGATE)


def test_a_route_that_was_meant_to_be_used_and_is_not_is_taken_back(rack: Rack) -> None:
    announced(rack, distance=0)
    done = rack.run("apply", "--yes")
    assert done.code == 1, done.out
    for name, said in rack.said(done).items():
        assert "taken back" in said, name
        assert f"{BETTER[name]} has the prefix, with distance 0" in said, name


def test_a_floating_route_that_is_missing_is_still_missed(rack: Rack) -> None:
    asked(rack, distance=250)
    for device in rack.devices.values():
        device.faults.hide = {HOST}
    done = rack.run("apply", "--yes")
    assert done.code == 1, done.out
    for name, said in rack.said(done).items():
        assert f"{HOST} is not in the routing table" in said, name


def test_a_route_that_goes_leaves_the_prefix_to_another_protocol(rack: Rack) -> None:
    assert rack.run("apply", "--yes").code in DONE
    announced(rack, distance=240)
    assert rack.run("verify").code in DONE
    take_away(rack)

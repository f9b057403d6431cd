"""What the inventory may ask for beside next hops, on each of NAPALM's drivers whose platform has it.

The configuration lines are those of the vendors' command references, written here by hand.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.routers.test_vendors import AGGREGATE, NODES, Device
from tests.site import new_site
from tests.world.emulators import NAMES, emulator
from tests.world.emulators.base import Learned

pytestmark = pytest.mark.slow

HOST = "10.97.10.1/32"
HOPS = {"10.192.0.1", "10.192.0.2"}
DONE = (0, 3)  # 3: the route of others that stands in the way of one prefix

PLAIN = {
    "eos": "ip route 10.97.10.1/32 10.192.0.1 tag 4201 name demo",
    "ios": "ip route 10.97.10.1 255.255.255.255 10.192.0.1 tag 4201 name demo",
    "iosxr": "  10.97.10.1/32 10.192.0.1 tag 4201 description demo",
    "nxos": "ip route 10.97.10.1/32 10.192.0.1 name demo tag 4201",
    "junos": "        route 10.97.10.1/32 { next-hop [ 10.192.0.1 10.192.0.2 ]; tag 4201; }",
}
DISTANT = {
    "eos": "ip route 10.97.10.1/32 10.192.0.1 {} tag 4201 name demo",
    "ios": "ip route 10.97.10.1 255.255.255.255 10.192.0.1 {} tag 4201 name demo",
    "iosxr": "  10.97.10.1/32 10.192.0.1 {} tag 4201 description demo",
    "nxos": "ip route 10.97.10.1/32 10.192.0.1 name demo tag 4201 {}",
    "junos": "        route 10.97.10.1/32 {{ next-hop [ 10.192.0.1 10.192.0.2 ]; preference {}; tag 4201; }}",
}
FOLLOWED = {
    "eos": "ip route 10.97.10.1/32 10.192.0.1 track bfd tag 4201 name demo",
    "iosxr": "  10.97.10.1/32 10.192.0.1 bfd fast-detect tag 4201 description demo",
    "junos": "        route 10.97.10.1/32 { bfd-liveness-detection { minimum-interval 1000; } "
    "next-hop [ 10.192.0.1 10.192.0.2 ]; tag 4201; }",
}
TRACKED = {
    "ios": "ip route 10.97.10.1 255.255.255.255 10.192.0.1 tag 4201 name demo track {}",
    "iosxr": "  10.97.10.1/32 10.192.0.1 tag 4201 track {} description demo",
    "nxos": "ip route 10.97.10.1/32 10.192.0.1 track {} name demo tag 4201",
}
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
STATEMENT = re.compile(r"[^;{}]*\S(?:;| \{[^}]*\})")
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


def having(feature: str) -> list[str]:
    """The drivers whose platform has an optional feature."""
    return [name for name in NAMES if getattr(DRIVERS[name].capabilities(), feature)]


def asked(router: Device, **options: Any) -> None:
    """What `data.k8s_ecmp` of the router in the inventory is from now on."""
    hosts = "inventories/demo/hosts.yaml"
    router.site.edit(hosts, lambda content: content["r1"].update(data={"k8s_ecmp": options}))


def lines(router: Device) -> list[str]:
    """The running configuration; a route of Junos in one line, its statements sorted."""

    def one_line(found: re.Match[str]) -> str:
        statements = sorted(text.strip() for text in STATEMENT.findall(" ".join(found[3].split())))
        return f"{found[1]}route {found[2]} {{ {' '.join(statements)} }}"

    block = r"^( *)route (\S+) \{\n(.*?)^\1\}$"
    return re.sub(block, one_line, router.device.running(), flags=re.MULTILINE | re.DOTALL).splitlines()


def line_of(router: Device, shown: dict[str, str], *values: object) -> str:
    shape = shown[DRIVERS[router.device.driver].syntax]
    return shape.format(*values) if values else shape


def settle(router: Device, line: str, *, creates: bool) -> None:
    """Plan, apply and verify what is asked for; then nothing is left to do."""
    planned = router.run("plan", "--format", "json")
    assert planned.code == 2, planned.out + planned.err
    summary = planned.json()["summary"]
    assert (summary["create"] > 0) == creates, summary
    assert (summary["update"] > 0) != creates, summary
    applied = router.apply()
    assert applied.code in DONE, applied.out + applied.err
    assert line in lines(router), router.device.running()
    verified = router.run("verify")
    assert verified.code in DONE, verified.out + verified.err
    assert "warning" not in verified.out
    again = router.run("plan", "--format", "json")
    assert again.code in DONE, again.out
    assert again.json()["routers"][0]["changes"] == []
    assert router.untouched()
    assert router.device.saved()


def take_away(router: Device, vrf: str = "default") -> None:
    """The service of the host route is gone, and its route with it."""

    def without(cluster: Any) -> None:
        cluster["items"] = [item for item in cluster["items"] if not item["metadata"]["name"].startswith("web")]

    assert (vrf, HOST) in router.ours()
    router.site.edit("cluster.yaml", without)
    done = router.run("apply", "--yes", "--override", "mass-withdrawal")
    assert done.code in DONE, done.out + done.err
    assert (vrf, HOST) not in router.ours()
    assert router.run("verify").code in DONE
    assert router.untouched()


@pytest.fixture(params=NAMES)
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    (tmp_path / "device").mkdir()
    with emulator(request.param)(tmp_path / "device") as device:
        yield Device(new_site(tmp_path / "site"), device)


def test_a_distance_comes_changes_and_goes(router: Device) -> None:
    asked(router, distance=200)
    settle(router, line_of(router, DISTANT, 200), creates=True)
    assert router.ours()["default", HOST] == HOPS
    asked(router, distance=150)
    settle(router, line_of(router, DISTANT, 150), creates=False)
    assert line_of(router, DISTANT, 200) not in lines(router)
    asked(router)
    settle(router, line_of(router, PLAIN), creates=False)
    assert router.ours()["default", HOST] == HOPS
    take_away(router)


@pytest.mark.parametrize("router", having("bfd"), indirect=True)
def test_bfd_comes_and_goes(router: Device) -> None:
    asked(router, bfd=True)
    settle(router, line_of(router, FOLLOWED), creates=True)
    assert router.ours()["default", HOST] == HOPS
    asked(router, bfd=False)
    settle(router, line_of(router, PLAIN), creates=False)
    asked(router, bfd=True)
    settle(router, line_of(router, FOLLOWED), creates=False)
    take_away(router)


@pytest.mark.parametrize("router", having("track"), indirect=True)
def test_a_tracked_object_comes_changes_and_goes(router: Device) -> None:
    asked(router, track="7")
    settle(router, line_of(router, TRACKED, 7), creates=True)
    assert router.ours()["default", HOST] == HOPS
    asked(router, track="8")
    settle(router, line_of(router, TRACKED, 8), creates=False)
    asked(router)
    settle(router, line_of(router, PLAIN), creates=False)
    take_away(router)


@pytest.mark.parametrize(
    ("router", "feature"),
    [(name, feature) for feature in ("bfd", "track") for name in NAMES if name not in having(feature)],
    indirect=["router"],
)
def test_what_a_platform_has_not_is_said(router: Device, feature: str) -> None:
    asked(router, **{feature: True if feature == "bfd" else "7"})
    done = router.run("plan")
    assert done.code == 1
    assert f"{feature}: " in done.out + done.err
    assert router.is_old()


@pytest.fixture(params=having("vrf"))
def in_red(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    """A router whose nodes are in VRF red."""
    kind = emulator(request.param)
    text = kind.SAMPLE
    for old, new in TO_RED[DRIVERS[request.param].syntax]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / "device").mkdir()
    with kind(tmp_path / "device", text) as device:
        yield Device(new_site(tmp_path / "site"), device)


def test_routes_of_a_vrf(in_red: Device) -> None:
    router = in_red
    asked(router, vrf="red")
    settle(router, line_of(router, IN_VRF), creates=True)
    assert router.ours()["red", HOST] == HOPS
    assert router.ours()["red", "fd96::/108"] == {f"fd10:192::{number}" for number in (1, 2, 3)}
    assert not [prefix for vrf, prefix in router.ours() if vrf == "default"]
    router.site.not_ready("node2")
    assert router.apply().code in DONE
    assert router.ours()["red", HOST] == {"10.192.0.1"}
    take_away(router, "red")


# --- floating routes ---


def announced(router: Device, distance: int = 20) -> None:
    """A BGP neighbour announces the aggregate and the host route."""
    router.device.learned = {prefix: Learned("10.192.0.9", distance) for prefix in (AGGREGATE[1], HOST)}


def test_a_floating_route_behind_a_better_one_is_no_failure_and_no_drift(router: Device) -> None:
    announced(router)
    asked(router, distance=250)
    applied = router.apply()
    assert applied.code in DONE, applied.out + applied.err
    assert line_of(router, DISTANT, 250) in lines(router)
    assert AGGREGATE not in router.ours()
    words = f"{HOST} is not in use: the router prefers {BETTER[router.device.driver]} with distance 20"
    assert f"{words}, ours has 250" in " ".join(applied.out.split())
    verified = router.run("verify")
    assert verified.code in DONE, verified.out
    assert f"{words}, ours has 250" in " ".join(verified.out.split())
    assert "drift" not in verified.out
    router.device.learned = {}
    verified = router.run("verify")
    assert verified.code in DONE
    assert "warning" not in verified.out
    assert router.ours()[AGGREGATE] == NODES


def test_a_route_that_was_meant_to_be_used_and_is_not_is_taken_back(router: Device) -> None:
    announced(router, distance=0)
    done = router.apply()
    assert done.code == 1, done.out
    assert "taken back" in done.out
    assert f"{BETTER[router.device.driver]} has the prefix, with distance 0" in " ".join(done.out.split())


def test_a_floating_route_that_is_missing_is_still_missed(router: Device) -> None:
    asked(router, distance=250)
    router.device.faults.hide = {HOST}
    done = router.apply()
    assert done.code == 1, done.out
    assert f"{HOST} is not in the routing table" in " ".join(done.out.split())


def test_a_route_that_goes_leaves_the_prefix_to_another_protocol(router: Device) -> None:
    assert router.apply().code in DONE
    announced(router, distance=240)
    assert router.run("verify").code in DONE
    take_away(router)

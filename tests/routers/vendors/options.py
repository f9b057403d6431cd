"""What the inventory may ask for beside next hops: asking for it, and looking whether it came.

The configuration lines are those of the vendors' command references, written here by hand.
"""

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from k8s_ecmp.platforms.drivers import DRIVERS
from tests.routers.vendors.rack import Rack
from tests.world.emulators import NAMES
from tests.world.emulators.base import Emulator

HOST = "10.97.10.1/32"
HOPS = {"10.192.0.1", "10.192.0.2"}
DONE = (0, 3)  # 3: the route of others that stands in the way of one prefix

Racks = Callable[..., Rack]

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
STATEMENT = re.compile(r"[^;{}]*\S(?:;| \{[^}]*\})")


def having(feature: str) -> list[str]:
    """The drivers whose platform has an optional feature."""
    return [name for name in NAMES if getattr(DRIVERS[name].capabilities(), feature)]


def lacking(feature: str) -> list[str]:
    return [name for name in NAMES if name not in having(feature)]


def asked(rack: Rack, **options: Any) -> None:
    """What `data.k8s_ecmp` of the routers in the inventory is from now on."""

    def ask(hosts: Any) -> None:
        for host in hosts.values():
            host["data"] = {"k8s_ecmp": options}

    rack.site.edit("inventories/demo/hosts.yaml", ask)


def lines(device: Emulator) -> list[str]:
    """The running configuration; a route of Junos in one line, its statements sorted."""

    def one_line(found: re.Match[str]) -> str:
        statements = sorted(text.strip() for text in STATEMENT.findall(" ".join(found[3].split())))
        return f"{found[1]}route {found[2]} {{ {' '.join(statements)} }}"

    block = r"^( *)route (\S+) \{\n(.*?)^\1\}$"
    return re.sub(block, one_line, device.running(), flags=re.MULTILINE | re.DOTALL).splitlines()


def expect_lines(rack: Rack, shown: Mapping[str, str], *values: object) -> None:
    """Every device has the line of its syntax."""
    for name, device in rack.devices.items():
        shape = shown[DRIVERS[name].syntax]
        line = shape.format(*values) if values else shape
        assert line in lines(device), f"{name} lacks {line}: {device.running()}"


def expect_routes(rack: Rack, hops: AbstractSet[str] | None, prefix: tuple[str, str] = ("default", HOST)) -> None:
    """Every device forwards to the next hops; None: it has no route of ours there."""
    for name in rack.devices:
        assert rack.ours(name).get(prefix) == hops, name


def settle(rack: Rack, shown: Mapping[str, str], *values: object, creates: bool) -> None:
    """Plan, apply and verify what is asked for; then nothing is left to do."""
    file = str(rack.site.folder / "reviewed.plan")
    planned = rack.run("plan", "--format", "json", "--out", file)
    assert planned.code == 2, planned.out + planned.err
    for router in planned.json()["routers"]:
        actions = {change["action"] for change in router["changes"]}
        assert ("create" in actions, "update" in actions) == (creates, not creates), router
    applied = rack.run("apply", file)
    assert applied.code in DONE, applied.out + applied.err
    expect_lines(rack, shown, *values)
    verified = rack.run("verify")
    assert verified.code in DONE, verified.out + verified.err
    assert "warning" not in verified.out, verified.out
    again = rack.run("plan", "--format", "json")
    assert again.code in DONE, again.out
    assert [router["changes"] for router in again.json()["routers"]] == [[]] * len(rack.devices)
    assert rack.touched() == []
    assert [name for name, device in rack.devices.items() if not device.saved()] == []


def take_away(rack: Rack, vrf: str = "default") -> None:
    """The service of the host route is gone, and its route with it."""

    def without(cluster: Any) -> None:
        cluster["items"] = [item for item in cluster["items"] if not item["metadata"]["name"].startswith("web")]

    for name in rack.devices:
        assert (vrf, HOST) in rack.ours(name), name
    rack.site.edit("cluster.yaml", without)
    done = rack.run("apply", "--yes", "--override", "mass-withdrawal")
    assert done.code in DONE, done.out + done.err
    expect_routes(rack, None, (vrf, HOST))
    assert rack.run("verify").code in DONE
    assert rack.touched() == []

"""The routing table of an Arista switch, from its configuration alone: connected subnets and static routes.

Form of `show ip route` in JSON as in eAPI's command reference and recorded answers of EOS 4.2x: a discard route has
"routeAction" "drop" and no vias. A next hop that a learned route covers is shown as the hop of that route (cEOS 4.2x,
batfish/lab-validation, mix_vendor_bgp_vrf: `ip route 172.17.211.0/24 10.10.10.6` behind an eBGP 10.10.10.0/24). Static
routes through other static routes are not modelled.
"""

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tests.world.emulators.base import Learned
from tests.world.emulators.eos_config import CliError, Config, Connected, Network, Route


def static_routes(
    config: Config, vrf: str, hidden: Collection[str], learned: Mapping[str, Learned]
) -> dict[Network, frozenset[str]]:
    """The static routes that forward and their next hops as printed: those with the lowest distance that resolve."""
    connected = config.connected()
    best: dict[Network, int] = {}
    vias: dict[Network, set[str]] = {}
    for route in config.routes:
        if route.vrf != vrf or str(route.prefix) in hidden or not config.routing(vrf, route.prefix.version):
            continue
        via = _resolved(route, connected, learned)
        if via is None or route.distance > best.get(route.prefix, 255):
            continue
        if route.distance < best.get(route.prefix, 256):
            best[route.prefix], vias[route.prefix] = route.distance, set()
        vias[route.prefix].add(via)
    direct = {subnet.prefix for subnet in connected if subnet.vrf == vrf}
    return {
        prefix: frozenset(found)
        for prefix, found in vias.items()
        if prefix not in direct
        and not ((other := learned.get(str(prefix))) is not None and other.beats(vrf, best[prefix]))
    }


def table(
    config: Config, words: Sequence[str], hidden: Collection[str], learned: Mapping[str, Learned]
) -> dict[str, Any]:
    """`show ip|ipv6 route [vrf V] [static | PREFIX | ADDRESS]`."""
    family = 4 if words[1] == "ip" else 6
    rest = list(words[3:])
    vrf = "default"
    if rest[:1] == ["vrf"] and len(rest) > 1:
        vrf, rest = rest[1], rest[2:]
    if vrf not in config.vrfs() or len(rest) > 1:
        raise CliError(1000, f"IP routing table {vrf} does not exist.")
    connected = config.connected()
    static = static_routes(config, vrf, hidden, learned)
    entries = {prefix: _static(vias, vrf, connected) for prefix, vias in static.items()}
    if rest != ["static"] and vrf == "default":
        for text, other in learned.items():
            if (prefix := ipaddress.ip_network(text)) not in entries:
                via = {"nexthopAddr": other.next_hop, "interface": "Ethernet1"}
                entries[prefix] = _entry("eBGP", [via]) | {"preference": other.distance, "metric": 0}
    if rest != ["static"]:
        for subnet in connected:
            if subnet.vrf == vrf:
                entries[subnet.prefix] = _entry("connected", [{"interface": subnet.interface}], direct=True)
    entries = {prefix: entry for prefix, entry in entries.items() if prefix.version == family}
    if rest and rest != ["static"]:
        entries = _selected(entries, rest[0])
    shown = {
        "routingDisabled": not config.routing(vrf, family),
        "allRoutesProgrammedHardware": True,
        "allRoutesProgrammedKernel": True,
        "routes": {str(prefix): entry for prefix, entry in entries.items()},
    }
    return {"vrfs": {vrf: shown}}


def _resolved(route: Route, connected: Sequence[Connected], learned: Mapping[str, Learned]) -> str | None:
    """What the table shows as its next hop, None where there is no way to it; Null0 and nexthop groups always are."""
    words = route.via.split()
    if words[0] in ("Null0", "Nexthop-Group"):
        return route.via
    vrf = words[1] if words[0] == "egress-vrf" else route.vrf
    try:
        address = ipaddress.ip_address(words[-1])
    except ValueError:
        return route.via if any(subnet.interface == words[-1] for subnet in connected) else None
    subnets = [subnet.prefix for subnet in connected if address in subnet.prefix and subnet.vrf == vrf]
    direct = max((subnet.prefixlen for subnet in subnets), default=-1)
    through = {
        network.prefixlen: other.next_hop
        for text, other in learned.items()
        if vrf == "default" and address in (network := ipaddress.ip_network(text)) and network.prefixlen > direct
    }
    if through:
        return through[max(through)]
    return route.via if subnets else None


def _static(vias: frozenset[str], vrf: str, connected: Sequence[Connected]) -> dict[str, Any]:
    if vias == {"Null0"}:
        return _entry("static", [], direct=True) | {"routeAction": "drop"}
    shown = []
    for via in sorted(vias):
        last = via.rpartition(" ")[2]
        try:
            address = ipaddress.ip_address(last)
        except ValueError:
            shown.append({"interface": last})
            continue
        out = next((subnet.interface for subnet in connected if address in subnet.prefix and subnet.vrf == vrf), "")
        shown.append({"nexthopAddr": last, "interface": out})
    return _entry("static", shown) | {"preference": 1, "metric": 0}


def _entry(kind: str, vias: list[dict[str, str]], *, direct: bool = False) -> dict[str, Any]:
    return {
        "kernelProgrammed": True,
        "hardwareProgrammed": True,
        "directlyConnected": direct,
        "routeAction": "forward",
        "routeLeaked": False,
        "routeType": kind,
        "vias": vias,
    }


def _selected(entries: Mapping[Network, dict[str, Any]], text: str) -> dict[Network, dict[str, Any]]:
    """The entry of a prefix, or the longest match of an address."""
    try:
        wanted = ipaddress.ip_network(text)
    except ValueError:
        raise CliError(1002, f"Invalid input (at token 3: '{text}')") from None
    if "/" in text:
        return {prefix: entry for prefix, entry in entries.items() if prefix == wanted}
    matching = [prefix for prefix in entries if wanted.network_address in prefix]
    return {prefix: entries[prefix] for prefix in sorted(matching, key=lambda prefix: prefix.prefixlen)[-1:]}

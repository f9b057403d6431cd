"""What an Arista switch shows of routes that a BGP neighbour announced with several paths, in the JSON forms of eAPI.

`show ip route vrf V PREFIX bgp detail` has the next hops in use, `show ip bgp PREFIX vrf V` all paths; the first of those
in use is the active one, the others contribute to it. IPv6 routes stand under "vrfs", as in releases of these years.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Received = Mapping[str, Sequence[tuple[str, bool]]]
"""By canonical prefix its paths: next hop, and whether it is in use."""


def answer(words: Sequence[str], received: Received, vrfs: Sequence[str]) -> dict[str, Any] | None:
    """The answer to a command about BGP; None: it is none of these."""
    match words:
        case ["show", "vrf"]:
            return {"vrfs": {vrf: {"interfaces": [], "routeDistinguisher": ""} for vrf in vrfs}}
        case ["show", "ip" | "ipv6", "route", "vrf", vrf, prefix, "bgp", "detail"]:
            vias = [{"nexthopAddr": hop, "interface": "Vlan10"} for hop, used in received.get(prefix, ()) if used]
            shown = {"routeType": "eBGP", "preference": 20, "metric": 0, "vias": vias}
            return {"vrfs": {vrf: {"routes": {prefix: shown} if vias and vrf == "default" else {}}}}
        case ["show", "ip" | "ipv6", "bgp", prefix, "vrf", vrf]:
            paths = received.get(prefix, ()) if vrf == "default" else ()
            entries = {prefix: {"bgpRoutePaths": list(map(_path, range(len(paths)), paths))}} if paths else {}
            return {"vrfs": {vrf: {"asn": "65001", "bgpRouteEntries": entries}}}
    return None


def _path(number: int, path: tuple[str, bool]) -> dict[str, Any]:
    next_hop, used = path
    return {
        "nextHop": next_hop,
        "asPathEntry": {"asPath": "65010 i", "asPathType": "External"},
        "peerEntry": {"peerAddr": "10.192.0.250", "peerRouterId": "10.192.0.250"},
        "localPreference": 100,
        "weight": 0,
        "reasonNotBestpath": "noReason" if not number else "ecmpFast",
        "routeType": {"valid": True, "active": number == 0 and used, "ecmp": used},
    }

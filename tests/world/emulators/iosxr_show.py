"""What an IOS-XR router prints and tells of its static routes: `show route`, `show cef`, the RIB's YANG model, diffs.

The forms are those of Cisco's "Routing Command Reference" and "IP Addresses and Services Command Reference" (CEF), and
of outputs of 6.x and 7.x that people have published; the models are Cisco-IOS-XR-ip-rib-ipv4-oper, -ipv6-oper and
Cisco-IOS-XR-fib-common-oper.
"""

import difflib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.world.emulators.base import Learned
from tests.world.emulators.iosxr_config import Address, Config, HopKey, Network

_RIB = {"ipv4": ("rib", "Cisco-IOS-XR-ip-rib-ipv4-oper"), "ipv6": ("ipv6-rib", "Cisco-IOS-XR-ip-rib-ipv6-oper")}
_FIB = "http://cisco.com/ns/yang/Cisco-IOS-XR-fib-common-oper"


@dataclass
class Route:
    """A static route that is installed."""

    network: Network
    distance: int
    tag: str
    hops: list[HopKey]

    def labels(self) -> frozenset[str]:
        return frozenset("discard" if "Null0" in key else key[2] or key[1] for key in self.hops)


@dataclass
class Tables:
    """The routing and forwarding tables that follow from a configuration; `hidden` prefixes are in neither.

    `not_forwarded` are addresses of next hops that the forwarding table lacks.
    """

    config: Config
    hidden: set[str] = field(default_factory=set)
    learned: dict[str, Learned] = field(default_factory=dict)
    not_forwarded: set[str] = field(default_factory=set)

    def static(self, vrf: str, afi: str) -> list[Route]:
        """The installed static routes of a VRF: of each prefix the hops with the lowest distance that lead somewhere."""
        routes = []
        table = self.config.static.get((vrf, afi, "unicast"), {})
        for network in sorted(table, key=lambda item: (int(item.network_address), item.prefixlen)):
            by_distance: dict[int, list[HopKey]] = {}
            for key, attributes in table[network].items():
                if "permanent" in attributes or self._leads(key[0] or vrf, key, 8):
                    by_distance.setdefault(int(attributes.get("distance", "1")), []).append(key)
            if by_distance and str(network) not in self.hidden:
                best = min(by_distance)
                other = self.learned.get(str(network))
                if other is not None and other.beats(vrf, best):
                    continue
                tag = table[network][by_distance[best][0]].get("tag", "")
                routes.append(Route(network, best, tag, by_distance[best]))
        return routes

    def forwarded(self, vrf: str, afi: str) -> list[Route]:
        """The static routes of the forwarding table."""
        routes = [
            Route(
                route.network,
                route.distance,
                route.tag,
                [key for key in route.hops if key[2] not in self.not_forwarded],
            )
            for route in self.static(vrf, afi)
        ]
        return [route for route in routes if route.hops]

    def resolves(self, vrf: str, address: Address, depth: int = 8) -> bool:
        """Whether a connected subnet or a static route leads to the address."""
        if any(address in network for network, _ in self.config.connected(vrf)):
            return True
        afi = f"ipv{address.version}"
        covering = [network for network in self.config.static.get((vrf, afi, "unicast"), {}) if address in network]
        if not covering or depth == 0:
            return False
        longest = max(covering, key=lambda network: network.prefixlen)
        hops = self.config.static[vrf, afi, "unicast"][longest]
        return any(self._leads(key[0] or vrf, key, depth - 1) for key in hops)

    def _leads(self, vrf: str, key: HopKey, depth: int) -> bool:
        _, interface, address = key
        if interface:
            return interface == "Null0" or any(name == interface for _, name in self.config.connected(vrf))
        return self.resolves(vrf, ipaddress.ip_address(address), depth)

    # --- texts ---

    def show(self, command: str) -> str:
        """The answer to a show command; an unknown one is invalid input."""
        words = command.split()
        vrf = "default"
        if "vrf" in words:
            place = words.index("vrf")
            vrf = words[place + 1]
            del words[place : place + 2]
        if words[:2] == ["show", "route"] and len(words) == 5 and words[3] == "unicast":
            return self._routes(vrf, words[2]) if words[4] == "static" else self._entry(vrf, words[2], words[4])
        if words[:2] == ["show", "cef"] and len(words) in (3, 4):
            return self._cef(vrf, words[2]) if len(words) == 3 else self._cef_entry(vrf, words[2], words[3])
        return f"{command}\n      ^\n% Invalid input detected at '^' marker."

    def _routes(self, vrf: str, afi: str) -> str:
        """IPv6 prefixes stand in lines of their own."""
        lines = []
        for route in self.static(vrf, afi):
            head = f"S    {route.network} "
            if afi == "ipv6":
                lines.append(head)
                head = " " * 6
            for place, key in enumerate(route.hops):
                lead = head if place == 0 else " " * len(head)
                if not key[2]:
                    verb = "is " if afi == "ipv4" else ""
                    lines.append(f"{lead}{verb}directly connected, 00:01:07, {key[1]}")
                else:
                    nexthop_vrf = f" (nexthop in vrf {key[0]})" if key[0] else ""
                    through = f", {key[1]}" if key[1] else ""
                    lines.append(f"{lead}[{route.distance}/0] via {key[2]}{nexthop_vrf}, 00:01:07{through}")
        return "\n".join(lines) if lines else "% No matching routes found"

    def _entry(self, vrf: str, afi: str, text: str) -> str:
        """One route; for an address the longest one that covers it, for a prefix that alone."""
        wanted = ipaddress.ip_network(text)
        exact = "/" in text
        found = [route for route in self.static(vrf, afi) if wanted.subnet_of(route.network)]  # type: ignore[arg-type]
        connected = [network for network, _ in self.config.connected(vrf) if wanted.version == network.version]
        if not exact:
            near = [network for network in connected if wanted.subnet_of(network)]  # type: ignore[arg-type]
            if near:
                name = next(name for network, name in self.config.connected(vrf) if network == near[0])
                return (
                    f'\nRouting entry for {near[0]}\n  Known via "connected", distance 0, metric 0 (connected)\n'
                    "  Installed Nov 21 09:12:41.221 for 1d02h\n  Routing Descriptor Blocks\n"
                    f"    directly connected, via {name}\n      Route metric is 0\n  No advertising protos. "
                )
        route = max(found, key=lambda item: item.network.prefixlen, default=None)
        if exact and vrf == "default" and str(wanted) in self.learned and (route is None or route.network != wanted):
            other = self.learned[str(wanted)]
            return (
                f'\nRouting entry for {wanted}\n  Known via "bgp 65001", distance {other.distance}, metric 0\n'
                "  Tag 65002, type external\n  Installed Nov 21 16:50:00.114 for 00:01:07\n  Routing Descriptor Blocks\n"
                f"    {other.next_hop}, from {other.next_hop}, BGP external\n      Route metric is 0\n"
                "  No advertising protos. "
            )
        if route is None or (exact and route.network != wanted):
            return "% Network not in table"
        lines = ["", f"Routing entry for {route.network}", f'  Known via "static", distance {route.distance}, metric 0']
        lines += [f"  Tag {route.tag}"] if route.tag else []
        lines += ["  Installed Nov 21 16:50:00.114 for 00:01:07", "  Routing Descriptor Blocks"]
        for key in route.hops:
            if "Null0" in key or not key[2]:
                lines.append(f"    directly connected, via {key[1]}")
            else:
                lines.append(f"    {key[2]}" + (f", via {key[1]}" if key[1] else ""))
                lines += [f'      Nexthop in Vrf: "{key[0]}"'] if key[0] else []
            lines.append("      Route metric is 0")
        return "\n".join([*lines, "  No advertising protos. "])

    def _cef(self, vrf: str, afi: str) -> str:
        bits = 32 if afi == "ipv4" else 128
        lines = ["", f"{'Prefix':<19} {'Next Hop':<19} Interface", f"{'-' * 19} {'-' * 19} {'-' * 18}"]
        rows = [(str(network), [("attached", name)]) for network, name in self.config.connected(vrf)]
        rows = [row for row in rows if (":" in row[0]) == (bits == 128)]
        for route in self.forwarded(vrf, afi):
            hops = [
                ("drop", "default handler")
                if "Null0" in key
                else (f"{key[2]}/{bits}" if key[2] else "attached", key[1] or "<recursive>")
                for key in route.hops
            ]
            rows.append((str(route.network), hops))
        for prefix, hops in rows:
            if bits == 128:
                lines.append(prefix)
                lines += [f"  {hop:<39} {through}" for hop, through in hops]
            else:
                firsts = [prefix, *[""] * (len(hops) - 1)]
                lines += [
                    f"{first:<19} {hop:<19} {through}" for first, (hop, through) in zip(firsts, hops, strict=True)
                ]
        return "\n".join(lines)

    def _cef_entry(self, vrf: str, afi: str, text: str) -> str:
        wanted = ipaddress.ip_network(text)
        bits = wanted.max_prefixlen
        route = next((route for route in self.forwarded(vrf, afi) if route.network == wanted), None)
        if route is None:
            return "% No matching prefix found"
        lines = [
            f"{route.network}, version 61, internal 0x1000001 0x0 (ptr 0xdf13eb8) [1], 0x0 (0x0), 0x0 (0x0)",
            " Updated Nov 21 16:50:00.118",
            f" Prefix Len {route.network.prefixlen}, traffic index 0, precedence n/a, priority 3",
        ]
        for place, key in enumerate(route.hops):
            if "Null0" in key:
                lines.append("   via point2point, 3 dependencies, weight 0, class 0 [flags 0x0]")
                lines += [f"    path-idx {place} NHID 0x0 [0xdf14608 0x0]", "    next hop", "     drop adjacency"]
            elif key[1]:
                lines.append(f"   via {key[2]}/{bits}, {key[1]}, 4 dependencies, weight 0, class 0 [flags 0x0]")
                lines += [f"    path-idx {place} NHID 0x0 [0xec3a2f0 0x0]", f"    next hop {key[2]}/{bits}"]
            else:
                lines.append(f"   via {key[2]}/{bits}, 3 dependencies, recursive [flags 0x0]")
                lines += [
                    f"    path-idx {place} NHID 0x0 [0xdf14608 0x0]",
                    f"    next hop {key[2]}/{bits} via {key[2]}/{bits}",
                ]
        return "\n".join(lines)

    # --- the RIB's model ---

    def rib(self, vrf: str, afi: str, wanted: Network | None) -> str:
        """XML of the routes of a VRF, or of one prefix; an empty document where there is none."""
        root, module = _RIB[afi]
        routes = [route for route in self.static(vrf, afi) if wanted is None or route.network == wanted]
        entries = [
            self._rib_entry(
                afi, str(route.network), "static", [self._path(key, afi) for key in route.hops], route.distance
            )
            for route in routes
        ]
        static = {str(route.network) for route in routes}
        for text, other in self.learned.items() if vrf == "default" else ():
            network = ipaddress.ip_network(text)
            if text not in static and f"ipv{network.version}" == afi and wanted in (None, network):
                path = f"<address>{other.next_hop}</address>"
                entries.append(self._rib_entry(afi, text, "bgp", [path], other.distance))
        if wanted is None or not entries:
            entries += [
                self._rib_entry(afi, str(network), "connected", [f"<interface-name>{name}</interface-name>"])
                for network, name in self.config.connected(vrf)
                if f"ipv{network.version}" == afi and wanted in (None, network)
            ]
        if not entries:
            return ""
        return (
            f'<{root} xmlns="http://cisco.com/ns/yang/{module}"><vrfs><vrf><vrf-name>{vrf}</vrf-name><afs><af>'
            f"<af-name>IPv{afi[-1]}</af-name><safs><saf><saf-name>Unicast</saf-name><ip-rib-route-table-names>"
            "<ip-rib-route-table-name><route-table-name>default</route-table-name><routes>"
            f"{''.join(entries)}</routes></ip-rib-route-table-name></ip-rib-route-table-names></saf></safs></af></afs>"
            f"</vrf></vrfs></{root}>"
        )

    # --- the FIB's model ---

    def fib_nodes(self) -> str:
        """The nodes that have a FIB: a line card and a route processor."""
        nodes = "".join(f"<node><node-name>{name}</node-name></node>" for name in ("0/0/CPU0", "0/RP0/CPU0"))
        return f'<fib xmlns="{_FIB}"><nodes>{nodes}</nodes></fib>'

    def fib(self, node: str, vrf: str, afi: str, wanted: Network | None) -> str:
        """XML of the FIB of a VRF on a node, or of one prefix; line cards here have no interface in a VRF."""
        entries = [
            (
                str(network),
                [f"<brief-interface-handle>{name}</brief-interface-handle><attached-path>true</attached-path>"],
            )
            for network, name in self.config.connected(vrf)
            if f"ipv{network.version}" == afi and wanted in (None, network)
        ]
        entries += [
            (str(route.network), [_fib_path(key) for key in route.hops])
            for route in self.forwarded(vrf, afi)
            if wanted in (None, route.network)
        ]
        if not entries or (vrf != "default" and node != "0/RP0/CPU0"):
            return ""
        listed = "".join(
            f"<ip-prefix-brief><prefix>{prefix.partition('/')[0]}</prefix><prefix-length>{prefix.partition('/')[2]}"
            "</prefix-length><fib-entry-path>"
            + "".join(f"<fib-sh-tbl-path>{path}</fib-sh-tbl-path>" for path in paths)
            + "</fib-entry-path></ip-prefix-brief>"
            for prefix, paths in entries
        )
        return (
            f'<fib xmlns="{_FIB}"><nodes><node><node-name>{node}</node-name><protocols><protocol><protocol-name>{afi}'
            f"</protocol-name><vrfs><vrf><vrf-name>{vrf}</vrf-name><ip-prefix-briefs>{listed}</ip-prefix-briefs></vrf>"
            "</vrfs></protocol></protocols></node></nodes></fib>"
        )

    def _path(self, key: HopKey, afi: str) -> str:
        null = "0.0.0.0" if afi == "ipv4" else "::"
        interface = f"<interface-name>{key[1]}</interface-name>" if key[1] else ""
        return f"<address>{key[2] or null}</address>{interface}<next-hop-vrf-name>{key[0]}</next-hop-vrf-name>"

    def _rib_entry(self, afi: str, prefix: str, protocol: str, paths: list[str], distance: int = 0) -> str:
        address, _, length = prefix.partition("/")
        name = f"ipv{afi[-1]}-rib-edm-path"
        listed = "".join(f"<{name}>{path}</{name}>" for path in paths)
        return (
            f"<route><address>{address}</address><prefix-length>{length}</prefix-length><prefix>{address}</prefix>"
            f"<prefix-length-xr>{length}</prefix-length-xr><protocol-name>{protocol}</protocol-name><priority>2</priority>"
            f"<distance>{distance}</distance><route-age>67</route-age><route-path>{listed}</route-path></route>"
        )


def _fib_path(key: HopKey) -> str:
    if "Null0" in key:
        return "<brief-interface-handle>Null0</brief-interface-handle>"
    interface = f"<brief-interface-handle>{key[1]}</brief-interface-handle>" if key[1] else ""
    bits = 128 if ":" in (key[2] or "") else 32
    address = f"<brief-next-hop-prefix>{key[2]}/{bits}</brief-next-hop-prefix>" if key[2] else ""
    return f"{interface}{address}<recursive-path>{'false' if key[1] else 'true'}</recursive-path>"


def commit_changes_diff(old: Config, new: Config, version: str) -> str:
    """`show commit changes diff`: signs in a column of three, the heads of blocks, no unchanged lines between."""
    out = ["Building configuration...", f"!! IOS XR Configuration {version}"]
    changes = list(_changes(list(old.lines()), list(new.lines())))
    heads = {path[-2] for _, path in changes if len(path) > 1}
    standing: list[str] = []
    for sign, path in [*changes, ("", [""])]:
        common = 0
        while common < min(len(standing), len(path) - 1) and standing[common] == path[common]:
            common += 1
        out += ["   " + " " * depth + "!" for depth in range(len(standing) - 1, common - 1, -1)]
        out += ["   " + head for head in path[common:-1]]
        out += [f"{sign}  {path[-1]}"] if sign else []
        standing = path if path[-1] in heads else path[:-1]
    return "\n".join([*out, "end"])


def _changes(before: list[str], after: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(sign, heads of its blocks and the line) of every line but closing marks."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        yield from (("-", _path(before, place)) for place in range(a, b) if before[place].strip() != "!")
        yield from (("+", _path(after, place)) for place in range(c, d) if after[place].strip() != "!")


def _path(lines: list[str], place: int) -> list[str]:
    path = [lines[place]]
    depth = len(lines[place]) - len(lines[place].lstrip())
    for line in reversed(lines[:place]):
        indent = len(line) - len(line.lstrip())
        if indent < depth and line.strip() != "!":
            path.insert(0, line)
            depth = indent
    return path

"""A Nexus switch's running configuration: what typed lines do to it, how it is printed, and what it routes by it.

From the Nexus 9000 unicast routing guide ("Configuring Static Routing", "Configuring Layer 3 Virtualization"):
`ip route {PREFIX | ADDRESS MASK} {[INTERFACE] NEXTHOP [vrf V] | INTERFACE | Null0} [track N] [name WORD] [tag N]
[DISTANCE]`; a hop is known by interface, address and VRF and has one tag, one name and one distance. `vrf context V`
makes the VRF. Not seen on a device, and chosen as the harder case: a hop typed again keeps what is left out; `no` of an
absent hop is an error; routes are printed by family, prefix and hop.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Key = tuple[str | None, str | None, str | None]
"""Interface as printed, address, VRF of the next hop: what makes two lines the same hop."""

INVALID = "% Invalid command at '^' marker."
INCOMPLETE = "% Incomplete command at '^' marker."
ABSENT = "%Route not deleted, it does not exist"

_VOLATILE = ("!Command: ", "!Running configuration last done at: ", "!Time: ")
_BEHIND_ROUTES = ("vlan ", "route-map ", "vrf context ", "interface ", "line ", "router ")
_SUBMODES = {"vrf context": "config-vrf", "interface": "config-if", "vlan": "config-vlan", "router": "config-router"}
_TOP_LEVEL = frozenset({"feature", "hostname", "ip", "ipv6", "logging", "ntp", "snmp-server", "track", "username"})
_INTERFACES = {
    "eth": "Ethernet",
    "ethernet": "Ethernet",
    "lo": "loopback",
    "loopback": "loopback",
    "mgmt": "mgmt",
    "null": "Null",
    "po": "port-channel",
    "port-channel": "port-channel",
    "tunnel": "Tunnel",
    "vlan": "Vlan",
}
_INTERFACE = re.compile(r"([A-Za-z-]+)(\d[\d/.]*)")


class Refused(Exception):
    """The device's words for a line that it does not take."""


@dataclass(frozen=True)
class Hop:
    """A next hop as configured; distance 1 and tag 0 are what the device has where nothing is written."""

    interface: str | None
    address: str | None
    vrf: str | None = None
    track: str | None = None
    name: str | None = None
    tag: int = 0
    distance: int = 1

    @property
    def key(self) -> Key:
        return self.interface, self.address, self.vrf

    @property
    def is_discard(self) -> bool:
        return self.interface == "Null0"

    def printed(self, network: Network) -> str:
        words = [
            "ip route" if network.version == 4 else "ipv6 route",
            str(network),
            self.interface,
            self.address,
            f"vrf {self.vrf}" if self.vrf else "",
            f"track {self.track}" if self.track else "",
            f"name {self.name}" if self.name else "",
            f"tag {self.tag}" if self.tag else "",
            str(self.distance) if self.distance != 1 else "",
        ]
        return " ".join(word for word in words if word)


Routes = dict[tuple[str, Network], dict[Key, Hop]]


class Config:
    """One configuration. `clone` it for checkpoints and the startup configuration."""

    def __init__(self, text: str) -> None:
        self.routes: Routes = {}
        self._frame: list[str] = []  # every line that is no static route
        self._place = -1  # where the global routes are printed in it
        vrf: str | None = "default"
        banner = ""
        for line in text.splitlines():
            words = line.split()
            if line.startswith(_VOLATILE):
                continue
            if banner:
                banner = "" if banner in line else banner
            elif line.startswith("banner "):
                rest = line.split(None, 2)[2]
                banner = "" if rest[0] in rest[1:] else rest[0]
            elif words[:2] in (["ip", "route"], ["ipv6", "route"]) and words[2] != "static" and vrf is not None:
                if vrf == "default" and self._place < 0:
                    self._place = len(self._frame)
                self._route(vrf, words)
                continue
            elif line[:1].strip():
                vrf = words[2] if words[:2] == ["vrf", "context"] else "default" if words[0] in _TOP_LEVEL else None
            self._frame.append(line)
        if self._place < 0:
            at = (number for number, line in enumerate(self._frame) if line.startswith(_BEHIND_ROUTES))
            self._place = next(at, len(self._frame))

    def clone(self) -> "Config":
        other = Config.__new__(Config)
        other.routes = {key: dict(hops) for key, hops in self.routes.items()}
        other._frame, other._place = list(self._frame), self._place
        return other

    @property
    def hostname(self) -> str:
        return next((line.split()[1] for line in self._frame if line.startswith("hostname ")), "switch")

    @property
    def vrfs(self) -> list[str]:
        return ["default", *(line.split()[2] for line in self._frame if line.startswith("vrf context "))]

    def text(self, without_tag: int | None = None) -> str:
        """As `show running-config` prints it below its head, without the hops that carry a tag."""
        lines: list[str] = []
        for number, line in enumerate([*self._frame, ""]):
            if number == self._place:
                lines += self._printed("default", "", without_tag)
            if number < len(self._frame):
                lines.append(line)
                if line.startswith("vrf context "):
                    lines += self._printed(line.split()[2], "  ", without_tag)
        return "\n".join(lines) + "\n"

    def _printed(self, vrf: str, indent: str, without_tag: int | None) -> Iterator[str]:
        own = [
            (network, hop) for (in_vrf, network), hops in self.routes.items() if in_vrf == vrf for hop in hops.values()
        ]
        for network, hop in sorted(
            own, key=lambda item: (_order(item[0]), item[1].interface or "", _address_order(item[1]))
        ):
            if without_tag is None or hop.tag != without_tag:
                yield indent + hop.printed(network)

    # --- typing ---

    def type(self, line: str, mode: str) -> str:
        """Takes a configuration line in a mode ("" for the global one, else the head of a block); the mode after it.

        Raises:
            Refused: the device does not take the line; nothing of it is in force.
        """
        words = line.split()
        if words[:1] == ["exit"]:
            return ""
        negated = words[0] == "no"
        words = words[1:] if negated else words
        if words[:2] in (["ip", "route"], ["ipv6", "route"]) and words[2:3] != ["static"]:
            if mode and not mode.startswith("vrf context "):
                raise Refused(INVALID)
            self._route(mode.split()[2] if mode else "default", words, negated)
            return mode
        head = next((head for head in _SUBMODES if " ".join(words).startswith(f"{head} ")), None)
        if head is not None and not (mode and words[:2] == ["vrf", "member"]):
            return self._block(" ".join(words), negated)
        statement = " ".join(words)
        if mode:
            self._within(mode, f"  {statement}", negated)
            return mode
        if not words or words[0] not in _TOP_LEVEL or len(words) < 2:
            raise Refused(INVALID)
        self._statement(statement, negated)
        return ""

    def submode(self, mode: str) -> str:
        """What the prompt says of a mode."""
        return next((name for head, name in _SUBMODES.items() if mode.startswith(head)), "config")

    def _route(self, vrf: str, words: list[str], negated: bool = False) -> None:
        network, typed, given = _read_route(words)
        hops = self.routes.setdefault((vrf, network), {})
        standing = hops.get(typed.key)
        if negated:
            if standing is None:
                raise Refused(ABSENT)
            del hops[typed.key]
        else:
            hops[typed.key] = replace(standing, **given) if standing is not None else typed
        if not hops:
            del self.routes[vrf, network]

    def _block(self, head: str, negated: bool) -> str:
        if negated:
            start, end = self._span(head)
            self._cut(start, end)
            self.routes = {key: hops for key, hops in self.routes.items() if head != f"vrf context {key[0]}"}
            return ""
        if head not in self._frame:
            self._frame.append(head)
        return head

    def _within(self, mode: str, line: str, negated: bool) -> None:
        start, end = self._span(mode)
        if negated and line in self._frame[start:end]:
            self._cut(self._frame.index(line, start), self._frame.index(line, start) + 1)
        elif not negated and line not in self._frame[start:end]:
            self._put(start + 1, line)

    def _statement(self, line: str, negated: bool) -> None:
        if negated or line.startswith("hostname "):
            for number, other in enumerate(self._frame):
                if other == line or (not negated and other.startswith("hostname ")):
                    self._cut(number, number + 1)
                    break
        if not negated and line not in self._frame:
            self._put(self._place, line)

    def _span(self, head: str) -> tuple[int, int]:
        if head not in self._frame:
            raise Refused(INVALID)
        start = self._frame.index(head)
        end = start + 1
        while end < len(self._frame) and self._frame[end].startswith(" "):
            end += 1
        return start, end

    def _put(self, at: int, line: str) -> None:
        self._frame.insert(at, line)
        self._place += at <= self._place

    def _cut(self, start: int, end: int) -> None:
        del self._frame[start:end]
        self._place -= (end - start) if start < self._place else 0

    # --- routing ---

    def installed(self) -> dict[tuple[str, Network], list[Hop]]:
        """Static routes in force: of each prefix the hops with the lowest distance of those that can be resolved."""
        connected = list(self.connected())
        table = {}
        for (vrf, network), hops in self.routes.items():
            alive = [hop for hop in hops.values() if self._resolves(vrf, network, hop, connected)]
            best = min((hop.distance for hop in alive), default=0)
            if alive and not any(other == (vrf, network) for other in connected):
                table[vrf, network] = [hop for hop in alive if hop.distance == best]
        return table

    def _resolves(self, vrf: str, network: Network, hop: Hop, connected: list[tuple[str, Network]]) -> bool:
        if hop.address is None or hop.interface is not None:
            return True
        wanted = hop.vrf or vrf
        address = ipaddress.ip_address(hop.address)
        if any(where == wanted and address in net for where, net in connected):
            return True
        return any(  # a remote next hop, through another static route whose own next hop is attached
            where == wanted
            and net != network
            and net.prefixlen > 0
            and address in net
            and self._attached(where, hops, connected)
            for (where, net), hops in self.routes.items()
        )

    def _attached(self, vrf: str, hops: dict[Key, Hop], connected: list[tuple[str, Network]]) -> bool:
        addresses = [ipaddress.ip_address(hop.address) for hop in hops.values() if hop.address and not hop.vrf]
        return any(where == vrf and address in net for address in addresses for where, net in connected)

    def connected(self) -> Iterator[tuple[str, Network]]:
        """(VRF, network) of the addresses of interfaces."""
        vrf, inside = "default", False
        for line in self._frame:
            words = line.split()
            if line[:1].strip():
                vrf, inside = "default", words[0] == "interface"
            elif inside and words[:2] == ["vrf", "member"]:
                vrf = words[2]
            elif inside and words[:2] in (["ip", "address"], ["ipv6", "address"]):
                yield vrf, ipaddress.ip_interface(words[2]).network


def _read_route(words: list[str]) -> tuple[Network, Hop, dict[str, Any]]:
    """(prefix, hop, what was given beside its key) of `ip route ...`."""
    version = 4 if words[0] == "ip" else 6
    rest = words[2:]
    if not rest:
        raise Refused(INCOMPLETE)
    text = rest.pop(0)
    if "/" not in text:
        if version == 6 or not rest:
            raise Refused(INVALID)
        text = f"{text}/{rest.pop(0)}"
    network = _network(text, version)
    if not rest:
        raise Refused(INCOMPLETE)
    interface = address = None
    if (named := _INTERFACE.fullmatch(rest[0])) and named[1].lower() in _INTERFACES:
        interface = _INTERFACES[named[1].lower()] + named[2]
        rest.pop(0)
    if (
        interface != "Null0"
        and rest
        and not rest[0].isdigit()
        and (interface is None or rest[0][0].isdigit() or ":" in rest[0])
    ):
        next_hop = _network(rest.pop(0), version)
        if next_hop.num_addresses != 1:
            raise Refused(INVALID)
        address = str(next_hop.network_address)
    given: dict[str, Any] = {}
    vrf = None
    left = iter(rest)
    for word in left:
        if word == "vrf":
            vrf = next(left, None)
        elif word == "name":
            given["name"] = next(left, "")
        elif word == "track":
            given["track"] = str(_number(next(left, ""), 1, 512))
        elif word == "tag":
            given["tag"] = _number(next(left, ""), 0, 0xFFFFFFFF)
        else:
            given["distance"] = _number(word, 1, 255)
    name = given.get("name")
    if isinstance(name, str) and not 0 < len(name) <= 50:
        raise Refused(INVALID)
    return network, Hop(interface, address, vrf, **given), given


def _network(text: str, version: int) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Refused(INVALID) from None
    if network.version != version:
        raise Refused(INVALID)
    return network


def _number(word: str, lowest: int, highest: int) -> int:
    if not word.isdigit() or not lowest <= int(word) <= highest:
        raise Refused(INVALID)
    return int(word)


def _order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _address_order(hop: Hop) -> int:
    return int(ipaddress.ip_address(hop.address)) if hop.address else 0


def route_table(config: Config, version: int, vrf: str, shown: Iterable[tuple[Network, list[str]]]) -> str:
    """An answer of `show ip route`: the head of the table and its entries, or that there are none."""
    name = "IP Route Table" if version == 4 else "IPv6 Routing Table"
    lines = [
        f'{name} for VRF "{vrf}"',
        "'*' denotes best ucast next-hop",
        "'**' denotes best mcast next-hop",
        "'[x/y]' denotes [preference/metric]",
        "'%<string>' in via output denotes VRF <string>",
        "",
    ]
    entries = [line for network, paths in shown for line in (f"{network}, ubest/mbest: {len(paths)}/0", *paths)]
    return "\n".join([*lines, *(entries or ["Route not found"])]) + "\n"


def forwarding_table(version: int, vrf: str, shown: Iterable[tuple[Network, list[tuple[str, str]]]]) -> str:
    """An answer of `show forwarding ipv4 route`: the table of the only module; next hop and interface of each path."""
    rule = "-" * 18 + "+" + "-" * 41 + "+" + "-" * 22 + "+" + "-" * 17 + "+" + "-" * 17
    head = "Prefix            | Next-hop                                | Interface            | Labels          | Partial Install "
    lines = [f"slot  1\n=======\n\n\nIPv{version} routes for table {vrf}/base\n", rule, head, rule]
    for network, paths in shown:
        rows = [f"{next_hop:<41} {interface:<20}" for next_hop, interface in paths]
        lines += [f"{network!s:<20} {rows[0]}", *(" " * 21 + row for row in rows[1:])]
    return "\n".join(lines) + "\n"

"""A configuration of an Arista switch: what the emulator keeps of it, how commands change it, how it is printed.

From the EOS manual ("ip route", "Static Inter-VRF Route", "ip route nexthop-group"): a static route is known by its
prefix, next hop and distance; all paths of one prefix and distance share one tag, and the last command that names one
sets it; `no` without a next hop takes all of a prefix, without a distance all of a next hop; removing what is not there
is no error. Seen on devices: a route typed again loses the name and the tracking that are left out, Null0 does not stand
beside other next hops, tag 0 and distance 1 are not shown, routes are sorted with the default VRF first. The texts of
refusals other than "Invalid input" were not seen on a device.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import NamedTuple, Self

_MARKS = {4: "\0ip route", 6: "\0ipv6 route"}
_KEYWORDS = {"ip": 4, "ipv6": 6}
HEADERS = ("! Command:", "! device:")
_BEHIND_ROUTES = ("route-map ", "router ", "peer-filter ", "mpls ", "end")
_PLAIN = ("description", "ip address", "ipv6 address", "shutdown", "vrf", "mtu", "no switchport")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class CliError(Exception):
    """A command that the switch refuses: eAPI's code (1002 does not parse, 1000 cannot be done) and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Route(NamedTuple):
    """What a static route is known by. `via` is its next hop as printed."""

    vrf: str
    prefix: Network
    via: str
    distance: int


class Attributes(NamedTuple):
    """What else was typed."""

    tag: int = 0
    name: str = ""
    track: bool = False
    metric: int = 0


class Connected(NamedTuple):
    """A subnet of an interface."""

    vrf: str
    prefix: Network
    interface: str


@dataclass
class Config:
    """Lines without static routes, with a mark where they stand; and the routes. `block` is the mode of the session."""

    lines: list[str] = field(default_factory=list)
    routes: dict[Route, Attributes] = field(default_factory=dict)
    block: str | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """A configuration as the device prints it, without its header."""
        config = cls()
        pending = text.splitlines()
        verbatim = False
        for number, line in enumerate(pending):
            words = line.split()
            if not verbatim and words[1:2] == ["route"] and words[0] in _KEYWORDS:
                mark = _MARKS[_KEYWORDS[words[0]]]
                if mark not in config.lines:
                    config.lines.append(mark)
                config._route(words, negated=False, check=False)
                continue
            behind = number and pending[number - 1].split()[1:2] == ["route"]
            if line.startswith(HEADERS) or (line == "!" and behind and config.lines[-1].startswith("\0")):
                continue
            verbatim = line != "EOF" if verbatim else line.startswith("banner ")
            config.lines.append(line)
        place = next((n for n, line in enumerate(config.lines) if line.startswith(_BEHIND_ROUTES)), len(config.lines))
        if _MARKS[4] not in config.lines:
            config.lines.insert(config.lines.index(_MARKS[6]) if _MARKS[6] in config.lines else place, _MARKS[4])
        if _MARKS[6] not in config.lines:
            config.lines.insert(config.lines.index(_MARKS[4]) + 1, _MARKS[6])
        return config

    def copy(self) -> "Config":
        return Config(list(self.lines), dict(self.routes))

    def text(self) -> str:
        """As printed behind the header."""
        out: list[str] = []
        for line in self.lines:
            family = next((family for family, mark in _MARKS.items() if mark == line), None)
            if family is None:
                out.append(line)
                continue
            own = sorted((route for route in self.routes if route.prefix.version == family), key=_order)
            out += [self._shown(route) for route in own] + (["!"] if own else [])
        return "\n".join(out) + "\n"

    def without_tag(self, tag: int) -> "Config":
        rest = self.copy()
        rest.routes = {route: more for route, more in self.routes.items() if more.tag != tag}
        return rest

    # --- what it says ---

    def vrfs(self) -> set[str]:
        return {"default", *(line.split()[2] for line in self.lines if line.startswith("vrf instance "))}

    def routing(self, vrf: str, family: int) -> bool:
        """Whether the VRF routes at all: `ip routing` and `ipv6 unicast-routing`."""
        words = "ip routing" if family == 4 else "ipv6 unicast-routing"
        return (words if vrf == "default" else f"{words} vrf {vrf}") in self.lines

    def connected(self) -> list[Connected]:
        """The subnets of all interfaces that are not shut down."""
        found: list[Connected] = []
        own: list[Network] = []
        name = vrf = ""
        for line in [*self.lines, "!"]:
            if not line.startswith(" "):
                found += [Connected(vrf, network, name) for network in own]
                name, vrf, own = line.removeprefix("interface ") if line.startswith("interface ") else "", "default", []
            elif name and line.split()[:2] in (["ip", "address"], ["ipv6", "address"]):
                own.append(ipaddress.ip_interface(line.split()[2]).network)
            elif name and line.split()[0] == "vrf":
                vrf = line.split()[-1]
            elif line.strip() == "shutdown":
                own = []
        return found

    # --- commands ---

    def command(self, line: str) -> None:
        """One line of configuration mode.

        Raises:
            CliError: the switch refuses it.
        """
        words = line.split()
        negated = words[:1] == ["no"] and words != ["no", "switchport"]
        if negated:
            words = words[1:]
        if not words or words[0] in ("!", "exit"):
            self.block = None
        elif words[1:2] == ["route"] and words[0] in _KEYWORDS:
            self.block = None
            self._route(words, negated=negated, check=True)
        elif words[0] == "interface" and len(words) == 2 and not negated:
            self.block = " ".join(words)
            if self.block not in self.lines:
                self._insert(self.block)
        elif self.block is not None and " ".join(words).startswith(_PLAIN):
            self._within(self.block, " ".join(words), negated=negated)
        elif words[0] == "hostname" and len(words) == 2 and not negated:
            self.lines = [f"hostname {words[1]}" if old.startswith("hostname ") else old for old in self.lines]
        elif words[:2] in (["ip", "routing"], ["ipv6", "unicast-routing"], ["vrf", "instance"]):
            self._top(" ".join(words), negated=negated)
        else:
            raise CliError(1002, f"Invalid input (at token {int(negated)}: '{words[0]}')")

    def _within(self, block: str, line: str, *, negated: bool) -> None:
        start = self.lines.index(block) + 1
        end = next(n for n in range(start, len(self.lines)) if not self.lines[n].startswith(" "))
        same = line.split(maxsplit=1)[0] if line.startswith("description") else line
        kept = [old for old in self.lines[start:end] if not old.strip().startswith(same)]
        self.lines[start:end] = kept if negated else [*kept, f"   {line}"]

    def _top(self, line: str, *, negated: bool) -> None:
        if negated:
            self.lines = [old for old in self.lines if old != line]
        elif line not in self.lines:
            self._insert(line)

    def _insert(self, line: str) -> None:
        place = self.lines.index(_MARKS[4])
        self.lines[place:place] = [line, "!"]

    def _route(self, words: list[str], *, negated: bool, check: bool) -> None:
        family = _KEYWORDS[words[0]]
        rest = words[2:]
        vrf = "default"
        if rest[:1] == ["vrf"]:
            if len(rest) < 2:
                raise _incomplete(words)
            vrf, rest = rest[1], rest[2:]
        if check and vrf not in self.vrfs():
            raise CliError(1000, f"VRF {vrf} is not configured")
        prefix, rest = _prefix(words, rest, family)
        if negated and not rest:
            self.routes = {
                route: more for route, more in self.routes.items() if (route.vrf, route.prefix) != (vrf, prefix)
            }
            return
        via, rest = _via(words, rest, family)
        distance, attributes = _attributes(words, rest)
        if negated:
            gone = [r for r in self.routes if r[:3] == (vrf, prefix, via) and distance in (None, r.distance)]
            for route in gone:
                del self.routes[route]
            return
        new = Route(vrf, prefix, via, distance or 1)
        beside = [r for r in self.routes if r[:2] == (vrf, prefix) and r.distance == new.distance and r != new]
        if any((route.via == "Null0") != (via == "Null0") for route in beside):
            raise CliError(1000, "Null0 cannot stand beside other next hops")
        self.routes[new] = attributes
        for route in beside:
            self.routes[route] = self.routes[route]._replace(tag=attributes.tag)

    def _shown(self, route: Route) -> str:
        more = self.routes[route]
        parts = [
            "ip route" if route.prefix.version == 4 else "ipv6 route",
            "" if route.vrf == "default" else f"vrf {route.vrf}",
            str(route.prefix),
            route.via,
            "track bfd" if more.track else "",
            str(route.distance) if route.distance != 1 else "",
            f"tag {more.tag}" if more.tag else "",
            f"name {more.name}" if more.name else "",
            f"metric {more.metric}" if more.metric else "",
        ]
        return " ".join(part for part in parts if part)


def _order(route: Route) -> tuple[object, ...]:
    last = route.via.rpartition(" ")[2]
    try:
        address = int(ipaddress.ip_address(last))
    except ValueError:
        address = -1
    prefix = route.prefix
    place = (int(prefix.network_address), prefix.prefixlen)
    return (route.vrf != "default", route.vrf, *place, route.distance, address, route.via)


def _prefix(words: list[str], rest: list[str], family: int) -> tuple[Network, list[str]]:
    """Address and length, or address and mask; host bits are cleared."""
    if not rest:
        raise _incomplete(words)
    text, rest = rest[0], rest[1:]
    if "/" not in text and family == 4:
        if not rest:
            raise _incomplete(words)
        text, rest = f"{text}/{rest[0]}", rest[1:]
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _invalid(words, text) from None
    if network.version != family or "/" not in text:
        raise _invalid(words, text)
    return network, rest


def _via(words: list[str], rest: list[str], family: int) -> tuple[str, list[str]]:
    if not rest:
        raise _incomplete(words)
    first, rest = rest[0], rest[1:]
    if first == "egress-vrf":
        if not rest:
            raise _incomplete(words)
        inner, left = _via(words, rest[1:], family)
        return f"egress-vrf {rest[0]} {inner}", left
    if first.lower() == "null0":
        return "Null0", rest
    if first.lower() == "nexthop-group" and rest:
        return f"Nexthop-Group {rest[0]}", rest[1:]
    if (address := _address(first, family)) is not None:
        return address, rest
    if not first[:1].isalpha() or not first[-1].isdigit():
        raise _invalid(words, first)
    interface = first[:1].upper() + first[1:]
    if rest and (address := _address(rest[0], family)) is not None:
        return f"{interface} {address}", rest[1:]
    return interface, rest


def _address(word: str, family: int) -> str | None:
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return None
    return str(address) if address.version == family and not word.isdigit() else None


def _attributes(words: list[str], rest: list[str]) -> tuple[int | None, Attributes]:
    """Distance (None: not written) and the rest, in the order of the manual."""
    distance = None
    found = Attributes()
    left = list(rest)
    while left:
        word = left.pop(0)
        if word.isdigit() and distance is None and 1 <= int(word) <= 255:
            distance = int(word)
            continue
        if word not in ("track", "tag", "name", "metric"):
            raise _invalid(words, word)
        if not left:
            raise _incomplete(words)
        value = left.pop(0)
        if word == "name":
            found = found._replace(name=value)
        elif word == "track" and value == "bfd":
            found = found._replace(track=True)
        elif word == "tag" and _is_number(value):
            found = found._replace(tag=int(value))
        elif word == "metric" and _is_number(value):
            found = found._replace(metric=int(value))
        else:
            raise _invalid(words, value)
    return distance, found


def _is_number(word: str) -> bool:
    return word.isdigit() and int(word) < 2**32


def _invalid(words: list[str], word: str) -> CliError:
    place = next((n for n, other in enumerate(words) if other in word), 0)
    return CliError(1002, f"Invalid input (at token {place}: '{word}')")


def _incomplete(words: list[str]) -> CliError:
    return CliError(1002, f"Incomplete command (at token {len(words)}: None)")

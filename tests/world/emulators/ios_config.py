"""The running configuration of an IOS router: static routes by their meaning, everything else as text.

Rules from the IOS IP Routing and IPv6 command references: a next hop of a prefix stands once, and typing it again
replaces its line; `no` has to match what it gives ("%No matching route to delete"); errors are printed and the next
line is taken. Not seen on a device: that a replaced line loses what is left out, and where a new line is shown.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

INVALID = "% Invalid input detected at '^' marker."
INCOMPLETE = "% Incomplete command."
ABSENT = "%No matching route to delete"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_IPV4_PLACE, _IPV6_PLACE = "\0ip", "\0ipv6"
_BEHIND = re.compile(r"ip (ssh|scp|access-list|sla)|ipv6 (access-list|prefix-list)|control-plane|banner|line |end$")
_TEXT = re.compile(r"(?:banner \S+|aaa authentication banner) (\^C)(.*)")
_SETTINGS = ("static", "profile", "topology")
_FLAGS = ("permanent", "multicast", "unicast", "global")


class Refused(Exception):
    """The router prints this instead of taking a line."""


@dataclass(frozen=True)
class Route:
    """One static line."""

    vrf: str
    prefix: Network
    interface: str = ""
    address: str = ""
    nexthop_vrf: str = ""
    distance: int = 1
    tag: int = 0
    name: str = ""
    track: str = ""
    flags: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[object, ...]:
        return (self.vrf, self.prefix, self.interface, self.address, self.nexthop_vrf)

    @property
    def discards(self) -> bool:
        return self.interface == "Null0"

    @property
    def target(self) -> str:
        return "discard" if self.discards else self.address or self.interface

    def line(self) -> str:
        """As the running configuration shows it."""
        ipv4 = isinstance(self.prefix, ipaddress.IPv4Network)
        words = ["ip route" if ipv4 else "ipv6 route", f"vrf {self.vrf}" if self.vrf != "default" else ""]
        words += [f"{self.prefix.network_address} {self.prefix.netmask}" if ipv4 else str(self.prefix).upper()]
        words += [self.interface, self.address.upper(), f"nexthop-vrf {self.nexthop_vrf}" if self.nexthop_vrf else ""]
        words += [str(self.distance) if self.distance != 1 else "", f"tag {self.tag}" if self.tag else ""]
        words += ["permanent" if "permanent" in self.flags else ""]
        quote = '"' if " " in self.name else ""
        words += [f"name {quote}{self.name}{quote}" if self.name else "", f"track {self.track}" if self.track else ""]
        words += sorted(self.flags - {"permanent"})
        return " ".join(word for word in words if word)


@dataclass
class Config:
    """One configuration; `frame` are its other lines, with two marks where static routes are shown."""

    routes: dict[tuple[object, ...], Route] = field(default_factory=dict)
    frame: list[str] = field(default_factory=list)
    block: str = ""

    @classmethod
    def of(cls, text: str) -> "Config":
        """A text as it was shown.

        Raises:
            Refused: a line is none of IOS.
        """
        config = cls()
        lines = text.splitlines()
        config.frame = [line for line, free in _outside_text(lines) if free or not _is_route(line)]
        first = next((n for n, line in enumerate(config.frame) if _BEHIND.match(line)), len(config.frame))
        before = [line for line, free in _outside_text(lines) if not free and _is_route(line)]
        config.frame[first:first] = [_IPV4_PLACE, _IPV6_PLACE]
        for line in before:
            config.add_route(line.split(None, 1)[0], _words(line)[2:], no=False)
        return config

    def text(self) -> str:
        """As `show running-config` prints it, below its head."""
        shown: list[str] = []
        for line in self.frame:
            if line in (_IPV4_PLACE, _IPV6_PLACE):
                kind = line[1:] + " "
                shown += [found for route in self.routes.values() if (found := route.line()).startswith(kind)]
            else:
                shown.append(line)
        return "\n".join(shown) + "\n"

    def configure(self, line: str) -> None:
        """One line in configuration mode.

        Raises:
            Refused: with the router's text.
        """
        words = _words(line)
        if not words or words[0].startswith("!"):
            return
        no = words[0] == "no"
        rest = words[1:] if no else words
        if (
            not line[0].isspace()
            and rest[0] in ("ip", "ipv6")
            and rest[1:2] == ["route"]
            and rest[2:3] not in ([setting] for setting in _SETTINGS)
        ):
            self.block = ""
            self.add_route(rest[0], rest[2:], no=no)
        elif line[0].isspace() and self.block:
            self._indented(line.rstrip(), no=no)
        else:
            self._top(line.rstrip(), " ".join(rest), no=no)

    def add_route(self, family: str, words: list[str], *, no: bool) -> None:
        """`ip route ...` or `ipv6 route ...`, with or without `no`.

        Raises:
            Refused: with the router's text.
        """
        route, given = self._read(family, words)
        standing = self.routes.get(route.key)
        if not no:
            self.routes[route.key] = route
        elif standing is None or any(getattr(standing, word) != getattr(route, word) for word in given):
            raise Refused(ABSENT)
        else:
            del self.routes[route.key]

    def _read(self, family: str, words: list[str]) -> tuple[Route, set[str]]:
        vrf = "default"
        if words[:1] == ["vrf"]:
            vrf, words = (words[1:2] or [""])[0], words[2:]
            if vrf not in self.vrfs():
                raise Refused(f"% {'IP' if family == 'ip' else 'IPv6'} routing table {vrf} does not exist")
        prefix, words = _read_prefix(family, words)
        if not words:
            raise Refused(INCOMPLETE)
        found: dict[str, object] = {}
        if not _is_address(words[0], prefix):
            interface = words.pop(0)
            if not re.fullmatch(r"[A-Za-z][A-Za-z-]*\d[\d/.:]*", interface):
                raise Refused(INVALID)
            found["interface"] = "Null0" if interface.lower() == "null0" else interface
        if words and _is_address(words[0], prefix):
            found["address"] = str(ipaddress.ip_address(words.pop(0)))
            if any(found["address"] == str(own.ip) for own in self.interfaces(vrf)):
                raise Refused("%Invalid next hop address (it's this router)")
        if words[:1] == ["nexthop-vrf"] and family == "ipv6":
            found["nexthop_vrf"], words = words[1], words[2:]
        if words and words[0].isdigit():
            found["distance"] = _number(words.pop(0), 255)
        given = set(found) - {"interface", "address", "nexthop_vrf"}
        while words:
            word = words.pop(0)
            if word in _FLAGS:
                found["flags"] = frozenset((word,)) | found.get("flags", frozenset())  # type: ignore[operator]
                word = "flags"
            elif word not in ("tag", "name", "track"):
                raise Refused(INVALID)
            elif not words:
                raise Refused(INCOMPLETE)
            else:
                value = words.pop(0)
                found[word] = _number(value, 2**32 - 1) if word == "tag" else value
            given.add(word)
        return Route(vrf, prefix, **found), given  # type: ignore[arg-type]

    def _indented(self, line: str, *, no: bool) -> None:
        start = self.frame.index(self.block)
        end = next(n for n in range(start + 1, len(self.frame) + 1) if not self.frame[n : n + 1][0].startswith(" "))
        wanted = f" {line.split(None, 1)[1]}" if no else line
        if wanted in self.frame[start:end]:
            if no:
                self.frame.remove(wanted)
        elif not no:
            self.frame.insert(end, line)

    def _top(self, line: str, rest: str, *, no: bool) -> None:
        if not no:
            self.block = line
            if line not in self.frame:
                at = self.frame.index(_IPV4_PLACE)
                self.frame.insert(at, line)
        elif rest in self.frame:
            start = self.frame.index(rest)
            end = start + 1
            while end < len(self.frame) and self.frame[end].startswith(" "):
                end += 1
            del self.frame[start:end]

    # --- what the routes rest on ---

    def vrfs(self) -> set[str]:
        heads = (re.fullmatch(r"(?:vrf definition|ip vrf) (\S+)", line) for line in self.frame)
        return {head[1] for head in heads if head} | {"default"}

    def has(self, line: str) -> bool:
        return line in self.frame

    def interfaces(self, vrf: str) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
        """The addresses of the VRF's interfaces."""
        found: list[tuple[str, ipaddress.IPv4Interface | ipaddress.IPv6Interface]] = []
        own, inside = "default", False
        for line in self.frame:
            if not line.startswith(" "):
                own, inside = "default", line.startswith("interface ")
            elif inside and (member := re.fullmatch(r" (?:ip )?vrf forwarding (\S+)", line)):
                own = member[1]
            elif inside and (ipv4 := re.fullmatch(r" ip address (\S+) (\S+)", line)):
                found.append((own, ipaddress.IPv4Interface(f"{ipv4[1]}/{ipv4[2]}")))
            elif inside and (ipv6 := re.fullmatch(r" ipv6 address (\S+/\d+)", line)):
                found.append((own, ipaddress.IPv6Interface(ipv6[1])))
        return [address for member_of, address in found if member_of == vrf]

    def table(self) -> dict[tuple[str, Network], list[Route]]:
        """The routing table's static routes: of each prefix those with the lowest distance whose hop can be reached."""
        best: dict[tuple[str, Network], list[Route]] = {}
        connected = {vrf: [own.network for own in self.interfaces(vrf)] for vrf in self.vrfs()}
        for route in self.routes.values():
            if not self._reached(route, connected):
                continue
            hops = best.setdefault((route.vrf, route.prefix), [])
            if not hops or route.distance == hops[0].distance:
                hops.append(route)
            elif route.distance < hops[0].distance:
                hops[:] = [route]
        return best

    def _reached(self, route: Route, connected: dict[str, list[Network]]) -> bool:
        if route.interface or not route.address:
            return True
        via = "default" if "global" in route.flags else route.nexthop_vrf or route.vrf
        address = ipaddress.ip_address(route.address)
        covering = [*connected[via], *(r.prefix for r in self.routes.values() if r.vrf == via and r.interface)]
        return any(address in network for network in covering)


def _outside_text(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """The lines, and whether each belongs to a banner."""
    mark = ""
    for line in lines:
        opening = None if mark else _TEXT.match(line)
        yield line, bool(mark or opening)
        if mark and mark in line:
            mark = ""
        elif opening and opening[1] not in opening[2]:
            mark = opening[1]


def _is_route(line: str) -> bool:
    words = line.split(None, 3)
    return words[:2] in (["ip", "route"], ["ipv6", "route"]) and words[2:3] not in ([word] for word in _SETTINGS)


def _words(line: str) -> list[str]:
    return [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]


def _is_address(word: str, prefix: Network) -> bool:
    try:
        return ipaddress.ip_address(word).version == prefix.version
    except ValueError:
        return False


def _number(word: str, highest: int) -> int:
    if not word.isdigit() or not 1 <= int(word) <= highest:
        raise Refused(INVALID)
    return int(word)


def _read_prefix(family: str, words: list[str]) -> tuple[Network, list[str]]:
    if len(words) < (2 if family == "ip" else 1):
        raise Refused(INCOMPLETE)
    try:
        if family == "ipv6":
            return ipaddress.IPv6Network(words[0], strict=False), words[1:]
        address = ipaddress.IPv4Address(words[0])
        prefix = ipaddress.IPv4Network(f"{address}/{words[1]}", strict=False)
    except ValueError:
        raise Refused(INVALID) from None
    if prefix.network_address != address or str(prefix.netmask) != words[1]:
        raise Refused("%Inconsistent address and mask")
    return prefix, words[2:]

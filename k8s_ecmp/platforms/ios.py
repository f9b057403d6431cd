"""Cisco IOS and IOS-XE: `ip route [vrf V] PREFIX MASK [INTERFACE] [NEXTHOP] [DISTANCE] [tag N] [name WORD] [track N]`.

Grammar as in the IOS IP Routing and IPv6 command references ("ip route", "ipv6 route"), order of the words as in
running configurations of 15.x and 16.x: distance, tag, permanent, name, then track or multicast. IPv6 stands in upper
case. One next hop has one distance, tag and name. What typing a hop again does with words that are left out was not
seen on a device: nothing that is written here relies on it, all words are written, or the hop is first removed by its
whole line.
"""

import contextlib
import re
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

import msgspec

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RunningRoutes
from k8s_ecmp.platforms.base import Capabilities, Verification
from k8s_ecmp.platforms.edits import changed_lines
from k8s_ecmp.platforms.flat import FlatPlatform
from k8s_ecmp.platforms.reading import read_commands
from k8s_ecmp.platforms.syntax import ELSEWHERE, Place, Tail, outline
from k8s_ecmp.platforms.words import as_address, is_number, read_attributes

_KEYWORDS = ("nexthop-vrf",)
_OPTIONS = frozenset({"track"})  # with one more word
_FLAGS = frozenset({"permanent", "multicast", "unicast", "global", "dhcp"})
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z-]*\d[\d/.:]*")
# Tags as `route-tag notation dotted-decimal` shows them.
_DOTTED_TAG = re.compile(r" tag \d+\.\d+\.\d+\.\d+(?: |$)")
_DHCP = "dhcp"
_PERMANENT = "permanent"
# Settings with free text behind them, which running configurations put between two ^C. A message may stand in one line.
# A banner inside a block (of a client group, of a web page) has no type; it and that of web authentication may name a
# file instead of a text ("ip admission auth-proxy-banner http flash:login.html").
_TEXT = re.compile(
    r"(?:banner (?:motd|login|exec|incoming|prompt-timeout|slip-ppp|config-save)"
    r"|\s+banner(?: text| title)?(?= +(?:\^C|[^\w\s]|\w(?!\S)))"
    r"|ip (?:auth-proxy|admission) (?:auth-proxy-banner \S+|consent-banner text)(?= +(?:\^C|[^\w\s/]|\w(?!\S)))"
    r"|\s*(?:menu \S+ (?:title|prompt)|login-string \S+|aaa authentication (?:banner|fail-message)"
    r"|(?:vacant|refuse)-message|busy-message \S+)) +(\^C|\S)(.*)"
)
# What running configurations have behind the static routes.
_AFTER_ROUTES = re.compile(
    r"(?:ip (?:ssh|scp|tacacs|radius|sla|access-list|prefix-list|community-list|as-path)|ipv6 (?:route|access-list)"
    r"|ipv6 prefix-list|access-list|route-map|snmp-server|tacacs|radius|control-plane|banner|alias|line|ntp|end)"
    r"(?:[ -]|$)"
)


class Ios(FlatPlatform):
    """Cisco IOS and IOS-XE."""

    name = "ios"
    # max_paths: the software allows 32 equal-cost routes, hardware may use fewer, the Catalyst 3560 sixteen (its
    # configuration guide, "Configuring the Number of Equal-Cost Routing Paths"); 32 is the range of `maximum-paths` in
    # IOS-XE (Cisco-IOS-XE-ospf of 17.1.1). Up to 12.2 "static routes always install six routes" (IOS IP configuration
    # guide, "Changing the Maximum Number of Paths"). Not seen on a device.
    capabilities: ClassVar[Capabilities] = Capabilities(
        atomic=False,
        device_diff=True,
        confirm=True,
        message=False,
        lock=False,
        name_mark=True,
        max_paths=32,
        timer_step_s=60,
        timer_needs="`archive` and below it a `path`, as `path flash:archive`",
        timer_line=r"^archive\s*\n(?:[ \t].*\n)*?[ \t]+path \S",
        track="track",
        # "All static routes that specify the same values for the interface-type, interface-number, and ip-address
        # arguments will automatically use BFD" (IOS IP Routing command reference, "ip route static bfd").
        bfd_apart=("ip route static bfd INTERFACE NEXTHOP", "ipv6 route static bfd INTERFACE NEXTHOP"),
        verify="fib",
        neighbours=True,
    )
    signs = frozenset(
        {"aaa", "access-list", "alias", "archive", "banner", "boot-end-marker", "boot-start-marker", "bridge"}
        | {
            "call-home",
            "cdp",
            "class-map",
            "clock",
            "control-plane",
            "crypto",
            "diagnostic",
            "enable",
            "end",
            "errdisable",
        }
        | {"event", "file", "flow", "hostname", "interface", "ip", "ipv6", "key", "license", "line", "lldp", "logging"}
        | {
            "login",
            "memory",
            "monitor",
            "multilink",
            "no",
            "ntp",
            "object-group",
            "platform",
            "policy-map",
            "privilege",
        }
        | {"radius", "radius-server", "redundancy", "route-map", "router", "service", "snmp-server", "spanning-tree"}
        | {
            "switch",
            "tacacs",
            "tacacs-server",
            "template",
            "track",
            "transceiver",
            "username",
            "version",
            "vlan",
            "vrf",
        }
        | {"vtp"}
    )
    headers = ("Building configuration", "Current configuration", "version ")
    # Below level 15 the router shows what the account's level may configure, closed by `end` (Cisco's "IOS Privilege
    # Levels Cannot See Complete Running Configuration").
    parts = frozenset({"version", "hostname"})
    parts_remedy = "does the account have privilege 15? Below it, `show running-config` leaves out most lines"
    not_routes = frozenset({"static", "profile", "topology"})
    vrf_heads = frozenset({"vrf definition", "ip vrf"})

    def __init__(self) -> None:
        from k8s_ecmp.platforms.ios_tables import IosVerification

        self.verification: Verification | None = IosVerification()

    def read_tail(self, words: Sequence[str], family: int) -> Tail:  # noqa: ARG002
        """INTERFACE | [INTERFACE] NEXTHOP | Null0 | [INTERFACE] dhcp, then options in any order.

        Raises:
            ValueError: the structure cannot be read.
        """
        rest = _quoted(words)
        target = rest.pop(0)
        address = interface = None
        discard = target.lower() == "null0"
        if target == _DHCP:
            rest.insert(0, _DHCP)
        elif not discard:
            address = as_address(target)
            interface = target if address is None else None
        if interface is not None:
            if not _INTERFACE.fullmatch(interface):
                raise ValueError(f"{interface!r} is neither a next hop nor an interface")
            if rest and not is_number(rest[0]) and (address := as_address(rest[0])) is not None:
                rest.pop(0)
        distance, tag, name, values, options = read_attributes(rest, _KEYWORDS, _OPTIONS, _FLAGS, dotted_tags=True)
        return Tail(NextHop(address, interface, values.get("nexthop-vrf"), discard, distance, tag, name, options))

    def shown(self, vrf: str, prefix: Prefix, hop: NextHop, beside: str | None) -> str:
        """As `show running-config` has it: masks, upper-case IPv6, VRF first, Null0; tags as in the line beside."""
        hop = self.normal(hop)
        dotted = hop.tag is not None and beside is not None and _DOTTED_TAG.search(beside)
        early, late = self.options(hop)
        words = [
            "ip route" if prefix.family == 4 else "ipv6 route",
            f"vrf {vrf}" if vrf != DEFAULT_VRF else "",
            f"{prefix.address} {_netmask(prefix.length)}" if prefix.family == 4 else str(prefix).upper(),
            "Null0" if hop.discard else "",
            hop.interface,
            hop.address.upper() if hop.address else "",
            early,
            f"nexthop-vrf {hop.vrf}" if hop.vrf else "",
            str(hop.distance) if hop.distance else "",
            f"tag {_dotted(hop.tag) if dotted else hop.tag}" if hop.tag else "",
            _PERMANENT if _PERMANENT in hop.options else "",
            f"name {_as_word(hop.name)}" if hop.name else "",
            late,
        ]
        return " ".join(word for word in words if word)

    def section(self, line: str, vrf: str | None) -> str | None:
        """Static lines stand at the top level; in a VRF's block they would be those of another platform."""
        if line[0].isspace():
            return vrf
        if line.startswith(("vrf ", "ip vrf ")):
            return None
        return DEFAULT_VRF if line[0] == "!" or line.split(None, 1)[0] in self.frame else ELSEWHERE

    def text_block(self, line: str) -> Callable[[str], bool] | None:
        """Banners and their like run to their delimiter, macros to a line "@", those of port events to a line "}"."""
        if line.startswith("macro name "):
            return _is_at_sign
        if line.startswith("macro auto execute ") and line.rstrip().endswith("{"):
            return _is_brace
        found = _TEXT.match(line)
        if found is None:
            return None
        mark, text = found.groups()
        return None if mark in text else (lambda later: mark in later)

    def slot(self, hop: NextHop) -> Hashable:
        """A next hop that DHCP gives is a target of its own."""
        return (hop.address, hop.interface, hop.vrf, hop.discard, _DHCP in hop.options)

    def retyped(self, standing: NextHop, typed: NextHop) -> NextHop:
        """What is left out stays, as far as we rely on."""
        return msgspec.structs.replace(
            typed,
            distance=standing.distance if typed.distance is None else typed.distance,
            tag=standing.tag if typed.tag is None else typed.tag,
            name=standing.name if typed.name is None else typed.name,
            options=typed.options or standing.options,
        )

    def options(self, hop: NextHop) -> tuple[str, str]:
        """`dhcp` stands for the next hop; `permanent` has a place of its own."""
        if not hop.options:
            return "", ""
        late = " ".join(word for word in hop.options if word not in (_DHCP, _PERMANENT))
        return _DHCP if _DHCP in hop.options else "", late

    def place(self, lines: Sequence[str], vrf: str) -> Place:  # noqa: ARG002
        """Behind the other lines with `ip`, before access lists, management and lines."""
        for number, line in outline(self, lines):
            if _AFTER_ROUTES.match(line):
                return Place(number)
        return Place(len(lines) if lines and not lines[-1] else len(lines) + 1)

    def foreign_lines(self, device_diff: str, running: RunningRoutes, commands: str) -> list[str]:  # noqa: ARG002
        """The candidate's lines that the router would send to itself and that `commands` does not have.

        The incremental diff lists commands, not lines: removals begin with `no`. Addresses may be spelt in another way.
        """

        def meanings(text: str) -> set[tuple[bool, str, Prefix, NextHop | None]]:
            return {
                (found.negated, found.vrf, found.prefix, found.hop and self.normal(found.hop))
                for found in read_commands(self, text)
            }

        planned = meanings(commands)
        shown = [(words[0], " ".join(words[1:])) for _, words in changed_lines(device_diff)]
        with contextlib.suppress(ParseError):
            if meanings("\n".join(line for _, line in shown)) <= planned:
                return []
        foreign = []
        for sign, line in shown:
            try:
                known = meanings(line) <= planned
            except ParseError:
                known = False
            if not known:
                foreign.append(f"{sign} {line}")
        return foreign


def _quoted(words: Sequence[str]) -> list[str]:
    """The words, of which those between two quotes are one, without the quotes.

    Raises:
        ValueError: a quote is never closed.
    """
    if not any('"' in word for word in words):
        return list(words)
    found: list[str] = []
    inside: list[str] | None = None
    for word in words:
        if inside is None and not word.startswith('"'):
            found.append(word)
            continue
        inside = [word] if inside is None else [*inside, word]
        text = " ".join(inside)
        if text.endswith('"') and len(text) > 1:
            found.append(text[1:-1])
            inside = None
    if inside is not None:
        raise ValueError(f"the quote before {inside[0][1:]!r} is never closed")
    return found


def _as_word(name: str) -> str:
    """A name as it is written: in quotes where it has blanks."""
    return f'"{name}"' if " " in name else name


def _netmask(length: int) -> str:
    return _dotted((0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF)


def _dotted(value: int) -> str:
    return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))


def _is_at_sign(line: str) -> bool:
    return line.strip() == "@"


def _is_brace(line: str) -> bool:
    return line.strip() == "}"


PLATFORM = Ios()

"""Cisco IOS-XR: lines `PREFIX [vrf V] [INTERFACE] [NEXTHOP] [bfd ...] [DISTANCE] [options]` under `router static`.

Grammar as in Cisco's "Routing Command Reference for IOS XR" (static routes) and in running configurations of 6.x and
7.x. Order of the words as in the model that is made from the command line, Cisco-IOS-XR-um-router-static-cfg of 7.9.2:
bfd fast-detect [minimum-interval] [multiplier] [multihop], distance, tag, permanent, vrflabel, tunnel-id, description,
track, metric; the BFD command reference has `bfd` right behind the next hop, too ("address-family ipv4 unicast (BFD)").
They are read in any order.

A next hop is known by VRF, interface and address (lists `vrf-next-hop-*` of Cisco-IOS-XR-ip-static-cfg), so that typing
it again with other attributes replaces these; that omitted attributes go was not seen on a device.
"""

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import ClassVar

import msgspec

from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RunningRoutes
from k8s_ecmp.platforms.base import Capabilities, Verification
from k8s_ecmp.platforms.edits import Edit
from k8s_ecmp.platforms.flat import FlatPlatform
from k8s_ecmp.platforms.iosxr_blocks import banner
from k8s_ecmp.platforms.remarks import Remarks
from k8s_ecmp.platforms.syntax import Place, Statement, Tail, first_line
from k8s_ecmp.platforms.words import DISTANCE_MAX, TAG_MAX, as_address, is_number, number

_VALUES = frozenset({"metric", "track", "tunnel-id", "vrflabel", "load-metric"})
_BFD_VALUES = frozenset({"minimum-interval", "multiplier", "multihop"})
_FLAGS = frozenset({"permanent", "bfd", "fast-detect", "prefer-rib-over-ldp"})
_TARGETS = {"sr-policy": 2, "explicit-path": 3}  # words of next hops that are neither address nor interface
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z-]*[A-Za-z]?\d[\w/.:-]*")
# First words of what stands behind `router static` in a running configuration.
_BEHIND_STATIC = frozenset(
    {"router", "l2vpn", "evpn", "mpls", "multicast-routing", "netconf-yang", "rsvp", "segment-routing", "ssh"}
    | {"telemetry", "xml", "end"}
)
_EARLY = frozenset({"bfd", "fast-detect"}) | _BFD_VALUES


class IosXr(FlatPlatform):
    """Cisco IOS-XR."""

    name = "iosxr"
    # max_paths: 64 outside of BGP, which reaches more ("High-scale BGP Multipath and Load Balancing", Cisco 8000 BGP
    # guide), and the range of OSPF and IS-IS (`maximum paths`, Cisco-IOS-XR-um-router-ospf-cfg and -isis-cfg of 7.9.2);
    # 32 together with some features ("Implementing UCMP", NCS 5500 routing guide). None speaks of static routes by
    # name. Not seen on a device. max_routes is each router's own: `maximum path ipv4 N` under `router static`.
    capabilities: ClassVar[Capabilities] = Capabilities(
        atomic=True,
        device_diff=True,
        confirm=False,
        message=True,
        lock=True,
        name_mark=True,
        max_paths=64,
        # `leaf description {type string {length "1..30"}}`, `leaf distance-metric {type uint32 {range "1..254"}}`
        # (Cisco-IOS-XR-um-router-static-cfg, releases 7.5.4 and 7.9.2).
        name_length=30,
        distance_max=254,
        bfd=("bfd", "fast-detect"),
        track="track",
        verify="fib",
        neighbours=True,
    )
    signs = frozenset(
        {"aaa", "apply-group", "banner", "bundle", "cdp", "class-map", "clock", "control-plane", "domain", "end"}
        | {"evpn", "ftp", "group", "grpc", "hostname", "hw-module", "interface", "ipv4", "ipv6", "l2vpn", "line"}
        | {"lldp", "logging", "mpls", "multicast-routing", "netconf", "netconf-yang", "ntp", "policy-map"}
        | {"prefix-set", "route-policy", "router", "segment-routing", "snmp-server", "ssh", "taskgroup", "tacacs"}
        | {"telemetry", "telnet", "tpa", "username", "usergroup", "vrf", "vty-pool", "xml"}
    )
    headers = ("Building configuration...", "!! IOS XR Configuration", "!! Last configuration change")
    vrf_blocks = True
    vrf_heads = frozenset({"vrf"})

    def __init__(self) -> None:
        from k8s_ecmp.platforms.iosxr_tables import IosXrVerification

        self.verification: Verification | None = IosXrVerification()

    def statements(self, lines: Sequence[str], remarks: Remarks, *, commands: bool = False) -> Iterator[Statement]:
        """The lines of the blocks under `router static`.

        Raises:
            ParseError: a block cannot be told; in commands, a line cannot be read.
        """
        from k8s_ecmp.platforms.iosxr_reading import BlockReader

        return BlockReader(self, remarks).statements(lines, commands=commands)

    def parse(self, text: str) -> RunningRoutes:
        """All static routes of a whole running configuration; those of applied groups are disqualified.

        Raises:
            ParseError: the text is no whole configuration, or the block of a static line cannot be told.
        """
        from k8s_ecmp.platforms.iosxr_groups import with_inherited

        return with_inherited(self, super().parse(text))

    def read_tail(self, words: Sequence[str], family: int) -> Tail:  # noqa: ARG002
        """[vrf V] INTERFACE | [INTERFACE] NEXTHOP | Null0 | sr-policy NAME, then options in any order.

        Raises:
            ValueError: the structure cannot be read.
        """
        rest = list(words)
        vrf = None
        if rest[0] == "vrf":
            vrf, rest = (rest[1] if len(rest) > 1 else None), rest[2:]
        if not rest:
            raise ValueError("the next hop is missing")
        address = interface = None
        target = rest[0]
        discard = target.lower() == "null0"
        length = _TARGETS.get(target, 0)
        group = tuple(rest[:length])
        if len(group) < length:
            raise ValueError(f"{target} has no value")
        del rest[: length or 1]
        if not discard and not group:
            address = as_address(target)
            interface = target if address is None else None
        if interface is not None:
            if not _INTERFACE.fullmatch(interface):
                raise ValueError(f"{interface!r} is neither a next hop nor an interface")
            if rest and not is_number(rest[0]) and (address := as_address(rest[0])) is not None:
                rest.pop(0)
        distance, tag, name, options = _attributes(rest)
        return Tail(NextHop(address, interface, vrf, discard, distance, tag, name, group + options))

    def shown(self, vrf: str, prefix: Prefix, hop: NextHop, beside: str | None) -> str:  # noqa: ARG002
        """As `show running-config` has it: BFD, distance, tag, description, then the rest; indented by its blocks."""
        hop = self.normal(hop)
        early, late = self.options(hop)
        words = [
            str(prefix),
            f"vrf {hop.vrf}" if hop.vrf else "",
            "Null0" if hop.discard else "",
            hop.interface,
            hop.address,
            early,
            str(hop.distance) if hop.distance else "",
            f"tag {hop.tag}" if hop.tag else "",
            f"description {quoted(hop.name)}" if hop.name is not None else "",
            late,
        ]
        return " " * (2 if vrf == DEFAULT_VRF else 3) + " ".join(word for word in words if word)

    def text_block(self, line: str) -> Callable[[str], bool] | None:
        """Banners run to their delimiter."""
        return banner(line)

    def slot(self, hop: NextHop) -> Hashable:
        """VRF, interface and address; an SR policy is a target of its own."""
        return (hop.address, hop.interface, hop.vrf, hop.discard, _target(hop))

    def options(self, hop: NextHop) -> tuple[str, str]:
        """A target that is no address, and BFD, stand in front of the tag, everything else behind the description."""
        if not hop.options:
            return "", ""
        target = _target(hop)
        bfd: list[str] = []
        others: list[str] = []
        rest = iter(hop.options[len(target) :])
        for word in rest:
            into = bfd if word in _EARLY else others
            into.append(word)
            if word in _VALUES or word in _BFD_VALUES:
                into += (value for value in [next(rest, None)] if value is not None)
        return " ".join((*target, *bfd)), " ".join(others)

    def removal(self, hop: NextHop) -> NextHop:
        """`no` takes the hop alone: it is known by VRF, interface and address."""
        bare = msgspec.structs.replace(hop, distance=None, tag=None, name=None)
        return msgspec.structs.replace(bare, options=_target(hop)) if hop.options else bare

    def place(self, lines: Sequence[str], vrf: str) -> Place:  # noqa: ARG002
        """`router static` stands in front of the routing protocols."""
        return Place(first_line(self, lines, _BEHIND_STATIC), ("router static",), ("!",))

    def homes(
        self,
        running: RunningRoutes,  # noqa: ARG002
        source: Sequence[str],
        homeless: Mapping[tuple[str, int], list[tuple[Prefix, NextHop]]],
    ) -> Iterator[Edit]:
        """New prefixes stand at the end of their address family's block, which may have to be made."""
        from k8s_ecmp.platforms.iosxr_placing import new_lines

        return new_lines(self, source, homeless)

    def context(self, vrf: str, line: str) -> tuple[str, ...]:
        """The heads of the blocks that a static line stands in."""
        return heads(vrf, 6 if ":" in line.split(None, 1)[0] else 4)

    def foreign_lines(self, device_diff: str, running: RunningRoutes, commands: str) -> list[str]:
        """The routes and other lines that the device's diff changes and the commands do not."""
        from k8s_ecmp.platforms.iosxr_diff import foreign_lines

        return foreign_lines(self, device_diff, running, commands)


def heads(vrf: str, family: int) -> tuple[str, ...]:
    """The lines that open the block of a VRF's address family, indented as the router does."""
    words = ["router static", *([f"vrf {vrf}"] if vrf != DEFAULT_VRF else []), f"address-family ipv{family} unicast"]
    return tuple(" " * depth + line for depth, line in enumerate(words))


def quoted(name: str) -> str:
    """A description as it is written: in quotes where it has blanks."""
    return f'"{name}"' if not name or " " in name else name


def _attributes(words: Sequence[str]) -> tuple[int | None, int | None, str | None, tuple[str, ...]]:
    """Distance, tag, description, and every other word; each of the first may stand anywhere.

    Raises:
        ValueError: a value is missing, or tag or distance is out of range.
    """
    distance = tag = name = None
    others: list[str] = []
    rest = list(words)
    unknown = False
    while rest:
        word = rest.pop(0)
        if word in ("tag", "description") or word in _VALUES or word in _BFD_VALUES:
            if not rest:
                raise ValueError(f"{word} has no value")
            value = _text(rest) if word == "description" else rest.pop(0)
            if word == "tag" and tag is None:
                tag = number(value, "tag", TAG_MAX)
            elif word == "description" and name is None:
                name = value
            else:
                others += [word, value]
            unknown = False
        elif is_number(word) and not unknown and distance is None:
            distance = number(word, "distance", DISTANCE_MAX, 1)
        else:
            others.append(word)
            unknown = word not in _FLAGS and not is_number(word)
    return distance, tag, name, tuple(others)


def _text(rest: list[str]) -> str:
    """Takes a description: one word, or several in quotes."""
    first = rest.pop(0)
    if first[0] != '"':
        return first
    taken = [first]
    while not (taken[-1].endswith('"') and (len(taken) > 1 or len(first) > 1)):
        if not rest:
            raise ValueError("the description's quotes are not closed")
        taken.append(rest.pop(0))
    return " ".join(taken)[1:-1]


def _target(hop: NextHop) -> tuple[str, ...]:
    """The words of a next hop that is neither address nor interface, () for nearly all."""
    return hop.options[: _TARGETS.get(hop.options[0], 0)] if hop.options else ()


PLATFORM = IosXr()

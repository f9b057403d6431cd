"""FRRouting from 8.4 on: `ip route PREFIX GATEWAY [INTERFACE] [tag N] [DISTANCE] ...`, VRFs as blocks.

Rules measured with 8.4, 10.3 and 10.7; the grammar is that of staticd (static_vty.c). Where versions differ, what is
written and read here holds on all of them (docs/adr/0010).
"""

from collections.abc import Hashable, Sequence
from typing import ClassVar

import msgspec

from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix
from k8s_ecmp.platforms.base import Capabilities, Verification
from k8s_ecmp.platforms.flat import FlatPlatform
from k8s_ecmp.platforms.syntax import Place, Tail, first_line, outline
from k8s_ecmp.platforms.words import as_address, is_number, read_attributes

_DISCARD = frozenset({"blackhole", "reject", "Null0", "null0"})
_KEYWORDS = ("vrf", "nexthop-vrf")
# With one more word; 8.4 takes the last three, and "bfd", for interfaces where they stand right behind a gateway.
_OPTIONS = frozenset({"label", "table", "color", "segments", "encap-behavior", "source", "profile", "metric", "weight"})
_FLAGS = frozenset({"onlink", "bfd", "multi-hop"})
# Behind a gateway everything else is an interface, "onlink" too: staticd knows that option only behind an interface.
_NO_INTERFACE = _OPTIONS | {"tag", "bfd", *_KEYWORDS}
# What may stand in a `vrf` block; any other line leaves it, as vtysh does.
_IN_VRF = frozenset({"ip", "ipv6", "no", "vni", "netns", "description", "segment-routing"})
_AFTER_ROUTES = frozenset({"vrf", "interface", "router", "route-map", "segment-routing", "line", "bfd", "end"})


class Frr(FlatPlatform):
    """FRRouting."""

    name = "frr"
    # max_paths: 8.4 accepts 256 next hops and never installs them, 255 it does (counted with `ip route get`).
    capabilities: ClassVar[Capabilities] = Capabilities(
        atomic=True,
        device_diff=False,
        confirm=True,
        message=False,
        lock=True,
        name_mark=False,
        max_paths=255,
        bfd=("bfd",),
        hashing="hash-threshold",
        verify="fib",
        neighbours=True,
    )
    signs = frozenset(
        {"frr", "hostname", "log", "service", "ip", "ipv6", "no", "vrf", "interface", "router", "route-map", "line"}
        | {"password", "enable", "debug", "vni", "mpls", "access-list", "bfd", "agentx", "domainname", "zebra", "end"}
    )
    headers = ("Building configuration...", "Current configuration:")
    frame = frozenset({"configure", "end", "exit", "exit-vrf", "vrf"})
    indented = False
    vrf_blocks = True
    group_tag = True

    def __init__(self) -> None:
        from k8s_ecmp.platforms.frr_tables import FrrVerification

        self.verification: Verification | None = FrrVerification()

    def read_tail(self, words: Sequence[str], family: int) -> Tail:
        """GATEWAY [INTERFACE] | INTERFACE | Null0 | blackhole | reject, then options in any order.

        Raises:
            ValueError: the structure cannot be read.
        """
        rest = list(words)
        first: list[str] = []
        if rest[0] == "from" and family == 6:  # source-specific
            first, rest = rest[:2], rest[2:]
        if not rest or rest[0] in _NO_INTERFACE:
            raise ValueError("the next hop is missing")
        target = rest.pop(0)
        address = interface = None
        discard = target in _DISCARD
        if not discard:
            address = as_address(target)
            interface = target if address is None else None
        elif target == "reject":  # answers with an ICMP error, which is not what we write
            first.append("reject")
        if address and rest and rest[0] not in _NO_INTERFACE and not is_number(rest[0]):
            interface = rest.pop(0)
        distance, tag, _, values, options = read_attributes(rest, _KEYWORDS, _OPTIONS, _FLAGS)
        hop = NextHop(address, interface, values.get("nexthop-vrf"), discard, distance, tag, None, (*first, *options))
        return Tail(hop, values.get("vrf"))

    def tail_vrf(self, words: Sequence[str]) -> str | None:
        """A line outside of a block names its VRF itself."""
        if "vrf" not in words:
            return None
        behind = words[words.index("vrf") + 1 :]
        if not behind:
            raise ValueError("vrf has no value")
        return behind[0]

    def shown(self, vrf: str, prefix: Prefix, hop: NextHop, beside: str | None) -> str:
        """As `show running-config` has it: gateway before interface, tag before distance, indented in a block."""
        hop = self.normal(hop)
        early, late = self.options(hop)
        inline = vrf != DEFAULT_VRF and beside is not None and _is_inline(beside)
        words = [
            "ip route" if prefix.family == 4 else "ipv6 route",
            str(prefix),
            early,
            ("reject" if "reject" in hop.options else "blackhole") if hop.discard else "",
            hop.address,
            hop.interface,
            f"tag {hop.tag}" if hop.tag else "",
            str(hop.distance) if hop.distance else "",
            f"vrf {vrf}" if inline else "",
            late,
            f"nexthop-vrf {hop.vrf}" if hop.vrf else "",
        ]
        indent = " " if vrf != DEFAULT_VRF and not inline else ""
        return indent + " ".join(word for word in words if word)

    def section(self, line: str, vrf: str | None) -> str | None:
        """`vrf NAME` opens a block; `exit-vrf` and every line that cannot stand in one close it."""
        words = line.split()
        if words[0] == "vrf" and len(words) == 2:
            return words[1]
        if words[0] in ("exit-vrf", "exit", "end"):
            return DEFAULT_VRF
        inside = line[0].isspace() or words[0][0] in "!#" or words[0] in _IN_VRF
        return vrf if inside else DEFAULT_VRF

    def slot(self, hop: NextHop) -> Hashable:
        """A hop stands once at a prefix of one source and one table."""
        return (hop.address, hop.interface, hop.vrf, hop.discard, _scope(hop))

    def group(self, hop: NextHop) -> Hashable:
        """The tag belongs to the prefix at one distance (and source and table); to the hop alone from 10.7 on."""
        return (self.distance(hop), _scope(hop))

    def options(self, hop: NextHop) -> tuple[str, str]:
        """The source stands in front of the next hop, everything else behind it."""
        if not hop.options:
            return "", ""
        cut = 2 if hop.options[0] == "from" else 0
        late = (word for word in hop.options[cut:] if word != "reject")
        return " ".join(hop.options[:cut]), " ".join(late)

    def removal(self, hop: NextHop) -> NextHop:
        """Gateway, interface, next-hop VRF, source and table; the tag is ignored, the distance too but in 10.3."""
        return msgspec.structs.replace(hop, options=_scope(hop)) if hop.options else hop

    def retyped(self, standing: NextHop, typed: NextHop) -> NextHop:
        """From 10.7 on, options that are left out stay."""
        return msgspec.structs.replace(typed, options=typed.options or standing.options)

    def place(self, lines: Sequence[str], vrf: str) -> Place:
        """In the VRF's block; a new one goes behind the last. Global routes stand before all blocks."""
        if vrf == DEFAULT_VRF:
            return Place(first_line(self, lines, _AFTER_ROUTES), (), ("!",))
        last_exit = 0
        for number_, line in outline(self, lines):
            words = line.split()
            if words == ["vrf", vrf]:
                return Place(number_ + 1)
            if words == ["exit-vrf"]:
                last_exit = number_
        if last_exit:
            return Place(last_exit + 1, ("!", f"vrf {vrf}"), ("exit-vrf",))
        first = first_line(self, lines, _AFTER_ROUTES - {"vrf"})
        return Place(first, (f"vrf {vrf}",), ("exit-vrf", "!"))

    def context(self, vrf: str, line: str) -> tuple[str, ...]:
        """The head of the VRF's block."""
        return () if vrf == DEFAULT_VRF or _is_inline(line) else (f"vrf {vrf}",)


def _scope(hop: NextHop) -> tuple[str, ...]:
    """Source and table of a hop, which are part of its route's key in staticd; () for nearly all."""
    if not hop.options:
        return ()
    pairs = zip(hop.options, hop.options[1:], strict=False)
    return tuple(word for pair in pairs if pair[0] in ("from", "table") for word in pair)


def _is_inline(line: str) -> bool:
    """Whether a static line names its VRF itself."""
    return " vrf " in line


PLATFORM = Frr()

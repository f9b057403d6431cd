"""Arista EOS: `ip route [vrf V] PREFIX [INTERFACE] NEXTHOP [track WORD] [DISTANCE] [tag N] [name WORD] [metric N]`.

Grammar and order as in the EOS manual ("ip route", "ipv6 route") and in running configurations of 4.2x and 4.3x.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

import msgspec

from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RunningRoutes
from k8s_ecmp.platforms.base import Capabilities, Verification
from k8s_ecmp.platforms.edits import changed_lines, unified
from k8s_ecmp.platforms.eos_tables import EosVerification
from k8s_ecmp.platforms.flat import FlatPlatform
from k8s_ecmp.platforms.syntax import ELSEWHERE, Place, Tail, first_line
from k8s_ecmp.platforms.words import as_address, is_number, read_attributes

_OPTIONS = frozenset({"track", "metric", "label", "weight", "vni", "preference"})  # with one more word
_BEHIND_NAME = "metric"
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z-]*\d[\d/.:]*")


class Eos(FlatPlatform):
    """Arista EOS."""

    name = "eos"
    # max_paths: the highest width that every current switch family takes in one ECMP group is 128 (the range of
    # `maximum-paths` in the EOS manual); larger sets depend on the hardware. Not seen on a device.
    capabilities: ClassVar[Capabilities] = Capabilities(
        atomic=True,
        device_diff=True,
        confirm=True,
        message=False,
        lock=True,
        name_mark=True,
        max_paths=128,
        bfd=("track", "bfd"),
        resilient="ip hardware fib ecmp resilience",
        resilient_line=r"^ipv?6? hardware fib ecmp resilience (?P<prefix>\S+) capacity ",
        verify="fib",
    )
    verification: Verification | None = EosVerification()
    signs = frozenset(
        {"aaa", "agent", "alias", "banner", "boot", "clock", "daemon", "dns", "end", "errdisable", "event-handler"}
        | {"hardware", "hostname", "interface", "ip", "ipv6", "lldp", "logging", "mac", "management", "mlag", "no"}
        | {"ntp", "platform", "policy-map", "queue-monitor", "radius-server", "route-map", "router", "service"}
        | {"snmp-server", "spanning-tree", "switch", "tacacs-server", "terminal", "transceiver", "username"}
        | {"vlan", "vrf", "zerotouch"}
    )
    headers = ("! Command: show", "! device:")
    vrf_heads = frozenset({"vrf instance", "vrf definition"})
    group_tag = True
    silent_removal = True
    each_distance = True

    def read_tail(self, words: Sequence[str], family: int) -> Tail:  # noqa: ARG002
        """[egress-vrf V] INTERFACE | [INTERFACE] NEXTHOP | Null0 | Nexthop-Group NAME, then options in any order.

        Raises:
            ValueError: the structure cannot be read.
        """
        rest = list(words)
        vrf = None
        if rest[0] == "egress-vrf":
            vrf, rest = (rest[1] if len(rest) > 1 else None), rest[2:]
        if not rest:
            raise ValueError("the next hop is missing")
        target = rest.pop(0)
        address = interface = None
        group: tuple[str, ...] = ()
        discard = target.lower() == "null0"
        if target.lower() == "nexthop-group":
            if not rest:
                raise ValueError(f"{target} has no value")
            group = (target, rest.pop(0))
        elif not discard:
            address = as_address(target)
            interface = target if address is None else None
        if interface is not None:
            if not _INTERFACE.fullmatch(interface):
                raise ValueError(f"{interface!r} is neither a next hop nor an interface")
            if rest and not is_number(rest[0]) and (address := as_address(rest[0])) is not None:
                rest.pop(0)
        distance, tag, name, _, options = read_attributes(rest, (), _OPTIONS)
        return Tail(NextHop(address, interface, vrf, discard, distance, tag, name, group + options))

    def shown(self, vrf: str, prefix: Prefix, hop: NextHop, beside: str | None) -> str:  # noqa: ARG002
        """As `show running-config` has it: prefix length form, VRF first, Null0."""
        hop = self.normal(hop)
        early, late = self.options(hop)
        words = [
            "ip route" if prefix.family == 4 else "ipv6 route",
            f"vrf {vrf}" if vrf != DEFAULT_VRF else "",
            str(prefix),
            f"egress-vrf {hop.vrf}" if hop.vrf else "",
            "Null0" if hop.discard else "",
            hop.interface,
            hop.address,
            early,
            str(hop.distance) if hop.distance else "",
            f"tag {hop.tag}" if hop.tag else "",
            f"name {hop.name}" if hop.name else "",
            late,
        ]
        return " ".join(word for word in words if word)

    def section(self, line: str, vrf: str | None) -> str | None:
        """Static lines stand at the top level; under `vrf ...` they would be those of another platform."""
        first = line.split(None, 1)[0]
        if line[0].isspace():
            return vrf
        if first == "vrf":
            return None
        return DEFAULT_VRF if first[0] == "!" or first in self.frame else ELSEWHERE

    def text_block(self, line: str) -> Callable[[str], bool] | None:
        """Banners, scripts of event handlers and code units run to a line "EOF"."""
        words = line.split()
        banner = len(words) == 2 and words[0] == "banner" and line[0].isalpha()
        return _is_eof if banner or words == ["action", "bash"] or words[:2] == ["code", "unit"] else None

    def slot(self, hop: NextHop) -> Hashable:
        """A nexthop group is a target of its own."""
        return (hop.address, hop.interface, hop.vrf, hop.discard, _nexthop_group(hop))

    def options(self, hop: NextHop) -> tuple[str, str]:
        """`metric` stands behind the name, everything else in front of the distance."""
        if _BEHIND_NAME not in hop.options:
            return " ".join(hop.options), ""
        cut = hop.options.index(_BEHIND_NAME)
        return " ".join((*hop.options[:cut], *hop.options[cut + 2 :])), " ".join(hop.options[cut : cut + 2])

    def removal(self, hop: NextHop) -> NextHop:
        """`no` takes the hop and its distance."""
        return msgspec.structs.replace(hop, options=_nexthop_group(hop)) if hop.options else hop

    def foreign_lines(self, device_diff: str, running: RunningRoutes, commands: str) -> list[str]:
        """As everywhere; the switch's diff has lines around each change, and a static line that moves on both sides.

        Static lines stand at the top level, so a changed line with an indentation is never ours.
        """
        planned = {words for _, words in changed_lines(unified(running.source, self.edits(running, commands)))}
        foreign: list[str] = []
        balance: Counter[tuple[str, ...]] = Counter()
        for line in device_diff.splitlines():
            if line[:1] not in ("+", "-") or line[:3] in ("+++", "---") or not line[1:].strip(" !"):
                continue
            if line[1].isspace():
                foreign.append(line)
            else:
                balance[tuple(line[1:].split())] += 1 if line[0] == "+" else -1
        signed = [("+" if count > 0 else "-", *words) for words, count in balance.items() if count]
        return foreign + [" ".join(words) for words in signed if words not in planned]

    def place(self, lines: Sequence[str], vrf: str) -> Place:  # noqa: ARG002
        """In front of the routing protocols."""
        return Place(first_line(self, lines, {"router", "end"}), (), ("!",))


def _nexthop_group(hop: NextHop) -> tuple[str, ...]:
    return hop.options[:2] if hop.options and hop.options[0].lower() == "nexthop-group" else ()


def _is_eof(line: str) -> bool:
    return line.strip() == "EOF"


PLATFORM = Eos()

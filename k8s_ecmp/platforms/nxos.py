"""Cisco NX-OS: `ip route PREFIX [INTERFACE] NEXTHOP [vrf V] [track N] [name WORD] [tag N] [DISTANCE]`, VRFs as blocks.

Grammar as in the Nexus 9000 unicast routing guide ("Configuring Static Routing"), order of the words as in running
configurations of 9.3. `no` names interface, next hop and its VRF; tag, name and distance belong to the hop. That a hop
typed again keeps what is left out follows from the model (a `PUT` of single properties); not seen on a device, and
nothing that is written here relies on it: a word that has to go is removed with its line, all others are written.
"""

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RunningRoutes
from k8s_ecmp.platforms.base import Capabilities, Verification
from k8s_ecmp.platforms.flat import FlatPlatform
from k8s_ecmp.platforms.syntax import ELSEWHERE, Place, Tail, first_line, outline
from k8s_ecmp.platforms.words import as_address, is_number, read_attributes

_KEYWORDS = ("vrf",)
_OPTIONS = frozenset({"track"})  # with one more word
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z-]*\d[\d/.]*")
_HOST_LENGTHS = {4: "/32", 6: "/128"}
# What running configurations have behind the static routes of the global table.
_AFTER_ROUTES = frozenset({"vlan", "route-map", "vrf", "port-channel", "hardware", "interface", "router", "line"})


class Nxos(FlatPlatform):
    """Cisco NX-OS."""

    name = "nxos"
    # max_paths: the range of `maximum-paths` is 1 to 64 (Cisco's Puppet module, cisco_bgp_af); there is no number for
    # static routes in it. Not seen on a device.
    capabilities: ClassVar[Capabilities] = Capabilities(
        atomic=False,
        device_diff=False,
        confirm=False,
        message=False,
        lock=False,
        name_mark=True,
        max_paths=64,
        track="track",
        # "Enables BFD for all static routes on an interface" (Nexus 9000 interfaces guide, "Configuring BFD on Static
        # Routes", whose routes are written with it).
        bfd_apart=("ip route static bfd INTERFACE NEXTHOP", "ipv6 route static bfd INTERFACE NEXTHOP"),
        resilient="hardware profile ecmp resilient",
        resilient_line=r"^hardware profile ecmp resilient\s*$",
        verify="fib",
        neighbours=True,
    )
    signs = frozenset(
        {"aaa", "banner", "boot", "cfs", "class-map", "clock", "copp", "crypto", "event", "fabric", "feature", "flow"}
        | {"hardware", "hostname", "interface", "ip", "ipv6", "lacp", "line", "lldp", "logging", "monitor", "no", "ntp"}
        | {"nv", "object-group", "policy-map", "power", "rmon", "role", "route-map", "router", "snmp-server"}
        | {"spanning-tree", "ssh", "switchname", "tacacs-server", "track", "username", "vdc", "version"}
        | {"vlan", "vpc", "vrf"}
    )
    # No line closes a configuration. Every switch has interfaces (mgmt0), all of them behind the static routes of every
    # VRF (the captures of batfish's lab-validation): an answer that was cut within the routes or before them has none.
    parts = frozenset({"interface"})
    frame = frozenset({"configure", "end", "exit", "vrf"})
    vrf_blocks = True
    vrf_heads = frozenset({"vrf context"})

    def __init__(self) -> None:
        from k8s_ecmp.platforms.nxos_tables import NxosVerification

        self.verification: Verification | None = NxosVerification()

    def read_tail(self, words: Sequence[str], family: int) -> Tail:
        """INTERFACE | [INTERFACE] NEXTHOP | Null0, then options in any order. A next hop may have its host length.

        Raises:
            ValueError: the structure cannot be read.
        """
        rest = list(words)
        target = rest.pop(0)
        address = interface = None
        discard = target.lower() == "null0"
        if not discard:
            address = as_address(target.removesuffix(_HOST_LENGTHS[family]))
            interface = target if address is None else None
        if interface is not None:
            if not _INTERFACE.fullmatch(interface):
                raise ValueError(f"{interface!r} is neither a next hop nor an interface")
            if rest and not is_number(rest[0]):
                address = as_address(rest[0].removesuffix(_HOST_LENGTHS[family]))
                if address is not None:
                    rest.pop(0)
        distance, tag, name, values, options = read_attributes(rest, _KEYWORDS, _OPTIONS)
        return Tail(NextHop(address, interface, values.get("vrf"), discard, distance, tag, name, options))

    def shown(self, vrf: str, prefix: Prefix, hop: NextHop, beside: str | None) -> str:  # noqa: ARG002
        """As `show running-config` has it: prefix length form, Null0, two blanks in a VRF's block."""
        hop = self.normal(hop)
        words = [
            "ip route" if prefix.family == 4 else "ipv6 route",
            str(prefix),
            "Null0" if hop.discard else "",
            hop.interface,
            hop.address,
            f"vrf {hop.vrf}" if hop.vrf else "",
            " ".join(hop.options),
            f"name {hop.name}" if hop.name else "",
            f"tag {hop.tag}" if hop.tag else "",
            str(hop.distance) if hop.distance else "",
        ]
        return ("" if vrf == DEFAULT_VRF else "  ") + " ".join(word for word in words if word)

    def parse(self, text: str) -> RunningRoutes:
        """All static routes of a whole running configuration, every VRF, in order of first appearance.

        Raises:
            ParseError: the text is no whole configuration, has lost its indentation, or the VRF of a static line cannot
                be told.
        """
        running = super().parse(text)
        if not any(line[:1].isspace() and not line.isspace() for _, line in outline(self, running.source)):
            self._expect_no_block(running)
        return running

    def _expect_no_block(self, running: RunningRoutes) -> None:
        """Only indentation tells a VRF's static lines from global ones; every configuration indents something.

        Raises:
            ParseError: static lines stand behind the head of a VRF.
        """
        heads = (number for number, line in outline(self, running.source) if line.startswith("vrf context "))
        head = next(heads, 0)
        if head and any(max(route.lines) > head for route in running):
            raise ParseError(
                "the text has lost its indentation, which tells what belongs to which VRF",
                line=head,
                remedy="take the running configuration as the switch prints it",
            )

    def section(self, line: str, vrf: str | None) -> str | None:
        """`vrf context NAME` opens a block; an unindented line closes it, in commands `exit` and `end` too."""
        words = line.split()
        if words[0] in self.frame and words[0] != "vrf":
            return DEFAULT_VRF
        if line[0].isspace() or words[0].startswith("!"):
            return vrf
        if words[:2] != ["vrf", "context"]:
            return ELSEWHERE
        return words[2] if len(words) == 3 else None

    def text_block(self, line: str) -> Callable[[str], bool] | None:
        """Banners run to their delimiter; profiles and scheduled jobs, whose lines are not in force, to their end."""
        if line.startswith("banner "):
            _, _, text = line.partition(" ")[2].partition(" ")
            mark = text.lstrip()[:1]
            return (lambda later: mark in later) if mark and mark not in text.lstrip()[1:] else None
        if line.startswith("scheduler job name "):
            return _ends_job
        return _leaves_profile if line.startswith("configure profile ") else None

    def removal(self, hop: NextHop) -> NextHop:
        """`no` takes interface, next hop and its VRF."""
        return NextHop(hop.address, hop.interface, hop.vrf, hop.discard)

    def retyped(self, standing: NextHop, typed: NextHop) -> NextHop:
        """What is left out stays."""
        return msgspec.structs.replace(
            typed,
            distance=standing.distance if typed.distance is None else typed.distance,
            tag=standing.tag if typed.tag is None else typed.tag,
            name=standing.name if typed.name is None else typed.name,
            options=typed.options or standing.options,
        )

    def place(self, lines: Sequence[str], vrf: str) -> Place:
        """In the VRF's block, which is there: rendering sees to it. Global routes stand before VLANs and VRFs."""
        if vrf == DEFAULT_VRF:
            return Place(first_line(self, lines, _AFTER_ROUTES))
        for number, line in outline(self, lines):
            if line.split() == ["vrf", "context", vrf]:
                return Place(number + 1)
        return Place(first_line(self, lines, _AFTER_ROUTES - {"vlan", "route-map", "vrf"}), (f"vrf context {vrf}",))

    def context(self, vrf: str, line: str) -> tuple[str, ...]:  # noqa: ARG002
        """The head of the VRF's block."""
        return () if vrf == DEFAULT_VRF else (f"vrf context {vrf}",)


def _leaves_profile(line: str) -> bool:
    return line.rstrip() == "configure terminal"


def _ends_job(line: str) -> bool:
    return line.strip() == "end-job"


PLATFORM = Nxos()

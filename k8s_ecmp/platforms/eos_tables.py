"""What an Arista switch really routes: its routing table as JSON, and whether it can reach a next hop.

Form of the answers as in eAPI's command documentation: {"vrfs": {NAME: {"routes": {PREFIX: {"routeType", "routeAction",
"hardwareProgrammed", "preference", "vias": [{"nexthopAddr", "interface"}]}}}}}; "preference" is the administrative
distance. IPv6 tables of older releases have "routes" at the top, without a VRF. The table shows the best route of a
prefix alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DISCARD, NextHop, Prefix, address_family, canonical_address
from k8s_ecmp.platforms.base import Better, Installed

_NONE: frozenset[str] = frozenset()
_KEYWORDS = {4: "ip", 6: "ipv6"}
_Route = tuple[str, Prefix, Mapping[str, Any]]


class EosVerification:
    """The show commands, sent as JSON requests by eAPI, and how to read their answers."""

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:
        """One for each VRF and family; older releases have no `vrf all` for IPv6."""
        return tuple(f"show {keyword} route vrf {vrf} static | json" for vrf in vrfs for keyword in _KEYWORDS.values())

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:
        """One for each prefix."""
        return tuple(f"show {_KEYWORDS[prefix.family]} route vrf {vrf} {prefix} | json" for prefix in prefixes)

    def is_forwarding(self, command: str) -> bool:  # noqa: ARG002
        """None does: the routing table says what is in the hardware."""
        return False

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """Static routes by (VRF, prefix), and prefixes at which another protocol's route is the best.

        Raises:
            TableUnreadable: an answer has not the expected form.
        """
        return {
            (vrf, prefix): _installed(command, route)
            for command, answer in answers.items()
            for vrf, prefix, route in _routes(command, answer)
        }

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """One for each address; the answer is the route with the longest match."""
        return tuple(_resolve_command(vrf, address) for address in addresses)

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:
        """Those that are in no connected subnet.

        EOS resolves a next hop through any route, but its routing table then shows the hops of that route instead, and
        nobody could see there whether ours is in use.

        Raises:
            TableUnreadable: an answer is missing or has not the expected form.
        """
        unresolved = set()
        for address in addresses:
            command = _resolve_command(vrf, address)
            if command not in answers:
                raise TableUnreadable(f"the router gave no answer to {command!r}")
            if not any(_is_connected(route) for _, _, route in _routes(command, answers[command])):
                unresolved.add(address)
        return frozenset(unresolved)


def _resolve_command(vrf: str, address: str) -> str:
    return f"show {_KEYWORDS[address_family(address)]} route vrf {vrf} {address} | json"


def _routes(command: str, answer: str) -> Iterator[_Route]:
    """VRF, prefix and entry of each route of an answer."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        raise TableUnreadable(f"the router's answer to {command!r} is no JSON: {answer[:80]!r}") from None
    try:
        if "vrfs" not in document and "routes" in document:
            document = {"vrfs": {command.partition(" vrf ")[2].split()[0]: document}}
        for vrf, table in document["vrfs"].items():
            for prefix, route in table["routes"].items():
                yield vrf, Prefix.parse(prefix), {**route}
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise TableUnreadable(f"the router's answer to {command!r} has an unexpected form: {error!r}") from None


def _is_connected(route: Mapping[str, Any]) -> bool:
    """Whether what is in it is a neighbour; a discard route calls itself directly connected, too."""
    direct = route.get("directlyConnected", route.get("routeType") == "connected")
    return bool(direct) and route.get("routeAction") != "drop"


def _installed(command: str, route: Mapping[str, Any]) -> Installed:
    """What is installed of a route; where the switch does not say whether its hardware has it, the kernel counts."""
    kind, distance = route.get("routeType"), route.get("preference")
    if kind != "static":
        return Installed(_NONE, _NONE, Better(str(kind), distance if isinstance(distance, int) else None))
    labels = _hops(command, route)
    programmed = route.get("hardwareProgrammed", route.get("kernelProgrammed", True))
    return Installed(labels, labels if programmed else _NONE)


def _hops(command: str, route: Mapping[str, Any]) -> frozenset[str]:
    """As `NextHop.table_label`: an interface beside an address is what the switch found."""
    vias = route.get("vias", [])
    try:
        if route.get("routeAction") == "drop":
            return frozenset({DISCARD})
        return frozenset(_label(via) for via in vias)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TableUnreadable(f"the router's answer to {command!r} has an unexpected form: {error!r}") from None


def _label(via: Mapping[str, Any]) -> str:
    address = via.get("nexthopAddr")
    if address:
        return NextHop(canonical_address(address)).label
    return NextHop(interface=via["interface"]).label

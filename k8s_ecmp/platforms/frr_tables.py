"""What FRR really routes: its routing table as JSON, and whether it can reach a next hop. Seen on 8.4, 10.3, 10.7."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import DEFAULT_VRF, DISCARD, Prefix, address_family
from k8s_ecmp.platforms.base import Better, Installed

_NONE: frozenset[str] = frozenset()
# Tells `ip nht resolve-via-default` and the profile that sets its default where `show ip nht` does not (8.4).
_ZEBRA_SETTINGS = "show running-config zebra"
_VIA_DEFAULT = re.compile(r"^ *Resolve via default: (on|off)$", re.MULTILINE)
_KEYWORDS = {4: "ip", 6: "ipv6"}


class FrrVerification:
    """The questions to zebra, asked with vtysh, and how to read its answers: about static routes, or BGP's."""

    def __init__(self, protocol: str = "static") -> None:
        self._protocol = protocol

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:
        """One for each VRF and family; `vrf all` would print one JSON document after another."""
        return tuple(
            f"show {keyword} route vrf {vrf} {self._protocol} json" for vrf in vrfs for keyword in _KEYWORDS.values()
        )

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:
        """One for each prefix."""
        return tuple(f"show {_KEYWORDS[prefix.family]} route vrf {vrf} {prefix} json" for prefix in prefixes)

    def is_forwarding(self, command: str) -> bool:  # noqa: ARG002
        """None does: the routing table says what is in the kernel."""
        return False

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """The protocol's routes by (VRF, prefix), and prefixes at which another protocol's route is the best.

        Raises:
            ParseError: an answer has not the expected form.
        """
        tables: dict[tuple[str, Prefix], Installed] = {}
        for command, answer in answers.items():
            for table in _documents(command, answer):
                for text, entries in table.items():
                    prefix = Prefix.parse(text)
                    tables |= {(vrf, prefix): found for vrf, found in _routes(command, entries, self._protocol)}
        return tables

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """One for each address, and those that say whether a default route will do."""
        if not addresses:
            return ()
        families = sorted({address_family(address) for address in addresses})
        settings = (_ZEBRA_SETTINGS, *(_tracking_command(vrf, family) for family in families))
        return (*settings, *(_resolve_command(vrf, address) for address in addresses))

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:
        """Those without a selected route; a default route counts only with `nht resolve-via-default`.

        Raises:
            ParseError: an answer is missing or has not the expected form.
        """
        unresolved = set()
        for address in addresses:
            command = _resolve_command(vrf, address)
            family = address_family(address)
            said = _VIA_DEFAULT.search(_answer(answers, _tracking_command(vrf, family)))
            via_default = (
                said[1] == "on" if said else _resolves_via_default(_answer(answers, _ZEBRA_SETTINGS), vrf, family)
            )
            found = [
                entry
                for table in _documents(command, _answer(answers, command))
                for text, entries in table.items()
                if via_default or Prefix.parse(text).length > 0
                for entry in entries
            ]
            if not any(_leads_somewhere(entry) for entry in found):
                unresolved.add(address)
        return frozenset(unresolved)


def _resolve_command(vrf: str, address: str) -> str:
    return f"show {_KEYWORDS[address_family(address)]} route vrf {vrf} {address} json"


def _tracking_command(vrf: str, family: int) -> str:
    return f"show {_KEYWORDS[family]} nht vrf {vrf}"


def _answer(answers: Mapping[str, str], command: str) -> str:
    if command not in answers:
        raise ParseError(f"the router gave no answer to {command!r}")
    return answers[command]


def _documents(command: str, answer: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of an answer. A VRF without a device has no table ("% VRF red not active")."""
    text = answer.strip()
    if text.startswith("% VRF"):
        return
    if not text:
        raise ParseError(f"the router's answer to {command!r} is empty")
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            raise ParseError(f"the router's answer to {command!r} is no JSON: {text[position:][:80]!r}") from None
        if not isinstance(document, dict) or not all(isinstance(routes, list) for routes in document.values()):
            raise ParseError(f"the router's answer to {command!r} is no table of routes")
        position += len(text[position:]) - len(text[position:].lstrip())
        try:
            all(Prefix.parse(prefix) for prefix in document)
        except ValueError as error:
            raise ParseError(f"the router's answer to {command!r}: {error}") from None
        yield document


def _routes(command: str, entries: Sequence[Any], protocol: str) -> Iterator[tuple[str, Installed]]:
    """What is installed of a prefix's routes of a protocol, a pair for each VRF; the selected one where there are more.

    Zebra lists those that another route keeps out, too, but not those that have no usable next hop.
    """
    best: dict[str, Installed] = {}
    for entry in entries:
        try:
            vrf, asked, selected = entry["vrfName"], entry["protocol"] == protocol, bool(entry.get("selected"))
            rib, fib, better, behind, *_ = best.get(vrf, Installed(_NONE, _NONE, None, _NONE))
            if asked and selected:
                rib, fib, *_ = _installed(entry["nexthops"], installed=bool(entry.get("installed")))
            elif asked:
                behind = (behind or _NONE) | _installed(entry["nexthops"], installed=False).rib
            elif selected:
                better = Better(str(entry["protocol"]), entry.get("distance"))
            best[vrf] = Installed(rib, fib, better, behind)
        except (KeyError, TypeError, AttributeError) as error:
            raise ParseError(f"the router's answer to {command!r} has an unexpected form: {error!r}") from None
    for vrf, found in best.items():
        yield vrf, Installed(found.rib, found.fib) if found.rib else found


def _installed(hops: Sequence[Mapping[str, Any]], *, installed: bool) -> Installed:
    """Labels of the configured next hops. Behind a recursive one stand the hops by which it resolves ("resolver")."""
    rib: set[str] = set()
    fib: set[str] = set()
    label = ""
    for hop in hops:
        if not hop.get("resolver"):
            label = _label(hop)
            if hop.get("active"):
                rib.add(label)
        # Two hops that resolve to the same neighbour are one in the kernel; the second is marked as a duplicate.
        if installed and label in rib and (hop.get("fib") or hop.get("duplicate")):
            fib.add(label)
    return Installed(frozenset(rib), frozenset(fib))


def _label(hop: Mapping[str, Any]) -> str:
    """As `NextHop.label`; an interface beside an address is what zebra found, written or not, and is left out."""
    if hop.get("unreachable"):
        return DISCARD
    label = str(hop["ip"] if "ip" in hop else hop["interfaceName"])
    return f"{label} vrf {hop['vrf']}" if "vrf" in hop else label


def _leads_somewhere(entry: Any) -> bool:
    """Whether a route is selected and does not only discard."""
    if not isinstance(entry, dict) or not entry.get("selected"):
        return False
    hops = entry.get("nexthops")
    return isinstance(hops, list) and any(
        isinstance(hop, dict) and hop.get("active") and hop.get("fib") and not hop.get("unreachable") for hop in hops
    )


def _resolves_via_default(settings: str, vrf: str, family: int) -> bool:
    """Whether next hops may use a default route in 8.4: set for each VRF and family; on with `defaults datacenter`."""
    setting = f"{_KEYWORDS[family]} nht resolve-via-default"
    resolves = False
    inside = DEFAULT_VRF
    for line in settings.splitlines():
        words = line.strip()
        if words == "frr defaults datacenter":
            resolves = True
        elif words.startswith("vrf "):
            inside = words[4:].strip()
        elif words in ("exit-vrf", "exit"):
            inside = DEFAULT_VRF
        elif inside == vrf and words in (setting, f"no {setting}"):
            resolves = not words.startswith("no ")
    return resolves

"""What NX-OS forwards: `show forwarding ipv4 route` and `show forwarding ipv6 route` as text.

The form is that of the Nexus 9000 unicast routing guide ("Displaying Routing and Adjacency Information") and of
captures of 5.x to 10.x: a table for each module under "slot N", or one alone; prefix, next hop, interface; further next
hops below. What one module has counts: on a Nexus 9500 line cards and fabric modules share the table between them. A
"*" marks a prefix of several next hops of the routing table that are fewer here, being resolved through others.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DISCARD, Prefix, canonical_address

_TABLE = re.compile(r"IPv[46] routes for table \S+")
_ENTRY = re.compile(r"([*$_]*)([0-9A-Fa-f.:]+/\d+)(?:\s+(.*))?")
_FRAME = re.compile(r"slot +\d+|[-=+ ]+|Prefix\s*\|.*")
_NOTHING = re.compile(r"no longest match|(?:route|prefix) not found", re.IGNORECASE)
_FAMILIES = {4: "ipv4", 6: "ipv6"}


class Forwarded(NamedTuple):
    """A route of the forwarding table: labels of its next hops, and whether others stand there for those configured."""

    labels: frozenset[str]
    resolved: bool


def table_command(vrf: str, family: int) -> str:
    """Asks for the whole table of a VRF."""
    return f"show forwarding {_FAMILIES[family]} route vrf {vrf}"


def prefix_command(vrf: str, prefix: Prefix) -> str:
    """Asks for one prefix."""
    return f"show forwarding {_FAMILIES[prefix.family]} route {prefix} vrf {vrf}"


def read_forwarding(command: str, answer: str) -> Mapping[Prefix, Forwarded]:
    """The routes of an answer.

    Raises:
        TableUnreadable: it has not the expected form.
    """
    found: dict[Prefix, Forwarded] = {}
    entry: Prefix | None = None
    shown = False
    for line in map(str.rstrip, answer.splitlines()):
        text = line.strip()
        if not text or _FRAME.fullmatch(text):
            continue
        if _TABLE.fullmatch(text) or _NOTHING.search(text):
            entry, shown = None, True
            continue
        head = _ENTRY.fullmatch(text) if not line[0].isspace() or entry is None else None
        if head is not None and shown:
            entry, text = _prefix(command, head[2]), head[3] or ""
            found.setdefault(entry, Forwarded(frozenset(), "*" in head[1]))
        elif entry is None or not line[0].isspace():
            raise _unexpected(command, line)
        if text and entry is not None:
            hops, resolved = found[entry]
            found[entry] = Forwarded(hops | _labels(command, text), resolved)
    if not shown:
        raise _unexpected(command, answer)
    return found


def in_force(command: str, prefix: Prefix, rib: frozenset[str], route: Forwarded | None) -> frozenset[str]:
    """Which of a static route's next hops forward, in the routing table's words: this one does not tell their VRF.

    Raises:
        TableUnreadable: it forwards over none of them, so that they seem to be resolved through others.
    """
    if route is None:
        return frozenset()
    spelt = {label.partition(" vrf ")[0]: label for label in rib}
    labels = frozenset(spelt.get(label, label) for label in route.labels)
    if not labels or labels & rib or DISCARD in labels | rib:
        return labels
    if route.resolved:
        return rib
    raise TableUnreadable(
        f"the router's answer to {command!r} has {', '.join(sorted(labels))} for {prefix}, the routing table has "
        f"{', '.join(sorted(rib))}: are those resolved through the others?"
    )


def _labels(command: str, text: str) -> frozenset[str]:
    """Of one next hop: an address, "Drop", or where the subnet is attached."""
    words = text.split()
    if words[0] == "Drop":
        return frozenset({DISCARD})
    if words[0] in ("Attached", "Receive"):
        return frozenset(words[1:2])
    try:
        return frozenset({canonical_address(words[0])})
    except ValueError:
        raise _unexpected(command, text) from None


def _prefix(command: str, text: str) -> Prefix:
    try:
        return Prefix.parse(text, strict=False)
    except ValueError as error:
        raise TableUnreadable(f"the router's answer to {command!r}: {error}") from None


def _unexpected(command: str, text: str) -> TableUnreadable:
    return TableUnreadable(f"the router's answer to {command!r} has an unexpected form: {text.strip()[:80]!r}")

"""Whether next hops answer: the ARP (IPv4) and ND (IPv6) entries of a VRF, by one show command for each family.

Forms as in Cisco's command references (IOS: "show ip arp", "show ipv6 neighbors"; IOS XR: "show arp", "show ipv6
neighbors"; NX-OS: "show ip arp", "show ipv6 neighbor"), in captures of their outputs that people have published, and as
iproute2 prints the Linux kernel's. Junos lists those neighbours alone that answer, and marks the others in its
forwarding table (`junos_tables`); EOS shows the others nowhere.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, address_family, canonical_address
from k8s_ecmp.platforms.base import Neighbour
from k8s_ecmp.platforms.iosxr_neighbours import read_models


class _Columns(NamedTuple):
    """Places of the words in a row; that of `state` says Incomplete, INCMP or INCOMPLETE while nobody answers."""

    address: int
    state: int
    interface: int


class _Table(NamedTuple):
    """The command, with its VRF and without, and its answer's columns; None: JSON."""

    in_vrf: str
    in_default: str
    columns: _Columns | None


_TABLES: Mapping[str, Mapping[int, _Table]] = {
    "frr": {
        family: _Table(f"ip -j -{family} neigh show vrf {{}}", f"ip -j -{family} neigh show nomaster", None)
        for family in (4, 6)
    },
    "ios": {
        4: _Table("show ip arp vrf {}", "show ip arp", _Columns(1, 3, 5)),
        6: _Table("show ipv6 neighbors vrf {}", "show ipv6 neighbors", _Columns(0, 3, 4)),
    },
    "iosxr": {
        4: _Table("show arp vrf {}", "show arp vrf default", _Columns(0, 3, 5)),
        6: _Table("show ipv6 neighbors vrf {}", "show ipv6 neighbors vrf default", _Columns(0, 3, 4)),
    },
    "nxos": {
        4: _Table("show ip arp vrf {}", "show ip arp vrf default", _Columns(0, 2, 3)),
        6: _Table("show ipv6 neighbor vrf {}", "show ipv6 neighbor vrf default", _Columns(0, 2, 5)),
    },
}
_UNRESOLVED = frozenset({"incomplete", "incmp"})
_FAILED = frozenset({"INCOMPLETE", "FAILED"})  # ip-neighbour(8)
_STAMP = re.compile(r"\w{3} \w{3} +\d+ [\d:.]+ \w+")  # IOS XR says the time above every answer


def neighbour_commands(syntax: str, vrf: str, addresses: Collection[str]) -> dict[str, int]:
    """The show commands for the neighbours of a VRF, with the family of each; none where the platform has none.

    Args:
        syntax: the platform's name.
        vrf: the VRF.
        addresses: next hops; their families are asked for.
    """
    tables = _TABLES.get(syntax, {})
    families = sorted({address_family(address) for address in addresses} & tables.keys())
    return {
        tables[family].in_default if vrf == DEFAULT_VRF else tables[family].in_vrf.format(vrf): family
        for family in families
    }


def read_neighbours(syntax: str, family: int, command: str, answer: str) -> list[Neighbour]:
    """The entries of an answer; an empty table is no error.

    Raises:
        TableUnreadable: it is no such table.
    """
    columns = _TABLES[syntax][family].columns
    try:
        if columns is None:
            return list(_kernel(json.loads(answer)))
        if answer.lstrip().startswith("<"):
            return list(read_models(answer))
    except (ValueError, TypeError, KeyError, AttributeError, SyntaxError) as error:
        raise TableUnreadable(f"the router's answer to {command!r} has an unexpected form: {error!r}") from None
    lines = [line.strip() for line in answer.splitlines() if line.strip() and not _STAMP.fullmatch(line.strip())]
    found = list(_rows(lines, family, columns))
    if lines and not found and (lines[0].startswith("%") or "address" not in answer.lower()):
        raise TableUnreadable(f"the router's answer to {command!r} is no table of neighbours: {lines[0][:80]!r}")
    return found


def _rows(lines: Collection[str], family: int, columns: _Columns) -> Iterator[Neighbour]:
    """Rows with an address in its column. A long address may stand in a line of its own, above its row (NX-OS)."""
    above: list[str] = []
    for line in lines:
        words = above + line.split()
        above = []
        address = _address(words, columns.address, family)
        if address is None:
            continue
        if len(words) == 1:
            above = words
        elif len(words) > columns.state:
            interface = words[columns.interface] if len(words) > columns.interface else ""
            yield Neighbour(address, interface, words[columns.state].lower() not in _UNRESOLVED)


def _address(words: list[str], place: int, family: int) -> str | None:
    try:
        address = canonical_address(words[place])
    except (ValueError, IndexError):
        return None
    return address if address_family(address) == family else None


def _kernel(entries: Any) -> Iterator[Neighbour]:
    """As `ip -j neigh` has them: [{"dst": ADDRESS, "dev": INTERFACE, "state": ["FAILED"]}, ...]."""
    for entry in entries:
        yield Neighbour(canonical_address(entry["dst"]), entry["dev"], not _FAILED & set(entry["state"]))

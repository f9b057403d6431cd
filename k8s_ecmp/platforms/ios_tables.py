"""What a Cisco IOS router really routes: `show ip route` and `show ipv6 route` for the RIB, `show ip cef` for the FIB.

Forms of the answers as in the IOS IP Routing, IPv6 and IP Switching command references and in captures of IOS 15 and
IOS-XE 16. `detail` makes CEF name the configured next hop and not what it resolves to, of one prefix as of the table.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from k8s_ecmp.errors import ParseError, TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, DISCARD, Prefix, address_family, canonical_address
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.words import read_prefix

_KEYWORDS = {4: "ip", 6: "ipv6"}
# What is not there: a prefix, or a table altogether. Every other line that begins with "%" is an error.
_ABSENT = re.compile(
    r"% *(?:(?:Network|Subnet) not in table|Route not found|(?:IPv[46] )?prefix not found)", re.IGNORECASE
)
_NO_TABLE = re.compile(
    r"% *(?:(?:IP(?:v6)? routing table|VRF) .*does not exist|IPv6 (?:unicast )?routing (?:is )?not enabled)",
    re.IGNORECASE,
)
_CEF_OFF = re.compile(r"%IPv[46] CEF not running")
_TABLE = re.compile(
    r"^(?:Codes: |Gateway of last resort|(?:IPv6 )?Routing Table)", re.MULTILINE
)  # without a route, too
_SUBNETTED = re.compile(r"\s+[\d.]+(/\d+) is subnetted,")
_ROUTE = re.compile(r"(\S+)[* %+&]*?\s+(\d+\.\d+\.\d+\.\d+(?:/\d+)?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*/\d+)(?:\s+(.*))?$")
_VIA = re.compile(r"via ([0-9A-Fa-f.]*[.:][0-9A-Fa-f:.]*)(?:[%\s,(]|$)")
_DIRECT = re.compile(r"directly connected,? (?:via )?(\S+)|via ([^\s,]+),? ?.*directly connected")
_ENTRY = re.compile(r"Routing entry for ([0-9A-Fa-f:.]+/\d+)")
_KNOWN = re.compile(r'Known via "([^"]+)"(?:, distance (\d+))?')
_HOP = re.compile(r"\s+(?:\* )?([0-9A-Fa-f.]*[.:][0-9A-Fa-f:.]*)(?:[%\s,(]|$)")
_CEF_ENTRY = re.compile(r"([0-9A-Fa-f:.]+/\d+)(?:, .*)?$")
_CEF_PATH = re.compile(r"  (recursive via|nexthop|attached to) ([^\s,\[]+)")

_Found = list[tuple[Prefix, frozenset[str], Better | None]]


class IosVerification:
    """The questions and how to read the answers."""

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:
        """RIB and FIB of each VRF and family."""
        return tuple(
            command
            for vrf in vrfs
            for family, keyword in _KEYWORDS.items()
            for command in (f"show {keyword} route {_in(vrf)}static", _whole_fib(vrf, family))
        )

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:
        """RIB and FIB of each prefix."""
        return tuple(command for prefix in prefixes for command in (_rib(vrf, prefix), _fib(vrf, prefix)))

    def is_forwarding(self, command: str) -> bool:
        """Those to CEF do."""
        return command.split()[2] == "cef"

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """Static routes by (VRF, prefix), and prefixes at which another protocol's route is the best.

        Raises:
            TableUnreadable: an answer has not the expected form.
        """
        tables: dict[tuple[str, Prefix], Installed] = {}
        forwarding = _Forwarding(answers)
        none = frozenset[str]()
        for command, answer in answers.items():
            if self.is_forwarding(command):
                continue
            _, _, _, *rest = command.split()
            vrf = rest[1] if rest[0] == "vrf" else DEFAULT_VRF
            for prefix, hops, better in _read(_read_table if rest[-1] == "static" else _read_entry, command, answer):
                fib = none if better else forwarding.labels(vrf, prefix, hops)
                tables[vrf, prefix] = Installed(hops, fib, better)
        return tables

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """The route to each address."""
        return tuple(_resolve(vrf, address) for address in addresses)

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:
        """Those to which the routing table has no route.

        Raises:
            TableUnreadable: an answer is missing or has not the expected form.
        """
        unresolved = set()
        for address in addresses:
            command = _resolve(vrf, address)
            if command not in answers:
                raise TableUnreadable(f"the router gave no answer to {command!r}")
            if (missing := _NO_TABLE.search(answers[command])) is not None:
                raise ParseError(f"the router says: {missing[0]}", remedy="correct `vrf` in the inventory")
            text = _answer(command, answers[command])
            if text is None:
                unresolved.add(address)
            elif not _ENTRY.search(text):
                raise _unexpected(command, text)
        return frozenset(unresolved)


class _Forwarding:
    """The FIBs among the answers, each read when it is first looked into."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self._read: dict[str, dict[Prefix, frozenset[str]]] = {}

    def labels(self, vrf: str, prefix: Prefix, rib: frozenset[str]) -> frozenset[str]:
        """What forwards of a prefix; as the RIB has it where the FIB was not asked or CEF is off."""
        for command in (_fib(vrf, prefix), _whole_fib(vrf, prefix.family)):
            answer = self._answers.get(command)
            if answer is None or _CEF_OFF.search(answer):
                continue
            if command not in self._read:
                self._read[command] = {found: hops for found, hops, _ in _read(_read_cef, command, answer)}
            return self._read[command].get(prefix, frozenset())
        return rib


def _read(reader: Callable[[str, str], _Found], command: str, answer: str) -> _Found:
    try:
        return reader(command, answer)
    except ValueError as error:
        raise TableUnreadable(f"the router's answer to {command!r}: {error}") from None


def _in(vrf: str) -> str:
    return "" if vrf == DEFAULT_VRF else f"vrf {vrf} "


def _written(prefix: Prefix) -> str:
    if prefix.family == 6:
        return str(prefix).upper()
    mask = (0xFFFFFFFF << (32 - prefix.length)) & 0xFFFFFFFF
    return f"{prefix.address} " + ".".join(str(mask >> shift & 0xFF) for shift in (24, 16, 8, 0))


def _rib(vrf: str, prefix: Prefix) -> str:
    return f"show {_KEYWORDS[prefix.family]} route {_in(vrf)}{_written(prefix)}"


def _fib(vrf: str, prefix: Prefix) -> str:
    return f"show {_KEYWORDS[prefix.family]} cef {_in(vrf)}{_written(prefix)} detail"


def _whole_fib(vrf: str, family: int) -> str:
    return f"show {_KEYWORDS[family]} cef {_in(vrf)}detail"


def _resolve(vrf: str, address: str) -> str:
    return f"show {_KEYWORDS[address_family(address)]} route {_in(vrf)}{address.upper()}"


def _unexpected(command: str, text: str) -> TableUnreadable:
    return TableUnreadable(f"the router's answer to {command!r} has an unexpected form: {text.strip()[:80]!r}")


def _answer(command: str, answer: str) -> str | None:
    """The answer, None where what was asked for is not there.

    Raises:
        TableUnreadable: it is an error message.
    """
    for line in answer.splitlines():
        if line.lstrip().startswith("%"):
            if any(known.search(line) for known in (_ABSENT, _NO_TABLE, _CEF_OFF)):
                return None
            raise _unexpected(command, line)
    return answer


def _read_table(command: str, answer: str) -> _Found:
    """`show ip route static`: a line for each prefix or hop. The mask may stand in the line of the major network."""
    text = _answer(command, answer)
    if text is None:
        return []
    routes: dict[str, set[str]] = {}
    length = ""
    hops: set[str] | None = None
    for line in text.splitlines():
        if not line.strip():
            continue
        if line[0].isspace():
            subnetted = _SUBNETTED.match(line)
            if subnetted:
                length, hops = subnetted[1], None
            elif " is variably subnetted," in line:
                length, hops = "", None
            elif hops is not None and (label := _label(line)) is not None:
                hops.add(label)
            continue
        found = _ROUTE.match(line)
        if found is None or not line.startswith("S"):
            hops = None
            continue
        prefix, rest = found[2], found[3] or ""
        if "/" not in prefix:
            prefix += length or _classful(prefix)
        hops = routes.setdefault(prefix, set())
        if (label := _label(rest)) is not None:
            hops.add(label)
    if not routes and not _TABLE.search(text):
        raise _unexpected(command, text)
    return [(_prefix(prefix), frozenset(hops), None) for prefix, hops in routes.items()]


def _read_entry(command: str, answer: str) -> _Found:
    """`show ip route PREFIX MASK`: "Routing entry for", how it is known, then a line for each hop."""
    text = _answer(command, answer)
    if text is None:
        return []
    entry = _ENTRY.search(text)
    if entry is None:
        raise _unexpected(command, text)
    known = _KNOWN.search(text)
    if known is None:
        raise _unexpected(command, text)
    if known[1] != "static":
        return [(_prefix(entry[1]), frozenset(), Better(known[1], int(known[2]) if known[2] else None))]
    hops: set[str] = set()
    for line in text[entry.end() :].splitlines():
        direct = _DIRECT.search(line)
        hop = _HOP.match(line)
        if direct:
            hops.add(_interface(direct[1] or direct[2]))
        elif hop:
            hops.add(canonical_address(hop[1]))
    return [(_prefix(entry[1]), frozenset(hops), None)]


def _read_cef(command: str, answer: str) -> _Found:
    """`show ip cef [PREFIX MASK] detail`: prefixes, with their paths two blanks in; what is deeper resolves a path."""
    text = _answer(command, answer)
    if text is None:
        return []
    found: dict[Prefix, set[str]] = {}
    hops: set[str] | None = None
    for line in text.splitlines():
        entry = _CEF_ENTRY.match(line)
        path = _CEF_PATH.match(line)
        if entry:
            hops = found.setdefault(_prefix(entry[1]), set())
        elif path and hops is not None:
            kind, target = path.groups()
            hops.add(_interface(target) if kind == "attached to" else canonical_address(target))
    if not found:
        raise _unexpected(command, text)
    return [(prefix, frozenset(hops), None) for prefix, hops in found.items()]


def _label(text: str) -> str | None:
    """The next hop that a line of a table names: an address, an interface, or that it discards."""
    direct = _DIRECT.search(text)
    if direct:
        return _interface(direct[1] or direct[2])
    via = _VIA.search(text)
    return canonical_address(via[1]) if via else None


def _interface(name: str) -> str:
    name = name.rstrip(",")
    return DISCARD if name.lower() == "null0" else name


def _prefix(text: str) -> Prefix:
    return read_prefix(text, 6 if ":" in text else 4)[0]


def _classful(address: str) -> str:
    """The length of a network that is shown without one: that of its class."""
    first = int(address.partition(".")[0])
    return "/8" if first < 128 else "/16" if first < 192 else "/24"

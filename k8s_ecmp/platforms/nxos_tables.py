"""What NX-OS really routes: `show ip route` and `show ipv6 route` as text; `nxos_forwarding` has the forwarding table.

The form is that of the Nexus 9000 unicast routing guide and of captures of 7.x to 10.x. "*" marks the best paths, "**"
multicast ones. A route that the forwarding manager has not taken over yet is marked "pending ufdm"; it counts for the
RIB alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DISCARD, NextHop, Prefix, address_family, canonical_address
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.nxos_forwarding import Forwarded, in_force, prefix_command, read_forwarding, table_command

_KEYWORDS = {4: "ip", 6: "ipv6"}
_TABLE = re.compile(r'\s*IP(?:v6)? Rout(?:e|ing) Table for VRF "([^"]+)"\s*')
_ROUTE = re.compile(r"\s*([0-9A-Fa-f.:]+/\d+), ubest/mbest: \d+/\d+(.*)")
_PATH = re.compile(r"\s+(\*{0,2})via (\S+?), (?:\S+, )?\[(\d+)/\d+\], [^,]+, ([^,]+)(?:,.*)?")


class _Path(NamedTuple):
    """A unicast path: its label as `NextHop.table_label` has it, whose it is, and whether it is among the best."""

    label: str
    protocol: str
    distance: int
    best: bool


class _Route(NamedTuple):
    """A prefix of a table with its paths."""

    vrf: str
    prefix: Prefix
    pending: bool
    paths: tuple[_Path, ...]


class NxosVerification:
    """The questions to the tables, and how to read their answers."""

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:
        """RIB and FIB of each VRF and family."""
        return tuple(
            command
            for vrf in vrfs
            for family, keyword in _KEYWORDS.items()
            for command in (f"show {keyword} route static vrf {vrf}", table_command(vrf, family))
        )

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:
        """RIB and FIB of each prefix. Where it is not there the answer may show the one that covers it."""
        return tuple(
            command
            for prefix in prefixes
            for command in (f"show {_KEYWORDS[prefix.family]} route {prefix} vrf {vrf}", prefix_command(vrf, prefix))
        )

    def is_forwarding(self, command: str) -> bool:
        """Those to the forwarding manager do."""
        return command.startswith("show forwarding ")

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """Static routes by (VRF, prefix), and prefixes at which another protocol's route is the best.

        Raises:
            TableUnreadable: an answer has not the expected form.
        """
        tables: dict[tuple[str, Prefix], Installed] = {}
        forwarding = _Forwarding(answers)
        for command, answer in answers.items():
            if self.is_forwarding(command):
                continue
            for vrf, prefix, pending, paths in _routes(command, answer):
                rib = frozenset(path.label for path in paths if path.best and path.protocol == "static")
                if rib:
                    fib = frozenset[str]() if pending else forwarding.labels(vrf, prefix, rib)
                    tables[vrf, prefix] = Installed(rib, fib)
                else:
                    tables[vrf, prefix] = _kept_out(paths)
        return tables

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """One for each address: the route that covers it."""
        return tuple(_resolve_command(vrf, address) for address in addresses)

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:
        """Those without a route but the default one, and those that only a discard route covers.

        Raises:
            TableUnreadable: an answer is missing or has not the expected form.
        """
        unresolved = set()
        for address in addresses:
            command = _resolve_command(vrf, address)
            if command not in answers:
                raise TableUnreadable(f"the router gave no answer to {command!r}")
            if not any(
                route.prefix.length > 0 and any(path.label != DISCARD for path in route.paths if path.best)
                for route in _routes(command, answers[command])
            ):
                unresolved.add(address)
        return frozenset(unresolved)


class _Forwarding:
    """The forwarding tables among the answers, each read when it is first looked into."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self._read: dict[str, Mapping[Prefix, Forwarded]] = {}

    def labels(self, vrf: str, prefix: Prefix, rib: frozenset[str]) -> frozenset[str]:
        """Those of the next hops that forward; all of them where the forwarding table was not asked."""
        for command in (prefix_command(vrf, prefix), table_command(vrf, prefix.family)):
            if command in self._answers:
                if command not in self._read:
                    self._read[command] = read_forwarding(command, self._answers[command])
                return in_force(command, prefix, rib, self._read[command].get(prefix))
        return rib


def _resolve_command(vrf: str, address: str) -> str:
    return f"show {_KEYWORDS[address_family(address)]} route {address} vrf {vrf}"


def _routes(command: str, answer: str) -> Iterator[_Route]:
    """The routes of an answer, which begins with the name of its table; "Route not found" follows it where none is."""
    vrf: str | None = None
    prefix: Prefix | None = None
    pending = False
    paths: list[_Path] = []
    for line in answer.splitlines():
        if (path := _PATH.fullmatch(line)) is not None:
            if prefix is None or vrf is None:
                raise TableUnreadable(f"the router's answer to {command!r} has a path of no prefix: {line.strip()!r}")
            if path[1] != "**":
                paths.append(_Path(_label(command, vrf, path[2]), path[4], int(path[3]), path[1] == "*"))
        elif (route := _ROUTE.fullmatch(line)) is not None:
            if vrf is None:
                raise TableUnreadable(f"the router's answer to {command!r} does not say whose table it is")
            if prefix is not None:
                yield _Route(vrf, prefix, pending, tuple(paths))
            prefix, pending, paths = _prefix(command, route[1]), "pending" in route[2], []
        elif (table := _TABLE.fullmatch(line)) is not None:
            if prefix is not None and vrf is not None:
                yield _Route(vrf, prefix, pending, tuple(paths))
            vrf, prefix = table[1], None
        elif " via " in f" {line.replace('*', ' ')}" and "in via output" not in line:
            raise TableUnreadable(f"the router's answer to {command!r} has an unexpected path: {line.strip()!r}")
    if vrf is None:
        raise TableUnreadable(
            f"the router's answer to {command!r} is no routing table: {answer.strip()[:80]!r}",
            remedy="does the router have that VRF?",
        )
    if prefix is not None:
        yield _Route(vrf, prefix, pending, tuple(paths))


def _kept_out(paths: Sequence[_Path]) -> Installed:
    """A prefix whose best paths are not static; releases differ in whether they list what is kept out."""
    better = next((Better(path.protocol, path.distance) for path in paths if path.best), None)
    behind = frozenset(path.label for path in paths if path.protocol == "static")
    return Installed(frozenset(), frozenset(), better, behind or None)


def _prefix(command: str, text: str) -> Prefix:
    try:
        return Prefix.parse(text)
    except ValueError as error:
        raise TableUnreadable(f"the router's answer to {command!r}: {error}") from None


def _label(command: str, vrf: str, target: str) -> str:
    """ADDRESS[%VRF], Null0 or an interface. An address may have its host length; the table's own VRF says nothing."""
    if target == "Null0":
        return DISCARD
    address, _, other = target.partition("%")
    try:
        address = canonical_address(address.removesuffix("/128" if ":" in address else "/32"))
    except ValueError:
        if "." in address.partition("/")[0] and not address[0].isalpha():
            raise TableUnreadable(f"the router's answer to {command!r} has no next hop in {target!r}") from None
        return target
    return NextHop(address, vrf=other if other not in ("", vrf) else None).label

"""What a Junos router really routes: `show route`, as the CLI prints it; `junos_forwarding` has the forwarding table.

Forms as in the Junos CLI reference ("show route", "show route forwarding-table", "show route summary") and in outputs
of 12.3 to 22.4. Where no route matches, `show route` prints nothing at all, and so it does where the login may not see
the table; the summary, which always has its lines on the router itself, tells the two apart.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, DISCARD, Prefix, address_family, canonical_address
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.junos_forwarding import Forwarded, answer_lines, in_force, read_forwarding

_FAMILIES = {4: "inet", 6: "inet6"}
_RIB_TABLE = re.compile(r"(\S+): \d+ destinations?, \d+ routes?")
_RIB_ROUTE = re.compile(r"(?P<prefix>\S+/\d+)?\s*(?P<active>[*+-])?\s*\[(?P<protocol>[\w-]+)/(?P<preference>\d+)")
_RIB_HOP = re.compile(r">?\s*to (?P<address>\S+)(?: via (?P<interface>[^\s,]+))?")
_RIB_VIA = re.compile(r">?\s*via (?P<interface>[^\s,]+)")
_RIB_KINDS = {"Discard": DISCARD, "Reject": DISCARD, "Receive": "receive"}
_NONE: frozenset[str] = frozenset()


class JunosVerification:
    """The questions to the router, and how to read its answers."""

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:
        """The static routes of each VRF and family, and what is in its forwarding table."""
        return tuple(
            command
            for vrf in vrfs
            for family in _FAMILIES
            for command in (
                f"show route protocol static table {_table(vrf, family)}",
                f"show route forwarding-table family {_FAMILIES[family]} table {vrf}",
                _summary(_table(vrf, family)),
            )
        )

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:
        """Two for each prefix, and one for each table."""
        asked = [
            command
            for prefix in prefixes
            for command in (
                f"show route {prefix} exact table {_table(vrf, prefix.family)}",
                f"show route forwarding-table family {_FAMILIES[prefix.family]} destination {prefix} table {vrf}",
            )
        ]
        return (*asked, *(_summary(_table(vrf, family)) for family in sorted({prefix.family for prefix in prefixes})))

    def is_forwarding(self, command: str) -> bool:
        """Those to the forwarding table do."""
        return "forwarding-table" in command.split()

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """Static routes by (VRF, prefix), and prefixes at which another protocol's route is the active one.

        Raises:
            TableUnreadable: an answer has not the expected form, or the router shows nothing of a table.
        """
        rib: dict[tuple[str, Prefix], Installed] = {}
        fib: dict[tuple[str, Prefix], Forwarded] = {}
        shown = False
        for command, answer in answers.items():
            words = command.split()
            vrf = _vrf(words[words.index("table") + 1])
            if "summary" in words:
                continue
            if self.is_forwarding(command):
                shown = shown or bool(answer.strip())
                fib |= {(vrf, prefix): route for prefix, route in read_forwarding(command, answer)}
            else:
                _expect_shown(command, answers)
                rib |= {(vrf, prefix): found for prefix, found in _routes(command, answer)}
        if not shown:  # the router keeps its forwarding table to itself
            return rib
        return {key: in_force(key, found, fib.get(key, Forwarded())) for key, found in rib.items()}

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """One for each address: what the router would send to it by; and one for each table."""
        tables = sorted({_table(vrf, address_family(address)) for address in addresses})
        return (*(_resolve_command(vrf, address) for address in addresses), *map(_summary, tables))

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:
        """Those that are in no connected subnet: a static next hop needs one unless it is told to `resolve`.

        Raises:
            TableUnreadable: an answer is missing or has not the expected form, or the router shows nothing of a table.
        """
        unresolved = set()
        for address in addresses:
            command = _resolve_command(vrf, address)
            if command not in answers:
                raise TableUnreadable(f"the router gave no answer to {command!r}")
            _expect_shown(command, answers)
            if not re.search(r"^\S*/\d+\s+\*\[(?:Direct|Local|Access-internal)/", answers[command], re.MULTILINE):
                unresolved.add(address)
        return frozenset(unresolved)


def _resolve_command(vrf: str, address: str) -> str:
    return f"show route {address} table {_table(vrf, address_family(address))}"


def _summary(table: str) -> str:
    return f"show route summary table {table}"


def _expect_shown(command: str, answers: Mapping[str, str]) -> None:
    """That an answer lists routes, or is blank because no route matches.

    Raises:
        TableUnreadable: it has another form, or is blank and the table's summary is blank, too.
    """
    lines = [line for line in answer_lines(command, answers[command]) if line.strip()]
    if lines:
        if not any(_RIB_TABLE.match(line) or _RIB_ROUTE.match(line) for line in lines):
            raise TableUnreadable(
                f"the router's answer to {command!r} has an unexpected form: {lines[0].strip()[:80]!r}"
            )
        return
    question = _summary(command.split(" table ")[1])
    if not "".join(answer_lines(question, answers.get(question, ""))).strip():
        raise TableUnreadable(
            f"the router's answers to {command!r} and {question!r} are blank",
            remedy="does the login see the routing table? it needs the permission `view` on the router itself",
        )


def _table(vrf: str, family: int) -> str:
    name = f"{_FAMILIES[family]}.0"
    return name if vrf == DEFAULT_VRF else f"{vrf}.{name}"


def _vrf(table: str) -> str:
    """The VRF of a routing table's name, or of a forwarding table's, which is the VRF itself."""
    for name in ("inet.0", "inet6.0"):
        if table == name:
            return DEFAULT_VRF
        if table.endswith(f".{name}"):
            return table[: -len(name) - 1]
    return table


class _Shown:
    """What is listed of a prefix: its active static route, inactive ones, the active route of another protocol."""

    def __init__(self) -> None:
        self.active: set[str] | None = None
        self.behind: set[str] = set()
        self.better: Better | None = None

    def labels(self, route: re.Match[str]) -> set[str] | None:
        """Where the labels of the next hops of a route belong whose first line this is; None: they do not matter."""
        active = route["active"] in ("*", "+")
        if route["protocol"] != "Static":
            if active:
                self.better = Better(route["protocol"], int(route["preference"]))
            return None
        if not active:
            return self.behind
        self.active = set()
        return self.active

    def installed(self) -> Installed:
        if self.active is not None:
            return Installed(frozenset(self.active), frozenset(self.active))
        return Installed(_NONE, _NONE, self.better, frozenset(self.behind))


def _routes(command: str, answer: str) -> Iterator[tuple[Prefix, Installed]]:
    """Each prefix; all that is in the routing table counts as installed."""
    prefix: Prefix | None = None
    shown: dict[Prefix, _Shown] = {}
    labels: set[str] | None = None
    for line in answer_lines(command, answer):
        if not line.strip() or _RIB_TABLE.match(line) or line.startswith("+ = Active"):
            labels = None
            continue
        route = _RIB_ROUTE.match(line)
        text = line.split()[0]
        if route is not None:
            if route["prefix"]:
                prefix = _prefix(command, route["prefix"])
            labels = shown.setdefault(prefix, _Shown()).labels(route) if prefix is not None else None
        elif "/" in text and line[0] not in " \t>":  # a long prefix has a line of its own
            prefix, labels = _prefix(command, text), None
            shown.setdefault(prefix, _Shown())
        elif labels is not None:
            labels |= _rib_labels(line.strip())
    yield from ((prefix, found.installed()) for prefix, found in shown.items())


def _rib_labels(line: str) -> set[str]:
    hop = _RIB_HOP.match(line)
    if hop is not None and hop["address"] == "table":
        return set()
    if hop is not None:
        return {_label(hop["address"])}
    via = _RIB_VIA.match(line)
    if via is not None:
        return {via["interface"]}
    return {_RIB_KINDS[line]} if line in _RIB_KINDS else set()


def _label(address: str) -> str:
    try:
        return canonical_address(address)
    except ValueError:
        return address


def _prefix(command: str, text: str) -> Prefix:
    try:
        return Prefix.parse(text, strict=False)
    except ValueError as error:
        raise TableUnreadable(f"the router's answer to {command!r}: {error}") from None

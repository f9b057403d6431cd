"""What an IOS-XR router really routes: its RIB by `show route`, its FIB by `show cef`.

Forms as in Cisco's command references and in outputs of 6.x and 7.x. Over NETCONF there are no show commands: the
answers are the YANG models of both; a FIB that the login may not see is left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DISCARD, Prefix, address_family, canonical_address
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.iosxr_fib import read_fib
from k8s_ecmp.platforms.iosxr_rib import Entry, Question, read_rib

_HEAD = re.compile(r"S(?:\*| )[^\s]* *(?:\(!\) *)?([0-9a-fA-F.:]+/\d+)")
_VIA = re.compile(r"\[\d+/\d+\] via ([0-9a-fA-F.:]+)(?: \(nexthop in vrf (\S+)\))?,")
_CONNECTED = re.compile(r"directly connected, [^,]+, (\S+)")
_LEGEND = re.compile(r"Codes: | +\S+ - |Gateway of last resort|$|\w{3} \w{3} +\d+ [\d:.]+ \w+$")
_ENTRY = re.compile(r"Routing entry for (\S+?)(?:, supernet)?\s*$", re.MULTILINE)
_KNOWN = re.compile(r'^ +Known via "([^"]+)"(?:, distance (\d+))?', re.MULTILINE)
_BLOCK = re.compile(r"^    (?:([0-9a-fA-F.:]+)(?:,.*)?|directly connected, via (\S+?),?(?: .*)?)$")
_HOP_VRF = re.compile(r'^ +Nexthop in Vrf: "(\S+?)"')
_CEF_VIA = re.compile(r"^ +via ([0-9a-fA-F.:]+)/\d+, ")
_CEF_THROUGH = re.compile(r"^ +via ([A-Za-z][\w/.:-]*), ")
_NONE: frozenset[str] = frozenset()
_NOT_THERE = ("not in table", "No matching", "No such VRF", "does not exist", "No such vrf")


class IosXrVerification:
    """The questions, and how to read their answers."""

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:
        """RIB and FIB of each VRF and family."""
        return tuple(
            Question(table, vrf, family, "static").command
            for vrf in vrfs
            for family in (4, 6)
            for table in ("route", "cef")
        )

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:
        """RIB and FIB of each prefix."""
        return tuple(
            Question(table, vrf, prefix.family, str(prefix)).command
            for prefix in prefixes
            for table in ("route", "cef")
        )

    def is_forwarding(self, command: str) -> bool:
        """Those to CEF do."""
        return Question.of(command).table == "cef"

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """Static routes by (VRF, prefix), and prefixes at which another protocol's route is the best.

        Raises:
            TableUnreadable: an answer has not the expected form.
        """
        tables: dict[tuple[str, Prefix], Installed] = {}
        for command, answer in answers.items():
            if self.is_forwarding(command):
                continue
            asked = Question.of(command)
            question = asked._replace(table="cef").command
            forwarding = answers.get(question)
            fib: Mapping[Prefix, frozenset[str]] | None = None
            if forwarding is not None:
                fib = dict(_cef(question, forwarding))
            for prefix, protocol, labels, distance in _entries(asked, answer):
                if protocol == "static" and asked.what in ("static", str(prefix)):
                    installed = labels if fib is None else _same(labels, fib.get(prefix, _NONE))
                    tables[asked.vrf, prefix] = Installed(labels, installed)
                elif asked.what == str(prefix):
                    tables[asked.vrf, prefix] = Installed(_NONE, _NONE, Better(protocol, distance))
        return tables

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """One for each address."""
        return tuple(_resolve(vrf, address).command for address in addresses)

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:
        """Those without a route, or with one that only discards; a default route will do, as it does for static routes.

        Raises:
            TableUnreadable: an answer is missing or has not the expected form.
        """
        unresolved = set()
        for address in addresses:
            asked = _resolve(vrf, address)
            if asked.command not in answers:
                raise TableUnreadable(f"the router gave no answer to {asked.command!r}")
            host = Prefix.host(address)
            covering = [entry for entry in _entries(asked, answers[asked.command]) if entry.prefix.covers(host)]
            best = max(covering, key=lambda entry: entry.prefix.length, default=None)
            if best is None or best.labels <= {DISCARD}:
                unresolved.add(address)
        return frozenset(unresolved)


def _resolve(vrf: str, address: str) -> Question:
    return Question("route", vrf, address_family(address), address)


def _is_xml(answer: str) -> bool:
    return answer.lstrip().startswith("<")


def _entries(asked: Question, answer: str) -> Iterator[Entry]:
    """The routes of an answer to `show route`."""
    if _is_xml(answer):
        yield from read_rib(asked.command, answer)
    elif not _is_nothing(asked.command, answer):
        try:
            yield from _listed(answer) if asked.what == "static" else _single(answer)
        except ValueError as error:
            raise TableUnreadable(f"the router's answer to {asked.command!r}: {error}") from None


def _is_nothing(command: str, answer: str) -> bool:
    """Whether the router says that there is no such route.

    Raises:
        TableUnreadable: it says another thing that is no answer.
    """
    text = answer.strip()
    if "% " not in text and not text.startswith("%"):
        if not text:
            raise TableUnreadable(f"the router's answer to {command!r} is empty")
        return False
    if any(words in text for words in _NOT_THERE):
        return True
    raise TableUnreadable(f"the router's answer to {command!r} is an error: {text[:120]!r}")


def _listed(answer: str) -> Iterator[Entry]:
    """`show route ... static`: prefix and hop in a line, further hops below; IPv6 prefixes in lines of their own."""
    prefix: Prefix | None = None
    labels: list[str] = []
    for line in answer.splitlines():
        if head := _HEAD.match(line):
            if prefix is not None:
                yield Entry(prefix, "static", frozenset(labels))
            prefix, labels = Prefix.parse(head[1]), []
        elif _LEGEND.match(line):
            continue
        found = _hop(line)
        if found is not None and prefix is not None:
            labels.append(found)
        elif head is None or line[head.end() :].strip():
            raise ValueError(f"{line!r} is no route")
    if prefix is not None:
        yield Entry(prefix, "static", frozenset(labels))


def _hop(line: str) -> str | None:
    if via := _VIA.search(line):
        return canonical_address(via[1]) + (f" vrf {via[2]}" if via[2] else "")
    if connected := _CONNECTED.search(line):
        return _through(connected[1])
    return None


def _through(interface: str) -> str:
    return DISCARD if interface.lower().startswith("null") else interface


def _single(answer: str) -> Iterator[Entry]:
    """`show route ... PREFIX`: one entry with its descriptor blocks."""
    head, known = _ENTRY.search(answer), _KNOWN.search(answer)
    if head is None or known is None:
        raise ValueError(f"{answer.strip()[:60]!r} is no routing entry")
    labels: list[str] = []
    for line in answer.partition("Routing Descriptor Blocks")[2].splitlines():
        if block := _BLOCK.match(line):
            labels.append(canonical_address(block[1]) if block[1] else _through(block[2]))
        elif (vrf := _HOP_VRF.match(line)) and labels:
            labels[-1] += f" vrf {vrf[1]}"
    yield Entry(Prefix.parse(head[1]), known[1], frozenset(labels), int(known[2]) if known[2] else None)


def _cef(command: str, answer: str) -> Iterator[tuple[Prefix, frozenset[str]]]:
    """The FIB's hops by prefix: addresses, interfaces, "discard". From the table or from one entry."""
    if _is_xml(answer):
        yield from read_fib(command, answer)
        return
    if _is_nothing(command, answer):
        return
    try:
        yield from _cef_entry(answer) if ", version " in answer else _cef_table(answer)
    except ValueError as error:
        raise TableUnreadable(f"the router's answer to {command!r}: {error}") from None


def _cef_table(answer: str) -> Iterator[tuple[Prefix, frozenset[str]]]:
    """Columns prefix, next hop, interface; further hops, and all of a long prefix, in lines of their own."""
    if "Prefix" not in answer:
        raise ValueError(f"{answer.strip()[:60]!r} is no table")
    prefix: Prefix | None = None
    hops: set[str] = set()
    for line in answer.partition("Prefix")[2].splitlines()[1:]:
        words = line.split()
        if not words or words[0].startswith("---"):
            continue
        if not line[0].isspace():
            if prefix is not None:
                yield prefix, frozenset(hops)
            prefix, hops = Prefix.parse(words.pop(0), strict=False), set()
        if words:
            hops.add(_cef_hop(words))
    if prefix is not None:
        yield prefix, frozenset(hops)


def _cef_hop(words: Sequence[str]) -> str:
    address, slash, _ = words[0].partition("/")
    if slash:
        return canonical_address(address)
    if words[0] == "drop" or words[-1].lower() == "null0":
        return DISCARD
    return words[-1]


def _cef_entry(answer: str) -> Iterator[tuple[Prefix, frozenset[str]]]:
    """One prefix with its paths."""
    head = answer.strip().partition(",")[0]
    hops = set()
    for line in answer.splitlines():
        if via := _CEF_VIA.match(line):
            hops.add(canonical_address(via[1]))
        elif (through := _CEF_THROUGH.match(line)) and not through[1].startswith("point2point"):
            hops.add(_through(through[1]))
        elif line.strip() in ("drop adjacency", "drop packets"):
            hops.add(DISCARD)
    yield Prefix.parse(head, strict=False), frozenset(hops)


def _same(rib: frozenset[str], fib: frozenset[str]) -> frozenset[str]:
    """The FIB's hops in the RIB's words: CEF does not tell the VRF of a next hop."""
    spelt = {label.partition(" vrf ")[0]: label for label in rib}
    return frozenset(spelt.get(hop, hop) for hop in fib)

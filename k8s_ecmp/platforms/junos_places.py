"""Where static routes stand in a Junos configuration: sections, and the routes in them.

A `static` statement stands below `routing-options` or a `rib` of it, both also in a routing instance (Junos CLI
reference, "static (Routing Options)").
"""

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import DEFAULT_VRF, Prefix
from k8s_ecmp.platforms.junos_hops import NO_DEFAULTS, Defaults
from k8s_ecmp.platforms.junos_text import VERBS, Lines, Node, Words, expanded, first_word
from k8s_ecmp.platforms.remarks import Remarks

Part = tuple[Words, ...]

# First words of statements at the top; of routers within the router; of what takes groups in.
TOP = frozenset(
    {"access", "access-profile", "accounting-options", "applications", "apply-groups", "bridge-domains", "chassis"}
    | {"class-of-service", "dynamic-profiles", "ethernet-switching-options", "event-options", "fabric", "firewall"}
    | {"forwarding-options", "groups", "interfaces", "logical-systems", "multi-chassis", "policy-options", "protocols"}
    | {"routing-instances", "routing-options", "security", "services", "snmp", "switch-options", "system", "tenants"}
    | {"transports", "version", "virtual-chassis", "vlans"}
)
ELSEWHERE = frozenset({"logical-systems", "tenants"})
APPLY = ("apply-groups", "apply-groups-except")
# What the command line prints above its prompt on one of several members or routing engines: no part of the text.
_MEMBER = re.compile(r"^\{\w+(?::\w+)?\}[^\S\n]*$", re.MULTILINE)


class Scope(NamedTuple):
    """Which `static` statement: that of a routing instance (None: of none), that of a rib (None: of none)."""

    instance: str | None = None
    rib: str | None = None

    @property
    def path(self) -> Words:
        """The words of its hierarchy, "static" the last."""
        instance = ("routing-instances", self.instance) if self.instance else ()
        return (*instance, "routing-options", *(("rib", self.rib) if self.rib else ()), "static")

    @property
    def table(self) -> tuple[str, int] | None:
        """VRF and family of its routes; None for tables that do not forward unicast (inet.2, inet.3, iso.0)."""
        if self.rib is None:
            return self.instance or DEFAULT_VRF, 4
        for name, family in (("inet.0", 4), ("inet6.0", 6)):
            if self.rib == name and self.instance is None:
                return DEFAULT_VRF, family
            if self.rib.endswith(f".{name}"):
                vrf = self.rib[: -len(name) - 1]
                return (vrf, family) if self.instance in (None, vrf) else None
        return None

    @classmethod
    def of(cls, vrf: str, family: int) -> "Scope":
        """Where a new route of a VRF is written."""
        if vrf == DEFAULT_VRF:
            return cls(None, None if family == 4 else "inet6.0")
        return cls(vrf, None if family == 4 else f"{vrf}.inet6.0")


def read_scope(words: Words) -> tuple[Scope, Words] | None:
    """The scope of a path that leads to or below `static`, and the words below it; None for other paths."""
    place = 0
    instance = rib = None
    if words[0] == "routing-instances" and len(words) > 2:
        instance, place = words[1], 2
    if words[place] != "routing-options":
        return None
    place += 1
    if len(words) > place + 2 and words[place] == "rib":
        rib, place = words[place + 1], place + 2
    if len(words) <= place or words[place] != "static":
        return None
    return Scope(instance, rib), words[place + 1 :]


class Entry(msgspec.Struct, gc=False):
    """One `route P` of a section.

    `parts` are the statements below it as they are written, `lines` where each stands: one for each value of a list, ()
    for the route alone. What is written alike is the same object.

    `nodes` are where it stands in a text in braces, one unless it is written twice. `flaws` say why it is not ours.
    """

    prefix: str
    line: int
    parts: list[Part]
    lines: list[int]
    nodes: list[Node]
    flaws: list[str]

    @property
    def words(self) -> list[Words]:
        """The statements without their lines."""
        return [words for part in self.parts for words in part if words]


class Section(msgspec.Struct, gc=False):
    """One `static` statement, of the configuration itself (`group` None) or of a group.

    `chain` are the nodes that lead to it in a text in braces, the outermost first. `last` is its last line.
    """

    scope: Scope
    group: str | None
    entries: dict[str, Entry]
    defaults: list[Words]
    flaws: list[str]
    chain: tuple[Node, ...] = ()
    last: int = 0
    in_force: Defaults = NO_DEFAULTS


class Applied(NamedTuple):
    """An `apply-groups` (or, `removed`, an `apply-groups-except`) at a path; `group`: within which group."""

    group: str | None
    path: Words
    names: Words
    removed: bool


class Document:
    """A configuration, as far as static routes are concerned.

    `inherited` are routes that stand in groups alone: the section they end up in, the entry and the group. `said` are
    the statements below routes by their text.
    """

    def __init__(self, text: str) -> None:
        if text.startswith("{") or "\n{" in text:
            text = _MEMBER.sub(lambda match: " " * len(match[0]), text)
        self.text = text
        self.braces = first_word(text) not in VERBS
        self.lines = Lines(text)
        self.top: list[Node] = []
        self.sections: dict[tuple[str | None, Scope], Section] = {}
        self.applied: list[Applied] = []
        self.instances: dict[str, Node | None] = {}
        self.said: dict[str, Part] = {}
        self.elsewhere: dict[str, int] = {}
        self._by_prefix: dict[Scope, dict[Prefix, Entry]] = {}
        self.inherited: list[tuple[Scope, Entry, str]] = []
        self.remarks = Remarks(lambda _: True)  # braces and quotes tell whether a text is whole

    def section(self, scope: Scope, group: str | None = None) -> Section:
        """The section of a scope; a new one where there is none."""
        section = self.sections.get((group, scope))
        if section is None:
            section = self.sections[group, scope] = Section(scope, group, {}, [], [])
        return section

    def entry(self, scope: Scope, prefix: Prefix) -> Entry | None:
        """The route of a prefix in a scope, however the prefix is spelt; None where there is none."""
        known = self._by_prefix.get(scope)
        if known is None:
            section = self.sections.get((None, scope))
            entries = section.entries.values() if section is not None else ()
            known = self._by_prefix[scope] = {}
            for entry in entries:
                with contextlib.suppress(ValueError):  # a prefix that cannot be read is no route that is asked for
                    known[read_prefix(entry.prefix)] = entry
        return known.get(prefix)

    def defaults(self, scope: Scope) -> Defaults:
        """The defaults in force in a scope."""
        section = self.sections.get((None, scope))
        return section.in_force if section is not None else NO_DEFAULTS

    def refuse(self, entry: Entry, line: int, text: str, problem: ValueError) -> None:
        """A statement of a route cannot be read, so the route is nobody's to change.

        Raises:
            ParseError: the text ends with it.
        """
        entry.flaws.append(self.remarks.flaw(line, text, problem, entry.prefix))

    def apply(self, group: str | None, path: Words, words: Words, line: int) -> None:
        """Notes an `apply-groups` or `apply-groups-except` at a path.

        Raises:
            ParseError: its brackets do not match.
        """
        try:
            names = tuple(one[1] for one in expanded(words) if len(one) > 1)
        except ValueError as error:
            raise ParseError(f"{' '.join(words)[:60]!r}: {error}", line=line) from None
        self.applied.append(Applied(group, path, names, words[0] == "apply-groups-except"))

    def routes(self) -> Iterator[tuple[Section, Entry]]:
        """The configuration's own routes."""
        for (group, _), section in self.sections.items():
            if group is None:
                for entry in section.entries.values():
                    yield section, entry


def read_prefix(text: str, *, strict: bool = True) -> Prefix:
    """The prefix of a route.

    Args:
        text: as written.
        strict: refuse host bits, as Junos does; else they are cleared.

    Raises:
        ValueError: it is none.
    """
    return Prefix.parse("0.0.0.0/0" if text == "default" else text, strict=strict)

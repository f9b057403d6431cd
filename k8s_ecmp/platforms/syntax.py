"""What a platform on which a static next hop is one line says of its syntax: facts, and methods about single lines."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

import msgspec

from k8s_ecmp.model import NextHop, Prefix, RunningRoutes
from k8s_ecmp.platforms.base import Capabilities
from k8s_ecmp.platforms.edits import Edit
from k8s_ecmp.platforms.remarks import Remarks

# The "VRF" of static lines that belong to a block which is not the routing table's.
ELSEWHERE = ""


class Tail(NamedTuple):
    """What stands behind the prefix of a static line; `vrf` is the route's own where it is written there."""

    hop: NextHop
    vrf: str | None = None


class Place(NamedTuple):
    """Where the first static line of a VRF goes: before line `first` (1-based), between `opening` and `closing`."""

    first: int
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()


class Statement(NamedTuple):
    """A static route command. `hop` None: `no` for the whole prefix."""

    line: int
    negated: bool
    vrf: str
    prefix: Prefix
    hop: NextHop | None


class FlatSyntax(ABC):
    """One router syntax with one line for each next hop.

    `signs` are first words of lines, at least one of which stands in every configuration. `headers` are beginnings of
    what the device prints before its configuration; a text with one must close with `end`. `parts` are first words of
    lines at the top level that every whole configuration has, of which one without `headers` stands behind all static
    lines; what a router shows without one is a part, and `parts_remedy` is what helps. `frame` are first words of
    commands that may stand around route commands. `not_routes` may follow "ip route" in settings that are no routes.
    `vrf_blocks`: the static lines of a VRF stand in its block. `vrf_heads` are what stands in front of the name in the
    line that makes a VRF; without any, routes may be written in a VRF that is not there.
    `each_distance` says whether a hop can stand once for every distance; where not, a new distance moves it.
    `indented` says whether a line without indentation ends the block before it in a configuration; never in commands.
    `group_tag`: one tag for all hops of a prefix with one distance, the last one written wins. `silent_removal`: `no`
    of an absent hop is no error.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    signs: ClassVar[frozenset[str]]
    headers: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[frozenset[str]] = frozenset()
    parts_remedy: ClassVar[str] = "read it again"
    frame: ClassVar[frozenset[str]] = frozenset({"configure", "end", "exit"})
    not_routes: ClassVar[frozenset[str]] = frozenset({"static"})
    indented: ClassVar[bool] = True
    group_tag: ClassVar[bool] = False
    silent_removal: ClassVar[bool] = False
    each_distance: ClassVar[bool] = False
    vrf_blocks: ClassVar[bool] = False
    vrf_heads: ClassVar[frozenset[str]] = frozenset()

    # --- what a platform says of its lines ---

    @abstractmethod
    def read_tail(self, words: Sequence[str], family: int) -> Tail:
        """The words behind the prefix, at least one.

        Raises:
            ValueError: their structure cannot be read; the message says what is wrong.
        """

    @abstractmethod
    def shown(self, vrf: str, prefix: Prefix, hop: NextHop, beside: str | None) -> str:
        """The line by which a running configuration shows the hop; `beside` is a static line of the VRF near it."""

    def section(self, line: str, vrf: str | None) -> str | None:  # noqa: ARG002
        """The VRF of static lines behind `line`, which is none itself.

        `ELSEWHERE`: in a block with settings of its own, whatever they look like. None: static lines cannot stand there
        on this platform, so that the text is another's.
        """
        return vrf

    def tail_vrf(self, words: Sequence[str]) -> str | None:  # noqa: ARG002
        """The route's VRF, where the words behind the prefix name it and cannot be read otherwise.

        Raises:
            ValueError: they do not say which.
        """
        return None

    def text_block(self, line: str) -> Callable[[str], bool] | None:  # noqa: ARG002
        """Where `line` opens free text (a banner): tells the line that closes it."""
        return None

    def slot(self, hop: NextHop) -> Hashable:
        """What makes two lines of a prefix speak of the same hop, whatever its distance, tag and name."""
        return (hop.address, hop.interface, hop.vrf, hop.discard)

    def group(self, hop: NextHop) -> Hashable:
        """Which hops of a prefix are one route to the device: where `group_tag`, they share their tag."""
        return self.distance(hop)

    def distance(self, hop: NextHop) -> int:
        """The distance in force for a hop."""
        return hop.distance or self.capabilities.default_distance

    def normal(self, hop: NextHop) -> NextHop:
        """The hop as the device keeps it: neither the default distance nor tag 0 is shown."""
        if hop.distance != self.capabilities.default_distance and hop.tag != 0:
            return hop
        distance = None if hop.distance == self.capabilities.default_distance else hop.distance
        return msgspec.structs.replace(hop, distance=distance, tag=hop.tag or None)

    def removal(self, hop: NextHop) -> NextHop:
        """The hop as written behind `no`."""
        return hop

    def retyped(self, standing: NextHop, typed: NextHop) -> NextHop:  # noqa: ARG002
        """What stands after a hop was typed again over itself: what was typed, unless the device keeps the rest."""
        return typed

    def options(self, hop: NextHop) -> tuple[str, str]:
        """The hop's further words: those that stand early in the line, and those at its end."""
        return "", " ".join(hop.options)

    @abstractmethod
    def place(self, lines: Sequence[str], vrf: str) -> Place:
        """Where the first static line of a VRF goes in a configuration that has none of it yet."""

    def context(self, vrf: str, line: str) -> tuple[str, ...]:  # noqa: ARG002
        """The lines under which a static line of the VRF stands."""
        return ()

    # --- how its lines are read and placed together ---

    @abstractmethod
    def statements(self, lines: Sequence[str], remarks: Remarks, *, commands: bool = False) -> Iterator[Statement]:
        """The static lines of a configuration, or of `commands`, which hold nothing else.

        Raises:
            ParseError: a line's VRF cannot be told; in commands, a line cannot be read.
        """

    @abstractmethod
    def homes(
        self,
        running: RunningRoutes,
        source: Sequence[str],
        homeless: Mapping[tuple[str, int], list[tuple[Prefix, NextHop]]],
    ) -> Iterator[Edit]:
        """Inserts prefixes that were not in the text, by (VRF, family)."""


def outline(platform: FlatSyntax, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The lines outside of free text, with their 1-based numbers."""
    closes: Callable[[str], bool] | None = None
    for number, line in enumerate(lines, 1):
        if closes is not None:
            if closes(line):
                closes = None
            continue
        closes = platform.text_block(line)
        yield number, line


def first_line(platform: FlatSyntax, lines: Sequence[str], words: Collection[str]) -> int:
    """The number of the first unindented line that begins with one of `words`; behind the last line if none does."""
    for number, line in outline(platform, lines):
        if line[:1].isalpha() and line.split(None, 1)[0] in words:
            return number
    return len(lines) if lines and not lines[-1] else len(lines) + 1

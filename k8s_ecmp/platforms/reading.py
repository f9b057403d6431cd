"""Reads configurations and commands of flat platforms, fast: each distinct prefix and each distinct hop once."""

from collections.abc import Callable, Iterator, Sequence

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RunningRoutes, StaticRoute, text_lines
from k8s_ecmp.platforms.remarks import Remarks
from k8s_ecmp.platforms.syntax import ELSEWHERE, FlatSyntax, Statement, Tail, outline
from k8s_ecmp.platforms.words import is_prefix, read_prefix

_FAMILIES = {"ip": 4, "ipv6": 6}
_HEADER_WITHIN = 20  # lines


def read_routes(platform: FlatSyntax, text: str) -> RunningRoutes:
    """All static routes of a whole running configuration, in order of first appearance.

    Raises:
        ParseError: the text is no whole configuration, or the VRF of a static line cannot be read.
    """
    lines = text_lines(text)
    _expect_whole(platform, lines)
    remarks = Remarks.on(lines)
    groups: dict[tuple[str, Prefix], tuple[list[NextHop], list[int]]] = {}
    for number, _, vrf, prefix, hop in platform.statements(lines, remarks):
        group = groups.get((vrf, prefix))
        if group is None:
            group = groups[vrf, prefix] = ([], [])
        if hop is not None:
            group[0].append(hop)
            group[1].append(number)
    refused = remarks.refused
    routes = tuple(
        StaticRoute(key[1], key[0], tuple(hops), tuple(numbers), refused.get(key) if refused else None)
        for key, (hops, numbers) in groups.items()
    )
    return RunningRoutes(routes, text, tuple(remarks.notes), tuple(remarks.unreadable), tuple(remarks.closed.items()))


def read_commands(platform: FlatSyntax, commands: str) -> list[Statement]:
    """The static route commands of a text that holds nothing else but blanks, comments and what frames commands.

    Raises:
        ParseError: a line is something else.
    """
    return list(platform.statements(text_lines(commands), Remarks(), commands=True))


def _expect_whole(platform: FlatSyntax, lines: Sequence[str]) -> None:
    """Raises ParseError where it can be told that the text is not all of a configuration of this platform."""
    filled = [line for line in lines[:_HEADER_WITHIN] if line and not line.isspace()]
    if not filled and all(not line or line.isspace() for line in lines):
        raise ParseError("the configuration is empty", remedy="was the router's answer lost?")
    last = next(line for line in reversed(lines) if line and not line.isspace())
    if last.strip() != "end" and any(line.startswith(platform.headers) for line in filled if platform.headers):
        raise ParseError(
            f'the configuration is cut short: it closes with {last.strip()[:60]!r} instead of "end"',
            line=len(lines),
            remedy="read it again",
        )
    if not _is_configuration(platform, lines):
        raise ParseError(f"the text is no {platform.name} configuration: it begins with {filled[:1]}")


def _is_configuration(platform: FlatSyntax, lines: Sequence[str]) -> bool:
    return any(line.split(None, 1)[0] in platform.signs for line in lines if line.strip())


def expect_parts(platform: FlatSyntax, text: str) -> None:
    """Looks whether what a router showed has what every whole configuration of its platform has.

    A file may hold a part of a configuration, what a router shows is all of it. What is no configuration at all, an
    error message say, is left to `read_routes` to name.

    Raises:
        ParseError: it is a part, so that routes may be missing.
    """
    lines = text_lines(text.rstrip())
    if not _is_configuration(platform, lines):
        return
    lacking = set(platform.parts)
    starts = tuple(f"{word} " for word in lacking)
    for _, line in outline(platform, lines):
        if line.startswith(starts):
            lacking.discard(line.split(None, 1)[0])
            if not lacking:
                return
    raise ParseError(
        "the configuration is not whole: it has no line that begins with "
        f"{' and none with '.join(repr(word) for word in sorted(lacking))}",
        line=len(lines),
        remedy=platform.parts_remedy,
    )


class LineReader:
    """Reads platforms on which a static line says family and prefix itself.

    Keeps what was read of prefixes and hops for the next line that has the same words.
    """

    def __init__(self, platform: FlatSyntax, remarks: Remarks) -> None:
        self._remarks = remarks
        self._platform = platform
        self._prefixes: dict[int, dict[str, Prefix]] = {4: {}, 6: {}}
        self._tails: dict[int, dict[str, Tail]] = {4: {}, 6: {}}

    def statements(self, lines: Sequence[str], *, commands: bool = False) -> Iterator[Statement]:
        """The static lines; where `commands`, also their negations, and nothing unknown beside them."""
        platform = self._platform
        indented = platform.indented
        vrf: str | None = DEFAULT_VRF
        closes: Callable[[str], bool] | None = None
        opened = 0
        for number, line in enumerate(lines, 1):
            if closes is not None:
                if closes(line):
                    closes = None
                continue
            if "route" in line:
                words = line.split(None, 3)
                negated = words[0] == "no"
                if negated:
                    words = line.split(None, 4)[1:]
                family = _FAMILIES.get(words[0]) if len(words) > 1 and words[1] == "route" else None
                if family is not None and (commands or not negated):
                    if len(words) > 2 and words[2] in platform.not_routes and not commands:
                        continue
                    if indented and not commands and vrf != DEFAULT_VRF and not line[0].isspace():
                        vrf = DEFAULT_VRF
                    if vrf is None:
                        raise ParseError(f"{line.strip()!r} cannot stand in this block", line=number)
                    if vrf == ELSEWHERE:
                        self._remarks.note(number, line, "no route: it belongs to the block that it stands in")
                        continue
                    try:
                        statement = self._statement(number, line, negated, vrf, family, words)
                    except ValueError as error:
                        raise ParseError(f"{line.strip()!r}: {error}", line=number) from None
                    if statement is not None:
                        yield statement
                    continue
            if not line or line.isspace():
                continue
            if line[0] == "%":
                raise ParseError(f"an error message of the router: {line[:200]!r}", line=number)
            if commands and not self._frames(line):
                raise ParseError(f"{line.strip()!r} is no static route command of {platform.name}", line=number)
            vrf = platform.section(line, vrf)
            closes = platform.text_block(line)
            opened = number
        if closes is not None:
            raise ParseError(f"the text that {lines[opened - 1].strip()!r} opens is never closed", line=opened)

    def _frames(self, line: str) -> bool:
        first = line.split(None, 1)[0]
        return first[0] in "!#" or first in self._platform.frame

    def _statement(
        self, number: int, line: str, negated: bool, vrf: str, family: int, words: list[str]
    ) -> Statement | None:
        """None where there is no prefix to speak of.

        Raises:
            ValueError: the VRF cannot be told.
        """
        if len(words) > 2 and words[2] == "vrf":
            words = [*words[:2], *(words[3].split(None, 2) if len(words) > 3 else ())]
            if len(words) < 4:
                raise ValueError("the VRF or the prefix is missing")
            vrf = words.pop(2)
        if len(words) < 3:
            raise ValueError("the prefix is missing")
        text, tail = words[2], words[3] if len(words) > 3 else ""
        if "/" not in text:
            mask, *behind = tail.split(None, 1) or [""]
            text, tail = f"{text} {mask}", behind[0] if behind else ""
        prefix = self._prefixes[family].get(text)
        if prefix is None:
            try:
                prefix = self._read_prefix(text, family, number)
            except ValueError as error:
                if is_prefix(text):
                    self._remarks.lose(number, line, error, self._vrf(tail, vrf))
                else:
                    self._remarks.setting(number, line, error)
                return None
        known = self._tails[family].get(tail)
        if known is None:
            split = tail.split()
            if not split and negated and self._platform.silent_removal:
                return Statement(number, negated, vrf, prefix, None)
            try:
                known = self._tails[family][tail] = self._read_tail(split, family)
            except ValueError as error:
                own_vrf = self._vrf(tail, vrf)
                self._remarks.refuse(number, line, error, own_vrf, prefix)
                return Statement(number, negated, own_vrf, prefix, NextHop(options=tuple(split)))
        hop, tail_vrf = known
        return Statement(number, negated, tail_vrf or vrf, prefix, hop)

    def _read_tail(self, words: Sequence[str], family: int) -> Tail:
        if not words:
            raise ValueError("the next hop is missing")
        return self._platform.read_tail(words, family)

    def _vrf(self, tail: str, vrf: str) -> str:
        """The VRF of a line of which no more can be read."""
        return self._platform.tail_vrf(tail.split()) or vrf

    def _read_prefix(self, text: str, family: int, number: int) -> Prefix:
        prefix, host_bits = read_prefix(text, family)
        if host_bits:  # not remembered, so that every such line is noted
            self._remarks.note(number, text, f"host bits are set; the router takes it as {prefix}")
        else:
            self._prefixes[family][text] = prefix
        return prefix

"""Reads the static blocks of IOS-XR configurations and commands."""

from collections.abc import Callable, Iterator, Sequence

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import NextHop, Prefix
from k8s_ecmp.platforms.iosxr_blocks import Block, Cursor, banner
from k8s_ecmp.platforms.remarks import Remarks
from k8s_ecmp.platforms.syntax import FlatSyntax, Statement
from k8s_ecmp.platforms.words import is_prefix, read_prefix

_FRAME = frozenset({"configure", "commit", "end", "exit", "root"})


class BlockReader:
    """Keeps what was read of prefixes and hops for the next line that has the same words.

    Args:
        platform: reads what stands behind a prefix.
        remarks: takes what is said of lines that are no routes of ours.
    """

    def __init__(self, platform: FlatSyntax, remarks: Remarks) -> None:
        self._platform = platform
        self._remarks = remarks
        self._prefixes: dict[int, dict[str, Prefix]] = {4: {}, 6: {}}
        self._hops: dict[int, dict[str, NextHop]] = {4: {}, 6: {}}

    def statements(self, lines: Sequence[str], *, commands: bool = False) -> Iterator[Statement]:
        """The static lines; where `commands`, also their negations, and nothing unknown beside them.

        Raises:
            ParseError: a block cannot be told, the text has lost its indentation; where `commands`, a line cannot be
                read. With the line's number.
        """
        cursor = Cursor()
        blocks = cursor.blocks
        closes: Callable[[str], bool] | None = None
        opened = 0
        for number, line in enumerate(lines, 1):
            if closes is not None:
                if closes(line):
                    closes = None
                continue
            stripped = line.lstrip()
            if not stripped:
                continue
            if stripped[0] == "%":
                raise ParseError(f"an error message of the router: {stripped[:200]!r}", line=number)
            indent = len(line) - len(stripped)
            try:
                if blocks:
                    block = blocks[-1]
                    if block.family and indent > block.indent:
                        text, _, tail = stripped.partition(" ")
                        prefix, hop = self._prefixes[block.family].get(text), self._hops[block.family].get(tail)
                        if prefix is not None and hop is not None:
                            yield Statement(number, False, block.vrf, prefix, hop)
                            continue
                        words = stripped.split(None, 1)
                        if is_prefix(words[0]):
                            statement = self._statement(number, stripped, False, block, words)
                            if statement is not None:
                                yield statement
                            continue
                    if cursor.closes(stripped, indent):
                        continue
                if line.startswith("address-family ") and not commands:
                    raise ParseError(
                        "the text has lost its indentation, which tells what belongs to which VRF",
                        line=number,
                        remedy="take the running configuration as the router prints it",
                    )
                if blocks or line.startswith("router"):
                    statement = self._line(number, stripped, indent, cursor, commands)
                    if statement is not None:
                        yield statement
                    if blocks:
                        continue
            except ValueError as error:
                raise ParseError(f"{stripped.rstrip()!r}: {error}", line=number) from None
            if commands and stripped[0] not in "!#" and stripped.split(None, 1)[0] not in _FRAME:
                raise ParseError(f"{stripped.rstrip()!r} is no static route command of iosxr", line=number)
            closes, opened = banner(line), number
        if closes is not None:
            raise ParseError(f"the text that {lines[opened - 1].strip()!r} opens is never closed", line=opened)

    def _line(self, number: int, stripped: str, indent: int, cursor: Cursor, commands: bool) -> Statement | None:
        """A line that opens a block, stands in one, or both: XR takes `router static vrf V ...` in one line, too."""
        words = stripped.split()
        used = cursor.enters(words, indent)
        if not cursor.blocks:
            return None
        block, rest = cursor.blocks[-1], words[used:]
        if used and block.kind == "other":
            self._remarks.note(number, stripped, "another table; its routes are not read")
        if not rest:
            return None
        if block.family:
            negated = commands and rest[0] == "no" and len(rest) > 1
            route = rest[1:] if negated else rest
            if is_prefix(route[0]):
                return self._statement(number, stripped, negated, block, [route[0], " ".join(route[1:])])
        if commands:
            raise ValueError("no static route command of iosxr")
        if block.kind != "other" and (is_prefix(rest[0]) or rest[0] == "no"):
            raise ValueError("it cannot stand in this block")
        if block.kind == "routes":
            self._remarks.note(number, stripped, "no route")
        elif block.kind != "other":  # a setting, or a block that is not known
            cursor.blocks.append(Block("setting", indent, block.vrf))
        return None

    def _statement(self, number: int, line: str, negated: bool, block: Block, words: Sequence[str]) -> Statement | None:
        """None where the prefix cannot be read."""
        text, family = words[0], block.family
        tail = words[1] if len(words) > 1 else ""
        if "/" not in text:
            mask, *behind = tail.split(None, 1) or [""]
            text, tail = f"{text} {mask}", behind[0] if behind else ""
        prefix = self._prefixes[family].get(text)
        if prefix is None:
            try:
                prefix, host_bits = read_prefix(text, family)
            except ValueError as error:
                self._remarks.lose(number, line, error, block.vrf)
                return None
            if host_bits:  # not remembered, so that every such line is noted
                self._remarks.note(number, text, f"host bits are set; the router takes it as {prefix}")
            else:
                self._prefixes[family][text] = prefix
        hop = self._hops[family].get(tail)
        if hop is None:
            split = tail.split()
            try:
                hop = self._hops[family][tail] = self._read_hop(split, family)
            except ValueError as error:
                self._remarks.refuse(number, line, error, block.vrf, prefix)
                hop = NextHop(options=tuple(split))
        return Statement(number, negated, block.vrf, prefix, hop)

    def _read_hop(self, words: Sequence[str], family: int) -> NextHop:
        if not words:
            raise ValueError("the next hop is missing")
        return self._platform.read_tail(words, family).hop

"""The two texts in which Junos shows a configuration: braces (`show configuration`), and `set` lines.

Lexical rules as in the Junos CLI user guide: words, quoted strings with backslashes, `[ ... ]` for several values,
`/* ... */` annotations that belong to the statement behind them, `#` and `##` comments to the end of the line, and the
tags `inactive:`, `protect:` and `replace:` in front of a statement.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from k8s_ecmp.errors import ParseError

Words = tuple[str, ...]

TAGS = frozenset({"inactive:", "protect:", "replace:", "delete:"})
VERBS = frozenset({"set", "delete", "activate", "deactivate", "protect", "unprotect", "annotate", "insert", "rename"})
_NEEDED = frozenset({"groups", "routing-instances", "routing-options"})

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|/\*.*?\*/|#[^\r\n]*|[{};\[\]]|[^\s{};\[\]"]+|"', re.DOTALL)
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]]|[^\s\[\]"]+|"', re.DOTALL)
_LINE_END = re.compile(r"\r\n|\n|\r")


class Node(msgspec.Struct, gc=False):
    """One statement of a text in braces.

    `start` and `end` are its bounds in the text, annotation and `;` or `}` within; `at` is where it begins behind its
    annotation. `children` None: it closes with `;`. `inner` is where its block begins, `close` where the closing brace
    stands.
    """

    words: Words
    tags: Words
    start: int
    at: int
    end: int
    children: "list[Node] | None" = None
    inner: int = 0
    close: int = 0


class Lines:
    """Which line a place in a text is on."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def number(self, place: int) -> int:
        """The 1-based line of a place."""
        return bisect_right(self.starts, place)


def first_word(text: str) -> str:
    """The first word that is no comment, "" when there is none."""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token[0] != "#" and token[:2] != "/*":
            return token
    return ""


def read_braces(text: str, lines: Lines) -> list[Node]:
    """The statements of a text in braces, as a tree.

    Raises:
        ParseError: braces, brackets, quotes or annotations do not close, or a statement has no end.
    """
    reader = _Braces(lines)
    for match in _TOKEN.finditer(text):
        word = match[0]
        first = word[0]
        if first in ";{}":
            reader.punctuate(first, match.start())
        elif first != "#":
            if reader.start < 0:
                reader.start = match.start()
            if first == "/" and word[1:2] == "*":
                if len(word) < 4 or word[-2:] != "*/":
                    raise ParseError("an annotation never closes", line=lines.number(match.start()))
                if "ACCESS-DENIED" in word:
                    reader.deny(match.start())
                continue
            if word == '"':
                raise ParseError("a quoted text never closes", line=lines.number(match.start()))
            if not reader.words:
                reader.at = match.start()
            reader.words.append(word)
    return reader.finished()


class _Braces:
    """Statements as they close. `words` are those of the open one, `start` and `at` as in its node."""

    def __init__(self, lines: Lines) -> None:
        self.words: list[str] = []
        self.start = self.at = -1
        self._lines = lines
        self._top: list[Node] = []
        self._siblings = self._top
        self._stack: list[tuple[Node, list[Node]]] = []
        self._last = ""

    def deny(self, place: int) -> None:
        """The account may not read what stands here. Where that could be a route, there is no going on."""
        if self._stack and self._stack[0][0].words[0] in _NEEDED:
            raise ParseError(
                f"the account may not read {self._stack[0][0].words[0]}",
                line=self._lines.number(place),
                remedy="give its login class the permissions view-configuration and routing",
            )

    def punctuate(self, sign: str, place: int) -> None:
        """A `;`, `{` or `}`."""
        if sign == ";" and not self.words and self._last == "}":  # `system { /* ACCESS-DENIED */ };`
            pass
        elif sign == "}":
            if not self._stack or self.words:
                raise ParseError("a brace closes where none is open", line=self._lines.number(place))
            node, self._siblings = self._stack.pop()
            node.close, node.end = place, place + 1
        else:
            node = self._node(place)
            self._siblings.append(node)
            if sign == "{":
                node.children, node.inner = [], place + 1
                self._stack.append((node, self._siblings))
                self._siblings = node.children
        self.words, self.start, self._last = [], -1, sign

    def finished(self) -> list[Node]:
        """The statements at the top, once everything is closed."""
        if self.words:
            raise ParseError(
                f"{' '.join(self.words)[:60]!r} has no end: the text is cut short", line=self._lines.number(self.at)
            )
        if self._stack:
            opened = self._stack[-1][0]
            raise ParseError(
                f"the brace of {' '.join(opened.words)[:60]!r} never closes: the text is cut short",
                line=self._lines.number(opened.at),
            )
        return self._top

    def _node(self, place: int) -> Node:
        words = self.words
        count = 0
        while count < len(words) and words[count] in TAGS:
            count += 1
        if count == len(words) or words.count("[") != words.count("]"):
            raise ParseError("a statement ends before it is whole", line=self._lines.number(place))
        return Node(tuple(words[count:]), tuple(words[:count]), self.start, self.at, place + 1)


def split_words(line: str) -> Words:
    """The words of a `set` line or a statement; quoted texts and brackets are one word each.

    Raises:
        ValueError: a quoted text never closes.
    """
    if '"' not in line and "[" not in line and "]" not in line:
        return tuple(line.split())
    words = tuple(_WORD.findall(line))
    if '"' in words:
        raise ValueError("a quoted text never closes")
    return words


def expanded(words: Words) -> Iterator[Words]:
    """A statement with `[ a b ]` as one statement for each value.

    Raises:
        ValueError: the brackets do not match, or nothing is in them.
    """
    if "[" not in words and "]" not in words:
        yield words
        return
    opening = words.index("[") if "[" in words else -1
    closing = words.index("]") if "]" in words else -1
    if not 0 < opening < closing - 1 or words.count("[") > 1 or words.count("]") > 1:
        raise ValueError("brackets do not match, or nothing is in them")
    head, tail = words[:opening], words[closing + 1 :]
    for value in words[opening + 1 : closing]:
        yield (*head, value, *tail)


def leaves(node: Node, above: Words = ()) -> Iterator[Words]:
    """Every statement below and including a node, words from `above` on.

    Raises:
        ValueError: brackets that do not match.
    """
    words = above + node.words
    if not node.children:
        yield from expanded(words)
        return
    for child in node.children:
        yield from leaves(child, words)


# --- writing ---

# Statements below `route` that open a block, with the number of words that name one (Junos CLI reference, "static").
_BLOCKS = {
    "qualified-next-hop": 1,
    "lsp-next-hop": 1,
    "static-lsp-next-hop": 1,
    "p2mp-lsp-next-hop": 1,
    "bfd-liveness-detection": 0,
    "detection-time": 0,
    "transmit-interval": 0,
    "authentication": 0,
    "as-path": 0,
    "aggregator": 0,
}
_LISTS = frozenset({"next-hop", "community"})
_INDENT = "    "


def block_lines(statements: Sequence[Words], indent: str) -> list[str]:
    """Statements as the lines of a block, those of one kind together, values of lists in brackets."""
    groups: dict[Words, list[Words]] = {}
    for words in statements:
        count = _BLOCKS.get(words[0])
        key = words[:1] if words[0] in _LISTS else words if count is None else words[: count + 1]
        groups.setdefault(key, []).append(words[len(key) :])
    out = []
    for key, tails in groups.items():
        head = indent + " ".join(key)
        filled = [tail for tail in tails if tail]
        if key[0] in _LISTS and filled:
            values = " ".join(" ".join(tail) for tail in filled)
            out.append(f"{head} {values};" if len(filled) == 1 else f"{head} [ {values} ];")
        elif filled:
            out += [f"{head} {{", *block_lines(filled, indent + _INDENT), f"{indent}}}"]
        else:
            out.append(f"{head};")
    return out


def statement_lines(words: Words, statements: Sequence[Words], indent: str) -> list[str]:
    """A statement with others below it: one line where these are a single one, as Junos shows routes, else a block."""
    head = indent + " ".join(words)
    if not statements:
        return [f"{head};"]
    body = block_lines(statements, indent + _INDENT)
    if len(body) == 1:
        return [f"{head} {body[0].strip()}"]
    return [f"{head} {{", *body, f"{indent}}}"]

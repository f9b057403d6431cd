"""Lines of text with styles, for a terminal of some width or for a pipe.

On a terminal prose is wrapped to its width; in a pipe every line stays whole. Text from routers and clusters is never
taken for markup, and its control characters are shown, not sent.
"""

import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
Part = str | tuple[str, str]

MOST_WORDS = 6
_MOST_HANG = 32
_STATUS_STYLES = {
    "in-sync": "green",
    "in sync": "green",
    "changes": "yellow",
    "drift": "yellow",
    "conflict": "magenta",
    "blocked": "bold red",
    "failed": "bold red",
    "committed": "green",
    "refused": "bold red",
    "rolled-back": "bold red",
    "not-attempted": "yellow",
    "died": "bold red",
}

_UNSEEN = re.compile(r"[^\t\x20-\x7e]")
_FULL_WIDTH = 1 << 30


class Page:
    """Collects lines, then shows them at once.

    Args:
        console: rich's; None: standard output, without rich when that is no terminal.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        if console is None and (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
            from rich.console import Console

            console = Console()
        self._console = console
        self.is_terminal = console is not None and console.is_terminal
        self.width = console.width if console is not None and self.is_terminal else _FULL_WIDTH
        self._segments: list[tuple[str, str]] = []

    def line(self, *parts: Part) -> None:
        """A line that is never wrapped; a part is a text, or a text with the name of its style."""
        styled = [_styled(part) for part in parts]
        while styled and not styled[-1][0].strip():
            styled.pop()
        self._segments.extend((visible(text), style) for text, style in styled)
        self._segments.append(("\n", ""))

    def lines(self, found: Sequence[Sequence[Part]]) -> None:
        """Each as `line`."""
        for parts in found:
            self.line(*parts)

    def prose(self, text: str, *, style: str = "", indent: int = 0, hang: int | None = None) -> None:
        """Words that may be wrapped at blanks.

        Args:
            text: newlines in it are kept.
            style: its style.
            indent: blanks before the first line.
            hang: blanks before the others; None: as many.
        """
        rest = " " * (indent if hang is None else hang)
        for number, paragraph in enumerate(text.split("\n")):
            lead = rest if number else " " * indent
            wrapped = [lead + visible(paragraph)]
            if len(wrapped[0]) > self.width:
                wrapped = textwrap.wrap(
                    visible(paragraph),
                    max(self.width, 40),
                    initial_indent=lead,
                    subsequent_indent=rest,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            self._segments.extend(segment for one in wrapped for segment in ((one, style), ("\n", "")))

    def table(self, rows: Sequence[Sequence[Part]]) -> list[list[Part]]:
        """Rows of cells, padded to columns two blanks apart, to be shown with `line`."""
        cells = [[_styled(cell) for cell in row] for row in rows]
        widths = [max(len(visible(row[column][0])) for row in cells) + 2 for column in range(len(cells[0]))]
        return [
            [
                part
                for (text, style), width in zip(row, widths, strict=True)
                for part in ((text, style), " " * (width - len(visible(text))))
            ]
            for row in cells
        ]

    def rows(self, rows: Sequence[Sequence[Part]]) -> list[list[list[Part]]]:
        """As `table`, each row as its lines: two where the terminal is narrower, the first cell then stands above."""
        whole = self.table(rows)
        if max(map(length, whole)) - 2 <= self.width:
            return [[line] for line in whole]
        rest = self.table([row[1:] for row in rows])
        return [[[row[0]], ["  ", *line]] for row, line in zip(rows, rest, strict=True)]

    def told(self, rows: Sequence[Sequence[str]], *, indent: int, head: str = "") -> None:
        """Aligned rows whose last cell is prose, which is wrapped; `head` is the style of the first one."""
        cells = self.table([row[:-1] for row in rows])
        for number, (row, line) in enumerate(zip(rows, cells, strict=True)):
            lead = "".join(_styled(part)[0] for part in line)
            hang = min(indent + len(visible(lead)), _MOST_HANG)
            self.prose(f"{lead}{row[-1]}", style="" if number else head, indent=indent, hang=hang)

    def block(self, lines: Sequence[str], styles: Mapping[str, str], *, indent: int = 0) -> None:
        """Lines of a device, as they are; each styled by its first character."""
        lead = " " * indent
        if self._console is None:
            self._segments.append(("".join(f"{lead}{visible(one)}\n" for one in lines), ""))
            return
        for one in lines:
            self._segments += [(f"{lead}{visible(one)}", styles.get(one[:1], "")), ("\n", "")]

    def first(self, items: Sequence[T], most: int) -> Sequence[T]:
        """The items that are shown: the first ones on a terminal, in a pipe all."""
        return items[:most] if self.is_terminal else items

    def left_out(
        self, items: Sequence[object], most: int, noun: str, *, indent: int, how: str = "`| less` shows all"
    ) -> None:
        """The line that stands for what `first` left out, and says how to see it."""
        if self.is_terminal and len(items) > most:
            self.line((f"{' ' * indent}... {len(items) - most} more {noun}; {how}", "dim"))

    def few(self, words: Sequence[str], joint: str = " ") -> str:
        """The words; on a terminal the first ones and how many more there are."""
        rest = len(words) - MOST_WORDS
        if not self.is_terminal or rest <= 0:
            return joint.join(words)
        return f"{joint.join(words[:MOST_WORDS])} and {rest} more"

    def show(self) -> None:
        """Writes the page."""
        if self._console is None:
            sys.stdout.write("".join(text for text, _ in self._segments))
            return
        from rich.segment import Segment, Segments

        styles = {
            name: self._console.get_style(name) if name else None for name in {name for _, name in self._segments}
        }
        self._console.print(
            Segments([Segment(text, styles[name]) for text, name in self._segments]), crop=False, soft_wrap=True, end=""
        )


def visible(text: str) -> str:
    """`text` with what is not seen as escapes, all but tabs: control characters, which steer a terminal, and others
    such as marks of direction, which make a line read as another one.
    """
    return text if text.isprintable() else _UNSEEN.sub(_escaped, text)


def counted(number: int, noun: str) -> str:
    """The number and its noun: "1 route", "2 routes"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def status(word: str) -> Part:
    """The word with its style."""
    return word, _STATUS_STYLES.get(word, "")


def header(*words: str) -> list[Part]:
    """A table's first row."""
    return [(word, "bold") for word in words]


def length(parts: Sequence[Part]) -> int:
    """Columns that the parts take."""
    return sum(len(visible(_styled(part)[0])) for part in parts)


def _escaped(match: "re.Match[str]") -> str:
    one = match.group()
    code = ord(one)
    if one.isprintable():
        return one
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _styled(part: Part) -> tuple[str, str]:
    return (part, "") if isinstance(part, str) else part

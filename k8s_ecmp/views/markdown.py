"""Words for Markdown as forges read it (CommonMark with tables).

What comes from routers and clusters is never markup: a word that could be any is put into a code span, where forges
look for no mention, reference, link or emoji either, and into fences that are longer than every run of backticks in it.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape

from k8s_ecmp.views.page import visible

_RUNS = re.compile(r"`+")
_WORD = re.compile(r"(\(*)(.*?)([),.;:]*)")
# Words, and several of somebody else's between quotes as one, such as a schedule or a line of a configuration.
_WORDS = re.compile(r"\(*'[^'\s]*\s[^']*'[),.;:]*(?!\S)|\S+")
# Words that no forge takes for anything else, such as a commit's hash or an issue.
_PLAIN = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|\d{1,6}%?")


def code(text: str, most: int = 1 << 30) -> str:
    """A code span; a bar in it is shown as a broken one, because rows of a table are split before spans are read."""
    shown = cut(visible(text).replace("|", "¦").replace("\t", "\\x09"), most)
    if not shown.strip():
        return "-"
    fence = "`" * _beyond(shown, 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def codes(texts: Iterable[str], most: int = 1 << 30) -> str:
    """Code spans with blanks between."""
    return " ".join(code(text, most) for text in texts)


def prose(text: str, most: int = 1 << 30) -> str:
    """A sentence; words that could be markup are code, quoted ones together."""
    return " ".join(map(_word, _WORDS.findall(cut(visible(text).replace("\t", " "), most))))


def html_code(text: str, most: int = 1 << 30) -> str:
    """For a line that is HTML, such as a summary."""
    return f"<code>{escape(cut(visible(text), most))}</code>"


def fenced(lines: Sequence[str], language: str, most: int = 1 << 30) -> list[str]:
    """A block of lines that nothing in them can end."""
    shown = [cut(visible(line), most) for line in lines]
    fence = "`" * max(_beyond(line, 3) for line in ("", *shown))
    return [f"{fence}{language}", *shown, fence]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of cells that are Markdown already."""
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def cut(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _beyond(text: str, least: int) -> int:
    return max([least, *(len(run) + 1 for run in _RUNS.findall(text))])


def _word(word: str) -> str:
    match = _WORD.fullmatch(word)
    lead, core, trail = match.groups() if match is not None else ("", word, "")
    if not core:
        return code(word)
    return f"{lead}{core if _PLAIN.fullmatch(core) else code(core)}{trail}"

"""Edits of a configuration text by lines: applied to it, taken back, or shown as a diff."""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


class Edit(msgspec.Struct, frozen=True):
    """Lines `first` .. `first + removed - 1` (1-based) give way to `inserted`; `removed` 0 inserts before `first`.

    `context` are the lines that the change stands under ("vrf red"), for people to read.
    """

    first: int
    removed: int = 0
    inserted: tuple[str, ...] = ()
    context: tuple[str, ...] = ()


def split_lines(text: str) -> list[str]:
    """Lines with their ends, split at newlines alone, so that joining them gives `text` back."""
    return _LINE.findall(text)


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """`text` after the edits, which must not overlap. Untouched lines keep every byte, new ones the text's line end."""
    lines = split_lines(text)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    out: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda e: (e.first, e.removed > 0)):
        start = edit.first - 1
        out.extend(lines[position:start])
        if edit.inserted and out and not out[-1].endswith(("\n", "\r")):
            out[-1] += end
        out.extend(line + end for line in edit.inserted)
        position = start + edit.removed
    out.extend(lines[position:])
    return "".join(out)


def unified(source: Sequence[str], edits: Iterable[Edit]) -> str:
    """The edits as "-" and "+" lines, each under its context lines; "" when there are none."""
    out: list[str] = []
    context: tuple[str, ...] = ()
    for edit in sorted(edits, key=lambda e: (e.first, e.removed > 0)):
        if edit.context != context:
            context = edit.context
            out.extend(f" {line}" for line in context)
        out.extend(f"-{line}" for line in source[edit.first - 1 : edit.first - 1 + edit.removed])
        out.extend(f"+{line}" for line in edit.inserted)
    return "\n".join(out) + "\n" if out else ""


def changed_lines(diff: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(last context line, words with their sign) of every added and removed line of a unified diff."""
    context = ""
    for line in diff.splitlines():
        if line[:1] == " ":
            context = line.strip()
        elif line[:1] in ("+", "-") and line[:3] not in ("+++", "---") and line[1:].strip():
            yield context, (line[0], *line[1:].split())

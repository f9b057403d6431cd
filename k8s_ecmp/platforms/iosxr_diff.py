"""What an IOS-XR router's own diff changes beside the planned routes.

There are two forms. The XML agent's driver compares `show running-config` with `show configuration merge` as texts: a
unified diff, whose hunks are put back into the text that was read to learn which blocks their lines stand in. NETCONF
gives `show commit changes diff`: a column of three signs (`+  `, `-  `, `<- `, `+> `) in front of whole blocks. The
latter marks the heads of blocks that have long been there, so heads and closing marks of static blocks say nothing.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import NextHop, Prefix, RunningRoutes
from k8s_ecmp.platforms.iosxr_blocks import Cursor
from k8s_ecmp.platforms.placing import touched_statements
from k8s_ecmp.platforms.remarks import Remarks
from k8s_ecmp.platforms.settling import settle
from k8s_ecmp.platforms.syntax import FlatSyntax

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
_SIGNED = re.compile(r"(\+> |<- |\+  |-  |#  |   )(.*)")
_HEADER = re.compile(r"Building configuration|!! |end$|\w{3} \w{3} +\d+ [\d:.]+ ")

_Key = tuple[str, str, Prefix, NextHop]


class _Line(NamedTuple):
    """A line of one of the two texts; `sign` "" where both have it."""

    sign: str
    text: str


def foreign_lines(platform: FlatSyntax, device_diff: str, running: RunningRoutes, commands: str) -> list[str]:
    """Added ("+ ...") and removed ("- ...") lines of the diff that are not the effect of the commands."""
    planned = _planned(platform, running, commands)
    try:
        lines = _from_hunks(device_diff, running.source) if "@@" in device_diff else _from_signs(device_diff)
        before = _changed(platform, [line for line in lines if line.sign != "+"], "-")
        after = _changed(platform, [line for line in lines if line.sign != "-"], "+")
        found = [*before, *after]
    except (ParseError, ValueError) as error:
        return [f"its diff cannot be read: {error}"]
    return [said for said, key in found if key is None or key not in planned]


def _planned(platform: FlatSyntax, running: RunningRoutes, commands: str) -> set[_Key]:
    """(sign, VRF, prefix, hop) of every hop that the commands add or take away."""
    planned: set[_Key] = set()
    for (vrf, prefix), statements in touched_statements(platform, commands).items():
        route = running.get(vrf, prefix)
        present = route.next_hops if route is not None else ()
        before = set(map(platform.normal, present))
        after = {platform.normal(hop) for hop, _ in settle(platform, present, statements)}
        planned |= {("-", vrf, prefix, hop) for hop in before - after}
        planned |= {("+", vrf, prefix, hop) for hop in after - before}
    return planned


def _changed(platform: FlatSyntax, lines: Sequence[_Line], sign: str) -> Iterator[tuple[str, _Key | None]]:
    """The lines of one text that carry the sign, each with its route, None for all else that matters."""
    texts = [line.text for line in lines]
    routes = {statement.line: statement for statement in platform.statements(texts, Remarks(lambda _: True))}
    structure = _structure(texts)
    for number, line in enumerate(lines, 1):
        said = f"{sign} {line.text.strip()}"
        if line.sign != sign or number in structure or line.text.startswith("!!") or not line.text.strip("! +"):
            continue
        statement = routes.get(number)
        if statement is None or statement.hop is None:
            yield said, None
        else:
            yield said, (sign, statement.vrf, statement.prefix, platform.normal(statement.hop))


def _structure(texts: Sequence[str]) -> set[int]:
    """Numbers of lines that only open blocks of unicast static routes."""
    cursor = Cursor()
    found = set()
    for number, text in enumerate(texts, 1):
        stripped = text.lstrip()
        if not stripped:
            continue
        indent = len(text) - len(stripped)
        if (cursor.blocks and cursor.closes(stripped, indent)) or not (cursor.blocks or text.startswith("router")):
            continue
        words = stripped.split()
        if cursor.enters(words, indent) == len(words) and cursor.blocks[-1].kind != "other":
            found.add(number)
    return found


def _from_signs(diff: str) -> list[_Line]:
    """The lines of `show commit changes diff`.

    Raises:
        ValueError: a line has no column of signs.
    """
    lines: list[_Line] = []
    for text in diff.splitlines():
        if not text.strip() or _HEADER.match(text):
            continue
        # The first line lost its blanks where the driver stripped the text.
        signed = _SIGNED.fullmatch(text) or (_SIGNED.fullmatch(f"   {text}") if not lines else None)
        if signed is None:
            raise ValueError(f"{text!r} has no sign")
        lines.append(
            _Line({"+": "+", "<": "-", "-": "-"}.get(signed[1][0], "+" if signed[1][0] == "#" else ""), signed[2])
        )
    return lines


def _from_hunks(diff: str, source: Sequence[str]) -> list[_Line]:
    """The text that was read, with the hunks of a unified diff in it.

    Raises:
        ValueError: the hunks do not fit the text.
    """
    hunks: list[tuple[int, list[_Line]]] = []
    for text in diff.splitlines():
        if match := _HUNK.match(text):
            start, count = int(match[1]), int(match[2] or 1)
            hunks.append((start if count else start + 1, []))
        elif hunks:
            sign = text[:1].strip()
            hunks[-1][1].append(_Line(sign if sign in "+-" else "", text[1:]))
    for offset in range(len(source)):
        if all(_fits(source, offset + start - 1, lines) for start, lines in hunks):
            break
    else:
        raise ValueError("it does not fit the configuration that was read")
    out: list[_Line] = []
    position = offset
    for start, lines in hunks:
        out.extend(_Line("", text) for text in source[position : offset + start - 1])
        out.extend(lines)
        position = offset + start - 1 + sum(line.sign != "+" for line in lines)
    out.extend(_Line("", text) for text in source[position:])
    return out


def _fits(source: Sequence[str], at: int, lines: Sequence[_Line]) -> bool:
    old = [line.text.rstrip() for line in lines if line.sign != "+"]
    return [text.rstrip() for text in source[at : at + len(old)]] == old

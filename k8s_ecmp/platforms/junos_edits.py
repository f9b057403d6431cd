"""What commands would do to the text of a configuration, which keeps its form and every byte that is not concerned."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import text_lines
from k8s_ecmp.platforms.edits import Edit
from k8s_ecmp.platforms.junos_commands import by_route, read_commands, settled, slot
from k8s_ecmp.platforms.junos_places import Document, Entry, Scope
from k8s_ecmp.platforms.junos_text import Node, Words, block_lines, leaves, statement_lines

_INDENT = "    "
_COMMENT = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=[\r\n]|$)")


class _Splice(NamedTuple):
    """Characters `start` .. `end` of the text give way to `new`."""

    start: int
    end: int
    new: str
    context: str


class _Change(NamedTuple):
    """One route: its statements before and after."""

    scope: Scope
    prefix: str
    entry: Entry | None
    after: list[Words]


def text_edits(document: Document, commands: str) -> tuple[Edit, ...]:
    """What the commands would do, in the order of the text's lines.

    Raises:
        ParseError: a command is no static route command, or the device would refuse it.
    """
    changes = []
    for (scope, prefix), own in by_route(read_commands(commands)).items():
        entry = document.entry(scope, prefix)
        if entry is None and all(command.delete for command in own):
            raise ParseError(f"there is no route {prefix} to delete: statement not found", line=own[0].line)
        instance = scope.instance
        if instance is not None and instance not in document.instances:
            raise ParseError(f"there is no routing instance {instance}", line=own[0].line)
        before = entry.words if entry is not None else []
        after = settled(before, own)
        if entry is not None and len(entry.nodes) > 1 and after:
            raise ParseError(f"the route {prefix} is written twice", line=own[0].line)
        if entry is None or after != before:
            changes.append(_Change(scope, str(prefix), entry, after))
    if document.braces:
        return tuple(_line_edits(document, _splices(document, changes)))
    return tuple(_set_edits(document, changes))


# --- set lines ---


def _set_edits(document: Document, changes: Sequence[_Change]) -> Iterator[Edit]:
    source = text_lines(document.text)
    edits: dict[int, tuple[str, ...]] = {}
    behind: dict[int, list[str]] = defaultdict(list)
    for change in changes:
        head: Words = ("set", *change.scope.path, "route", change.entry.prefix if change.entry else change.prefix)
        if change.entry is None:
            place = _set_place(document, change.scope, source)
            behind[place] += _set_lines(head, change.after)
            continue
        left = dict.fromkeys(change.after)
        by_line: dict[int, list[Words]] = defaultdict(list)
        for part, line in zip(change.entry.parts, change.entry.lines, strict=True):
            by_line[line] += part
        for line, own in by_line.items():
            kept: list[Words] = [words for words in own if words in left or (not words and change.after)]
            for words in kept:
                left.pop(words, None)
            if kept != own:
                if not kept and len(own) == 1 and (value := slot(own[0])) is not None:
                    kept = [words for words in left if slot(words) == value]
                    for words in kept:
                        left.pop(words)
                edits[line] = tuple(_set_lines(head, kept))
        behind[max(by_line)] += _set_lines(head, list(left))
    for line in sorted(edits.keys() | behind.keys()):
        if line in edits:
            yield Edit(line, 1, (*edits[line], *behind.get(line, ())))
        elif behind[line]:
            yield Edit(line + 1, 0, tuple(behind[line]))


def _set_lines(head: Words, statements: Sequence[Words]) -> list[str]:
    return [" ".join((*head, *words)) for words in statements]


def _set_place(document: Document, scope: Scope, source: Sequence[str]) -> int:
    """The line behind which a new route goes: the last of its section, of a wider path, or of the text."""
    section = document.sections.get((None, scope))
    if section is not None and section.last:
        return section.last
    for words in (scope.path[:-1], scope.path[:2] if scope.instance else scope.path[:1]):
        start = "set " + " ".join(words) + " "
        lines = [number for number, line in enumerate(source, 1) if line.startswith(start)]
        if lines:
            return lines[-1]
    return max((number for number, line in enumerate(source, 1) if line.strip()), default=0)


# --- braces ---

_Span = tuple[int, int]


def _splices(document: Document, changes: Sequence[_Change]) -> Iterator[_Splice]:
    gone: dict[_Span, str] = {}
    fresh: dict[Scope, list[_Change]] = defaultdict(list)
    for change in changes:
        context = f"[edit {' '.join(change.scope.path)}]"
        if change.entry is None:
            fresh[change.scope].append(change)
        elif change.after:
            yield from _rewritten(document, change, change.entry.nodes[0])
        else:
            gone |= {(node.start, node.end): context for node in change.entry.nodes}
    homes = {scope: _home(document, scope) for scope in fresh}
    needed = {(node.start, node.end) for home in homes.values() for node in home}
    if gone:
        for (group, _), section in document.sections.items():
            if group is None:
                _empty(section.chain, gone, needed)
        yield from _removals(gone)
    yield from _settlements(document, fresh, homes)


def _empty(chain: Sequence[Node], gone: dict[_Span, str], needed: set[_Span]) -> None:
    """A container that loses its last statement goes with it: Junos shows no empty ones. Not seen on a device."""
    for depth in range(len(chain) - 1, -1, -1):
        node = chain[depth]
        if not node.children or node.words[0] not in ("static", "rib", "routing-options"):
            return
        if (node.start, node.end) in needed or any((child.start, child.end) not in gone for child in node.children):
            return
        above = " ".join(word for outer in chain[:depth] for word in outer.words)
        gone[node.start, node.end] = f"[edit {above}]" if above else "[edit]"


def _removals(gone: dict[_Span, str]) -> Iterator[_Splice]:
    """The outermost of what goes."""
    covered = -1
    for start, end in sorted(gone, key=lambda span: (span[0], -span[1])):
        if start >= covered:
            yield _Splice(start, end, "", gone[start, end])
            covered = end


def _rewritten(document: Document, change: _Change, node: Node) -> Iterator[_Splice]:
    """A route that stays: the statements that change, or all of it where it is one line."""
    indent = _indent(document.text, node.at)
    path = " ".join(change.scope.path)
    if not node.children:
        written = statement_lines((*node.tags, *node.words[:2]), change.after, indent)
        yield _Splice(node.at, node.end, "\n".join(written).lstrip(), f"[edit {path}]")
        return
    context = f"[edit {path} {' '.join(node.words)}]"
    inner = _indent(document.text, node.children[0].at)
    if node.children[0].at - len(inner) < node.inner:  # on the line of the brace
        inner = indent + _INDENT
    wanted: dict[Words, list[Words]] = defaultdict(list)
    for words in change.after:
        wanted[_key(words)].append(words)
    standing: dict[Words, list[tuple[Node, list[Words]]]] = defaultdict(list)
    for child in node.children:
        own = list(leaves(child))
        standing[_key(own[0])].append((child, own))
    for key, children in standing.items():
        here = wanted.pop(key, [])
        known = {words for _, own in children for words in own}
        extra = [words for words in here if words not in known]
        kept = [[words for words in own if words in here] for _, own in children]
        host = max((place for place, some in enumerate(kept) if some), default=0)
        kept[host] += extra
        for (child, own), now in zip(children, kept, strict=True):
            if not now:
                yield _Splice(child.start, child.end, "", context)
            elif now != own:
                written = block_lines(now, _indent(document.text, child.at))
                yield _Splice(child.at, child.end, "\n".join(written).lstrip(), context)
    hops = [words for key, here in wanted.items() if key[0] == "next-hop" for words in here]
    others = [words for key, here in wanted.items() if key[0] != "next-hop" for words in here]
    if hops:
        yield _inside(document, node, block_lines(hops, inner), context)
    if others:
        yield _after(document, node.children[-1].end, block_lines(others, inner), context)


def _key(words: Words) -> Words:
    return words[:2] if words[0].endswith("-next-hop") else words[:1]


def _home(document: Document, scope: Scope) -> list[Node]:
    """The nodes that lead to a scope as far as they are there, the outermost first."""
    home: list[Node] = []
    level: Sequence[Node] = document.top
    path = scope.path
    while path:
        node = next((n for n in level if n.children is not None and n.words == path[: len(n.words)]), None)
        if node is None:
            break
        home.append(node)
        level, path = node.children or (), path[len(node.words) :]
    return home


def _settlements(
    document: Document, fresh: Mapping[Scope, Sequence[_Change]], homes: Mapping[Scope, Sequence[Node]]
) -> Iterator[_Splice]:
    """New routes: behind the last one of their section, in a section of their own where there is none.

    Sections that lack the same container share a new one. Ribs stand in front of `static`, as Junos shows them.
    """
    shared: dict[tuple[int, Words], list[Scope]] = defaultdict(list)
    heads = {scope: _missing(scope, homes[scope]) for scope in fresh}
    for scope in sorted(fresh, key=lambda scope: scope.rib is None):
        home = homes[scope]
        shared[home[-1].start if home else -1, heads[scope][0] if heads[scope] else ()].append(scope)
    for (_, head), scopes in shared.items():
        home = homes[scopes[0]]
        indent = _indent(document.text, home[-1].at) + _INDENT if home else ""
        below = indent + _INDENT if head else indent
        written = [line for scope in scopes for line in _block(heads[scope][1:], fresh[scope], below)]
        yield _settlement(document, home, head, _enclosed(head, written, indent) if head else written)


def _missing(scope: Scope, home: Sequence[Node]) -> list[Words]:
    """The heads of the containers that are not there yet, the outermost first."""
    missing = scope.path[sum(len(node.words) for node in home) :]
    heads: list[Words] = []
    while missing:
        size = 2 if missing[0] == "rib" or (not home and missing[0] == "routing-instances") else 1
        heads.append(missing[:size])
        missing = missing[size:]
    return heads


def _block(heads: Sequence[Words], new: Sequence[_Change], indent: str) -> list[str]:
    """Routes within containers."""
    if heads:
        return _enclosed(heads[0], _block(heads[1:], new, indent + _INDENT), indent)
    return [line for change in new for line in statement_lines(("route", change.prefix), change.after, indent)]


def _enclosed(head: Words, lines: Sequence[str], indent: str) -> list[str]:
    return [f"{indent}{' '.join(head)} {{", *lines, f"{indent}}}"]


def _settlement(document: Document, home: Sequence[Node], head: Words, written: list[str]) -> _Splice:
    """Where lines go that begin with a container's head, or (no head) with a route."""
    above = " ".join(word for node in home for word in node.words)
    context = f"[edit {above}]" if above else "[edit]"
    if not home:
        return _at_the_top(document, written, context)
    node = home[-1]
    children = node.children or []
    beside = [child for child in children if child.words[0] == ("rib" if head else "route")]
    if head[:1] == ("routing-options",):
        beside = children
    if beside or (children and not head):
        return _after(document, (beside or children)[-1].end, written, context)
    return _inside(document, node, written, context)


def _at_the_top(document: Document, written: list[str], context: str) -> _Splice:
    """A new `routing-options`: in front of the protocols, else at the end."""
    for node in document.top:
        if node.words[0] == "protocols":
            return _Splice(node.start, node.start, "\n".join(written) + "\n", context)
    if not document.top:
        return _Splice(0, 0, "\n".join(written) + "\n", context)
    return _after(document, document.top[-1].end, written, context)


def _after(document: Document, place: int, written: list[str], context: str) -> _Splice:
    place = _line_rest(document.text, place)
    return _Splice(place, place, "\n" + "\n".join(written), context)


def _inside(document: Document, node: Node, written: list[str], context: str) -> _Splice:
    """At the beginning of a block."""
    place = _line_rest(document.text, node.inner)
    rest = document.text[place : node.close]
    closing = "" if "\n" in rest or "\r" in rest else "\n" + _indent(document.text, node.at)
    return _Splice(place, place, "\n" + "\n".join(written) + closing, context)


def _line_rest(text: str, place: int) -> int:
    """Behind a comment that ends the line, so that it stays where it is."""
    match = _COMMENT.match(text, place)
    return match.end() if match else place


def _indent(text: str, place: int) -> str:
    """The blanks in front of what stands in the line."""
    begin = max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1
    line = text[begin:place]
    return line[: len(line) - len(line.lstrip())] if line.strip() else line


def _line_edits(document: Document, splices: Iterator[_Splice]) -> Iterator[Edit]:
    """Splices as edits of whole lines."""
    number = document.lines.number
    held: list[_Splice] = []
    last = 0
    for splice in sorted(splices, key=lambda s: (s.start, s.end)):
        if held and number(splice.start) > last:
            yield from _line_edit(document, held, last)
            held = []
        held.append(splice)
        last = number(splice.end) if len(held) == 1 else max(last, number(splice.end))
    if held:
        yield from _line_edit(document, held, last)


def _line_edit(document: Document, splices: Sequence[_Splice], last: int) -> Iterator[Edit]:
    starts = document.lines.starts
    first = document.lines.number(splices[0].start)
    begin, end = starts[first - 1], starts[last] if last < len(starts) else len(document.text)
    parts = []
    place = begin
    for splice in splices:
        parts += [document.text[place : splice.start], splice.new]
        place = max(place, splice.end)
    parts.append(document.text[place:end])
    old, new = _split(document.text[begin:end]), _split("".join(parts))
    if all(line.strip() for line in old):
        new = [line for line in new if line.strip()]
    while old and new and old[0] == new[0]:
        first, old, new = first + 1, old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    if old or new:
        yield Edit(first, len(old), tuple(new), (splices[0].context,))


def _split(text: str) -> list[str]:
    lines = text_lines(text)
    return lines[:-1] if lines[-1] == "" else lines

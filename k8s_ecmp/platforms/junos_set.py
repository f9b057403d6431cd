"""Reads a Junos configuration in the form of `set` lines."""

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import text_lines
from k8s_ecmp.platforms.junos_groups import refuse_defaults
from k8s_ecmp.platforms.junos_places import APPLY, ELSEWHERE, TOP, Document, Entry, Section, read_scope
from k8s_ecmp.platforms.junos_text import Words, expanded
from k8s_ecmp.platforms.junos_text import split_words as split
from k8s_ecmp.platforms.remarks import Remarks


def read_set_lines(document: Document) -> None:
    """Reads a configuration of `set` lines, with `deactivate` and `protect` between and behind them.

    Raises:
        ParseError: it is no whole configuration, or a line of it cannot be read.
    """
    marks: list[tuple[str, Words]] = []
    whole = False
    known: dict[str, dict[str, Entry]] = {}  # by what stands in front of "static route"
    said = document.said
    lines = text_lines(document.text)
    document.remarks = Remarks.on(lines)
    for number, line in enumerate(lines, 1):
        if not line or line.isspace() or line[0] == "#":
            continue
        head, _, tail = line.partition(" static route ")
        prefix, _, below = tail.partition(" ")
        entries, part = known.get(head), said.get(below)
        if entries is not None and part is not None and prefix:  # nearly all lines of a large configuration
            entry = entries.get(prefix)
            if entry is None:
                entry = entries[prefix] = Entry(prefix, number, [], [], [], [])
            entry.parts.append(part)
            entry.lines.append(number)
            continue
        try:
            words = split(line)
            verb = words[0]
            if verb == "set":
                whole = whole or (len(words) > 1 and words[1] in TOP)
                section = _set_line(document, words[1:], number)
                if section is not None and tail:
                    known[head] = section.entries
                    if below and below[0] != "a" and not set(below) & set('"[]'):
                        said[below] = (tuple(below.split()),)
            elif verb in ("deactivate", "protect"):
                marks.append((verb, words[1:]))
            elif verb[0] != "#" and verb != "annotate":
                raise ParseError(f"{line.strip()[:60]!r} is no line of a configuration", line=number)
        except ValueError as error:
            raise ParseError(f"{line.strip()[:60]!r}: {error}", line=number) from None
    if not whole:
        raise ParseError("the text is no junos configuration")
    for section in document.sections.values():
        last = (line for entry in section.entries.values() for line in entry.lines[-1:])
        section.last = max(section.last, *last, 0)
    for verb, path in marks:
        _mark(document, "inactive" if verb == "deactivate" else "protected", path)


def _set_line(document: Document, words: Words, number: int) -> Section | None:
    """Reads one line; the section when it is about a route."""
    if not words:
        raise ValueError("nothing is set")
    first = words[0]
    group: str | None = None
    if first == "groups" and len(words) > 3:
        group, words = words[1], words[2:]
        first = words[0]
    if first in ELSEWHERE:
        document.elsewhere.setdefault(" ".join(words[:2]), number)
        return None
    if first not in ("routing-options", "routing-instances", *APPLY):
        return None
    if first == "routing-instances" and len(words) > 1 and group is None and words[1] not in APPLY:
        document.instances.setdefault(words[1], None)
    if "apply-groups" in words or "apply-groups-except" in words:
        place = next(place for place, word in enumerate(words) if word in APPLY)
        if "route" not in words[:place]:
            document.apply(group, words[:place], words[place:], number)
            return None
    found = read_scope(words)
    if found is None:
        return None
    scope, rest = found
    section = document.section(scope, group)
    section.last = number
    if not rest or rest[0] != "route":
        if rest and rest[0] == "defaults":
            try:
                section.defaults += [one[1:] for one in expanded(rest) if len(one) > 1]
            except ValueError as error:
                refuse_defaults(document, section, number, error)
        return None
    if len(rest) < 2:
        raise ValueError("the prefix of a route is missing")
    entry = section.entries.get(rest[1])
    if entry is None:
        entry = section.entries[rest[1]] = Entry(rest[1], number, [], [], [], [])
    try:
        part = tuple(one[2:] for one in expanded(rest))
    except ValueError as error:
        document.refuse(entry, number, " ".join(rest), error)
        return None
    entry.parts.append(part)
    entry.lines.append(number)
    if len(rest) > 2 and rest[2] in APPLY:
        entry.flaws.append(f"inherits from groups: {' '.join(rest[2:])}")
    return section


def _mark(document: Document, what: str, path: Words) -> None:
    """`deactivate PATH` and `protect PATH` concern what stands there and below it."""
    group: str | None = None
    if path[:1] == ("groups",) and len(path) > 1:
        group, path = path[1], path[2:]
    for (in_group, scope), section in document.sections.items():
        if in_group != group:
            continue
        own = scope.path
        if own[: len(path)] == path:
            section.flaws.append(f"{what}: {' '.join(path)}")
        elif path[: len(own)] == own and len(path) > len(own) + 1 and path[len(own)] == "route":
            entry = section.entries.get(path[len(own) + 1])
            if entry is not None:
                entry.flaws.append(f"{what}: {' '.join(path[len(own) :])}")
        elif path[: len(own)] == own and what == "inactive" and path[len(own)] == "defaults":
            gone = path[len(own) + 1 :]
            section.defaults = [words for words in section.defaults if words[: len(gone)] != gone]
    for place, applied in enumerate(document.applied):
        if what == "inactive" and applied.group == group and path == (*applied.path, "apply-groups"):
            document.applied[place] = applied._replace(names=())

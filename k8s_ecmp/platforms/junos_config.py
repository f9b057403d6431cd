"""Reads the static routes of a Junos configuration in either form, with what is inactive, protected or applied."""

import msgspec

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import text_lines
from k8s_ecmp.platforms.junos_groups import inherit
from k8s_ecmp.platforms.junos_places import Applied, Document, Entry, Part, Section, read_scope
from k8s_ecmp.platforms.junos_text import Node, Words, expanded, first_word, leaves, read_braces
from k8s_ecmp.platforms.junos_text import split_words as split

_TOP = frozenset(
    {"access", "access-profile", "accounting-options", "applications", "apply-groups", "bridge-domains", "chassis"}
    | {"class-of-service", "dynamic-profiles", "ethernet-switching-options", "event-options", "fabric", "firewall"}
    | {"forwarding-options", "groups", "interfaces", "logical-systems", "multi-chassis", "policy-options", "protocols"}
    | {"routing-instances", "routing-options", "security", "services", "snmp", "switch-options", "system", "tenants"}
    | {"transports", "version", "virtual-chassis", "vlans"}
)
_LEAVES = frozenset({"version", "apply-groups", "apply-groups-except"})
_ELSEWHERE = frozenset({"logical-systems", "tenants"})
_APPLY = ("apply-groups", "apply-groups-except")


def read_document(text: str) -> Document:
    """Reads a configuration in either form.

    Raises:
        ParseError: it is no whole Junos configuration, or a statement cannot be read.
    """
    document = Document(text)
    if not text.strip():
        raise ParseError("the configuration is empty", remedy="was the router's answer lost?")
    (_read_braces if document.braces else _read_set)(document)
    inherit(document)
    return document


# --- braces ---


def _read_braces(document: Document) -> None:
    document.top = read_braces(document.text, document.lines)
    named = [node for node in document.top if node.words[0] in _TOP]
    if not any(node.children is not None or node.words[0] in _LEAVES for node in named):
        raise ParseError(f"the text is no junos configuration: it begins with {first_word(document.text)[:60]!r}")
    for node in document.top:
        _descend(document, None, (), (node,), ())


def _descend(document: Document, group: str | None, above: Words, chain: tuple[Node, ...], flaws: Words) -> None:
    """Looks for static routes in a statement; `above` are the words of those around it."""
    node = chain[-1]
    words = above + node.words
    line = document.lines.number(node.at)
    _expect_no_patch(node, line)
    flaws = flaws + _flaws(node, above)
    first = words[0]
    if first in _ELSEWHERE:
        for child in (node.children or ()) if len(words) == 1 else (node,):
            document.elsewhere.setdefault(f"{first} {child.words[-1]}", document.lines.number(child.at))
        return
    if node.words[0] in _APPLY:
        if "inactive:" not in node.tags:
            _apply(document, group, above, node.words, line)
        return
    if first == "groups":
        _descend_groups(document, group, words, chain, flaws)
        return
    if first not in ("routing-options", "routing-instances"):
        return
    if first == "routing-instances" and len(words) == 2 and group is None:
        document.instances.setdefault(words[1], node)
    found = read_scope(words)
    if found is None:
        for child in node.children or ():
            _descend(document, group, words, (*chain, child), flaws)
        return
    scope, rest = found
    section = document.section(scope, group)
    section.chain = section.chain or chain
    if rest:  # `static route P ...` in one statement
        _static(document, section, rest, msgspec.structs.replace(node, words=rest))
    else:
        section.flaws += flaws
        for child in node.children or ():
            _static(document, section, child.words, child)


def _descend_groups(document: Document, group: str | None, words: Words, chain: tuple[Node, ...], flaws: Words) -> None:
    """A group's contents have the paths of the configuration itself."""
    if group is not None or len(words) > 2:
        raise ParseError("a group stands in a group", line=document.lines.number(chain[-1].at))
    for child in chain[-1].children or ():
        if len(words) == 2:
            _descend(document, words[1], (), (child,), flaws)
        else:
            _descend(document, None, words, (*chain, child), flaws)


def _expect_no_patch(node: Node, line: int) -> None:
    if "delete:" in node.tags:
        raise ParseError(f"{' '.join(node.words)[:60]!r} is to be deleted: the text is a patch", line=line)


def _flaws(node: Node, above: Words) -> Words:
    where = " ".join((*above, *node.words)[:4])
    found = (f"inactive: {where}",) if "inactive:" in node.tags else ()
    return (*found, f"protected: {where}") if "protect:" in node.tags else found


def _static(document: Document, section: Section, words: Words, node: Node) -> None:
    """A statement directly below `static`."""
    line = document.lines.number(node.at)
    section.last = max(section.last, line)
    _expect_no_patch(node, line)
    if words[0] in _APPLY:
        if "inactive:" not in node.tags:
            _apply(document, section.group, section.scope.path, words, line)
    elif words[0] == "defaults" and "inactive:" not in node.tags:
        section.defaults += [words for words in _read(document, node, 1) if words]
    elif words[0] == "route":
        if len(words) < 2:
            raise ParseError("the prefix of a route is missing", line=line)
        entry = section.entries.get(words[1])
        if entry is None:
            entry = section.entries[words[1]] = Entry(words[1], line, [], [], [])
        entry.nodes.append(node)
        if node.tags:
            entry.flaws += _flaws(node, ())
        if node.children:
            _read_parts(document, entry, node.children)
        else:
            entry.parts.append((_read(document, node, 2), line))


def _read_parts(document: Document, entry: Entry, children: list[Node]) -> None:
    """The statements in a route's braces."""
    text, said, number = document.text, document.said, document.lines.number
    for child in children:
        written = text[child.at : child.end]
        part = said.get(written)
        if part is None:
            part = said[written] = _read(document, child, 0)
        entry.parts.append((part, number(child.at)))
        if child.tags or child.children or child.words[0] in _APPLY:
            entry.flaws += _inner_flaws(child)


def _read(document: Document, node: Node, skip: int) -> Part:
    """The statements of a node, without their first words."""
    try:
        return tuple(words[skip:] for words in leaves(node))
    except ValueError as error:
        line = document.lines.number(node.at)
        raise ParseError(f"{' '.join(node.words)[:60]!r}: {error}", line=line) from None


def _inner_flaws(node: Node) -> Words:
    """What makes a part of a route another than it reads."""
    found: Words = (f"{node.tags[0]} {node.words[0]}",) if node.tags else ()
    if node.words[0] in _APPLY:
        found += (f"inherits from groups: {' '.join(node.words)}",)
    return found + tuple(flaw for child in node.children or () for flaw in _inner_flaws(child))


# --- set lines ---


def _read_set(document: Document) -> None:
    marks: list[tuple[str, Words]] = []
    whole = False
    known: dict[str, dict[str, Entry]] = {}  # by what stands in front of "static route"
    said = document.said
    for number, line in enumerate(text_lines(document.text), 1):
        if not line or line.isspace() or line[0] == "#":
            continue
        head, _, tail = line.partition(" static route ")
        prefix, _, below = tail.partition(" ")
        if head in known and prefix in known[head] and below in said:  # nearly all lines of a large configuration
            known[head][prefix].parts.append((said[below], number))
            continue
        try:
            words = split(line)
            verb = words[0]
            if verb == "set":
                whole = whole or (len(words) > 1 and words[1] in _TOP)
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
        lines = [line for entry in section.entries.values() for _, line in entry.parts[-1:]]
        section.last = max(section.last, *lines, 0)
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
    if first in _ELSEWHERE:
        document.elsewhere.setdefault(" ".join(words[:2]), number)
        return None
    if first not in ("routing-options", "routing-instances", *_APPLY):
        return None
    if first == "routing-instances" and len(words) > 1 and group is None:
        document.instances.setdefault(words[1], None)
    if "apply-groups" in words or "apply-groups-except" in words:
        place = next(place for place, word in enumerate(words) if word in _APPLY)
        if "route" not in words[:place]:
            _apply(document, group, words[:place], words[place:], number)
            return None
    found = read_scope(words)
    if found is None:
        return None
    scope, rest = found
    section = document.section(scope, group)
    section.last = number
    if not rest or rest[0] != "route":
        if rest and rest[0] == "defaults":
            section.defaults += [one[1:] for one in expanded(rest) if len(one) > 1]
        return None
    if len(rest) < 2:
        raise ValueError("the prefix of a route is missing")
    entry = section.entries.get(rest[1])
    if entry is None:
        entry = section.entries[rest[1]] = Entry(rest[1], number, [], [], [])
    entry.parts.append((tuple(one[2:] for one in expanded(rest)), number))
    if len(rest) > 2 and rest[2] in _APPLY:
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


def _apply(document: Document, group: str | None, path: Words, words: Words, line: int) -> None:
    try:
        names = tuple(one[1] for one in expanded(words) if len(one) > 1)
    except ValueError as error:
        raise ParseError(f"{' '.join(words)[:60]!r}: {error}", line=line) from None
    document.applied.append(Applied(group, path, names, words[0] == "apply-groups-except"))

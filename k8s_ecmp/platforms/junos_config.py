"""Reads the static routes of a Junos configuration in either form, with what is inactive, protected or applied."""

import msgspec

from k8s_ecmp.errors import ParseError
from k8s_ecmp.platforms.junos_groups import inherit, refuse_defaults
from k8s_ecmp.platforms.junos_places import APPLY, ELSEWHERE, TOP, Document, Entry, Part, Section, read_scope
from k8s_ecmp.platforms.junos_set import read_set_lines
from k8s_ecmp.platforms.junos_text import Node, Words, first_word, leaves, read_braces

_LEAVES = frozenset({"version", "apply-groups", "apply-groups-except"})


def read_document(text: str) -> Document:
    """Reads a configuration in either form.

    Raises:
        ParseError: it is no whole Junos configuration, or a statement cannot be read.
    """
    document = Document(text)
    if not text.strip():
        raise ParseError("the configuration is empty", remedy="was the router's answer lost?")
    (_read_braces if document.braces else read_set_lines)(document)
    inherit(document)
    return document


def _read_braces(document: Document) -> None:
    document.top = read_braces(document.text, document.lines)
    named = [node for node in document.top if node.words[0] in TOP]
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
    if first in ELSEWHERE:
        for child in (node.children or ()) if len(words) == 1 else (node,):
            document.elsewhere.setdefault(f"{first} {child.words[-1]}", document.lines.number(child.at))
        return
    if node.words[0] in APPLY:
        if "inactive:" not in node.tags:
            document.apply(group, above, node.words, line)
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
    if words[0] in APPLY:
        if "inactive:" not in node.tags:
            document.apply(section.group, section.scope.path, words, line)
    elif words[0] == "defaults" and "inactive:" not in node.tags:
        try:
            section.defaults += [words for words in _read(node, 1) if words]
        except ValueError as error:
            refuse_defaults(document, section, line, error)
    elif words[0] == "route":
        if len(words) < 2:
            raise ParseError("the prefix of a route is missing", line=line)
        entry = section.entries.get(words[1])
        if entry is None:
            entry = section.entries[words[1]] = Entry(words[1], line, [], [], [], [])
        entry.nodes.append(node)
        if node.tags:
            entry.flaws += _flaws(node, ())
        if node.children:
            _read_parts(document, entry, node.children)
        else:
            _add_part(document, entry, node, 2)


def _read_parts(document: Document, entry: Entry, children: list[Node]) -> None:
    """The statements in a route's braces."""
    text, said, number = document.text, document.said, document.lines.number
    for child in children:
        written = text[child.at : child.end]
        part = said.get(written)
        if part is not None:
            entry.parts.append(part)
            entry.lines.append(number(child.at))
        elif _add_part(document, entry, child, 0):
            said[written] = entry.parts[-1]
        if child.tags or child.children or child.words[0] in APPLY:
            entry.flaws += _inner_flaws(child)


def _add_part(document: Document, entry: Entry, node: Node, skip: int) -> bool:
    """Adds the statements of a node to its route, which is nobody's where they cannot be read; whether they can."""
    line = document.lines.number(node.at)
    try:
        part = _read(node, skip)
    except ValueError as error:
        document.refuse(entry, line, " ".join(node.words), error)
        return False
    entry.parts.append(part)
    entry.lines.append(line)
    return True


def _read(node: Node, skip: int) -> Part:
    """The statements of a node, without their first words.

    Raises:
        ValueError: their brackets do not match.
    """
    return tuple(words[skip:] for words in leaves(node))


def _inner_flaws(node: Node) -> Words:
    """What makes a part of a route another than it reads."""
    found: Words = (f"{node.tags[0]} {node.words[0]}",) if node.tags else ()
    if node.words[0] in APPLY:
        found += (f"inherits from groups: {' '.join(node.words)}",)
    return found + tuple(flaw for child in node.children or () for flaw in _inner_flaws(child))

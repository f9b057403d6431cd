"""Writes the commands for changes with the template, and reads them back before anyone sees them."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from k8s_ecmp.errors import ParseError, RenderError
from k8s_ecmp.model import Action, NextHop, RouteChange
from k8s_ecmp.platforms.junos_commands import Command, by_route, read_commands, scope_of, settled, slot
from k8s_ecmp.platforms.junos_hops import Defaults, normal, read_hops, write_hops
from k8s_ecmp.platforms.junos_places import Document, Scope
from k8s_ecmp.platforms.junos_text import Words
from k8s_ecmp.platforms.templates import compiled, shipped

_MARKS = ("tag", "preference")


class Line(msgspec.Struct, frozen=True, gc=False):
    """One command, as the template sees it: `statement` are the words below `route P`, "" for the whole route."""

    remove: bool
    statement: str


class Route(msgspec.Struct, frozen=True, gc=False):
    """One changed prefix, as the template sees it; `path` are the words from the top to `static`."""

    action: Action
    vrf: str
    prefix: str
    path: str
    lines: tuple[Line, ...]


def write_commands(changes: Sequence[RouteChange], document: Document, template: str | None) -> str:
    """The commands for the changes, one a line; "" when there are none.

    Args:
        changes: in the order in which they shall be sent.
        document: the configuration, which says where a route stands and what its defaults are.
        template: Jinja2 text instead of the shipped one.

    Raises:
        RenderError: the template failed, or what it wrote would not do exactly the changes.
    """
    if not changes:
        return ""
    import jinja2

    origin = "templates/junos.j2" if template is None else "the given template"
    scopes = [scope_of(document, change.vrf, change.prefix) for change in changes]
    try:
        program = shipped("junos") if template is None else compiled(template)
        routes = [_route(change, scope, document) for change, scope in zip(changes, scopes, strict=True)]
        text = program.render(routes=routes)
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        where = f", line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise RenderError(f"{origin}{where}: {error}") from error
    try:
        _expect_exactly(changes, scopes, document, text)
    except ParseError as error:
        raise RenderError(
            f"{origin} wrote commands that are not the planned change: {error}", remedy="correct the template"
        ) from error
    return text


def _route(change: RouteChange, scope: Scope, document: Document) -> Route:
    lines = tuple(_lines(change, document.defaults(scope)))
    return Route(change.action, change.vrf, str(change.prefix), " ".join(scope.path), lines)


def _lines(change: RouteChange, defaults: Defaults) -> Iterator[Line]:
    """The smallest set of commands. The marks stand beside everything that is set.

    Next hops come before others go, save where a discard route is on either side: there the old kind goes first.
    """
    if not change.after:
        yield Line(True, "")
        return
    before = write_hops(change.before, defaults)
    after = write_hops(change.after, defaults)
    adds = [words for words in after if words not in before]
    if adds:
        adds += [words for words in after if words[0] in _MARKS and words not in adds]
        adds.sort(key=lambda words: words[0] in _MARKS)
    replaced = {words[:-1] for words in adds if words[0] in _MARKS}
    removes = [words for words in before if words not in after and words[:-1] not in replaced]
    removes = _whole(removes, after)
    new = [Line(False, " ".join(words)) for words in adds]
    gone = [Line(True, " ".join(words)) for words in removes]
    discard = any(hop.discard for hop in change.before) != any(hop.discard for hop in change.after)
    yield from gone + new if discard else new + gone


def _whole(removes: list[Words], after: Sequence[Words]) -> list[Words]:
    """Removals in few words: `tag` without its value, and `qualified-next-hop A` alone where all of it goes."""
    heads: dict[Words, None] = {}
    for words in removes:
        value = slot(words)
        if value is not None and len(value) == 1:
            heads[value] = None
            continue
        head = words[:2] if words[0].endswith("-next-hop") else words[:1] if len(words) > 2 else words
        heads[words if any(known[: len(head)] == head for known in after) else head] = None
    return list(heads)


def _expect_exactly(changes: Sequence[RouteChange], scopes: Sequence[Scope], document: Document, text: str) -> None:
    """Raises ParseError unless the commands turn each change's hops before into those after and do nothing else."""
    written = by_route(read_commands(text))
    for change, scope in zip(changes, scopes, strict=True):
        defaults = document.defaults(scope)
        own = written.pop((scope, change.prefix), [])
        result = _after(change, own, defaults)
        wanted = _wanted(change.after)
        if result != wanted:
            raise ParseError(
                f"{change.prefix} in VRF {change.vrf} would have {_names(result)} instead of {_names(wanted)}"
            )
    for (scope, prefix), others in written.items():
        raise ParseError(f"{prefix} in {' '.join(scope.path)} is not part of the change", line=others[0].line)


def _after(change: RouteChange, own: Sequence[Command], defaults: Defaults) -> frozenset[NextHop]:
    before = write_hops(change.before, defaults)
    statements = tuple(settled(before, own)) if own else before
    try:
        return _read(statements, defaults)
    except ValueError as error:
        raise ParseError(f"{change.prefix}: {error}", line=own[0].line if own else None) from None


@lru_cache(maxsize=1024)
def _read(statements: tuple[Words, ...], defaults: Defaults) -> frozenset[NextHop]:
    """The hops for comparing. Many prefixes have the same."""
    return frozenset(_plain(hop) for hop, _ in read_hops(statements, defaults))


@lru_cache(maxsize=1024)
def _wanted(hops: tuple[NextHop, ...]) -> frozenset[NextHop]:
    return frozenset(map(_plain, hops))


def _plain(hop: NextHop) -> NextHop:
    """A hop for comparing: the default preference left out, options in no order."""
    hop = normal(hop)
    return msgspec.structs.replace(hop, options=tuple(sorted(hop.options))) if len(hop.options) > 1 else hop


def _names(hops: frozenset[NextHop]) -> str:
    return ", ".join(sorted(hop.details for hop in hops)) or "no next hop"

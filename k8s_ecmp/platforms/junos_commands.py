"""`set` and `delete` lines about static routes: read, and what they do to the statements of a route."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix, text_lines
from k8s_ecmp.platforms.junos_hops import QUALIFIED, SINGLE
from k8s_ecmp.platforms.junos_places import Document, Scope, read_scope
from k8s_ecmp.platforms.junos_text import Words, expanded, split_words

_EXCLUSIVE = frozenset({"next-hop", "discard", "reject", "receive", "next-table"})


class Command(NamedTuple):
    """One line. `words` are those below `route P`; () is the whole route."""

    line: int
    delete: bool
    scope: Scope
    prefix: Prefix
    words: Words


def read_commands(commands: str) -> Iterator[Command]:
    """The commands of a text that holds nothing else but blanks and comments.

    Raises:
        ParseError: a line is something else.
    """
    said: dict[str, Words] = {}
    places: dict[str, tuple[bool, Scope]] = {}
    for number, line in enumerate(text_lines(commands), 1):
        head, _, tail = line.partition(" static route ")
        prefix, _, below = tail.partition(" ")
        if head in places and below in said:  # nearly all lines of a large change
            delete, scope = places[head]
            yield Command(number, delete, scope, _prefix(prefix, scope, line, number), said[below])
        elif line and not line.isspace() and line.lstrip()[0] != "#":
            for command in _commands(number, line):
                if tail and "[" not in line:
                    places[head], said[below] = (command.delete, command.scope), command.words
                yield command


def _commands(number: int, line: str) -> Iterator[Command]:
    try:
        words = split_words(line)
        found = read_scope(words[1:]) if words[0] in ("set", "delete") and len(words) > 1 else None
        if found is None or len(found[1]) < 2 or found[1][0] != "route":
            raise ValueError("no static route command of junos")
        scope, rest = found
        statements = list(expanded(rest[2:]))
    except ValueError as error:
        raise ParseError(f"{line.strip()[:80]!r}: {error}", line=number) from None
    prefix = _prefix(rest[1], scope, line, number)
    yield from (Command(number, words[0] == "delete", scope, prefix, one) for one in statements)


def _prefix(text: str, scope: Scope, line: str, number: int) -> Prefix:
    try:
        prefix = Prefix.parse(text)
    except ValueError as error:
        raise ParseError(f"{line.strip()[:80]!r}: {error}", line=number) from None
    if scope.table is None or scope.table[1] != prefix.family:
        raise ParseError(f"{line.strip()[:80]!r}: {prefix} cannot stand in this table", line=number)
    return prefix


def by_route(commands: Iterable[Command]) -> dict[tuple[Scope, Prefix], list[Command]]:
    """The commands of each route, in their order."""
    found: dict[tuple[Scope, Prefix], list[Command]] = defaultdict(list)
    for command in commands:
        found[command.scope, command.prefix].append(command)
    return found


def settled(present: Iterable[Words], commands: Sequence[Command]) -> list[Words]:
    """The statements of a route after commands that all concern it; [] when it is gone.

    Raises:
        ParseError: the device would refuse a command, or the route that is left.
    """
    after = dict.fromkeys(present)
    for command in commands:
        words = command.words
        if command.delete:
            gone = [known for known in after if known[: len(words)] == words]
            if not gone:
                raise ParseError(
                    f"there is no {' '.join(words) or 'route'} at {command.prefix} to delete: statement not found",
                    line=command.line,
                    remedy="read the router again",
                )
            for known in gone:
                del after[known]
        elif words:
            value = slot(words)
            same = [known for known in after if value is not None and slot(known) == value]
            after = {words if known in same[:1] else known: None for known in after if known not in same[1:]}
            after[words] = None
    _refuse(after, commands[-1])
    return list(after)


def slot(words: Words) -> Words | None:
    """What a statement with a single value is the value of; None for those that can stand more than once."""
    below = 2 if words[0] == QUALIFIED else 0
    if len(words) == below + 2 and words[below] in SINGLE:
        return words[:-1]
    return None


def _refuse(after: Iterable[Words], last: Command) -> None:
    """What a commit refuses: a route without a next hop, and a discard route that has some."""
    heads = {words[0] for words in after}
    kinds = {"next-hop" if head == QUALIFIED else head for head in heads} & _EXCLUSIVE
    if len(kinds) > 1:
        raise ParseError(f"{last.prefix} would have {' and '.join(sorted(kinds))} at once", line=last.line)
    if not heads and last.delete and not last.words:
        return
    if not kinds and not any(head.endswith("next-hop") for head in heads):
        raise ParseError(f"{last.prefix} would have no next hop", line=last.line)


def scope_of(document: Document, vrf: str, prefix: Prefix) -> Scope:
    """The scope in which a prefix of a VRF stands, or is written when it is new."""
    usual = Scope.of(vrf, prefix.family)
    scopes = [scope for group, scope in document.sections if group is None and scope.table == (vrf, prefix.family)]
    for scope in scopes:
        if document.entry(scope, prefix) is not None:
            return scope
    return usual

"""The router's own diff of a candidate (`show | compare`), read statement by statement.

Under `[edit PATH]` stand whole statements behind "+" and "-"; others are context. A list is shown as its new and old
text, or as the values that come and go, depending on the release: as single values both are the same.
"""

from collections.abc import Iterator

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix, canonical_address
from k8s_ecmp.platforms.junos_commands import by_route, read_commands, settled
from k8s_ecmp.platforms.junos_places import Document
from k8s_ecmp.platforms.junos_text import Lines, Words, leaves, read_braces, split_words

_Signed = tuple[str, Words]


def foreign_statements(device_diff: str, document: Document, commands: str) -> list[str]:
    """What the diff adds ("+ ...") or removes ("- ...") and the commands do not; [] when nothing.

    Raises:
        ParseError: a command is no static route command.
    """
    planned = set(_planned(document, commands))
    shown = dict.fromkeys(_shown(device_diff))
    return [
        f"{sign} {' '.join(words)}"
        for sign, words in shown
        if (sign, words) not in planned and (_other(sign), words) not in shown
    ]


def _other(sign: str) -> str:
    return "-" if sign == "+" else "+"


def _planned(document: Document, commands: str) -> Iterator[_Signed]:
    for (scope, prefix), own in by_route(read_commands(commands)).items():
        entry = document.entry(scope, prefix)
        before = entry.words if entry is not None else []
        after = settled(before, own)
        head = (*scope.path, "route", str(prefix))
        for sign, here, there in (("-", before, after), ("+", after, before)):
            yield from ((sign, (*head, *_canonical(words))) for words in here if words not in there)


def _shown(device_diff: str) -> Iterator[_Signed]:
    """Every statement of the diff; lines that cannot be read are given as they stand."""
    path: Words = ()
    hunk: list[str] = []
    for line in [*device_diff.splitlines(), "[edit]"]:
        if line.startswith("[edit"):
            yield from _hunk(path, hunk)
            hunk = []
            try:
                path = split_words(line.strip()[1:-1])[1:]
            except ValueError:
                path = (line,)
        else:
            hunk.append(line)


def _hunk(path: Words, lines: list[str]) -> Iterator[_Signed]:
    for sign in ("-", "+"):
        text = "\n".join(line[1:] for line in lines if line[:1] == sign)
        try:
            for node in read_braces(text, Lines(text)):
                for words in leaves(node, path):
                    tags = tuple(tag for tag in node.tags if tag != "replace:")
                    yield sign, (*tags, *_canonical_path(words))
        except (ParseError, ValueError):
            yield from ((sign, (*path, line[1:].strip())) for line in lines if line[:1] == sign)
    yield from ((line[0], (*path, line[1:].strip())) for line in lines if line[:1] and line[0] not in "+- \t\r")


def _canonical_path(words: Words) -> Words:
    """The path of a static route with its prefix and next hop in canonical text."""
    if "static" not in words:
        return words
    place = words.index("static") + 1
    if words[place : place + 1] != ("route",) or len(words) < place + 2:
        return words
    try:
        prefix = str(Prefix.parse(words[place + 1]))
    except ValueError:
        return words
    return (*words[: place + 1], prefix, *_canonical(words[place + 2 :]))


def _canonical(words: Words) -> Words:
    if len(words) > 1 and words[0].endswith("next-hop"):
        try:
            return (words[0], canonical_address(words[1]), *words[2:])
        except ValueError:
            return words
    return words

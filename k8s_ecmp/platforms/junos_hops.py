"""A static route of Junos as statements below `route P`, and as next hops; one leads to the other and back.

A hop's `options` are whole statements, one a string. What stands in front of the word "qualified-next-hop" is of the
route, what stands behind it is the hop's own. Grammar as in the Junos CLI reference, "static (Routing Options)".
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from k8s_ecmp.model import NextHop
from k8s_ecmp.platforms.junos_text import Words, split_words
from k8s_ecmp.platforms.words import TAG_MAX, as_address, number

DEFAULT_PREFERENCE = 5
QUALIFIED = "qualified-next-hop"

_DISCARDS = frozenset({"discard", "reject"})
_TARGETS = frozenset(
    {"receive", "next-table", "lsp-next-hop", "static-lsp-next-hop", "p2mp-lsp-next-hop", "p2mp-ldp-next-hop"}
    | {"spring-te-lsp-next-hop", "backup-pe-group"}
)
_INTERFACE = re.compile(r"[A-Za-z][\w/:.-]*\d|[a-z][a-z0-9-]*\.\d+|<.*>")
# Of these a route has one; typed again, the new value takes the old one's place.
SINGLE = frozenset(
    {"tag", "tag2", "preference", "preference2", "metric", "metric2", "metric3", "metric4", "color", "color2"}
    | {"next-table", "interface", "minimum-interval", "minimum-receive-interval", "multiplier"}
)


class Defaults(msgspec.Struct, frozen=True, gc=False):
    """What `static defaults` say for the routes beside them."""

    preference: int | None = None
    tag: int | None = None


NO_DEFAULTS = Defaults()


def read_defaults(statements: Iterable[Words]) -> Defaults:
    """Preference and tag among the statements below `defaults`; the others change nothing that is ours.

    Raises:
        ValueError: one has no number.
    """
    found = {words[0]: _value(words) for words in statements if words[0] in ("preference", "tag")}
    return Defaults(found.get("preference"), found.get("tag"))


def read_hops(statements: Sequence[Words], defaults: Defaults) -> tuple[tuple[NextHop, int], ...]:
    """The next hops of a route with the position of the statement that names each; none where it has none.

    Raises:
        ValueError: a statement has no value, or one that cannot be.
    """
    tag: int | None = None
    preference: int | None = None
    plain: list[tuple[NextHop, int]] = []
    qualified: dict[str, tuple[list[Words], int]] = {}
    targets: dict[Words, tuple[list[str], int]] = {}
    shared: list[str] = []
    for position, words in enumerate(statements):
        first = words[0]
        if first == "next-hop":
            plain.append((_plain(words), position))
        elif first == "tag":
            tag = _value(words)
        elif first == "preference":
            preference = _value(words)
        elif first == QUALIFIED:
            if len(words) < 2:
                raise ValueError(f"{first} has no value")
            own = qualified.setdefault(words[1], ([], position))[0]
            if len(words) > 2:
                own.append(words[2:])
        elif first in _DISCARDS:
            plain.append((NextHop(discard=True, options=("reject",) if first == "reject" else ()), position))
        elif first in _TARGETS:
            targets.setdefault(words[:2], ([], position))[0].append(" ".join(words))
        else:
            shared.append(" ".join(words))
    options = tuple(shared)
    in_force = defaults.preference if preference is None else preference
    in_force_tag = defaults.tag if tag is None else tag
    hops = [
        (
            msgspec.structs.replace(hop, distance=in_force, tag=in_force_tag, options=hop.options + options)
            if in_force is not None or in_force_tag is not None or options
            else hop,
            position,
        )
        for hop, position in plain
    ]
    hops += [
        (NextHop(distance=in_force, tag=in_force_tag, options=(*texts, *options)), position)
        for texts, position in targets.values()
    ]
    for target, (own, position) in qualified.items():
        hops.append((_qualified(target, own, (preference, tag), (in_force, in_force_tag), options), position))
    return tuple(hops)


@lru_cache(maxsize=1024)
def write_hops(hops: tuple[NextHop, ...], defaults: Defaults) -> tuple[Words, ...]:
    """The statements below `route P` that say these hops, next hops first, as far as they can be said at once."""
    found: dict[Words, None] = {}
    route: dict[Words, None] = {}
    preference = tag = None
    for hop in map(normal, hops):
        cut = hop.options.index(QUALIFIED) if QUALIFIED in hop.options else -1
        shared = hop.options if cut < 0 else hop.options[:cut]
        own = () if cut < 0 else hop.options[cut + 1 :]
        target = hop.address or hop.interface
        texts = [split_words(text) for text in shared]
        if cut >= 0 and target:
            found[QUALIFIED, target] = None
            found |= {(QUALIFIED, target, *split_words(text)): None for text in own}
            if hop.address and hop.interface:
                found[QUALIFIED, target, "interface", hop.interface] = None
        elif hop.discard:
            found[("reject",) if "reject" in shared else ("discard",)] = None
        elif target:
            found["next-hop", target] = None
        route |= {words: None for words in texts if words != ("reject",)}
        heads = {text.split(None, 1)[0] for text in own}
        if "preference" not in heads and effective(hop) != _effective(defaults.preference):
            preference = effective(hop)
        if "tag" not in heads and hop.tag is not None and hop.tag != defaults.tag:
            tag = hop.tag
    statements = _without_bare(list(found))
    statements += [words for words in route if words[0] in _TARGETS]
    statements += [words for words in route if words[0] not in _TARGETS]
    if preference is not None:
        statements.append(("preference", str(preference)))
    if tag is not None:
        statements.append(("tag", str(tag)))
    return tuple(dict.fromkeys(statements))


def normal(hop: NextHop) -> NextHop:
    """The hop with the default preference left out, however it is written."""
    return msgspec.structs.replace(hop, distance=None) if hop.distance == DEFAULT_PREFERENCE else hop


def effective(hop: NextHop) -> int:
    """The preference in force."""
    return _effective(hop.distance)


def _effective(preference: int | None) -> int:
    return DEFAULT_PREFERENCE if preference is None else preference


def _without_bare(statements: list[Words]) -> list[Words]:
    """Without `qualified-next-hop A` alone where more is said of it."""
    more = {words[:2] for words in statements if words[0] == QUALIFIED and len(words) > 2}
    return [words for words in statements if words not in more]


def _value(words: Words) -> int:
    if len(words) != 2:
        raise ValueError(f"{words[0]} has {'more than one' if len(words) > 2 else 'no'} value")
    return number(words[1], words[0], TAG_MAX)


def _plain(words: Words) -> NextHop:
    if len(words) != 2:
        raise ValueError(f"{' '.join(words)!r} is no next hop")
    return NextHop(*_target(words[1]))


def _target(word: str) -> tuple[str | None, str | None]:
    """Address, or interface."""
    address = as_address(word)
    if address is None and not _INTERFACE.fullmatch(word):
        raise ValueError(f"{word!r} is neither a next hop nor an interface")
    return (address, None) if address else (None, word)


def _qualified(
    target: str,
    own: Sequence[Words],
    written: tuple[int | None, int | None],
    in_force: tuple[int | None, int | None],
    options: tuple[str, ...],
) -> NextHop:
    address, interface = _target(target)
    values: dict[str, int] = {}
    rest: list[str] = []
    for words in own:
        if words[0] in ("preference", "tag"):
            values[words[0]] = _value(words)
        if words[0] == "interface" and len(words) == 2 and address:
            interface = words[1]
        else:
            rest.append(" ".join(words))
    # What is written for the route but not in force for this hop would be lost without these.
    hidden = [
        f"{name} {value}"
        for name, value in zip(("preference", "tag"), written, strict=True)
        if value is not None and name in values
    ]
    return NextHop(
        address,
        interface,
        distance=values.get("preference", in_force[0]),
        tag=values.get("tag", in_force[1]),
        options=(*options, *hidden, QUALIFIED, *rest),
    )

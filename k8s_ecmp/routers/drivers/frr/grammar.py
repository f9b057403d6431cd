"""FRR's static route lines, read word by word. Pure."""

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from k8s_ecmp.model import DEFAULT_VRF, Prefix, canonical_address

_DISCARDS = frozenset({"null0", "blackhole", "reject"})
_VALUED = frozenset({"tag", "table", "label", "color", "nexthop-vrf", "vrf", "segments", "encap-behavior"}) | frozenset(
    {"source", "profile", "metric", "weight"}
)
_BARE = frozenset({"onlink", "bfd", "multi-hop"})


class Line(msgspec.Struct, frozen=True, gc=False):
    """One static route line. `hop` identifies the next hop within its prefix; `block` is the VRF block it stands in.

    `prefix` is canonical text, with " from SOURCE" where one is written. `plain` says that the line is of the simplest
    form (prefix, address or Null0, tag, distance), which every FRR version takes.
    """

    text: str
    negative: bool
    vrf: str
    block: str
    prefix: str
    hop: tuple[str, ...]
    discard: bool
    distance: int
    tag: int
    plain: bool


@lru_cache(maxsize=1 << 16)
def canonical_prefix(text: str) -> str:
    """As FRR shows it: host bits cleared."""
    return str(Prefix.parse(text, strict=False))


def _is_address(word: str) -> bool:
    try:
        canonical_address(word)
    except ValueError:
        return False
    return True


def read_line(text: str, block: str) -> Line | None:
    """A line of a configuration or of commands; None when it is no static route line that this module understands."""
    words = text.split()
    negative = words[:1] == ["no"]
    if negative:
        del words[0]
    if len(words) < 4 or words[0] not in ("ip", "ipv6") or words[1] != "route" or "/" not in words[2]:
        return None
    try:
        prefix = canonical_prefix(words[2])
        if (":" in prefix) != (words[0] == "ipv6"):
            return None
        rest = words[3:]
        if rest[0] == "from" and len(rest) > 2:
            prefix += f" from {canonical_prefix(rest[1])}"
            del rest[:2]
        return _read_hop(" ".join(text.split()), negative, block, prefix, rest)
    except ValueError:
        return None


def _read_hop(text: str, negative: bool, block: str, prefix: str, words: list[str]) -> Line | None:
    distance, tag, vrf, plain = 1, 0, block, " from " not in prefix
    identity: list[str] = []
    first = words[0].lower()
    discard = first in _DISCARDS
    if discard:
        identity.append("discard")
        del words[0]
    elif _is_address(words[0]):
        identity.append(canonical_address(words[0]))
        plain = plain and (":" in words[0]) == (":" in prefix)
        del words[0]
    else:
        identity.append("")
        plain = False
    known = _VALUED | _BARE
    if words and not discard and words[0] not in known and not words[0].isdigit():
        identity.append(f"dev {words.pop(0)}")
        plain = False
    position = 0
    while position < len(words):
        word = words[position]
        if word.isdigit() and 1 <= int(word) <= 255:
            distance = int(word)
        elif word in _VALUED and position + 1 < len(words):
            position += 1
            value = words[position]
            if word == "tag":
                tag = int(value)
                plain = plain and 1 <= tag <= 4294967295
            else:
                plain = False
                if word == "vrf":
                    vrf = value
                elif word in ("nexthop-vrf", "table"):
                    identity.append(f"{word} {value}")
        elif word in _BARE:
            plain = False
        else:
            return None
        position += 1
    if identity == [""]:
        return None
    return Line(text, negative, vrf, block, prefix, tuple(identity), discard, distance, tag, plain)


def route_texts(text: str) -> Iterator[tuple[str, str]]:
    """(VRF block, line) of every static route line of a running configuration, lines stripped."""
    block = DEFAULT_VRF
    for raw in text.splitlines():
        if raw.startswith(("ip route ", "ipv6 route ")):
            yield DEFAULT_VRF, raw.strip()
        elif raw.startswith((" ip route ", " ipv6 route ")) and block != DEFAULT_VRF:
            yield block, raw.strip()
        elif raw.startswith("vrf "):
            block = raw.split()[1]
        elif not raw.startswith(" "):
            block = DEFAULT_VRF

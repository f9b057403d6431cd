"""Single words of configuration lines: numbers, addresses, prefixes, interface names."""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from k8s_ecmp.model import Prefix, address_key, canonical_address

TAG_MAX = 0xFFFFFFFF
DISTANCE_MAX = 255
_HALF_ADDRESS = re.compile(r"[\d.]+\.[\d.]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%.*)?")


class Attributes(NamedTuple):
    """What stands behind a next hop. `words` are the values of the platform's other keywords, `options` all else."""

    distance: int | None
    tag: int | None
    name: str | None
    words: dict[str, str]
    options: tuple[str, ...]


def read_attributes(
    words: Sequence[str],
    keywords: Collection[str],
    options: Collection[str],
    flags: Collection[str] = (),
    *,
    dotted_tags: bool = False,
) -> Attributes:
    """Reads "tag N", "name WORD", "KEYWORD WORD", "OPTION WORD", a lone distance and unknown words, in any order.

    Args:
        words: the words behind the next hop.
        keywords: words with a value that the platform reads itself ("vrf").
        options: words with a value that go to the options ("table").
        flags: words without a value that go to the options; a number behind another word is taken as its value.
        dotted_tags: a tag may be written like an IPv4 address, too.

    Raises:
        ValueError: a value is missing, or tag or distance is out of range.
    """
    found: dict[str, str] = {}
    others: list[str] = []
    left = iter(words)
    unknown = False
    for word in left:
        known = word in ("tag", "name") or word in keywords
        if known or word in options:
            value = next(left, None)
            if value is None:
                raise ValueError(f"{word} has no value")
            if known and word not in found:
                found[word] = value
            else:
                others += [word, value]
        elif is_number(word) and not unknown and "distance" not in found:
            found["distance"] = word
        else:
            others.append(word)
        unknown = not (known or word in options or word in flags or is_number(word))
    distance, tag, name = found.pop("distance", None), found.pop("tag", None), found.pop("name", None)
    return Attributes(
        None if distance is None else number(distance, "distance", DISTANCE_MAX, 1),
        None if tag is None else _tag(tag, dotted_tags),
        name,
        found,
        tuple(others),
    )


def _tag(word: str, dotted: bool) -> int:
    if dotted and "." in word:
        version, packed = address_key(word)
        if version == 4:
            return int.from_bytes(packed, "big")
    return number(word, "tag", TAG_MAX)


def is_number(word: str) -> bool:
    """Whether the word is of decimal digits alone."""
    return word.isascii() and word.isdigit()


def number(word: str, what: str, highest: int, lowest: int = 0) -> int:
    """A decimal number.

    Raises:
        ValueError: it is none, or out of range.
    """
    if not is_number(word) or len(word) > 10 or not lowest <= int(word) <= highest:
        raise ValueError(f"{word!r} is no {what} ({lowest}..{highest})")
    return int(word)


def as_address(word: str) -> str | None:
    """Canonical text of an address, None for a word that is something else.

    Raises:
        ValueError: the word is neither an address nor anything else, as a line cut short leaves it ("10.0.0.").
    """
    try:
        return canonical_address(word)
    except ValueError:
        if _HALF_ADDRESS.fullmatch(word):
            raise ValueError(f"{word!r} is no next hop") from None
        return None


def is_prefix(text: str) -> bool:
    """Whether a word can only be meant as a prefix, a good one or not."""
    return text[:1].isdigit() or "/" in text or ":" in text


def read_prefix(text: str, family: int) -> tuple[Prefix, bool]:
    """A prefix as "address/length" or "address mask", and whether host bits were set in it.

    Raises:
        ValueError: it is none of the family.
    """
    address, _, mask = text.partition(" ")
    if mask:
        if "/" in address:
            raise ValueError(f"{text!r} is not a prefix")
        text = f"{address}/{_mask_length(mask)}"
    elif "/" not in text:
        raise ValueError(f"{text!r} is not a prefix")
    prefix = Prefix.parse(text, strict=False)
    if prefix.family != family:
        raise ValueError(f"{text!r} is no IPv{family} prefix")
    host_bits = int.from_bytes(address_key(text.partition("/")[0])[1], "big") != prefix.network
    return prefix, host_bits


def _mask_length(mask: str) -> int:
    version, packed = address_key(mask)
    value = int.from_bytes(packed, "big")
    length = value.bit_count()
    if version != 4 or value != (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF:
        raise ValueError(f"{mask!r} is not a network mask")
    return length

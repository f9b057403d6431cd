"""The lines that ExaBGP is given. Everything in them is checked first: ExaBGP takes an IPv4 next hop for an IPv6
prefix and path identifiers of 2**32 and more, and a byte that is not ASCII or a line over 1 MiB ends the bridge.
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

BLOCK = 25
"""Prefixes in a line. A prefix gets all of its next hops within one block, so that a receiver does not walk every
prefix through one, two and more next hops."""

FAMILIES = {4: "ipv4 unicast", 6: "ipv6 unicast"}
"""As ExaBGP names them."""

MAX_PATH_ID = 0xFFFFFFFF
_MARK = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ATTRIBUTES = re.compile(r"[A-Za-z0-9 :.\[\]-]*")


@lru_cache(maxsize=1 << 16)
def check_prefix(text: str) -> int:
    """The family of a prefix in canonical form.

    Raises:
        ValueError: it is none.
    """
    _without_zone(text)
    network = ipaddress.ip_network(text)
    if str(network) != text:
        raise ValueError(f"{text!r} is not in canonical form")
    return network.version


@lru_cache(maxsize=1 << 16)
def check_next_hop(text: str) -> int:
    """The family of a next hop in canonical form.

    Raises:
        ValueError: it is none, or an address that no next hop can have.
    """
    _without_zone(text)
    address = ipaddress.ip_address(text)
    if str(address) != text:
        raise ValueError(f"{text!r} is not in canonical form")
    if address.is_unspecified or address.is_multicast or address.is_loopback or address.is_link_local:
        raise ValueError(f"{text} cannot be announced as a next hop")
    return address.version


def _without_zone(text: str) -> None:
    """Python takes anything behind a `%`, a line end too."""
    if "%" in text:
        raise ValueError(f"{text!r} has a zone, which no announcement carries")


def check_route(prefix: str, hops: Iterable[str]) -> None:
    """Raises ValueError unless prefix and next hops are of one family."""
    family = check_prefix(prefix)
    for hop in hops:
        if check_next_hop(hop) != family:
            raise ValueError(f"{prefix} cannot have the next hop {hop}, which is of the other family")


@lru_cache(maxsize=1 << 10)
def check_mark(tag: object, name: object) -> None:
    """Raises ValueError unless these are a tag and an owner's name, or none."""
    if tag is not None and not (isinstance(tag, int) and 0 <= tag <= MAX_PATH_ID):
        raise ValueError(f"{tag!r} is no tag")
    if name is not None and not (isinstance(name, str) and _MARK.fullmatch(name)):
        raise ValueError(f"{name!r} is no owner")


def check_attributes(text: str) -> str:
    """`text`, where ExaBGP can be given it.

    Raises:
        ValueError: it holds something that no attribute has.
    """
    if not _ATTRIBUTES.fullmatch(text):
        raise ValueError(f"{text!r} cannot stand in an announcement")
    return text


Slots = Mapping[int, str | None]
"""By path identifier (0: none) the next hop that shall stand there, None: nothing."""


def announcements(selector: str, attributes: str, routes: Mapping[str, Slots]) -> Iterator[str]:
    """The lines that announce: block by block of prefixes, in each a line for every next hop and identifier."""
    names = list(routes)
    for start in range(0, len(names), BLOCK):
        groups: dict[tuple[str, int, int], list[str]] = defaultdict(list)
        for prefix in names[start : start + BLOCK]:
            for path_id, hop in routes[prefix].items():
                if hop is not None:
                    groups[hop, path_id, check_prefix(prefix)].append(prefix)
        for (hop, path_id, _), prefixes in groups.items():
            words = [selector, "announce attributes next-hop", hop, *_path(path_id), attributes, "nlri", *prefixes]
            yield " ".join(word for word in words if word)


def withdrawals(selector: str, routes: Mapping[str, Slots]) -> Iterator[str]:
    """The lines that withdraw, by block of prefixes."""
    names = list(routes)
    for start in range(0, len(names), BLOCK):
        groups: dict[tuple[int, int], list[str]] = defaultdict(list)
        for prefix in names[start : start + BLOCK]:
            for path_id, hop in routes[prefix].items():
                if hop is None:
                    groups[path_id, check_prefix(prefix)].append(prefix)
        for (path_id, _), prefixes in groups.items():
            yield " ".join([selector, "withdraw attributes", *_path(path_id), "nlri", *prefixes])


def end_of_rib(selector: str, family: int) -> str:
    """The line that says that all routes of a family were sent."""
    return f"{selector} announce eor {FAMILIES[family]}"


def _path(path_id: int) -> tuple[str, ...]:
    if not 0 <= path_id <= MAX_PATH_ID:
        raise ValueError(f"{path_id} is no path identifier")
    return ("path-information", str(path_id)) if path_id else ()

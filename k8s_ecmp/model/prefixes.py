"""IP addresses and prefixes.

Addresses are canonical text everywhere (RFC 5952 for IPv6); prefixes are `Prefix`, which sorts by family, address and
length.
"""

import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec

Family = Literal[4, 6]
_FAMILIES: dict[int, tuple[socket.AddressFamily, int]] = {4: (socket.AF_INET, 32), 6: (socket.AF_INET6, 128)}


@lru_cache(maxsize=1 << 16)
def address_key(text: str) -> tuple[int, bytes]:
    """Sort key of an address: family (4 or 6), then the address as a number in network order.

    Raises:
        ValueError: `text` is no IPv4 or IPv6 address (no zone, no prefix length, no leading zeros).
    """
    version = 6 if ":" in text else 4
    try:
        return version, socket.inet_pton(_FAMILIES[version][0], text)
    except (OSError, UnicodeEncodeError):
        raise ValueError(f"{text!r} is not an IP address") from None


@lru_cache(maxsize=1 << 16)
def canonical_address(text: str) -> str:
    """`text` in canonical form: dotted quad, or RFC 5952.

    Raises:
        ValueError: as `address_key`.
    """
    version, packed = address_key(text)
    return socket.inet_ntop(_FAMILIES[version][0], packed)


def address_family(text: str) -> Family:
    """4 or 6, for an address that is known to be one."""
    return 6 if ":" in text else 4


_LOOPBACK_6 = bytes(15) + b"\x01"
_LINK_LOCAL_4 = bytes((169, 254))
_MAPPED_4 = bytes(10) + b"\xff\xff"


def unroutable(address: str) -> str | None:
    """Why nothing can be sent to a node at this address: what kubelet refuses as --node-ip (validateNodeIP)."""
    family, packed = address_key(address)
    if not any(packed):
        return "the unspecified address"
    if packed[0] == 127 if family == 4 else packed == _LOOPBACK_6:
        return "a loopback address"
    if packed[0] >> 4 == 0xE if family == 4 else packed[0] == 0xFF:
        return "a multicast address"
    if packed[:2] == _LINK_LOCAL_4 if family == 4 else packed[0] == 0xFE and packed[1] >> 6 == 0b10:
        return "a link-local address"
    if family == 6 and packed.startswith(_MAPPED_4):
        return "an IPv4 address written as IPv6"
    return None


class Prefix(msgspec.Struct, frozen=True, order=True, gc=False):
    """An IPv4 or IPv6 prefix. `network` is the address as an integer, host bits zero."""

    family: int
    network: int
    length: int

    @classmethod
    def parse(cls, text: str, *, strict: bool = True) -> "Prefix":
        """Reads "10.0.0.0/8", "fd00::/64", or a bare address as its host prefix.

        Args:
            text: the prefix in either family.
            strict: refuse host bits; otherwise they are cleared.

        Raises:
            ValueError: not a prefix, or host bits are set and `strict`.
        """
        return _parse_prefix(text, strict)

    @classmethod
    def host(cls, address: str) -> "Prefix":
        """The /32 or /128 of an address."""
        version, packed = address_key(address)
        return cls(version, int.from_bytes(packed, "big"), len(packed) * 8)

    @property
    def bits(self) -> int:
        """32 or 128."""
        return 32 if self.family == 4 else 128

    @property
    def address(self) -> str:
        """The network address as canonical text."""
        return socket.inet_ntop(_FAMILIES[self.family][0], self.network.to_bytes(self.bits // 8, "big"))

    def covers(self, other: "Prefix") -> bool:
        """Whether `other` is this prefix or lies inside it."""
        return (
            self.family == other.family
            and self.length <= other.length
            and (self.network ^ other.network) >> (self.bits - self.length) == 0
        )

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"


@lru_cache(maxsize=1 << 16)
def _parse_prefix(text: str, strict: bool) -> Prefix:
    address, slash, length_text = text.partition("/")
    version, packed = address_key(address)
    bits = len(packed) * 8
    if slash and not (length_text.isascii() and length_text.isdigit()):
        raise ValueError(f"{text!r} is not a prefix: the length is not a number")
    length = int(length_text) if slash else bits
    if length > bits:
        raise ValueError(f"{text!r} is not a prefix: the length is over {bits}")
    value = int.from_bytes(packed, "big")
    network = value >> (bits - length) << (bits - length)
    if strict and network != value:
        raise ValueError(f"{text!r} has host bits set; the prefix is {Prefix(version, network, length)}")
    return Prefix(version, network, length)


def sorted_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Unique addresses in numeric order, IPv4 first."""
    return tuple(sorted(set(addresses), key=address_key))

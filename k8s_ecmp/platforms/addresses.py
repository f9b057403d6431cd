"""Addresses that a router has to know a way to: to see whether it shows its ways at all."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from itertools import islice

from k8s_ecmp.model import RunningRoutes, address_family, canonical_address

_MOST = 16  # each is a question
# As all of these platforms write an interface's: `ip address`, `ipv4 address`, Junos's `address` alone.
_INTERFACE = re.compile(r"\baddress\s+([0-9A-Fa-f.:]+)(?=[/;\s]|$)")


def addresses_of(running: RunningRoutes, vrf: str, like: Sequence[str]) -> tuple[str, ...]:
    """A few next hops of the VRF's static routes and addresses that the text gives to interfaces, canonical.

    Args:
        running: what runs.
        vrf: the VRF; whose an interface is, is not looked at.
        like: addresses; those found are of their families.
    """
    families = {address_family(address) for address in like}
    hops = [hop.address for route in running if route.vrf == vrf for hop in route.next_hops if hop.address]
    found = dict.fromkeys([*islice(dict.fromkeys(hops), _MOST // 2), *_interfaces(running.source)])
    return tuple(islice((address for address in found if address_family(address) in families), _MOST))


def _interfaces(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        for text in _INTERFACE.findall(line):
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                continue
            if not (address.is_link_local or address.is_unspecified or address.is_multicast):
                yield canonical_address(text)

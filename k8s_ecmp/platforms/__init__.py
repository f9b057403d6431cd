"""Router syntaxes: pure text <-> routes. `get_platform(name)` is the door."""

from functools import lru_cache
from importlib import import_module

from k8s_ecmp.errors import UnsupportedPlatform
from k8s_ecmp.platforms.base import Platform

_NAMES = ("bgp", "eos", "frr", "ios", "iosxr", "junos", "nxos")


@lru_cache(maxsize=16)
def get_platform(name: str) -> Platform:
    """The syntax of that name; its module is imported at the first call.

    Raises:
        UnsupportedPlatform: there is none; the message lists what there is.
    """
    if name not in _NAMES:
        raise UnsupportedPlatform(f"there is no platform {name!r}", remedy=f"one of: {', '.join(_NAMES)}")
    platform: Platform = import_module(f"k8s_ecmp.platforms.{name}").PLATFORM
    return platform

"""Router syntaxes: pure text <-> routes. `get_platform(name)` is the door."""

from functools import lru_cache
from importlib import import_module

from k8s_ecmp.errors import UnsupportedPlatform
from k8s_ecmp.platforms.base import Platform

_MODULES = {"eos": "k8s_ecmp.platforms.eos", "frr": "k8s_ecmp.platforms.frr"}


@lru_cache(maxsize=16)
def get_platform(name: str) -> Platform:
    """The syntax of that name; its module is imported at the first call.

    Raises:
        UnsupportedPlatform: there is none; the message lists what there is.
    """
    module = _MODULES.get(name)
    if module is None:
        raise UnsupportedPlatform(f"there is no platform {name!r}", remedy=f"one of: {', '.join(sorted(_MODULES))}")
    platform: Platform = import_module(module).PLATFORM
    return platform

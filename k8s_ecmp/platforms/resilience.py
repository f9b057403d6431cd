"""Whether a router hashes the flows of a prefix resiliently, by its running configuration. Pure.

Sources: EOS user manual, "Resilient ECMP" (for all routes within a prefix); NX-OS interfaces guide, "Enabling ECMP
Resilient Hashing" (for all, when next hops leave; from the next reload on); Junos CLI reference, `load-balance` in a
policy's `then` (which prefixes the policy takes is not looked into). IOS has none; IOS XR has it for prefixes of BGP
alone; zebra's groups are plain ones.
"""

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator

from k8s_ecmp.model import Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms.base import Capabilities


def hashed_resiliently(
    capabilities: Capabilities, running: RunningRoutes, changes: Collection[RouteChange]
) -> tuple[RouteChange, ...] | None:
    """Those of the changes whose prefix has resilient hashing configured; None where the platform has none.

    Args:
        capabilities: of the router's syntax.
        running: what was read.
        changes: any.
    """
    if capabilities.resilient_line is None:
        return None
    found = re.finditer(capabilities.resilient_line, running.text, re.MULTILINE)
    places = [match.groupdict().get("prefix") for match in found]
    if None in places:
        return tuple(changes)
    ranges = list(_prefixes(text for text in places if text is not None))
    return tuple(change for change in changes if any(whole.covers(change.prefix) for whole in ranges))


def _prefixes(texts: Iterable[str]) -> Iterator[Prefix]:
    """Those that are prefixes; a word of another release is none, and protects nothing."""
    for text in texts:
        with contextlib.suppress(ValueError):
            yield Prefix.parse(text, strict=False)

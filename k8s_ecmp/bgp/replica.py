"""Which of several replicas this machine is: the one whose local addresses it has.

So that all of them can have the same inventory, and a pod that is moved finds out by itself.
"""

import contextlib
import socket
from collections.abc import Sequence

from k8s_ecmp.errors import SettingsError
from k8s_ecmp.router_settings import MED_STEP, BgpReplica, BgpSettings

FIRST_MED = 100


def number_here(router: str, members: Sequence[BgpReplica], chosen: int | None = None) -> int:
    """The place of this machine's replica among those of a router, from 0.

    Args:
        router: for messages.
        members: of `BgpSettings.members`.
        chosen: what the user said, from 1; None: look at this machine's addresses.

    Raises:
        SettingsError: there is no such replica, or the addresses do not tell.
    """
    if chosen is not None and not 1 <= chosen <= len(members):
        raise SettingsError(f"router {router} has no replica {chosen}", remedy=f"it has 1 to {len(members)}")
    if len(members) == 1:
        return 0
    if chosen is not None:
        return chosen - 1
    here = [number for number, member in enumerate(members) if all(map(_is_ours, member.local_addresses))]
    if len(here) != 1:
        all_of_them = "; ".join(", ".join(member.local_addresses) for member in members)
        what = "none" if not here else "several"
        raise SettingsError(
            f"this machine has the local_addresses of {what} of the replicas of router {router}: {all_of_them}",
            remedy="run it where these addresses are, or say which replica this is with --replica",
        )
    return here[0]


def meds(bgp: BgpSettings, number: int) -> tuple[int | None, int | None]:
    """MED of a replica while it is current, and while it is not: then behind all that are. None: there is none.

    The order of the replicas stays where none is current.
    """
    count = len(bgp.replicas)
    if not count:
        return bgp.med, None
    med = (FIRST_MED if bgp.med is None else bgp.med) + MED_STEP * number
    return med, med + MED_STEP * count


def restart_s(bgp: BgpSettings, number: int) -> int:
    """For how long the peer keeps the routes of a replica that is away.

    Stale routes with a better MED would outrank what a current replica says, nodes that died since among them: only
    those of the last one outrank nobody. The others are replaced by it at once.
    """
    return bgp.graceful_restart_s if number == len(bgp.members) - 1 else 0


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False

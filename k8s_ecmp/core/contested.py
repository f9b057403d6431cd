"""What the routers have at the prefixes of conflicts: a conflict is understood by what stands on the others."""

from collections.abc import Sequence

from k8s_ecmp.model import Contested, Prefix, RouterPlan


def contested(routers: Sequence[RouterPlan]) -> tuple[Contested, ...]:
    """Each prefix at which a router has a conflict, with what every router has there now, in its own VRF.

    Args:
        routers: all of a plan, with their `standing`; one without was not read.
    """
    prefixes = sorted({conflict.prefix for router in routers for conflict in router.conflicts})
    return tuple(_at(prefix, routers) for prefix in prefixes)


def _at(prefix: Prefix, routers: Sequence[RouterPlan]) -> Contested:
    ours, theirs, none, unknown = list[str](), list[str](), list[str](), list[str]()
    for router in routers:
        standing = router.standing
        if standing is None:
            unknown.append(router.name)
        elif prefix in standing.ours:
            ours.append(router.name)
        else:
            (theirs if prefix in standing.here else none).append(router.name)
    return Contested(prefix, tuple(ours), tuple(theirs), tuple(none), tuple(unknown))

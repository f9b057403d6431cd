"""How a router stands against a reviewed plan: as it was reviewed, as the plan leaves it, or changed by others."""

from collections.abc import Sequence

import msgspec

from k8s_ecmp.core.configured import hop_keys
from k8s_ecmp.core.ownership import Marks, is_owned
from k8s_ecmp.model import Prefix, RouteChange, RunningRoutes

_MOST = 5
_ELSEWHERE = (
    "at its prefixes they have the same next hops as then, so that either another route of ours has changed, or "
    "another attribute of one of these, such as the distance"
)


class Moved(msgspec.Struct, frozen=True):
    """A route that is no longer what was reviewed: labels of its hops then and now."""

    prefix: Prefix
    reviewed: tuple[str, ...]
    now: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.prefix}: {_words(self.reviewed)} -> {_words(self.now)}"


def moved_since(reviewed: Sequence[RouteChange], running: RunningRoutes) -> tuple[Moved, ...]:
    """The routes at prefixes of a plan whose hops are not those that were reviewed, in the plan's order."""
    found = []
    for change in reviewed:
        then = {hop.label for hop in change.before}
        now = _labels(running, change)
        if then != set(now):
            found.append(Moved(change.prefix, tuple(hop.label for hop in change.before), now))
    return tuple(found)


def stale_text(router: str, reviewed: Sequence[RouteChange], running: RunningRoutes) -> str:
    """That the routes of a router are not the reviewed ones, and which, as far as the plan knows them."""
    moved = moved_since(reviewed, running)
    shown = "; ".join(map(str, moved[:_MOST])) if moved else _ELSEWHERE
    more = f"; and {len(moved) - _MOST} more" if len(moved) > _MOST else ""
    return f"the routes on {router} are not those that the plan was made for: {shown}{more}"


def stands_as_left(done: Sequence[RouteChange], running: RunningRoutes, marks: Marks, default_distance: int) -> bool:
    """Whether every prefix is what changes, with every attribute of their hops, make of it."""
    return all(_is_done(change, running, marks, default_distance) for change in done)


def way_back(
    done: Sequence[RouteChange], running: RunningRoutes, marks: Marks, default_distance: int
) -> tuple[tuple[RouteChange, ...], tuple[Prefix, ...]]:
    """What takes changes back on a router.

    Args:
        done: the changes, with every attribute of their hops.
        running: what runs now.
        marks: ours on this platform.
        default_distance: what a route has on which no distance is written.

    Returns:
        The inverse of the changes that are in force, and the prefixes that are as neither side of a change left them.
    """
    undo: list[RouteChange] = []
    others: list[Prefix] = []
    for change in done:
        route = running.get(change.vrf, change.prefix)
        now = route.next_hops if route is not None else ()
        if hop_keys(now, default_distance) == hop_keys(change.before, default_distance):
            continue
        if _is_done(change, running, marks, default_distance):
            undo.append(RouteChange.between(change.vrf, change.prefix, now, change.before))
        else:
            others.append(change.prefix)
    return tuple(undo), tuple(others)


def _is_done(change: RouteChange, running: RunningRoutes, marks: Marks, default_distance: int) -> bool:
    route = running.get(change.vrf, change.prefix)
    if not change.after or route is None:
        return not change.after and route is None
    return is_owned(route, marks) and hop_keys(route.next_hops, default_distance) == hop_keys(
        change.after, default_distance
    )


def _labels(running: RunningRoutes, change: RouteChange) -> tuple[str, ...]:
    route = running.get(change.vrf, change.prefix)
    return tuple(hop.label for hop in route.next_hops) if route is not None else ()


def _words(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "no route"

"""What a reviewed plan may still do: its changes on the routes as they run, and under today's mode and policy."""

from collections.abc import Mapping, Sequence

from k8s_ecmp.core.ownership import Marks, is_marked
from k8s_ecmp.model import Mode, NextHop, Policy, RouteChange, RunningRoutes


def reviewed_changes(
    reviewed: Sequence[RouteChange], running: RunningRoutes, marks: Marks, default_distance: int
) -> tuple[RouteChange, ...]:
    """The changes of a reviewed plan on the routes as they run, whose fingerprint is known to be the reviewed one.

    Args:
        reviewed: from a plan file they know labels and distance alone, unless they take something back; each becomes
            a whole change.
        running: what was read under the router's lock.
        marks: ours on this platform.
        default_distance: what a route has on which no distance is written.
    """
    out = []
    for change in reviewed:
        present = running.get(change.vrf, change.prefix)
        before = present.next_hops if present is not None else ()
        standing: Mapping[str, NextHop] = {hop.label: hop for hop in before}
        after = tuple(_restore(hop, standing, marks, default_distance) for hop in change.after)
        out.append(RouteChange(change.action, change.vrf, change.prefix, before, after, change.reasons))
    return tuple(out)


def _restore(hop: NextHop, standing: Mapping[str, NextHop], marks: Marks, default_distance: int) -> NextHop:
    same = standing.get(hop.label)
    fresh = hop if is_marked(hop, marks) else marks.hop(hop.address, hop.distance, discard=hop.discard)
    if same is None or not is_marked(same, marks) or same.options != fresh.options:
        return fresh
    return same if (same.distance or default_distance) == (hop.distance or default_distance) else fresh


def forbids(change: RouteChange, mode: Mode, policy: Policy, *, adopts: bool = False) -> str | None:
    """The setting that does not let the change through whole; None if it may be done.

    Args:
        change: what is planned.
        mode: of today's settings.
        policy: the same.
        adopts: it takes over a route of others.
    """
    if mode == "withdraw-only" and adopts:
        return f"mode: {mode}"
    if change.action == "delete" and policy != "sync":
        return f"policy: {policy}"
    if change.action == "update" and policy == "create-only":
        return f"policy: {policy}"
    removes = change.action == "delete" or (change.action == "update" and change.remove and not change.add)
    if mode == "withdraw-only" and not removes:
        return f"mode: {mode}"
    return None

"""Which flows change their next hop when a prefix's set of next hops changes: exact shares, for each way of hashing.

A router hashes each flow's addresses and ports to a number and takes a next hop by it. Nobody counts a router's flows
by prefix, so what is known is a share: of the flows to the prefix, those whose next hop is another one afterwards.

Ways of hashing (RFC 2992 compares the first two):

    modulo          the number modulo the count of next hops; from N to N-1 (N-1)/N of all flows move
    hash-threshold  the numbers are cut into one region a next hop; from N to N-1 between 1/4 + 1/(4N) and 1/2 move.
                    Linux: net/ipv4/nexthop.c, nh_hthr_group_rebalance and nexthop_select_path_hthr
    resilient       a table of buckets, of which only those of next hops that leave, or that are given to new ones, are
                    rewritten: the least that any even spread can do

How many flows the first two move depends on the places of those that leave and come among the others, and no
configuration shows these: zebra orders a group by the numbers that it gave to its next hops when it first met them. So
a share is a range over all places. Next hops that stay keep their order among each other, hashes count as uniform.
"""

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import gcd

from k8s_ecmp.model import Flows, FlowShift, Hashing, NextHop, Prefix, RouteChange

Share = tuple[Fraction, Fraction]
"""The least and the most that it may be, 0 to 1."""


def flows_at_risk(
    changes: Collection[RouteChange],
    hashing: Hashing | None,
    resilient: Collection[RouteChange] | None,
    routes: Mapping[Prefix, Sequence[NextHop]],
    ours: Container[Prefix],
    default_distance: int,
) -> Flows | None:
    """What changes do to the flows of one router; None where no flow has a next hop before and after, but another.

    A prefix that is created within a route of ours takes over the flows that went by that route until then; one that is
    deleted leaves its flows to it, and is told even where none of them moves, as they are not cut. The two are apart on
    the router, so resilient hashing keeps nothing there.

    Args:
        changes: of one router.
        hashing: how its platform chooses unless told otherwise; None: not known, taken as modulo.
        resilient: those changes whose prefixes are hashed resiliently by the router's configuration; None: the platform
            has no such configuration.
        routes: the static routes of the changes' VRF as they run, with their next hops.
        ours: which of them are ours.
        default_distance: what a next hop has on which none is written.
    """
    protected = {(change.vrf, change.prefix) for change in resilient or ()}
    before, after = (_Covering(all_of_them, default_distance) for all_of_them in (routes, _changed(routes, changes)))
    mine = {change.prefix for change in changes}
    shifts = []
    for change in changes:
        old, new = (_active(hops, default_distance) for hops in (change.before, change.after))
        covering = None
        if change.action != "update":
            covering = (before if change.action == "create" else after).of(change.prefix)
            if covering is None or not (covering in ours or covering in mine):
                continue
            if change.action == "create":
                old = before.labels(covering)
            else:
                new = after.labels(covering)
        if not old or not new or (old == new and change.action != "delete"):
            continue
        safe = covering is None and (change.vrf, change.prefix) in protected
        stay, lose, gain = len(old & new), len(old - new), len(new - old)
        low, high = share_moved(stay, lose, gain, "resilient" if safe else hashing or "modulo")
        least = low if covering is not None else share_moved(stay, lose, gain, "resilient")[0]
        moved_min, moved_max, unavoidable = map(_rounded, (low, high, least))
        shifts.append(
            FlowShift(change.vrf, change.prefix, lose, gain, moved_min, moved_max, unavoidable, safe, covering)
        )
    return Flows(hashing, resilient is not None, tuple(shifts)) if shifts else None


class _Covering:
    """The routes of one VRF, and which of them a prefix lies in."""

    def __init__(self, routes: Mapping[Prefix, Sequence[NextHop]], default_distance: int) -> None:
        self._routes = routes
        self._default_distance = default_distance
        self._lengths = sorted({(prefix.family, prefix.length) for prefix in routes}, reverse=True)

    def of(self, prefix: Prefix) -> Prefix | None:
        """The longest other prefix that covers it."""
        for family, length in self._lengths:
            if family == prefix.family and length < prefix.length:
                rest = prefix.bits - length
                found = Prefix(family, prefix.network >> rest << rest, length)
                if found in self._routes:
                    return found
        return None

    def labels(self, prefix: Prefix) -> frozenset[str]:
        """The next hops there that flows go by."""
        return _active(self._routes.get(prefix, ()), self._default_distance)


def _changed(
    routes: Mapping[Prefix, Sequence[NextHop]], changes: Collection[RouteChange]
) -> dict[Prefix, Sequence[NextHop]]:
    found = {**routes, **{change.prefix: change.after for change in changes}}
    return {prefix: hops for prefix, hops in found.items() if hops}


@lru_cache(maxsize=4096)
def share_moved(stay: int, lose: int, gain: int, hashing: Hashing) -> Share:
    """The share of a prefix's flows whose next hop is another one afterwards.

    Args:
        stay: next hops that the prefix has before and after.
        lose: those that it has before alone.
        gain: those that it has afterwards alone; there is at least one before, and one after.
        hashing: how the router chooses.
    """
    before, after = stay + lose, stay + gain
    if hashing == "resilient":
        share = 1 - Fraction(stay, max(before, after))  # a hop keeps of its share what it may still have
        return share, share
    same = _by_modulo(before, after) if hashing == "modulo" else _by_threshold(before, after)
    kept = [_kept(stay, lose, gain, same, choose) for choose in (max, min)]
    low, high = (1 - Fraction(flows, before * after) for flows in kept)
    return low, high


Same = Callable[[int, int], int]
"""(place before, place after) -> numbers of `before * after` that lead to both."""


def _by_modulo(before: int, after: int) -> Same:
    """Remainders go together where they are equal modulo the greatest common divisor, each such pair equally often."""
    common = gcd(before, after)
    return lambda old, new: 0 if (old - new) % common else common


def _by_threshold(before: int, after: int) -> Same:
    """How far the two regions lie on each other."""
    return lambda old, new: max(0, min((old + 1) * after, (new + 1) * before) - max(old * after, new * before))


def _kept(stay: int, lose: int, gain: int, same: Same, choose: Callable[[Sequence[int]], int]) -> int:
    """The most or fewest numbers that lead to one hop before and after, over all places of hops that leave and come.

    `kept[a][b]`: of the hops so far, which have at most `a` of those that leave and `b` of those that come before them.
    """
    kept = [[0] * (gain + 1) for _ in range(lose + 1)]
    for place in range(stay):
        found: list[list[int]] = []
        for a, row in enumerate(kept):
            line: list[int] = []
            for b, flows in enumerate(row):
                ways = [flows + same(place + a, place + b)]
                ways += [found[-1][b]] if a else []
                ways += [line[-1]] if b else []
                line.append(choose(ways))
            found.append(line)
        kept = found
    return kept[lose][gain]


def _active(hops: Sequence[NextHop], default_distance: int) -> frozenset[str]:
    """The next hops that flows go by: those with a worse distance than others stand by.

    None for a route that discards; where a route names the interface besides, the node is the same.
    """
    best = min((hop.distance or default_distance for hop in hops), default=0)
    return frozenset(hop.table_label for hop in hops if not hop.discard and (hop.distance or default_distance) == best)


def _rounded(share: Fraction) -> float:
    return round(float(share), 4)

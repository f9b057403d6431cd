"""Whose a route is. A prefix is ours only when every next hop that it has in the VRF carries our marks."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from k8s_ecmp.model import NextHop, Prefix, RunningRoutes, StaticRoute


class Features(NamedTuple):
    """The words by which a platform lets a static next hop follow a BFD session or a tracked object; empty: never."""

    bfd: tuple[str, ...] = ()
    track: str = ""

    def cover(self, options: tuple[str, ...]) -> bool:
        """Whether options consist of nothing else, in either order."""
        bfd = len(self.bfd)
        if bfd and options[:bfd] == self.bfd:
            options = options[bfd:]
        elif bfd and options[-bfd:] == self.bfd:
            options = options[:-bfd]
        return not options or (len(options) == 2 and options[0] == self.track)


NO_FEATURES = Features()


class Marks(NamedTuple):
    """What is written on each of our next hops: the tag, and the owner's name where the platform carries one.

    `options` are further words that our next hops shall carry, `features` those that they may carry.
    """

    tag: int
    owner: str
    name_mark: bool
    options: tuple[str, ...] = ()
    features: Features = NO_FEATURES

    def hop(self, address: str | None, distance: int | None, *, discard: bool = False) -> NextHop:
        """A next hop of ours, as it shall be written."""
        name = self.owner if self.name_mark else None
        options = () if discard else self.options
        return NextHop(address, discard=discard, distance=distance, tag=self.tag, name=name, options=options)


def is_owned(route: StaticRoute, marks: Marks) -> bool:
    """Whether the route is ours."""
    if route.disqualified is not None or not route.next_hops:
        return False
    tag, owner, name_mark, _, features = marks
    return all(
        hop.tag == tag
        and (not name_mark or hop.name == owner)
        and (not hop.options or (not hop.discard and features.cover(hop.options)))
        for hop in route.next_hops
    )


def is_marked(hop: NextHop, marks: Marks) -> bool:
    """Whether a next hop carries our marks."""
    return _mismatch(hop, marks) is None


def foreign_reason(route: StaticRoute, marks: Marks) -> str:
    """Why a route that is not ours is not; names the first next hop that says so."""
    if route.disqualified is not None:
        return f"a route that is not ours: {route.disqualified}"
    ours = sum(is_marked(hop, marks) for hop in route.next_hops)
    for hop in route.next_hops:
        mismatch = _mismatch(hop, marks)
        if mismatch is not None:
            mixed = f"; {ours} of {len(route.next_hops)} next hops carry our marks" if ours else ""
            return f"a route that is not ours: next hop {hop.label} {mismatch}{mixed}"
    return "a route without next hops"


def _mismatch(hop: NextHop, marks: Marks) -> str | None:
    if hop.tag != marks.tag:
        return "has no tag" if hop.tag is None else f"has tag {hop.tag}, ours is {marks.tag}"
    if marks.name_mark and hop.name != marks.owner:
        return f"has our tag but {'no name' if hop.name is None else f'the name {hop.name!r}'}, ours is {marks.owner!r}"
    covered = not hop.options or (not hop.discard and marks.features.cover(hop.options))
    return None if covered else f"has the option {' '.join(hop.options)!r}"


def fingerprint(running: RunningRoutes, marks: Marks, vrf: str, touched: Iterable[Prefix]) -> str:
    """Our routes of the VRF and every route at a touched prefix as "sha256:..."; lines and order do not matter.

    Raises:
        ParseError: a static line of the VRF may be about any of them.
    """
    running.expect_readable(vrf)
    at = set(touched)
    facts = sorted(
        (str(route.prefix), sorted(msgspec.json.encode(hop) for hop in route.next_hops), route.disqualified or "")
        for route in running
        if route.vrf == vrf and (route.prefix in at or is_owned(route, marks))
    )
    digest = hashlib.sha256(vrf.encode())
    for prefix, hops, disqualified in facts:
        digest.update(b"\0".join((b"", prefix.encode(), *hops, disqualified.encode())))
    return f"sha256:{digest.hexdigest()}"

"""The static routes of one router as the decisions see them: those of one VRF, and which of them are ours."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from k8s_ecmp.core.ownership import Marks, is_owned
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes, StaticRoute


class Size(NamedTuple):
    """How much a router carries of ours. `hops` are summed over prefixes; `dropped` prefixes are those without any."""

    prefixes: int = 0
    hops: int = 0
    dropped: int = 0

    @property
    def served(self) -> int:
        """Prefixes whose traffic goes somewhere."""
        return self.prefixes - self.dropped

    def after(self, changes: Collection[RouteChange]) -> "Size":
        """The size once the changes are made."""
        prefixes, hops, dropped = self
        for change in changes:
            before, after = real_hops(change.before), real_hops(change.after)
            prefixes += {"create": 1, "update": 0, "delete": -1}[change.action]
            hops += after - before
            dropped += bool(change.after and not after) - bool(change.before and not before)
        return Size(prefixes, hops, dropped)


def real_hops(hops: Collection[NextHop]) -> int:
    """How many of them traffic goes to: a discard route is none."""
    return sum(not hop.discard for hop in hops)


@dataclass(frozen=True)
class Table:
    """The routes of one VRF by prefix; `owned` are ours among `here`."""

    running: RunningRoutes
    vrf: str
    here: Mapping[Prefix, StaticRoute]
    owned: Mapping[Prefix, StaticRoute]
    size: Size

    @classmethod
    def of(cls, running: RunningRoutes, marks: Marks, vrf: str) -> "Table":
        """The routes of a VRF.

        Raises:
            ParseError: a static line in it cannot be read, and may be about any prefix.
        """
        running.expect_readable(vrf)
        here = {route.prefix: route for route in running if route.vrf == vrf}
        owned = {prefix: route for prefix, route in here.items() if is_owned(route, marks)}
        hops = [real_hops(route.next_hops) for route in owned.values()]
        return cls(running, vrf, here, owned, Size(len(owned), sum(hops), hops.count(0)))

    def alike(self, other: "Table", prefix: Prefix) -> bool:
        """Whether both have the same next hops at a prefix, of routes that are active alike."""
        mine, theirs = self.here.get(prefix), other.here.get(prefix)
        if mine is None or theirs is None:
            return mine is theirs
        if mine.disqualified != theirs.disqualified:
            return False
        return mine.next_hops == theirs.next_hops or frozenset(mine.next_hops) == frozenset(theirs.next_hops)


_NOBODY: Mapping[str, float] = MappingProxyType({})
Drained = Callable[[Sequence[RouteChange]], Mapping[str, Size]]
"""What of some changes was because of which node that drains."""


class Window:
    """The withdrawals of the last seconds on one router, for guard "mass-withdrawal". Time is an argument, in seconds.

    What the guard compares is the table at the window's start with the table after the change, so that many small
    withdrawals are seen as the large one that they are. What left because its node drained is kept apart by node: once
    the drain is acknowledged it counts no longer.
    """

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._commits: deque[tuple[float, Size, Mapping[str, Size], int]] = deque()
        self._in_doubt: tuple[float, Table, Sequence[RouteChange], Drained] | None = None

    def committed(self, now_s: float, before: Size, drained: Mapping[str, Size], changes: int = 0) -> None:
        """A change was made to a table of the size `before`.

        Args:
            now_s: when.
            before: what the table held.
            drained: what of it was because of which node.
            changes: of how many prefixes.
        """
        self._commits.append((now_s, before, drained, changes))
        self._forget(now_s)

    def broke_off(self, now_s: float, before: Table, changes: Sequence[RouteChange], drained: Drained) -> None:
        """A commit ended in an error; what of it is in force counts once it is `seen`."""
        self._in_doubt = (now_s, before, changes, drained)

    def seen(self, table: Table) -> None:
        """What was read of the router."""
        if self._in_doubt is None:
            return
        at_s, before, changes, drained = self._in_doubt
        self._in_doubt = None
        if stand := [change for change in changes if not table.alike(before, change.prefix)]:
            self.committed(at_s, before.size, drained(stand), len(stand))

    def made(self, now_s: float) -> int:
        """How many prefixes were changed since the window's start."""
        self._forget(now_s)
        return sum(changes for *_, changes in self._commits)

    def start(self, now_s: float, current: Size, acknowledged: Mapping[str, float] = _NOBODY) -> Size:
        """The size against which a change is held: that at the window's start, less acknowledged drains since.

        Args:
            now_s: the time.
            current: what the table holds.
            acknowledged: nodes whose drain was acknowledged -> until when that stood; what left because of them
                before that does not count. A drain that is over does not become a withdrawal again.
        """
        self._forget(now_s)
        if not self._commits:
            return current
        first = self._commits[0][1]
        gone = [
            size
            for at_s, _, drained, _ in self._commits
            for node, size in drained.items()
            if at_s <= acknowledged.get(node, float("-inf"))
        ]
        prefixes = max(current.prefixes, first.prefixes - sum(size.prefixes for size in gone))
        served = max(current.served, first.served - sum(size.served for size in gone))
        return Size(prefixes, max(current.hops, first.hops - sum(size.hops for size in gone)), prefixes - served)

    def _forget(self, now_s: float) -> None:
        while self._commits and self._commits[0][0] <= now_s - self._length_s:
            self._commits.popleft()

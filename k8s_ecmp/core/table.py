"""The static routes of one router as the decisions see them: those of one VRF, and which of them are ours."""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from k8s_ecmp.core.ownership import Marks, is_owned
from k8s_ecmp.model import Prefix, RouteChange, RunningRoutes, StaticRoute


class Size(NamedTuple):
    """How much a router carries of ours. `hops` are summed over prefixes."""

    prefixes: int = 0
    hops: int = 0

    def after(self, changes: Collection[RouteChange]) -> "Size":
        """The size once the changes are made."""
        prefixes = sum({"create": 1, "update": 0, "delete": -1}[change.action] for change in changes)
        hops = sum(len(change.after) - len(change.before) for change in changes)
        return Size(self.prefixes + prefixes, self.hops + hops)


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
        return cls(running, vrf, here, owned, Size(len(owned), sum(len(r.next_hops) for r in owned.values())))


class Window:
    """The withdrawals of the last seconds on one router, for guard "mass-withdrawal". Time is an argument, in seconds.

    What the guard compares is the table at the window's start with the table after the change, so that many small
    withdrawals are seen as the large one that they are. What left because its node drained is kept apart by node: once
    the drain is acknowledged it counts no longer.
    """

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._commits: deque[tuple[float, Size, Mapping[str, Size], int]] = deque()

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

    def made(self, now_s: float) -> int:
        """How many prefixes were changed since the window's start."""
        self._forget(now_s)
        return sum(changes for *_, changes in self._commits)

    def start(self, now_s: float, current: Size, acknowledged: Collection[str] = ()) -> Size:
        """The size against which a change is held: that at the window's start, less acknowledged drains since."""
        self._forget(now_s)
        if not self._commits:
            return current
        first = self._commits[0][1]
        gone = [size for _, _, drained, _ in self._commits for node, size in drained.items() if node in acknowledged]
        prefixes, hops = sum(size.prefixes for size in gone), sum(size.hops for size in gone)
        return Size(max(current.prefixes, first.prefixes - prefixes), max(current.hops, first.hops - hops))

    def _forget(self, now_s: float) -> None:
        while self._commits and self._commits[0][0] <= now_s - self._length_s:
            self._commits.popleft()

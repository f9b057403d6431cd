"""One desired route against what runs at its prefix."""

from collections.abc import Sequence

from k8s_ecmp.core.ownership import Marks
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.model import DesiredRoute, NextHop, RouteChange, Skipped, StaticRoute


class Comparison:
    """Compares one prefix at a time; keeps the list of hops that were held back."""

    def __init__(
        self,
        router: RouterView,
        marks: Marks,
        default_distance: int,
        unresolved: frozenset[str],
    ) -> None:
        self._router = router
        self._marks = marks
        self._default = default_distance
        self._distance = router.distance or default_distance
        self._unresolved = unresolved
        self._held: dict[str, int] = {}
        self._hops: dict[tuple[str, ...], tuple[NextHop, ...]] = {}

    def change(
        self, route: DesiredRoute, addresses: tuple[str, ...], present: StaticRoute | None
    ) -> RouteChange | None:
        """The change that makes `present` (ours or nothing) what it shall be; None where it is."""
        before = present.next_hops if present is not None else ()
        if present is not None and self._equal(before, route, addresses):
            return None
        wanted = self._wanted(route, addresses)
        standing = {hop.address: hop for hop in before if self._plain(hop)}
        after = []
        for hop in wanted:
            if hop.address in self._unresolved and hop.address not in standing:
                self._held[hop.address] = self._held.get(hop.address, 0) + 1
                continue
            # A hop that stands as it shall keeps its own written form, so that nothing is rewritten for it.
            same = standing.get(hop.address)
            after.append(same if same is not None and self._matches(same, hop) else hop)
        if not after and not before:
            return None
        if self._equal(before, route, [hop.address for hop in after]):
            return None
        return RouteChange.between(self._router.vrf, route.prefix, before, tuple(after))

    def skipped(self) -> tuple[Skipped, ...]:
        """The next hops that were held back because the router cannot resolve them."""
        return tuple(
            Skipped(
                f"router {self._router.name}",
                f"next hop {address} cannot be resolved there; held back at "
                f"{count} prefix{'es' if count > 1 else ''}: is a connected subnet missing?",
            )
            for address, count in sorted(self._held.items())
        )

    def _equal(self, before: Sequence[NextHop], route: DesiredRoute, addresses: Sequence[str | None]) -> bool:
        """Whether what stands is what is wanted. A line may stand twice in a configuration; the set of hops counts."""
        if route.kind == "discard":
            return bool(before) and all(hop.discard and self._as_written(hop) for hop in before)
        if {hop.address for hop in before} != set(addresses):
            return False
        return all(self._plain(hop) and self._as_written(hop) for hop in before)

    def _wanted(self, route: DesiredRoute, addresses: tuple[str, ...]) -> tuple[NextHop, ...]:
        if route.kind == "discard":
            return (self._marks.hop(None, self._router.distance, discard=True),)
        hops = self._hops.get(addresses)
        if hops is None:
            hops = tuple(self._marks.hop(address, self._router.distance) for address in addresses)
            self._hops[addresses] = hops
        return hops

    @staticmethod
    def _plain(hop: NextHop) -> bool:
        return hop.interface is None and hop.vrf is None and not hop.discard

    def _as_written(self, hop: NextHop) -> bool:
        """Whether distance and further words are those that we write."""
        options = () if hop.discard else self._marks.options
        return (hop.distance or self._default) == self._distance and sorted(hop.options) == sorted(options)

    def _matches(self, running: NextHop, wanted: NextHop) -> bool:
        return self._plain(running) and self._as_written(running) and running.discard == wanted.discard

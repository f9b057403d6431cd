"""A route that is not ours at a desired prefix becomes ours, because a person asked for it by its prefix."""

from collections.abc import Iterable

import msgspec

from k8s_ecmp.core.compare import Comparison
from k8s_ecmp.core.ownership import Marks, foreign_reason
from k8s_ecmp.core.reasons import ADOPTS
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.core.table import Size
from k8s_ecmp.model import Conflict, DesiredRoute, Prefix, RouteChange, StaticRoute


class Adoptions:
    """What becomes of the routes that are not ours at a router's desired prefixes; remembers those that are adopted.

    Args:
        router: its part of the inventory.
        compare: says which next hops may be written.
        marks: ours on this platform.
        rules: `adopt` names the prefixes that a person has asked for.
    """

    def __init__(self, router: RouterView, compare: Comparison, marks: Marks, rules: Rules) -> None:
        self._vrf = router.vrf
        self._compare = compare
        self._marks = marks
        self._rules = rules
        self._made: dict[Prefix, tuple[RouteChange, str]] = {}

    def of(self, route: DesiredRoute, addresses: tuple[str, ...], present: StaticRoute) -> RouteChange | Conflict:
        """The change that replaces a route whole; a conflict where nobody asked for it, or where it cannot be done.

        Args:
            route: what is desired.
            addresses: the router's selection of its next hops.
            present: what stands there, and is not ours.
        """
        reason = foreign_reason(present, self._marks)
        if route.prefix not in self._rules.adopt:
            return Conflict(self._vrf, route.prefix, reason)
        obstacle = self._obstacle(present)
        written = None if obstacle else self._compare.change(route, addresses, None)
        if written is None:
            why = obstacle or "no next hop can be written there"
            return Conflict(self._vrf, route.prefix, f"{reason}; it is not adopted: {why}")
        change = RouteChange.between(self._vrf, route.prefix, present.next_hops, written.after)
        stood = ", ".join(hop.details for hop in present.next_hops)
        self._made[route.prefix] = change, f"{ADOPTS}{reason}; there stood {stood}"
        return change

    def whole(self, changes: Iterable[RouteChange]) -> tuple[RouteChange, ...]:
        """The changes without parts of an adoption, as a freeze window leaves them: such a route would be nobody's."""
        return tuple(
            change for change in changes if change.prefix not in self._made or self._made[change.prefix][0] == change
        )

    def beside(self, owned: Size) -> Size:
        """What the router carries of ours with what is adopted: what guards compare the result with."""
        taken = [RouteChange.between(c.vrf, c.prefix, (), c.before) for c, _ in self._made.values()]
        return owned.after(taken)

    def explained(self, change: RouteChange) -> RouteChange:
        """The change with the reason of its adoption before the others."""
        if change.prefix not in self._made:
            return change
        return msgspec.structs.replace(change, reasons=(self._made[change.prefix][1], *change.reasons))

    def _obstacle(self, present: StaticRoute) -> str | None:
        if present.disqualified is not None:
            return "its lines are not those of a plain static route, and have to be removed by hand"
        if self._rules.mode == "withdraw-only":
            return "mode withdraw-only adds nothing"
        return "policy create-only changes nothing that stands" if self._rules.policy == "create-only" else None

"""How two plans differ: in which order they change the routers, and per router what only one does or both do."""

from collections.abc import Iterable, Mapping

import msgspec

from k8s_ecmp.core.waves import order
from k8s_ecmp.model import GuardTrip, Plan, Prefix, Rollout, RouteChange, RouterPlan

Waves = tuple[tuple[str, ...], ...]


class RouterDifference(msgspec.Struct, frozen=True):
    """What differs on one router; `router` None: what holds all of them.

    `statuses` are the old and the new one where they differ, None for a plan that does not have the router. `gone` and
    `fresh` are the changes of the old and the new plan alone, `different` those of both at one prefix. `lifted` and
    `stops` are the conflicts and guards of the old and of the new plan alone, a sentence each.
    """

    router: str | None
    statuses: tuple[str | None, str | None] | None = None
    gone: tuple[RouteChange, ...] = ()
    fresh: tuple[RouteChange, ...] = ()
    different: tuple[tuple[RouteChange, RouteChange], ...] = ()
    lifted: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        found = (self.statuses, self.gone, self.fresh, self.different, self.lifted, self.stops)
        return any(found)


class PlanDifference(msgspec.Struct, frozen=True):
    """What differs of two plans.

    `waves` are those of the old and of the new plan, names of routers, None where they are the same or one plan does
    not say them. `terms` are the settings of the rollout that differ: name, old and new value. `routers` has what holds
    all of them first, then those that differ in the new plan's order.
    """

    waves: tuple[Waves, Waves] | None
    terms: tuple[tuple[str, object, object], ...]
    routers: tuple[RouterDifference, ...]

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.waves or self.terms or self.routers)


def difference(old: Plan, new: Plan) -> PlanDifference:
    """What differs; nothing where only times do.

    Both plans are as a plan file has them. Reasons and the words of guards do not count, they speak of ages.
    """
    waves: tuple[Waves, Waves] | None = None
    terms: tuple[tuple[str, object, object], ...] = ()
    if old.rollout is not None and new.rollout is not None:
        was, now = old.rollout, new.rollout
        both = (_waves(old.routers, was), _waves(new.routers, now))
        waves = both if both[0] != both[1] else None
        values = [(name, getattr(was, name), getattr(now, name)) for name in Rollout.__struct_fields__]
        terms = tuple(one for one in values if one[1] != one[2])
    return PlanDifference(waves, terms, _routers(old, new))


def _waves(routers: Iterable[RouterPlan], rollout: Rollout) -> Waves:
    return tuple(map(tuple, order(tuple(routers), rollout)))


def _routers(old: Plan, new: Plan) -> tuple[RouterDifference, ...]:
    before = {router.name: router for router in old.routers}
    after = {router.name: router for router in new.routers}
    held, holds = _guards(old.holds), _guards(new.holds)
    found = [RouterDifference(None, lifted=_only(held, holds), stops=_only(holds, held))]
    found += [_of(name, before.get(name), after.get(name)) for name in dict.fromkeys((*after, *before))]
    return tuple(one for one in found if one)


def _of(name: str, old: RouterPlan | None, new: RouterPlan | None) -> RouterDifference:
    before, after = _changes(old), _changes(new)
    was, now = old.status if old is not None else None, new.status if new is not None else None
    stopped, stops = _stops(old), _stops(new)
    return RouterDifference(
        name,
        statuses=(was, now) if was != now else None,
        gone=tuple(before[key] for key in sorted(before.keys() - after.keys())),
        fresh=tuple(after[key] for key in sorted(after.keys() - before.keys())),
        different=tuple(
            (before[key], after[key])
            for key in sorted(before.keys() & after.keys())
            if _effect(before[key]) != _effect(after[key])
        ),
        lifted=_only(stopped, stops),
        stops=_only(stops, stopped),
    )


def _changes(plan: RouterPlan | None) -> Mapping[tuple[str, Prefix], RouteChange]:
    return {} if plan is None else {(change.vrf, change.prefix): change for change in plan.changes}


def _effect(change: RouteChange) -> tuple[object, ...]:
    """What a change does, whatever the order of its hops."""
    return (change.action, frozenset(hop.label for hop in change.before), frozenset(change.after))


def _stops(plan: RouterPlan | None) -> dict[object, str]:
    if plan is None:
        return {}
    found: dict[object, str] = {(c.vrf, c.prefix): f"conflict {c.prefix}: {c.reason}" for c in plan.conflicts}
    found.update(_guards(plan.guards))
    if plan.error:
        found["error"] = plan.error
    return found


def _guards(trips: Iterable[GuardTrip]) -> dict[object, str]:
    return {
        (trip.guard, trip.prefix): f"guard {trip.guard}{f' {trip.prefix}' if trip.prefix else ''}: {trip.detail}"
        for trip in trips
    }


def _only(these: Mapping[object, str], others: Mapping[object, str]) -> tuple[str, ...]:
    return tuple(text for key, text in these.items() if key not in others)

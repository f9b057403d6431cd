"""Guards: they stop a change that looks like an accident. Pure; overridden only by name, for one plan."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.core.freeze import Freeze
from k8s_ecmp.core.table import Size
from k8s_ecmp.model import Action, GuardTrip, NextHop, Prefix, RouteChange
from k8s_ecmp.settings import GuardSettings

GUARDS = (
    "empty-desired",
    "mass-withdrawal",
    "last-next-hop",
    "panic",
    "not-synced",
    "platform-limit",
    "max-changes",
    "foreign-lines",
    "frozen",
)


class Limits(NamedTuple):
    """What a router's platform can hold; None: no limit known."""

    max_paths: int
    max_routes: int | None


def cluster_holds(
    desired: Desired,
    settings: GuardSettings,
    *,
    not_synced: str | None,
    freeze: Freeze | None,
    overrides: Collection[str] = (),
) -> tuple[GuardTrip, ...]:
    """The guards that hold every router. A caller shows them only where something would change.

    Args:
        desired: the decision; its nodes alone are looked at.
        settings: thresholds.
        not_synced: why the view of the cluster is not complete; None if it is.
        freeze: the freeze in force, if any.
        overrides: names of guards that are switched off for this plan.
    """
    trips = []
    if not_synced is not None:
        trips.append(("not-synced", not_synced))
    counted = [verdict for verdict in desired.nodes.values() if verdict.selected]
    bad = sorted(verdict.name for verdict in counted if verdict.bad)
    if counted and settings.max_not_ready_fraction < 1 and len(bad) > settings.max_not_ready_fraction * len(counted):
        trips.append(
            (
                "panic",
                f"{len(bad)} of {len(counted)} nodes are not Ready at once ({_some(bad)}), more than the "
                f"{settings.max_not_ready_fraction:.0%} of guards.max_not_ready_fraction",
            )
        )
    if not desired.eligible:
        trips.append(("empty-desired", "no node is eligible, so no route would have a next hop"))
    if freeze is not None and freeze.everything:
        trips.append(("frozen", freeze.detail))
    return tuple(GuardTrip(guard, None, None, detail) for guard, detail in trips if guard not in overrides)


def run_holds(
    changes: Mapping[str, Sequence[RouteChange]], settings: GuardSettings, overrides: Collection[str] = ()
) -> tuple[GuardTrip, ...]:
    """The guard that holds a whole run by what it would do ("max-changes").

    Args:
        changes: what would change, by router.
        settings: thresholds.
        overrides: names of guards that are switched off for this plan.
    """
    most, total = settings.max_changes, sum(map(len, changes.values()))
    if most is None or total <= most or "max-changes" in overrides:
        return ()
    routers = [f"{name} ({len(some)})" for name, some in changes.items() if some]
    prefixes = sorted({change.prefix for some in changes.values() for change in some})
    detail = (
        f"{total} prefixes would change on {len(routers)} router{'s' if len(routers) > 1 else ''}, more than the "
        f"{most} of guards.max_changes: on {_some(routers)}: {_some(list(map(str, prefixes)))}"
    )
    return (GuardTrip("max-changes", None, None, detail),)


def hold_prefixes(
    router: str,
    changes: Sequence[RouteChange],
    wanted: Mapping[Prefix, str],
    dead: Collection[str],
    freeze: Freeze | None,
    overrides: Collection[str] = (),
) -> tuple[tuple[RouteChange, ...], tuple[GuardTrip, ...]]:
    """The changes that go on, and the guards that hold single prefixes ("last-next-hop", "frozen" in a window).

    Args:
        router: its name.
        changes: what is planned.
        wanted: prefixes that service and settings still want, with the reason why one has no next hop.
        dead: addresses of nodes that are gone or not Ready; a freeze window lets their withdrawal through.
        freeze: the freeze in force, if any.
        overrides: names of guards that are switched off for this plan.
    """
    kept: list[RouteChange] = []
    trips: list[GuardTrip] = []
    for change in changes:
        if (
            "last-next-hop" not in overrides
            and change.prefix in wanted
            and _real(change.before)
            and not _real(change.after)
        ):
            trips.append(
                GuardTrip(
                    "last-next-hop",
                    router,
                    change.prefix,
                    f"would lose its last next hops {', '.join(change.remove)} though it is still wanted: "
                    f"{wanted[change.prefix]}",
                )
            )
            continue
        if freeze is not None and not freeze.everything and "frozen" not in overrides:
            allowed = _withdrawal_of(change, dead)
            if allowed != change:
                trips.append(GuardTrip("frozen", router, change.prefix, f"{freeze.detail}; {change.action} is held"))
            if allowed is None:
                continue
            change = allowed
        kept.append(change)
    return tuple(kept), tuple(trips)


def router_guards(
    router: str,
    changes: Sequence[RouteChange],
    owned: Size,
    limits: Limits,
    settings: GuardSettings,
    overrides: Collection[str] = (),
    start: Size | None = None,
    made: int | None = None,
) -> tuple[GuardTrip, ...]:
    """The guards that block one router ("empty-desired", "mass-withdrawal", "platform-limit", and in a daemon
    "max-changes"); none without changes.

    Args:
        router: its name.
        changes: what is planned.
        owned: what it carries of ours now.
        limits: what its platform takes.
        settings: thresholds.
        overrides: names of guards that are switched off for this plan.
        start: what it carried when the window began; None: the same as now.
        made: prefixes that were changed on it since the window began; None: there is no window, `run_holds` counts.
    """
    if not changes:
        return ()
    result = owned.after(changes)
    prefixes, prefixes_after = owned.prefixes, result.prefixes
    trips = []
    if prefixes and prefixes_after == 0:
        going = _named(changes, "delete")
        trips.append(("empty-desired", f"all {prefixes} owned prefixes would go, nothing would remain: {going}"))
    first = start or owned
    for what, now, before, after in (
        ("prefixes", prefixes, first.prefixes, prefixes_after),
        ("prefixes with a next hop", owned.served, first.served, result.served),
        ("next hops", owned.hops, first.hops, result.hops),
    ):
        lost = before - after
        if after < now and settings.max_withdrawn_fraction < 1 and lost > settings.max_withdrawn_fraction * before:
            within, at = ("", "") if before == now else (f" within {settings.window_s:g} s", "now ")
            trips.append(
                (
                    "mass-withdrawal",
                    f"{lost} of {before} owned {what} would go ({lost / before:.0%}){within}, more than the "
                    f"{settings.max_withdrawn_fraction:.0%} of guards.max_withdrawn_fraction: {at}"
                    f"{_named(changes, 'delete') if what == 'prefixes' else _losing(changes)}",
                )
            )
            break
    most = settings.max_changes
    if most is not None and made is not None and made + len(changes) > most:
        trips.append(
            (
                "max-changes",
                f"{made + len(changes)} prefixes would change within {settings.window_s:g} s, more than the {most} of "
                f"guards.max_changes: now {_named(changes)}",
            )
        )
    widest = max(changes, key=lambda change: len(change.after))
    if len(widest.after) > limits.max_paths:
        trips.append(
            (
                "platform-limit",
                f"{widest.prefix} would have {len(widest.after)} next hops, the platform takes {limits.max_paths}; "
                "lower max_paths in the inventory",
            )
        )
    if limits.max_routes is not None and prefixes_after > limits.max_routes and prefixes_after > prefixes:
        detail = f"{prefixes_after} static routes, the platform takes {limits.max_routes}; new are"
        trips.append(("platform-limit", f"{detail} {_named(changes, 'create')}"))
    return tuple(GuardTrip(guard, router, None, detail) for guard, detail in trips if guard not in overrides)


def _real(hops: Sequence[NextHop]) -> bool:
    return any(not hop.discard for hop in hops)


def _named(changes: Iterable[RouteChange], action: Action | None = None) -> str:
    """The first prefixes of changes, of one action or of any."""
    return _some([str(change.prefix) for change in changes if action in (None, change.action)])


def _losing(changes: Iterable[RouteChange]) -> str:
    """The prefixes that lose the most next hops, each with how many."""
    lost = sorted(((len(change.remove), change) for change in changes), key=lambda one: -one[0])
    return _some([f"{change.prefix} loses {number} of {len(change.before)}" for number, change in lost if number])


def _withdrawal_of(change: RouteChange, dead: Collection[str]) -> RouteChange | None:
    """What of the change only takes dead nodes away; None if nothing does."""
    staying = set(change.next_hops)
    survivors = tuple(hop for hop in change.before if hop.label in staying or hop.address not in dead)
    if len(survivors) == len(change.before):
        return None
    if not survivors:
        return change if change.action == "delete" else None
    if survivors == change.after:
        return change
    return RouteChange("update", change.vrf, change.prefix, change.before, survivors)


def _some(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")

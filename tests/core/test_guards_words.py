"""What a guard says: not only how much, but what; the first prefixes by name."""

from k8s_ecmp.core.guards import Limits, router_guards, run_holds
from k8s_ecmp.core.table import Size
from k8s_ecmp.model import NextHop, RouteChange
from k8s_ecmp.settings import GuardSettings
from tests.core.build import TAG, p

HOPS = tuple(NextHop(f"10.0.0.{number}", tag=TAG) for number in range(1, 5))


def change(prefix: str, before: int, after: int) -> RouteChange:
    return RouteChange.between("default", p(prefix), HOPS[:before], HOPS[:after])


def said(changes: list[RouteChange], owned: Size, limits: Limits | None = None, **kwargs: object) -> list[str]:
    settings = GuardSettings(**{"max_withdrawn_fraction": 0.5, **kwargs})  # type: ignore[arg-type]
    made = 1 if settings.max_changes is not None else None
    start = Size(owned.prefixes + 1, owned.hops + 1) if made else None
    return [
        trip.detail
        for trip in router_guards("r1", changes, owned, limits or Limits(64, None), settings, (), start, made)
    ]


GONE = [change(f"10.96.0.{number}/32", 1, 0) for number in range(1, 8)]


def test_withdrawn_prefixes_are_named() -> None:
    (detail,) = said(GONE, Size(8, 8))
    assert detail.endswith(
        "guards.max_withdrawn_fraction: 10.96.0.1/32, 10.96.0.2/32, 10.96.0.3/32, 10.96.0.4/32, 10.96.0.5/32 and 2 more"
    )
    everything, _ = said(GONE, Size(7, 7))
    assert everything.startswith("all 7 owned prefixes would go, nothing would remain: 10.96.0.1/32, ")


def test_of_prefixes_that_lose_next_hops_those_come_first_that_lose_most() -> None:
    loses = [change("10.96.0.1/32", 2, 1), change("10.96.0.0/12", 4, 1), change("10.96.0.2/32", 1, 1)]
    (detail,) = said(loses, Size(2, 6))
    assert detail.startswith("4 of 6 owned next hops would go (67%)")
    assert detail.endswith(": 10.96.0.0/12 loses 3 of 4, 10.96.0.1/32 loses 1 of 2")


def test_in_a_window_it_says_which_are_those_of_now() -> None:
    mass, many = said(GONE[:3], Size(4, 4), max_changes=3)
    assert mass.endswith("guards.max_withdrawn_fraction: now 10.96.0.1/32, 10.96.0.2/32, 10.96.0.3/32")
    assert many.endswith("guards.max_changes: now 10.96.0.1/32, 10.96.0.2/32, 10.96.0.3/32")


def test_routes_too_many_for_the_platform_are_named() -> None:
    fresh = [change("10.96.0.1/32", 0, 1), change("10.96.0.2/32", 1, 2), change("10.96.0.3/32", 0, 1)]
    assert said(fresh, Size(9, 9), Limits(64, 10)) == [
        "11 static routes, the platform takes 10; new are 10.96.0.1/32, 10.96.0.3/32"
    ]


def test_a_run_with_too_many_changes_names_routers_and_prefixes() -> None:
    changes = {"r1": GONE[:2], "r2": [], "r3": GONE[1:3]}
    (trip,) = run_holds(changes, GuardSettings(max_changes=3))
    assert trip.detail == (
        "4 prefixes would change on 2 routers, more than the 3 of guards.max_changes: on r1 (2), r3 (2): "
        "10.96.0.1/32, 10.96.0.2/32, 10.96.0.3/32"
    )
    assert run_holds(changes, GuardSettings(max_changes=4)) == ()

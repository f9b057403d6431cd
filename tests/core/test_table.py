"""The size of what a router carries of ours, and the window in which withdrawals are counted together."""

from dataclasses import replace

import msgspec
import pytest

from k8s_ecmp.core.guards import router_guards
from k8s_ecmp.core.plan import by_drains, plan_prefixes, plan_router
from k8s_ecmp.core.table import Size, Table, Window
from k8s_ecmp.model import NextHop, RouteChange, RunningRoutes, StaticRoute
from k8s_ecmp.settings import GuardSettings
from tests.core.build import (
    TAG,
    cluster,
    decided,
    endpoints,
    node,
    ours,
    p,
    router,
    rules,
    running,
    service,
    settings,
    theirs,
    traits,
)

HOPS = tuple(NextHop(f"10.0.0.{number}", tag=TAG) for number in range(1, 5))
DROPPED = (NextHop(discard=True, tag=TAG),)


def change(before: int, after: int, prefix: str = "10.96.0.10/32") -> RouteChange:
    return RouteChange.between("default", p(prefix), HOPS[:before], HOPS[:after])


def dropping(before: int, prefix: str = "10.96.0.10/32") -> RouteChange:
    return RouteChange.between("default", p(prefix), HOPS[:before], DROPPED)


def table(*routes: StaticRoute) -> Table:
    return Table.of(RunningRoutes(routes), traits().marks(rules(), router()), "default")


def test_table_knows_ours_among_all_of_its_vrf() -> None:
    found = table(
        ours("10.96.0.0/12", "10.0.0.1", "10.0.0.2"),
        theirs("192.0.2.0/24", "10.0.0.9"),
        ours("10.96.0.10/32", "10.0.0.1", vrf="red"),
    )
    assert set(found.here) == {p("10.96.0.0/12"), p("192.0.2.0/24")}
    assert set(found.owned) == {p("10.96.0.0/12")}
    assert found.size == Size(1, 2)


def test_a_discard_route_counts_as_a_prefix_without_next_hops() -> None:
    dropped = StaticRoute(p("10.96.0.10"), "default", DROPPED)
    assert table(ours("10.96.0.0/12", "10.0.0.1"), dropped).size == Size(2, 1, 1)
    assert Size(3, 9).after([dropping(3)]) == Size(3, 6, 1)
    assert Size(3, 6, 1).after([RouteChange.between("default", dropped.prefix, DROPPED, HOPS[:2])]) == Size(3, 8)
    assert Size(3, 6, 1).after([RouteChange.between("default", dropped.prefix, DROPPED, ())]) == Size(2, 6)


def test_size_after_changes() -> None:
    assert Size(3, 9).after([change(0, 3), change(3, 1), change(2, 0)]) == Size(3, 8)


def test_window_starts_where_its_oldest_commit_did() -> None:
    window = Window(60)
    assert window.start(0, Size(10, 30)) == Size(10, 30)
    window.committed(0, Size(10, 30), {})
    window.committed(30, Size(8, 24), {})
    assert window.start(59, Size(6, 18)) == Size(10, 30)
    assert window.start(60, Size(6, 18)) == Size(8, 24)
    assert window.start(90, Size(6, 18)) == Size(6, 18)


def test_window_grows_with_the_table_and_forgives_drains_that_are_acknowledged() -> None:
    window = Window(60)
    window.committed(0, Size(10, 30), {"n1": Size(1, 10)})
    assert window.start(1, Size(9, 20)) == Size(10, 30)
    still = float("inf")
    assert window.start(1, Size(9, 20), {"n2": still}) == Size(10, 30)
    assert window.start(1, Size(9, 20), {"n1": still}) == Size(9, 20)
    assert window.start(1, Size(12, 36), {"n1": still}) == Size(12, 36)


def test_window_forgives_a_drain_for_what_left_before_it_was_over() -> None:
    window = Window(60)
    window.committed(0, Size(10, 30), {"n1": Size(1, 10)})
    window.committed(20, Size(9, 20), {"n1": Size(1, 5)})
    assert window.start(30, Size(8, 15), {"n1": 10}) == Size(9, 20)
    assert window.start(30, Size(8, 15), {"n1": 20}) == Size(8, 15)


def test_window_remembers_what_was_served_and_forgives_drains_that_left_discard_routes() -> None:
    window = Window(60)
    window.committed(0, Size(10, 30), {"n1": Size(0, 6, -6)})
    assert window.start(1, Size(10, 24, 6)) == Size(10, 30)
    assert window.start(1, Size(10, 24, 6), {"n1": float("inf")}) == Size(10, 24, 6)


def test_tables_are_alike_only_where_a_route_is_as_active() -> None:
    prefix = p("10.96.0.10/32")
    route = ours("10.96.0.10/32", "10.0.0.1")
    active, inactive = table(route), table(msgspec.structs.replace(route, disqualified="inactive"))
    assert active.alike(table(route), prefix)
    assert not active.alike(inactive, prefix)
    assert not active.alike(table(), prefix)


def test_window_counts_what_is_in_force_of_a_commit_that_broke_off() -> None:
    texts = ["10.96.0.10/32", "10.96.0.11/32", "10.96.0.12/32"]
    before = table(*(ours(text, "10.0.0.1", "10.0.0.2") for text in texts))
    changes = [RouteChange.between("default", p(text), HOPS[:2], HOPS[1:2]) for text in texts]
    partly = table(ours(texts[0], "10.0.0.2"), ours(texts[1], "10.0.0.2", "10.0.0.1"))

    def window(seen: Table) -> Window:
        made = Window(60)
        made.broke_off(0, before, changes, lambda stand: {"n1": Size(0, len(stand))})
        made.seen(seen)
        made.seen(table())
        return made

    assert window(before).made(1) == 0
    assert window(before).start(1, Size(2, 3)) == Size(2, 3)
    assert window(partly).made(1) == 2
    assert window(partly).start(1, partly.size) == Size(3, 6)
    assert window(partly).start(1, partly.size, {"n1": float("inf")}) == Size(3, 4)


def trips(changes: list[RouteChange], owned: Size, start: Size | None = None) -> list[str]:
    found = router_guards("r1", changes, owned, traits().limits, GuardSettings(), (), start)
    return [trip.guard for trip in found]


def test_many_small_withdrawals_trip_as_one_large_one() -> None:
    step = [change(2, 1)]
    assert trips(step, Size(10, 20)) == []
    assert trips(step, Size(10, 11), Size(10, 20)) == []
    assert trips(step, Size(10, 10), Size(10, 20)) == ["mass-withdrawal"]


def test_traffic_that_is_dropped_counts_as_withdrawn() -> None:
    lost = [dropping(1, f"10.96.0.{number}/32") for number in range(1, 7)]
    assert trips(lost[:5], Size(10, 10)) == []
    assert trips(lost, Size(10, 10)) == ["mass-withdrawal"]
    # One wide prefix hides them among the next hops.
    assert trips(lost, Size(10, 41)) == ["mass-withdrawal"]
    assert trips(lost[:1], Size(10, 36, 5), Size(10, 41)) == ["mass-withdrawal"]


def test_additions_never_trip_however_much_has_gone() -> None:
    assert trips([change(1, 2)], Size(4, 8), Size(10, 20)) == []


def test_what_left_because_its_node_drains_is_counted_apart() -> None:
    state = cluster(
        node("n1", annotations={"k8s-ecmp.io/drain": "true"}),
        node("n2", ready="False"),
        node("n3"),
        service("a", "10.96.0.10", etp="Local"),
        endpoints("a", "n3"),
    )
    hops = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    present = running(ours("10.96.0.0/12", *hops), ours("10.96.0.10/32", *hops[:2]), ours("10.96.0.99/32", hops[0]))
    desired = decided(state)
    plan = plan_router(router(), traits(), desired, present, rules())
    assert {str(c.prefix): c.remove for c in plan.changes} == {
        "10.96.0.0/12": hops[:2],
        "10.96.0.10/32": hops[:2],
        "10.96.0.99/32": hops[:1],
    }
    assert by_drains(plan, desired, router()) == {"n1": Size(1, 3)}


def test_what_is_dropped_because_its_node_drains_is_counted_apart_too() -> None:
    state = cluster(
        node("n1", annotations={"k8s-ecmp.io/drain": "true"}), node("n3"), service("a", "10.96.0.10", etp="Local")
    )
    present = running(ours("10.96.0.0/12", "10.0.0.3"), ours("10.96.0.10/32", "10.0.0.1"))
    desired = decided(state, settings(discard_unserved=True))
    plan = plan_router(router(), traits(), desired, present, rules())
    assert [change.next_hops for change in plan.changes] == [("discard",)]
    assert by_drains(plan, desired, router()) == {"n1": Size(0, 1, -1)}


@pytest.mark.parametrize("scope", [["10.96.0.10/32"], ["10.96.0.10/32", "10.96.0.11/32"], ["10.96.0.99/32"]])
def test_a_plan_of_some_prefixes_is_the_part_of_the_whole_plan(scope: list[str]) -> None:
    state = cluster(
        node("n1"),
        node("n2"),
        service("a", "10.96.0.10", etp="Local"),
        service("b", "10.96.0.11", etp="Local"),
        endpoints("a", "n1", "n2"),
        endpoints("b", "n2"),
    )
    desired = decided(state)
    present = running(
        ours("10.96.0.0/12", "10.0.0.1", "10.0.0.2"),
        ours("10.96.0.10/32", "10.0.0.1"),
        ours("10.96.0.99/32", "10.0.0.1"),
        theirs("10.96.0.11/32", "10.0.0.7"),
    )
    whole = plan_router(router(), traits(), desired, present, rules())
    wanted = {p(text) for text in scope}
    some = replace(desired, routes=tuple(route for route in desired.routes if route.prefix in wanted))
    part = plan_prefixes(router(), traits(), some, table(*present), rules(), scope=wanted)
    assert part.changes == tuple(c for c in whole.changes if c.prefix in wanted) != ()

from dataclasses import replace
from typing import Any

import pytest

from k8s_ecmp.core.freeze import Freeze
from k8s_ecmp.core.guards import cluster_holds
from k8s_ecmp.core.ownership import Marks
from k8s_ecmp.core.plan import plan_prefixes, plan_router
from k8s_ecmp.core.reviewed import forbids, reviewed_changes
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.core.table import Table
from k8s_ecmp.model import ClusterState, Condition, NextHop, Node, Prefix, RouteChange, RouterPlan, StaticRoute
from k8s_ecmp.selector import Selector
from k8s_ecmp.settings import GuardSettings
from tests.core.build import (
    OWNER,
    TAG,
    ago,
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

THREE = (node("n1"), node("n2"), node("n3"))
ALL = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
WEB = (service("web", "10.96.0.1", etp="Local"), endpoints("web", "n1", "n2"))
SYNCED = (ours("10.96.0.0/12", *ALL), ours("10.96.0.1/32", "10.0.0.1", "10.0.0.2"))
# Unwanted routes in plenty, so that a single change is no mass withdrawal.
OPEN = GuardSettings(max_withdrawn_fraction=1, max_not_ready_fraction=1)


def planned(
    *routes: StaticRoute, state: ClusterState | None = None, view: RouterView | None = None, **kwargs: Any
) -> RouterPlan:
    desired = decided(state or cluster(*THREE, *WEB))
    unresolved = kwargs.pop("unresolved", ())
    platform = kwargs.pop("platform", traits())
    return plan_router(
        view or router(),
        platform,
        desired,
        running(*routes),
        rules(**kwargs),
        unresolved,
    )


def lines(plan: RouterPlan) -> list[str]:
    return [f"{c.action} {c.prefix} +{','.join(c.add)} -{','.join(c.remove)}" for c in plan.changes]


def trips(plan: RouterPlan) -> set[str]:
    return {trip.guard for trip in plan.guards}


def test_an_empty_router_gets_everything() -> None:
    plan = planned()
    assert lines(plan) == [
        "create 10.96.0.0/12 +10.0.0.1,10.0.0.2,10.0.0.3 -",
        "create 10.96.0.1/32 +10.0.0.1,10.0.0.2 -",
    ]
    assert plan.status == "changes"
    assert all(hop.tag == TAG for change in plan.changes for hop in change.after)


def test_a_discard_route_names_the_service_whether_it_comes_or_goes() -> None:
    unserved = cluster(*THREE, WEB[0])
    dropped = StaticRoute(p("10.96.0.1"), "default", (NextHop(discard=True, tag=TAG),))
    told = settings(discard_unserved=True)

    def why(*routes: StaticRoute, state: ClusterState) -> tuple[str, ...]:
        plan = plan_router(router(), traits(), decided(state, told), running(*routes), rules(guards=OPEN))
        (change,) = [change for change in plan.changes if change.prefix == p("10.96.0.1")]
        return change.reasons

    assert why(state=unserved) == ("Service default/web clusterIP: no usable endpoint",)
    assert why(*SYNCED, state=unserved)[0] == "Service default/web clusterIP: no usable endpoint"
    back = why(dropped, state=cluster(*THREE, *WEB))
    assert back == (
        "node n1 has a usable endpoint",
        "node n2 has a usable endpoint",
        "Service default/web clusterIP: there is a next hop again",
    )


def test_a_family_that_a_peer_does_not_carry_is_skipped_and_withdrawn() -> None:
    dual = cluster(*THREE, cidrs=("10.96.0.0/12", "fd00:96::/112", "fd00:97::/112"))
    four = router()._replace(families=(4,))
    plan = planned(ours("fd00:97::/112", "fd00::1"), ours("10.96.0.0/12", *ALL), state=dual, view=four, guards=OPEN)
    assert lines(plan) == ["delete fd00:97::/112 + -fd00::1"]
    assert [skip.reason for skip in plan.skipped] == [
        "fd00:96::/112 and 1 more are not announced: the router's bgp.families has no ipv6"
    ]


def test_where_nothing_can_be_added_what_is_dead_still_goes() -> None:
    dual = cluster(*THREE, cidrs=("10.96.0.0/12", "fd00:96::/112"))
    standing = (ours("10.96.0.0/12", "10.0.0.1", "10.0.0.77"), ours("fd00:96::/112", "fd00::1"))
    closed = replace(running(*standing), closed=((4, "it takes one path"),))
    plan = plan_router(router(), traits(), decided(dual), closed, rules(guards=OPEN))
    assert lines(plan) == ["update 10.96.0.0/12 + -10.0.0.77", "update fd00:96::/112 +fd00::2,fd00::3 -"]
    assert [(str(c.prefix), c.reason) for c in plan.conflicts] == [("10.96.0.0/12", "it takes one path")]
    assert (plan.withheld, plan.skipped) == (0, ()), "the conflict says it"


def test_in_sync_means_no_change_in_whatever_order_the_hops_stand() -> None:
    plan = planned(ours("10.96.0.1/32", "10.0.0.2", "10.0.0.1"), SYNCED[0])
    assert (plan.status, plan.changes, plan.guards) == ("in-sync", (), ())


@pytest.mark.parametrize("stand", [("1", "2", "1"), ("2", "1", "1", "2")])
def test_a_line_that_stands_twice_is_no_change(stand: tuple[str, ...]) -> None:
    twice = ours("10.96.0.1/32", *(f"10.0.0.{number}" for number in stand))
    assert planned(SYNCED[0], twice).status == "in-sync"


def test_a_line_that_stands_twice_is_not_two_next_hops() -> None:
    plan = planned(SYNCED[0], ours("10.96.0.1/32", "10.0.0.1", "10.0.0.1"))
    assert lines(plan) == ["update 10.96.0.1/32 +10.0.0.2 -"]
    held = planned(SYNCED[0], ours("10.96.0.1/32", "10.0.0.1", "10.0.0.1"), unresolved=("10.0.0.2",))
    assert held.status == "in-sync"


def test_a_discard_line_that_stands_twice_is_no_change() -> None:
    state = cluster(*THREE, service("web", "10.96.0.1", etp="Local"))
    desired = decided(state, settings(discard_unserved=True))
    hop = NextHop(discard=True, tag=TAG)
    stand = running(SYNCED[0], StaticRoute(p("10.96.0.1"), "default", (hop, hop)))
    assert plan_router(router(), traits(), desired, stand, rules()).changes == ()


def test_an_update_names_what_comes_and_goes_and_why() -> None:
    plan = planned(SYNCED[0], ours("10.96.0.1/32", "10.0.0.1", "10.0.0.3", "10.0.0.77"))
    (change,) = plan.changes
    assert (change.action, change.add, change.remove) == ("update", ("10.0.0.2",), ("10.0.0.3", "10.0.0.77"))
    assert change.next_hops == ("10.0.0.1", "10.0.0.2")
    assert change.reasons == (
        "node n2 has a usable endpoint",
        "node n3 has no usable endpoint",
        "no node has the address 10.0.0.77",
    )


def test_ours_and_no_longer_desired_is_deleted() -> None:
    plan = planned(*SYNCED, ours("10.96.0.9/32", "10.0.0.1"))
    assert lines(plan) == ["delete 10.96.0.9/32 + -10.0.0.1"]


@pytest.mark.parametrize(
    "stranger",
    [
        theirs("10.96.0.1/32", "10.0.0.1", "10.0.0.2"),
        theirs("10.96.0.1/32", "10.0.0.1", "10.0.0.2", tag=100),
        StaticRoute(p("10.96.0.1"), "default", (NextHop("10.0.0.1", tag=TAG), NextHop("10.0.0.9"))),
        StaticRoute(p("10.96.0.1"), "default", (NextHop("10.0.0.1", tag=TAG, options=("track", "5")),)),
        StaticRoute(p("10.96.0.1"), "default", (NextHop("10.0.0.1", tag=TAG),), (), "inactive"),
    ],
)
def test_a_route_that_is_not_ours_at_a_desired_prefix_is_a_conflict_and_untouched(stranger: StaticRoute) -> None:
    plan = planned(SYNCED[0], stranger)
    assert plan.changes == ()
    assert [str(conflict.prefix) for conflict in plan.conflicts] == ["10.96.0.1/32"]
    assert plan.conflicts[0].reason
    assert plan.status == "conflict"


def test_a_conflict_holds_its_prefix_only() -> None:
    plan = planned(theirs("10.96.0.1/32", "10.0.0.1"))
    assert lines(plan) == ["create 10.96.0.0/12 +10.0.0.1,10.0.0.2,10.0.0.3 -"]
    assert plan.status == "changes"


def test_the_name_counts_where_the_platform_carries_one() -> None:
    named = traits(name_mark=True)
    hops = tuple(NextHop(a, tag=TAG, name=OWNER) for a in ALL)
    good = StaticRoute(p("10.96.0.0/12"), "default", hops)
    other = StaticRoute(p("10.96.0.1/32"), "default", (NextHop("10.0.0.1", tag=TAG, name="prod-eu2"),))
    plan = planned(good, other, platform=named)
    assert plan.changes == ()
    assert "prod-eu2" in plan.conflicts[0].reason
    assert all(hop.name == OWNER for change in planned(platform=named).changes for hop in change.after)


def test_other_vrfs_are_left_alone() -> None:
    plan = planned(*SYNCED, ours("10.96.0.9/32", "10.0.0.1", vrf="red"), theirs("10.96.0.0/12", "10.0.0.9", vrf="red"))
    assert plan.status == "in-sync"
    inside = planned(*SYNCED, view=router(vrf="red"))
    assert len(inside.changes) == 2
    assert {change.vrf for change in inside.changes} == {"red"}


def test_another_distance_is_an_update_of_all_hops() -> None:
    plan = planned(*SYNCED, view=router(distance=200))
    assert lines(plan) == ["update 10.96.0.0/12 + -", "update 10.96.0.1/32 + -"]
    assert plan.changes[0].reasons == ("administrative distance default -> 200",)
    assert {hop.distance for hop in plan.changes[0].after} == {200}


def test_a_distance_is_named_beside_a_hop_that_comes_and_not_where_it_stays() -> None:
    one = StaticRoute(p("10.96.0.1"), "default", (NextHop("10.0.0.1", tag=TAG, distance=5),))
    view = router(distance=9)
    (change,) = (c for c in planned(SYNCED[0], one, view=view).changes if c.prefix.length == 32)
    assert change.reasons == ("node n2 has a usable endpoint", "administrative distance 5 -> 9")
    hops = (NextHop("10.0.0.1", tag=TAG, distance=9), NextHop("10.0.0.2", tag=TAG, distance=5))
    both = StaticRoute(p("10.96.0.1"), "default", hops)
    (change,) = (c for c in planned(SYNCED[0], both, view=view).changes if c.prefix.length == 32)
    assert change.reasons == ("administrative distance 5 -> 9",)


def test_the_default_distance_is_equal_whether_written_or_not() -> None:
    assert planned(*SYNCED, view=router(distance=1)).status == "in-sync"


def test_a_hop_of_ours_in_another_form_is_rewritten() -> None:
    odd = StaticRoute(p("10.96.0.1"), "default", (NextHop("10.0.0.1", "eth1", tag=TAG), NextHop("10.0.0.2", tag=TAG)))
    (change,) = planned(SYNCED[0], odd).changes
    assert (change.add, change.remove) == (("10.0.0.1",), ("eth1 10.0.0.1",))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("sync", ["update", "delete"]), ("upsert-only", ["update"]), ("create-only", [])],
)
def test_policies(policy: str, expected: list[str]) -> None:
    plan = planned(SYNCED[0], ours("10.96.0.1/32", "10.0.0.1"), ours("10.96.0.9/32", "10.0.0.1"), policy=policy)
    assert [change.action for change in plan.changes] == expected


def test_withdraw_only_reduces_to_removals() -> None:
    plan = planned(
        ours("10.96.0.0/12", "10.0.0.1", "10.0.0.2", "10.0.0.77"),
        ours("10.96.0.9/32", "10.0.0.1"),
        mode="withdraw-only",
        guards=OPEN,
    )
    assert lines(plan) == ["update 10.96.0.0/12 + -10.0.0.77", "delete 10.96.0.9/32 + -10.0.0.1"]


def withheld(plan: RouterPlan) -> tuple[int, list[str]]:
    return plan.withheld, [skip.reason for skip in plan.skipped if skip.object == "router r1"]


def test_what_mode_and_policy_keep_back_is_counted_and_named() -> None:
    empty = planned(mode="withdraw-only")
    assert (empty.status, empty.changes) == ("in-sync", ())
    assert withheld(empty) == (
        2,
        ["2 changes are withheld by mode withdraw-only: create 10.96.0.0/12, create 10.96.0.1/32"],
    )
    one_hop = ours("10.96.0.1/32", "10.0.0.1")
    stale = [ours(f"10.96.0.{number}/32", "10.0.0.1") for number in (7, 8, 9)]
    only = planned(SYNCED[0], one_hop, *stale, policy="create-only")
    named = "update 10.96.0.1/32, delete 10.96.0.7/32, delete 10.96.0.8/32 and 1 more"
    assert withheld(only) == (4, [f"4 changes are withheld by policy create-only: {named}"])
    upsert = planned(SYNCED[0], one_hop, stale[0], policy="upsert-only")
    assert withheld(upsert) == (1, ["1 change is withheld by policy upsert-only: delete 10.96.0.7/32"])
    part = planned(ours("10.96.0.0/12", *ALL[:2], "10.0.0.77"), SYNCED[1], mode="withdraw-only", guards=OPEN)
    assert lines(part) == ["update 10.96.0.0/12 + -10.0.0.77"]
    assert withheld(part) == (1, ["1 change is withheld by mode withdraw-only: update 10.96.0.0/12 in part"])


@pytest.mark.parametrize("rule", [{}, {"mode": "observe"}, {"mode": "withdraw-only"}, {"policy": "upsert-only"}])
def test_nothing_is_withheld_where_all_may_be_done_that_is_to_be_done(rule: dict[str, Any]) -> None:
    assert withheld(planned(*SYNCED, **rule)) == (0, [])
    extra = planned(ours("10.96.0.0/12", *ALL, "10.0.0.77"), SYNCED[1], guards=OPEN, **rule)
    assert len(extra.changes) == 1
    assert withheld(extra) == (0, [])


def test_a_daemon_that_plans_is_told_nothing_of_it() -> None:
    rule = rules(mode="withdraw-only")
    table = Table.of(running(), traits().marks(rule, router()), "default")
    plan = plan_prefixes(router(), traits(), decided(cluster(*THREE, *WEB)), table, rule)
    assert (plan.changes, plan.skipped, plan.withheld) == ((), (), 0)


def test_withdraw_only_never_takes_the_last_hop_of_a_wanted_prefix() -> None:
    plan = planned(SYNCED[0], ours("10.96.0.1/32", "10.0.0.77"), mode="withdraw-only", guards=OPEN)
    assert plan.changes == ()
    assert trips(plan) == {"last-next-hop"}


def test_a_hop_that_the_router_cannot_resolve_is_held_back_and_reported() -> None:
    plan = planned(ours("10.96.0.0/12", "10.0.0.2"), unresolved={"10.0.0.1", "10.0.0.2"})
    assert lines(plan) == ["update 10.96.0.0/12 +10.0.0.3 -"]
    assert [skip.object for skip in plan.skipped] == ["router r1", "router r1"]
    assert "10.0.0.1 cannot be resolved there; held back at 2 prefixes" in plan.skipped[0].reason
    assert "10.0.0.2 cannot be resolved there; held back at 1 prefix:" in plan.skipped[1].reason


def test_unresolved_replacements_do_not_cost_the_last_hop() -> None:
    plan = planned(SYNCED[0], ours("10.96.0.1/32", "10.0.0.77"), unresolved={"10.0.0.1", "10.0.0.2"}, guards=OPEN)
    assert plan.changes == ()
    assert trips(plan) == {"last-next-hop"}


# --- guards ------------------------------------------------------------------------------------------------------


def many(count: int) -> tuple[StaticRoute, ...]:
    return tuple(ours(f"10.96.1.{i}/32", "10.0.0.1") for i in range(count))


def test_mass_withdrawal_trips_over_the_fraction_of_prefixes_and_not_at_it() -> None:
    assert trips(planned(*SYNCED, *many(2))) == set()
    assert trips(planned(*SYNCED, *many(3))) == {"mass-withdrawal"}
    assert planned(*SYNCED, *many(3)).status == "blocked"
    assert trips(planned(*SYNCED, *many(3), overrides=frozenset({"mass-withdrawal"}))) == set()


def test_mass_withdrawal_counts_hops_too() -> None:
    wide = ours("10.96.0.0/12", *ALL, *(f"10.0.1.{i}" for i in range(1, 8)))
    assert trips(planned(wide, SYNCED[1])) == {"mass-withdrawal"}
    enough = ours("10.96.0.0/12", *ALL, "10.0.1.1", "10.0.1.2")
    assert trips(planned(enough, SYNCED[1])) == set()


@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("discards", [True, False])
def test_mass_withdrawal_holds_discard_routes_as_it_holds_withdrawals(hops: int, discards: bool) -> None:
    count = 20
    names = [f"s{number}" for number in range(1, count + 1)]
    local = [service(name, f"10.96.1.{name[1:]}", etp="Local", itp="Local") for name in names]
    present = [ours(f"10.96.1.{name[1:]}/32", *ALL[:hops]) for name in names]
    state = decided(cluster(*THREE, *local), settings(discard_unserved=discards))
    plan = plan_router(router(), traits(), state, running(SYNCED[0], *present), rules())
    assert len(plan.changes) == count
    assert trips(plan) == {"mass-withdrawal"}
    assert plan.status == "blocked"


def test_a_fraction_of_one_never_trips() -> None:
    assert trips(planned(*SYNCED, *many(30), guards=OPEN)) == set()


def test_empty_desired_when_nothing_would_remain() -> None:
    nothing = cluster(*THREE, service("web", "10.96.0.1", etp="Local"))
    off = settings(aggregate=False)
    plan = plan_router(router(), traits(), decided(nothing, off), running(SYNCED[1]), rules(guards=OPEN))
    assert trips(plan) == {"empty-desired"}
    assert plan.status == "blocked"


def test_last_next_hop_holds_the_prefix_alone() -> None:
    state = cluster(
        *THREE, node("n4", ready="False"), WEB[0], endpoints("web", "n4"), service("b", "10.96.0.2", etp="Local")
    )
    plan = planned(SYNCED[0], ours("10.96.0.1/32", "10.0.0.4"), ours("10.96.0.2/32", "10.0.0.1"), state=state)
    assert lines(plan) == ["delete 10.96.0.2/32 + -10.0.0.1"]
    assert [(trip.guard, str(trip.prefix)) for trip in plan.guards] == [("last-next-hop", "10.96.0.1/32")]
    assert plan.status == "changes"
    assert (
        len(
            planned(
                SYNCED[0], ours("10.96.0.1/32", "10.0.0.4"), state=state, overrides=frozenset({"last-next-hop"})
            ).changes
        )
        == 1
    )


def test_a_service_without_endpoints_may_lose_its_last_hop() -> None:
    state = cluster(*THREE, service("web", "10.96.0.1", etp="Local"))
    assert lines(planned(*SYNCED, state=state)) == ["delete 10.96.0.1/32 + -10.0.0.1,10.0.0.2"]


def test_platform_limit() -> None:
    assert trips(planned(platform=traits(max_paths=2))) == {"platform-limit"}
    assert trips(planned(platform=traits(max_paths=3))) == set()
    assert trips(planned(platform=traits(max_routes=1))) == {"platform-limit"}
    assert trips(planned(platform=traits(max_routes=2))) == set()


def test_guards_are_silent_on_a_router_without_changes() -> None:
    assert planned(*SYNCED, platform=traits(max_paths=2)).guards == ()


@pytest.mark.parametrize(
    ("bad", "fraction", "tripped"),
    [(1, 0.5, False), (2, 0.5, False), (3, 0.5, True), (4, 1.0, False)],
)
def test_panic_trips_over_the_fraction_of_selected_nodes(bad: int, fraction: float, tripped: bool) -> None:
    nodes = [node(f"n{i}", ready="False" if i <= bad else "True", since_s=1) for i in range(1, 5)]
    desired = decided(cluster(*nodes))
    holds = cluster_holds(desired, GuardSettings(max_not_ready_fraction=fraction), not_synced=None, freeze=None)
    assert ("panic" in {trip.guard for trip in holds}) is tripped


def test_holds_for_everything() -> None:
    desired = decided(cluster(node("n1", ready="False")))
    holds = cluster_holds(
        desired, GuardSettings(), not_synced="the watch on nodes is not synced", freeze=Freeze("stop", True)
    )
    assert [trip.guard for trip in holds] == ["not-synced", "panic", "empty-desired", "frozen"]
    assert all(trip.router is None for trip in holds)
    none = cluster_holds(
        desired,
        GuardSettings(),
        not_synced="x",
        freeze=Freeze("stop", True),
        overrides=("not-synced", "panic", "empty-desired", "frozen"),
    )
    assert none == ()


def test_holds_block_routers_with_changes_only() -> None:
    desired = decided(cluster(*THREE, *WEB))
    holds = cluster_holds(desired, GuardSettings(), not_synced="x", freeze=None)
    assert plan_router(router(), traits(), desired, running(), rules(holds=holds)).status == "blocked"
    assert plan_router(router(), traits(), desired, running(*SYNCED), rules(holds=holds)).status == "in-sync"


@pytest.mark.parametrize(
    "dead",
    [node("n3", ready="False"), node("n3", network_unavailable=Condition("True", ago(60)))],
    ids=("ready", "network"),
)
def test_a_freeze_window_lets_withdrawals_of_dead_nodes_through(dead: Node) -> None:
    state = cluster(*THREE[:2], dead, *WEB, service("b", "10.96.0.2", etp="Local"), endpoints("b", "n1"))
    plan = planned(*SYNCED, ours("10.96.0.9/32", "10.0.0.1"), state=state, freeze=Freeze("window", False))
    assert lines(plan) == ["update 10.96.0.0/12 + -10.0.0.3"]
    assert {str(trip.prefix) for trip in plan.guards} == {"10.96.0.2/32", "10.96.0.9/32"}


# --- fingerprints and reviewed plans -----------------------------------------------------------------------------


def test_the_fingerprint_covers_ours_and_what_the_plan_touches() -> None:
    base = planned(SYNCED[0]).fingerprint
    assert planned(SYNCED[0], theirs("192.0.2.0/24", "10.0.0.9")).fingerprint == base
    assert planned(SYNCED[0], ours("10.96.0.9/32", "10.0.0.1")).fingerprint != base
    assert planned(ours("10.96.0.0/12", *reversed(ALL))).fingerprint == base
    assert planned(ours("10.96.0.0/12", *ALL, distance=5)).fingerprint != base


def test_reviewed_changes_become_the_planned_ones_again() -> None:
    routes = running(SYNCED[0], ours("10.96.0.1/32", "10.0.0.1", "10.0.0.77"))
    plan = planned(*routes, view=router(distance=1))
    bare = [
        type(change)(
            change.action,
            change.vrf,
            change.prefix,
            (),
            tuple(NextHop(a, distance=1) for a in change.next_hops),
            change.reasons,
        )
        for change in plan.changes
    ]
    assert reviewed_changes(bare, routes, Marks(TAG, OWNER, name_mark=False), 1) == plan.changes


@pytest.mark.parametrize(
    ("mode", "policy", "allowed"),
    [
        ("full", "sync", {"create", "update", "delete"}),
        ("withdraw-only", "sync", {"delete"}),
        ("full", "upsert-only", {"create", "update"}),
        ("full", "create-only", {"create"}),
    ],
)
def test_what_todays_mode_and_policy_forbid_of_a_reviewed_plan(mode: str, policy: str, allowed: set[str]) -> None:
    plan = planned(ours("10.96.0.1/32", "10.0.0.1"), ours("10.96.0.9/32", "10.0.0.1"), guards=OPEN)
    assert {change.action for change in plan.changes} == {"create", "update", "delete"}
    free = {change.action for change in plan.changes if forbids(change, mode, policy) is None}  # type: ignore[arg-type]
    assert free == allowed


def test_what_changes_a_hop_that_stays_is_no_withdrawal() -> None:
    hop, prefix = NextHop("10.0.0.1", tag=TAG), Prefix.parse("10.96.0.1/32")
    farther = RouteChange.between("default", prefix, (hop,), (NextHop("10.0.0.1", tag=TAG, distance=77),))
    assert forbids(farther, "withdraw-only", "sync") == "mode: withdraw-only"
    fewer = RouteChange.between("default", prefix, (hop, NextHop("10.0.0.2", tag=TAG)), (hop,))
    assert forbids(fewer, "withdraw-only", "sync") is None


def test_a_reduced_change_keeps_the_reasons_of_what_is_left_of_it() -> None:
    plan = planned(ours("10.96.0.0/12", "10.0.0.1", "10.0.0.77"), SYNCED[1], mode="withdraw-only", guards=OPEN)
    assert plan.changes[0].reasons == ("no node has the address 10.0.0.77",)


def test_upsert_only_and_withdraw_only_together_delete_nothing() -> None:
    plan = planned(
        SYNCED[0],
        ours("10.96.0.1/32", "10.0.0.77"),
        mode="withdraw-only",
        policy="upsert-only",
        guards=OPEN,
        overrides=frozenset({"last-next-hop"}),
    )
    assert plan.changes == ()


def test_a_plan_that_adopts_deletes_nothing() -> None:
    """A router has the prefix as ours and shall not carry it: that is the business of an ordinary plan."""
    adopting = replace(rules(guards=OPEN), adopt=frozenset({p("10.96.0.1/32")}))
    for view in (router()._replace(families=(6,)), router()._replace(selector=Selector.parse("zone=b"), minimum=0)):
        planned = plan_router(view, traits(), decided(cluster(*THREE, *WEB)), running(*SYNCED), adopting)
        assert planned.changes == ()

"""BFD and tracked objects: what our next hops carry beside their marks, where the platform has such words."""

from dataclasses import replace
from typing import Any

import pytest

from k8s_ecmp.core.ownership import Features, is_owned
from k8s_ecmp.core.plan import plan_router
from k8s_ecmp.core.reviewed import reviewed_changes
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.model import NextHop, RouteChange, RouterPlan, StaticRoute
from tests.core.build import TAG, cluster, decided, node, p, router, rules, running, traits

TRAITS = replace(traits(), features=Features(("bfd", "fast"), "track"))
DESIRED = decided(cluster(node("n1"), node("n2")))
BOTH = ("10.0.0.1", "10.0.0.2")


def route(*options: str, only: str | None = None) -> StaticRoute:
    hops = tuple(NextHop(a, tag=TAG, options=options if only in (None, a) else ()) for a in BOTH)
    return StaticRoute(p("10.96.0.0/12"), "default", hops)


def planned(*routes: StaticRoute, view: RouterView) -> RouterPlan:
    return plan_router(view, TRAITS, DESIRED, running(*routes), rules())


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({}, ()),
        ({"bfd": True}, ("bfd", "fast")),
        ({"track": "7"}, ("track", "7")),
        ({"bfd": True, "track": "7"}, ("bfd", "fast", "track", "7")),
    ],
)
def test_what_the_inventory_asks_for_is_written_and_then_in_sync(asked: dict[str, Any], options: tuple[str, ...]):
    view = router(**asked)
    created = planned(view=view).changes[0]
    assert [hop.options for hop in created.after] == [options, options]
    assert planned(route(*options), view=view).status == "in-sync"
    assert planned(route(*options, only="10.0.0.1"), view=view).status == ("changes" if options else "in-sync")


@pytest.mark.parametrize("options", [("bfd", "fast"), ("track", "7"), ("bfd", "fast", "track", "9"), ()])
def test_another_choice_in_the_inventory_is_an_update_of_ours(options: tuple[str, ...]):
    view = router(track="8")
    plan = planned(route(*options), view=view)
    (change,) = plan.changes
    assert change.action == "update"
    assert {hop.options for hop in change.after} == {("track", "8")}
    marks = TRAITS.marks(rules(), view)
    as_in_a_file = tuple(NextHop(hop.address) for hop in change.after)
    reviewed = RouteChange("update", change.vrf, change.prefix, (), as_in_a_file)
    (restored,) = reviewed_changes([reviewed], running(route(*options)), marks, 1)
    assert restored.after == change.after


@pytest.mark.parametrize(
    ("asked", "options", "reasons"),
    [
        ({}, ("track", "7"), ("the option 'track 7' goes",)),
        ({"bfd": True}, (), ("the option 'bfd fast' comes",)),
        ({"bfd": True}, ("track", "7", "bfd", "fast"), ("the option 'track 7' goes",)),
        ({"bfd": True, "track": "7"}, ("bfd", "fast"), ("the option 'track 7' comes",)),
        ({"track": "8"}, ("track", "7"), ("the option 'track 7' gives way to 'track 8'",)),
        ({"distance": 9}, ("track", "7"), ("administrative distance default -> 9", "the option 'track 7' goes")),
    ],
)
def test_an_option_that_comes_or_goes_is_the_reason(
    asked: dict[str, Any], options: tuple[str, ...], reasons: tuple[str, ...]
):
    (change,) = planned(route(*options), view=router(**asked)).changes
    assert change.reasons == reasons


def test_the_order_of_the_words_says_nothing():
    view = router(bfd=True, track="7")
    other = route("track", "7", "bfd", "fast")
    assert is_owned(other, TRAITS.marks(rules(), view))
    assert planned(other, view=view).status == "in-sync"


@pytest.mark.parametrize("options", [("bfd",), ("bfd", "slow"), ("track",), ("onlink",), ("track", "7", "permanent")])
def test_any_other_word_makes_a_hop_foreign(options: tuple[str, ...]):
    assert not is_owned(route(*options, only="10.0.0.2"), TRAITS.marks(rules(), router(bfd=True)))


def test_words_of_another_platform_are_foreign():
    assert not is_owned(route("track", "7"), traits().marks(rules(), router()))


@pytest.mark.parametrize("asked", [{"bfd": True}, {"track": "7"}])
def test_what_the_platform_cannot_is_refused_by_name(asked: dict[str, Any]):
    with pytest.raises(SettingsError, match=r"router r1 .*(bfd: true|track: 7).* frr"):
        traits().marks(rules(), router(**asked))


def test_an_owner_that_the_platform_would_cut_is_refused_where_it_is_carried():
    long = replace(rules(), owner="o" * 31)
    short = replace(traits(name_mark=True), name="iosxr", name_length=30)
    with pytest.raises(SettingsError, match=r"router r1: the owner o{31} has 31 characters.* iosxr .* 30 at most"):
        short.marks(long, router())
    assert short.marks(replace(long, owner="o" * 30), router())
    assert replace(short, name_mark=False).marks(long, router())
    assert traits(name_mark=True).marks(long, router())


def test_a_distance_beyond_the_platform_s_is_refused():
    view, least = router(distance=255), replace(traits(), name="iosxr", distance_max=254)
    with pytest.raises(SettingsError, match=r"router r1 .*distance: 255, and iosxr takes 254 at most") as refused:
        least.marks(rules(), view)
    assert "distance to 254 or less" in str(refused.value.remedy)
    assert traits().marks(rules(), view)
    assert least.marks(rules(), router(distance=254))

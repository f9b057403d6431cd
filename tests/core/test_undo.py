"""What the journal keeps of a change: enough to tell what became of it, and to take it back with all that was written."""

import json
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as with_

from k8s_ecmp.core.ownership import Features
from k8s_ecmp.core.undo import Done, became_of, done_of, plan_undo
from k8s_ecmp.model import NextHop, RouteChange, RouterPlan, RunningRoutes, StaticRoute
from k8s_ecmp.recording import changes_body
from tests.core.build import TAG, p, router, rules, running, traits

TRAITS = replace(traits(), features=Features(("bfd",), "track"))
MARKS = TRAITS.marks(rules(), router())
PREFIX = p("10.96.0.0/12")
PLAIN, OTHER = NextHop("10.0.0.1", tag=TAG), NextHop("10.0.0.3", tag=TAG)
VIA = NextHop("10.0.0.9", "eth0", tag=TAG)

Hops = tuple[NextHop, ...]


def journaled(before: Hops, after: Hops, *, old: bool = False) -> tuple[Done, ...]:
    """A change as it comes back from the journal; `old`: as an older program has written it."""
    body: list[dict[str, Any]] = json.loads(
        json.dumps(changes_body([RouteChange.between("default", PREFIX, before, after)]))
    )
    if old:
        del body[0]["hops"]
    return done_of(body)


def there(hops: Hops) -> RunningRoutes:
    return running(*([StaticRoute(PREFIX, "default", hops)] if hops else []))


def undone(done: tuple[Done, ...], hops: Hops) -> RouterPlan:
    return plan_undo(router(), TRAITS, done, there(hops), rules(), "takes back entry 7")


def pair() -> Hops:
    return with_(PLAIN, distance=10), with_(OTHER, distance=200)


CHANGES: list[tuple[Hops, Hops]] = [
    ((PLAIN,), (with_(PLAIN, options=("bfd",)),)),
    ((with_(PLAIN, options=("track", "7")),), (with_(PLAIN, options=("track", "8")),)),
    ((PLAIN,), (with_(PLAIN, distance=77),)),
    ((with_(PLAIN, distance=77),), (PLAIN,)),
    (pair(), (PLAIN, OTHER)),
    ((PLAIN, VIA), (PLAIN,)),
    ((VIA,), ()),
    ((), (PLAIN,)),
    ((PLAIN,), (PLAIN, OTHER)),
]
NAMES = ["bfd", "track", "distance", "default", "pair", "interface", "delete", "create", "hop"]


@pytest.mark.parametrize(("before", "after"), CHANGES, ids=NAMES)
def test_what_became_of_a_change_is_told_by_everything_on_its_hops(before: Hops, after: Hops) -> None:
    done = journaled(before, after)
    assert became_of(done, there(after), MARKS, 1)[0] == "committed"
    assert became_of(done, there(before), MARKS, 1) == ("rolled-back", "nothing of it is in force")
    others = (with_(PLAIN, distance=99),)
    assert became_of(done, there(others), MARKS, 1)[0] == "failed"


@pytest.mark.parametrize(("before", "after"), CHANGES, ids=NAMES)
def test_the_way_back_brings_every_attribute_back(before: Hops, after: Hops) -> None:
    done = journaled(before, after)
    (change,) = undone(done, after).changes
    assert set(change.after) == set(before)
    back = undone(done, before)
    assert not back.changes
    assert "it is as it was before the change already" in back.skipped[0].reason
    since = undone(done, (with_(PLAIN, distance=99),))
    assert not since.changes
    assert "it was changed since" in since.skipped[0].reason


def test_a_written_default_is_no_difference_and_stays() -> None:
    written = with_(PLAIN, distance=1)
    done = journaled((PLAIN,), (PLAIN, OTHER))
    assert became_of(done, there((written,)), MARKS, 1)[0] == "rolled-back"
    (change,) = undone(done, (written, OTHER)).changes
    assert change.after == (written,)


def test_an_older_entry_is_read_by_its_labels() -> None:
    done = journaled((PLAIN,), (PLAIN, OTHER), old=True)
    assert became_of(done, there((PLAIN, OTHER)), MARKS, 1)[0] == "committed"
    assert became_of(done, there((PLAIN,)), MARKS, 1)[0] == "rolled-back"
    assert [change.after for change in undone(done, (PLAIN, OTHER)).changes] == [(PLAIN,)]
    far = journaled((with_(PLAIN, distance=77),), (), old=True)
    assert [change.after for change in undone(far, ()).changes] == [(with_(PLAIN, distance=77),)]


def test_a_hop_that_cannot_be_written_again_is_skipped_by_name_and_holds_up_nothing_else() -> None:
    done = (
        *journaled((PLAIN, VIA), (PLAIN,), old=True),
        with_(journaled((OTHER,), (), old=True)[0], prefix=p("10.97.0.0/16")),
    )
    plan = undone(done, (PLAIN,))
    assert [str(change.prefix) for change in plan.changes] == ["10.97.0.0/16"]
    assert [skip.reason for skip in plan.skipped] == [
        "10.96.0.0/12: how its next hop eth0 10.0.0.9 was written is not in the journal; it is left alone"
    ]
    foreign = undone(journaled((with_(PLAIN, tag=7),), ()), ())
    assert not foreign.changes
    assert "how its next hop 10.0.0.1 was written is not in the journal" in foreign.skipped[0].reason

import msgspec

from k8s_ecmp.core.ownership import Features, Marks
from k8s_ecmp.core.staleness import moved_since, stale_text, stands_as_left, way_back
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes, StaticRoute

MARKS = Marks(4201, "prod", name_mark=False)
PREFIX = Prefix.parse("10.96.0.10/32")
OTHER = Prefix.parse("10.96.0.11/32")


def hops(*addresses: str, tag: int | None = 4201, distance: int | None = None) -> tuple[NextHop, ...]:
    return tuple(NextHop(address, tag=tag, distance=distance) for address in addresses)


def running(**routes: tuple[NextHop, ...]) -> RunningRoutes:
    at = {"mine": PREFIX, "other": OTHER}
    return RunningRoutes(tuple(StaticRoute(at[name], "default", found) for name, found in routes.items()))


def change(before: tuple[NextHop, ...], after: tuple[NextHop, ...], prefix: Prefix = PREFIX) -> RouteChange:
    return RouteChange.between("default", prefix, before, after)


GROWN = change(hops("10.0.0.1"), hops("10.0.0.1", "10.0.0.2"))
MADE = change((), hops("10.0.0.1"))
GONE = change(hops("10.0.0.1"), ())


def test_moved_names_the_hops_then_and_now() -> None:
    found = running(mine=hops("10.0.0.9"))
    assert [str(moved) for moved in moved_since([GROWN], found)] == ["10.96.0.10/32: 10.0.0.1 -> 10.0.0.9"]
    assert [str(moved) for moved in moved_since([MADE], found)] == ["10.96.0.10/32: no route -> 10.0.0.9"]
    assert [str(moved) for moved in moved_since([GONE], running())] == ["10.96.0.10/32: 10.0.0.1 -> no route"]
    assert moved_since([GROWN], running(mine=hops("10.0.0.1"))) == ()
    two = change(hops("10.0.0.1", "10.0.0.2"), hops("10.0.0.1"))
    assert moved_since([two], running(mine=hops("10.0.0.2", "10.0.0.1"))) == (), "in whatever order"


def test_a_stale_router_is_told_with_few_words() -> None:
    many = [change(hops("10.0.0.1"), (), Prefix.parse(f"10.96.1.{number}/32")) for number in range(8)]
    assert stale_text("r1", many, running()).endswith("; and 3 more")
    assert "either another route of ours has changed" in stale_text("r1", [MADE], running())


def test_as_left_is_every_prefix_with_its_hops_its_marks_and_its_distance() -> None:
    for done, there in (
        (GROWN, running(mine=hops("10.0.0.2", "10.0.0.1"))),
        (MADE, running(mine=hops("10.0.0.1", distance=1))),
        (GONE, running(other=hops("10.0.0.1"))),
    ):
        assert stands_as_left([done], there, MARKS, 1)
    for done, there in (
        (GROWN, running(mine=hops("10.0.0.1"))),
        (MADE, running()),
        (MADE, running(mine=hops("10.0.0.1", tag=None))),
        (MADE, running(mine=hops("10.0.0.1", distance=7))),
        (GONE, running(mine=hops("10.0.0.1"))),
    ):
        assert not stands_as_left([done], there, MARKS, 1)


def test_the_way_back_is_the_inverse_where_the_change_stands() -> None:
    undo, others = way_back([GROWN], running(mine=GROWN.after), MARKS, 1)
    assert [(c.action, c.next_hops, c.remove) for c in undo] == [("update", ("10.0.0.1",), ("10.0.0.2",))]
    assert others == ()
    assert [c.action for c in way_back([MADE], running(mine=MADE.after), MARKS, 1)[0]] == ["delete"]
    assert [c.action for c in way_back([GONE], running(), MARKS, 1)[0]] == ["create"]


def test_the_way_back_leaves_what_is_back_already_and_names_what_others_changed() -> None:
    assert way_back([GROWN], running(mine=GROWN.before), MARKS, 1) == ((), ())
    assert way_back([GROWN], running(mine=hops("10.0.0.9")), MARKS, 1) == ((), (PREFIX,))
    assert way_back([GROWN], running(mine=(*GROWN.after, *hops("10.0.0.3", tag=None))), MARKS, 1) == ((), (PREFIX,))


def test_a_change_of_an_option_alone_is_taken_back_once() -> None:
    marks = Marks(4201, "prod", False, ("bfd",), Features(("bfd",), "track"))
    (plain,) = hops("10.0.0.1")
    watched = msgspec.structs.replace(plain, options=("bfd",))
    added = change((plain,), (watched,))
    assert way_back([added], running(mine=(watched,)), marks, 1) == ((added.inverse(),), ())
    assert way_back([added], running(mine=(plain,)), marks, 1) == ((), ())

"""What the other routers have at the prefix of a conflict."""

from pathlib import Path

from k8s_ecmp.core.contested import contested
from k8s_ecmp.model import Conflict, Contested, Prefix, RouterPlan, Standing
from tests.fleet import Fleet
from tests.site import new_site

HERE, ELSEWHERE = Prefix.parse("10.97.0.1/32"), Prefix.parse("10.98.0.0/16")
CONFLICT = Conflict("default", HERE, "a route that is not ours")


def router(name: str, here: set[Prefix] | None, ours: set[Prefix], *conflicts: Conflict) -> RouterPlan:
    standing = None if here is None else Standing(frozenset(here), frozenset(ours))
    return RouterPlan(name, "frr", "in-sync", conflicts=conflicts, standing=standing)


def test_each_router_stands_in_one_group() -> None:
    found = contested(
        [
            router("theirs", {HERE}, set(), CONFLICT),
            router("ours", {HERE, ELSEWHERE}, {HERE}),
            router("theirs-unasked", {HERE}, set()),
            router("none", {ELSEWHERE}, {ELSEWHERE}),
            router("failed", None, set()),
        ]
    )
    assert found == (Contested(HERE, ("ours",), ("theirs", "theirs-unasked"), ("none",), ("failed",)),)


def test_without_a_conflict_nothing_is_contested() -> None:
    assert contested([router("r1", {HERE}, {HERE}), router("r2", {HERE}, set())]) == ()


def test_a_plan_of_routers_says_it(tmp_path: Path) -> None:
    fleet = Fleet(new_site(tmp_path), 3)
    fleet.add_line("r2", "ip route 10.97.10.1/32 192.0.2.77")
    fleet.add_line("r3", "ip route 10.97.10.1/32 10.192.0.1 tag 4201")
    plan = fleet.plan
    (found,) = [place for place in plan.contested if str(place.prefix) == "10.97.10.1/32"]
    assert (found.ours, found.theirs, found.none, found.unknown) == (("r3",), ("r2",), ("r1",), ())
    assert all(each.standing is None for each in plan.routers)

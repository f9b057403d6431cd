"""What the routes of a router and its answers mean."""

from dataclasses import replace
from typing import Any

import pytest

from k8s_ecmp.core.ownership import Marks
from k8s_ecmp.doctor.routers import Facts, check_router, facts_of
from k8s_ecmp.model import NextHop, Prefix, RunningRoutes, StaticRoute
from k8s_ecmp.settings import Settings

SETTINGS = Settings(owner="prod", tag=4201)
NAMED, UNNAMED = Marks(4201, "prod", True), Marks(4201, "prod", False)


def route(prefix: str, *hops: tuple[int | None, str | None], vrf: str = "default", **values: Any) -> StaticRoute:
    made = tuple(NextHop(f"10.0.0.{n}", tag=tag, name=name) for n, (tag, name) in enumerate(hops, 1))
    return StaticRoute(Prefix.parse(prefix), vrf, made, **values)


def facts(marks: Marks, *routes: StaticRoute, vrf: str = "default") -> Facts:
    return facts_of(RunningRoutes(routes), marks, vrf, 0, None, (0, 0), (64, 64))


OURS, OTHER, FOREIGN = (4201, "prod"), (4201, "test"), (None, None)


def test_whose_routes_there_are() -> None:
    found = facts(
        NAMED,
        route("10.1.0.0/16", OURS, OURS),
        route("10.2.0.0/16", OURS, vrf="red"),
        route("10.3.0.0/16", OURS, vrf="red"),
        route("10.4.0.0/16", OTHER),
        route("10.5.0.0/16", (4201, None), vrf="blue"),
        route("10.6.0.0/16", OURS, FOREIGN),
        route("10.7.0.0/16", FOREIGN),
    )
    assert (found.owned, found.routes, found.elsewhere) == (1, 7, {"red": 2})
    assert found.renamed == ("10.4.0.0/16", "10.5.0.0/16 vrf blue")
    assert found.mixed == ("10.6.0.0/16",)


def test_without_names_the_tag_alone_counts() -> None:
    found = facts(UNNAMED, route("10.4.0.0/16", (4201, None)), route("10.6.0.0/16", (4201, None), FOREIGN))
    assert (found.owned, found.renamed, found.mixed) == (1, (), ("10.6.0.0/16",))
    inherited = route("10.8.0.0/16", (4201, None), disqualified="inherited from group x")
    assert facts(UNNAMED, inherited).mixed == ("10.8.0.0/16",)


CALM = Facts(owned=3, routes=5, asked=4, unresolved=(), hops=4, max_paths=64, platform_paths=64)


@pytest.mark.parametrize(
    ("changes", "check", "level", "words"),
    [
        ({}, "next-hops", "ok", "reaches all 4 next hops"),
        ({"unresolved": None}, "next-hops", "unknown", "cannot tell"),
        ({"asked": 0, "unresolved": ()}, "next-hops", "ok", "no next hop is wanted"),
        ({"unresolved": ("10.0.0.9",)}, "next-hops", "problem", "no route to 1 of 4 next hops: 10.0.0.9"),
        ({"elsewhere": {"red": 2}}, "marks", "warning", "2 prefixes with our marks are in VRF red"),
        ({"renamed": ("10.4.0.0/16",)}, "marks", "problem", "tag 4201 stands with another name than 'prod' or none"),
        ({"mixed": ("10.6.0.0/16",)}, "marks", "warning", "10.6.0.0/16 carry our tag, but not only our marks"),
        ({"cut": 3, "max_paths": 8}, "paths", "warning", "max_paths is 8, so a prefix leaves out up to 3 nodes"),
        ({"hops": 200, "platform_paths": 128}, "paths", "problem", "200 next hops, its platform takes 128"),
    ],
)
def test_what_it_means(changes: dict[str, Any], check: str, level: str, words: str) -> None:
    first, *found = check_router("r1", replace(CALM, **changes), SETTINGS, decided=True)
    assert (first.level, first.saw) == ("ok", "reached and read: 3 of 5 static routes are ours")
    (about,) = [finding for finding in found if finding.check == check]
    assert about.level == level
    assert words in about.saw
    assert about.router == "r1"
    assert level in ("ok", "unknown") or (about.why and about.remedy)


def test_without_a_decision_next_hops_are_not_spoken_of() -> None:
    assert [finding.check for finding in check_router("r1", CALM, SETTINGS, decided=False)] == ["router"]

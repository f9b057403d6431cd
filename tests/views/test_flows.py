"""Flows at risk as a sentence, and in a plan's document."""

from collections.abc import Iterable

import pytest

from k8s_ecmp.model import Flows, FlowShift, NextHop, RouteChange, RouterPlan, RouterStatus
from k8s_ecmp.views.document import decode_plan, encode_plan
from k8s_ecmp.views.plan_flows import STAY, flow_line, flow_lines
from k8s_ecmp.views.plan_rows import change_row
from tests.core.build import p
from tests.views.plans import BLOCKED, EVERYTHING, GAINS, HELD, LIKE_R1, R1, R8, R9, hops, plan_of


def shift(lose: int, gain: int, low: float, high: float, least: float, *, resilient: bool = False) -> FlowShift:
    return FlowShift("default", p("10.96.0.0/12"), lose, gain, low, high, least, resilient)


ONE = shift(1, 0, 0.6667, 0.6667, 0.3333)
MORE = shift(0, 2, 0.25, 0.5, 0.25)
SAFE = shift(1, 0, 0.3333, 0.3333, 0.3333, resilient=True)
CASES = {
    "one": (
        [ONE],
        True,
        "1 prefix loses next hops: about 67 % of its existing connections move to another node (with resilient hashing 33 %)",
    ),
    "three": ([ONE] * 3, True, "3 prefixes lose next hops: about 67 %"),
    "gains": (
        [MORE],
        True,
        "1 prefix gains next hops: about 25 to 50 % of its existing connections move to another node (with resilient hashing 25 %",
    ),
    "both": ([ONE, MORE, MORE], True, "1 prefix loses next hops, 2 only gain some: about 25 to 67 % of their"),
    "not found": ([ONE], True, "; resilient hashing: not configured"),
    "none": ([ONE], False, "connections move to another node; resilient hashing: none on this platform"),
    "found": (
        [SAFE],
        True,
        "1 prefix loses next hops: about 33 % of its existing connections move to another node; resilient hashing: configured",
    ),
    "found for some": ([SAFE, ONE, ONE], True, "; resilient hashing: configured for 1 of 3 prefixes"),
}


def router(
    flows: Flows | None, *changes: RouteChange, status: RouterStatus = "changes", name: str = "r1"
) -> RouterPlan:
    return RouterPlan(name, "frr", status, changes=changes, flows=flows)


def test_where_nobody_knows_how_the_router_hashes() -> None:
    said = flow_line(router(Flows(None, False, (ONE,))))
    assert "hashing: not known, the router's configuration is not read" in said


@pytest.mark.parametrize(("shifts", "configurable", "words"), CASES.values(), ids=CASES)
def test_the_sentence(shifts: Iterable[FlowShift], configurable: bool, words: str) -> None:
    assert words in flow_line(router(Flows("modulo", configurable, tuple(shifts))))


def test_prefixes_that_come_from_or_go_to_a_larger_route_are_said_apart() -> None:
    apart = FlowShift("default", p("10.96.0.1/32"), 1, 0, 0.3333, 0.6667, 0.3333, False, p("10.96.0.0/12"))
    said = flow_line(router(Flows("modulo", True, (SAFE, apart))))
    assert "about 33 % of its existing connections move to another node; resilient hashing: configured; " in said
    assert "1 prefix gets or loses a route of its own within a larger one of ours: about 33 to 67 % of its" in said
    assert "resilient" not in flow_line(router(Flows("modulo", True, (apart,))))


DELETED = RouteChange.between("default", p("10.97.0.1/32"), hops("10.0.0.1"), ())
DROPPED = RouteChange.between("default", p("10.97.0.2/32"), hops("10.0.0.1"), (NextHop(discard=True),))
NOTHING_LEFT = RouteChange.between("default", p("10.97.0.4/32"), (), (NextHop(discard=True),))
CREATED = RouteChange.between("default", p("10.97.0.3/32"), (), hops("10.0.0.1"))


def test_prefixes_whose_connections_have_nowhere_to_go() -> None:
    said = flow_line(router(None, DELETED, DROPPED, CREATED))
    assert said.startswith("2 prefixes lose their last next hop: their existing connections are cut")
    assert flow_line(router(None, CREATED)) == STAY


def test_prefixes_that_begin_to_drop_what_a_larger_route_carries() -> None:
    said = flow_line(router(None, NOTHING_LEFT))
    assert said == "1 prefix newly drops its traffic: connections that a larger route carries there so far are cut"
    assert [routers for _, routers in flow_lines(plan_of(router(None, NOTHING_LEFT)))] == [("r1",)]


def test_every_router_that_changes_is_named_also_one_that_only_gains() -> None:
    plan = plan_of(R8, R9, router(None, CREATED, name="new"))
    assert all(change.gained and not change.lost for change in map(change_row, GAINS))
    found = {name: sentence for sentence, names in flow_lines(plan) for name in names}
    assert found.keys() == {"r8", "r9", "new"}
    assert found["r8"].startswith("1 prefix gains next hops: about 67 % of its existing connections move")
    assert found["new"] == STAY
    every = {name for _, names in flow_lines(EVERYTHING) for name in names}
    assert every == {each.name for each in EVERYTHING.routers if each.changes}


def test_nothing_is_said_where_no_connection_is_at_risk() -> None:
    assert flow_lines(plan_of(router(None, CREATED))) == []


def test_what_is_held_moves_nothing_now() -> None:
    (blocked,) = flow_lines(plan_of(BLOCKED))
    assert blocked[0].endswith("; not now, it is blocked")
    held = plan_of(R8, holds=HELD.holds)
    assert flow_lines(held)[0][0].endswith("; not now, it is blocked")


def test_a_plan_file_keeps_them() -> None:
    plan = plan_of(R1, LIKE_R1)
    assert R1.flows is not None
    assert [router.flows for router in decode_plan(encode_plan(plan)).routers] == [R1.flows, LIKE_R1.flows]

"""Flows at risk as a sentence, and in a plan's document."""

from collections.abc import Iterable

import pytest

from k8s_ecmp.model import Flows, FlowShift
from k8s_ecmp.views.document import decode_plan, encode_plan
from k8s_ecmp.views.plan_flows import flow_line
from tests.core.build import p
from tests.views.plans import LIKE_R1, R1, plan_of


def shift(lose: int, gain: int, low: float, high: float, least: float, *, resilient: bool = False) -> FlowShift:
    return FlowShift("default", p("10.96.0.0/12"), lose, gain, low, high, least, resilient)


ONE = shift(1, 0, 0.6667, 0.6667, 0.3333)
MORE = shift(0, 2, 0.25, 0.5, 0.25)
SAFE = shift(1, 0, 0.3333, 0.3333, 0.3333, resilient=True)
CASES = {
    "one": (
        [ONE],
        True,
        "1 prefix loses next hops: about 67 % of their existing connections move to another node (with resilient hashing 33 %)",
    ),
    "three": ([ONE] * 3, True, "3 prefixes lose next hops: about 67 %"),
    "gains": (
        [MORE],
        True,
        "1 prefix gains next hops: about 25 to 50 % of their existing connections move to another node (with resilient hashing 25 %",
    ),
    "both": ([ONE, MORE, MORE], True, "1 prefix loses next hops, 2 only gain some: about 25 to 67 % of their"),
    "not found": ([ONE], True, "; resilient hashing: not configured"),
    "none": ([ONE], False, "; resilient hashing: none on this platform"),
    "found": (
        [SAFE],
        True,
        "1 prefix loses next hops: about 33 % of their existing connections move to another node; resilient hashing: configured",
    ),
    "found for some": ([SAFE, ONE, ONE], True, "; resilient hashing: configured for 1 of 3 prefixes"),
}


def test_where_nobody_knows_how_the_router_hashes() -> None:
    assert "hashing: not known, the router's configuration is not read" in flow_line(Flows(None, False, (ONE,)))


@pytest.mark.parametrize(("shifts", "configurable", "words"), CASES.values(), ids=CASES)
def test_the_sentence(shifts: Iterable[FlowShift], configurable: bool, words: str) -> None:
    assert words in flow_line(Flows("modulo", configurable, tuple(shifts)))


def test_a_plan_file_keeps_them() -> None:
    plan = plan_of(R1, LIKE_R1)
    assert R1.flows is not None
    assert [router.flows for router in decode_plan(encode_plan(plan)).routers] == [R1.flows, LIKE_R1.flows]

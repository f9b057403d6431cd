"""Shares of flows that move: RFC 2992's figures, all places of hops tried out, and hashes that routers use."""

import binascii
import itertools
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.core.flows import flows_at_risk, share_moved
from k8s_ecmp.model import Flows, FlowShift, Hashing, NextHop, RouteChange
from tests.core.build import p

FLOWS = 20_000
FIVE_SIGMA = 5 * (0.25 / FLOWS) ** 0.5
Choice = Callable[[int, Sequence[str]], str]


def crc16(flow: bytes) -> int:
    """CRC-16 (CCITT), which many ASICs offer."""
    return binascii.crc_hqx(flow, 0xFFFF)


def by_modulo(number: int, hops: Sequence[str]) -> str:
    return hops[number % len(hops)]


def by_kernel_threshold(number: int, hops: Sequence[str]) -> str:
    """Upper bounds as nh_hthr_group_rebalance computes them, for hashes of 31 bits."""
    for place, hop in enumerate(hops, 1):
        bound = (2 * (place << 31) + len(hops)) // (2 * len(hops)) - 1
        if number <= bound:
            return hop
    raise AssertionError(number)


def exact(before: Sequence[str], after: Sequence[str], hashing: Hashing) -> Fraction:
    """The share for one order of the hops, by looking at every number that makes a difference."""
    whole = lcm(len(before), len(after))

    def chosen(number: int, hops: Sequence[str]) -> str:
        return hops[number % len(hops) if hashing == "modulo" else number * len(hops) // whole]

    return Fraction(sum(chosen(number, before) != chosen(number, after) for number in range(whole)), whole)


def orders(stay: int, others: int, name: str) -> Iterator[list[str]]:
    """Hops that stay, in their order, with others at all places among them."""
    size = stay + others
    for places in itertools.combinations(range(size), others):
        staying, leaving = iter(range(stay)), iter(range(others))
        yield [f"{name}{next(leaving)}" if place in places else str(next(staying)) for place in range(size)]


COUNTS = [
    (stay, lose, gain)
    for stay, lose, gain in itertools.product(range(5), range(4), range(4))
    if stay + lose and stay + gain
]


@pytest.mark.parametrize(("stay", "lose", "gain"), COUNTS)
def test_the_range_is_that_of_all_places_of_hops_that_leave_and_come(stay: int, lose: int, gain: int) -> None:
    ways: tuple[Hashing, ...] = ("modulo", "hash-threshold")
    for hashing in ways:
        shares = [
            exact(before, after, hashing)
            for before in orders(stay, lose, "left")
            for after in orders(stay, gain, "came")
        ]
        assert share_moved(stay, lose, gain, hashing) == (min(shares), max(shares))


@pytest.mark.parametrize("count", [2, 3, 5, 9, 17, 64, 255])
def test_the_figures_of_rfc_2992(count: int) -> None:
    """Half of the flows at an end, 1/4 + 1/(4N) in the middle; modulo-N moves (N-1)/N."""
    middle = Fraction(1, 4) + Fraction(1, 4 * count)
    low, high = share_moved(count - 1, 1, 0, "hash-threshold")
    assert high == Fraction(1, 2)
    assert low == middle if count % 2 else low > middle
    assert share_moved(count - 1, 1, 0, "modulo") == (Fraction(count - 1, count),) * 2
    assert share_moved(count - 1, 1, 0, "resilient") == (Fraction(1, count),) * 2


CHANGES = {
    "first of three": ("abc", "bc"),
    "middle of three": ("abc", "ac"),
    "two of eight": ("abcdefgh", "abdegh"),
    "four to sixteen": ("efgh", "abcdefghijklmnop"),
    "one exchanged": ("abcde", "bcdef"),
    "all exchanged": ("abcd", "efgh"),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_what_simulated_routers_do(before: str, after: str) -> None:
    chance = random.Random(7)
    flows = [chance.randbytes(4) + b"\x0a\x60\x00\x0a" + chance.randbytes(2) + b"\x00\x50\x06" for _ in range(FLOWS)]

    def moved(choose: Choice, hashed: Callable[[bytes], int]) -> float:
        return sum(choose(hashed(flow), before) != choose(hashed(flow), after) for flow in flows) / FLOWS

    stay = len(set(before) & set(after))
    counts = (stay, len(before) - stay, len(after) - stay)
    ways: tuple[tuple[Choice, Hashing, tuple[Callable[[bytes], int], ...]], ...] = (
        (by_kernel_threshold, "hash-threshold", (lambda flow: zlib.crc32(flow[::-1]) >> 1, lambda f: crc16(f) << 15)),
        (by_modulo, "modulo", (zlib.crc32, crc16)),
    )
    for choose, hashing, hashes in ways:
        low, high = share_moved(*counts, hashing)
        for hashed in hashes:
            found = moved(choose, hashed)
            assert found == pytest.approx(float(exact(before, after, hashing)), abs=FIVE_SIGMA)
            assert float(low) - FIVE_SIGMA <= found <= float(high) + FIVE_SIGMA


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_a_table_of_buckets_rewrites_those_of_hops_that_leave(count: int) -> None:
    table = [place % count for place in range(240)]
    for gone in range(count):
        turn = itertools.cycle(hop for hop in range(count) if hop != gone)
        after = [next(turn) if hop == gone else hop for hop in table]
        changed = sum(one != other for one, other in zip(table, after, strict=True))
        assert (Fraction(changed, 240),) * 2 == share_moved(count - 1, 1, 0, "resilient")


@given(st.integers(1, 40), st.integers(0, 6), st.integers(0, 6))
def test_no_way_moves_fewer_than_the_resilient_one(stay: int, lose: int, gain: int) -> None:
    least, _ = share_moved(stay, lose, gain, "resilient")
    ways: tuple[Hashing, ...] = ("modulo", "hash-threshold")
    for hashing in ways:
        low, high = share_moved(stay, lose, gain, hashing)
        assert least <= low <= high <= 1
        assert (low, high) == share_moved(stay, gain, lose, hashing)
        assert (high == 0) == (lose == gain == 0)


def hops(*numbers: int) -> tuple[NextHop, ...]:
    return tuple(NextHop(f"10.0.0.{number}", tag=1) for number in numbers)


def change(prefix: str, before: tuple[NextHop, ...], after: tuple[NextHop, ...]) -> RouteChange:
    return RouteChange.between("default", p(prefix), before, after)


LOSES = change("10.96.0.1/32", hops(9, 10, 11), hops(10, 11))
GAINS = change("10.96.0.2/32", hops(1), hops(1, 2))


def at_risk(
    changes: Sequence[RouteChange],
    hashing: Hashing | None = "modulo",
    resilient: Sequence[RouteChange] | None = None,
    ours: Mapping[str, tuple[NextHop, ...]] | None = None,
    theirs: Mapping[str, tuple[NextHop, ...]] | None = None,
) -> Flows | None:
    """The flows at risk beside routes of ours and others', by prefix."""
    standing = {change.prefix: change.before for change in changes if change.before}
    mine = {p(prefix): hops for prefix, hops in (ours or {}).items()}
    others = {p(prefix): hops for prefix, hops in (theirs or {}).items()}
    return flows_at_risk(changes, hashing, resilient, {**standing, **mine, **others}, {*standing, *mine}, 5)


def test_prefixes_that_have_other_hops_than_before() -> None:
    assert at_risk([LOSES, GAINS], "hash-threshold", [GAINS]) == Flows(
        "hash-threshold",
        configurable=True,
        shifts=(
            FlowShift("default", LOSES.prefix, 1, 0, 0.3333, 0.5, 0.3333, resilient=False),
            FlowShift("default", GAINS.prefix, 0, 1, 0.5, 0.5, 0.5, resilient=True),
        ),
    )


DISCARD = (NextHop(discard=True, tag=1),)
OTHER_TAG = tuple(NextHop(hop.address, tag=2) for hop in hops(1, 2))


@pytest.mark.parametrize(
    ("before", "after"),
    [((), hops(1)), (hops(1), ()), (DISCARD, hops(1)), (hops(1, 2), DISCARD), (hops(1, 2), OTHER_TAG)],
    ids=["created", "deleted", "discarded before", "discarded after", "the same hops otherwise"],
)
def test_no_flow_moves_where_none_has_a_hop_before_and_after(
    before: tuple[NextHop, ...], after: tuple[NextHop, ...]
) -> None:
    assert at_risk([change("10.96.0.1/32", before, after)]) is None


RANGE = {"10.96.0.0/12": hops(1, 2, 3)}
NEW = change("10.96.0.1/32", (), hops(1, 2))


def test_a_prefix_of_its_own_takes_the_flows_of_the_route_around_it() -> None:
    found = at_risk([NEW], resilient=[NEW], ours=RANGE)
    assert found is not None
    (shift,) = found.shifts
    assert (shift.lose, shift.gain, shift.covering) == (1, 0, p("10.96.0.0/12"))
    assert (shift.moved_min, shift.moved_max, shift.unavoidable) == (0.6667, 0.6667, 0.6667)
    assert not shift.resilient, "two groups of next hops are two tables"


def test_a_prefix_that_goes_leaves_its_flows_to_the_route_around_it_as_that_will_be() -> None:
    wider = change("10.96.0.0/12", hops(1, 2), hops(1, 2, 3))
    found = at_risk([wider, NEW.inverse()])
    assert found is not None
    assert [(s.lose, s.gain, s.covering) for s in found.shifts] == [(0, 1, None), (0, 1, wider.prefix)]
    same = at_risk([NEW.inverse()], ours={"10.96.0.0/12": hops(1, 2)})
    assert same is not None
    assert [(s.moved_max, s.covering) for s in same.shifts] == [(0.0, wider.prefix)], "none moves, and none is cut"
    made = change("10.96.0.0/12", (), hops(1, 2, 3))
    found = at_risk([made, NEW.inverse()])
    assert found is not None
    assert [s.covering for s in found.shifts] == [made.prefix]


def test_flows_that_go_by_others_routes_or_by_none_are_not_of_our_knowing() -> None:
    assert at_risk([NEW], theirs=RANGE) is None
    assert at_risk([NEW], ours=RANGE, theirs={"10.96.0.0/24": hops(9)}) is None, "that one is nearer"
    assert at_risk([NEW], ours={"10.96.0.0/12": hops(1, 2)}) is None, "the same next hops"
    assert at_risk([NEW], ours={"10.96.0.0/12": (NextHop(discard=True, tag=1),)}) is None
    assert at_risk([NEW.inverse(), change("10.96.0.0/12", hops(1, 2, 3), ())]) is None, "both go"
    assert at_risk([NEW], ours={"fd00::/8": hops(1)}) is None


def test_a_prefix_that_drops_from_now_on_moves_no_flow_to_another_node() -> None:
    wider = change("10.96.0.0/12", hops(1, 2, 3), hops(1, 2))
    found = at_risk([wider, change("10.96.0.1/32", (), DISCARD)])
    assert found is not None
    assert [shift.prefix for shift in found.shifts] == [wider.prefix]
    assert at_risk([change("10.96.0.1/32", DISCARD, ())], ours=RANGE) is None


def test_a_node_is_the_same_with_and_without_the_interface_to_it() -> None:
    through = tuple(NextHop(hop.address, interface="eth0", tag=1) for hop in hops(1, 2))
    assert at_risk([change("10.96.0.1/32", through, hops(1, 2))]) is None


def at(distance: int | None, *numbers: int) -> tuple[NextHop, ...]:
    return tuple(NextHop(hop.address, distance=distance, tag=1) for hop in hops(*numbers))


def test_a_hop_with_a_worse_distance_stands_by_and_has_no_flows() -> None:
    found = at_risk([change("10.96.0.1/32", at(10, 1) + at(200, 2), hops(1, 2, 3))], "hash-threshold")
    assert found is not None
    (shift,) = found.shifts
    assert (shift.lose, shift.gain, shift.moved_min, shift.moved_max) == (0, 2, 0.6667, 0.6667)
    assert at_risk([change("10.96.0.1/32", hops(1, 2) + at(10, 3), hops(1, 2))]) is None, "it had none to lose"
    assert at_risk([change("10.96.0.1/32", at(4, 1) + hops(2), hops(1, 3))]) is not None
    same = change("10.96.0.1/32", hops(1) + at(5, 2) + at(6, 3), at(1, 1, 2))
    assert at_risk([same]) is None, "the platform's own distance, written or not"
    assert at_risk([change("10.96.0.1/32", DISCARD + at(200, 1), hops(1))]) is None, "it was discarded"
    covered = at_risk([NEW], ours={"10.96.0.0/12": at(1, 1, 2, 3) + at(200, 4)})
    assert covered == at_risk([NEW], ours=RANGE)

"""What tables show against what is expected of them."""

from k8s_ecmp.model import NextHop, Prefix
from k8s_ecmp.platforms.base import Better, Installed, Neighbour
from k8s_ecmp.routers.tables import floating, in_use, silent_hops, standing_by, table_problems
from tests.core.build import p

PREFIX = p("10.96.0.0/12")
BGP = Better("bgp 65001", 20)
NONE: frozenset[str] = frozenset()
HOPS = frozenset({"10.0.0.1", "10.0.0.2"})


def behind(better: Better, hops: frozenset[str] | None = None) -> dict[Prefix, Installed]:
    return {PREFIX: Installed(NONE, NONE, better, hops)}


def test_which_routes_float():
    near, far = NextHop("10.0.0.1"), NextHop("10.0.0.1", distance=250)
    assert floating([(PREFIX, (far,))], 1) == {PREFIX: 250}
    assert floating([(PREFIX, (near,)), (p("10.0.0.0/8"), (near, far)), (p("::/0"), ())], 1) == {}
    assert floating([(PREFIX, (NextHop("10.0.0.1", distance=5),))], 5) == {}


def test_hops_with_the_lowest_distance_are_in_use_by_their_address():
    first, second = NextHop("10.0.0.1", "eth0", distance=10), NextHop("10.0.0.2", distance=200)
    assert in_use((first, second), 1) == {"10.0.0.1"}
    assert in_use((NextHop("10.0.0.1", distance=1), NextHop("10.0.0.2")), 1) == {"10.0.0.1", "10.0.0.2"}
    assert in_use((), 1) == NONE


def test_a_floating_route_behind_a_better_one_is_well():
    for tables in (behind(BGP), behind(BGP, HOPS), behind(Better("bgp", None))):
        assert table_problems(tables, {PREFIX: HOPS}, {PREFIX: 250}) == ()
    assert standing_by(behind(BGP), {PREFIX: HOPS}, {PREFIX: 250}) == (
        "10.96.0.0/12 is not in use: the router prefers bgp 65001 with distance 20, ours has 250",
    )
    assert standing_by(behind(Better("bgp", None)), {PREFIX: HOPS}, {PREFIX: 250}) == (
        "10.96.0.0/12 is not in use: the router prefers bgp, ours has 250",
    )
    used = {PREFIX: Installed(HOPS, HOPS)}
    assert table_problems(used, {PREFIX: HOPS}, {PREFIX: 250}) == standing_by(used, {PREFIX: HOPS}, {PREFIX: 250}) == ()


def test_what_is_no_floating_route_is_missed():
    words = "10.96.0.0/12 in the routing table lacks 10.0.0.1, 10.0.0.2: bgp 65001 has the prefix, with distance 20"
    assert table_problems(behind(BGP), {PREFIX: HOPS}) == (words,)
    assert table_problems(behind(BGP), {PREFIX: HOPS}, {PREFIX: 20}) == (words,)
    assert standing_by(behind(BGP), {PREFIX: HOPS}, {PREFIX: 20}) == ()


def test_a_floating_route_that_is_not_there_or_another_one_is_missed():
    assert table_problems({}, {PREFIX: HOPS}, {PREFIX: 250}) == ("10.96.0.0/12 is not in the routing table",)
    for hops in (NONE, frozenset({"10.0.0.1"})):
        assert table_problems(behind(BGP, hops), {PREFIX: HOPS}, {PREFIX: 250}) != ()
        assert standing_by(behind(BGP, hops), {PREFIX: HOPS}, {PREFIX: 250}) == ()


def test_a_prefix_that_we_left_may_be_another_protocol_s():
    assert table_problems(behind(BGP), {PREFIX: ()}) == ()
    assert table_problems(behind(BGP, NONE), {PREFIX: ()}) == ()
    assert table_problems({}, {PREFIX: ()}) == ()
    for tables in (behind(BGP, HOPS), {PREFIX: Installed(HOPS, HOPS)}, {PREFIX: Installed(HOPS, NONE)}):
        assert table_problems(tables, {PREFIX: ()}) == ("10.96.0.0/12 is still in the routing table",)


def test_who_is_asked_for_and_does_not_answer():
    expected = {PREFIX: frozenset({"10.0.0.1", "10.0.0.2", "10.0.0.10", "discard"}), p("::/0"): frozenset({"fd00::1"})}
    neighbours = [
        Neighbour("fd00::1", "Vlan10", resolved=False),
        Neighbour("10.0.0.10", "", resolved=False),
        Neighbour("10.0.0.2", "Vlan10", resolved=False),
        Neighbour("10.0.0.2", "Vlan11", resolved=False),
        Neighbour("10.0.0.9", "Vlan10", resolved=False),
    ]
    end = ", packets to it are lost: is the node up, with this address, on this network?"
    assert silent_hops(neighbours, expected) == (
        f"next hop 10.0.0.2 does not answer ARP on Vlan10, Vlan11{end}",
        f"next hop 10.0.0.10 does not answer ARP{end}",
        f"next hop fd00::1 does not answer ND on Vlan10{end}",
    )


def test_who_answers_anywhere_or_was_not_asked_for_is_not_silent():
    expected = {PREFIX: HOPS}
    answers = [Neighbour("10.0.0.1", "Vlan10", resolved=False), Neighbour("10.0.0.1", "Vlan11", resolved=True)]
    assert silent_hops(answers, expected) == silent_hops([], expected) == ()

"""The bridge's parts without ExaBGP: lines, what is kept on disk, slots, messages."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.bgp.announced import Announced
from k8s_ecmp.bgp.frames import pack, receive
from k8s_ecmp.bgp.lines import (
    announcements,
    check_attributes,
    check_mark,
    check_next_hop,
    check_prefix,
    check_route,
    withdrawals,
)
from k8s_ecmp.bgp.peer import Peer
from k8s_ecmp.bgp.peers import PeerConfig, Session

HOPS = [f"10.9.0.{number}" for number in range(1, 9)]
ONE = (Session("10.9.0.11", "10.9.0.1"),)
FOUR = tuple(Session(f"10.9.0.{number}", "10.9.0.1") for number in range(11, 15))


def peer(folder: Path, sessions: tuple[Session, ...] = ONE, **fields: object) -> Peer:
    config = PeerConfig("edge", sessions, add_path=len(sessions) == 1, **fields)  # type: ignore[arg-type]
    return Peer(config, Announced(folder / "announced.sqlite"))


def wanted(**routes: list[str]) -> dict[str, list[tuple[str, int, str]]]:
    return {f"10.96.0.{name[1:]}/32": [(hop, 1, "prod") for hop in hops] for name, hops in routes.items()}


def said(of: Peer, number: int = 0) -> list[str]:
    return [line for block in of.announce(of.links[number]) for line in block]


def test_the_bridge_needs_the_standard_library_alone() -> None:
    program = (
        "import sys; before = set(sys.modules); import k8s_ecmp.bgp.bridge\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(roots - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['k8s_ecmp']"


def test_a_block_says_all_next_hops_of_its_prefixes_before_the_next_begins() -> None:
    routes = {f"10.96.0.{n}/32": {1: HOPS[0], 2: HOPS[1]} for n in range(40)}
    lines = list(announcements("neighbor 10.9.0.1", "med 100", routes))
    assert [len(line.split(" nlri ")[1].split()) for line in lines] == [25, 25, 15, 15]
    assert lines[0].startswith(
        "neighbor 10.9.0.1 announce attributes next-hop 10.9.0.1 path-information 1 med 100 nlri "
    )
    assert lines[1].split(" nlri ")[1] == lines[0].split(" nlri ")[1]


def test_families_do_not_share_a_line() -> None:
    routes = {"10.96.0.1/32": {7: None}, "fd00::1/128": {7: None}}
    assert sorted(withdrawals("neighbor 10.9.0.1", routes)) == [
        "neighbor 10.9.0.1 withdraw attributes path-information 7 nlri 10.96.0.1/32",
        "neighbor 10.9.0.1 withdraw attributes path-information 7 nlri fd00::1/128",
    ]


@pytest.mark.parametrize("path_id", [-1, 1 << 32])
def test_a_path_identifier_that_exabgp_would_take_and_no_peer_is_refused(path_id: int) -> None:
    with pytest.raises(ValueError, match="path identifier"):
        list(announcements("neighbor 10.9.0.1", "", {"10.96.0.1/32": {path_id: HOPS[0]}}))


@pytest.mark.parametrize(
    "call",
    [
        lambda: check_route("fd00::1/128", ["10.9.0.1"]),
        lambda: check_route("10.96.0.1/32", ["fd09::1"]),
        lambda: check_prefix("10.96.0.1/24"),
        lambda: check_prefix("10.96.0.1"),
        lambda: check_prefix("FD00::/64"),
        lambda: check_prefix("10.96.0.0/24\nshutdown"),
        lambda: check_next_hop("224.0.0.1"),
        lambda: check_next_hop("fe80::1"),
        lambda: check_next_hop("127.0.0.1"),
        lambda: check_next_hop("10.9.0.1 med 4"),
        lambda: check_next_hop("2001:db8::1%é"),
        lambda: check_next_hop("2001:db8::1%x\nshutdown"),
        lambda: check_prefix("2001:db8::1%x y/128"),
        lambda: check_mark(-1, "prod"),
        lambda: check_mark(1, "prod\n"),
        lambda: check_attributes("med 100\nshutdown"),
        lambda: check_attributes("community [ü]"),
    ],
)
def test_what_exabgp_must_not_be_given_is_refused(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]


def test_a_node_keeps_its_path_identifier_for_ever(tmp_path: Path) -> None:
    first = peer(tmp_path)
    first.set(wanted(p1=HOPS[:2], p2=HOPS[1:3]))
    first.set(wanted(p1=[], p2=HOPS[2:3]))
    first.set(wanted(p3=[HOPS[7], HOPS[1]]))
    slots = {address: hop.slot for hops in first.routes.values() for address, hop in hops.items()}
    assert slots == {HOPS[2]: 3, HOPS[7]: 4, HOPS[1]: 2}
    again = peer(tmp_path)
    assert (again.routes, again.leaving) == (first.routes, first.leaving)
    assert set(again.leaving) == {("10.96.0.1/32", 1), ("10.96.0.1/32", 2), ("10.96.0.2/32", 2)}


def test_only_what_changes_is_said(tmp_path: Path) -> None:
    of = peer(tmp_path)
    of.set(wanted(p1=HOPS[:3], p2=HOPS[:3]))
    gained, left = of.set(wanted(p1=HOPS[:4], p2=HOPS[:2]))
    assert ({p: s for p, s in gained.items() if s}, left) == ({"10.96.0.1/32": {4}}, [("10.96.0.2/32", 3)])
    (block,) = of.announce(of.links[0], gained)
    assert block == [
        "neighbor 10.9.0.1 local-ip 10.9.0.11 announce attributes next-hop 10.9.0.4 path-information 4 nlri 10.96.0.1/32"
    ]
    (block,) = of.withdraw(of.links[0], left)
    assert block == ["neighbor 10.9.0.1 local-ip 10.9.0.11 withdraw attributes path-information 3 nlri 10.96.0.2/32"]


def test_a_withdrawal_is_forgotten_when_the_path_is_back(tmp_path: Path) -> None:
    of = peer(tmp_path)
    of.set(wanted(p1=HOPS[:2]))
    _, left = of.set(wanted(p1=HOPS[:1]))
    of.set(wanted(p1=HOPS[:2]))
    assert [line for block in of.withdraw(of.links[0], left) for line in block] == []
    assert peer(tmp_path).leaving == {}


def test_nothing_is_changed_where_one_route_cannot_be(tmp_path: Path) -> None:
    of = peer(tmp_path)
    of.set(wanted(p1=HOPS[:2]))
    with pytest.raises(ValueError, match="other family"):
        of.check({**wanted(p1=[]), "10.96.0.9/32": [("fd09::1", 1, "prod")]})
    assert set(of.routes) == {"10.96.0.1/32"} == set(peer(tmp_path).routes)


@given(st.lists(st.dictionaries(st.integers(1, 4), st.sets(st.sampled_from(HOPS), max_size=4)), max_size=8))
def test_each_session_carries_at_most_one_path_and_all_of_them_carry_all(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[int, set[str]]]
) -> None:
    of = peer(tmp_path_factory.mktemp("peer"), FOUR)
    told: dict[tuple[int, str], str] = {}
    for step in steps:
        change = {f"10.96.0.{n}/32": [(hop, 1, "prod") for hop in sorted(hops)] for n, hops in step.items()}
        before = {p: {a: h.slot for a, h in hops.items()} for p, hops in of.routes.items()}
        gained, left = of.set(change)
        for prefix, hops in of.routes.items():
            kept = before.get(prefix, {}).keys() & hops.keys()
            assert all(hops[address].slot == before[prefix][address] for address in kept), "what stays does not move"
        for link in of.links:
            for line in (line for block in of.announce(link, gained) for line in block):
                hop, prefixes = line.split("next-hop ")[1].split(" nlri ")
                told |= {(link.index, prefix): hop for prefix in prefixes.split()}
            for line in (line for block in of.withdraw(link, left) for line in block):
                for prefix in line.split(" nlri ")[1].split():
                    del told[link.index, prefix]
    received: dict[str, set[str]] = {}
    for (_, prefix), hop in told.items():
        received.setdefault(prefix, set()).add(hop)
    assert received == {prefix: set(hops) for prefix, hops in of.routes.items()}


def test_a_family_that_the_sessions_do_not_carry_is_refused_and_forgotten(tmp_path: Path) -> None:
    both = peer(tmp_path)
    both.set({**wanted(p1=HOPS[:1], p2=HOPS[:1]), "fd00:96::1/128": [("fd09::1", 1, "prod")]})
    both.set(wanted(p2=[]))
    of = peer(tmp_path, families=(6,))
    assert set(of.routes) == {"fd00:96::1/128"} == set(peer(tmp_path, families=(6,)).routes)
    assert of.leaving == {}
    with pytest.raises(ValueError, match=r"10.96.0.1/32 is of a family that bgp.families does not have"):
        of.check(wanted(p1=HOPS[:2]))


def test_a_peer_that_takes_one_path_is_told_one_that_stays(tmp_path: Path) -> None:
    of = peer(tmp_path)
    of.set(wanted(p1=HOPS[:3], p2=HOPS[:1]))
    (link,) = of.links
    link.up, link.families, link.add_path = True, frozenset({"ipv4 unicast"}), frozenset()
    assert set(of.closed()) == {4, 6}
    assert "ipv6 unicast" in of.closed()[6]
    with pytest.raises(ValueError, match="several paths"):
        of.check(wanted(p2=HOPS[:2]))
    to = link.session.selector
    _, left = of.set(wanted(p1=HOPS[1:3], p2=[]))
    (block,) = of.withdraw(link, left)
    assert block == [
        f"{to} announce attributes next-hop {HOPS[1]} path-information 1 nlri 10.96.0.1/32",
        f"{to} withdraw attributes path-information 1 nlri 10.96.0.2/32",
    ]
    # What stood in the place of the first leaves: all places have the last; that leaves, too, and with it all places.
    _, left = of.set(wanted(p1=HOPS[2:3]))
    (block,) = of.withdraw(link, left)
    assert block == [
        f"{to} announce attributes next-hop {HOPS[2]} path-information {number} nlri 10.96.0.1/32" for number in (1, 2)
    ]
    _, left = of.set(wanted(p1=[]))
    (block,) = of.withdraw(link, left)
    assert block == [f"{to} withdraw attributes path-information {number} nlri 10.96.0.1/32" for number in (1, 2, 3)]


def test_more_next_hops_than_sessions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 next hops; 4 sessions"):
        peer(tmp_path, FOUR).check(wanted(p1=HOPS[:5]))


def test_another_way_to_carry_paths_starts_anew_with_the_same_routes(tmp_path: Path) -> None:
    peer(tmp_path, FOUR).set(wanted(p1=HOPS[:4]))
    of = peer(tmp_path)
    assert set(of.routes["10.96.0.1/32"]) == set(HOPS[:4])
    assert len(said(of)) == 4
    fewer = peer(tmp_path, FOUR[:2])
    assert len(fewer.routes["10.96.0.1/32"]) == 2, "what the sessions cannot carry is planned anew"


def test_messages_of_any_size() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(pack({"op": "read", "text": "ü" * 1000}))
        assert receive(other) == {"op": "read", "text": "ü" * 1000}
        one.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(ValueError, match="too long"):
            receive(other)

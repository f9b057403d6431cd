"""Announcements as text: read, written, and read back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import ParseError, RenderError, SessionDown, TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RouteChange
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Installed
from k8s_ecmp.platforms.edits import apply_edits

BGP = get_platform("bgp")
HEAD, END = "peer edge1\n", "end\n"
TWO = """peer edge1
! a note
announce route 10.96.0.0/12 next-hop 10.9.0.101 tag 4201 name prod
announce route 10.96.0.0/12 next-hop 10.9.0.102 tag 4201 name prod
announce route fd00:96::/112 next-hop fd09::101 tag 4201 name prod
end
"""
HOPS = {
    4: [NextHop(f"10.9.0.{n}", tag=4201, name="prod") for n in range(1, 6)],
    6: [NextHop(f"fd09::{n}", tag=4201, name="prod") for n in range(1, 6)],
}


def test_reads_what_is_announced() -> None:
    found = BGP.parse(TWO)
    assert [(str(r.prefix), [h.address for h in r.next_hops]) for r in found] == [
        ("10.96.0.0/12", ["10.9.0.101", "10.9.0.102"]),
        ("fd00:96::/112", ["fd09::101"]),
    ]
    assert {(h.tag, h.name) for r in found for h in r.next_hops} == {(4201, "prod")}


def test_nothing_announced_is_not_an_empty_answer() -> None:
    assert len(BGP.parse(HEAD + END)) == 0
    for text in ("", "\n", "! a note\n", "end\n"):
        with pytest.raises(ParseError):
            BGP.parse(text)


def test_an_answer_that_is_cut_short_is_an_error() -> None:
    for cut in range(1, TWO.count("\n")):
        with pytest.raises(ParseError):
            BGP.parse("".join(TWO.splitlines(keepends=True)[:cut]))


@pytest.mark.parametrize(
    "line",
    [
        "announce route 10.96.0.1/12 next-hop 10.9.0.1 tag 1 name a",
        "announce route 10.96.0.0/12 next-hop fd09::1 tag 1 name a",
        "announce route 10.96.0.0/12 next-hop 10.9.0.1 med 4",
        "announce route 10.96.0.0/12 tag 1 name a",
        "announce route 10.96.0.0/12 next-hop 10.9.0.1 tag 4294967296",
        "announce route 10.96.0.0/33 next-hop 10.9.0.1",
        "withdraw route 10.96.0.0/12 next-hop 10.9.0.1",
        "ip route 10.96.0.0/12 10.9.0.1",
    ],
)
def test_a_line_that_is_no_announcement_is_an_error(line: str) -> None:
    with pytest.raises(ParseError, match="line 2"):
        BGP.parse(f"{HEAD}{line}\n{END}")


def test_commands_and_what_they_do() -> None:
    running = BGP.parse(TWO)
    prefix = Prefix.parse("10.96.0.0/12")
    route = running.get(DEFAULT_VRF, prefix)
    assert route is not None
    before = route.next_hops
    after = (before[1], NextHop("10.9.0.103", tag=4201, name="prod"))
    commands = BGP.render([RouteChange.between(DEFAULT_VRF, prefix, before, after)], running)
    assert commands.splitlines() == [
        "announce route 10.96.0.0/12 next-hop 10.9.0.103 tag 4201 name prod",
        "withdraw route 10.96.0.0/12 next-hop 10.9.0.101",
    ]
    assert apply_edits(TWO, BGP.edits(running, commands)).splitlines() == [
        "peer edge1",
        "! a note",
        "announce route 10.96.0.0/12 next-hop 10.9.0.102 tag 4201 name prod",
        "announce route 10.96.0.0/12 next-hop 10.9.0.103 tag 4201 name prod",
        "announce route fd00:96::/112 next-hop fd09::101 tag 4201 name prod",
        "end",
    ]


def test_a_discard_route_is_refused_with_the_setting_to_change() -> None:
    change = RouteChange.between(
        DEFAULT_VRF, Prefix.parse("10.97.0.0/16"), (), (NextHop(discard=True, tag=1, name="a"),)
    )
    with pytest.raises(RenderError, match="discard_unserved"):
        BGP.render([change], BGP.parse(HEAD + END))


@st.composite
def tables(draw: st.DrawFn) -> dict[Prefix, tuple[NextHop, ...]]:
    found = {}
    for number in draw(st.sets(st.integers(1, 8))):
        family = draw(st.sampled_from((4, 6)))
        prefix = Prefix.parse(f"10.96.{number}.0/24" if family == 4 else f"fd00:96:{number}::/64")
        found[prefix] = tuple(draw(st.lists(st.sampled_from(HOPS[family]), min_size=1, unique=True)))
    return found


def text(table: dict[Prefix, tuple[NextHop, ...]]) -> str:
    lines = [BGP.shown(DEFAULT_VRF, prefix, hop, None) for prefix, hops in table.items() for hop in hops]  # type: ignore[attr-defined]
    return HEAD + "".join(f"{line}\n" for line in lines) + END


@given(tables(), tables())
def test_commands_lead_from_any_table_to_any_other(
    old: dict[Prefix, tuple[NextHop, ...]], new: dict[Prefix, tuple[NextHop, ...]]
) -> None:
    running = BGP.parse(text(old))
    changes = [
        RouteChange.between(DEFAULT_VRF, prefix, old.get(prefix, ()), new.get(prefix, ()))
        for prefix in old.keys() | new.keys()
        if set(old.get(prefix, ())) != set(new.get(prefix, ()))
    ]
    commands = BGP.render(changes, running)
    after = BGP.parse(apply_edits(running.text, BGP.edits(running, commands)))
    assert {r.prefix: set(r.next_hops) for r in after} == {p: set(hops) for p, hops in new.items()}


@given(st.text(max_size=200))
def test_arbitrary_text_gives_routes_or_an_error_of_ours(words: str) -> None:
    with contextlib.suppress(ParseError):
        BGP.parse(words)


def test_tables_are_those_of_sessions_that_are_up() -> None:
    ask = BGP.verification
    assert ask is not None
    (command,) = ask.prefix_commands(DEFAULT_VRF, [Prefix.parse("10.96.0.0/12")])
    assert command == "show announced 10.96.0.0/12"
    hops = frozenset({"10.9.0.101", "10.9.0.102"})
    found = ask.read_tables({command: '{"down": null, "routes": {"10.96.0.0/12": ["10.9.0.102", "10.9.0.101"]}}'})
    assert found == {(DEFAULT_VRF, Prefix.parse("10.96.0.0/12")): Installed(hops, hops)}
    with pytest.raises(SessionDown, match="hold timer"):
        ask.read_tables({command: '{"down": "hold timer", "routes": {}}'})
    for answer in ("", "[]", '{"down": null, "routes": [1]}', '{"routes": {}}'):
        with pytest.raises(TableUnreadable):
            ask.read_tables({command: answer})

"""Batches: one added hop per prefix and transaction, never less than old and new have in common, and exactly undone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.model import DEFAULT_VRF
from k8s_ecmp.routers.drivers.frr.grammar import read_line
from k8s_ecmp.routers.drivers.frr.transactions import Change, Refused, Running, change, read_commands, replacement

HEAD = "!\nfrr version 8.4.4\nhostname r1\n!\n"


def plan(running: str, commands: str) -> Change:
    return change(Running.read(running), read_commands(commands))


class Staticd:
    """What staticd makes of batches: hops by prefix; one tag for each prefix and distance, or, from 10.7, for each hop."""

    def __init__(self, text: str, *, own_tags: bool = False) -> None:
        self.hops: dict[tuple[str, str], dict[tuple[str, ...], int]] = {}
        self.tags: dict[tuple[Any, ...], int] = {}
        self.own_tags = own_tags
        self.apply(text)

    def apply(self, text: str) -> None:
        block = DEFAULT_VRF
        for raw in text.splitlines():
            if raw.startswith("vrf "):
                block = raw.split()[1]
            elif raw == "exit-vrf":
                block = DEFAULT_VRF
            elif line := read_line(raw.strip(), block):
                hops = self.hops.setdefault((block, line.prefix), {})
                if line.negative:
                    hops.pop(line.hop, None)
                else:
                    hops[line.hop] = line.distance
                    self.tags[self._owner((block, line.prefix), line.hop, line.distance)] = line.tag

    def _owner(self, key: tuple[str, str], hop: tuple[str, ...], distance: int) -> tuple[Any, ...]:
        return (*key, hop if self.own_tags else distance)

    def table(self) -> dict[tuple[str, str], dict[tuple[str, ...], tuple[int, int]]]:
        return {
            key: {hop: (distance, self.tags[self._owner(key, hop, distance)]) for hop, distance in hops.items()}
            for key, hops in self.hops.items()
            if hops
        }


def test_a_new_prefix_gets_one_hop_per_batch() -> None:
    found = plan(HEAD, "ip route 10.1.0.1/32 10.0.0.1 tag 5\nip route 10.1.0.1/32 10.0.0.2 tag 5\n")
    assert found.batches == ("ip route 10.1.0.1/32 10.0.0.1 tag 5\n", "ip route 10.1.0.1/32 10.0.0.2 tag 5\n")
    assert found.undo == ("no ip route 10.1.0.1/32 10.0.0.1 tag 5\nno ip route 10.1.0.1/32 10.0.0.2 tag 5\n",)


def test_the_kth_hops_of_all_prefixes_share_a_batch() -> None:
    lines = [f"ip route 10.1.0.{p}/32 10.0.0.{h} tag 5" for p in range(3) for h in range(2)]
    found = plan(HEAD, "\n".join(lines))
    assert found.batches == ("\n".join(lines[0::2]) + "\n", "\n".join(lines[1::2]) + "\n")


def test_removals_follow_the_last_addition() -> None:
    running = HEAD + "ip route 10.1.0.1/32 10.0.0.1 tag 5\nip route 10.1.0.1/32 10.0.0.2 tag 5\n"
    found = plan(
        running,
        "no ip route 10.1.0.1/32 10.0.0.1\nno ip route 10.1.0.1/32 10.0.0.2\n"
        "ip route 10.1.0.1/32 10.0.0.3 tag 5\nip route 10.1.0.1/32 10.0.0.4 tag 5\n",
    )
    assert found.batches == (
        "ip route 10.1.0.1/32 10.0.0.3 tag 5\n",
        "ip route 10.1.0.1/32 10.0.0.4 tag 5\n",
        "no ip route 10.1.0.1/32 10.0.0.1 tag 5\nno ip route 10.1.0.1/32 10.0.0.2 tag 5\n",
    )


def test_a_discard_route_never_stands_beside_hops() -> None:
    running = HEAD + "ip route 10.1.0.1/32 Null0 tag 5\n"
    commands = (
        "no ip route 10.1.0.1/32 Null0\nip route 10.1.0.1/32 10.0.0.1 tag 5\nip route 10.1.0.1/32 10.0.0.2 tag 5\n"
    )
    found = plan(running, commands)
    assert found.batches[0] == "ip route 10.1.0.1/32 10.0.0.1 tag 5\nno ip route 10.1.0.1/32 Null0 tag 5\n"
    assert found.undo == (
        "ip route 10.1.0.1/32 Null0 tag 5\n"
        "no ip route 10.1.0.1/32 10.0.0.1 tag 5\nno ip route 10.1.0.1/32 10.0.0.2 tag 5\n",
    )


def test_what_changes_nothing_is_left_out() -> None:
    running = HEAD + "ip route 10.1.0.1/32 10.0.0.1 tag 5\n"
    assert plan(running, "ip route 10.1.0.1/32 10.0.0.1 tag 5\nno ip route 10.9.0.0/24 10.0.0.1\n") == Change()


def test_a_silent_retag_of_the_group_is_undone() -> None:
    running = HEAD + "ip route 10.1.0.1/32 10.0.0.1 tag 77\nip route 10.1.0.1/32 10.0.0.2 tag 77\n"
    found = plan(running, "ip route 10.1.0.1/32 10.0.0.3 tag 5\n")
    router = Staticd(running)
    before = router.table()
    for batch in (*found.batches, *found.undo):
        router.apply(batch)
    assert router.table() == before
    assert found.diff == (
        "-ip route 10.1.0.1/32 10.0.0.1 tag 77\n-ip route 10.1.0.1/32 10.0.0.2 tag 77\n"
        "+ip route 10.1.0.1/32 10.0.0.1 tag 5\n+ip route 10.1.0.1/32 10.0.0.2 tag 5\n"
        "+ip route 10.1.0.1/32 10.0.0.3 tag 5"
    )


def test_vrf_blocks_stay_blocks() -> None:
    running = HEAD + "ip route 10.1.0.1/32 10.0.0.1 tag 5\n!\nvrf red\n ip route 10.1.0.1/32 10.0.0.9\nexit-vrf\n"
    found = plan(running, "vrf red\n ip route 10.1.0.1/32 10.0.0.8\n no ip route 10.1.0.1/32 10.0.0.9\nexit-vrf\n")
    assert found.batches == (
        "vrf red\n ip route 10.1.0.1/32 10.0.0.8\nexit-vrf\n",
        "vrf red\n no ip route 10.1.0.1/32 10.0.0.9\nexit-vrf\n",
    )
    assert found.diff == " vrf red\n- ip route 10.1.0.1/32 10.0.0.9\n+ ip route 10.1.0.1/32 10.0.0.8"


def test_the_host_name_is_taken_back() -> None:
    found = plan(HEAD, "hostname r2\n")
    assert (found.batches, found.undo) == (("hostname r2\n",), ("hostname r1\n",))


@pytest.mark.parametrize(
    "line",
    ["router bgp 65000", "ip rute 10.0.0.0/8 1.1.1.1", "ip route 10.0.0.0/33 1.1.1.1", "no ipv6 route 10.0.0.0/8 ::1"],
)
def test_other_lines_are_refused_with_their_number(line: str) -> None:
    with pytest.raises(Refused) as caught:
        read_commands(f"! comment\nip route 10.1.0.0/24 10.0.0.1\n{line}\n")
    assert (caught.value.number, caught.value.text) == (3, line)


def test_a_replacement_takes_away_and_adds() -> None:
    running = HEAD + "ip route 10.1.0.1/32 10.0.0.1 tag 5\nip route 10.2.0.1/32 10.0.0.1\n"
    target = HEAD + "ip route 10.1.0.1/32 10.0.0.2 tag 5\nip route 10.2.0.1/32 10.0.0.1\n"
    found = change(Running.read(running), replacement(Running.read(running), target))
    assert found.batches == ("ip route 10.1.0.1/32 10.0.0.2 tag 5\n", "no ip route 10.1.0.1/32 10.0.0.1 tag 5\n")


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        (HEAD + "router bgp 65000\n", "router bgp 65000"),
        (HEAD.replace("frr version 8.4.4\n", ""), "no frr version 8.4.4"),
    ],
)
def test_a_replacement_of_anything_else_is_refused(target: str, refused: str) -> None:
    with pytest.raises(Refused) as caught:
        replacement(Running.read(HEAD), target)
    assert caught.value.text == refused


prefixes = st.sampled_from(["10.1.0.1/32", "10.1.0.2/32", "10.96.0.0/12", "fd01::1/128"])
hosts = st.integers(1, 6)
tags = st.sampled_from(["", " tag 5", " tag 77"])
distances = st.sampled_from(["", " 200"])


@st.composite
def route(draw: st.DrawFn) -> str:
    prefix = draw(prefixes)
    family, stem = ("ipv6", "fd00::") if ":" in prefix else ("ip", "10.0.0.")
    return f"{family} route {prefix} {stem}{draw(hosts)}{draw(tags)}{draw(distances)}"


@st.composite
def configuration(draw: st.DrawFn, block: str, *, own_tags: bool = False) -> str:
    """As the router would show it: hops once per prefix, tags where they belong."""
    state = Staticd("", own_tags=own_tags)
    for line in draw(st.lists(route(), max_size=12)):
        state.apply(line)
    out = []
    for (_, prefix), hops in state.table().items():
        word = "ipv6" if ":" in prefix else "ip"
        out += [
            f"{word} route {prefix} {hop[0]}"
            + (f" tag {tag}" if tag else "")
            + (f" {distance}" if distance != 1 else "")
            for hop, (distance, tag) in hops.items()
        ]
    if block == DEFAULT_VRF:
        return "".join(f"{line}\n" for line in out)
    return f"vrf {block}\n" + "".join(f" {line}\n" for line in out) + "exit-vrf\n"


@st.composite
def commands(draw: st.DrawFn) -> str:
    return "\n".join(f"no {line}" if draw(st.booleans()) else line for line in draw(st.lists(route(), max_size=10)))


@given(configuration(DEFAULT_VRF), configuration("red"), commands(), commands(), st.booleans())
def test_forward_and_back(running: str, red: str, wanted: str, wanted_red: str, own_tags: bool) -> None:
    text = HEAD + running + red
    program = f"{wanted}\nvrf red\n{wanted_red}\nexit-vrf\n"
    found = plan(text, program)
    router = Staticd(text, own_tags=own_tags)
    before = router.table()
    goal = Staticd(text)
    goal.apply(program)
    for direction, target in ((found.batches, goal.table()), (found.undo, before)):
        start = router.table()
        for batch in direction:
            old = router.table()
            router.apply(batch)
            new = router.table()
            for key, hops in new.items():
                assert len(set(hops) - set(old.get(key, {}))) <= 1
            for key in set(start) & set(target):
                assert set(new.get(key, {})) >= set(start[key]) & set(target[key])
                assert new.get(key)
        assert router.table() == target
    assert (found.diff == "") == (goal.table() == before)


@given(configuration(DEFAULT_VRF), commands())
def test_the_undo_heals_from_every_step(running: str, wanted: str) -> None:
    text = HEAD + running
    found = plan(text, wanted)
    for applied in range(len(found.batches) + 1):
        router = Staticd(text)
        before = router.table()
        for batch in found.batches[:applied]:
            router.apply(batch)
        for batch in (*found.undo, *found.undo):
            router.apply(batch)
        assert router.table() == before


@given(configuration(DEFAULT_VRF, own_tags=True), commands())
def test_tags_that_differ_within_a_prefix_are_restored(running: str, wanted: str) -> None:
    found = plan(HEAD + running, wanted)
    router = Staticd(HEAD + running, own_tags=True)
    before = router.table()
    for batch in found.batches:
        router.apply(batch)
    after = Staticd("\n".join(line for _, lines in found.prefixes.values() for line in lines), own_tags=True).table()
    assert {key: hops for key, hops in router.table().items() if key in found.prefixes} == after
    for batch in found.undo:
        router.apply(batch)
    assert router.table() == before


@given(configuration(DEFAULT_VRF), commands())
def test_the_running_lines_follow_a_commit(running: str, wanted: str) -> None:
    known = Running.read(HEAD + running)
    found = change(known, read_commands(wanted))
    known.take(found)
    router = Staticd(HEAD + running)
    for batch in found.batches:
        router.apply(batch)
    followed = Staticd("\n".join(line for lines in known.routes.values() for line in lines))
    assert followed.table() == router.table()
    again = change(known, read_commands(wanted))
    assert {key: set(lines) for key, (_, lines) in again.prefixes.items()} == {}

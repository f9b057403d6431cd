"""Properties over random tables: what is written can be read, and nothing else moves."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import NextHop, Prefix, RouteChange
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.edits import apply_edits, split_lines
from k8s_ecmp.platforms.flat import FlatPlatform
from tests.examples import more_examples
from tests.platforms.cases import table

NAMES = ["eos", "frr", "ios", "nxos"]
# What opens and closes the block of a VRF, where static lines stand in one.
BLOCKS = {"frr": ("vrf {}", "exit-vrf"), "nxos": ("vrf context {}", "")}
VRFS = ["default", "red", "blue"]
# VRFs that have to be there before routes can be.
HEADS = {
    "eos": ["vrf instance red", "!", "vrf instance blue", "!"],
    "ios": ["vrf definition red", "!", "vrf definition blue", "!"],
    "nxos": ["vlan 10", "  name x"],
}
Table = dict[tuple[str, Prefix], frozenset[NextHop]]

prefixes = st.one_of(
    st.builds(
        lambda n, size: Prefix(4, n >> (32 - size) << (32 - size), size), st.integers(0, 2**32 - 1), st.integers(0, 32)
    ),
    st.builds(
        lambda n, size: Prefix(6, n >> (128 - size) << (128 - size), size),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    ),
)
distances = st.none() | st.integers(2, 255)
tags = st.none() | st.integers(1, 2**32 - 1)


@st.composite
def routes(draw: st.DrawFn, platform: FlatPlatform, prefix: Prefix) -> frozenset[NextHop]:
    """A set of hops as one prefix of the platform may have it: one tag for each distance, no hop twice."""
    distance, tag = draw(distances), draw(tags)
    named = platform.capabilities.name_mark
    interface = "Ethernet1" if named else "e0"

    def hop(address: str | None, **more: object) -> NextHop:
        name = draw(st.none() | st.sampled_from(["prod-eu1", "x"])) if named else None
        return NextHop(address, distance=distance, tag=tag, name=name, **more)  # type: ignore[arg-type]

    if draw(st.integers(0, 9)) == 0:
        return frozenset({hop(None, discard=True)})
    base = "10.0.0." if prefix.family == 4 else "fd00:a::"
    addresses = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True))
    hops = {hop(f"{base}{number}") for number in addresses}
    if draw(st.booleans()):
        options = draw(st.sampled_from([(), ("onlink",)] if not named else [(), ("track", "bfd"), ("metric", "7")]))
        hops.add(hop(f"{base}1", interface=interface, options=options))
    if draw(st.booleans()):
        hops.add(hop(f"{base}2", vrf="green"))
    return frozenset(hops)


@st.composite
def tables(draw: st.DrawFn, platform: FlatPlatform) -> Table:
    keys = draw(st.lists(st.tuples(st.sampled_from(VRFS), prefixes), max_size=8, unique=True))
    return {key: draw(routes(platform, key[1])) for key in keys}


@st.composite
def configurations(draw: st.DrawFn, platform: FlatPlatform, contents: Table) -> str:
    """A text with these routes, in the platform's form, with other lines around and between them."""
    noise = st.lists(
        st.sampled_from(["!", "", "# note: ip route 10.0.0.0/8 10.1.1.1", " description ip route 1", "ip routing"]),
        max_size=2,
    )
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = ["hostname r1", *HEADS.get(platform.name, [])]
    for vrf in draw(st.permutations(VRFS)):
        own = [(prefix, hop) for (in_vrf, prefix), hops in contents.items() if in_vrf == vrf for hop in hops]
        opening, closing = BLOCKS[platform.name] if platform.vrf_blocks and vrf != "default" else ("", "")
        lines += [opening.format(vrf)] if opening else []
        for prefix, hop in draw(st.permutations(own)):
            # Where no word closes a block, a line without indentation does.
            lines += [f"  {line}" if opening and not closing else line for line in draw(noise)]
            lines.append(platform.shown(vrf, prefix, hop, None))
        lines += [closing] if closing else []
    lines += [*draw(noise), "end"]
    return end.join(lines) + draw(st.sampled_from(["", end]))


def changes_between(before: Table, after: Table) -> list[RouteChange]:
    return [
        RouteChange(
            "delete" if key not in after else "update" if key in before else "create",
            *key,
            tuple(before.get(key, ())),
            tuple(after.get(key, ())),
        )
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_what_stands_in_a_text_is_read(name: str, data: st.DataObject):
    platform = get_platform(name)
    assert isinstance(platform, FlatPlatform)
    contents = data.draw(tables(platform))
    running = platform.parse(data.draw(configurations(platform, contents)))
    assert table(running) == contents
    for route in running:
        shown = [platform.shown(route.vrf, route.prefix, hop, None).split() for hop in route.next_hops]
        assert shown == [running.source[line - 1].split() for line in route.lines]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_what_is_written_is_read_alone(name: str, data: st.DataObject):
    platform = get_platform(name)
    assert isinstance(platform, FlatPlatform)
    contents = data.draw(tables(platform).filter(bool))
    head = "\n".join(
        ["hostname r1", *HEADS.get(name, []), *(f"vrf context {vrf}" for vrf in VRFS[1:] if name == "nxos")]
    )
    commands = platform.render(changes_between({}, contents), platform.parse(head))
    assert table(platform.parse(commands)) == contents


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@more_examples(2)
def test_there_and_back(name: str, data: st.DataObject):
    platform = get_platform(name)
    assert isinstance(platform, FlatPlatform)
    before = data.draw(tables(platform))
    text = data.draw(configurations(platform, before))
    running = platform.parse(text)
    after = dict(before)
    for key in data.draw(st.lists(st.sampled_from(sorted(before)), unique=True)) if before else ():
        after.pop(key)
        if data.draw(st.booleans()):
            after[key] = data.draw(routes(platform, key[1]))
    for key, hops in data.draw(tables(platform)).items():
        after.setdefault(key, hops)
    changes = changes_between(before, after)

    commands = platform.render(changes, running)
    changed = apply_edits(text, platform.edits(running, commands))
    assert table(platform.parse(changed)) == after

    touched = {(change.vrf, change.prefix) for change in changes}
    own = {line for route in running if (route.vrf, route.prefix) in touched for line in route.lines}
    others = [line.rstrip("\r\n") for number, line in enumerate(split_lines(text), 1) if number not in own]
    left = iter(line.rstrip("\r\n") for line in split_lines(changed))
    assert all(any(line == candidate for candidate in left) for line in others), "a foreign line moved or changed"

    back = platform.render([change.inverse() for change in changes], platform.parse(changed))
    restored = apply_edits(changed, platform.edits(platform.parse(changed), back))
    assert table(platform.parse(restored)) == before


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=300) | st.text("ip routevf6:/.0129 \n\r\t!%", max_size=300))
@more_examples(5)
def test_any_text_is_read_or_refused(name: str, text: str):
    platform = get_platform(name)
    for read in (platform.parse, lambda commands: platform.edits(platform.parse("hostname r1\n"), commands)):
        try:
            read(text)
        except ParseError as error:
            assert str(error)  # noqa: PT017


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@more_examples(3)
def test_damaged_configuration_is_read_or_refused(name: str, data: st.DataObject):
    """One character lost, doubled or exchanged anywhere: never another exception, never a route at no line."""
    platform = get_platform(name)
    assert isinstance(platform, FlatPlatform)
    text = data.draw(configurations(platform, data.draw(tables(platform))))
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(st.sampled_from(["", " ", "\n", "\r", "/", ".", ":", "0", "é", *string.ascii_lowercase]))
    damaged = text[:at] + new + text[at + 1 :]
    try:
        running = platform.parse(damaged)
    except ParseError:
        return
    for route in running:
        assert len(route.lines) == len(route.next_hops) > 0
        assert all("route" in running.source[line - 1] for line in route.lines)

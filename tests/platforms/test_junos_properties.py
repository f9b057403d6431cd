"""Junos over random tables, in braces and as `set` lines: what is written can be read, and nothing else moves."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import NextHop, Prefix, RouteChange
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.edits import apply_edits, split_lines
from k8s_ecmp.platforms.junos import Junos
from tests.examples import more_examples
from tests.platforms.cases import table
from tests.platforms.test_properties import changes_between, prefixes

FORMS = ["braces", "set"]
VRFS = ["default", "red", "blue"]
WORDS = [
    *("set", "delete", "routing-options", "static", "route", "10.0.0.0/8", "next-hop", "10.1.1.1", "rib", "inet6.0"),
    *("routing-instances", "red", "groups", "apply-groups", "[", "]", "{", "}", ";", "inactive:", "tag", "5", '"'),
    *("qualified-next-hop", "defaults", "preference", "system", "/*", "*/", "#", "\n"),
]
Table = dict[tuple[str, Prefix], frozenset[NextHop]]


def platform() -> Junos:
    found = get_platform("junos")
    assert isinstance(found, Junos)
    return found


@st.composite
def routes(draw: st.DrawFn, prefix: Prefix) -> frozenset[NextHop]:
    """A set of hops as one route may have it: one tag and preference, more statements of the route, qualified hops."""
    distance = draw(st.none() | st.integers(6, 2**32 - 1))
    tag = draw(st.none() | st.integers(1, 2**32 - 1))
    options = tuple(draw(st.lists(st.sampled_from(["metric 7", "no-readvertise", "retain"]), unique=True, max_size=2)))
    if draw(st.integers(0, 9)) == 0:
        return frozenset({NextHop(discard=True, distance=distance, tag=tag, options=options)})
    base = "10.0.0." if prefix.family == 4 else "fd00:a::"
    numbers = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True))
    hops = {NextHop(f"{base}{number}", distance=distance, tag=tag, options=options) for number in numbers}
    if draw(st.integers(0, 3)) == 0:
        hidden = () if distance is None else (f"preference {distance}",)  # said of the route, not of this hop
        own = (*options, *hidden, "qualified-next-hop", "preference 7")
        hops.add(NextHop(f"{base}90", distance=7, tag=tag, options=own))
    return frozenset(hops)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    keys = draw(st.lists(st.tuples(st.sampled_from(VRFS), prefixes), max_size=8, unique=True))
    return {key: draw(routes(key[1])) for key in keys}


def statements(hops: frozenset[NextHop]) -> list[str]:
    """The statements of a route, written here without the platform's own writer."""
    out = []
    some = next(iter(hops))
    shared = [option for option in some.options if option.split()[0] in ("metric", "no-readvertise", "retain")]
    level = next(hop.distance for hop in hops if "qualified-next-hop" not in hop.options)
    for hop in hops:
        if hop.discard:
            out.append("discard")
        elif "qualified-next-hop" in hop.options:
            out.append(f"qualified-next-hop {hop.address} preference 7")
        else:
            out.append(f"next-hop {hop.address}")
    out += shared
    out += [] if level is None else [f"preference {level}"]
    return out + ([] if some.tag is None else [f"tag {some.tag}"])


def path(vrf: str, family: int) -> list[str]:
    """The levels that lead to the static routes of a VRF and family."""
    rib = "inet6.0" if vrf == "default" else f"{vrf}.inet6.0"
    head = [] if vrf == "default" else ["routing-instances", vrf]
    return [*head, "routing-options", *([f"rib {rib}"] if family == 6 else []), "static"]


@st.composite
def configurations(draw: st.DrawFn, contents: Table, form: str) -> str:
    """A text with these routes in the form, with other statements around and between them."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    noise = st.lists(st.sampled_from(["", "## note: route 10.0.0.0/8 discard;"]), max_size=1)
    if form == "set":
        lines = ["set system host-name r1", *(f"set routing-instances {vrf} instance-type vrf" for vrf in VRFS[1:])]
        for (vrf, prefix), hops in draw(st.permutations(sorted(contents.items(), key=lambda item: item[0]))):
            lines += draw(noise)
            head = " ".join(["set", *path(vrf, prefix.family), "route", str(prefix)])
            lines += [f"{head} {statement}" for statement in draw(st.permutations(statements(hops)))]
        return end.join(lines) + draw(st.sampled_from(["", end]))
    lines = ["system {", '    message "a { b; } route 10.0.0.0/8 discard;";', "}"]

    def section(vrf: str, family: int, indent: str) -> list[str]:
        own = [(prefix, hops) for (name, prefix), hops in contents.items() if (name, prefix.family) == (vrf, family)]
        out = [indent + "static {"] if own else []
        for prefix, hops in draw(st.permutations(own)):
            out += draw(noise)
            body = draw(st.permutations(statements(hops)))
            many = [s.split()[1] for s in body if s.startswith("next-hop ")]
            rest = [s for s in body if not s.startswith("next-hop ")]
            rest = [
                f"{' '.join(s.split()[:2])} {{ {' '.join(s.split()[2:])}; }}" if s[0] == "q" else f"{s};" for s in rest
            ]
            if many:
                rest.insert(
                    draw(st.integers(0, len(rest))),
                    f"next-hop {'[ ' + ' '.join(many) + ' ]' if many[1:] else many[0]};",
                )
            if draw(st.booleans()):
                out.append(f"{indent}    route {prefix} {{ {' '.join(rest)} }}")
            else:
                out += [f"{indent}    route {prefix} {{", *(f"{indent}        {s}" for s in rest), f"{indent}    }}"]
        return out + ([indent + "}"] if own else [])

    def options(vrf: str, indent: str) -> list[str]:
        rib = path(vrf, 6)[-2]
        six = section(vrf, 6, indent + "        ")
        inner = [f"{indent}    {rib} {{", *six, f"{indent}    }}"] if six else []
        return [indent + "routing-options {", *inner, *section(vrf, 4, indent + "    "), indent + "}"]

    lines += [*options("default", ""), *draw(noise), "routing-instances {"]
    for vrf in draw(st.permutations(VRFS[1:])):
        lines += [f"    {vrf} {{", "        instance-type vrf;", *options(vrf, "        "), "    }"]
    return end.join([*lines, "}"]) + draw(st.sampled_from(["", end]))


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_what_stands_in_a_text_is_read(form: str, data: st.DataObject):
    contents = data.draw(tables())
    running = platform().parse(data.draw(configurations(contents, form)))
    assert _sorted(table(running)) == _sorted(contents)
    for route in running:
        for hop, line in zip(route.next_hops, route.lines, strict=True):
            assert (hop.address or "discard") in running.source[line - 1]


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@more_examples(2)
def test_there_and_back(form: str, data: st.DataObject):
    junos = platform()
    before = data.draw(tables())
    text = data.draw(configurations(before, form))
    running = junos.parse(text)
    after = dict(before)
    for key in data.draw(st.lists(st.sampled_from(sorted(before)), unique=True)) if before else ():
        after.pop(key)
        if data.draw(st.booleans()):
            after[key] = data.draw(routes(key[1]))
    for key, hops in data.draw(tables()).items():
        after.setdefault(key, hops)
    changes = [
        RouteChange.between(
            c.vrf, c.prefix, route.next_hops if (route := running.get(c.vrf, c.prefix)) else (), c.after
        )
        for c in changes_between(before, after)
    ]

    commands = junos.render(changes, running)
    changed = apply_edits(text, junos.edits(running, commands))
    assert _sorted(table(junos.parse(changed))) == _sorted(after)
    assert junos.foreign_lines("", running, commands) == []

    if form == "set":
        heads = [" ".join(["set", *path(c.vrf, c.prefix.family), "route", f"{c.prefix} "]) for c in changes]
        others = [line for line in _lines(text) if not line.startswith(tuple(heads))]
        left = iter(_lines(changed))
        assert all(any(line == candidate for candidate in left) for line in others), "a foreign line moved or changed"

    again = junos.parse(changed)
    undo = [
        RouteChange.between(c.vrf, c.prefix, route.next_hops if (route := again.get(c.vrf, c.prefix)) else (), c.before)
        for c in changes
    ]
    restored = apply_edits(changed, junos.edits(again, junos.render(undo, again)))
    assert _sorted(table(junos.parse(restored))) == _sorted(before)


@given(data=st.data())
def test_what_is_not_concerned_keeps_every_character(data: st.DataObject):
    """In braces: take out the routes that change, and the texts before and after are the same."""
    junos = platform()
    before = data.draw(tables().filter(bool))
    text = data.draw(configurations(before, "braces"))
    running = junos.parse(text)
    key = data.draw(st.sampled_from(sorted(before)))
    route = running.by_prefix[key]
    extra = NextHop("10.0.0.77" if key[1].family == 4 else "fd00:a::77", distance=6, tag=1)
    commands = junos.render([RouteChange.between(*key, route.next_hops, (extra,))], running)
    changed = apply_edits(text, junos.edits(running, commands))
    for other in running:
        if (other.vrf, other.prefix) != key:
            assert junos.parse(changed).by_prefix[other.vrf, other.prefix].next_hops == other.next_hops
    kept = [line for line in _lines(text) if "route" not in line and "next-hop" not in line and ";" not in line]
    left = iter(_lines(changed))
    assert all(any(line == candidate for candidate in left) for line in kept)


@given(
    text=st.text(max_size=300)
    | st.text('routing-options static{}[];"/*#.0129 \n\r\t:', max_size=300)
    | st.lists(
        st.sampled_from(WORDS),
        max_size=40,
    ).map(" ".join)
)
@more_examples(3)
def test_any_text_is_read_or_refused(text: str):
    junos = platform()
    known = junos.parse("system {\n    host-name r1;\n}\n")
    for read in (
        junos.parse,
        lambda commands: junos.edits(known, commands),
        lambda commands: junos.foreign_lines("", known, commands),
    ):
        try:
            read(text)
        except ParseError as error:
            assert str(error)  # noqa: PT017
    assert isinstance(junos.foreign_lines(text, known, ""), list)


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@more_examples(3)
def test_damaged_configuration_is_read_or_refused(form: str, data: st.DataObject):
    """One character lost, doubled or exchanged anywhere: never another exception, never a route at no line."""
    text = data.draw(configurations(data.draw(tables()), form))
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(
        st.sampled_from(["", " ", "\n", "\r", "/", ".", "{", "}", ";", '"', "[", "é", *string.ascii_lowercase])
    )
    try:
        running = platform().parse(text[:at] + new + text[at + 1 :])
    except ParseError:
        return
    for route in running:
        assert len(route.lines) == len(route.next_hops) > 0
        assert all(0 < line <= len(running.source) for line in route.lines)


def _lines(text: str) -> list[str]:
    return [line.rstrip("\r\n") for line in split_lines(text)]


def _sorted(contents: Table) -> dict[tuple[str, Prefix], set[NextHop]]:
    """Options of a hop stand in the order of the text; which, does not matter."""
    return {
        key: {
            NextHop(h.address, h.interface, h.vrf, h.discard, h.distance, h.tag, h.name, tuple(sorted(h.options)))
            for h in hops
        }
        for key, hops in contents.items()
    }

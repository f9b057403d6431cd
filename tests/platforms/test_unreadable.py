"""Lines that cannot be read cost what they may be about, and no more: a prefix, a VRF, or the router."""

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix, RunningRoutes
from k8s_ecmp.platforms import get_platform

FLAT = ("eos", "frr", "ios", "nxos")
EIGHT = Prefix.parse("10.0.0.0/8")
BESIDE = Prefix.parse("10.9.0.0/16")

# What stands behind the prefix cannot be read: the prefix is left alone.
TAILS = [
    "",
    "10.1.1.",
    "10.1.1.256",
    "10.1.1.1 tag",
    "10.1.1.1 tag x",
    "10.1.1.1 tag 4294967296",
    "10.1.1.1 256",
    "10.1.1.1 0",
    "fe80::1%e0",
]
# The prefix itself cannot be read: nothing can be said of its VRF.
PREFIXES = [
    "10.0.0.0/33 10.1.1.1",
    "10.0.0/8 10.1.1.1",
    "10.0.0.0 255.0.255.0 10.1.1.1",
    "10.0.0.0 10.1.1.1",
    "10.0.0.0",
    "2001:db8::/32 fe80::1",
    "10.0.0.0/" + "8" * 5000 + " 10.1.1.1",
    "١٠.0.0.0/8 10.1.1.1",
]
JUNOS_ROUTES = [
    "route 10.0.0.0/8 next-hop 10.1.1.;",
    "route 10.0.0.0/8 next-hop 10.1.1.256;",
    "route 10.0.0.0/8 next-hop;",
    "route 10.0.0.0/8 next-hop [ ];",
    "route 10.0.0.0/8 next-hop 10.1.1.1 10.1.1.2;",
    "route 10.0.0.0/8 { next-hop 10.1.1.1; tag; }",
    "route 10.0.0.0/8 { next-hop 10.1.1.1; tag x; }",
    "route 10.0.0.0/8 { next-hop 10.1.1.1; tag 4294967296; }",
    "route 10.0.0.0/8 { next-hop 10.1.1.1; community [ ]; }",
    "route 10.0.0.0/8 { next-hop 10.1.1.1; preference high; }",
    "route 10.0.0.0/8 { qualified-next-hop; }",
    "route 10.1.2.3/8 next-hop 10.1.1.1;",
]
JUNOS_PREFIXES = [
    "route 10.0.0.0/33 next-hop 10.1.1.1;",
    "route 10.0.0/8 next-hop 10.1.1.1;",
    "route x next-hop 10.1.1.1;",
]


def flat(name: str, line: str, vrf: str = "default") -> str:
    """A configuration with one other static line in front and a line behind; the static lines of a VRF in its block."""
    if vrf == "default":
        return f"hostname r1\nip route 10.9.0.0/16 Null0\nip route {line}\n!\ninterface mgmt0\nrouter bgp 1\n no x\n"
    if name in ("eos", "ios"):
        return f"hostname r1\nip route 10.9.0.0/16 Null0\nip route vrf {vrf} {line}\n!\nrouter bgp 1\n no x\n"
    head = {"frr": "vrf", "nxos": "vrf context"}[name]
    return f"hostname r1\nip route 10.9.0.0/16 Null0\n{head} {vrf}\n  ip route {line}\n!\ninterface mgmt0\n"


def xr(line: str, vrf: str = "default") -> str:
    block = f" vrf {vrf}\n  address-family ipv4 unicast\n   {line}\n  !\n !\n"
    own = f"  {line}\n" if vrf == "default" else ""
    return (
        "hostname r1\nrouter static\n address-family ipv4 unicast\n  10.9.0.0/16 Null0\n"
        f"{own} !\n{block if vrf != 'default' else ''}!\nend\n"
    )


def braces(line: str, vrf: str = "default") -> str:
    static = f"routing-options {{\n    static {{\n        {line}\n    }}\n}}\n"
    beside = "routing-options {\n    static {\n        route 10.9.0.0/16 discard;\n    }\n}\n"
    return beside + (static if vrf == "default" else f"routing-instances {{\n {vrf} {{\n{static} }}\n}}\n")


def set_lines(line: str) -> str:
    """Some of the statements in braces as set lines."""
    prefix, _, inner = line.removeprefix("route ").partition(" ")
    head, inner = f"set routing-options static route {prefix}", inner.strip(" {}")
    parts = [part.strip() for part in inner.split(";") if part.strip()]
    return (
        "set routing-options static route 10.9.0.0/16 discard\n"
        + "".join(f"{head} {part}\n" for part in parts)
        + "set system host-name r1\n"
    )


def expect_left_alone(running: RunningRoutes, line: int | None = None) -> None:
    route = running.get("default", EIGHT)
    assert route is not None
    assert route.disqualified
    assert "cannot be read" in route.disqualified
    beside = running.get("default", BESIDE)
    assert beside is not None
    assert beside.disqualified is None
    (note,) = running.notes
    assert "10.0.0.0/8 is left alone" in note.reason
    assert line is None or (note.line, route.lines) == (line, (line,))
    running.expect_readable("default")


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", FLAT)
def test_a_prefix_whose_line_cannot_be_read_is_left_alone(name: str, tail: str):
    expect_left_alone(get_platform(name).parse(flat(name, f"10.0.0.0/8 {tail}")), 3)


@pytest.mark.parametrize("tail", [*TAILS, "nothing", "vrf", "vrf blue", "sr-policy", '10.1.1.1 description "a'])
def test_a_prefix_whose_line_cannot_be_read_is_left_alone_on_iosxr(tail: str):
    expect_left_alone(get_platform("iosxr").parse(xr(f"10.0.0.0/8 {tail}")), 5)


@pytest.mark.parametrize("line", JUNOS_ROUTES)
def test_a_prefix_whose_statements_cannot_be_read_is_left_alone_on_junos(line: str):
    expect_left_alone(get_platform("junos").parse(braces(line)), 8)
    expect_left_alone(get_platform("junos").parse(set_lines(line)))


@pytest.mark.parametrize("name", FLAT)
def test_other_lines_of_a_prefix_do_not_make_it_ours(name: str):
    text = flat(name, "10.0.0.0/8 10.1.1.1 tag 5\nip route 10.0.0.0/8 10.1.1.2 tag x")
    (_, route) = get_platform(name).parse(text)
    assert [hop.tag for hop in route.next_hops] == [5, None]
    assert route.lines == (3, 4)
    assert route.disqualified


def test_the_reason_does_not_move_with_lines_above():
    first, second = (get_platform("eos").parse(f"{head}{flat('eos', '10.0.0.0/8 x')}") for head in ("", "!\n"))
    assert [route.disqualified for route in first] == [route.disqualified for route in second]


@pytest.mark.parametrize("line", PREFIXES)
@pytest.mark.parametrize("name", [*FLAT, "iosxr"])
def test_a_prefix_that_cannot_be_read_costs_its_vrf(name: str, line: str):
    for vrf, other in (("default", "red"), ("red", "default")):
        running = get_platform(name).parse(xr(line, vrf) if name == "iosxr" else flat(name, line, vrf))
        assert [str(route.prefix) for route in running] == ["10.9.0.0/16"]
        running.expect_readable(other)
        with pytest.raises(ParseError, match="correct or remove the line") as error:
            running.expect_readable(vrf)
        assert [note.line for note in running.notes] == [error.value.line]


@pytest.mark.parametrize("line", JUNOS_PREFIXES)
def test_a_prefix_that_cannot_be_read_costs_its_vrf_on_junos(line: str):
    for vrf, other in (("default", "red"), ("red", "default")):
        running = get_platform("junos").parse(braces(line, vrf))
        running.expect_readable(other)
        with pytest.raises(ParseError, match="correct or remove"):
            running.expect_readable(vrf)


def test_frr_names_the_vrf_behind_the_route():
    frr = get_platform("frr")
    running = frr.parse(flat("frr", "10.0.0.0/8 10.1.1.1 tag x vrf red"))
    assert [(route.vrf, bool(route.disqualified)) for route in running] == [("default", False), ("red", True)]
    with pytest.raises(ParseError):
        frr.parse(flat("frr", "10.0.0.0/33 10.1.1.1 vrf red")).expect_readable("red")
    with pytest.raises(ParseError):
        frr.parse(flat("frr", "10.0.0.0/8 10.1.1.1 tag x vrf"))


@pytest.mark.parametrize("line", ["", "vrf", "vrf red"])
@pytest.mark.parametrize("name", FLAT)
def test_a_line_without_prefix_and_vrf_costs_the_router(name: str, line: str):
    with pytest.raises(ParseError) as error:
        get_platform(name).parse(flat(name, line))
    assert error.value.line == 3


@pytest.mark.parametrize("name", FLAT)
def test_a_setting_that_nobody_knows_is_no_route(name: str):
    running = get_platform(name).parse(flat(name, "recursion limit 3"))
    assert [route.prefix for route in running] == [BESIDE]
    assert [(note.line, note.reason) for note in running.notes] == [(3, "no route: a setting that is not known")]
    running.expect_readable("default")


@pytest.mark.parametrize("tail", ["10.0.0.0/8", "10.0.0.0/8 10.1.1.", "10.0.0.0/33", "10.0.0.0/8 10.1.1.1 tag"])
@pytest.mark.parametrize("name", [*FLAT, "iosxr"])
def test_a_half_line_at_the_end_is_a_text_cut_short(name: str, tail: str):
    text = xr(tail) if name == "iosxr" else flat(name, tail)
    cut = text[: text.index(tail) + len(tail)]
    for end in ("", "\n\n"):
        with pytest.raises(ParseError) as error:
            get_platform(name).parse(cut + end)
        assert error.value.line == cut.count("\n") + 1


def test_a_half_set_line_at_the_end_is_a_text_cut_short():
    with pytest.raises(ParseError):
        get_platform("junos").parse("set routing-options static route 10.0.0.0/8 next-hop [ 10.1.1.1\n")


@pytest.mark.parametrize(
    "text",
    [
        braces("defaults { tag x; }\n        route 10.0.0.0/8 next-hop 10.1.1.1;"),
        braces("defaults { tag [ ]; }\n        route 10.0.0.0/8 next-hop 10.1.1.1;"),
        set_lines("route 10.0.0.0/8 { next-hop 10.1.1.1; }") + "set routing-options static defaults tag x\n#\nset system x\n",
    ],
)  # fmt: skip
def test_junos_defaults_that_cannot_be_read_cost_the_routes_beside(text: str):
    routes = get_platform("junos").parse(text)
    assert len(routes) == 2
    assert all(route.disqualified and "static defaults" in route.disqualified for route in routes)

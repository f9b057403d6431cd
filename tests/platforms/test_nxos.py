"""What is read of NX-OS lines, and what the switch does with commands."""

from pathlib import Path

import pytest

from k8s_ecmp.errors import ParseError, RenderError
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.edits import apply_edits
from k8s_ecmp.platforms.nxos import PLATFORM
from k8s_ecmp.platforms.reading import expect_parts

NXOS = get_platform("nxos")
HEAD = "!Command: show running-config\n!Time: Sat Nov 21 10:00:00 2026\n\nversion 9.3(6) Bios:version\nhostname r1\n"
LINES = [
    ("ip route 10.0.0.0/8 10.1.1.1", NextHop("10.1.1.1")),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 tag 5", NextHop("10.1.1.1", tag=5)),
    ("ip route 10.0.0.0/8 10.1.1.1/32", NextHop("10.1.1.1")),
    ("ip route 10.0.0.0/8 10.1.1.1 name a tag 5 20", NextHop("10.1.1.1", distance=20, tag=5, name="a")),
    ("ip route 10.0.0.0/8 10.1.1.1 20 tag 5 name a", NextHop("10.1.1.1", distance=20, tag=5, name="a")),
    ("ip route 10.0.0.0/8 10.1.1.1 tag 5 20", NextHop("10.1.1.1", distance=20, tag=5)),
    ("ip route 10.0.0.0/8 10.1.1.1 name 20 tag 5 30", NextHop("10.1.1.1", distance=30, tag=5, name="20")),
    ("ip route 10.0.0.0/8 10.1.1.1 vrf blue", NextHop("10.1.1.1", vrf="blue")),
    ("ip route 10.0.0.0/8 Vlan10 10.1.1.1 vrf blue 7", NextHop("10.1.1.1", "Vlan10", "blue", distance=7)),
    ("ip route 10.0.0.0/8 10.1.1.1 track 3", NextHop("10.1.1.1", options=("track", "3"))),
    ("ip route 10.0.0.0/8 10.1.1.1 track 3 tag 5", NextHop("10.1.1.1", tag=5, options=("track", "3"))),
    ("ip route 10.0.0.0/8 10.1.1.1 bfd", NextHop("10.1.1.1", options=("bfd",))),
    ("ip route 10.0.0.0/8 Ethernet1/2/1.100 10.1.1.1", NextHop("10.1.1.1", "Ethernet1/2/1.100")),
    ("ip route 10.0.0.0/8 port-channel7", NextHop(interface="port-channel7")),
    ("ip route 10.0.0.0/8 Tunnel1 200", NextHop(interface="Tunnel1", distance=200)),
    ("ip route 10.0.0.0/8 Null0 250", NextHop(discard=True, distance=250)),
    ("ip route 10.0.0.0/8 null0 tag 4201", NextHop(discard=True, tag=4201)),
    ("ipv6 route 2001:DB8::/32 Vlan10 FE80::A name a-b", NextHop("fe80::a", "Vlan10", name="a-b")),
    ("ipv6 route 2001:db8::/32 2001:DB8:1::A/128", NextHop("2001:db8:1::a")),
]


def whole(text: str) -> RunningRoutes:
    """The static routes of a text, with the interfaces that stand behind them on every switch."""
    return shown(f"{text}interface mgmt0\n")


def shown(text: str) -> RunningRoutes:
    """What is read of a text that a switch showed."""
    expect_parts(PLATFORM, text)
    return NXOS.parse(text)


@pytest.mark.parametrize(("line", "hop"), LINES)
@pytest.mark.parametrize(("head", "vrf", "indent"), [("", "default", ""), ("vrf context red\n", "red", "  ")])
def test_hop(line: str, hop: NextHop, head: str, vrf: str, indent: str):
    (route,) = whole(f"{HEAD}{head}{indent}{line}\n")
    assert route.next_hops == (hop,)
    assert route.vrf == vrf
    assert route.lines == (6 + head.count("\n"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "% Invalid command at '^' marker.",
        "<html><body>502</body></html>",
        "system {\n    host-name r1;\n}\n",
    ],
)
def test_no_configuration_is_not_no_routes(text: str):
    with pytest.raises(ParseError):
        NXOS.parse(text)


def test_where_static_lines_stand():
    text = (
        "hostname r1\nip route 10.1.0.0/16 10.1.1.1\nvlan 1\nvrf context management\n  ip route 0.0.0.0/0 192.0.2.1\n"
        "vrf context red\n  rd auto\n  address-family ipv4 unicast\n    route-target both auto\n"
        "  ip route 10.1.0.0/16 10.1.1.2\nip route 10.2.0.0/16 10.1.1.3\nvlan 2\n  name x\n"
    )
    assert [(route.vrf, str(route.prefix), route.lines) for route in whole(text)] == [
        ("default", "10.1.0.0/16", (2,)),
        ("management", "0.0.0.0/0", (5,)),
        ("red", "10.1.0.0/16", (10,)),
        ("default", "10.2.0.0/16", (11,)),
    ]


def test_a_text_without_indentation_is_refused():
    text = "hostname r1\nip route 10.1.0.0/16 10.1.1.1\nvrf context red\n  ip route 10.2.0.0/16 10.1.1.2\nvlan 2\n"
    assert [route.vrf for route in whole(text)] == ["default", "red"]
    with pytest.raises(ParseError, match=r"lost its indentation.*as the switch prints it") as error:
        whole("\n".join(line.strip() for line in text.split("\n")))
    assert error.value.line == 3
    # Nothing to mistake: no VRF, or no static line behind one.
    assert len(whole("hostname r1\nip route 10.1.0.0/16 10.1.1.1\nvlan 2\n")) == 1
    assert len(whole("hostname r1\nip route 10.1.0.0/16 10.1.1.1\nvrf context red\n")) == 1


def test_free_text_says_nothing_of_indentation():
    lost = "hostname a\nvrf context red\nip route 10.0.0.0/8 1.1.1.1 tag 5 name o\nbanner motd #\n  hello\n#\n"
    with pytest.raises(ParseError, match=r"lost its indentation.*as the switch prints it") as error:
        whole(lost)
    assert error.value.line == 2
    named = "hostname a\nbanner motd #\nvrf context red\n#\nip route 10.0.0.0/8 1.1.1.1\n"
    assert len(whole(named)) == 1


@pytest.mark.parametrize("line", ["ip route 10.0.0.0/8 10.1.1.0/24", "ip route 10.0.0.0/8 lo"])
def test_no_next_hop(line: str):
    (route,) = whole(f"hostname r1\n{line}\nvlan 1\n")
    assert route.disqualified


@pytest.mark.parametrize(
    "lines",
    [
        "banner motd ^\nip route 10.0.0.0/8 10.1.1.1\n^",
        "banner motd ^ip route 10.0.0.0/8 10.1.1.1\nip route 10.0.0.0/8 10.1.1.1^",
        "banner exec #ip route 10.0.0.0/8 10.1.1.1#",
        "configure profile p\n  ip route 10.0.0.0/8 10.1.1.1\nconfigure terminal",
        "ip route static bfd Vlan10 10.1.1.1",
        "interface Vlan10\n  description ip route 10.0.0.0/8 10.1.1.1\n  no ip redirects",
        "track 1 ip route 10.0.0.0/8 reachability",
        "ip routing multicast holddown 0",
        "event manager applet x\n  action 1 cli command conf t ; ip route 10.0.0.0/8 10.1.1.1",
        "!ip route 10.0.0.0/8 10.1.1.1",
        "scheduler job name nightly\nip route 10.0.0.0/8 10.1.1.1\ncopy running-config startup-config\n\nend-job",
    ],
)
def test_text_that_is_no_route(lines: str):
    routes = whole(f"{HEAD}{lines}\nip route 10.9.0.0/16 10.1.1.1\nvlan 1\n").routes
    assert [str(route.prefix) for route in routes] == ["10.9.0.0/16"]


@pytest.mark.parametrize("head", ["banner motd ^", "scheduler job name nightly"])
def test_free_text_without_end_is_refused(head: str):
    with pytest.raises(ParseError, match="not whole"):
        whole(f"hostname r1\n{head}\nip route 10.0.0.0/8 10.1.1.1\n")
    with pytest.raises(ParseError, match="never closed"):
        shown(f"hostname r1\ninterface mgmt0\n{head}\nip route 10.0.0.0/8 10.1.1.1\n")


def test_a_text_that_is_cut_is_never_taken_for_a_whole_one():
    """Wherever an answer is cut: in front of the interfaces it is refused, behind them it has all static routes."""
    text = (Path(__file__).parent / "nxos/track-goes-only-with-its-line/running.cfg").read_text()
    routes = len(NXOS.parse(text))
    first = text.index("\ninterface ")
    for end in (*range(0, first, 7), first):
        with pytest.raises(ParseError):
            shown(text[:end])
    for end in range(first + len("\ninterface mgmt0"), len(text), 7):
        assert len(shown(text[:end])) == routes
    with pytest.raises(ParseError, match=r"not whole.*'interface'.*read it again"):
        shown("version 9.3(6)\nhostname leaf-101\nsnmp-server location x\n")


TEXT = "hostname r1\nip route 10.0.0.0/8 10.1.1.1 name a tag 5 200\nvrf context red\n  rd auto\ninterface mgmt0\n"


@pytest.mark.parametrize(
    ("commands", "after"),
    [
        ("ip route 10.0.0.0/8 10.1.1.1\n", "ip route 10.0.0.0/8 10.1.1.1 name a tag 5 200"),
        ("ip route 10.0.0.0/8 10.1.1.1 tag 6\n", "ip route 10.0.0.0/8 10.1.1.1 name a tag 6 200"),
        ("ip route 10.0.0.0/8 10.1.1.1 1\n", "ip route 10.0.0.0/8 10.1.1.1 name a tag 5"),
        ("ip route 10.0.0.0/8 10.1.1.1 track 7\n", "ip route 10.0.0.0/8 10.1.1.1 track 7 name a tag 5 200"),
        ("no ip route 10.0.0.0/8 10.1.1.1 tag 9\nip route 10.0.0.0/8 10.1.1.1\n", "ip route 10.0.0.0/8 10.1.1.1"),
    ],
)
def test_a_hop_typed_again_keeps_what_is_left_out(commands: str, after: str):
    running = NXOS.parse(TEXT)
    assert apply_edits(TEXT, NXOS.edits(running, commands)).splitlines()[1] == after


def test_commands_stay_in_the_vrf_until_exit():
    running = NXOS.parse(TEXT)
    commands = "vrf context red\nip route 10.1.0.0/16 10.1.1.2\nexit\nip route 10.2.0.0/16 10.1.1.3\n"
    after = NXOS.parse(apply_edits(TEXT, NXOS.edits(running, commands)))
    assert [(route.vrf, str(route.prefix)) for route in after] == [
        ("default", "10.0.0.0/8"),
        ("default", "10.2.0.0/16"),
        ("red", "10.1.0.0/16"),
    ]


@pytest.mark.parametrize(
    "command", ["no ip route 10.0.0.0/8 10.1.1.2", "no ip route 10.0.0.0/8", "no ip route 10.0.0.0/8 Vlan1 10.1.1.1"]
)
def test_what_the_switch_refuses(command: str):
    with pytest.raises(ParseError) as error:
        NXOS.edits(NXOS.parse(TEXT), f"{command}\n")
    assert error.value.line == 1


def test_a_vrf_is_never_made():
    hop = NextHop("10.1.1.1", tag=5, name="a")
    change = RouteChange("create", "rad", Prefix.parse("10.0.0.0/8"), (), (hop,))
    with pytest.raises(RenderError, match="no VRF rad"):
        NXOS.render([change], NXOS.parse(TEXT))
    assert NXOS.render([RouteChange("create", "red", change.prefix, (), (hop,))], NXOS.parse(TEXT)).startswith(
        "vrf context red\n"
    )


def test_routes_typed_into_the_wrong_table_are_noticed():
    hop = NextHop("10.1.1.1", tag=5)
    change = RouteChange("create", "red", Prefix.parse("10.1.0.0/16"), (), (hop,))
    template = "ip route {{ routes[0].prefix }} 10.1.1.1 tag 5\n"
    with pytest.raises(RenderError, match="VRF red"):
        NXOS.render([change], NXOS.parse(TEXT), template)


def test_new_lines_of_a_vrf_stay_in_front_of_what_follows_its_block():
    text = "hostname r1\nvlan 2\n  name x\nvrf context red\nipv6 route ::/0 Null0\ninterface mgmt0\n"
    running = NXOS.parse(text)
    commands = "ip route 10.2.0.0/16 10.1.1.3\nvrf context red\n  ip route 10.1.0.0/16 10.1.1.2\nexit\n"
    assert apply_edits(text, NXOS.edits(running, commands)) == (
        "hostname r1\nvlan 2\n  name x\n"
        "vrf context red\n  ip route 10.1.0.0/16 10.1.1.2\nip route 10.2.0.0/16 10.1.1.3\nipv6 route ::/0 Null0\n"
        "interface mgmt0\n"
    )

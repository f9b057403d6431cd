"""What the platforms make of single lines, of whole texts, and of half ones."""

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.edits import apply_edits

FRR_LINES = [
    ("ip route 10.0.0.0/8 10.1.1.1", NextHop("10.1.1.1")),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 tag 5", NextHop("10.1.1.1", tag=5)),
    ("ip route 10.0.0.0/8 10.1.1.1 e0 tag 4294967295 20", NextHop("10.1.1.1", "e0", distance=20, tag=4294967295)),
    ("ip route 10.0.0.0/8 10.1.1.1 20 tag 5", NextHop("10.1.1.1", distance=20, tag=5)),
    ("ip route 10.0.0.0/8 e0", NextHop(interface="e0")),
    ("ip route 10.0.0.0/8 eth0.100 200", NextHop(interface="eth0.100", distance=200)),
    ("ip route 10.0.0.0/8 Null0 tag 5", NextHop(discard=True, tag=5)),
    ("ip route 10.0.0.0/8 blackhole 250", NextHop(discard=True, distance=250)),
    ("ip route 10.0.0.0/8 reject", NextHop(discard=True, options=("reject",))),
    ("ip route 10.0.0.0/8 10.1.1.1 nexthop-vrf blue", NextHop("10.1.1.1", vrf="blue")),
    ("ip route 10.0.0.0/8 10.1.1.1 e0 onlink", NextHop("10.1.1.1", "e0", options=("onlink",))),
    ("ip route 10.0.0.0/8 10.1.1.1 e0 onlink 20", NextHop("10.1.1.1", "e0", distance=20, options=("onlink",))),
    ("ip route 10.0.0.0/8 10.1.1.1 onlink 20", NextHop("10.1.1.1", "onlink", distance=20)),
    ("ip route 10.0.0.0/8 10.1.1.1 table 100 20", NextHop("10.1.1.1", distance=20, options=("table", "100"))),
    ("ip route 10.0.0.0/8 10.1.1.1 tag 5 label 16/17", NextHop("10.1.1.1", tag=5, options=("label", "16/17"))),
    ("ip route 10.0.0.0/8 10.1.1.1 color 9", NextHop("10.1.1.1", options=("color", "9"))),
    ("ip route 10.0.0.0/8 10.1.1.1 segments 1/2 bfd", NextHop("10.1.1.1", options=("segments", "1/2", "bfd"))),
    ("ip route 10.0.0.0/8 10.1.1.1 e0 weight 7", NextHop("10.1.1.1", "e0", options=("weight", "7"))),
    ("ip route 10.0.0.0/8 10.1.1.1 tag 5 20 bfd", NextHop("10.1.1.1", distance=20, tag=5, options=("bfd",))),
    ("ip route 10.0.0.0/8 10.1.1.1 bfd profile p", NextHop("10.1.1.1", options=("bfd", "profile", "p"))),
    (
        "ip route 10.0.0.0/8 10.1.1.1 tag 5 bfd multi-hop source 10.0.0.254 profile p",
        NextHop("10.1.1.1", tag=5, options=("bfd", "multi-hop", "source", "10.0.0.254", "profile", "p")),
    ),
    ("ip route 10.0.0.0/8 10.1.1.1 tag 5 weight 3", NextHop("10.1.1.1", tag=5, options=("weight", "3"))),
    ("ip route 10.0.0.0/8 10.1.1.1 tag 5 tag 6", NextHop("10.1.1.1", tag=5, options=("tag", "6"))),
    ("ipv6 route 2001:DB8::/32 FE80::A e0", NextHop("fe80::a", "e0")),
    ("ipv6 route ::/0 from 2001:db8::/32 fe80::1 e0", NextHop("fe80::1", "e0", options=("from", "2001:db8::/32"))),
]
EOS_LINES = [
    ("ip route 10.0.0.0/8 10.1.1.1", NextHop("10.1.1.1")),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 tag 5", NextHop("10.1.1.1", tag=5)),
    ("ip route 10.0.0.0/8 Ethernet1/2 10.1.1.1 20 tag 5", NextHop("10.1.1.1", "Ethernet1/2", distance=20, tag=5)),
    ("ip route 10.0.0.0/8 Port-Channel7.100", NextHop(interface="Port-Channel7.100")),
    ("ip route 10.0.0.0/8 Vlan10 200", NextHop(interface="Vlan10", distance=200)),
    ("ip route 10.0.0.0/8 Null0 250", NextHop(discard=True, distance=250)),
    ("ip route 10.0.0.0/8 null0", NextHop(discard=True)),
    ("ip route 10.0.0.0/8 10.1.1.1 name 20 tag 5 30", NextHop("10.1.1.1", distance=30, tag=5, name="20")),
    ("ip route 10.0.0.0/8 10.1.1.1 track bfd", NextHop("10.1.1.1", options=("track", "bfd"))),
    ("ip route 10.0.0.0/8 10.1.1.1 bfd", NextHop("10.1.1.1", options=("bfd",))),
    ("ip route 10.0.0.0/8 10.1.1.1 9 metric 5", NextHop("10.1.1.1", distance=9, options=("metric", "5"))),
    ("ip route 10.0.0.0/8 egress-vrf blue 10.1.1.1", NextHop("10.1.1.1", vrf="blue")),
    ("ip route 10.0.0.0/8 Nexthop-Group N1 tag 5", NextHop(tag=5, options=("Nexthop-Group", "N1"))),
    ("ip route 10.0.0.0/8 10.1.1.1 tag 0", NextHop("10.1.1.1", tag=0)),
    ("ipv6 route 2001:DB8::/32 Ethernet1 FE80::A name a-b", NextHop("fe80::a", "Ethernet1", name="a-b")),
    (
        "ip route 10.0.0.0/8 10.1.1.1 track bfd 20 tag 5 name a metric 7",
        NextHop("10.1.1.1", distance=20, tag=5, name="a", options=("track", "bfd", "metric", "7")),
    ),
    ('ip route 10.0.0.0/8 10.1.1.1 name "core uplink" ', NextHop("10.1.1.1", name='"core', options=('uplink"',))),
    ("ip route 10.0.0.0/8 Management1 10.1.1.1", NextHop("10.1.1.1", "Management1")),
    ("ip route 10.0.0.0/8 Vlan10 10.1.1.1 later 7", NextHop("10.1.1.1", "Vlan10", options=("later", "7"))),
    ("ip route vrf default 10.0.0.0/8 egress-vrf red Vlan10", NextHop(interface="Vlan10", vrf="red")),
]
IOS_LINES = [
    ("ip route 10.0.0.0 255.0.0.0 Serial0/0/0:15 10.1.1.1", NextHop("10.1.1.1", "Serial0/0/0:15")),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1", NextHop("10.1.1.1")),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 250 tag 5 name a-b", NextHop("10.1.1.1", distance=250, tag=5, name="a-b")),
    ("ip route 10.0.0.0 255.0.0.0 GigabitEthernet0/0/1 10.1.1.1", NextHop("10.1.1.1", "GigabitEthernet0/0/1")),
    ("ip route 10.0.0.0 255.0.0.0 Port-channel7.100 9", NextHop(interface="Port-channel7.100", distance=9)),
    ("ip route 10.0.0.0 255.0.0.0 Null0 name x", NextHop(discard=True, name="x")),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 name a tag 5 9", NextHop("10.1.1.1", distance=9, tag=5, name="a")),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 name 20", NextHop("10.1.1.1", name="20")),
    ('ip route 10.0.0.0 255.0.0.0 10.1.1.1 name "a  b" tag 5', NextHop("10.1.1.1", tag=5, name="a b")),
    ('ip route 10.0.0.0 255.0.0.0 10.1.1.1 name "a"', NextHop("10.1.1.1", name="a")),
    (
        "ip route 10.0.0.0 255.0.0.0 10.1.1.1 22 tag 22 permanent name nm1 multicast",
        NextHop("10.1.1.1", distance=22, tag=22, name="nm1", options=("permanent", "multicast")),
    ),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 track 10", NextHop("10.1.1.1", options=("track", "10"))),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 global", NextHop("10.1.1.1", options=("global",))),
    ("ip route 10.0.0.0 255.0.0.0 10.1.1.1 frobnicate 7", NextHop("10.1.1.1", options=("frobnicate", "7"))),
    ("ip route 0.0.0.0 0.0.0.0 dhcp 254", NextHop(distance=254, options=("dhcp",))),
    (
        "ipv6 route 2001:DB8::/32 GigabitEthernet2 FE80::A tag 105 name v6",
        NextHop("fe80::a", "GigabitEthernet2", tag=105, name="v6"),
    ),
    (
        "ipv6 route 2001:DB8::/32 2001:DB8::3 22 multicast permanent name pp1",
        NextHop("2001:db8::3", distance=22, name="pp1", options=("multicast", "permanent")),
    ),
    (
        "ipv6 route 2001:DB8::/32 GigabitEthernet2 FE80::A nexthop-vrf default 9",
        NextHop("fe80::a", "GigabitEthernet2", "default", distance=9),
    ),
]


@pytest.mark.parametrize(("line", "hop"), FRR_LINES)
def test_frr_hop(line: str, hop: NextHop):
    (route,) = get_platform("frr").parse(f"hostname r1\n{line}\n")
    assert route.next_hops == (hop,)
    assert route.lines == (2,)
    assert route.vrf == "default"


@pytest.mark.parametrize(("line", "hop"), EOS_LINES)
def test_eos_hop(line: str, hop: NextHop):
    (route,) = get_platform("eos").parse(f"hostname r1\n{line}\n")
    assert route.next_hops == (hop,)
    assert route.lines == (2,)


@pytest.mark.parametrize(("line", "hop"), IOS_LINES)
def test_ios_hop(line: str, hop: NextHop):
    (route,) = get_platform("ios").parse(f"hostname r1\n{line}\n")
    assert route.next_hops == (hop,)
    assert route.lines == (2,)


@pytest.mark.parametrize("line", ["vrf definition red", "ip vrf red", "vrf context red"])
def test_ios_lines_in_a_vrf_block_are_refused(line: str):
    with pytest.raises(ParseError) as error:
        get_platform("ios").parse(f"{line}\n  ip route 10.0.0.0 255.0.0.0 10.1.1.1\n")
    assert error.value.line == 2
    (route,) = get_platform("ios").parse(f"{line}\nip route 10.0.0.0 255.0.0.0 10.1.1.1\n")
    assert route.vrf == "default"


@pytest.mark.parametrize("opening", ["banner motd ^C", "banner login ^CHello", "banner exec #", "macro name x"])
def test_ios_text_block_without_end_is_refused(opening: str):
    with pytest.raises(ParseError, match="never closed"):
        get_platform("ios").parse(f"hostname r1\n{opening}\nip route 10.0.0.0 255.0.0.0 10.1.1.1\n")


@pytest.mark.parametrize(
    "lines",
    [
        "parameter-map type webauth guest\n banner file flash:banner.html",
        "banner file flash:banner.html",
        "crypto isakmp client configuration group vpn\n banner ^CHello you all\nip route 10.0.0.0 255.0.0.0 10.1.1.1\n^C",
        "crypto isakmp client configuration group vpn\n banner ^Cyes^C",
        "crypto isakmp client configuration group vpn\n banner z yes\nip route 10.0.0.0 255.0.0.0 10.1.1.1\nz",
        "parameter-map type webauth guest\n banner text ^CHello\nip route 10.0.0.0 255.0.0.0 10.1.1.1\n^C",
    ],
)
def test_ios_banners_inside_blocks(lines: str):
    (route,) = get_platform("ios").parse(
        f"hostname r1\n{lines}\nip route 10.9.0.0 255.255.0.0 10.1.1.1\nline vty 0 4\n"
    )
    assert str(route.prefix) == "10.9.0.0/16"


@pytest.mark.parametrize("name", ['"a', 'a"b" "c', '"'])
def test_ios_quote_without_end_cannot_be_read(name: str):
    (route,) = get_platform("ios").parse(f"hostname r1\nip route 10.0.0.0 255.0.0.0 10.1.1.1 name {name}\n!\n")
    assert route.disqualified
    assert "never closed" in route.disqualified


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\n\r\n",
        "% Invalid input (at token 2: 'rnning') at line 1",
        "% Command incomplete",
        "hostname r1\n% Invalid input\n",
        "Exiting: failed to connect to any daemons.\n",
        "<html><body>502 Bad Gateway</body></html>",
        "system {\n    host-name r1;\n}\n",
        "set routing-options static route 10.0.0.0/8 next-hop 10.1.1.1\n",
        "bash: vtysh: command not found",
        "!\n! nothing but comments\n",
        "# net show configuration commands\nnet del all\nnet add routing route 10.0.0.0/8 10.1.1.1\nnet commit\n",
    ],
)
def test_no_configuration_is_not_no_routes(name: str, text: str):
    with pytest.raises(ParseError):
        get_platform(name).parse(text)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("frr", "Building configuration...\n\nCurrent configuration:\n!\nfrr version 8.4.4\n"),
        ("eos", "! Command: show running-config\n! device: r1 (vEOS, EOS-4.30.1F)\n!\nhostname r1\n"),
        ("ios", "Building configuration...\n\nCurrent configuration : 99 bytes\n!\nversion 15.9\nhostname r1\n"),
        ("ios", "version 17.6\nhostname r1\n"),
        ("eos", "\n! device: r1 (vEOS, EOS-4.30.1F)\n!\nhostname r1\n"),
    ],
)
def test_answer_cut_anywhere_is_refused(name: str, head: str):
    text = head + "!\nip route 10.0.0.0/8 10.1.1.1 tag 4201\n!\nend\n"
    platform = get_platform(name)
    assert len(platform.parse(text)) == 1
    for length in range(len(head), len(text) - len("d\n")):
        with pytest.raises(ParseError):
            platform.parse(text[:length])


PARTS = {
    "eos": "hostname r1\nip route 10.0.0.0/8 10.1.1.1\nend\n",
    "frr": "hostname r1\nip route 10.0.0.0/8 10.1.1.1\nend\n",
    "ios": "hostname r1\nip route 10.0.0.0 255.0.0.0 10.1.1.1\nend\n",
    "iosxr": "hostname r1\nrouter static\n address-family ipv4 unicast\n  10.0.0.0/8 10.1.1.1\n !\n!\nend\n",
    "junos": "routing-options {\n    static {\n        route 10.0.0.0/8 next-hop 10.1.1.1;\n    }\n}\n",
    "nxos": "hostname r1\nip route 10.0.0.0/8 10.1.1.1\nend\n",
}


@pytest.mark.parametrize("name", PARTS)
def test_a_file_may_hold_a_part_of_a_configuration(name: str):
    (route,) = get_platform(name).parse(PARTS[name])
    assert route.next_hops == (NextHop("10.1.1.1"),)


@pytest.mark.parametrize("name", PARTS)
def test_what_is_written_can_be_read_alone(name: str):
    platform = get_platform(name)
    hops = (NextHop("10.1.1.1", tag=5), NextHop("10.1.1.2", tag=5))
    change = RouteChange.between("default", Prefix.parse("10.0.0.0/8"), (), hops)
    (route,) = platform.parse(platform.render([change], RunningRoutes(())))
    assert set(route.next_hops) == set(hops)


def test_eos_text_block_without_end_is_refused():
    with pytest.raises(ParseError, match="never closed"):
        get_platform("eos").parse("hostname r1\nbanner motd\nhello\nip route 10.0.0.0/8 10.1.1.1\n")


def test_eos_lines_in_a_vrf_block_are_refused():
    with pytest.raises(ParseError) as error:
        get_platform("eos").parse("vrf context red\n  ip route 10.0.0.0/8 10.1.1.1\n")
    assert error.value.line == 2
    routes = get_platform("eos").parse("vrf instance red\nip route 10.0.0.0/8 10.1.1.1\n")
    assert [route.vrf for route in routes] == ["default"]


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_settings_that_are_no_routes(name: str):
    text = (
        "hostname r1\nip routing\nno ip routing vrf red\nip route static bfd 10.1.1.1\nip route-static x\n"
        "no ip route 10.0.0.0/8 10.1.1.1\nip mroute 10.0.0.0/8 10.1.1.1\nroute-map ip route\n description ip route 1\n"
    )
    assert len(get_platform(name).parse(text)) == 0


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(name: str, end: str):
    lines = [
        "hostname r1",
        "banner motd line a\x0bb\x0cc\x85d\u2028e l",
        "ip route 10.0.0.0/8 10.1.1.1",
        "version 16.9",
        "end",
    ]
    running = get_platform(name).parse(end.join(lines))
    (route,) = running
    assert route.lines == (3,)
    assert running.source[route.lines[0] - 1] == lines[2]


def test_routes_come_grouped_in_order_of_first_appearance():
    text = (
        "ip route 10.2.0.0/16 10.1.1.1\nip route 10.1.0.0/16 10.1.1.1\nip route 10.2.0.0/16 10.1.1.2 tag 5\n"
        "vrf red\n ip route 10.2.0.0/16 10.1.1.3\nexit-vrf\nip route 10.1.0.0/16 10.1.1.4 vrf red\n"
    )
    routes = get_platform("frr").parse(text).routes
    assert [(route.vrf, str(route.prefix), route.lines) for route in routes] == [
        ("default", "10.2.0.0/16", (1, 3)),
        ("default", "10.1.0.0/16", (2,)),
        ("red", "10.2.0.0/16", (5,)),
        ("red", "10.1.0.0/16", (7,)),
    ]
    assert routes[0].next_hops == (NextHop("10.1.1.1"), NextHop("10.1.1.2", tag=5))


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("eos", "management ssh"),
        ("eos", "router general\n   vrf red"),
        ("eos", "event-handler x"),
        ("ios", "event manager applet x"),
        ("ios", "archive\n log config"),
        ("ios", "template x"),
        ("nxos", "interface Vlan10"),
        ("nxos", "event manager applet x"),
    ],
)
def test_an_indented_line_belongs_to_its_block(name: str, block: str):
    line = "ip route 10.0.0.0 255.0.0.0 10.1.1.1"
    text = f"hostname r1\n{block}\n  {line}\nip route 10.9.0.0 255.255.0.0 10.1.1.1\ninterface Vlan11\n"
    running = get_platform(name).parse(text)
    assert [str(route.prefix) for route in running] == ["10.9.0.0/16"]
    number = 3 + block.count("\n")
    assert [(note.line, note.text) for note in running.notes] == [(number, line)]
    assert "the block that it stands in" in running.notes[0].reason


@pytest.mark.parametrize("name", ["eos", "ios"])
def test_a_text_indented_as_a_whole(name: str):
    text = "  hostname r1\n  !\n  ip route 10.0.0.0 255.0.0.0 10.1.1.1\n  ip route 10.0.0.0 255.0.0.0 10.1.1.2\n  !\n"
    (route,) = get_platform(name).parse(text)
    assert route.lines == (3, 4)


@pytest.mark.parametrize("tag", ["4201", "0.0.16.105"])
def test_ios_dotted_tags(tag: str):
    text = f"version 16.9\nhostname r1\nip route 10.0.0.0 255.0.0.0 10.1.1.1 tag {tag} name a\nend\n"
    running = get_platform("ios").parse(text)
    (route,) = running
    assert route.next_hops == (NextHop("10.1.1.1", tag=4201, name="a"),)
    commands = "ip route 10.0.0.0 255.0.0.0 10.1.1.2 tag 4201 name a\n"
    after = apply_edits(text, get_platform("ios").edits(running, commands))
    assert after == text.replace("end", f"ip route 10.0.0.0 255.0.0.0 10.1.1.2 tag {tag} name a\nend")


@pytest.mark.parametrize("tag", ["1.2.3", "1.2.3.256", "1.2.3.4.5", "::1"])
def test_ios_other_dotted_words_are_no_tags(tag: str):
    text = f"version 16.9\nhostname r1\nip route 10.0.0.0 255.0.0.0 10.1.1.1 tag {tag}\nend\n"
    (route,) = get_platform("ios").parse(text)
    assert route.disqualified


def test_eos_vrf_in_the_line():
    text = "ip route vrf red 10.0.0.0 255.0.0.0 10.1.1.1\nip route vrf default 10.0.0.0/8 10.1.1.1\n"
    routes = get_platform("eos").parse(text).routes
    assert [(route.vrf, str(route.prefix)) for route in routes] == [("red", "10.0.0.0/8"), ("default", "10.0.0.0/8")]


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_host_bits_are_cleared_and_noted(name: str):
    running = get_platform(name).parse("ip route 10.1.2.3/8 10.1.1.1\nip route 10.1.2.3/8 10.1.1.2\n")
    (route,) = running
    assert route.prefix == Prefix.parse("10.0.0.0/8")
    assert [(note.line, note.text) for note in running.notes] == [(1, "10.1.2.3/8"), (2, "10.1.2.3/8")]
    assert "10.0.0.0/8" in running.notes[0].reason


def test_hops_are_shared_between_routes():
    first, second = get_platform("frr").parse(
        "ip route 10.0.0.0/16 10.9.9.9 tag 1\nip route 10.1.0.0/16 10.9.9.9 tag 1\n"
    )
    assert first.next_hops[0] is second.next_hops[0]

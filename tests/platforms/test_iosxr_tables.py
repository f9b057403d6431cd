"""What IOS-XR's tables say, in the forms in which 6.x and 7.x print them."""

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.iosxr_fib import fib_filter, fib_node
from k8s_ecmp.platforms.iosxr_rib import Question, rib_filter
from k8s_ecmp.platforms.iosxr_tables import IosXrVerification

XR = IosXrVerification()
ROUTES = """\
Fri Nov 21 16:50:01.114 UTC
Codes: C - connected, S - static, R - RIP, B - BGP, (>) - Diversion path
       D - EIGRP, EX - EIGRP external, O - OSPF, IA - OSPF inter area
       A - access/subscriber, a - Application route

Gateway of last resort is 203.0.113.1 to network 0.0.0.0

S*   0.0.0.0/0 [1/0] via 203.0.113.1, 1w2d
S    10.96.0.0/12 [1/0] via 10.192.0.1, 00:01:07
                  [1/0] via 10.192.0.2, 00:01:07
S    10.97.0.0/16 [1/0] via 10.7.0.1 (nexthop in vrf blue), 00:01:07
S    198.18.0.0/15 is directly connected, 3d04h, Null0
S    198.51.100.64/26 [1/0] via 203.0.113.1, 3d04h, GigabitEthernet0/0/0/1
S    192.0.2.0/24 is directly connected, 3d04h, tunnel-te12
"""
CEF = """\
Fri Nov 21 16:50:01.502 UTC

Prefix              Next Hop            Interface
------------------- ------------------- ------------------
0.0.0.0/0           203.0.113.1/32      <recursive>
0.0.0.0/32          broadcast
10.96.0.0/12        10.192.0.1/32       <recursive>
                    10.192.0.2/32       <recursive>
10.97.0.0/16        10.7.0.1/32         <recursive>
10.192.0.0/24       attached            GigabitEthernet0/0/0/0
10.192.0.254/32     receive             GigabitEthernet0/0/0/0
192.0.2.0/24        point2point         tunnel-te12
198.18.0.0/15       drop                Null0
198.51.100.64/26    203.0.113.1/32      GigabitEthernet0/0/0/1
224.0.0.0/4         drop                default handler
"""
ROUTES6 = """\
S    fd96::/108
      [1/0] via fd10:192::1, 00:01:07
      [1/0] via fd10:192::2, 00:01:07
S    fd98::/32
      directly connected, 00:01:07, Null0
"""
CEF6 = """\

Prefix              Next Hop            Interface
------------------- ------------------- ------------------
fd96::/108
  fd10:192::1/128                         <recursive>
fd98::/32
  drop                                    Null0
fd10:192::/64
  attached                                GigabitEthernet0/0/0/0
"""
ENTRY = """\

Routing entry for 10.96.0.0/12
  Known via "static", distance 1, metric 0
  Tag 4201
  Installed Nov 21 16:50:00.114 for 00:01:07
  Routing Descriptor Blocks
    10.192.0.1
      Route metric is 0, Wt is 1
    10.192.0.2, via GigabitEthernet0/0/0/0
      Route metric is 0, Wt is 1
    10.7.0.1
      Nexthop in Vrf: "blue", Table: "default", IPv4 Unicast, Table Id: 0xe0000010
      Route metric is 0, Wt is 1
  No advertising protos.
"""
CEF_ENTRY = """\
10.96.0.0/12, version 61, internal 0x1000001 0x0 (ptr 0xdf13eb8) [1], 0x0 (0x0), 0x0 (0x0)
 Updated Nov 21 16:50:00.118
 Prefix Len 12, traffic index 0, precedence n/a, priority 3
   via 10.192.0.1/32, 3 dependencies, recursive [flags 0x0]
    path-idx 0 NHID 0x0 [0xdf14608 0x0]
    next hop 10.192.0.1/32 via 10.192.0.1/32
   via 10.192.0.2/32, GigabitEthernet0/0/0/0, 4 dependencies, weight 0, class 0 [flags 0x0]
    path-idx 1 NHID 0x0 [0xec3a2f0 0x0]
   via 10.7.0.1/32, 3 dependencies, recursive [flags 0x0]
    path-idx 2 NHID 0x0 [0xdf14609 0x0]
    next hop VRF - 'blue', table - 0xe0000010
"""


def both(*labels: str) -> Installed:
    return Installed(frozenset(labels), frozenset(labels))


def test_commands():
    assert XR.table_commands(["default", "red"]) == (
        "show route ipv4 unicast static",
        "show cef ipv4",
        "show route ipv6 unicast static",
        "show cef ipv6",
        "show route vrf red ipv4 unicast static",
        "show cef vrf red ipv4",
        "show route vrf red ipv6 unicast static",
        "show cef vrf red ipv6",
    )
    assert XR.prefix_commands("red", [Prefix.parse("fd96::/108")]) == (
        "show route vrf red ipv6 unicast fd96::/108",
        "show cef vrf red ipv6 fd96::/108",
    )
    for command in (*XR.table_commands(["default", "red"]), *XR.prefix_commands("red", [Prefix.parse("fd96::/108")])):
        assert Question.of(command).command == command


def test_whole_table():
    tables = XR.read_tables({"show route ipv4 unicast static": ROUTES, "show cef ipv4": CEF})
    assert {str(prefix): found for (_, prefix), found in tables.items()} == {
        "0.0.0.0/0": both("203.0.113.1"),
        "10.96.0.0/12": both("10.192.0.1", "10.192.0.2"),
        "10.97.0.0/16": both("10.7.0.1 vrf blue"),
        "198.18.0.0/15": both("discard"),
        "198.51.100.64/26": both("203.0.113.1"),
        "192.0.2.0/24": both("tunnel-te12"),
    }


def test_whole_ipv6_table_of_a_vrf():
    tables = XR.read_tables({"show route vrf red ipv6 unicast static": ROUTES6, "show cef vrf red ipv6": CEF6})
    assert tables == {
        ("red", Prefix.parse("fd96::/108")): Installed(
            frozenset({"fd10:192::1", "fd10:192::2"}), frozenset({"fd10:192::1"})
        ),
        ("red", Prefix.parse("fd98::/32")): both("discard"),
    }


def test_one_prefix():
    command = "show route ipv4 unicast 10.96.0.0/12"
    key = ("default", Prefix.parse("10.96.0.0/12"))
    answers = {command: ENTRY, "show cef ipv4 10.96.0.0/12": CEF_ENTRY}
    assert XR.read_tables(answers) == {key: both("10.192.0.1", "10.192.0.2", "10.7.0.1 vrf blue")}
    nothing = Installed(frozenset(), frozenset())
    other = answers | {command: ENTRY.replace('"static", distance 1', '"bgp 64512", distance 20')}
    assert XR.read_tables(other)[key] == nothing._replace(better=Better("bgp 64512", 20))
    assert (
        XR.read_tables(answers | {"show cef ipv4 10.96.0.0/12": "% No matching prefix found"})[key].fib == frozenset()
    )
    assert XR.read_tables(answers | {command: "% Network not in table"}) == {}
    assert XR.read_tables(answers | {command: ENTRY.replace("10.96.0.0/12", "10.0.0.0/8")}) == {}
    assert nothing not in XR.read_tables(answers).values()


def test_a_discard_route_alone():
    answers = {
        "show route ipv4 unicast 203.0.113.0/24": '\nRouting entry for 203.0.113.0/24\n  Known via "static", distance 1, '
        "metric 0\n  Routing Descriptor Blocks\n    directly connected, via Null0\n      Route metric is 0, Wt is 1\n",
        "show cef ipv4 203.0.113.0/24": "203.0.113.0/24, version 9, internal 0x1000001 0x0 (ptr 0xdf13eb8) [1]\n"
        "   via point2point, 3 dependencies, weight 0, class 0 [flags 0x0]\n     next hop\n      drop adjacency\n",
    }
    assert list(XR.read_tables(answers).values()) == [both("discard")]


@pytest.mark.parametrize(
    "answers",
    [
        {"show route ipv4 unicast static": "", "show cef ipv4": CEF},
        {"show route ipv4 unicast static": ROUTES, "show cef ipv4": "nonsense"},
        {"show route ipv4 unicast static": ROUTES, "show cef ipv4": ""},
        {"show route ipv4 unicast static": ROUTES, "show cef ipv4": "% This command is not authorized"},
        {"show route ipv4 unicast static": "S    10.0.0.0/8 something new", "show cef ipv4": CEF},
        {"show route ipv4 unicast static": "% Invalid input detected at '^' marker.", "show cef ipv4": CEF},
        {"show route ipv4 unicast static": "<data>", "show cef ipv4": CEF},
        {"show route ipv4 unicast 10.0.0.0/8": ROUTES, "show cef ipv4 10.0.0.0/8": CEF_ENTRY},
    ],
)
def test_what_is_no_table_is_refused(answers: dict[str, str]):
    with pytest.raises(ParseError):
        XR.read_tables(answers)


CONNECTED = ENTRY.replace("static", "connected").replace("10.96.0.0/12", "10.192.0.0/24")
TO_NOWHERE = (
    ENTRY.replace("10.96.0.0/12", "10.0.0.0/8").partition("Blocks\n")[0] + "Blocks\n    directly connected, via Null0\n"
)


@pytest.mark.parametrize(
    ("answer", "resolved"), [(CONNECTED, True), ("% Network not in table", False), (TO_NOWHERE, False)]
)
def test_resolving_next_hops(answer: str, resolved: bool):
    (command,) = XR.resolve_commands("red", ["10.192.0.1"])
    assert command == "show route vrf red ipv4 unicast 10.192.0.1"
    assert XR.read_unresolved("red", ["10.192.0.1"], {command: answer}) == (frozenset() if resolved else {"10.192.0.1"})
    with pytest.raises(ParseError):
        XR.read_unresolved("red", ["10.192.0.1"], {})


# --- NETCONF ---

RIB = """\
<?xml version="1.0"?>
<rpc-reply message-id="urn:uuid:1" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><data>
 <rib xmlns="http://cisco.com/ns/yang/Cisco-IOS-XR-ip-rib-ipv4-oper"><vrfs><vrf><vrf-name>red</vrf-name><afs><af>
  <af-name>IPv4</af-name><safs><saf><saf-name>Unicast</saf-name><ip-rib-route-table-names><ip-rib-route-table-name>
   <route-table-name>default</route-table-name><routes>
    <route><address>10.96.0.0</address><prefix-length>12</prefix-length><prefix>10.96.0.0</prefix>
     <prefix-length-xr>12</prefix-length-xr><protocol-name>static</protocol-name><route-path>
      <ipv4-rib-edm-path><address>10.192.0.1</address><interface-name></interface-name></ipv4-rib-edm-path>
      <ipv4-rib-edm-path><address>10.192.0.2</address><interface-name>GigabitEthernet0/0/0/0</interface-name></ipv4-rib-edm-path>
     </route-path></route>
    <route><address>198.18.0.0</address><prefix-length>15</prefix-length><prefix>198.18.0.0</prefix>
     <prefix-length-xr>15</prefix-length-xr><protocol-name>static</protocol-name><route-path>
      <ipv4-rib-edm-path><address>0.0.0.0</address><interface-name>Null0</interface-name></ipv4-rib-edm-path>
     </route-path></route>
    <route><address>10.192.0.0</address><prefix-length>24</prefix-length><prefix>10.192.0.0</prefix>
     <prefix-length-xr>24</prefix-length-xr><protocol-name>connected</protocol-name><distance>0</distance><route-path>
      <ipv4-rib-edm-path><interface-name>GigabitEthernet0/0/0/0</interface-name></ipv4-rib-edm-path></route-path></route>
   </routes></ip-rib-route-table-name></ip-rib-route-table-names></saf></safs></af></afs></vrf></vrfs></rib>
</data></rpc-reply>
"""


def test_without_an_answer_about_the_fib_the_rib_is_read():
    whole = XR.read_tables({"show route ipv4 unicast static": ROUTES, "show cef ipv4": CEF})
    alone = XR.read_tables({"show route ipv4 unicast static": ROUTES})
    assert {key: found.rib for key, found in alone.items()} == {key: found.rib for key, found in whole.items()}
    assert all(found.fib == found.rib for found in alone.values())


def test_rib_by_its_model():
    tables = XR.read_tables({"show route vrf red ipv4 unicast static": RIB})
    assert tables == {
        ("red", Prefix.parse("10.96.0.0/12")): both("10.192.0.1", "10.192.0.2"),
        ("red", Prefix.parse("198.18.0.0/15")): both("discard"),
    }
    one = XR.read_tables({"show route vrf red ipv4 unicast 10.192.0.0/24": RIB})
    direct = Installed(frozenset(), frozenset(), Better("connected", 0))
    assert one == {("red", Prefix.parse("10.192.0.0/24")): direct}


def test_resolving_by_the_model():
    commands = XR.resolve_commands("red", ["10.192.0.9", "198.18.0.1", "192.0.2.1"])
    unresolved = XR.read_unresolved("red", ["10.192.0.9", "198.18.0.1", "192.0.2.1"], dict.fromkeys(commands, RIB))
    assert unresolved == {"198.18.0.1", "192.0.2.1"}


def test_filters():
    one = rib_filter("show route vrf a&b ipv6 unicast fd96::/108")
    assert "<ipv6-rib xmlns" in one
    assert "<vrf-name>a&amp;b</vrf-name>" in one
    assert "<route><address>fd96::</address><prefix-length>108</prefix-length></route>" in one
    assert rib_filter("show route ipv4 unicast static") == rib_filter("show route ipv4 unicast 10.192.0.9")


def fib(*paths: str) -> str:
    listed = "".join(f"<fib-sh-tbl-path>{path}</fib-sh-tbl-path>" for path in paths)
    return (
        '<rpc-reply xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><data>'
        '<fib xmlns="http://cisco.com/ns/yang/Cisco-IOS-XR-fib-common-oper"><nodes><node><node-name>0/RP0/CPU0</node-name>'
        "<protocols><protocol><protocol-name>ipv4</protocol-name><vrfs><vrf><vrf-name>red</vrf-name><ip-prefix-briefs>"
        f"<ip-prefix-brief><prefix>10.96.0.0</prefix><prefix-length>12</prefix-length><fib-entry-path>{listed}"
        "</fib-entry-path></ip-prefix-brief></ip-prefix-briefs></vrf></vrfs></protocol></protocols></node></nodes></fib>"
        "</data></rpc-reply>"
    )


def hop(address: str, more: str = "") -> str:
    return f"<brief-next-hop-prefix>{address}</brief-next-hop-prefix>{more}"


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        (fib(hop("10.192.0.1/32"), hop("10.192.0.2")), {"10.192.0.1", "10.192.0.2"}),
        (fib(hop("10.192.0.1"), hop("10.192.0.2", "<backup-path>true</backup-path>")), {"10.192.0.1"}),
        (fib("<brief-interface-handle>Null0</brief-interface-handle>"), {"discard"}),
        (fib(hop("", "<detail-fib-adjacency-type>fib-adjacency-drop</detail-fib-adjacency-type>")), {"discard"}),
        (fib(hop("0.0.0.0", "<brief-interface-handle>tunnel-te1</brief-interface-handle>")), {"tunnel-te1"}),
        (fib().replace("10.96.0.0", "10.112.0.0"), set()),
        ("<rpc-reply><data/></rpc-reply>", set()),
    ],
)
def test_fib_by_its_model(answer: str, labels: set[str]):
    answers = {"show route vrf red ipv4 unicast static": RIB, "show cef vrf red ipv4": answer}
    assert XR.read_tables(answers)["red", Prefix.parse("10.96.0.0/12")].fib == labels


@pytest.mark.parametrize("answer", ["<data>", fib(hop("nobody")), fib().replace(">12<", ">99<")])
def test_a_fib_s_model_that_cannot_be_read(answer: str):
    with pytest.raises(ParseError):
        XR.read_tables({"show route vrf red ipv4 unicast static": RIB, "show cef vrf red ipv4": answer})


def test_the_questions_about_the_fib_s_model():
    names = "".join(
        f"<node><node-name>{name}</node-name></node>" for name in ("0/0/CPU0", "0/RSP1/CPU0", "0/RSP0/CPU0")
    )
    assert fib_node(f"<fib><nodes>{names}</nodes></fib>") == "0/RSP0/CPU0"
    assert fib_node("<fib><nodes><node><node-name>0/1/CPU0</node-name></node></nodes></fib>") == "0/1/CPU0"
    assert fib_node("<data/>") == ""
    one = fib_filter("show cef vrf red ipv6 fd96::/108", "0/RP0/CPU0")
    assert "<protocol-name>ipv6</protocol-name><vrfs><vrf><vrf-name>red</vrf-name>" in one
    assert "<ip-prefix-brief><prefix>fd96::</prefix><prefix-length>108</prefix-length></ip-prefix-brief>" in one
    assert "<prefix/><prefix-length/>" in fib_filter("show cef ipv4", "0/RP0/CPU0")

"""Answers of IOS and IOS-XE, in the forms of the command references and of captures."""

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Better, Installed, Verification

HEAD = """Codes: L - local, C - connected, S - static, R - RIP, M - mobile, B - BGP
       D - EIGRP, EX - EIGRP external, O - OSPF, IA - OSPF inter area
       N1 - OSPF NSSA external type 1, N2 - OSPF NSSA external type 2
       E1 - OSPF external type 1, E2 - OSPF external type 2, m - OMP
       n - NAT, Ni - NAT inside, No - NAT outside, Nd - NAT DIA
       i - IS-IS, su - IS-IS summary, L1 - IS-IS level-1, L2 - IS-IS level-2
       ia - IS-IS inter area, * - candidate default, U - per-user static route
       H - NHRP, G - NHRP registered, g - NHRP registration summary
       o - ODR, P - periodic downloaded static route, l - LISP
       a - application route
       + - replicated route, % - next hop override, p - overrides from PfR
       & - replicated local route overrides by connected

"""
TABLE = (
    HEAD
    + """Gateway of last resort is 192.0.2.1 to network 0.0.0.0

S*    0.0.0.0/0 [1/0] via 192.0.2.1
                [1/0] via 192.0.2.2
      10.0.0.0/8 is variably subnetted, 12 subnets, 5 masks
S        10.96.0.0/12 [1/0] via 10.0.0.3
                      [1/0] via 10.0.0.2
                      [1/0] via 10.0.0.1
S        10.97.10.1/32 [210/0] via 10.0.0.1, GigabitEthernet0/0
S        10.98.0.0/16 is directly connected, Null0
S        10.99.0.0/16 is directly connected, Tunnel100
      172.16.0.0/24 is subnetted, 2 subnets
S        172.16.1.0 [1/0] via 10.0.0.9
S        172.16.2.0 [1/0] via 10.0.0.9
S     192.168.5.0/24 [1/0] via 10.0.0.9
S     203.0.113.0 [1/0] via 10.0.0.8
"""
)
TABLE6 = """IPv6 Routing Table - default - 6 entries
Codes: C - Connected, L - Local, S - Static, U - Per-user Static route
       B - BGP, HA - Home Agent, MR - Mobile Router, R - RIP
       ON1 - OSPF NSSA ext 1, ON2 - OSPF NSSA ext 2, l - LISP
S   ::/0 [1/0]
     via FE80::1, GigabitEthernet0/0
S   2001:DB8:3::/62 [5/0]
     via Null0, directly connected
S   FD96::/108 [1/0], tag 4201
     via FD00:A::1
     via FD00:A::2
"""
ENTRY = """Routing entry for 10.96.0.0/12
  Known via "static", distance 1, metric 0
  Tag 4201
  Routing Descriptor Blocks:
    10.0.0.2
      Route metric is 0, traffic share count is 1
      Route tag 4201
  * 10.0.0.1
      Route metric is 0, traffic share count is 1
      Route tag 4201
"""
CEF = """10.96.0.0/12, epoch 2, per-destination sharing
  recursive via 10.0.0.1
    attached to GigabitEthernet0/0
  recursive via 10.0.0.2
    recursive via 10.0.0.0/24
      attached to GigabitEthernet0/0
"""


@pytest.fixture
def verification() -> Verification:
    found = get_platform("ios").verification
    assert found is not None
    return found


def both(*labels: str) -> Installed:
    return Installed(frozenset(labels), frozenset(labels))


def key(prefix: str, vrf: str = "default") -> tuple[str, Prefix]:
    return vrf, Prefix.parse(prefix)


def test_questions(verification: Verification):
    assert verification.table_commands(["default", "red"]) == (
        "show ip route static",
        "show ip cef detail",
        "show ipv6 route static",
        "show ipv6 cef detail",
        "show ip route vrf red static",
        "show ip cef vrf red detail",
        "show ipv6 route vrf red static",
        "show ipv6 cef vrf red detail",
    )
    prefixes = [Prefix.parse("10.96.0.0/12"), Prefix.parse("fd96::/108")]
    assert verification.prefix_commands("red", prefixes) == (
        "show ip route vrf red 10.96.0.0 255.240.0.0",
        "show ip cef vrf red 10.96.0.0 255.240.0.0 detail",
        "show ipv6 route vrf red FD96::/108",
        "show ipv6 cef vrf red FD96::/108 detail",
    )
    assert verification.resolve_commands("default", ["10.0.0.1", "fd00:a::1"]) == (
        "show ip route 10.0.0.1",
        "show ipv6 route FD00:A::1",
    )


def test_table(verification: Verification):
    assert verification.read_tables({"show ip route static": TABLE}) == {
        key("0.0.0.0/0"): both("192.0.2.1", "192.0.2.2"),
        key("10.96.0.0/12"): both("10.0.0.1", "10.0.0.2", "10.0.0.3"),
        key("10.97.10.1/32"): both("10.0.0.1"),
        key("10.98.0.0/16"): both("discard"),
        key("10.99.0.0/16"): both("Tunnel100"),
        key("172.16.1.0/24"): both("10.0.0.9"),
        key("172.16.2.0/24"): both("10.0.0.9"),
        key("192.168.5.0/24"): both("10.0.0.9"),
        key("203.0.113.0/24"): both("10.0.0.8"),
    }


def test_ipv6_table_of_a_vrf(verification: Verification):
    assert verification.read_tables({"show ipv6 route vrf red static": TABLE6}) == {
        key("::/0", "red"): both("fe80::1"),
        key("2001:db8:3::/62", "red"): both("discard"),
        key("fd96::/108", "red"): both("fd00:a::1", "fd00:a::2"),
    }


def test_other_protocols_in_the_answer_are_left_out(verification: Verification):
    text = (
        TABLE
        + "B     198.51.100.0/24 [20/0] via 192.0.2.9, 00:01:02\n                     [20/0] via 192.0.2.8, 00:01:02\n"
    )
    assert verification.read_tables({"show ip route static": text}) == verification.read_tables(
        {"show ip route static": TABLE}
    )


def test_long_line_that_the_router_breaks(verification: Verification):
    text = HEAD + "S     203.0.113.128/25 \n           [1/0] via 10.0.0.8\n           [1/0] via 10.0.0.7\n"
    assert verification.read_tables({"show ip route static": text}) == {
        key("203.0.113.128/25"): both("10.0.0.7", "10.0.0.8")
    }


def test_one_prefix_in_rib_and_fib(verification: Verification):
    route, cef = verification.prefix_commands("default", [Prefix.parse("10.96.0.0/12")])
    assert verification.read_tables({route: ENTRY, cef: CEF}) == {key("10.96.0.0/12"): both("10.0.0.1", "10.0.0.2")}
    half = CEF.replace("  recursive via 10.0.0.1\n    attached to GigabitEthernet0/0\n", "")
    assert verification.read_tables({route: ENTRY, cef: half}) == {
        key("10.96.0.0/12"): Installed(frozenset({"10.0.0.1", "10.0.0.2"}), frozenset({"10.0.0.2"}))
    }
    assert verification.read_tables({route: ENTRY, cef: "%Prefix not found\n"}) == {
        key("10.96.0.0/12"): Installed(frozenset({"10.0.0.1", "10.0.0.2"}), frozenset())
    }


WHOLE_CEF = (
    """IPv4 CEF is enabled for distributed and running
VRF Default
 9 prefixes (9/0 fwd/non-fwd)
 Table id 0x0
 Database epoch:        2 (9 entries at this epoch)

0.0.0.0/0, epoch 2, flags default route
  recursive via 192.0.2.1
    nexthop 192.0.2.1 GigabitEthernet0/1
  recursive via 192.0.2.2
    nexthop 192.0.2.2 GigabitEthernet0/1
0.0.0.0/8, epoch 2
  Special source: drop
  drop
10.0.0.0/24, epoch 2, flags attached, connected, cover dependents, need deagg
  Covered dependent prefixes: 2
    need deagg: 2
  attached to GigabitEthernet0/0
10.0.0.1/32, epoch 2, flags attached
  Adj source: IP adj out of GigabitEthernet0/0, addr 10.0.0.1 7F1C2A3D
    Dependent covered prefix type adjfib, cover 10.0.0.0/24
  attached to GigabitEthernet0/0
"""
    + CEF
    + """10.97.10.1/32, epoch 2
  nexthop 10.0.0.1 GigabitEthernet0/0
10.98.0.0/16, epoch 2, flags attached
  attached to Null0
224.0.0.0/4, epoch 2
  Special source: drop
  drop
"""
)


def test_the_whole_fib(verification: Verification):
    tables = verification.read_tables({"show ip route static": TABLE, "show ip cef detail": WHOLE_CEF})
    assert tables[key("0.0.0.0/0")] == both("192.0.2.1", "192.0.2.2")
    three = frozenset({"10.0.0.1", "10.0.0.2", "10.0.0.3"})
    assert tables[key("10.96.0.0/12")] == Installed(three, three - {"10.0.0.3"})
    assert tables[key("10.97.10.1/32")] == both("10.0.0.1")
    assert tables[key("10.98.0.0/16")] == both("discard")
    assert tables[key("172.16.1.0/24")] == Installed(frozenset({"10.0.0.9"}), frozenset())


def test_a_fib_is_read_only_where_the_rib_has_something_to_look_for(verification: Verification):
    answers = {
        "show ipv6 route vrf red static": TABLE6.partition("S ")[0],
        "show ipv6 cef vrf red detail": "% whatever",
    }
    assert verification.read_tables(answers) == {}
    with pytest.raises(ParseError, match="unexpected form"):
        verification.read_tables({"show ip route static": TABLE, "show ip cef detail": "IPv4 CEF is enabled\n"})


def test_without_cef_the_rib_is_all_that_is_known(verification: Verification):
    route, cef = verification.prefix_commands("default", [Prefix.parse("10.96.0.0/12")])
    for answers in ({route: ENTRY, cef: "%IPv4 CEF not running\n"}, {route: ENTRY}):
        assert verification.read_tables(answers) == {key("10.96.0.0/12"): both("10.0.0.1", "10.0.0.2")}
    table = verification.read_tables({"show ip route static": TABLE, "show ip cef detail": "%IPv4 CEF not running\n"})
    assert table[key("10.96.0.0/12")] == both("10.0.0.1", "10.0.0.2", "10.0.0.3")


@pytest.mark.parametrize(
    ("prefix", "entry", "cef", "labels"),
    [
        (
            "10.98.0.0/16",
            "  Routing Descriptor Blocks:\n  * directly connected, via Null0\n      Route metric is 0\n",
            "10.98.0.0/16, epoch 0, flags [attached]\n  attached to Null0\n",
            {"discard"},
        ),
        (
            "10.97.10.1/32",
            "  Routing Descriptor Blocks:\n  * 10.0.0.1, via GigabitEthernet0/0\n      Route metric is 0\n",
            "10.97.10.1/32, epoch 0\n  nexthop 10.0.0.1 GigabitEthernet0/0\n",
            {"10.0.0.1"},
        ),
        (
            "FD96::/108",
            "  Route count is 2/2, share count 0\n  Routing paths:\n    FD00:A::1\n      Last updated 00:00:12 ago\n"
            "    FE80::1, GigabitEthernet0/0\n      Last updated 00:00:12 ago\n",
            "FD96::/108, epoch 0\n  recursive via FD00:A::1\n    attached to GigabitEthernet0/0\n"
            "  nexthop FE80::1 GigabitEthernet0/0\n",
            {"fd00:a::1", "fe80::1"},
        ),
        (
            "FD97::/108",
            "  Route count is 1/1, share count 0\n  Routing paths:\n    directly connected via Null0\n",
            "FD97::/108, epoch 0\n  attached to Null0\n",
            {"discard"},
        ),
    ],
)
def test_forms_of_one_prefix(verification: Verification, prefix: str, entry: str, cef: str, labels: set[str]):
    route, forwarding = verification.prefix_commands("default", [Prefix.parse(prefix.lower())])
    text = f'Routing entry for {prefix}\n  Known via "static", distance 1, metric 0\n{entry}'
    assert verification.read_tables({route: text, forwarding: cef}) == {key(prefix.lower()): both(*labels)}


def test_best_route_of_another_protocol_is_no_static_route(verification: Verification):
    text = ENTRY.replace('"static", distance 1', '"bgp 65001", distance 20')
    none = frozenset[str]()
    route, cef = verification.prefix_commands("default", [Prefix.parse("10.96.0.0/12")])
    found = {key("10.96.0.0/12"): Installed(none, none, Better("bgp 65001", 20))}
    assert verification.read_tables({route: text}) == verification.read_tables({route: text, cef: CEF}) == found


def test_a_table_without_static_routes(verification: Verification):
    assert verification.read_tables({"show ip route static": HEAD}) == {}


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("show ip route 10.96.0.0 255.240.0.0", "% Network not in table\n"),
        ("show ip route 10.96.0.0 255.240.0.0", "% Subnet not in table\n"),
        ("show ipv6 route FD96::/108", "% Route not found\n"),
        ("show ip route vrf red static", "% IP routing table vrf red does not exist\n"),
    ],
)
def test_what_is_not_there(verification: Verification, command: str, answer: str):
    assert verification.read_tables({command: answer}) == {}


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("show ip route static", "% Invalid input detected at '^' marker.\n"),
        ("show ip route static", ""),
        ("show ip route static", "Command authorization failed.\n"),
        ("show ipv6 route vrf red static", "\n"),
        ("show ip route 10.96.0.0 255.240.0.0", "Command authorization failed.\n"),
        ("show ip route 10.96.0.0 255.240.0.0", ""),
        ("show ip route static", "S     10.0.0.0/99 [1/0] via 10.0.0.1\n"),
        ("show ip route static", "S     10.0.0.0/8 [1/0] via 10.0.0.999\n"),
        ("show ip route 10.96.0.0 255.240.0.0", ENTRY.replace("10.0.0.2", "10.0.0.2.2")),
    ],
)
def test_other_answers_are_refused(verification: Verification, command: str, answer: str):
    with pytest.raises(ParseError, match="answer"):
        verification.read_tables({command: answer})


@pytest.mark.parametrize(
    "answer",
    ["whatever\n", "", "Command authorization failed.\n", "10.96.0.0/12, epoch 0\n  recursive via nobody\n"],
)
def test_a_fib_that_cannot_be_read_is_not_an_empty_one(verification: Verification, answer: str):
    route, cef = verification.prefix_commands("default", [Prefix.parse("10.96.0.0/12")])
    with pytest.raises(ParseError, match="answer to 'show ip cef"):
        verification.read_tables({route: ENTRY, cef: answer})


def test_unresolved_next_hops(verification: Verification):
    addresses = ["10.0.0.1", "10.9.9.9", "fd00:a::1"]
    answers = dict(
        zip(
            verification.resolve_commands("default", addresses),
            [
                'Routing entry for 10.0.0.0/24\n  Known via "connected", distance 0, metric 0 (connected, via interface)\n',
                "% Network not in table\n",
                'Routing entry for FD00:A::/64\n  Known via "connected", distance 0, metric 0, type connected\n',
            ],
            strict=True,
        )
    )
    assert verification.read_unresolved("default", addresses, answers) == {"10.9.9.9"}
    with pytest.raises(ParseError, match="no answer"):
        verification.read_unresolved("default", ["10.0.0.7"], answers)
    with pytest.raises(ParseError, match="does not exist"):
        verification.read_unresolved(
            "red", ["10.0.0.1"], {"show ip route vrf red 10.0.0.1": "% IP routing table vrf red does not exist\n"}
        )
    with pytest.raises(ParseError, match="unexpected"):
        verification.read_unresolved("default", ["10.0.0.1"], {"show ip route 10.0.0.1": "Translating ...\n"})

"""`show ip route` and `show ipv6 route` of NX-OS, as switches print them."""

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.nxos_tables import NxosVerification

TABLES = NxosVerification()
LEGEND = """'*' denotes best ucast next-hop
'**' denotes best mcast next-hop
'[x/y]' denotes [preference/metric]
'%<string>' in via output denotes VRF <string>

"""
IPV4 = f"""IP Route Table for VRF "default"
{LEGEND}0.0.0.0/0, ubest/mbest: 1/0
    *via 10.192.0.254, [250/0], 6w2d, static
10.96.0.0/12, ubest/mbest: 3/0
    *via 10.192.0.1, [1/0], 00:00:07, static, tag 4201
    *via 10.192.0.2, Vlan10, [1/0], 00:00:07, static, tag 4201
    *via 10.192.0.3%red, Eth1/7, [1/0], 1d02h, static, tag 4201
     via 10.192.0.4, [200/0], 1d02h, static
10.97.0.0/16, ubest/mbest: 1/0
    *via Null0, [1/0], 18:47:42, static, tag 4201
10.98.0.0/16, ubest/mbest: 1/0
    *via 10.192.0.9, Vlan10, [110/41], 00:10:00, ospf-1, intra
    **via 10.192.0.9, Vlan10, [1/0], 00:10:00, static
     via 10.192.0.1, [200/0], 00:00:07, static, tag 4201
10.99.0.1/32, ubest/mbest: 1/0, pending ufdm
    *via 10.192.0.1, [1/0], 00:00:00, static, tag 4201
10.192.0.0/24, ubest/mbest: 1/0, attached
    *via 10.192.0.253, Vlan10, [0/0], 3d02h, direct
10.192.0.253/32, ubest/mbest: 2/0, attached
    *via 10.192.0.253, Lo1, [0/0], 3d02h, local
    *via 10.192.0.253, Lo1, [0/0], 3d02h, direct

IP Route Table for VRF "red"
{LEGEND}10.96.0.0/12, ubest/mbest: 1/0
    *via 10.20.0.9%red, [1/0], 00:00:07, static
10.30.0.0/16, ubest/mbest: 1/0
    *via Tunnel1, [1/0], 00:00:07, static
"""
IPV6 = f"""IPv6 Routing Table for VRF "default"
{LEGEND}fd96::/108, ubest/mbest: 2/0
    *via fd10:192::1, Vlan10, [1/0], 00:00:07, static, tag 4201
    *via FE80::2, Vlan10, [1/0], 00:00:07, static, tag 4201
fd10:192::/64, ubest/mbest: 1/0, attached
    *via fd10:192::fd, Vlan10, [0/0], 3d02h, direct, , tag 7
"""


def both(*labels: str) -> Installed:
    return Installed(frozenset(labels), frozenset(labels))


def prefix(text: str) -> Prefix:
    return Prefix.parse(text)


def test_questions():
    assert TABLES.table_commands(["default", "red"]) == (
        "show ip route static vrf default",
        "show forwarding ipv4 route vrf default",
        "show ipv6 route static vrf default",
        "show forwarding ipv6 route vrf default",
        "show ip route static vrf red",
        "show forwarding ipv4 route vrf red",
        "show ipv6 route static vrf red",
        "show forwarding ipv6 route vrf red",
    )
    assert TABLES.prefix_commands("red", [prefix("10.96.0.0/12"), prefix("fd96::/108")]) == (
        "show ip route 10.96.0.0/12 vrf red",
        "show forwarding ipv4 route 10.96.0.0/12 vrf red",
        "show ipv6 route fd96::/108 vrf red",
        "show forwarding ipv6 route fd96::/108 vrf red",
    )


def test_tables():
    found = TABLES.read_tables({"a": IPV4, "b": IPV6})
    assert found["default", prefix("10.96.0.0/12")] == both("10.192.0.1", "10.192.0.2", "10.192.0.3 vrf red")
    assert found["default", prefix("10.97.0.0/16")] == both("discard")
    none = frozenset[str]()
    behind = frozenset({"10.192.0.1"})
    assert found["default", prefix("10.98.0.0/16")] == Installed(none, none, Better("ospf-1", 110), behind)
    assert found["default", prefix("10.192.0.0/24")] == Installed(none, none, Better("direct", 0))
    assert found["red", prefix("10.96.0.0/12")] == both("10.20.0.9")
    assert found["red", prefix("10.30.0.0/16")] == both("Tunnel1")
    assert found["default", prefix("fd96::/108")] == both("fd10:192::1", "fe80::2")
    assert len(found) == 11


def test_a_route_on_its_way_to_the_forwarding_table():
    found = TABLES.read_tables({"a": IPV4})
    assert found["default", prefix("10.99.0.1/32")] == Installed(frozenset({"10.192.0.1"}), frozenset())


RULE = "------------------+------------------+----------------------+-----------------\n"
COLUMNS = f"{RULE}Prefix            | Next-hop         | Interface            | Labels\n{RULE}"
FORWARDING = f"""slot  1
=======


IPv4 routes for table default/base

{COLUMNS}0.0.0.0/32           Drop               Null0
10.192.0.0/24        Attached           Vlan10
10.192.0.1/32        10.192.0.1         Vlan10
0.0.0.0/0            10.192.0.254       Vlan10
10.96.0.0/12         10.192.0.1         Vlan10
                     10.192.0.3         Ethernet1/7
10.97.0.0/16         Drop               Null0

slot 27
=======


IPv4 routes for table default/base

{COLUMNS}127.0.0.0/8          Drop               Null0
10.192.0.253/32      Receive            sup-eth1
10.96.0.0/12         10.192.0.1         Vlan10
                     10.192.0.2         Vlan10              PUSH 16001
10.99.0.1/32         10.192.0.1         Vlan10
"""
FORWARDING6 = f"""
IPv6 routes for table default/base

{COLUMNS}fd96::/108
                     fd10:192::1        Vlan10
                     FE80::2            Vlan10
"""
WHOLE, WHOLE6 = "show forwarding ipv4 route vrf default", "show forwarding ipv6 route vrf default"


def test_forwarding_tables():
    found = TABLES.read_tables({"a": IPV4, WHOLE: FORWARDING, "b": IPV6, WHOLE6: FORWARDING6})
    assert found["default", prefix("0.0.0.0/0")] == both("10.192.0.254")
    assert found["default", prefix("10.96.0.0/12")] == both("10.192.0.1", "10.192.0.2", "10.192.0.3 vrf red")
    assert found["default", prefix("10.97.0.0/16")] == both("discard")
    assert found["default", prefix("10.99.0.1/32")].fib == frozenset()  # pending
    assert found["default", prefix("fd96::/108")] == both("fd10:192::1", "fe80::2")
    less = TABLES.read_tables({"a": IPV4, WHOLE: FORWARDING.replace("10.192.0.2 ", "10.192.0.1 ")})
    assert less["default", prefix("10.96.0.0/12")].fib == {"10.192.0.1", "10.192.0.3 vrf red"}
    none = TABLES.read_tables({"a": IPV4, WHOLE: f"IPv4 routes for table default/base\n{COLUMNS}"})
    assert none["default", prefix("10.96.0.0/12")].fib == none["default", prefix("10.97.0.0/16")].fib == frozenset()


ONE = (
    f'IP Route Table for VRF "default"\n{LEGEND}10.96.0.0/12, ubest/mbest: 1/0\n    *via 10.9.9.9, [1/0], 1d, static\n'
)


def forwarded(answer: str) -> frozenset[str]:
    command, forwarding = TABLES.prefix_commands("default", [prefix("10.96.0.0/12")])
    return TABLES.read_tables({command: ONE, forwarding: answer})["default", prefix("10.96.0.0/12")].fib


def test_one_prefix_in_the_forwarding_table():
    head = f"IPv4 routes for table default/base\n{COLUMNS}"
    assert forwarded(f"{head}10.96.0.0/12  10.9.9.9  Vlan10\n") == {"10.9.9.9"}
    assert forwarded(f"{head}*10.96.0.0/12  10.192.0.1  Vlan10\n") == {"10.9.9.9"}  # resolved through another
    assert forwarded(head) == forwarded("no longest match\n") == frozenset()
    assert forwarded(f"{head}10.96.0.0/12  Drop  Null0\n") == {"discard"}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "% Permission denied for the role",
        f"IPv4 routes for table default/base\n{COLUMNS}something new",
        f"IPv4 routes for table default/base\n{COLUMNS}10.96.0.0/12  nowhere  Vlan10\n",
        f"IPv4 routes for table default/base\n{COLUMNS}10.96.0.0/99  10.9.9.9  Vlan10\n",
        f"IPv4 routes for table default/base\n{COLUMNS}10.96.0.0/12  10.192.0.1  Vlan10\n",
        "10.96.0.0/12  10.9.9.9  Vlan10\n",
    ],
)
def test_a_forwarding_table_that_cannot_be_read_is_not_an_empty_one(answer: str):
    with pytest.raises(ParseError, match="answer to 'show forwarding"):
        forwarded(answer)


def test_a_prefix_that_is_not_there():
    answer = f'IP Route Table for VRF "default"\n{LEGEND}\nRoute not found\n'
    assert TABLES.read_tables({"show ip route 10.96.0.0/12 vrf default": answer}) == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "no routing table"),
        ("% Invalid command at '^' marker.", "no routing table"),
        ("%VRF rad not found", "no routing table"),
        ("10.96.0.0/12, ubest/mbest: 1/0\n    *via 10.1.1.1, [1/0], 00:00:07, static\n", "whose table"),
        (f'IP Route Table for VRF "a"\n{LEGEND}    *via 10.1.1.1, [1/0], 00:00:07, static\n', "of no prefix"),
        (f'IP Route Table for VRF "a"\n{LEGEND}10.0.0.0/8, ubest/mbest: 1/0\n    *via 10.1.1.1, [1/0], 0', "path"),
        (
            f'IP Route Table for VRF "a"\n{LEGEND}10.0.0.0/8, ubest/mbest: 1/0\n    *via 10.1.1., [1/0], 1w, static',
            "hop",
        ),
        (f'IP Route Table for VRF "a"\n{LEGEND}10.0.0.1/8, ubest/mbest: 1/0\n', "host bits"),
        (f'IP Route Table for VRF "a"\n{LEGEND}10.0.0.0/99, ubest/mbest: 1/0\n', "length"),
    ],
)
def test_answers_that_are_none(answer: str, said: str):
    with pytest.raises(ParseError, match=said):
        TABLES.read_tables({"show ip route": answer})


def resolved(text: str, address: str) -> bool:
    (command,) = TABLES.resolve_commands("default", [address])
    return not TABLES.read_unresolved("default", [address], {command: text})


def test_next_hops_without_a_way():
    head = f'IP Route Table for VRF "default"\n{LEGEND}'
    assert TABLES.resolve_commands("red", ["10.192.0.1", "fd10:192::1"]) == (
        "show ip route 10.192.0.1 vrf red",
        "show ipv6 route fd10:192::1 vrf red",
    )
    assert resolved(
        f"{head}10.192.0.0/24, ubest/mbest: 1/0, attached\n    *via 10.192.0.253, Vlan10, [0/0], 3d, direct\n",
        "10.192.0.1",
    )
    assert not resolved(f"{head}Route not found\n", "10.192.0.1")
    assert not resolved(f"{head}0.0.0.0/0, ubest/mbest: 1/0\n    *via 10.1.1.1, [1/0], 3d, static\n", "10.192.0.1")
    assert not resolved(f"{head}10.0.0.0/8, ubest/mbest: 1/0\n    *via Null0, [1/0], 3d, static\n", "10.192.0.1")
    with pytest.raises(ParseError, match="no answer"):
        TABLES.read_unresolved("default", ["10.192.0.1"], {})


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("fd00::1/128", "fd00::1"),
        ("fd00::1/128%red", "fd00::1 vrf red"),
        ("10.192.0.1/32", "10.192.0.1"),
        ("Eth1/32", "Eth1/32"),
    ],
)
def test_host_lengths_of_next_hops(target: str, label: str):
    title = "IPv6 Routing" if ":" in target else "IP Route"
    where = "fd96::/108" if ":" in target else "10.96.0.0/12"
    answer = f'{title} Table for VRF "default"\n{where}, ubest/mbest: 1/0\n    *via {target}, [1/0], 00:00:07, static\n'
    assert TABLES.read_tables({"a": answer})["default", prefix(where)] == both(label)

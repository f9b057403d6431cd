"""What Junos prints of its tables, read: outputs as routers of several releases print them."""

import pytest

from k8s_ecmp.errors import ParseError, TableUnreadable
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms.base import Better, Installed, Neighbour
from k8s_ecmp.platforms.junos_tables import JunosVerification
from k8s_ecmp.routers.tables import table_problems

VERIFICATION = JunosVerification()

ROUTES = """
inet.0: 12 destinations, 13 routes (12 active, 0 holddown, 0 hidden)
+ = Active Route, - = Last Active, * = Both

10.96.0.0/12       *[Static/5] 1d 18:33:39, tag 4201
                    >  to 10.0.0.1 via et-0/0/0.0
                       to 10.0.0.2 via et-0/0/0.0
10.97.0.0/16       *[Static/5] 00:26:22
                       Discard
10.98.0.0/16       *[Static/5] 2d 21:12:16
                    > via st0.118
10.99.0.0/16       *[OSPF/10] 3w1d 17:03:23, metric 5
                    > to 10.0.0.9 via et-0/0/1.0
                    [Static/150] 00:00:05
                    > to 10.0.0.1 via et-0/0/0.0
192.168.100.100/32 *[Static/5] 00:26:22, metric 7
                    > to 10.0.0.3 via et-0/0/0.0, weight 0x1
203.0.113.0/24     *[Static/5] 22:23:09
                       to table red.inet.0
"""
ROUTES6 = """
inet6.0: 3 destinations, 3 routes (3 active, 0 holddown, 0 hidden)
+ = Active Route, - = Last Active, * = Both

fd96:aaaa:bbbb:cccc::/108
                   *[Static/5] 00:00:07
                    >  to fd00:a::1 via et-0/0/0.0
                       to fd00:a::2 via et-0/0/0.0
2001:db8::/32      *[Static/5] 00:00:07
                       Reject
"""
FORWARDING = """Routing table: default.inet
Internet:
Enabled protocols: Bridging,
Destination        Type RtRef Next hop           Type Index    NhRef Netif
default            user     1 0:0:5e:0:1:1       ucst      600     4 em0.0
default            perm     0                    rjct       36     1
0.0.0.0/32         perm     0                    dscd       34     1
10.0.0.0/24        intf     0                    rslv      583     1 et-0/0/0.0
10.0.0.1/32        dest     0 52:54:0:12:34:56   ucst      601     3 et-0/0/0.0
10.96.0.0/12       user     0                    ulst  1048574     3
                              10.0.0.1           ucst      601     3 et-0/0/0.0
                              10.0.0.2           ucst      602     3 et-0/0/0.0
10.97.0.0/16       user     0                    dscd       34     2
192.168.100.100/32 user     0 10.0.0.3           ucst      603     3 et-0/0/0.0

Routing table: __master.anon__.inet
Internet:
Destination        Type RtRef Next hop           Type Index    NhRef Netif
default            perm     0                    rjct      519     1
"""
FORWARDING6 = """Routing table: default.inet6
Internet6:
Destination                        Type RtRef Next hop           Type Index    NhRef Netif
default                            perm     0                    rjct       44     1
fd96:aaaa:bbbb:cccc::/108          user     0                    ulst  1048575     2
                              fd00:a::1
                                                                 ucst      611     3 et-0/0/0.0
                              fd00:a::2
                                                                 ucst      612     3 et-0/0/0.0
"""
RIB, FIB, SUMMARY, RIB6, FIB6, SUMMARY6 = VERIFICATION.table_commands(["default"])


SUMMARIES = """Autonomous system number: 65001
Router ID: 10.255.0.1

inet.0: 12 destinations, 13 routes (12 active, 0 holddown, 0 hidden)
              Direct:      3 routes,      3 active
               Local:      3 routes,      3 active
              Static:      6 routes,      5 active
                OSPF:      1 routes,      1 active
"""


def found(answers: dict[str, str]) -> dict[str, tuple[set[str], set[str]]]:
    tables = VERIFICATION.read_tables(answers)
    return {f"{vrf} {prefix}": (set(entry.rib), set(entry.fib)) for (vrf, prefix), entry in tables.items()}


def test_commands():
    assert (RIB, FIB, SUMMARY) == (
        "show route protocol static table inet.0",
        "show route forwarding-table family inet table default",
        "show route summary table inet.0",
    )
    assert VERIFICATION.table_commands(["red"])[3:] == (
        "show route protocol static table red.inet6.0",
        "show route forwarding-table family inet6 table red",
        "show route summary table red.inet6.0",
    )
    assert VERIFICATION.prefix_commands("red", [Prefix.parse("10.96.0.0/12")]) == (
        "show route 10.96.0.0/12 exact table red.inet.0",
        "show route forwarding-table family inet destination 10.96.0.0/12 table red",
        "show route summary table red.inet.0",
    )
    assert VERIFICATION.resolve_commands("default", ["10.0.0.1", "fd00:a::1"]) == (
        "show route 10.0.0.1 table inet.0",
        "show route fd00:a::1 table inet6.0",
        "show route summary table inet.0",
        "show route summary table inet6.0",
    )


def test_both_tables():
    both = {"10.0.0.1", "10.0.0.2"}
    assert found({RIB: ROUTES, FIB: FORWARDING}) == {
        "default 10.96.0.0/12": (both, both),
        "default 10.97.0.0/16": ({"discard"}, {"discard"}),
        "default 10.98.0.0/16": ({"st0.118"}, set()),
        "default 10.99.0.0/16": (set(), set()),
        "default 192.168.100.100/32": ({"10.0.0.3"}, {"10.0.0.3"}),
        "default 203.0.113.0/24": (set(), set()),
    }


def test_ipv6_and_long_prefixes():
    both = {"fd00:a::1", "fd00:a::2"}
    assert found({RIB6: ROUTES6, FIB6: FORWARDING6}) == {
        "default fd96:aaaa:bbbb:cccc::/108": (both, both),
        "default 2001:db8::/32": ({"discard"}, set()),
    }


def test_next_hops_that_wait_for_an_answer_are_in_force_and_told():
    held = FORWARDING.replace("10.0.0.2           ucst", "10.0.0.2           hold").replace(
        "10.0.0.3           ucst", "10.0.0.3           hold"
    )
    tables = VERIFICATION.read_tables({RIB: ROUTES, FIB: held})
    aggregate, host = (
        tables["default", Prefix.parse("10.96.0.0/12")],
        tables["default", Prefix.parse("192.168.100.100/32")],
    )
    assert aggregate.fib == aggregate.rib == {"10.0.0.1", "10.0.0.2"}
    assert aggregate.neighbours == {Neighbour("10.0.0.2", "et-0/0/0.0", resolved=False)}
    assert host.neighbours == {Neighbour("10.0.0.3", "et-0/0/0.0", resolved=False)}
    answered = VERIFICATION.read_tables({RIB: ROUTES, FIB: FORWARDING})
    assert not any(found.neighbours for found in answered.values())


def test_without_a_policy_for_load_balancing_one_next_hop_is_in_force():
    one = FORWARDING.replace("ulst  1048574     3\n", "ulst  1048574     3\n", 1).splitlines()
    text = "\n".join(line for line in one if "10.0.0.2 " not in line)
    tables = VERIFICATION.read_tables({RIB: ROUTES, FIB: text})
    key = ("default", Prefix.parse("10.96.0.0/12"))
    assert tables[key] == Installed(frozenset({"10.0.0.1", "10.0.0.2"}), frozenset({"10.0.0.1"}))


def test_a_neighbour_shown_by_its_mac_address_is_that_of_the_routing_table():
    routes = ROUTES.replace("192.168.100.100/32", "0.0.0.0/0         ")
    tables = VERIFICATION.read_tables(
        {RIB: routes, FIB: FORWARDING.replace("default            perm", "1.0.0.0/8   perm")}
    )
    assert tables["default", Prefix.parse("0.0.0.0/0")] == Installed(frozenset({"10.0.0.3"}), frozenset({"10.0.0.3"}))


HEADS = """Routing table: default.inet
Internet:
Destination        Type RtRef Next hop           Type Index    NhRef Netif
default            perm     0                    rjct       36     1
10.96.0.10/32      dest     0 0:50:56:aa:bb:cc   ucst      588     2 ge-0/0/0.0
"""
ONE = "10.96.0.10/32      user     0 0:50:56:aa:bb:cc   ucst      588     2 ge-0/0/0.0\n"
LIST = "10.96.0.10/32      user     0                    ulst  1048574     2\n"
MEMBER = "                              0:50:56:aa:bb:cc   ucst      588     2 ge-0/0/0.0\n"
NAMED = "                              10.0.0.2           ucst      589     2 ge-0/0/0.0\n"
SURPLUS = "10.96.0.10/32 in the forwarding table has a next hop shown by its MAC address too many"


def shortage(words: str) -> str:
    return f"10.96.0.10/32: only {words} in the forwarding table: is a load-balance policy exported to it?"


@pytest.mark.parametrize(
    ("hops", "forwarding", "problem"),
    [
        (1, ONE, None),
        (2, ONE, shortage("one of 2 next hops is")),
        (2, LIST + MEMBER, shortage("one of 2 next hops is")),
        (2, LIST + MEMBER * 2, None),
        (2, LIST + MEMBER + NAMED, None),
        (3, LIST + MEMBER + NAMED, shortage("2 of 3 next hops are")),
        (3, LIST + MEMBER * 2, shortage("2 of 3 next hops are")),
        (2, LIST + MEMBER * 3, SURPLUS),
        (1, ONE.replace("/32 ", "/32\n") + ONE.replace("/32 ", "/32\n").replace("user", "dest"), None),
        (2, ONE.replace("/32 ", "/32\n"), shortage("one of 2 next hops is")),
    ],
)
def test_a_mac_address_accounts_for_one_next_hop(hops: int, forwarding: str, problem: str | None):
    wanted = {f"10.0.0.{number}" for number in range(1, hops + 1)}
    routes = (
        "inet.0: 1 destinations, 1 routes (1 active, 0 holddown, 0 hidden)\n\n10.96.0.10/32      *[Static/5] 00:00:07\n"
    )
    routes += "".join(f"                    >  to {address} via ge-0/0/0.0\n" for address in sorted(wanted))
    prefix = Prefix.parse("10.96.0.10/32")
    tables = VERIFICATION.read_tables({RIB: routes, FIB: HEADS + forwarding})
    problems = table_problems({prefix: tables["default", prefix]}, {prefix: wanted})
    assert problems == (() if problem is None else (problem,))


ADDRESS = "                              10.0.0.1           ucst      587     2 ge-0/0/0.0\n"
COMPOSITE = "                                                 comp      590     2\n"


@pytest.mark.parametrize(
    "forwarding",
    [
        "junk",
        "% Invalid input detected at '^' marker.\n",
        "error: command is not valid on the router",
        "{master}\nno such table\n",
        HEADS + "10.96.0.10/32      user     0                    comp      590     2\n",
        HEADS + LIST + ADDRESS + COMPOSITE,
        HEADS + LIST + MEMBER + COMPOSITE,
    ],
)
def test_a_forwarding_table_that_cannot_be_read_lacks_nothing(forwarding: str):
    with pytest.raises(TableUnreadable, match=r"unexpected form|is an error"):
        VERIFICATION.read_tables({RIB: routes_of("10.0.0.1", "10.0.0.2"), FIB: forwarding})


def routes_of(*addresses: str) -> str:
    lines = "".join(f"                    >  to {address} via ge-0/0/0.0\n" for address in addresses)
    return f"inet.0: 1 destinations, 1 routes (1 active, 0 holddown, 0 hidden)\n\n10.96.0.10/32      *[Static/5] 00:07\n{lines}"


def forwarded(forwarding: str, *addresses: str) -> frozenset[str]:
    tables = VERIFICATION.read_tables({RIB: routes_of(*addresses), FIB: HEADS + forwarding})
    return tables["default", Prefix.parse("10.96.0.10/32")].fib


def test_lines_that_say_nothing_of_next_hops_are_no_riddle():
    both = ("10.0.0.1", "10.0.0.2")
    assert forwarded(LIST + ADDRESS + NAMED + COMPOSITE, *both) == set(both)
    inner = "                                                 ulst  1048574     2\n"
    assert forwarded(LIST.replace("ulst", "indr") + inner + ADDRESS + NAMED, *both) == set(both)
    assert forwarded("", *both) == frozenset()
    own = "\nRouting table: __master.anon__.inet\nInternet:\n"
    assert forwarded(ADDRESS.replace(" " * 30, "10.96.0.10/32 user 0 ") + own + ONE, "10.0.0.1") == {"10.0.0.1"}


def test_an_interface_without_an_address():
    forwarding = HEADS + "10.98.0.0/16       user     0                    ucst      600     3 st0.118\n"
    assert found({RIB: ROUTES, FIB: forwarding})["default 10.98.0.0/16"] == ({"st0.118"}, {"st0.118"})


def test_the_vrf_of_a_table():
    answers = dict(
        zip(
            VERIFICATION.table_commands(["red"]),
            [ROUTES.replace("inet.0:", "red.inet.0:"), *("", "", "", "", SUMMARIES)],
            strict=True,
        )
    )
    assert {key.split()[0] for key in found(answers)} == {"red"}


def test_a_better_route_of_another_protocol():
    tables = VERIFICATION.read_tables({RIB: ROUTES, FIB: FORWARDING})
    none = frozenset[str]()
    other = tables["default", Prefix.parse("10.99.0.0/16")]
    assert other == Installed(none, none, Better("OSPF", 10), frozenset({"10.0.0.1"}))


def test_a_blank_answer_is_no_route_where_the_router_shows_its_table():
    commands = VERIFICATION.table_commands(["default", "red"])
    assert found({command: SUMMARIES if "summary" in command else "" for command in commands}) == {}
    one = VERIFICATION.prefix_commands("default", [Prefix.parse("10.1.0.0/16")])
    assert found({command: SUMMARIES if "summary" in command else "\n" for command in one}) == {}


def test_a_blank_answer_says_nothing_where_the_summary_is_blank_too():
    for commands in (VERIFICATION.table_commands(["red"]), VERIFICATION.prefix_commands("red", [Prefix.parse("::/0")])):
        with pytest.raises(ParseError, match="are blank"):
            found(dict.fromkeys(commands, "\n"))
    commands = VERIFICATION.resolve_commands("default", ["10.0.0.1"])
    with pytest.raises(ParseError, match="are blank"):
        VERIFICATION.read_unresolved("default", ["10.0.0.1"], dict.fromkeys(commands, ""))


@pytest.mark.parametrize(
    "answer", ["error: syntax error: staticc", "syntax error, expecting <command>", "unknown command."]
)
def test_an_error_is_not_an_empty_table(answer: str):
    with pytest.raises(ParseError, match="is an error"):
        VERIFICATION.read_tables({RIB: answer})


@pytest.mark.parametrize(
    "answer", ["junk", "                ^\n% Invalid input detected at '^' marker.\n", "% Network not in table\n"]
)
def test_an_answer_of_unknown_form_is_not_an_empty_table(answer: str):
    (prefix, *_), (way, *_) = (
        VERIFICATION.prefix_commands("default", [Prefix.parse("10.96.0.0/12")]),
        VERIFICATION.resolve_commands("default", ["10.0.0.1"]),
    )
    for command in (RIB, prefix):
        with pytest.raises(TableUnreadable, match="unexpected form"):
            VERIFICATION.read_tables({command: answer, SUMMARY: SUMMARIES})
    with pytest.raises(TableUnreadable, match="unexpected form"):
        VERIFICATION.read_unresolved("default", ["10.0.0.1"], {way: answer, SUMMARY: SUMMARIES})
    with pytest.raises(TableUnreadable, match="is an error"):
        VERIFICATION.read_unresolved("default", ["10.0.0.1"], {way: "error: no such table", SUMMARY: SUMMARIES})


def test_a_next_hop_needs_a_connected_subnet():
    direct = "\ninet.0: 1 destinations\n\n10.0.0.0/24        *[Direct/0] 1w0d 20:56:27\n                    > via et-0/0/0.0\n"
    answers = dict(
        zip(
            VERIFICATION.resolve_commands("default", ["10.0.0.1", "10.5.0.1", "10.6.0.1"]),
            [direct, "", direct.replace("Direct/0", "Static/5").replace("10.0.0.0/24", "0.0.0.0/0  "), SUMMARIES],
            strict=True,
        )
    )
    assert VERIFICATION.read_unresolved("default", ["10.0.0.1", "10.5.0.1", "10.6.0.1"], answers) == {
        "10.5.0.1",
        "10.6.0.1",
    }
    with pytest.raises(ParseError, match="no answer"):
        VERIFICATION.read_unresolved("default", ["10.7.0.1"], answers)

"""Which forwarding tables are too long to be read, by what routers say of their length."""

import pytest

from k8s_ecmp.routers.drivers.vendor.long_tables import short_ones

IOS = "IPv4 CEF is enabled for distributed and running\nVRF red\n {0} prefixes ({0}/0 fwd/non-fwd)\n Table id 0x1\n"
IOS_12 = "IP CEF with switching (Table Version 25), flags=0x0\n  {0} routes, 0 reresolve, 0 unresolved (0 old, 0 new)\n"
NXOS = (
    "slot  1\n=======\n\nIPv4 routes for table default/base\n\nCumulative route updates: 900000\n"
    "Total number of routes: {0}\nTotal number of paths : {0}\n\nslot 27\n=======\n\nTotal number of routes: 7\n"
)


@pytest.mark.parametrize(
    ("command", "summary", "answer"),
    [
        ("show ip cef detail", "show ip cef summary", IOS),
        ("show ip cef detail", "show ip cef summary", IOS_12),
        ("show ipv6 cef vrf red detail", "show ipv6 cef vrf red summary", IOS.replace("IPv4", "IPv6")),
        ("show forwarding ipv4 route vrf default", "show forwarding ipv4 route summary vrf default", NXOS),
        ("show forwarding ipv6 route vrf red", "show forwarding ipv6 route summary vrf red", NXOS),
    ],
)
def test_length_of_a_whole_table(command: str, summary: str, answer: str) -> None:
    for routes, kept in ((50_000, [command]), (50_001, [])):
        asked: list[str] = []

        def ask(commands: list[str], asked: list[str] = asked, routes: int = routes) -> dict[str, str]:
            asked += commands
            return dict.fromkeys(commands, answer.format(routes))

        assert short_ones([command, "show ip route static"], ask) == [*kept, "show ip route static"]
        assert asked == [summary]


def test_single_prefixes_are_asked_for_at_once() -> None:
    def ask(commands: list[str]) -> dict[str, str]:
        raise AssertionError(commands)

    commands = [
        "show ip cef vrf red 10.0.0.0 255.0.0.0 detail",
        "show ipv6 cef FD96::/108 detail",
        "show forwarding ipv4 route 10.0.0.0/8 vrf red",
        "show ip route static vrf red",
    ]
    assert short_ones(commands, ask) == commands


def test_a_table_whose_length_is_not_told_is_read() -> None:
    assert short_ones(["show ip cef detail"], lambda commands: dict.fromkeys(commands, "% whatever")) == [
        "show ip cef detail"
    ]

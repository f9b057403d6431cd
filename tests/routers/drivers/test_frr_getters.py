"""FRR's answers in NAPALM's shapes, and static route lines word by word."""

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.routers.drivers.frr import getters
from k8s_ecmp.routers.drivers.frr.grammar import read_line, route_texts


@pytest.mark.parametrize(("uptime", "seconds"), [("00:01:02", 62), ("1d02h03m", 93780), ("01w2d03h", 788400), ("", 0)])
def test_age(uptime: str, seconds: int) -> None:
    route = '{"10.0.0.0/8": [{"protocol": "static", "uptime": "%s", "nexthops": [{"ip": "10.0.0.1"}]}]}'
    assert getters.routes(route % uptime, "")["10.0.0.0/8"][0]["age"] == seconds


def test_broken_answers() -> None:
    with pytest.raises(ParseError):
        getters.routes("% error", "")
    with pytest.raises(ParseError):
        getters.facts("Quagga", "", "1 1")


def test_secrets_are_removed() -> None:
    text = (
        "password zebra\nenable password 8 abc\nrouter bgp 1\n neighbor 10.0.0.1 password s3cret\n"
        "interface e0\n ip ospf message-digest-key 1 md5 s3cret\nhostname r1\n"
    )
    clean = getters.sanitized(text)
    for secret in ("zebra", "abc", "s3cret"):
        assert secret not in clean
    assert clean.count("<removed>") == 4
    assert clean.endswith("hostname r1\n")


@pytest.mark.parametrize(
    ("text", "prefix", "hop", "distance", "tag", "plain"),
    [
        ("ip route 10.1.2.3/24 10.0.0.1 tag 5 200", "10.1.2.0/24", ("10.0.0.1",), 200, 5, True),
        ("ip route 10.1.2.0/24 10.0.0.1 200 tag 5", "10.1.2.0/24", ("10.0.0.1",), 200, 5, True),
        ("ipv6 route FD00:0::/64 fd00:0::1", "fd00::/64", ("fd00::1",), 1, 0, True),
        ("ip route 10.1.2.0/24 Null0", "10.1.2.0/24", ("discard",), 1, 0, True),
        ("ip route 10.1.2.0/24 eth0", "10.1.2.0/24", ("", "dev eth0"), 1, 0, False),
        ("ip route 10.1.2.0/24 10.0.0.1 eth0 onlink", "10.1.2.0/24", ("10.0.0.1", "dev eth0"), 1, 0, False),
        (
            "ip route 10.1.2.0/24 10.0.0.1 nexthop-vrf b table 7",
            "10.1.2.0/24",
            ("10.0.0.1", "nexthop-vrf b", "table 7"),
            1,
            0,
            False,
        ),
        ("ipv6 route fd00::/64 from fd01::/64 fd00::1", "fd00::/64 from fd01::/64", ("fd00::1",), 1, 0, False),
    ],
)
def test_lines(text: str, prefix: str, hop: tuple[str, ...], distance: int, tag: int, plain: bool) -> None:
    for negative in (False, True):
        line = read_line(f"no {text}" if negative else text, "default")
        assert line is not None
        assert (line.prefix, line.hop, line.distance, line.tag) == (prefix, hop, distance, tag)
        assert (line.plain, line.negative) == (plain, negative)


@pytest.mark.parametrize(
    "text",
    [
        "ip route 10.0.0.0/33 10.0.0.1",
        "ip route 10.0.0.0 255.0.0.0 10.0.0.1",
        "ip route fd00::/64 10.0.0.1",
        "ip route 10.0.0.0/8 10.0.0.1 tag five",
        "ip route 10.0.0.0/8 10.0.0.1 tagg 4201",
        "ip route 10.0.0.0/8",
        "ip prefix-list a permit any",
    ],
)
def test_lines_that_are_not_understood(text: str) -> None:
    assert read_line(text, "default") is None


def test_blocks() -> None:
    text = (
        "ip route 10.0.0.0/8 10.0.0.1\nvrf red\n ip route 10.0.0.0/8 10.0.0.2\nexit-vrf\n!\n"
        "interface e0\n ip route-cache\n!\nip route 10.1.0.0/16 10.0.0.3\n"
    )
    assert list(route_texts(text)) == [
        ("default", "ip route 10.0.0.0/8 10.0.0.1"),
        ("red", "ip route 10.0.0.0/8 10.0.0.2"),
        ("default", "ip route 10.1.0.0/16 10.0.0.3"),
    ]

"""ARP and ND tables as routers print them, one file for each form: <syntax>-<family>.txt, and what is in it."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.platforms import iosxr_neighbours
from k8s_ecmp.platforms.base import Neighbour
from k8s_ecmp.platforms.neighbours import neighbour_commands, read_neighbours

FILES = sorted((Path(__file__).parent / "neighbours").glob("*.txt"))
SHOWING = ("frr", "ios", "iosxr", "nxos")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_routers_print(file: Path) -> None:
    syntax, family = file.stem.split("-")[0], int(file.stem[-1])
    entries = yaml.safe_load(file.with_suffix(".yaml").read_text())
    assert read_neighbours(syntax, family, "show", file.read_text()) == [Neighbour(*entry) for entry in entries]
    crlf = file.read_text().replace("\n", "\r\n")
    assert read_neighbours(syntax, family, "show", crlf) == [Neighbour(*entry) for entry in entries]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_table_without_an_entry(file: Path) -> None:
    """The same answer without its rows: headings, flags and the time."""
    syntax, family = file.stem.split("-")[0], int(file.stem[-1])
    if syntax == "frr" or "netconf" in file.stem:
        nothing = "[]" if syntax == "frr" else "<data/>"
    else:
        shown = file.read_text().splitlines()
        last = next(place for place, line in enumerate(shown) if "Address  " in line)
        nothing = "\n".join(shown[: last + 1])
    assert read_neighbours(syntax, family, "show", nothing) == []


@pytest.mark.parametrize("answer", ["", "\n", "Wed Jan  7 22:02:56.878 UTC\n"])
@pytest.mark.parametrize("syntax", ["ios", "iosxr", "nxos"])
def test_a_blank_answer_is_an_empty_table(syntax: str, answer: str) -> None:
    assert read_neighbours(syntax, 4, "show", answer) == []


@pytest.mark.parametrize(
    ("syntax", "answer"),
    [
        ("ios", "% Invalid input detected at '^' marker.\n"),
        ("ios", "\n% VRF red does not exist\n"),
        ("iosxr", "Wed Jan  7 22:02:56.878 UTC\n% This command is not authorized\n"),
        ("iosxr", "<data"),
        ("iosxr", "<data><arp><entries><entry><address>x</address></entry></entries></arp><brief/></data>"),
        ("nxos", "Syntax error while parsing 'show ip arp vrf red'\n\nCmd exec error.\n"),
        ("frr", "sh: 1: ip: not found\n"),
        ("frr", '{"dst": "10.0.0.1"}'),
        ("frr", '[{"dst": "10.0.0.1", "dev": "e0"}]'),
    ],
)
def test_what_is_no_table(syntax: str, answer: str) -> None:
    with pytest.raises(TableUnreadable, match="show this"):
        read_neighbours(syntax, 4, "show this", answer)


def test_one_command_for_each_family() -> None:
    hops = {"10.0.0.1", "10.0.0.2", "fd00:a::1", "fd00:a::2"}
    asked = {syntax: list(neighbour_commands(syntax, "default", hops)) for syntax in SHOWING}
    assert asked == {
        "frr": ["ip -j -4 neigh show nomaster", "ip -j -6 neigh show nomaster"],
        "ios": ["show ip arp", "show ipv6 neighbors"],
        "iosxr": ["show arp vrf default", "show ipv6 neighbors vrf default"],
        "nxos": ["show ip arp vrf default", "show ipv6 neighbor vrf default"],
    }
    asked = {syntax: list(neighbour_commands(syntax, "red", ["fd00:a::1"])) for syntax in SHOWING}
    assert asked == {
        "frr": ["ip -j -6 neigh show vrf red"],
        "ios": ["show ipv6 neighbors vrf red"],
        "iosxr": ["show ipv6 neighbors vrf red"],
        "nxos": ["show ipv6 neighbor vrf red"],
    }
    for syntax in ("eos", "junos", "bgp"):
        assert neighbour_commands(syntax, "default", hops) == {}


@pytest.mark.parametrize(
    ("command", "roots"),
    [
        ("show arp vrf a&b", ["ipv4-arp-oper}arp", "ipv4-io-oper}ipv4-network"]),
        ("show ipv6 neighbors vrf a&b", ["ipv6-nd-oper}ipv6-node-discovery", "ipv6-ma-oper}ipv6-network"]),
    ],
)
def test_the_models_that_answer_over_netconf(command: str, roots: list[str]) -> None:
    assert iosxr_neighbours.is_neighbours(command)
    filters = [ET.fromstring(text) for text in iosxr_neighbours.neighbour_filters(command)]
    assert [root.tag.rpartition("Cisco-IOS-XR-")[2] for root in filters] == roots
    assert filters[1].findtext(".//{*}vrf-name") == "a&b"
    assert not iosxr_neighbours.is_neighbours("show route ipv4 unicast static")

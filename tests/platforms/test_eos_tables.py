"""Answers of Arista switches to `show ip route | json`, in the forms of several releases, and broken ones."""

import json
from typing import Any

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.eos_tables import EosVerification

VERIFICATION = EosVerification()
TABLE = "show ip route vrf red static | json"
TABLE_6 = "show ipv6 route vrf red static | json"
PREFIX = Prefix.parse("10.96.0.0/12")
NOTHING: frozenset[str] = frozenset()


def route(*vias: dict[str, Any], kind: str = "static", **more: Any) -> dict[str, Any]:
    entry = {
        "hardwareProgrammed": True,
        "routeType": kind,
        "routeLeaked": False,
        "kernelProgrammed": True,
        "preference": 1,
        "metric": 0,
        "routeAction": "forward",
        "directlyConnected": False,
        "vias": list(vias),
    }
    return entry | more


def answer(routes: dict[str, Any], vrf: str = "red") -> str:
    table = {
        "routingDisabled": False,
        "allRoutesProgrammedHardware": True,
        "allRoutesProgrammedKernel": True,
        "defaultRouteState": "notSet",
        "routes": routes,
    }
    return json.dumps({"vrfs": {vrf: table}})


def via(address: str, interface: str = "Ethernet1") -> dict[str, str]:
    return {"nexthopAddr": address, "interface": interface}


def found(entry: dict[str, Any]) -> Installed:
    (installed,) = VERIFICATION.read_tables({TABLE: answer({"10.96.0.0/12": entry})}).values()
    return installed


def both(*labels: str) -> Installed:
    return Installed(frozenset(labels), frozenset(labels))


def test_commands_name_vrf_and_family():
    assert VERIFICATION.table_commands(["red"]) == (TABLE, TABLE_6)
    assert VERIFICATION.prefix_commands("default", [PREFIX, Prefix.parse("fd00::/64")]) == (
        "show ip route vrf default 10.96.0.0/12 | json",
        "show ipv6 route vrf default fd00::/64 | json",
    )
    assert VERIFICATION.resolve_commands("red", ["10.0.0.1", "fd00::1"]) == (
        "show ip route vrf red 10.0.0.1 | json",
        "show ipv6 route vrf red fd00::1 | json",
    )


def test_hops_in_rib_and_hardware():
    hops = via("10.0.0.1"), via("10.0.0.2")
    assert found(route(*hops)) == both("10.0.0.1", "10.0.0.2")
    assert found(route(*hops, hardwareProgrammed=False)) == Installed(frozenset({"10.0.0.1", "10.0.0.2"}), NOTHING)


def test_a_better_route_of_another_protocol():
    assert found(route(via("10.0.0.9"), kind="eBGP", preference=200)) == Installed(
        NOTHING, NOTHING, Better("eBGP", 200)
    )
    connected = route({"interface": "Vlan7"}, kind="connected")
    del connected["preference"]
    assert found(connected) == Installed(NOTHING, NOTHING, Better("connected", None))


def test_labels():
    assert found(route({"interface": "Vlan2000"})) == both("Vlan2000")
    assert found(route(routeAction="drop", directlyConnected=True)) == both("discard")
    assert found(route(via("FD00:0:0::A"))) == both("fd00::a")


def test_a_release_that_does_not_speak_of_hardware():
    entry = route(via("fd00::1"))
    del entry["hardwareProgrammed"]
    assert found(entry) == both("fd00::1")
    assert found(entry | {"kernelProgrammed": False}).fib == NOTHING


def test_ipv6_tables_without_vrfs():
    text = json.dumps({"routes": {"fd43::/108": route(via("fd00::1"))}})
    key = ("red", Prefix.parse("fd43::/108"))
    assert VERIFICATION.read_tables({TABLE_6: text}) == {key: both("fd00::1")}


def test_several_answers_and_empty_tables():
    answers = {
        TABLE: answer({"10.96.0.0/12": route(via("10.0.0.1")), "10.97.0.1/32": route(via("10.0.0.2"))}),
        "show ip route vrf default static | json": answer({}, "default"),
    }
    assert VERIFICATION.read_tables(answers) == {
        ("red", PREFIX): both("10.0.0.1"),
        ("red", Prefix.parse("10.97.0.1/32")): both("10.0.0.2"),
    }


def test_next_hops_that_resolve_and_those_that_do_not():
    """Only what is connected is shown as it is configured; of other ways the table shows the hops instead of ours.

    Forms of the routes from captures of cEOS 4.2x and 4.3x.
    """
    addresses = ["10.0.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "10.6.0.1", "fd00::1"]
    commands = VERIFICATION.resolve_commands("red", addresses)
    answers = dict(
        zip(
            commands,
            (
                answer({"10.0.0.0/24": route({"interface": "Ethernet1"}, kind="connected", directlyConnected=True)}),
                answer({"0.0.0.0/0": route(via("192.0.2.1"))}),
                answer({"10.2.0.0/16": route(routeAction="drop", directlyConnected=True)}),
                answer({"10.3.0.0/16": route(via("10.0.0.9"), kind="eBGP")}),
                answer({"10.4.0.1/32": route({"vtepAddr": "169.254.224.6", "vni": 10}, kind="eBGP")}),
                answer({"10.5.0.0/24": route({"interface": "Ethernet3"}, directlyConnected=True)}),
                answer({"10.6.0.0/16": route(via("10.0.0.9"))}),
                answer({}),
            ),
            strict=True,
        )
    )
    assert VERIFICATION.read_unresolved("red", addresses, answers) == {*addresses} - {"10.0.0.1", "10.5.0.1"}
    connected = route({"interface": "Et1"}, kind="connected")
    del connected["directlyConnected"]
    (command,) = VERIFICATION.resolve_commands("red", ["10.0.0.1"])
    older = {command: answer({"10.0.0.0/24": connected})}
    assert VERIFICATION.read_unresolved("red", ["10.0.0.1"], older) == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "% Invalid input (at token 4: 'statc')",
        "[]",
        "[1]",
        "null",
        "{}",
        '{"vrfs": []}',
        '{"vrfs": {"red": {}}}',
        '{"vrfs": {"red": {"routes": []}}}',
        '{"vrfs": {"red": {"routes": {"10.0.0.0": []}}}}',
        '{"vrfs": {"red": {"routes": {"ten": {}}}}}',
        '{"vrfs": {"red": {"routes": {"10.0.0.0/8": {"routeType": "static", "vias": [{}]}}}}}',
        '{"vrfs": {"red": {"routes": {"10.0.0.0/8": {"routeType": "static", "vias": [7]}}}}}',
        '{"vrfs": {"red": {"routes": {"10.0.0.0/8": {"routeType": "static", "vias": null}}}}}',
        '{"vrfs": {"red": {"routes": {"10.0.0.0/8": {"routeType": "static", "vias": [{"nexthopAddr": "x"}]}}}}}',
        "[" * 100_000,
    ],
)
def test_an_answer_of_another_form_is_not_an_empty_table(text: str):
    with pytest.raises(ParseError):
        VERIFICATION.read_tables({TABLE: text})


def test_a_missing_answer_is_not_a_missing_route():
    with pytest.raises(ParseError, match=r"10\.0\.0\.1"):
        VERIFICATION.read_unresolved("red", ["10.0.0.1"], {})

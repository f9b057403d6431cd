"""Answers of zebra that no router here gives: several VRFs, settings of profiles, and broken ones."""

import json

import pytest

from k8s_ecmp.errors import ParseError
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.frr_tables import FrrVerification

VERIFICATION = FrrVerification()
TABLE = "show ip route vrf red static json"
SETTINGS = "show running-config zebra"


def answer(*hops: dict[str, object], prefix: str = "10.0.0.0/8", vrf: str = "red", **more: object) -> str:
    entry = {"protocol": "static", "vrfName": vrf, "selected": True, "installed": True, "nexthops": hops}
    return json.dumps({prefix: [entry | more]})


def found(text: str) -> Installed:
    (installed,) = VERIFICATION.read_tables({TABLE: text}).values()
    return installed


def hop(address: str, **more: object) -> dict[str, object]:
    return {"ip": address, "interfaceName": "e0", "active": True, "fib": True} | more


def test_commands_name_vrf_and_family():
    assert VERIFICATION.table_commands(["red"]) == (TABLE, "show ipv6 route vrf red static json")
    assert VERIFICATION.resolve_commands("red", []) == ()
    assert VERIFICATION.resolve_commands("red", ["10.0.0.1", "fd00::1"]) == (
        SETTINGS,
        "show ip nht vrf red",
        "show ipv6 nht vrf red",
        "show ip route vrf red 10.0.0.1 json",
        "show ipv6 route vrf red fd00::1 json",
    )


def test_a_hop_may_be_in_the_rib_and_not_in_the_fib():
    text = answer(hop("10.1.1.1"), hop("10.1.1.2", fib=False), hop("10.1.1.3", active=False, fib=False))
    assert found(text) == Installed(frozenset({"10.1.1.1", "10.1.1.2"}), frozenset({"10.1.1.1"}))
    assert found(answer(hop("10.1.1.1"), installed=False)) == Installed(frozenset({"10.1.1.1"}), frozenset())


def test_a_better_route_of_another_protocol():
    static = json.loads(answer(hop("10.1.1.1", fib=False), hop("10.1.1.2", active=False), selected=False))
    bgp = {"protocol": "bgp", "vrfName": "red", "selected": True, "distance": 20, "nexthops": [hop("10.1.1.9")]}
    none, behind = frozenset[str](), frozenset({"10.1.1.1"})
    assert found(json.dumps(static)) == Installed(none, none, None, behind)
    static["10.0.0.0/8"].insert(0, bgp)
    assert found(json.dumps(static)) == Installed(none, none, Better("bgp", 20), behind)
    assert found(json.dumps({"10.0.0.0/8": [bgp]})) == Installed(none, none, Better("bgp", 20), none)
    best = json.loads(answer(hop("10.1.1.1")))
    best["10.0.0.0/8"].append(bgp | {"selected": False})
    assert found(json.dumps(best)) == Installed(behind, behind)


def test_a_recursive_hop_is_in_the_fib_by_its_resolvers():
    recursive = hop("10.9.9.9", recursive=True, fib=False)
    duplicate = hop("10.1.1.1", resolver=True, fib=False, duplicate=True)
    labels = frozenset({"10.1.1.1", "10.9.9.9"})
    assert found(answer(hop("10.1.1.1"), recursive, duplicate)) == Installed(labels, labels)
    unresolved = hop("10.1.1.2", resolver=True, fib=False)
    assert found(answer(hop("10.1.1.1"), recursive, unresolved)) == Installed(labels, frozenset({"10.1.1.1"}))


def test_labels():
    text = answer(
        {"interfaceName": "e1", "directlyConnected": True, "active": True, "fib": True},
        hop("10.1.1.1", vrf="blue"),
    )
    assert found(text).fib == {"e1", "10.1.1.1 vrf blue"}


def test_several_vrfs_in_one_answer():
    text = answer(hop("10.1.1.1")) + "\n{\n}\n" + answer(hop("10.1.1.2"), vrf="blue") + "\n"
    tables = VERIFICATION.read_tables({"show ip route vrf all static json": text})
    assert {vrf: installed.fib for (vrf, _), installed in tables.items()} == {"red": {"10.1.1.1"}, "blue": {"10.1.1.2"}}


@pytest.mark.parametrize("text", ["% VRF red not active\n", "% VRF red not found\n", "{}\n"])
def test_a_vrf_without_device_routes_nothing(text: str):
    assert VERIFICATION.read_tables({TABLE: text}) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "% Unknown command",
        "{",
        "[]",
        "{} x",
        '{"10.0.0.0/8": {}}',
        '{"ten": []}',
        '{"10.0.0.0/8": [1]}',
        '{"10.0.0.0/8": [{"vrfName": "red", "selected": true}]}',
        '{"10.0.0.0/8": [{"vrfName": "red", "selected": true, "protocol": "static", "nexthops": [{"active": true}]}]}',
    ],
)
def test_another_answer_is_never_an_empty_table(text: str):
    with pytest.raises(ParseError, match="show ip route vrf red"):
        VERIFICATION.read_tables({TABLE: text})


@pytest.mark.parametrize(
    ("settings", "resolves"),
    [
        ("frr defaults traditional\n", False),
        ("frr defaults datacenter\n", True),
        ("frr defaults datacenter\nvrf red\n no ip nht resolve-via-default\nexit-vrf\n", False),
        ("frr defaults datacenter\nno ip nht resolve-via-default\nvrf red\n ip nht x\nexit-vrf\n", True),
        ("frr defaults traditional\nip nht resolve-via-default\n", False),
        ("frr defaults traditional\nvrf red\n ip nht resolve-via-default\nexit-vrf\n", True),
        ("frr defaults traditional\nvrf red\n ipv6 nht resolve-via-default\nexit-vrf\n", False),
    ],
)
@pytest.mark.parametrize("said", ["", "VRF red:\n Resolve via default: {}\n"])
def test_default_routes_count_where_set(settings: str, resolves: bool, said: str):
    question = "show ip route vrf red 10.0.0.1 json"
    answers = {question: answer(hop("10.1.1.1"), prefix="0.0.0.0/0")}
    answers |= {SETTINGS: "" if said else settings, "show ip nht vrf red": said.format("on" if resolves else "off")}
    assert (not VERIFICATION.read_unresolved("red", ["10.0.0.1"], answers)) == resolves


def test_a_missing_answer_is_an_error():
    with pytest.raises(ParseError, match="no answer"):
        VERIFICATION.read_unresolved("red", ["10.0.0.1"], {SETTINGS: ""})

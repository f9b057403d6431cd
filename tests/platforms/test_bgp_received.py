"""What a receiver says of its BGP table, and what is made of it: no answer is taken for an empty one by mistake."""

import json
from typing import Any

import pytest

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms import bgp_received as received
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.bgp_received import Path

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
WANTED = frozenset((A, B))
NOTHING: frozenset[str] = frozenset()
PREFIX = Prefix.parse("10.96.0.0/12")


def path(hop: str, *, usable: bool = True, used: bool = True, neighbor: str = "10.9.0.11") -> Path:
    return Path(hop, neighbor, usable, used)


def neighbor(**section: Any) -> str:
    return json.dumps({"10.9.0.11": {"bgpState": "Established", "addressFamilyInfo": {"ipv4Unicast": section}}})


@pytest.mark.parametrize(
    ("wanted", "found", "paths", "words"),
    [
        (WANTED, None, [], "did not take it: look at route-map K8S"),
        (WANTED, Installed(WANTED - {B}, WANTED - {B}), [path(A)], "took 1 of 2 next hops: let it receive additional"),
        (WANTED, Installed(WANTED - {B}, WANTED - {B}), [path(A), path(B, used=False)], "uses 1 of 2 next hops: raise"),
        (WANTED, Installed(WANTED - {B}, WANTED - {B}), [path(A), path(B, usable=False)], f"no way to next hop {B}"),
        (
            WANTED,
            Installed(NOTHING, NOTHING, Better("static", 1)),
            [path(A), path(B)],
            "prefers static with distance 1",
        ),
        (WANTED, Installed(WANTED, WANTED - {B}), [path(A), path(B)], "forwards to 1 of 2 next hops: look at zebra's"),
        (WANTED, Installed(WANTED | {C}, WANTED | {C}), [path(A), path(B), path(C, neighbor="10.9.0.77")], "10.9.0.77"),
        (NOTHING, Installed(NOTHING, NOTHING, Better("ospf", 110)), [], "it is withdrawn"),
        (WANTED, Installed(NOTHING, NOTHING), None, "does not have it from BGP"),
    ],
)
def test_the_cause_is_told(wanted: frozenset[str], found: Installed | None, paths: list[Path], words: str) -> None:
    assert words in received.why(wanted, found, paths, "route-map K8S")


def test_filters_are_named_as_the_router_has_them() -> None:
    said = received.read_filters(neighbor(routeMapForIncomingAdvertisements="K8S", prefixAllowedMax=5000), 4)
    assert said == "route-map K8S and maximum-prefix 5000"
    policy = "Inbound updates discarded due to missing policy"
    assert "ebgp-requires-policy" in received.read_filters(neighbor(inboundEbgpRequiresPolicy=policy), 4)
    assert received.read_filters(neighbor(), 4) == ""
    assert "not activated" in received.read_filters(neighbor(), 6)


def test_a_prefix_that_bgp_does_not_know_has_no_paths() -> None:
    assert received.read_paths("% Network not in table\n") == ()
    assert received.read_paths("{}") == ()


@pytest.mark.parametrize(
    "read",
    [
        received.read_summary,
        received.read_from_speaker,
        received.read_paths,
        received.read_reset,
        lambda answer: received.read_filters(answer, 4),
    ],
)
@pytest.mark.parametrize("answer", ['{"peers": ', '{"a": 1} trailing'])
def test_what_is_no_json_is_no_answer(read: Any, answer: str) -> None:
    with pytest.raises(TableUnreadable):
        read(answer)


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        (received.read_summary, {"peers": {"10.9.0.11": {"pfxRcd": "many"}}}),
        (received.read_from_speaker, {"routes": {"10.96.0.0/12": [{"nexthop": A}]}}),
        (received.read_from_speaker, {"routes": {"10.96.0.0": 4}}),
        (received.read_paths, {"paths": ["best"]}),
    ],
)
def test_another_form_is_no_answer(read: Any, answer: object) -> None:
    with pytest.raises(TableUnreadable):
        read(json.dumps(answer))


def test_route_to_counts_what_is_in_use() -> None:
    def entry(hop: str, *, active: bool, interface: str, table: str = "default") -> dict[str, Any]:
        return {
            "protocol": "eBGP",
            "next_hop": hop,
            "current_active": active,
            "outgoing_interface": interface,
            "routing_table": table,
        }

    answer = {
        str(PREFIX): [
            entry(A, active=True, interface="Vlan10"),
            entry(B, active=False, interface="Vlan10"),
            entry(C, active=False, interface=""),
            entry("10.0.0.9", active=True, interface="Vlan10", table="red"),
        ],
        "10.0.0.0/8": [entry("10.0.0.8", active=True, interface="Vlan10")],
    }
    assert received.read_route_to(answer, PREFIX, used_have_interfaces=True) == Installed(
        WANTED, WANTED, None, WANTED | {C}
    )
    assert received.read_route_to(answer, PREFIX, used_have_interfaces=False).fib == {A}
    with pytest.raises(TableUnreadable):
        received.read_route_to({str(PREFIX): [{"protocol": "bgp"}]}, PREFIX, used_have_interfaces=False)

"""Lines as ExaBGP 5.0 writes them, shortened to what is read."""

import json
from typing import Any

import pytest

from k8s_ecmp.bgp import events
from k8s_ecmp.bgp.peers import Session

SESSION = Session("10.9.0.11", "10.9.0.2")
BOTH = frozenset({"ipv4 unicast", "ipv6 unicast"})


def of_session(kind: str, **words: Any) -> str:
    neighbor = {"address": {"local": SESSION.local, "peer": SESSION.peer}, "asn": {"local": 65010, "peer": 65001}}
    return json.dumps({"exabgp": "5.0.0", "type": kind, "neighbor": neighbor | words})


def listed(fsm: str) -> dict[str, Any]:
    paths = {"ipv4 unicast": "send", "ipv6 unicast": "disabled"}
    ends = {"local": {"address": SESSION.local, "as": 65010}, "peer": {"address": SESSION.peer, "as": 65001}}
    return {**ends, "state": "down", "fsm": fsm, "families": sorted(BOTH), "add-path": paths}


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (of_session("state", state="up"), events.Up(SESSION)),
        (of_session("state", state="down", reason="notification"), events.Down(SESSION, "notification")),
        (of_session("state", state="down"), events.Down(SESSION, "the session was lost")),
        (of_session("state", state="connected"), None),
        (
            of_session("negotiated", negotiated={"families": sorted(BOTH), "add_path": {"send": ["ipv4 unicast"]}}),
            events.Negotiated(SESSION, BOTH, frozenset({"ipv4 unicast"})),
        ),
        (
            json.dumps([listed("ESTABLISHED")]),
            events.Listed(frozenset({SESSION}), (events.Negotiated(SESSION, BOTH, frozenset({"ipv4 unicast"})),)),
        ),
        (json.dumps([listed("IDLE")]), events.Listed(frozenset({SESSION}), ())),
        ('description "edge 0123456789abcdef";', events.Described("0123456789abcdef")),
        ('{"exabgp": "5.0.0", "notification": "shutdown"}', events.Shutdown()),
        ("neighbor 10.9.0.2 {", None),
    ],
)
def test_what_a_line_says(line: str, event: events.Event | None) -> None:
    assert events.read(line) == event

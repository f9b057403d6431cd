"""What ExaBGP 5 says beside its answers, line by line: JSON, and the text of `show neighbor configuration`."""

import json
from typing import Any, NamedTuple

from k8s_ecmp.bgp.peers import Session


class Negotiated(NamedTuple):
    """What both sides of a session have: families, and those of them in which it may carry several paths a prefix."""

    session: Session
    families: frozenset[str]
    add_path: frozenset[str]


class Up(NamedTuple):
    """A session came up; what was negotiated is said before."""

    session: Session


class Down(NamedTuple):
    """A session is lost."""

    session: Session
    reason: str


class Listed(NamedTuple):
    """All sessions that ExaBGP is configured with, and what was negotiated on those that stand."""

    sessions: frozenset[Session]
    standing: tuple[Negotiated, ...]


class Described(NamedTuple):
    """The last word of a session's description in the configuration that ExaBGP has."""

    mark: str


class Shutdown(NamedTuple):
    """ExaBGP ends."""


Event = Negotiated | Up | Down | Listed | Described | Shutdown


def read(line: str) -> Event | None:
    """What a line says; None: nothing that concerns the bridge.

    Raises:
        KeyError, TypeError: ExaBGP says it in another way than version 5 does.
    """
    try:
        said = json.loads(line)
    except ValueError:
        return Described(line.rstrip('";').rpartition(" ")[2]) if line.startswith("description ") else None
    if isinstance(said, list):
        return Listed(
            frozenset(map(_listed_session, said)), tuple(_standing(entry) for entry in said if _stands(entry))
        )
    if said.get("notification") == "shutdown":
        return Shutdown()
    kind = said.get("type")
    if kind not in ("state", "negotiated"):
        return None
    neighbor = said["neighbor"]
    session = Session(neighbor["address"]["local"], neighbor["address"]["peer"])
    if kind == "negotiated":
        agreed = neighbor["negotiated"]
        return Negotiated(session, frozenset(agreed["families"]), frozenset(agreed["add_path"]["send"]))
    if neighbor["state"] == "up":
        return Up(session)
    if neighbor["state"] == "down":
        return Down(session, str(neighbor.get("reason") or "the session was lost"))
    return None


def _listed_session(entry: dict[str, Any]) -> Session:
    return Session(str(entry["local"]["address"]), str(entry["peer"]["address"]))


def _stands(entry: dict[str, Any]) -> bool:
    """Not by `state`, which is "down" in the first second of a session."""
    return str(entry["fsm"]).upper() == "ESTABLISHED"


def _standing(entry: dict[str, Any]) -> Negotiated:
    sending = frozenset(name for name, way in entry["add-path"].items() if "send" in str(way))
    return Negotiated(_listed_session(entry), frozenset(entry["families"]), sending)

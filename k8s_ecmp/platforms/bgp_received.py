"""What the receiver of announcements has of them: the questions to FRR, and `get_route_to` of NAPALM's drivers.

Forms of FRR's answers as 8.4 and 10 print them: `show ip route bgp json` as for static routes; `show bgp ipv4 unicast
PREFIX json` {"paths": [{"valid", "multipath", "bestpath": {"overall"}, "nexthops": [{"ip", "accessible"}], "peer":
{"peerId"}}]}; `... summary json` {"ribCount", "peers": {ADDRESS: {"pfxRcd"}}}; `... neighbors ADDRESS routes json`
{"routes": {PREFIX: [{"nexthops": [{"ip"}]}]}}; `show bgp neighbors ADDRESS json` with a neighbor's filters. Pure.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, Prefix, canonical_address
from k8s_ecmp.platforms.base import Better, Installed
from k8s_ecmp.platforms.frr_tables import FrrVerification

_NONE: frozenset[str] = frozenset()
_KEYWORDS = {4: "ipv4", 6: "ipv6"}
_SECTIONS = {4: "ipv4Unicast", 6: "ipv6Unicast"}
_FILTERS = {
    "routeMapForIncomingAdvertisements": "route-map",
    "incomingUpdatePrefixFilterList": "prefix-list",
    "incomingUpdateNetworkFilterList": "distribute-list",
    "incomingUpdateAsPathFilterList": "filter-list",
}

frr_tables = FrrVerification("bgp")
"""How to ask FRR for its routing table's BGP routes."""


class Path(NamedTuple):
    """A path in a receiver's BGP table; `used` says whether it is the best one or one of the best."""

    next_hop: str
    neighbor: str
    usable: bool
    used: bool


class Known(NamedTuple):
    """A family of a receiver's BGP table: its prefixes, and how many paths it took from each neighbor."""

    prefixes: int
    taken: Mapping[str, int]


def summary_command(family: int) -> str:
    """Asks FRR how much it took from whom."""
    return f"show bgp {_KEYWORDS[family]} unicast summary json"


def read_summary(answer: str) -> Known:
    """How much there is, and from whom.

    Raises:
        TableUnreadable: the answer has another form.
    """
    said = _document(answer)
    try:
        taken = {address: int(peer.get("pfxRcd") or 0) for address, peer in (said.get("peers") or {}).items()}
        return Known(int(said.get("ribCount") or 0), taken)
    except (TypeError, ValueError, AttributeError) as error:
        raise TableUnreadable(f"the router's summary of BGP has another form: {error!r}") from None


def from_speaker_command(family: int, speaker: str) -> str:
    """Asks FRR for all that it took from a speaker."""
    return f"show bgp {_KEYWORDS[family]} unicast neighbors {speaker} routes json"


def read_from_speaker(answer: str) -> dict[Prefix, frozenset[str]]:
    """Next hops by prefix.

    Raises:
        TableUnreadable: the answer has another form.
    """
    try:
        return {
            Prefix.parse(prefix): frozenset(str(hop["ip"]) for path in paths for hop in path["nexthops"] if "ip" in hop)
            for prefix, paths in (_document(answer).get("routes") or {}).items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TableUnreadable(f"the router's answer about a neighbor's routes has another form: {error!r}") from None


def paths_command(prefix: Prefix) -> str:
    """Asks FRR for all paths of a prefix."""
    return f"show bgp {_KEYWORDS[prefix.family]} unicast {prefix} json"


def read_paths(answer: str) -> tuple[Path, ...]:
    """The paths; none where BGP does not know the prefix.

    Raises:
        TableUnreadable: the answer has another form.
    """
    try:
        return tuple(
            Path(
                str(hop["ip"]),
                str(path.get("peer", {}).get("peerId", "")),
                bool(path.get("valid")) and hop.get("accessible") is not False,
                bool(path.get("multipath")) or bool(path.get("bestpath", {}).get("overall")),
            )
            for path in _document(answer).get("paths") or ()
            for hop in path.get("nexthops") or ()
            if "ip" in hop
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TableUnreadable(f"the router's answer about a prefix's paths has another form: {error!r}") from None


def neighbor_command(speaker: str) -> str:
    """Asks FRR for a neighbor's filters and limits."""
    return f"show bgp neighbors {speaker} json"


def read_filters(answer: str, family: int) -> str:
    """What stands between the neighbor and the BGP table, in the router's own words.

    Raises:
        TableUnreadable: the answer has another form.
    """
    for neighbor in _document(answer).values():
        section = neighbor.get("addressFamilyInfo", {}).get(_SECTIONS[family]) if isinstance(neighbor, dict) else None
        if section is None:
            continue
        found = [f"{word} {section[key]}" for key, word in _FILTERS.items() if section.get(key)]
        if "inboundEbgpRequiresPolicy" in section:
            found.append("`bgp ebgp-requires-policy` without a policy")
        if section.get("prefixAllowedMax"):
            found.append(f"maximum-prefix {section['prefixAllowedMax']}")
        return " and ".join(found)
    return "the address family, which is not activated"


def read_reset(answer: str) -> str:
    """Why a session with a neighbor is not established, in the router's own words, and what to do; "": it is, or nobody
    says.

    Raises:
        TableUnreadable: the answer has another form.
    """
    for neighbor in _document(answer).values():
        if isinstance(neighbor, dict) and neighbor.get("bgpState") != "Established":
            said = str(neighbor.get("lastNotificationReason") or neighbor.get("lastResetDueTo") or "")
            if neighbor.get("prefixesConfigExceedMax"):
                return f"{said}: raise its maximum-prefix, which counts paths, and `clear bgp` the neighbor there"
            return said
    return ""


def read_route_to(
    answer: Mapping[str, Sequence[Mapping[str, Any]]], prefix: Prefix, *, used_have_interfaces: bool
) -> Installed:
    """What NAPALM's `get_route_to(PREFIX, protocol="bgp")` shows of the prefix in the table that has no VRF.

    Args:
        answer: NAPALM's; it has paths that are not in use on some platforms.
        prefix: which was asked for.
        used_have_interfaces: those in use are those with an outgoing interface (EOS, where the first of them alone is
            "current_active"); else those that are "current_active".

    Raises:
        TableUnreadable: the answer has another form.
    """
    used, known = set(), set()
    mark = "outgoing_interface" if used_have_interfaces else "current_active"
    try:
        for text, entries in answer.items():
            for entry in entries:
                table = str(entry.get("routing_table") or DEFAULT_VRF)
                if Prefix.parse(text) == prefix and _is_bgp(entry) and table.startswith((DEFAULT_VRF, "inet")):
                    hop = canonical_address(str(entry["next_hop"]))
                    known.add(hop)
                    used |= {hop} if entry.get(mark) else set()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TableUnreadable(f"get_route_to({str(prefix)!r}) has another form: {error!r}") from None
    return Installed(frozenset(used), frozenset(used), None, frozenset(known))


def differing(tables: Mapping[Prefix, Installed], expected: Mapping[Prefix, frozenset[str]]) -> list[Prefix]:
    """Prefixes at which a receiver's table is not what is announced, sorted."""
    nothing = Installed(_NONE, _NONE)
    return sorted(prefix for prefix, wanted in expected.items() if tables.get(prefix, nothing).fib != wanted)


def why(wanted: frozenset[str], found: Installed | None, paths: Iterable[Path] | None, filters: str) -> str:
    """Why a receiver's table is not what is announced, and what to do about it; without the prefix.

    Args:
        wanted: announced next hops.
        found: the receiver's routing table at the prefix.
        paths: its BGP table at the prefix; None: it does not show that.
        filters: what stands before that table.
    """
    used = found.fib if found is not None else _NONE
    if paths is None:
        return _as_napalm_shows(wanted, used, found)
    paths = tuple(paths)
    count = len(wanted)
    taken = wanted & {path.next_hop for path in paths}
    if extra := used - wanted:
        others = sorted({path.neighbor for path in paths if path.next_hop in extra})
        origin = " and ".join(others) or "elsewhere"
        return (
            f"{', '.join(sorted(extra))} is in use beside what is announced, from {origin}: look who announces it; "
            "`clear bgp ADDRESS` makes the router ask a neighbor for everything again"
        )
    if not wanted:
        return "it is withdrawn, and still in the router's table"
    if not taken:
        return f"the router did not take it: look at {filters or 'its prefix filter and maximum-prefix'}"
    if taken != wanted:
        return (
            f"the router took {len(taken)} of {count} next hops: let it receive additional paths (no "
            f"`disable-addpath-rx`), and look at {filters or 'its filter and maximum-prefix'}"
        )
    dead = sorted({path.next_hop for path in paths if path.next_hop in wanted and not path.usable})
    if dead:
        return (
            f"the router has no way to next hop {', '.join(dead)}: it must be on a connected network, or the neighbor "
            "needs `disable-connected-check` or `ebgp-multihop`"
        )
    if found is not None and found.better is not None:
        return f"the router prefers {_named(found.better)}: take that route away"
    chosen = {path.next_hop for path in paths if path.used}
    if not wanted <= chosen:
        return (
            f"the router uses {len(wanted & chosen)} of {count} next hops: raise `maximum-paths` in its address "
            "family, and set `bgp bestpath as-path multipath-relax` where they come from several ASes"
        )
    return f"the router forwards to {len(used)} of {count} next hops: look at zebra's log and its limit of paths"


def _as_napalm_shows(wanted: frozenset[str], used: frozenset[str], found: Installed | None) -> str:
    if not wanted:
        return "it is withdrawn, and still in the router's table"
    if extra := used - wanted:
        return f"{', '.join(sorted(extra))} is in use beside what is announced: look who else announces it"
    known = (found.behind if found is not None else None) or _NONE
    if not known:
        return "the router does not have it from BGP: look at its prefix filter, its prefix limit and its other routes"
    return (
        f"the router uses {len(used)} of {len(wanted)} next hops and knows {len(known & wanted)}: look at its "
        "multipath limit where it knows all, else let it receive additional paths"
    )


def _named(better: Better) -> str:
    return better.protocol if better.distance is None else f"{better.protocol} with distance {better.distance}"


def _is_bgp(entry: Mapping[str, Any]) -> bool:
    return "bgp" in str(entry.get("protocol", "")).lower()


def _document(answer: str) -> dict[str, Any]:
    """FRR's answer; empty where it says in words that there is nothing ("% Network not in table")."""
    if answer.lstrip().startswith("% "):
        return {}
    try:
        found = json.loads(answer or "{}")
    except (ValueError, RecursionError):
        raise TableUnreadable(f"the router's answer about BGP is no JSON: {answer[:80]!r}") from None
    if not isinstance(found, dict):
        raise TableUnreadable("the router's answer about BGP is no table")
    return found

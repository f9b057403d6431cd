"""What a router's tables show against what its configuration makes one expect."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from k8s_ecmp.model import NextHop, Prefix, address_family, address_key
from k8s_ecmp.platforms.base import Installed, Neighbour

Floating = Mapping[Prefix, int]
"""Distances of floating static routes: those above the platform's own, meant to stand behind a better route."""


def floating(routes: Iterable[tuple[Prefix, Sequence[NextHop]]], default_distance: int) -> dict[Prefix, int]:
    """The floating ones among routes.

    Args:
        routes: prefix and next hops.
        default_distance: what a static route has on which none is written.
    """
    lowest = {prefix: min((hop.distance or default_distance for hop in hops), default=0) for prefix, hops in routes}
    return {prefix: distance for prefix, distance in lowest.items() if distance > default_distance}


def in_use(hops: Sequence[NextHop], default_distance: int) -> frozenset[str]:
    """Labels by which the tables show a static route: of the hops with the lowest distance, the others stand by."""
    lowest = min((hop.distance or default_distance for hop in hops), default=0)
    return frozenset(hop.table_label for hop in hops if (hop.distance or default_distance) == lowest)


def table_problems(
    tables: Mapping[Prefix, Installed], expected: Mapping[Prefix, Collection[str]], standby: Floating | None = None
) -> tuple[str, ...]:
    """How the tables differ from what is expected at the expected prefixes, sorted by prefix.

    Args:
        tables: what they hold.
        expected: labels of next hops; none where the prefix must not be there as a static route.
        standby: the floating ones of them, which need not be in use where another protocol has a better route.
    """
    problems = []
    for prefix in sorted(expected):
        wanted = frozenset(expected[prefix])
        found = tables.get(prefix)
        if found is None:
            if wanted:
                problems.append(f"{prefix} is not in the routing table")
        elif not wanted:
            if found.better is None or found.behind:
                problems.append(f"{prefix} is still in the routing table")
        elif found.shortage and found.rib == wanted:
            problems.append(f"{prefix}: {found.shortage}")
        elif found.fib != wanted and not _stands_by(found, wanted, (standby or {}).get(prefix)):
            where = "routing" if found.rib != wanted else "forwarding"
            shown = found.rib if found.rib != wanted else found.fib
            missing, extra = sorted(wanted - shown), sorted(shown - wanted)
            words = [f"lacks {', '.join(missing)}"] if missing else []
            words += [f"has {', '.join(extra)} too many"] if extra else []
            problems.append(f"{prefix} in the {where} table {' and '.join(words)}{_because(found)}")
    return tuple(problems)


def standing_by(
    tables: Mapping[Prefix, Installed], expected: Mapping[Prefix, Collection[str]], standby: Floating
) -> tuple[str, ...]:
    """A sentence for each floating route that is not in use because another protocol has a better one."""
    return tuple(
        f"{prefix} is not in use: the router prefers {better.protocol}"
        f"{'' if better.distance is None else f' with distance {better.distance}'}, ours has {standby[prefix]}"
        for prefix in sorted(standby.keys() & expected.keys() & tables.keys())
        if (better := tables[prefix].better) is not None
        and _stands_by(tables[prefix], frozenset(expected[prefix]), standby[prefix])
    )


def silent_hops(neighbours: Iterable[Neighbour], expected: Mapping[Prefix, Collection[str]]) -> tuple[str, ...]:
    """A sentence for each expected next hop that the router has asked for by ARP or ND, and that has not answered.

    One without an entry is not known to be silent: nobody may have sent to it yet, or it is no neighbour at all.
    """
    neighbours = list(neighbours)
    hops = {label for labels in expected.values() for label in labels if is_address(label)}
    silent = hops - {neighbour.address for neighbour in neighbours if neighbour.resolved}
    interfaces: dict[str, set[str]] = {}
    for address, interface, _ in neighbours:
        if address in silent:
            interfaces.setdefault(address, set()).add(interface)
    return tuple(_silence(address, interfaces[address]) for address in sorted(interfaces, key=address_key))


def _silence(address: str, interfaces: Collection[str]) -> str:
    protocol = "ARP" if address_family(address) == 4 else "ND"
    where = f" on {', '.join(sorted(filter(None, interfaces)))}" if any(interfaces) else ""
    return (
        f"next hop {address} does not answer {protocol}{where}, packets to it are lost: "
        "is the node up, with this address, on this network?"
    )


def is_address(label: str) -> bool:
    """Whether a next hop's label is an address alone."""
    try:
        address_key(label)
    except ValueError:
        return False
    return True


def _stands_by(found: Installed, wanted: frozenset[str], distance: int | None) -> bool:
    """Whether another route is better by its distance, and ours behind it as far as the router shows what is behind."""
    better = found.better
    if better is None or found.rib or not wanted or distance is None:
        return False
    return (better.distance is None or better.distance < distance) and found.behind in (None, wanted)


def _because(found: Installed) -> str:
    """Who has the prefix instead."""
    if found.rib or found.better is None:
        return ""
    protocol, distance = found.better
    return f": {protocol} has the prefix{'' if distance is None else f', with distance {distance}'}"

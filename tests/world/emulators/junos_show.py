"""What a Junos router routes by a configuration, and how `show route` and `show route forwarding-table` print it."""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from tests.world.emulators.base import Learned
from tests.world.emulators.junos_tree import Node, statics

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DISCARD = "discard"


class Route(NamedTuple):
    """The best route of a prefix: its next hops as (address, interface), ("discard", "") for none; one behind it."""

    prefix: _Network
    protocol: str
    preference: int
    hops: tuple[tuple[str, str], ...]
    behind: "Route | None" = None


def tables(root: Node, learned: Mapping[str, Learned]) -> dict[str, dict[_Network, Route]]:
    """Routing tables by name: what is connected, the static routes that have a way to a next hop, and learned ones.

    A static next hop needs a connected subnet (Junos CLI reference, "resolve"); of qualified ones those with the
    lowest preference are used.
    """
    found: dict[str, dict[_Network, Route]] = {}
    for name, interface, network in _connected(root):
        found.setdefault(name, {})[network] = Route(network, "Direct", 0, (("", interface),))
    for path, routes in statics(root):
        instance = path[1] if path[0] == "routing-instances" else ""
        rib = path[path.index("rib") + 1] if "rib" in path else f"{instance}.inet.0" if instance else "inet.0"
        for text, node in routes:
            route = _static(ipaddress.ip_network(text), node, found.get(rib, {}))
            if route is not None:
                found.setdefault(rib, {})[route.prefix] = route
    for text, other in learned.items():
        prefix = ipaddress.ip_network(text)
        table = found.setdefault("inet.0" if prefix.version == 4 else "inet6.0", {})
        static, way = table.get(prefix), _way(other.next_hop, table)
        if static is None or other.beats("default", static.preference):
            table[prefix] = Route(prefix, "BGP", other.distance, ((other.next_hop, way),), static)
    return found


def _connected(root: Node) -> Iterator[tuple[str, str, _Network]]:
    instances = root.get(("routing-instances",))
    owners = {
        interface: key[0]
        for key, node in (instances.children.items() if instances else ())
        for word, *rest in node.children
        if word == "interface"
        for interface in rest
    }
    interfaces = root.get(("interfaces",))
    for name, port in interfaces.children.items() if interfaces else ():
        for unit, logical in port.children.items():
            for family, member in logical.children.items() if unit[0] == "unit" else ():
                for address in member.children:
                    if family[0] == "family" and address[0] == "address":
                        full = f"{name[0]}.{unit[1]}"
                        prefix = f"{owners[full]}." if full in owners else ""
                        yield f"{prefix}{family[1]}.0", full, ipaddress.ip_network(address[1], strict=False)


def _static(prefix: _Network, node: Node, table: dict[_Network, Route]) -> Route | None:
    general = int(_value(node, "preference") or 5)
    hops: list[tuple[int, str]] = []
    for key, child in node.children.items():
        if key == ("next-hop",):
            hops += [(general, address) for address in child.values]
        elif key[0] == "qualified-next-hop":
            hops.append((int(_value(child, "preference") or general), key[1]))
        elif key[0] in ("discard", "reject"):
            return Route(prefix, "Static", general, ((DISCARD, ""),))
    ways = [(preference, address, _way(address, table)) for preference, address in hops]
    usable = [(preference, address, way) for preference, address, way in ways if way]
    if not usable:
        return None
    best = min(preference for preference, _, _ in usable)
    return Route(prefix, "Static", best, tuple((a, way) for p, a, way in usable if p == best))


def _value(node: Node, name: str) -> str | None:
    child = node.children.get((name,))
    return child.values[0] if child is not None and child.values else None


def _way(address: str, table: dict[_Network, Route]) -> str:
    """The interface by which an address is connected, "" for none."""
    try:
        target = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return next((r.hops[0][1] for r in table.values() if r.protocol == "Direct" and target in r.prefix), "")


def answer(
    command: str, root: Node, hide: Collection[str], learned: Mapping[str, Learned], silent: Collection[str] = ()
) -> str:
    """The text of a show command; nothing at all where no route matches.

    Raises:
        ValueError: the device does not know it.
    """
    words = command.split()
    if words[:2] != ["show", "route"] or "table" not in words:
        raise ValueError(command)
    table = words[words.index("table") + 1]
    whole = tables(root, learned)
    if words[2] == "summary":
        return _summary(table, whole.get(table, {}))
    if "forwarding-table" in words:
        family = words[words.index("family") + 1]
        name = f"{family}.0" if table == "default" else f"{table}.{family}.0"
        destination = words[words.index("destination") + 1] if "destination" in words else None
        return _forwarding(table, family, _wanted(whole, name, destination, "exact", hide), silent)
    if words[2] == "protocol":
        found = [r for r in _wanted(whole, table, None, "exact", hide) if words[3] in map(str.lower, _protocols(r))]
    else:
        found = _wanted(whole, table, words[2], "exact" if "exact" in words else "best", hide)
    return _routing(table, found)


def _summary(table: str, routes: Mapping[_Network, Route]) -> str:
    """`show route summary table`: the router's own lines, and those of the table where it has one."""
    lines = ["Autonomous system number: 65001", "Router ID: 10.192.0.253", ""]
    if routes:
        count = len(routes)
        lines.append(f"{table}: {count} destinations, {count} routes ({count} active, 0 holddown, 0 hidden)")
        for protocol in sorted({route.protocol for route in routes.values()}):
            number = sum(route.protocol == protocol for route in routes.values())
            lines.append(f"{protocol:>20}: {number:>6} routes, {number:>6} active")
    return "\n".join(lines) + "\n"


def _protocols(route: Route) -> list[str]:
    return [route.protocol, *(_protocols(route.behind) if route.behind else ())]


def _wanted(
    whole: Mapping[str, Mapping[_Network, Route]], table: str, target: str | None, how: str, hide: Collection[str]
) -> list[Route]:
    known = [route for prefix, route in whole.get(table, {}).items() if str(prefix) not in hide]
    if target is None:
        return known
    network = ipaddress.ip_network(target)
    if how == "exact":
        return [route for route in known if route.prefix == network]
    covering = [route for route in known if _covers(route.prefix, network)]
    return sorted(covering, key=lambda r: r.prefix.prefixlen)[-1:]


def _covers(prefix: _Network, network: _Network) -> bool:
    return network.network_address in prefix and prefix.prefixlen <= network.prefixlen


def _routing(table: str, routes: list[Route]) -> str:
    if not routes:
        return ""
    count = len(routes)
    lines = [
        "",
        f"{table}: {count} destinations, {count} routes ({count} active, 0 holddown, 0 hidden)",
        "+ = Active Route, - = Last Active, * = Both",
        "",
    ]
    for route in sorted(routes, key=lambda r: (r.prefix.network_address, r.prefix.prefixlen)):
        text = str(route.prefix)
        entry = f"*[{route.protocol}/{route.preference}] 00:00:07"
        lines += [f"{text:<19}{entry}"] if len(text) < 19 else [text, f"{'':<19}{entry}"]
        lines += _hops(route)
        if route.behind is not None:
            lines += [f"{'':<20}[{route.behind.protocol}/{route.behind.preference}] 00:00:07", *_hops(route.behind)]
    return "\n".join(lines) + "\n"


def _hops(route: Route) -> Iterator[str]:
    for place, (address, interface) in enumerate(route.hops):
        mark = ">" if place == 0 else " "
        if address == DISCARD:
            yield f"{'':<23}Discard"
        else:
            to = f"to {address} via" if address else "via"
            yield f"{'':<20}{mark}  {to} {interface}"


def _forwarding(table: str, family: str, routes: list[Route], silent: Collection[str]) -> str:
    """A next hop that has not answered ARP or ND has the type hold."""

    def kind(address: str) -> str:
        return "hold" if address in silent else "ucst"

    label = "Internet" if family == "inet" else "Internet6"
    lines = [
        f"Routing table: {table}.{family}",
        f"{label}:",
        "Destination        Type RtRef Next hop           Type Index    NhRef Netif",
    ]
    for route in routes:
        text = "default" if route.prefix.prefixlen == 0 else str(route.prefix)
        head = f"{text:<18} {'user' if route.protocol == 'Static' else 'intf'}     0"
        if route.protocol == "Direct":
            lines.append(f"{head} {'':<18} rslv      583     1 {route.hops[0][1]}")
        elif route.hops[0][0] == DISCARD:
            lines.append(f"{head} {'':<18} dscd       35     1")
        elif len(route.hops) == 1:
            lines.append(f"{head} {route.hops[0][0]:<18} {kind(route.hops[0][0])}      601     3 {route.hops[0][1]}")
        else:
            lines.append(f"{head} {'':<18} ulst  1048574     2")
            lines += [f"{'':<30}{address:<18} {kind(address)}      601     3 {way}" for address, way in route.hops]
    return "\n".join(lines) + "\n"

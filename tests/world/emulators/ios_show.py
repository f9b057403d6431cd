"""What an IOS router prints of its configuration and of its tables, in the forms of the command references."""

import ipaddress
import re
from collections.abc import Collection, Mapping

from tests.world.emulators.base import Learned
from tests.world.emulators.ios_config import INVALID, Config, Network, Route
from tests.world.emulators.ios_files import NO_FILE

_CODES = """Codes: L - local, C - connected, S - static, R - RIP, M - mobile, B - BGP
       D - EIGRP, EX - EIGRP external, O - OSPF, IA - OSPF inter area
       + - replicated route, % - next hop override, p - overrides from PfR

Gateway of last resort is not set
"""
_CODES6 = """Codes: C - Connected, L - Local, S - Static, U - Per-user Static route
       B - BGP, R - RIP, H - NHRP, I1 - ISIS L1, O - OSPF Intra
"""


def show_configuration(text: str, line: str, head: str) -> str:
    """`show running-config` or `show startup-config`, whole or filtered by `| include`."""
    rows = f"{head.format(len(text))}\n!\n{text}".splitlines(keepends=True)
    found = re.search(r"\| (?:inc|include) (.*)", line)
    return "".join(row for row in rows if not found or re.search(found[1], row)) + "\n"


def show_lock(holder: str | None) -> str:
    """`show configuration lock`."""
    free = holder is None
    return (
        f"Parser Configure Lock\n---------------------\nOwner PID         : {-1 if free else 210}\n"
        f"User              : {holder or 'unknown'}\nTTY               : {-1 if free else 2}\n"
        f"Type              : {'NO LOCK' if free else 'EXCLUSIVE'}\nState             : {'FREE' if free else 'LOCKED'}\n"
    )


def incremental_diff(config: Config, name: str, text: str | None) -> str:
    """The lines of a file that the running configuration lacks; a file that does not close with `end` is refused.

    That removals are listed follows from the guide ("lines that do not appear in the running configuration"); the text
    of the refusal was not seen on a device.
    """
    if text is None:
        return f"%Error opening {name} ({NO_FILE})\n"
    rows = [row for row in text.splitlines() if row.strip() and not row.startswith("!")]
    if not rows or rows[-1] != "end":
        return f"%Error: parsing of {name} returned error 5\n"
    present = {row.lower() for row in config.text().splitlines()}
    lacking = "".join(f"{row}\n" for row in rows[:-1] if row.rstrip().lower() not in present)
    return f"!List of Commands:\n{lacking}end\n" + ("" if lacking else "!No changes were found\n")


def show_route(
    config: Config, family: str, words: list[str], hidden: Collection[str], learned: Mapping[str, Learned]
) -> str:
    """`show ip|ipv6 route [vrf V] static|PREFIX [MASK]|ADDRESS`; `hidden` prefixes are in no table."""
    vrf, words, error = _vrf(config, family, words)
    if error:
        return error
    version = 4 if family == "ip" else 6
    table = {
        prefix: hops
        for (own, prefix), hops in config.table().items()
        if own == vrf
        and prefix.version == version
        and str(prefix) not in hidden
        and not ((other := learned.get(str(prefix))) is not None and other.beats(vrf, hops[0].distance))
    }
    if words == ["static"]:
        return _ipv4_table(vrf, table) if version == 4 else _ipv6_table(vrf, table)
    absent = "% Network not in table\n" if version == 4 else "% Route not found\n"
    try:
        wanted = ipaddress.ip_network("/".join(words))
    except ValueError:
        return f"{INVALID}\n"
    if len(words) == 1 and "/" not in words[0]:
        return _longest(config, vrf, table, wanted, absent)
    if wanted in table:
        return _entry(wanted, table[wanted])
    return _learned_entry(wanted, learned[str(wanted)]) if vrf == "default" and str(wanted) in learned else absent


def show_cef(
    config: Config, family: str, words: list[str], hidden: Collection[str], not_forwarded: Collection[str]
) -> str:
    """`show ip|ipv6 cef [vrf V] [PREFIX [MASK]] detail`, or `summary`."""
    vrf, words, error = _vrf(config, family, words)
    if error:
        return error
    if words[-1:] not in (["detail"], ["summary"]):
        return f"{INVALID}\n"
    version = 4 if family == "ip" else 6
    table = {
        prefix: [hop for hop in hops if hop.address not in not_forwarded]
        for (own, prefix), hops in config.table().items()
        if own == vrf and prefix.version == version and str(prefix) not in hidden
    }
    table = {prefix: hops for prefix, hops in table.items() if hops}
    if len(words) == 1:
        name = "Default" if vrf == "default" else vrf
        head = f"IPv{version} CEF is enabled and running\nVRF {name}\n {len(table)} prefixes ({len(table)}/0 fwd/non-fwd)\n"
        special = f"{'0.0.0.0/8' if version == 4 else 'FF00::/8'}, epoch 0\n  Special source: drop\n  drop\n"
        entries = "".join(_cef_entry(prefix, hops) for prefix, hops in sorted(table.items()))
        epoch = f" Table id 0x0\n Database epoch:        0 ({len(table)} entries at this epoch)\n\n"
        return head if words == ["summary"] else head + epoch + special + entries
    try:
        wanted = ipaddress.ip_network("/".join(words[:-1]))
    except ValueError:
        return f"{INVALID}\n"
    return _cef_entry(wanted, table[wanted]) if wanted in table else "%Prefix not found\n"


def _cef_entry(wanted: Network, hops: list[Route]) -> str:
    shown = [f"{str(wanted).upper()}, epoch 0" + (", per-destination sharing" if len(hops) > 1 else "")]
    for hop in hops:
        if hop.interface and hop.address:
            shown.append(f"  nexthop {hop.address.upper()} {hop.interface}")
        elif hop.interface:
            shown.append(f"  attached to {hop.interface}")
        else:
            shown += [f"  recursive via {hop.address.upper()}", "    attached to GigabitEthernet0/1"]
    return "\n".join(shown) + "\n"


def _vrf(config: Config, family: str, words: list[str]) -> tuple[str, list[str], str]:
    if words[:1] != ["vrf"]:
        return "default", words, ""
    vrf = (words[1:2] or [""])[0]
    error = (
        "" if vrf in config.vrfs() else f"% {'IP' if family == 'ip' else 'IPv6'} routing table {vrf} does not exist\n"
    )
    return vrf, words[2:], error


def _ipv4_table(vrf: str, table: dict[Network, list[Route]]) -> str:
    """Prefixes under their major network; where all have one length, it stands there alone."""
    shown = [f"\nRouting Table: {vrf}" if vrf != "default" else "", _CODES]
    majors: dict[str, list[Network]] = {}
    for prefix in sorted(table):
        majors.setdefault(_major(prefix), []).append(prefix)
    for major, prefixes in majors.items():
        lengths = {prefix.prefixlen for prefix in prefixes}
        own = [prefix for prefix in prefixes if str(prefix) == major or prefix.prefixlen < _length(prefix)]
        subnetted = not own and len(lengths) == 1
        if subnetted:
            base = major.split("/")[0]
            shown.append(f"      {base}/{lengths.pop()} is subnetted, {len(prefixes)} subnets")
        elif not (len(prefixes) == 1 and own):
            shown.append(f"      {major} is variably subnetted, {len(prefixes)} subnets, {len(lengths)} masks")
        for prefix in prefixes:
            written = str(prefix.network_address) if subnetted else str(prefix)
            shown += _ipv4_lines(f"S{'*' if prefix.prefixlen == 0 else ' '}".ljust(9) + written, table[prefix])
    return "\n".join(shown) + "\n"


def _ipv4_lines(head: str, hops: list[Route]) -> list[str]:
    lines = []
    for hop in hops:
        if hop.address:
            via = f", {hop.interface}" if hop.interface else ""
            lines.append(f"{head} [{hop.distance}/0] via {hop.address}{via}")
        else:
            lines.append(f"{head} is directly connected, {hop.interface}")
        head = " " * len(head)
    return lines


def _ipv6_table(vrf: str, table: dict[Network, list[Route]]) -> str:
    shown = [f"IPv6 Routing Table - {vrf} - {len(table)} entries", _CODES6.rstrip()]
    for prefix in sorted(table):
        hops = table[prefix]
        tag = f", tag {hops[0].tag}" if hops[0].tag else ""
        shown.append(f"S   {str(prefix).upper()} [{hops[0].distance}/0]{tag}")
        shown += [f"     {_ipv6_hop(hop)}" for hop in hops]
    return "\n".join(shown) + "\n"


def _ipv6_hop(hop: Route) -> str:
    if not hop.address:
        return f"via {hop.interface}, directly connected"
    return f"via {hop.address.upper()}" + (f", {hop.interface}" if hop.interface else "")


def _entry(prefix: Network, hops: list[Route]) -> str:
    shown = [f"Routing entry for {str(prefix).upper()}"]
    shown += [f'  Known via "static", distance {hops[0].distance}, metric 0']
    shown += [f"  Tag {hops[0].tag}"] if hops[0].tag else []
    if prefix.version == 4:
        shown.append("  Routing Descriptor Blocks:")
    else:
        shown += [f"  Route count is {len(hops)}/{len(hops)}, share count 0", "  Routing paths:"]
    for number, hop in enumerate(hops):
        via = f", via {hop.interface}" if prefix.version == 4 else f", {hop.interface}"
        where = hop.address.upper() + (via if hop.interface else "") if hop.address else ""
        star = ("* " if number == 0 else "  ") if prefix.version == 4 else "  "
        direct = f"directly connected{',' if prefix.version == 4 else ''} via {hop.interface}"
        shown += [f"  {star}{where or direct}", "      Route metric is 0, traffic share count is 1"]
        shown += [f"      Route tag {hop.tag}"] if hop.tag else []
    return "\n".join(shown) + "\n"


def _learned_entry(prefix: Network, route: Learned) -> str:
    blocks = "Routing Descriptor Blocks:" if prefix.version == 4 else "Routing paths:"
    return (
        f'Routing entry for {str(prefix).upper()}\n  Known via "bgp 65001", distance {route.distance}, metric 0\n'
        f"  Tag 65002, type external\n  Last update from {route.next_hop.upper()} 00:01:07 ago\n  {blocks}\n"
        f"  * {route.next_hop.upper()}, from {route.next_hop.upper()}, 00:01:07 ago\n"
        "      Route metric is 0, traffic share count is 1\n      AS Hops 1\n"
    )


def _longest(config: Config, vrf: str, table: dict[Network, list[Route]], wanted: Network, absent: str) -> str:
    """The route to an address; the default route is none for `show ip route ADDRESS`."""
    address = wanted.network_address
    connected = [own.network for own in config.interfaces(vrf) if address in own.network]
    covering = [prefix for prefix in table if address in prefix and prefix.prefixlen]
    if connected:
        return (
            f'Routing entry for {str(connected[0]).upper()}\n  Known via "connected", distance 0, metric 0 (connected, via'
            " interface)\n  Routing Descriptor Blocks:\n  * directly connected, via GigabitEthernet0/1\n"
        )
    if covering:
        best = max(covering, key=lambda prefix: prefix.prefixlen)
        return _entry(best, table[best])
    return absent


def _length(prefix: Network) -> int:
    first = int(prefix.network_address.packed[0])
    return 8 if first < 128 else 16 if first < 192 else 24


def _major(prefix: Network) -> str:
    if prefix.prefixlen < _length(prefix):
        return str(prefix)
    return str(prefix.supernet(new_prefix=_length(prefix)))

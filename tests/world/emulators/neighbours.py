"""The ARP and ND tables of emulated Cisco devices: as their show commands print them, and as IOS XR's models have them.

Forms: for IOS and IOS XR the "IP Addressing" and "IP Addresses and Services" command references, for NX-OS captures of
Nexus switches (an entry that nobody answered for has INCOMPLETE instead of its MAC address; a long IPv6 address stands
in a line of its own), for the models Cisco-IOS-XR-ipv4-arp-oper and -ipv6-nd-oper.
"""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_YANG = "http://cisco.com/ns/yang/Cisco-IOS-XR-"


@dataclass(frozen=True)
class Entry:
    """A neighbour; `answers` whether it was resolved."""

    address: str
    interface: str
    answers: bool


def entries(
    routes: Mapping[tuple[str, str], Collection[str]],
    connected: Iterable[tuple[_Network, str]],
    silent: Collection[str],
    vrf: str,
    version: int,
) -> list[Entry]:
    """The next hops of a VRF's static routes that are in its connected subnets: the device asks for them at once.

    Args:
        routes: the forwarding table.
        connected: the VRF's subnets and their interfaces.
        silent: addresses that do not answer.
        vrf: the VRF.
        version: 4 or 6.
    """
    hops = {hop for (own, _), found in routes.items() if own == vrf for hop in found}
    subnets = [(network, name) for network, name in connected if network.version == version]
    found: dict[_Address, Entry] = {}
    for hop in hops:
        try:
            address = ipaddress.ip_address(hop)
        except ValueError:
            continue
        for network, name in subnets:
            if address in network:
                found[address] = Entry(str(address), name, str(address) not in silent)
    return [found[address] for address in sorted(found, key=int)]


def ios(found: Sequence[Entry], version: int) -> str:
    """`show ip arp`, `show ipv6 neighbors`."""
    if version == 4:
        lines = ["Protocol  Address          Age (min)  Hardware Addr   Type   Interface"]
        for entry in found:
            end = f"{_mac(entry)}  ARPA   {entry.interface}" if entry.answers else "Incomplete      ARPA"
            lines.append(f"Internet  {entry.address:<16} {0:>8}   {end}")
    else:
        lines = ["IPv6 Address                              Age Link-layer Addr State Interface"]
        for entry in found:
            state = f"{_mac(entry)}  REACH" if entry.answers else "-               INCMP"
            lines.append(
                f"{entry.address.upper():<41} {0:>3} {state} Gi{entry.interface.removeprefix('GigabitEthernet')}"
            )
    return "\n".join(lines) + "\n"


def iosxr(found: Sequence[Entry], version: int) -> str:
    """`show arp vrf V`, `show ipv6 neighbors vrf V`; the time stands above."""
    lines = ["Sat Nov 21 16:50:00.118 UTC"]
    if version == 4:
        lines += ["", "-" * 79, "0/0/CPU0", "-" * 79]
        lines.append("Address         Age        Hardware Addr   State      Type  Interface")
        for entry in found:
            state = "Dynamic   " if entry.answers else "Incomplete"
            lines.append(f"{entry.address:<15} 00:01:07   {_mac(entry)}  {state} ARPA  {entry.interface}")
    else:
        lines.append(
            "IPv6 Address                              Age Link-layer Addr State Interface            Location"
        )
        for entry in found:
            state = "REACH" if entry.answers else "INCMP"
            lines.append(f"{entry.address:<40} {67:<4} {_mac(entry)} {state} {entry.interface:<20} 0/0/CPU0")
        lines.append(f"[Mcast adjacency]{'-':>28} 0000.0000.0000 REACH Gi0/0/0/0            0/0/CPU0")
    return "\n".join(lines) + "\n"


def nxos(found: Sequence[Entry], version: int, vrf: str) -> str:
    """`show ip arp vrf V`, `show ipv6 neighbor vrf V`."""
    flags = "\nFlags: # - Adjacencies Throttled for Glean\n       PS - Added via L2RIB, Peer Sync\n"
    if version == 4:
        head = f"IP ARP Table for context {vrf}"
        columns = "Address         Age       MAC Address     Interface       Flags"
    else:
        head = f"IPv6 Adjacency Table for VRF {vrf}"
        columns = "Address         Age       MAC Address     Pref Source     Interface"
    lines = [flags, head, f"Total number of entries: {len(found)}", columns]
    for entry in found:
        mac = _mac(entry) if entry.answers else "INCOMPLETE"
        address = f"{entry.address:<15}" if len(entry.address) < 16 else f"{entry.address}\n{'':<15}"
        source = "50   icmpv6     " if version == 6 else ""
        lines.append(f"{address} 00:01:07  {mac:<15} {source}{entry.interface:<15}")
    return "\n".join(lines) + "\n"


def models(found: Sequence[Entry], version: int) -> str:
    """The entries of both families' models; neither has a VRF."""
    if version == 4:
        listed = "".join(
            f"<entry><address>{entry.address}</address><interface-name>{entry.interface}</interface-name><media-type>"
            f"media-arpa</media-type><state>state-{'dynamic' if entry.answers else 'incomplete'}</state></entry>"
            for entry in found
        )
        node = f"<node><node-name>0/0/CPU0</node-name><entries>{listed}</entries></node>"
        return f'<arp xmlns="{_YANG}ipv4-arp-oper"><nodes>{node}</nodes></arp>'
    listed = "".join(
        f"<neighbor-interface><interface-name>{entry.interface}</interface-name><host-addresses><host-address>"
        f"<host-address>{entry.address}</host-address>"
        f"<reachability-state>{'reachable' if entry.answers else 'incomplete'}</reachability-state>"
        f"<interface-name>{entry.interface}</interface-name></host-address></host-addresses></neighbor-interface>"
        for entry in found
    )
    node = f"<node><node-name>0/0/CPU0</node-name><neighbor-interfaces>{listed}</neighbor-interfaces></node>"
    return f'<ipv6-node-discovery xmlns="{_YANG}ipv6-nd-oper"><nodes>{node}</nodes></ipv6-node-discovery>'


def interfaces(root: str, vrf: str, names: Iterable[str]) -> str:
    """The interfaces of a VRF, as ipv4-network and ipv6-network have them."""
    module = {"ipv4-network": "ipv4-io-oper", "ipv6-network": "ipv6-ma-oper"}[root]
    listed = "".join(f"<brief><interface-name>{name}</interface-name></brief>" for name in sorted(set(names)))
    return (
        f'<{root} xmlns="{_YANG}{module}"><nodes><node><node-name>0/0/CPU0</node-name><interface-data><vrfs><vrf>'
        f"<vrf-name>{vrf}</vrf-name><briefs>{listed}</briefs></vrf></vrfs></interface-data></node></nodes></{root}>"
    )


def _mac(entry: Entry) -> str:
    """A MAC address in Cisco's form; zeros for one that is not known."""
    if not entry.answers:
        return "0000.0000.0000"
    last = f"{int(ipaddress.ip_address(entry.address)) & 0xFFFF:04x}"
    return f"5254.0012.{last}"

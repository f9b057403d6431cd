"""IOS XR's neighbours over NETCONF: Cisco-IOS-XR-ipv4-arp-oper and -ipv6-nd-oper.

Their entries name interfaces and no VRF, so the interfaces of the VRF are asked for along with them, of
Cisco-IOS-XR-ipv4-io-oper and -ipv6-ma-oper.
"""

from collections.abc import Iterator
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from k8s_ecmp.model import canonical_address
from k8s_ecmp.platforms.base import Neighbour

_NAMESPACE = "http://cisco.com/ns/yang/Cisco-IOS-XR-"
_ENTRIES = {
    "arp": f'<arp xmlns="{_NAMESPACE}ipv4-arp-oper"><nodes><node><entries><entry/></entries></node></nodes></arp>',
    "ipv6": f'<ipv6-node-discovery xmlns="{_NAMESPACE}ipv6-nd-oper"><nodes><node><neighbor-interfaces>'
    "<neighbor-interface/></neighbor-interfaces></node></nodes></ipv6-node-discovery>",
}
_INTERFACES = {"arp": ("ipv4-network", "ipv4-io-oper"), "ipv6": ("ipv6-network", "ipv6-ma-oper")}
_UNRESOLVED = frozenset({"state-incomplete", "incomplete"})


def is_neighbours(command: str) -> bool:
    """Whether a show command asks for neighbours."""
    return command.startswith(("show arp ", "show ipv6 neighbors "))


def neighbour_filters(command: str) -> list[str]:
    """The subtree filters that ask what "show arp vrf V" and "show ipv6 neighbors vrf V" ask."""
    words = command.split()
    root, module = _INTERFACES[words[1]]
    return [
        _ENTRIES[words[1]],
        f'<{root} xmlns="{_NAMESPACE}{module}"><nodes><node><interface-data><vrfs><vrf><vrf-name>{escape(words[-1])}'
        f"</vrf-name><briefs><brief><interface-name/></brief></briefs></vrf></vrfs></interface-data></node></nodes></{root}>",
    ]


def read_models(answer: str) -> Iterator[Neighbour]:
    """The entries on the VRF's interfaces.

    Raises:
        SyntaxError, ValueError: it is no such reply.
    """
    root = ET.fromstring(answer)  # noqa: S314  from the router that we program
    interfaces = {_text(brief, "interface-name") for brief in root.iterfind(".//{*}brief")}
    for entry in root.iterfind(".//{*}entries/{*}entry"):
        if (interface := _text(entry, "interface-name")) in interfaces:
            yield _neighbour(entry, "address", "state", interface)
    for group in root.iterfind(".//{*}neighbor-interface"):
        if (interface := _text(group, "interface-name")) in interfaces:
            for entry in group.iterfind("{*}host-addresses/{*}host-address"):
                yield _neighbour(entry, "host-address", "reachability-state", interface)


def _neighbour(entry: ET.Element, address: str, state: str, interface: str) -> Neighbour:
    return Neighbour(canonical_address(_text(entry, address)), interface, _text(entry, state) not in _UNRESOLVED)


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(f"{{*}}{name}") or "").strip()

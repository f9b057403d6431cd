"""The routing table over NETCONF: Cisco-IOS-XR-ip-rib-ipv4-oper and -ipv6-oper, asked by the show command's words."""

from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DEFAULT_VRF, DISCARD, Prefix, canonical_address

_ROOTS = {4: ("rib", "Cisco-IOS-XR-ip-rib-ipv4-oper"), 6: ("ipv6-rib", "Cisco-IOS-XR-ip-rib-ipv6-oper")}
VRFS_FILTER = f'<rib xmlns="http://cisco.com/ns/yang/{_ROOTS[4][1]}"><vrfs><vrf><vrf-name/></vrf></vrfs></rib>'
"""The subtree filter for the names of the VRFs, of which a router that shows its RIB at all has one."""
_NO_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104


class Question(NamedTuple):
    """What a show command asks for. `what`: "static", a prefix, or an address."""

    table: str
    vrf: str
    family: int
    what: str

    @classmethod
    def of(cls, command: str) -> "Question":
        """Reads "show route [vrf V] ipv4 unicast WHAT" and "show cef [vrf V] ipv4 [WHAT]"."""
        words = command.split()[1:]
        table, vrf = words.pop(0), DEFAULT_VRF
        if words[0] == "vrf":
            vrf = words[1]
            del words[:2]
        family = 6 if words.pop(0) == "ipv6" else 4
        return cls(table, vrf, family, "".join(word for word in words if word != "unicast") or "static")

    @property
    def command(self) -> str:
        """The command that asks it."""
        words = ["show", self.table, *(("vrf", self.vrf) if self.vrf != DEFAULT_VRF else ()), f"ipv{self.family}"]
        if self.table == "route":
            words += ["unicast", self.what]
        elif self.what != "static":
            words.append(self.what)
        return " ".join(words)


class Entry(NamedTuple):
    """A route: labels of its next hops, as `NextHop.table_label` has them; `distance` None where it is not shown."""

    prefix: Prefix
    protocol: str
    labels: frozenset[str]
    distance: int | None = None


def rib_filter(command: str) -> str:
    """The subtree filter that asks what the show command asks; for static routes and for addresses the whole table."""
    asked = Question.of(command)
    root, module = _ROOTS[asked.family]
    address, _, length = asked.what.partition("/")
    route = (
        f"<route><address>{address}</address><prefix-length>{length}</prefix-length></route>" if length else "<route/>"
    )
    return (
        f'<{root} xmlns="http://cisco.com/ns/yang/{module}"><vrfs><vrf><vrf-name>{escape(asked.vrf)}</vrf-name><afs><af>'
        f"<af-name>IPv{asked.family}</af-name><safs><saf><saf-name>Unicast</saf-name><ip-rib-route-table-names>"
        f"<ip-rib-route-table-name><route-table-name>default</route-table-name><routes>{route}</routes>"
        "</ip-rib-route-table-name></ip-rib-route-table-names></saf></safs></af></afs></vrf></vrfs>"
        f"</{root}>"
    )


def is_blank(answer: str) -> bool:
    """Whether a reply holds no data: nothing matches, or it was left out because the login may not see it (RFC 8341).

    Raises:
        TableUnreadable: it is no reply.
    """
    try:
        return not any(local_name(element) == "vrf-name" and (element.text or "").strip() for element in parsed(answer))
    except ET.ParseError as error:
        raise TableUnreadable(f"the router's answer about its RIB is no XML: {error}") from None


def parsed(answer: str) -> Iterator[ET.Element]:
    """All elements of a reply; raises `ElementTree.ParseError` where it is none."""
    return ET.fromstring(answer).iter()  # noqa: S314  from the router that we program


def read_rib(command: str, answer: str) -> Iterator[Entry]:
    """The routes in a reply.

    Raises:
        TableUnreadable: it is no such reply.
    """
    try:
        elements = parsed(answer)
    except ET.ParseError as error:
        raise TableUnreadable(f"the router's answer to {command!r} is no XML: {error}") from None
    for route in elements:
        if local_name(route) != "route" or route.find("{*}protocol-name") is None:
            continue
        try:
            prefix = Prefix.parse(f"{_text(route, 'prefix')}/{_text(route, 'prefix-length-xr')}", strict=False)
            paths = [path for path in route.iter() if local_name(path).endswith("-rib-edm-path")]
            labels = frozenset(_label(path) for path in paths)
            distance = int(text) if (text := _text(route, "distance")) else None
        except ValueError as error:
            raise TableUnreadable(f"the router's answer to {command!r}: {error}") from None
        yield Entry(prefix, _text(route, "protocol-name"), labels, distance)


def _label(path: ET.Element) -> str:
    address, interface, vrf = (_text(path, name) for name in ("address", "interface-name", "next-hop-vrf-name"))
    if interface.lower().startswith("null"):
        return DISCARD
    label = interface if address in _NO_ADDRESS else canonical_address(address)
    return f"{label} vrf {vrf}" if vrf else label


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(f"{{*}}{name}") or "").strip()


def local_name(element: ET.Element) -> str:
    """The name without its namespace."""
    return str(element.tag).rpartition("}")[2]

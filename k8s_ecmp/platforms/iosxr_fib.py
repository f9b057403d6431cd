"""The forwarding table over NETCONF: Cisco-IOS-XR-fib-common-oper (IOS XR 6.0 on), asked by the show command's words.

Every node (route processor, line card) has a table of its own, and line cards need not have every VRF; as `show cef`
does, one route processor is asked.
"""

from collections.abc import Iterator
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DISCARD, Prefix, canonical_address
from k8s_ecmp.platforms.iosxr_rib import Question, local_name, parsed

_MODULE = "http://cisco.com/ns/yang/Cisco-IOS-XR-fib-common-oper"
NODES_FILTER = f'<fib xmlns="{_MODULE}"><nodes><node><node-name/></node></nodes></fib>'
"""The subtree filter for the names of the nodes; blank for a login that may not see the FIB."""
_WANTED = (
    "<prefix/><prefix-length/><fib-entry-path><fib-sh-tbl-path><brief-next-hop-prefix/><brief-interface-handle/>"
    "<backup-path/></fib-sh-tbl-path></fib-entry-path>"
)
_DROPS = frozenset({"fib-adjacency-null", "fib-adjacency-drop", "fib-adjacency-discard", "nh-null0", "nh-drop"})
_NO_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104


def fib_node(answer: str) -> str:
    """The node to ask, of those that a reply to `NODES_FILTER` names: a route processor; "" where there is none.

    Raises:
        TableUnreadable: it is no reply.
    """
    names = sorted((element.text or "").strip() for element in _elements(answer) if local_name(element) == "node-name")
    return next((name for name in names if "/R" in name), names[0] if names else "")


def fib_filter(command: str, node: str) -> str:
    """The subtree filter that asks a node what the show command asks."""
    asked = Question.of(command)
    address, _, length = asked.what.partition("/")
    entry = f"<prefix>{address}</prefix><prefix-length>{length}</prefix-length>" if length else _WANTED
    return (
        f'<fib xmlns="{_MODULE}"><nodes><node><node-name>{escape(node)}</node-name><protocols><protocol>'
        f"<protocol-name>ipv{asked.family}</protocol-name><vrfs><vrf><vrf-name>{escape(asked.vrf)}</vrf-name>"
        f"<ip-prefix-briefs><ip-prefix-brief>{entry}</ip-prefix-brief></ip-prefix-briefs></vrf></vrfs></protocol>"
        "</protocols></node></nodes></fib>"
    )


def read_fib(command: str, answer: str) -> Iterator[tuple[Prefix, frozenset[str]]]:
    """The next hops of each prefix in a reply: addresses, interfaces, "discard".

    Raises:
        TableUnreadable: it is no such reply.
    """
    for entry in _elements(answer):
        if local_name(entry) != "ip-prefix-brief":
            continue
        try:
            yield (
                Prefix.parse(f"{_text(entry, 'prefix')}/{_text(entry, 'prefix-length')}", strict=False),
                frozenset(label for path in entry.iter() if _is_path(path) for label in _labels(path)),
            )
        except ValueError as error:
            raise TableUnreadable(f"the router's answer to {command!r}: {error}") from None


def _is_path(element: ET.Element) -> bool:
    return local_name(element) == "fib-sh-tbl-path" and _text(element, "backup-path") != "true"


def _labels(path: ET.Element) -> Iterator[str]:
    address = _text(path, "brief-next-hop-prefix").partition("/")[0]
    interface = _text(path, "brief-interface-handle")
    if interface.lower().startswith("null") or any((element.text or "").strip() in _DROPS for element in path.iter()):
        yield DISCARD
    elif address not in _NO_ADDRESS:
        yield canonical_address(address)
    elif interface:
        yield interface


def _elements(answer: str) -> Iterator[ET.Element]:
    try:
        yield from parsed(answer)
    except ET.ParseError as error:
        raise TableUnreadable(f"the router's answer about its forwarding table is no XML: {error}") from None


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(f"{{*}}{name}") or "").strip()

"""What a Junos router forwards: `show route forwarding-table`, as the CLI prints it.

Forms as in the Junos CLI reference ("show route forwarding-table") and in outputs of 12.3 to 22.4.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from k8s_ecmp.errors import TableUnreadable
from k8s_ecmp.model import DISCARD, Prefix, canonical_address
from k8s_ecmp.platforms.base import Installed, Neighbour
from k8s_ecmp.platforms.words import is_number

_TABLE = re.compile(r"Routing table: (?P<table>\S+)|(?P<family>Internet6?|ISO|MPLS):")
_KINDS = {"dscd": DISCARD, "rjct": DISCARD}
_LISTS = frozenset({"ulst", "indr"})  # whose next hops are on the lines behind
_UNICAST_WORDS = 4  # "ucst", index, references, interface
_NONE: frozenset[str] = frozenset()
_NEIGHBOUR = "a next hop shown by its MAC address"
_MAC = re.compile(r"(?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2}")


class Forwarded(NamedTuple):
    """A route in the forwarding table.

    Labels of its next hops, how many are shown by their MAC address, those that wait for an answer to ARP or ND (type
    `hold`), and a line of a next hop that cannot be read.
    """

    labels: frozenset[str] = _NONE
    neighbours: int = 0
    held: frozenset[Neighbour] = frozenset()
    unread: str = ""


def in_force(key: tuple[str, Prefix], found: Installed, route: Forwarded) -> Installed:
    """With what the forwarding table has of a static route.

    A MAC address accounts for one next hop of the routing table that is not shown by its own address. Without a policy
    for load balancing the router forwards by one next hop alone (type `ucst`).

    Raises:
        TableUnreadable: next hops are missing, and a line cannot be read that may have them.
    """
    rib = found.rib
    if not rib:
        return found
    labels, neighbours, held, unread = route
    found = found._replace(neighbours=held)
    unshown = len(rib - labels)
    if unread and neighbours < unshown:
        raise TableUnreadable(
            f"the router's forwarding table has a next hop of {key[1]} in an unexpected form: {unread!r}"
        )
    if neighbours == 0:
        return found._replace(fib=labels)
    if neighbours >= unshown:
        return found._replace(fib=labels | rib | ({_NEIGHBOUR} if neighbours > unshown else _NONE))
    count = len(rib) - unshown + neighbours
    number = "one" if count == 1 else str(count)
    return found._replace(
        fib=labels,
        shortage=f"only {number} of {len(rib)} next hops {'is' if count == 1 else 'are'} in the forwarding table: "
        "is a load-balance policy exported to it?",
    )


def answer_lines(command: str, answer: str) -> list[str]:
    """The lines of an answer.

    Raises:
        TableUnreadable: it is an error message.
    """
    lines = answer.splitlines()
    for line in lines:
        if line.lstrip().startswith(("error:", "syntax error", "unknown command", "invalid")):
            raise TableUnreadable(f"the router's answer to {command!r} is an error: {line.strip()[:80]!r}")
    return lines


def read_forwarding(command: str, answer: str) -> Iterator[tuple[Prefix, Forwarded]]:
    """Each destination of a route (type `user`) with its unicast next hops.

    Columns: Destination, Type, RtRef, Next hop, Type, Index, NhRef, Netif. A route over several has type `ulst` and its
    next hops on the lines behind it; a resolved neighbour may be shown by its MAC address. Tables of the router's own
    ("__master.anon__") may follow.

    Raises:
        TableUnreadable: it is no forwarding table.
    """
    prefix: Prefix | None = None
    typed = wrapped = False  # the type of a long destination, or of a long next hop, is on the next line
    shown = inner = False
    found: dict[Prefix, Forwarded] = {}
    for line in answer_lines(command, answer):
        words = line.split()
        if not words:
            prefix = None
        table = _TABLE.match(line.strip())
        if table is not None and table["table"]:
            inner = table["table"].startswith("__")
        shown = shown or table is not None or words[:1] == ["Destination"]
        if inner or not words or table is not None or words[0] in ("Destination", "Enabled"):
            continue
        if line[0] not in " \t":
            prefix, words, typed, wrapped = _destination(command, words[0]), words[1:], False, False
        if words and not typed:
            prefix, typed = prefix if words[0] == "user" else None, True
        if prefix is not None:
            labels, neighbours, held, unread = found.get(prefix, Forwarded())
            macs = sum(_MAC.fullmatch(word) is not None for word in words)
            named = _labels(words)
            if not (named or macs or wrapped or _LISTS.intersection(words) or _bare(words)):
                named = _through(words)
                unread = unread or ("" if named else line.strip())
            wrapped = bool(named or macs) and (bool(_labels(words[-1:])) or _MAC.fullmatch(words[-1]) is not None)
            found[prefix] = Forwarded(labels | named, neighbours + macs, held | _held(words), unread)
    if not shown and answer.strip():
        raise TableUnreadable(f"the router's answer to {command!r} has an unexpected form: {answer.strip()[:80]!r}")
    yield from found.items()


def _destination(command: str, text: str) -> Prefix | None:
    if text == "default":
        text = "::/0" if "inet6" in command.split() else "0.0.0.0/0"
    try:
        return Prefix.parse(text, strict=False)
    except ValueError:
        return None


def _held(words: Sequence[str]) -> set[Neighbour]:
    """The next hop of a line that is "waiting to be resolved" (Junos CLI reference, "show route forwarding-table")."""
    if "hold" not in words:
        return set()
    interface = words[-1] if len(words) > words.index("hold") + 3 else ""
    return {Neighbour(address, interface, resolved=False) for address in _labels(words)}


def _bare(words: Sequence[str]) -> bool:
    """Whether nothing of a next hop stands on a line: it may begin with the destination's type and its references."""
    return not words or (words[0] == "user" and all(map(is_number, words[1:])))


def _through(words: Sequence[str]) -> set[str]:
    """The interface of a next hop that has no address: type, index, references, interface."""
    at = words.index("ucst") if "ucst" in words else len(words)
    return {words[-1]} if len(words) == at + _UNICAST_WORDS else set()


def _labels(words: Sequence[str]) -> set[str]:
    found = set()
    for word in words:
        if word in _KINDS:
            found.add(_KINDS[word])
        elif "." in word or ":" in word:
            try:
                found.add(canonical_address(word))
            except ValueError:
                continue
    return found

"""Static routes as they are desired, as they run on a router, and the change from one to the other."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple, Self

import msgspec

from k8s_ecmp.errors import ParseError
from k8s_ecmp.model.prefixes import Prefix, address_key

DEFAULT_VRF = "default"
DISCARD = "discard"

_LINE_END = re.compile(r"\r\n|\n|\r")

RouteKind = Literal["aggregate", "host", "pod-cidr", "discard"]


class DesiredRoute(msgspec.Struct, frozen=True, gc=False):
    """A prefix that shall be routed, before any router's own selection.

    `nodes` are the names of the nodes, sorted; `next_hops` their annotated or first addresses, sorted as numbers.
    """

    prefix: Prefix
    kind: RouteKind
    nodes: tuple[str, ...]
    next_hops: tuple[str, ...]
    sources: tuple[str, ...]


class NextHop(msgspec.Struct, frozen=True, gc=False):
    """One next hop of a static route, as written on a router or to be written.

    `distance`, `tag` and `name` are the values in force for this hop, None where nothing is written. `options` keeps
    every other word that was written; a hop that has any is never ours.
    """

    address: str | None = None
    interface: str | None = None
    vrf: str | None = None
    discard: bool = False
    distance: int | None = None
    tag: int | None = None
    name: str | None = None
    options: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How people and JSON see it: the address, "discard", or interface and address."""
        if self.discard:
            return DISCARD
        parts = [part for part in (self.interface, self.address) if part]
        return " ".join(parts) + (f" vrf {self.vrf}" if self.vrf else "")

    @property
    def details(self) -> str:
        """The label, and every attribute and option that is set: "10.0.0.1 tag 4201 name prod"."""
        attributes = {"distance": self.distance, "tag": self.tag, "name": self.name}
        words = (f"{word} {value}" for word, value in attributes.items() if value is not None)
        return " ".join([self.label, *words, *self.options])

    @property
    def table_label(self) -> str:
        """How routing tables show it: an interface beside an address is what the router found, written or not."""
        return msgspec.structs.replace(self, interface=None).label if self.address and self.interface else self.label


class HopRecord(NextHop, frozen=True, gc=False, omit_defaults=True):
    """A next hop as the journal and plan files keep it: with everything on it, and nothing that is not set."""

    @classmethod
    def of(cls, hop: NextHop) -> Self:
        return cls(*(getattr(hop, name) for name in cls.__struct_fields__))

    def hop(self) -> NextHop:
        return NextHop(*(getattr(self, name) for name in self.__struct_fields__))


def sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Unique labels of next hops: addresses in numeric order, then all others as text."""
    unique = set(labels)
    return tuple(sorted(unique, key=_label_key) if len(unique) > 1 else unique)


def _label_key(label: str) -> tuple[int, bytes]:
    try:
        return address_key(label)
    except ValueError:
        return 99, label.encode()


class StaticRoute(msgspec.Struct, frozen=True, gc=False):
    """All static next hops of one prefix in one VRF.

    `lines` are the 1-based source lines, one for each hop, empty when the route was not read from text.
    `disqualified` says why the route can never be ours whatever its marks are ("inactive", "inherited from group X").
    """

    prefix: Prefix
    vrf: str
    next_hops: tuple[NextHop, ...]
    lines: tuple[int, ...] = ()
    disqualified: str | None = None


def text_lines(text: str) -> list[str]:
    """Lines without their ends, split at LF, CRLF and CR alone: a form feed in a banner ends no line on a router."""
    return _LINE_END.split(text) if "\r" in text else text.split("\n")


class ParseNote(NamedTuple):
    """A line that was not understood, or not as it is written; `line` is 1-based. People are told of it."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class RunningRoutes:
    """The static routes of one router, ours and others', with the text that they were read from.

    `text` is the whole configuration with its secrets, so the repr leaves it out. `unreadable` are static lines whose
    prefix cannot be read, each with the VRF that it stands in: of that VRF's routes nothing can be said. `closed` says
    why no next hop can be added in an address family (4 or 6), though what stands can be taken away.
    """

    routes: tuple[StaticRoute, ...]
    text: str = field(default="", repr=False)
    notes: tuple[ParseNote, ...] = ()
    unreadable: tuple[tuple[str, ParseNote], ...] = ()
    closed: tuple[tuple[int, str], ...] = ()

    def expect_readable(self, vrf: str) -> None:
        """Looks whether every static line of a VRF was understood so far that its prefix is known.

        Raises:
            ParseError: one was not; it may be about any prefix.
        """
        for its_vrf, note in self.unreadable:
            if its_vrf == vrf:
                raise ParseError(
                    f"{note.text!r}: {note.reason}", line=note.line, remedy="correct or remove the line on the router"
                )

    @cached_property
    def by_prefix(self) -> Mapping[tuple[str, Prefix], StaticRoute]:
        """(VRF, prefix) -> route."""
        return MappingProxyType({(route.vrf, route.prefix): route for route in self.routes})

    @cached_property
    def source(self) -> tuple[str, ...]:
        """The lines of `text`, without their ends; line n of a route is `source[n - 1]`."""
        return tuple(text_lines(self.text))

    def get(self, vrf: str, prefix: Prefix) -> StaticRoute | None:
        return self.by_prefix.get((vrf, prefix))

    def __iter__(self) -> Iterator[StaticRoute]:
        return iter(self.routes)

    def __len__(self) -> int:
        return len(self.routes)


Action = Literal["create", "update", "delete"]


class RouteChange(msgspec.Struct, frozen=True, gc=False):
    """One prefix in one VRF with its whole next-hop set before and after: the unit of change.

    `before` are the hops as they run (with every attribute), `after` the hops as they shall be written.
    """

    action: Action
    vrf: str
    prefix: Prefix
    before: tuple[NextHop, ...]
    after: tuple[NextHop, ...]
    reasons: tuple[str, ...] = ()

    @classmethod
    def between(
        cls, vrf: str, prefix: Prefix, before: tuple[NextHop, ...], after: tuple[NextHop, ...]
    ) -> "RouteChange":
        """The change from one set of hops to another, of which not both are empty."""
        action: Action = "create" if not before else "update" if after else "delete"
        return cls(action, vrf, prefix, before, after)

    @property
    def add(self) -> tuple[str, ...]:
        """Labels of the hops that the prefix gains."""
        kept = {hop.label for hop in self.before}
        return tuple(hop.label for hop in self.after if hop.label not in kept)

    @property
    def remove(self) -> tuple[str, ...]:
        """Labels of the hops that the prefix loses, sorted: the order of the router's lines says nothing."""
        return sorted_labels({hop.label for hop in self.before}.difference(self.next_hops))

    @property
    def next_hops(self) -> tuple[str, ...]:
        """Labels of the hops after the change."""
        return tuple(hop.label for hop in self.after)

    def inverse(self) -> "RouteChange":
        """The change that takes this one back."""
        return RouteChange.between(self.vrf, self.prefix, self.after, self.before)

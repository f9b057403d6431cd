"""The nouns that everything else speaks of: frozen, comparable, without behaviour that does I/O.

Addresses are canonical text everywhere (RFC 5952 for IPv6); prefixes are `Prefix`, which sorts by family, address and
length. Times are aware `datetime`s in UTC. Durations carry their unit in the name.
"""

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from k8s_ecmp.errors import ParseError

DEFAULT_VRF = "default"
DISCARD = "discard"

_LINE_END = re.compile(r"\r\n|\n|\r")

Family = Literal[4, 6]
_FAMILIES: dict[int, tuple[socket.AddressFamily, int]] = {4: (socket.AF_INET, 32), 6: (socket.AF_INET6, 128)}


@lru_cache(maxsize=1 << 16)
def address_key(text: str) -> tuple[int, bytes]:
    """Sort key of an address: family (4 or 6), then the address as a number in network order.

    Raises:
        ValueError: `text` is no IPv4 or IPv6 address (no zone, no prefix length, no leading zeros).
    """
    version = 6 if ":" in text else 4
    try:
        return version, socket.inet_pton(_FAMILIES[version][0], text)
    except (OSError, UnicodeEncodeError):
        raise ValueError(f"{text!r} is not an IP address") from None


@lru_cache(maxsize=1 << 16)
def canonical_address(text: str) -> str:
    """`text` in canonical form: dotted quad, or RFC 5952.

    Raises:
        ValueError: as `address_key`.
    """
    version, packed = address_key(text)
    return socket.inet_ntop(_FAMILIES[version][0], packed)


def address_family(text: str) -> Family:
    """4 or 6, for an address that is known to be one."""
    return 6 if ":" in text else 4


class Prefix(msgspec.Struct, frozen=True, order=True, gc=False):
    """An IPv4 or IPv6 prefix. `network` is the address as an integer, host bits zero."""

    family: int
    network: int
    length: int

    @classmethod
    def parse(cls, text: str, *, strict: bool = True) -> "Prefix":
        """Reads "10.0.0.0/8", "fd00::/64", or a bare address as its host prefix.

        Args:
            text: the prefix in either family.
            strict: refuse host bits; otherwise they are cleared.

        Raises:
            ValueError: not a prefix, or host bits are set and `strict`.
        """
        return _parse_prefix(text, strict)

    @classmethod
    def host(cls, address: str) -> "Prefix":
        """The /32 or /128 of an address."""
        version, packed = address_key(address)
        return cls(version, int.from_bytes(packed, "big"), len(packed) * 8)

    @property
    def bits(self) -> int:
        """32 or 128."""
        return 32 if self.family == 4 else 128

    @property
    def address(self) -> str:
        """The network address as canonical text."""
        return socket.inet_ntop(_FAMILIES[self.family][0], self.network.to_bytes(self.bits // 8, "big"))

    def covers(self, other: "Prefix") -> bool:
        """Whether `other` is this prefix or lies inside it."""
        return (
            self.family == other.family
            and self.length <= other.length
            and (self.network ^ other.network) >> (self.bits - self.length) == 0
        )

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"


@lru_cache(maxsize=1 << 16)
def _parse_prefix(text: str, strict: bool) -> Prefix:
    address, slash, length_text = text.partition("/")
    version, packed = address_key(address)
    bits = len(packed) * 8
    if slash and not (length_text.isascii() and length_text.isdigit()):
        raise ValueError(f"{text!r} is not a prefix: the length is not a number")
    length = int(length_text) if slash else bits
    if length > bits:
        raise ValueError(f"{text!r} is not a prefix: the length is over {bits}")
    value = int.from_bytes(packed, "big")
    network = value >> (bits - length) << (bits - length)
    if strict and network != value:
        raise ValueError(f"{text!r} has host bits set; the prefix is {Prefix(version, network, length)}")
    return Prefix(version, network, length)


# --- routers -----------------------------------------------------------------------------------------------------


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
    def table_label(self) -> str:
        """How routing tables show it: an interface beside an address is what the router found, written or not."""
        return msgspec.structs.replace(self, interface=None).label if self.address and self.interface else self.label


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
        """Labels of the hops that the prefix loses."""
        kept = {hop.label for hop in self.after}
        return tuple(hop.label for hop in self.before if hop.label not in kept)

    @property
    def next_hops(self) -> tuple[str, ...]:
        """Labels of the hops after the change."""
        return tuple(hop.label for hop in self.after)

    def inverse(self) -> "RouteChange":
        """The change that takes this one back."""
        return RouteChange.between(self.vrf, self.prefix, self.after, self.before)


class Conflict(msgspec.Struct, frozen=True):
    """A desired prefix at which a route stands that is not ours; it is left alone."""

    vrf: str
    prefix: Prefix
    reason: str


class Contested(msgspec.Struct, frozen=True):
    """What each router has at a prefix at which at least one has a conflict: names of routers.

    `ours`: our route; `theirs`: a route that is not ours; `none`: no static route; `unknown`: it could not be read.
    """

    prefix: Prefix
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class GuardTrip(msgspec.Struct, frozen=True):
    """A guard that stopped something. `router` None: everything; `prefix` set: that prefix alone."""

    guard: str
    router: str | None
    prefix: Prefix | None
    detail: str


RouterStatus = Literal["in-sync", "changes", "conflict", "blocked", "failed"]


Hashing = Literal["modulo", "hash-threshold", "resilient"]
"""How a router chooses a flow's next hop; see `core.flows`."""


class FlowShift(msgspec.Struct, frozen=True, gc=False):
    """What a change of next hops does to the flows of one prefix.

    `lose` and `gain` count next hops. The share of the prefix's flows whose next hop is another one afterwards is from
    `moved_min` to `moved_max` (0 to 1); `unavoidable` is what it would be with resilient hashing. `resilient` says
    whether that is configured.
    """

    vrf: str
    prefix: Prefix
    lose: int
    gain: int
    moved_min: float
    moved_max: float
    unavoidable: float
    resilient: bool


class Flows(msgspec.Struct, frozen=True):
    """What a plan does to the flows of one router.

    `hashing` is how it chooses next hops unless its configuration says otherwise, None where neither is known;
    `configurable` whether its platform has resilient hashing for static routes. `shifts` are the prefixes that have
    next hops before and after, but others.
    """

    hashing: Hashing | None
    configurable: bool
    shifts: tuple[FlowShift, ...]


class Undo(msgspec.Struct, frozen=True):
    """How a commit on a router is taken back where what follows it fails.

    `timer_s`: the router takes it back by itself after so many seconds unless it is confirmed; 0: it has no such timer.
    `by`: who takes back what fails while k8s-ecmp still runs: "router", which goes back to its state before the commit,
    or "inverse": the inverse of the change is written.
    """

    timer_s: int
    by: Literal["router", "inverse"]


class Standing(msgspec.Struct, frozen=True):
    """The prefixes of a router's VRF that have static routes, `here`, and ours among them."""

    here: frozenset[Prefix]
    ours: frozenset[Prefix]


class RouterPlan(msgspec.Struct, frozen=True):
    """What shall happen on one router.

    `standing` is for comparing routers while a plan is made (`core.contested`); the finished plan does not have it.
    """

    name: str
    platform: str
    status: RouterStatus
    fingerprint: str | None = None
    changes: tuple[RouteChange, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    guards: tuple[GuardTrip, ...] = ()
    skipped: tuple["Skipped", ...] = ()
    commands: tuple[str, ...] = ()
    diff: str = ""
    diff_source: Literal["predicted", "device"] = "predicted"
    error: str | None = None
    flows: Flows | None = None
    failure_domain: str | None = None
    undo: Undo | None = None
    standing: Standing | None = None


class Rollout(msgspec.Struct, frozen=True):
    """How a plan goes over the routers, as the settings' `rollout` has it; `core.waves.order` makes the waves of it."""

    canary: int
    parallel: int
    pause_s: float
    on_failure: Literal["stop", "rollback-wave"]
    confirm_within_s: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What shall happen on all routers, and why something shall not.

    `cluster_digest` is the "sha256:..." of the desired routes' canonical JSON; `holds` are the guards that stop every
    router; `overrides` names those that somebody switched off. Routers are in the inventory's order. `contested` has
    each prefix of a conflict once. `rollout` None: by the settings of whoever applies it.
    """

    created: datetime
    expires: datetime
    owner: str
    tag: int
    cluster_source: str
    cluster_digest: str
    routers: tuple[RouterPlan, ...]
    holds: tuple[GuardTrip, ...] = ()
    skipped: tuple["Skipped", ...] = ()
    overrides: tuple[str, ...] = ()
    contested: tuple[Contested, ...] = ()
    rollout: Rollout | None = None

    @property
    def guards(self) -> tuple[GuardTrip, ...]:
        """All guards that tripped, those for everything first."""
        return self.holds + tuple(trip for router in self.routers for trip in router.guards)


Outcome = Literal["committed", "unchanged", "blocked", "refused", "rolled-back", "failed", "not-attempted"]


class CommitResult(msgspec.Struct, frozen=True):
    """What became of one router's plan.

    `outcome`: "committed" (verified and confirmed), "unchanged", "blocked" (by a guard), "refused" (the router is no
    longer what was reviewed), "rolled-back", "failed" (`error` says what is left), "not-attempted". `recorded`: false
    where the journal could not take it; `warnings` say why.

    `remedy`: what to do about the error, which `error` says too. `undone`: who took the commit back, as in `Undo.by`;
    None where nothing was. `step`: how far the change came ("connect", "read", "stage", "commit", "connect again",
    "verify", "confirm"), None where nothing was begun.
    """

    router: str
    outcome: Outcome
    changes: int = 0
    elapsed_s: float = 0.0
    error: str | None = None
    warnings: tuple[str, ...] = ()
    recorded: bool = True
    remedy: str | None = None
    undone: Literal["router", "inverse"] | None = None
    step: str | None = None


# --- the cluster -------------------------------------------------------------------------------------------------


class Condition(msgspec.Struct, frozen=True):
    """A node condition: "True", "False" or "Unknown", and since when (None: not said)."""

    status: str
    since: datetime | None = None


class Taint(NamedTuple):
    """A node taint; `value` is "" where none is written."""

    key: str
    value: str
    effect: str


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What of a v1 Node matters. `ready` None: the node never reported."""

    name: str
    internal_ips: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    deleting: bool = False
    ready: Condition | None = None
    network_unavailable: Condition | None = None
    pod_cidrs: tuple[Prefix, ...] = ()
    created: datetime | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What of a v1 Service matters. Addresses are canonical; "None" and empty cluster IPs are left out."""

    namespace: str
    name: str
    type: str = "ClusterIP"
    headless: bool = False
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    load_balancer_notes: tuple[str, ...] = ()
    internal_local: bool = False
    external_local: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of a slice; nulls already read as the API defines them (ready and serving null are true)."""

    node: str | None
    ready: bool = True
    serving: bool = True
    terminating: bool = False


class EndpointSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A discovery.k8s.io/v1 EndpointSlice. `service` is "namespace/name", None where no label says it."""

    namespace: str
    name: str
    service: str | None
    family: Family
    endpoints: tuple[Endpoint, ...] = ()


class Skipped(NamedTuple):
    """Something that was left out, and why. `object` is "Kind namespace/name" or "Kind name"."""

    object: str
    reason: str


class ServiceCIDR(NamedTuple):
    """A service CIDR and where it is known from ("settings", "ServiceCIDR kubernetes", "ConfigMap ...")."""

    prefix: Prefix
    origin: str


@dataclass(frozen=True)
class ClusterState:
    """One consistent view of the cluster. `skipped` lists the objects that could not be read."""

    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    slices: tuple[EndpointSlice, ...] = ()
    service_cidrs: tuple[ServiceCIDR, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    source: str = ""
    warnings: tuple[str, ...] = field(default=())
    drains: Mapping[str, str] = field(default_factory=dict)
    """Node -> reason, of drain signals that stand on no Node object (kured's lock)."""


# --- decisions ---------------------------------------------------------------------------------------------------

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


def sorted_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Unique addresses in numeric order, IPv4 first."""
    return tuple(sorted(set(addresses), key=address_key))

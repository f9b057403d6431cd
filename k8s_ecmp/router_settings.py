"""What the inventory says of a router -> frozen, validated structs. `load_router_settings` is the door."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from k8s_ecmp.strict.builder import Builder, Section
from k8s_ecmp.strict.items import Problem, from_python, raise_problems
from k8s_ecmp.strict.kinds import AbsolutePath, Address, Asn, Cidr, Community, Port, Seconds, SelectorText, Word

MED_MAX = 4294967295
MED_STEP = 100
"""Between the MEDs of two replicas."""


class NextHopSettings(Section, frozen=True):
    """Which nodes' addresses a router prefers; below `minimum` nodes it takes every node's."""

    subnets: tuple[Cidr, ...] = ()
    """Empty, or empty in a family: every address of it."""
    node_selector: SelectorText = ""
    minimum: Annotated[int, Meta(ge=0)] = 1


class BgpReplica(Section, frozen=True):
    """One of several ExaBGP that announce the same to a router, each on a machine of its own, beside its own daemon."""

    local_addresses: tuple[Address, ...]
    """As in `BgpSettings`, of the machine that this replica runs on."""
    router_id: Address | None = None
    """null: the first local address, where that is IPv4."""


class BgpSettings(Section, frozen=True):
    """How ExaBGP announces routes to a router with `mode: bgp`; nothing of it concerns one with static routes."""

    folder: AbsolutePath | None = None
    """What one ExaBGP keeps on disk, null: ~/.local/state/k8s-ecmp/bgp; routers with the same folder share one."""
    local_as: Asn | None = None
    peer_as: Asn | None = None
    peer_address: Address | None = None
    """null: the host's hostname, which is an address then."""
    local_addresses: tuple[Address, ...] = ()
    """One: a session that carries all paths of a prefix (RFC 7911). Several: as many sessions, with one path each."""
    router_id: Address | None = None
    """null: the first local address, where that is IPv4."""
    replicas: tuple[BgpReplica, ...] = ()
    """Instead of local_addresses and router_id: primary, standby, ... in this order, told apart by MED."""
    hand_over_s: Annotated[float, Meta(ge=2, le=3600)] = 10
    """A replica stands back after its daemon has not followed the cluster for so long."""
    port: Port = 179
    families: tuple[Literal["ipv4", "ipv6"], ...] = ("ipv4", "ipv6")
    hold_time_s: Annotated[int, Meta(ge=3, le=65535)] = 9
    graceful_restart_s: Annotated[int, Meta(ge=0, le=4095)] = 120
    """For how long the peer keeps the routes of an ExaBGP that is restarted; 0: not at all. Of replicas, the last's."""
    password_file: AbsolutePath | None = None
    """The session's MD5 key (RFC 2385), one line; the file is for its owner alone."""
    ttl_security: bool = False
    """Packets are sent with TTL 255 and taken with no less (RFC 5082); for peers on a common network."""
    ttl: Annotated[int, Meta(ge=1, le=255)] | None = None
    """TTL of packets to a peer that is several hops away; null: the system's."""
    med: Annotated[int, Meta(ge=0, le=MED_MAX)] | None = None
    communities: tuple[Community, ...] = ()
    read_receiver: bool = False
    """Whether `verify` and commits look at the router's own table, over the host's platform and login."""
    dead_man_s: Seconds = 900
    """The daemon's routes are withdrawn when it was away for so long without having been stopped; 0: never."""

    @property
    def state_folder(self) -> Path:
        """`folder`, or what it is where nothing is said."""
        return Path(self.folder or "~/.local/state/k8s-ecmp/bgp").expanduser()

    @property
    def members(self) -> tuple[BgpReplica, ...]:
        """The replicas; the only one where none are named."""
        return self.replicas or (BgpReplica(local_addresses=self.local_addresses, router_id=self.router_id),)


class RouterSettings(Section, frozen=True):
    """`data.k8s_ecmp` of a host in the inventory, its groups' values beneath the host's own."""

    mode: Literal["static", "bgp"] = "static"
    vrf: Word = "default"
    distance: Annotated[int, Meta(ge=1, le=255)] | None = None
    """Administrative distance (Junos: preference); null: the platform's own, nothing is written."""
    max_paths: Annotated[int, Meta(ge=1)] = 64
    """Next hops of one prefix; more are cut by rendezvous hashing. What the platform takes at most is its own limit."""
    failure_domain: Word | None = None
    """Routers of one domain (a pair) are never changed at the same time; null: a domain of its own."""
    bfd: bool = False
    """Static next hops follow a BFD session, where the platform has that; the session itself is the router's matter."""
    track: Word | None = None
    """The tracked object that every static next hop of ours follows, where the platform has such."""
    next_hops: NextHopSettings = NextHopSettings()
    bgp: BgpSettings = BgpSettings()

    @property
    def carried_paths(self) -> int:
        """`max_paths`, or what the sessions of a BGP peer can carry: one each where there are several."""
        sessions = len(self.bgp.members[0].local_addresses) if self.mode == "bgp" else 0
        return min(self.max_paths, sessions) if sessions > 1 else self.max_paths

    @property
    def carried_families(self) -> tuple[int, ...]:
        """4 and 6, or those of them that the sessions of a BGP peer carry."""
        return tuple(4 if family == "ipv4" else 6 for family in self.bgp.families) if self.mode == "bgp" else (4, 6)


def load_router_settings(data: Mapping[str, Any], where: str) -> RouterSettings:
    """Checks what the inventory says of a router.

    Args:
        data: `data.k8s_ecmp` of the host, its groups' values merged beneath.
        where: what error messages begin with, such as "host r1 (inventories/lab/hosts.yaml)".

    Raises:
        SettingsError: something in it is wrong; names every mistake.
    """
    builder = Builder(Path.cwd())
    settings = builder.build(RouterSettings, from_python(data))
    raise_problems(where, builder.problems or list(_bgp_problems(settings)))
    return settings  # type: ignore[return-value]  # None only with problems


def _bgp_problems(settings: RouterSettings | None) -> Iterator[Problem]:
    """What a router with `mode: bgp` needs, and what it cannot have."""
    if settings is None or settings.mode != "bgp":
        return
    bgp = settings.bgp
    for name in ("local_as", "peer_as"):
        if not getattr(bgp, name):
            yield Problem(f"bgp.{name}", "is required with mode: bgp")
    yield from _replica_problems(bgp) if bgp.replicas else _member_problems("bgp", bgp.members[0])
    for name, value in (("vrf", None if settings.vrf == "default" else settings.vrf), ("distance", settings.distance)):
        if value is not None:
            yield Problem(name, "is the router's own matter with mode: bgp: configure it on the session there")
    if bgp.ttl_security and bgp.ttl is not None:
        yield Problem("bgp.ttl", "cannot stand beside ttl_security: true, which sends with 255")
    if not bgp.families:
        yield Problem("bgp.families", "must name ipv4 or ipv6, or both")


def _member_problems(where: str, member: BgpReplica) -> Iterator[Problem]:
    first = (*member.local_addresses, "")[0]
    if not first:
        yield Problem(f"{where}.local_addresses", "is required with mode: bgp")
    if ":" in first and member.router_id is None:
        yield Problem(f"{where}.router_id", "is required where the local address is IPv6")
    if member.router_id is not None and ":" in member.router_id:
        yield Problem(f"{where}.router_id", f"must be an IPv4 address, not {member.router_id}")


def _replica_problems(bgp: BgpSettings) -> Iterator[Problem]:
    for name in ("local_addresses", "router_id"):
        if getattr(bgp, name):
            yield Problem(f"bgp.{name}", "stands in each of bgp.replicas, not beside them")
    if len(bgp.replicas) == 1:
        yield Problem("bgp.replicas", "must name two or more; one alone is bgp.local_addresses")
    for number, member in enumerate(bgp.replicas):
        yield from _member_problems(f"bgp.replicas[{number}]", member)
    addresses = [address for member in bgp.replicas for address in member.local_addresses]
    if len(set(addresses)) < len(addresses):
        yield Problem("bgp.replicas", "must not share a local address")
    if len({len(member.local_addresses) for member in bgp.replicas}) > 1:
        yield Problem("bgp.replicas", "must have as many local_addresses each, or they could not carry the same paths")
    if bgp.med is not None and bgp.med > MED_MAX - 2 * MED_STEP * len(bgp.replicas):
        yield Problem("bgp.med", "leaves no room for the MED of the other replicas, which is higher")
    if not bgp.dead_man_s:
        yield Problem("bgp.dead_man_s", "cannot be 0 with bgp.replicas: a dead daemon's routes would stay for ever")

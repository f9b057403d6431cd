"""What a platform is: text in, routes out, and back. Pure; nothing here speaks to a router."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

import msgspec

from k8s_ecmp.model import Hashing, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms.edits import Edit


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform can promise; the transaction asks here instead of guessing.

    `max_paths` is the highest number of next hops of one prefix that was counted, or that the vendor's documents name
    for sets of equal cost (docs/platforms has the sources), `max_routes` the highest number of static routes (None: no
    limit known). `name_mark` says whether a hop carries the owner's name beside the tag, `name_length` how many
    characters of it (None: all that the settings allow). `default_distance` is the administrative distance of a static
    route on which none is written, `distance_max` the highest that can be.

    `undo`: the driver takes its own last commit back exactly; where not, the inverse patch is written. Commit timers
    are multiples of `timer_step_s` up to `timer_max_s`; `timer_restores` is what one that ends takes back: our routes
    alone, or everything that changed in the configuration since. `timer_needs` says what a running configuration must
    have for one, `timer_line` is the regular expression that finds it; None: nothing. `discards`: a route may drop
    packets. `bfd` are the options of a next hop that follows a BFD session, `track` the first word of the option that
    names a tracked object; empty where the platform has none. `bfd_apart`: the lines by which people let routes follow
    BFD where it is a setting beside the routes. `resilient`: how the platform keeps flows where they are when a next
    hop leaves, None where it cannot; `resilient_line` is the regular expression that finds it in a running
    configuration, with a group "prefix" where it is for one prefix and all within. `hashing`: how next hops are chosen
    without it, None where that is not known. `verify`: how deep the router's tables can be read. `neighbours`: whether
    it shows next hops that do not answer ARP or ND.
    """

    atomic: bool
    device_diff: bool
    confirm: bool
    message: bool
    lock: bool
    name_mark: bool
    max_paths: int
    max_routes: int | None = None
    name_length: int | None = None
    default_distance: int = 1
    distance_max: int = 255
    undo: bool = False
    timer_step_s: int = 1
    timer_max_s: int = 7200
    timer_restores: Literal["routes", "configuration"] = "configuration"
    timer_needs: str = ""
    timer_line: str | None = None
    vrf: bool = True
    discards: bool = True
    ipv6: bool = True
    bfd: tuple[str, ...] = ()
    bfd_apart: tuple[str, ...] = ()
    track: str = ""
    hashing: Hashing | None = "modulo"
    resilient: str | None = None
    resilient_line: str | None = None
    verify: Literal["configuration", "rib", "fib"] = "configuration"
    neighbours: bool = False

    def timer_s(self, confirm_within_s: int, hops: int) -> int:
        """Seconds of the timer that a commit is given; 0: none.

        Args:
            confirm_within_s: what is asked for; 0 for no timer.
            hops: next hops before and after, over all prefixes that change. A timer runs from the beginning of the
                commit, so it has to last longer for a large one: FRR 8.4 takes 0.4 ms for each of 160,000, and up to a
                second for 500 is allowed here.
        """
        if not (self.confirm and confirm_within_s):
            return 0
        step = self.timer_step_s
        return min(-(-(confirm_within_s + hops // 500) // step) * step, self.timer_max_s)


class Better(NamedTuple):
    """The route that a router uses at a prefix instead of a static one.

    `protocol` in the router's words ("eBGP", "ospf-1", "kernel"), `distance` the administrative distance (Junos:
    preference), None where it is not shown.
    """

    protocol: str
    distance: int | None


class Neighbour(NamedTuple):
    """An ARP or ND entry: a canonical address, the interface ("" where it is not shown), and whether it is resolved."""

    address: str
    interface: str
    resolved: bool


class Installed(NamedTuple):
    """What the router's tables hold for a prefix: labels of the hops in the RIB's best route and in the FIB.

    Both are empty where another protocol's route is the best one: then `better` is that route, and `behind` the labels
    of the static one that it keeps out; None where the platform shows best routes alone.

    `shortage` says how many next hops of the RIB the FIB has where it has fewer and does not show which; `fib` then has
    those that it does show. `neighbours` are those of its next hops that the FIB itself shows as unresolved.
    """

    rib: frozenset[str]
    fib: frozenset[str]
    better: Better | None = None
    behind: frozenset[str] | None = None
    shortage: str = ""
    neighbours: frozenset[Neighbour] = frozenset()


class Verification(Protocol):
    """How to ask a router what it really routes. All methods are pure: commands out, answers in."""

    def table_commands(self, vrfs: Sequence[str]) -> tuple[str, ...]:
        """Show commands whose answers `read_tables` understands."""
        ...

    def prefix_commands(self, vrf: str, prefixes: Sequence[Prefix]) -> tuple[str, ...]:
        """Show commands for these prefixes alone, of the same form as `table_commands`."""
        ...

    def is_forwarding(self, command: str) -> bool:
        """Whether a command asks for the forwarding table; without its answer the routing table alone is read."""
        ...

    def read_tables(self, answers: Mapping[str, str]) -> dict[tuple[str, Prefix], Installed]:
        """Static routes by (VRF, prefix).

        Raises:
            ParseError: an answer has not the expected form.
        """
        ...

    def resolve_commands(self, vrf: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """Show commands that tell whether the router can resolve next hops."""
        ...

    def read_unresolved(self, vrf: str, addresses: Sequence[str], answers: Mapping[str, str]) -> frozenset[str]:
        """Those of `addresses` to which the router has no route that a next hop may use."""
        ...


class Platform(Protocol):
    """One router syntax."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    verification: Verification | None

    def parse(self, text: str) -> RunningRoutes:
        """All static routes of a whole running configuration, every VRF, in order of first appearance.

        Raises:
            ParseError: a static line's prefix or structure cannot be read. Never a shorter list.
        """
        ...

    def render(self, changes: Sequence[RouteChange], running: RunningRoutes, template: str | None = None) -> str:
        """The configuration commands, one a line, that turn `running` into `running` with `changes`.

        Args:
            changes: in the order in which they shall be sent.
            running: what was read; lines to remove are taken from its source text.
            template: Jinja2 text to use instead of the shipped one.

        Raises:
            RenderError: the template failed or wrote something else than the changes.
        """
        ...

    def edits(self, running: RunningRoutes, commands: str) -> tuple[Edit, ...]:
        """What `commands` would do to the text of `running`, as edits of its lines. Understands what `render` writes.

        Raises:
            ParseError: a command that is no static route command of this platform.
        """
        ...

    def foreign_lines(self, device_diff: str, running: RunningRoutes, commands: str) -> list[str]:
        """What the router's own diff of a candidate shows beside the effect of `commands`; [] when nothing.

        Only for drivers with `device_diff`. A change that the diff lacks is not reported here: a router need not show
        what it already has.
        """
        ...

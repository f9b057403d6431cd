"""Juniper Junos: a tree, read and written whole statements at a time; commands are `set` and `delete` lines.

A route is `route P` below `routing-options static`, or below a rib of it for IPv6 (Junos CLI reference, "static
(Routing Options)"). The tag belongs to the route, so it marks all next hops of a prefix at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RouteChange, RunningRoutes, StaticRoute
from k8s_ecmp.platforms.base import Capabilities, Verification
from k8s_ecmp.platforms.edits import Edit
from k8s_ecmp.platforms.junos_config import read_document
from k8s_ecmp.platforms.junos_hops import DEFAULT_PREFERENCE, Defaults, read_hops
from k8s_ecmp.platforms.junos_places import Document, Entry, Scope, Section, read_prefix
from k8s_ecmp.platforms.remarks import Remarks

_Key = tuple[tuple[int, ...], Defaults]


class _Hops(NamedTuple):
    """The next hops of a route, and which parts of its text name them; none where there are no next hops."""

    hops: tuple[NextHop, ...]
    places: tuple[int, ...]


@dataclass(frozen=True)
class JunosRoutes(RunningRoutes):
    """The routes of one router, with what else was read of its text."""

    document: Document = field(default_factory=lambda: Document(""), compare=False, repr=False)


class Junos:
    """Juniper Junos."""

    name: ClassVar[str] = "junos"
    # max_paths: `chassis maximum-ecmp` takes up to 128 on current platforms, and 16 are in use without it (Junos CLI
    # reference); static routes are among those that it is for ("Configuring ECMP Next Hops for RSVP and LDP LSPs for
    # Load Balancing", 13.1, where it ends at 64). Not seen on a device.
    # BFD needs an interval, which has no default for static routes.
    capabilities: ClassVar[Capabilities] = Capabilities(
        atomic=True,
        device_diff=True,
        confirm=True,
        message=True,
        lock=True,
        name_mark=False,
        max_paths=128,
        default_distance=DEFAULT_PREFERENCE,
        timer_step_s=60,
        timer_max_s=65535 * 60,
        bfd=("bfd-liveness-detection minimum-interval 1000",),
        resilient="policy `then load-balance consistent-hash`",
        resilient_line=r"^(?!\s*(?:inactive:|deactivate )).*\bload-balance consistent-hash\b",
        verify="fib",
        neighbours=True,
    )

    def __init__(self) -> None:
        from k8s_ecmp.platforms.junos_tables import JunosVerification

        self.verification: Verification | None = JunosVerification()

    def parse(self, text: str) -> RunningRoutes:
        """All static routes of a whole configuration in braces or as `set` lines, in order of first appearance.

        Raises:
            ParseError: the text is no whole configuration, or what belongs to what cannot be told.
        """
        document = read_document(text)
        remarks = document.remarks
        found: dict[tuple[str, Prefix], StaticRoute] = {}
        for what, line in document.elsewhere.items():
            remarks.note(line, what, "a router of its own; its routes are not read")
        known: dict[_Key, _Hops] = {}
        for section, entry in document.routes():
            route = _route(section.scope, section, entry, known, remarks)
            if route is not None:
                _add(found, route)
        for scope, entry, group in document.inherited:
            route = _route(scope, Section(scope, group, {}, [], []), entry, known, remarks)
            if route is not None:
                _add(found, _refused(route, f"inherited from group {group}"))
        return JunosRoutes(
            tuple(found.values()), text, tuple(remarks.notes), tuple(remarks.unreadable), document=document
        )

    def render(self, changes: Sequence[RouteChange], running: RunningRoutes, template: str | None = None) -> str:
        """`set` and `delete` lines for the changes; "" when there are none.

        Raises:
            RenderError: the template failed, or what it wrote would not do exactly the changes.
        """
        from k8s_ecmp.platforms.junos_writing import write_commands

        return write_commands(changes, _document(running), template)

    def edits(self, running: RunningRoutes, commands: str) -> tuple[Edit, ...]:
        """What the commands would do to the text of `running`, which keeps its form.

        Raises:
            ParseError: a command is no static route command, or the device would refuse it.
        """
        from k8s_ecmp.platforms.junos_edits import text_edits

        return text_edits(_document(running), commands)

    def foreign_lines(self, device_diff: str, running: RunningRoutes, commands: str) -> list[str]:
        """The statements that the device's diff adds or removes and the commands do not."""
        from k8s_ecmp.platforms.junos_diff import foreign_statements

        return foreign_statements(device_diff, _document(running), commands)


def _document(running: RunningRoutes) -> Document:
    """What stands in the text; routes that were read from none stand in an empty one."""
    if isinstance(running, JunosRoutes):
        return running.document
    return read_document(running.text) if running.text else Document("")


def _route(
    scope: Scope, section: Section, entry: Entry, known: dict[_Key, _Hops], remarks: Remarks
) -> StaticRoute | None:
    """Reads each distinct set of statements once; None where the prefix cannot be read."""
    table = scope.table
    vrf = table[0] if table is not None else scope.instance or DEFAULT_VRF
    reasons = [*section.flaws, *entry.flaws]
    try:
        prefix = read_prefix(entry.prefix)
    except ValueError as problem:
        try:
            prefix = read_prefix(entry.prefix, strict=False)
        except ValueError as error:
            remarks.lose(entry.line, f"route {entry.prefix}", error, vrf)
            return None
        reasons.append(remarks.flaw(entry.line, f"route {entry.prefix}", problem, str(prefix)))
    key = (tuple(map(id, entry.parts)), section.in_force)
    hops = known.get(key)
    if hops is None:
        try:
            hops = known[key] = _hops(section, entry)
        except ValueError as error:
            remarks.refuse(entry.line, f"route {entry.prefix}", error, vrf, prefix)
            reasons.append(remarks.refused[vrf, prefix])
            hops = _Hops((NextHop(options=tuple(map(" ".join, entry.words))),), ())
    if table is None:
        reasons.append(f"in table {scope.rib}")
    elif table[1] != prefix.family:
        reasons.append("in a table of the other family")
    if len(entry.nodes) > 1:
        reasons.append("written twice")
    if not hops.places:
        reasons.append("no next hop is written for it")
    if section.in_force.tag is not None and not any(words[0] == "tag" for words in entry.words):
        reasons.append("its tag is written in static defaults")
    return StaticRoute(
        prefix,
        vrf,
        hops.hops,
        tuple(entry.lines[place] for place in hops.places) or (entry.line,),
        reasons[0] if reasons else None,
    )


def _hops(section: Section, entry: Entry) -> _Hops:
    owners = [place for place, part in enumerate(entry.parts) for words in part if words]
    found = read_hops(entry.words, section.in_force)
    return _Hops(tuple(hop for hop, _ in found) or (NextHop(),), tuple(owners[position] for _, position in found))


def _add(found: dict[tuple[str, Prefix], StaticRoute], route: StaticRoute) -> None:
    """A prefix that stands in two places of a VRF is nobody's to change."""
    before = found.get((route.vrf, route.prefix))
    if before is not None:
        route = StaticRoute(
            route.prefix,
            route.vrf,
            before.next_hops + route.next_hops,
            before.lines + route.lines,
            before.disqualified or route.disqualified or "written in two places",
        )
    found[route.vrf, route.prefix] = route


def _refused(route: StaticRoute, reason: str) -> StaticRoute:
    return StaticRoute(route.prefix, route.vrf, route.next_hops, route.lines, reason)


PLATFORM = Junos()

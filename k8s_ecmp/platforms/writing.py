"""Writes the commands for changes with a platform's Jinja2 template, and reads them back before anyone sees them."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from k8s_ecmp.errors import ParseError, RenderError
from k8s_ecmp.model import DEFAULT_VRF, Action, NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms.reading import read_commands
from k8s_ecmp.platforms.settling import settle
from k8s_ecmp.platforms.syntax import FlatSyntax, Statement, outline
from k8s_ecmp.platforms.templates import compiled, shipped


class Line(msgspec.Struct, frozen=True, gc=False):
    """One command, as a template sees it: write `hop`, or remove it.

    `early` and `late` are further words of somebody else's hop, for the two places in a line where a platform has such.
    """

    remove: bool
    hop: NextHop
    early: str = ""
    late: str = ""


class Route(msgspec.Struct, frozen=True, gc=False):
    """One changed prefix, as a template sees it. `ip` is the keyword of its family, "ip" or "ipv6"."""

    action: Action
    vrf: str
    ip: Literal["ip", "ipv6"]
    prefix: str
    network: str
    netmask: str
    lines: tuple[Line, ...]


def expect_vrfs(platform: FlatSyntax, changes: Sequence[RouteChange], running: RunningRoutes) -> None:
    """Looks whether the router has the VRFs that routes shall be written in.

    A router takes such a line without a word and routes nothing, makes the VRF, or goes past the line in a file copy.

    Raises:
        RenderError: it lacks one.
    """
    wanted = {change.vrf for change in changes if change.action != "delete"} - {DEFAULT_VRF}
    if not wanted or not platform.vrf_heads:
        return
    for _, line in outline(platform, running.source):
        if line[:1].isalpha():
            head, _, name = line.rstrip().rpartition(" ")
            if head in platform.vrf_heads:
                wanted.discard(name)
    if wanted:
        raise RenderError(
            f"the router has no VRF {', '.join(sorted(wanted))}",
            remedy="configure the VRF first, or correct `vrf` in the inventory",
        )


def write_commands(platform: FlatSyntax, changes: Sequence[RouteChange], template: str | None) -> str:
    """The commands for the changes, one a line; "" when there are none.

    Args:
        platform: whose commands.
        changes: in the order in which they shall be sent.
        template: Jinja2 text instead of the shipped one.

    Raises:
        RenderError: the template failed, or what it wrote would not do exactly the changes.
    """
    if not changes:
        return ""
    import jinja2

    origin = f"templates/{platform.name}.j2" if template is None else "the given template"
    try:
        program = shipped(platform.name) if template is None else compiled(template)
        text = program.render(routes=[_route(platform, change) for change in changes])
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        where = f", line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise RenderError(f"{origin}{where}: {error}") from error
    try:
        _expect_exactly(platform, changes, read_commands(platform, text))
    except ParseError as error:
        raise RenderError(
            f"{origin} wrote commands that are not the planned change: {error}", remedy="correct the template"
        ) from error
    return text


def _route(platform: FlatSyntax, change: RouteChange) -> Route:
    prefix = change.prefix
    return Route(
        change.action,
        change.vrf,
        "ip" if prefix.family == 4 else "ipv6",
        str(prefix),
        prefix.address,
        _netmask(prefix),
        tuple(_lines(platform, change)),
    )


def _lines(platform: FlatSyntax, change: RouteChange) -> Iterator[Line]:
    """The smallest set of commands. Hops come before others go, save where a discard route is on either side.

    A hop that has to go for a moment, to be typed anew, goes when all others have come.
    """
    normal = platform.normal
    before = {_key(platform, hop): normal(hop) for hop in change.before}
    after = {_key(platform, hop): normal(hop) for hop in change.after}
    typed = [
        _over(platform, before[key], hop) if key in before else (_line(platform, False, hop),)
        for key, hop in after.items()
        if before.get(key) != hop
    ]
    adds = [line for lines in sorted(typed, key=len) for line in lines]
    spelt = (
        {platform.slot(hop) for hop in (*before.values(), *after.values()) if hop.distance is not None}
        if platform.each_distance
        else ()
    )
    removes = [_line(platform, True, _removal(platform, hop, spelt)) for key, hop in before.items() if key not in after]
    discard = any(hop.discard for hop in change.before) != any(hop.discard for hop in change.after)
    yield from removes + adds if discard else adds + removes


def _over(platform: FlatSyntax, standing: NextHop, hop: NextHop) -> tuple[Line, ...]:
    """A hop typed over itself. Where leaving a word out would keep it, the hop is taken away first, or 1 written."""
    default = platform.capabilities.default_distance
    for written in (hop, msgspec.structs.replace(hop, distance=hop.distance or default)):
        if platform.normal(platform.retyped(standing, written)) == hop:
            return (_line(platform, False, written),)
    return _line(platform, True, platform.removal(standing)), _line(platform, False, hop)


def _line(platform: FlatSyntax, remove: bool, hop: NextHop) -> Line:
    return Line(remove, hop, *platform.options(hop)) if hop.options else Line(remove, hop)


def _key(platform: FlatSyntax, hop: NextHop) -> Hashable:
    return (platform.slot(hop), platform.distance(hop)) if platform.each_distance else platform.slot(hop)


def _removal(platform: FlatSyntax, hop: NextHop, spelt: Collection[Hashable]) -> NextHop:
    """The hop as written behind `no`: with its distance where the same hop stands at another one, too."""
    written = platform.removal(hop)
    if hop.distance is None and spelt and platform.slot(hop) in spelt:
        return msgspec.structs.replace(written, distance=platform.capabilities.default_distance)
    return written


def _expect_exactly(platform: FlatSyntax, changes: Sequence[RouteChange], statements: Sequence[Statement]) -> None:
    """Raises ParseError unless the statements turn each change's hops before into those after and do nothing else."""
    written: dict[tuple[str, Prefix], list[Statement]] = defaultdict(list)
    for statement in statements:
        written[statement.vrf, statement.prefix].append(statement)
    for change in changes:
        own = written.pop((change.vrf, change.prefix), [])
        settled = [hop for hop, _ in settle(platform, change.before, own)] if own else change.before
        result, wanted = set(map(platform.normal, settled)), set(map(platform.normal, change.after))
        if result != wanted:
            raise ParseError(
                f"{change.prefix} in VRF {change.vrf} would have {_names(result)} instead of {_names(wanted)}"
            )
    for (vrf, prefix), others in written.items():
        raise ParseError(f"{prefix} in VRF {vrf} is not part of the change", line=others[0].line)


def _names(hops: Iterable[NextHop]) -> str:
    return ", ".join(sorted(hop.details for hop in hops)) or "no next hop"


def _netmask(prefix: Prefix) -> str:
    """The mask of an IPv4 prefix as dotted quad, "" for IPv6."""
    if prefix.family == 6:
        return ""
    mask = (0xFFFFFFFF << (32 - prefix.length)) & 0xFFFFFFFF
    return ".".join(str(mask >> shift & 0xFF) for shift in (24, 16, 8, 0))

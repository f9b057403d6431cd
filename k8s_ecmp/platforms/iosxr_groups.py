"""Static routes that a router has from an applied group (Cisco, "Flexible CLI Configuration Groups").

`show running-config` shows a group's content in the group alone, not where it is inherited.
"""

from collections.abc import Iterator, Sequence

import msgspec

from k8s_ecmp.model import Prefix, RunningRoutes, StaticRoute
from k8s_ecmp.platforms.remarks import Remarks
from k8s_ecmp.platforms.syntax import FlatSyntax

_Line = tuple[int, str]


def with_inherited(platform: FlatSyntax, running: RunningRoutes) -> RunningRoutes:
    """Disqualifies the prefixes at which an applied group has routes, and adds those that stand nowhere else.

    Names with wildcards stand in quotes; which routes such a block means cannot be told, and is noted.

    Raises:
        ParseError: the block of a static line of an applied group cannot be told.
    """
    groups = {name: lines for name, lines in _groups(running.source).items() if _is_static(lines)}
    if not groups:
        return running
    applied = {name for line in running.source for name in _applied(line)}
    remarks = Remarks.on(running.source)
    found: dict[tuple[str, Prefix], StaticRoute] = {}
    for name in sorted(groups.keys() & applied):
        literal = list(_literal(groups[name], name, remarks))
        text = [""] * len(running.source)
        for number, line in literal:
            text[number - 1] = line
        for statement in platform.statements(text, remarks):
            key = (statement.vrf, statement.prefix)
            known = found.get(key) or StaticRoute(
                statement.prefix, statement.vrf, (), (), f"inherited from group {name}"
            )
            hops = () if statement.hop is None else (statement.hop,)
            found[key] = msgspec.structs.replace(
                known, next_hops=known.next_hops + hops, lines=(*known.lines, statement.line)
            )
    own = []
    for route in running:
        extra = found.pop((route.vrf, route.prefix), None)
        own.append(msgspec.structs.replace(route, disqualified=extra.disqualified) if extra is not None else route)
    return RunningRoutes(
        (*own, *found.values()),
        running.text,
        (*running.notes, *remarks.notes),
        (*running.unreadable, *remarks.unreadable),
    )


def _groups(source: Sequence[str]) -> dict[str, list[_Line]]:
    """Name -> its numbered lines, one level out."""
    groups: dict[str, list[_Line]] = {}
    name = ""
    for number, line in enumerate(source, 1):
        if name and line.startswith("end-group"):
            name = ""
        elif name:
            groups[name].append((number, line[1:] if line[:1].isspace() else line))
        elif line.startswith("group ") and len(words := line.split()) == 2:
            name = words[1]
            groups[name] = []
    return groups


def _is_static(lines: Sequence[_Line]) -> bool:
    return any(line.split()[:2] == ["router", "static"] for _, line in lines)


def _applied(line: str) -> list[str]:
    words = line.split() if "apply-group" in line else []
    return words[1:] if words and words[0] == "apply-group" else []


def _literal(lines: Sequence[_Line], group: str, remarks: Remarks) -> Iterator[_Line]:
    """The lines but those with a pattern for a name, and what stands under such."""
    wild: int | None = None
    for number, line in lines:
        stripped = line.lstrip()
        indent = len(line) - len(stripped)
        if wild is not None and (indent > wild or not stripped):
            continue
        wild = None
        if "'" in line or '"' in line.partition("description")[0]:
            wild = indent
            if stripped.partition(" ")[0] not in ("interface", "router"):
                remarks.note(number, stripped, f"a pattern of group {group}; what it matches is not told")
            continue
        yield number, line

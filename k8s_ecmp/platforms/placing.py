"""Where the effect of commands stands in a configuration text: edits of its lines, all others left as they are."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix, RunningRoutes, text_lines
from k8s_ecmp.platforms.edits import Edit
from k8s_ecmp.platforms.reading import read_commands
from k8s_ecmp.platforms.settling import Settled, settle
from k8s_ecmp.platforms.syntax import FlatSyntax, Statement

_New = tuple[Prefix, NextHop]


def line_edits(platform: FlatSyntax, running: RunningRoutes, commands: str) -> tuple[Edit, ...]:
    """What the commands would do to the text of `running`, in the order of its lines.

    Raises:
        ParseError: a command is no static route command, or the device would refuse it.
    """
    touched = touched_statements(platform, commands)
    source = text_lines(running.text)
    edits: list[Edit] = []
    homeless: dict[tuple[str, int], list[_New]] = defaultdict(list)
    for (vrf, prefix), statements in touched.items():
        route = running.get(vrf, prefix)
        present, numbers = (route.next_hops, route.lines) if route is not None else ((), ())
        settled = settle(platform, present, statements)
        kept = _kept(present, settled)
        for place, (hop, number) in enumerate(zip(present, numbers, strict=True)):
            now = kept.get(place)
            if now != hop:
                line = source[number - 1]
                written = [] if now is None else [_like(line, platform.shown(vrf, prefix, now, line))]
                edits.append(Edit(number, 1, tuple(written), platform.context(vrf, line)))
        new = [hop for hop, origins in settled if not origins]
        if new and numbers:
            last = max(numbers)
            line = source[last - 1]
            added = tuple(_like(line, platform.shown(vrf, prefix, hop, line)) for hop in new)
            edits.append(Edit(last + 1, 0, added, platform.context(vrf, line)))
        else:
            homeless[vrf, prefix.family] += ((prefix, hop) for hop in new)
    edits += platform.homes(running, source, {key: new for key, new in homeless.items() if new})
    # Where a block ends without a word, its own new lines come before those that stand behind it.
    return tuple(_joined(sorted(edits, key=lambda edit: (edit.first, edit.removed > 0, not edit.context))))


def touched_statements(platform: FlatSyntax, commands: str) -> dict[tuple[str, Prefix], list[Statement]]:
    """The commands by (VRF, prefix).

    Raises:
        ParseError: one is no static route command.
    """
    touched: dict[tuple[str, Prefix], list[Statement]] = defaultdict(list)
    for statement in read_commands(platform, commands):
        touched[statement.vrf, statement.prefix].append(statement)
    return touched


def _kept(present: Sequence[NextHop], settled: Sequence[Settled]) -> dict[int, NextHop]:
    """What becomes of the hops that stand, by their position. Lines that say one hop twice stay while it does."""
    kept: dict[int, NextHop] = {}
    for hop, origins in settled:
        if origins and hop == present[origins[-1]]:
            kept.update((place, present[place]) for place in origins)
        elif origins:
            kept[origins[0]] = hop
    return kept


def settlements(
    platform: FlatSyntax,
    running: RunningRoutes,
    source: Sequence[str],
    homeless: Mapping[tuple[str, int], list[_New]],
) -> Iterator[Edit]:
    """Inserts prefixes that were not there: beside their VRF's and family's lines, or in a place of their own."""
    if not homeless:
        return
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    for route in running:
        if route.lines:
            low, high = spans.get((route.vrf, route.prefix.family), route.lines[:1] * 2)
            spans[route.vrf, route.prefix.family] = min(low, *route.lines), max(high, *route.lines)
    fresh: dict[str, list[_New]] = defaultdict(list)
    for (vrf, family), new in sorted(homeless.items()):
        first = _beside(spans, platform.vrf_blocks, vrf, family)
        if first is None:
            fresh[vrf] += new
            continue
        number, neighbour = first
        line = source[neighbour - 1]
        written = tuple(_like(line, platform.shown(vrf, prefix, hop, line)) for prefix, hop in new)
        yield Edit(number, 0, written, platform.context(vrf, line))
    for vrf, new in sorted(fresh.items(), key=lambda item: (item[0] != DEFAULT_VRF, item[0])):
        place = platform.place(source, vrf)
        written = tuple(platform.shown(vrf, prefix, hop, None) for prefix, hop in new)
        context = platform.context(vrf, "") if not place.opening else ()
        yield Edit(place.first, 0, (*place.opening, *written, *place.closing), context)


def _beside(
    spans: dict[tuple[str, int], tuple[int, int]], vrf_blocks: bool, vrf: str, family: int
) -> tuple[int, int] | None:
    """The line to insert before, and the neighbouring static line; IPv4 stands before IPv6."""
    vrfs = [vrf] if vrf_blocks else [vrf, *(name for name, _ in spans if name != vrf)]
    for wanted in (family, 10 - family):
        found = [spans[name, wanted] for name in vrfs if (name, wanted) in spans]
        if found:
            low, high = found[0] if (vrf, wanted) in spans else (min(f[0] for f in found), max(f[1] for f in found))
            return (low, low) if wanted > family else (high + 1, high)
    return None


def _like(line: str, written: str) -> str:
    """`written` with the indentation of a line that stands in its place."""
    return line[: len(line) - len(line.lstrip())] + written.lstrip()


def _joined(edits: Sequence[Edit]) -> Iterator[Edit]:
    """Edits that touch each other as one."""
    held: Edit | None = None
    for edit in edits:
        if held is not None and edit.first == held.first + held.removed and edit.context == held.context:
            held = Edit(held.first, held.removed + edit.removed, held.inserted + edit.inserted, held.context)
            continue
        if held is not None:
            yield held
        held = edit
    if held is not None:
        yield held

"""Where everything of the drawing stands: nodes, their next hops, and the routers whose routes change."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.model import DISCARD
from k8s_ecmp.views.page import counted, visible
from k8s_ecmp.views.plan_rows import Group, listed

# What is drawn; the table beside the drawing holds more.
_MOST_MOVED = 16
_MOST_STAYING = 6
_MOST_GROUPS = 10

_HEIGHT, _GAP, _TOP = 46, 14, 34
_NODE_WIDTH, _HOP_WIDTH, _ROUTER_WIDTH, _CHANNEL = 200, 230, 200, 92
_LETTER = 7.3

# Of one next hop, and of several.
_WORDS = {
    "gain": ("joins", "join"),
    "lose": ("leaves", "leave"),
    "mixed": ("joins or leaves", "join or leave"),
    "stay": ("stays for", "stay"),
}


class Use(NamedTuple):
    """What becomes of a next hop on a group's routers: how many of their changed prefixes gain, lose and keep it."""

    gained: int
    lost: int
    kept: int

    @property
    def kind(self) -> str:
        """One of "gain", "lose", "mixed" and "stay"."""
        if self.gained and self.lost:
            return "mixed"
        return "gain" if self.gained else "lose" if self.lost else "stay"

    @property
    def text(self) -> str:
        """In words."""
        parts = [
            f"{word} {number} {'prefix' if number == 1 else 'prefixes'}"
            for word, number in (("joins", self.gained), ("leaves", self.lost), ("stays for", self.kept))
            if number
        ]
        return ", ".join(parts)


class Line(NamedTuple):
    """A row of the table: a next hop, its node and how that stands, and its use by one group of routers."""

    hop: str
    node: str
    standing: str
    routers: str
    use: Use


class Box(NamedTuple):
    """A box with two lines of text; `title` is the whole text where the lines are cut."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    head: str
    note: str
    title: str


class Link(NamedTuple):
    """A line between two boxes, as the path of an SVG."""

    kind: str
    path: str


class Drawing(NamedTuple):
    """The drawing, and the same as a table; `lines` is whole. `left_out` says what is not drawn."""

    width: float
    height: float
    columns: tuple[tuple[str, float], ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    lines: tuple[Line, ...]
    left_out: str
    description: str


def owners(nodes: Mapping[str, NodeVerdict]) -> dict[str, NodeVerdict]:
    """Address -> its node; of several with one address the one that is best off."""
    found: dict[str, NodeVerdict] = {}
    for verdict in sorted(nodes.values(), key=lambda node: ("out", "draining", "eligible").index(node.standing)):
        for pool in (verdict.internal, verdict.annotated):
            for addresses in pool.values():
                found.update(dict.fromkeys(addresses, verdict))
    return found


def draw(groups: Sequence[Group], nodes: Mapping[str, NodeVerdict]) -> Drawing | None:
    """The drawing of a plan's changes; None where there are none. Without `nodes` it has no nodes."""
    uses = _uses(groups)
    if not uses:
        return None
    owner = owners(nodes)
    moved = [hop for hop, by in uses.items() if any(use.kind != "stay" for use in by.values())]
    staying = [hop for hop in uses if hop not in set(moved)]
    moved.sort(key=lambda hop: -sum(use.gained + use.lost for use in uses[hop].values()))
    hops = moved[:_MOST_MOVED]
    hops += _in_order(staying, owner)[: _MOST_STAYING if len(staying) <= _MOST_STAYING else 0]
    hops = _in_order(hops, owner)
    shown = list(range(min(len(groups), _MOST_GROUPS)))
    return _Layout(groups, uses, owner, hops, shown).drawing(
        [hop for hop in moved if hop not in set(hops)], [hop for hop in staying if hop not in set(hops)]
    )


def _uses(groups: Sequence[Group]) -> dict[str, dict[int, Use]]:
    uses: dict[str, dict[int, Use]] = {}
    for number, group in enumerate(groups):
        gained = Counter(hop for row in group.rows for hop in row.gained)
        lost = Counter(hop for row in group.rows for hop in row.lost)
        all_after = Counter(hop for row in group.rows for hop in row.after)
        for hop in dict.fromkeys((*all_after, *lost)):
            use = Use(gained[hop], lost[hop], all_after[hop] - gained[hop])
            uses.setdefault(hop, {})[number] = use
    return uses


def _in_order(hops: Iterable[str], owner: Mapping[str, NodeVerdict]) -> list[str]:
    """Hops of one node together, nodes by name; what no node has comes last."""
    return sorted(hops, key=lambda hop: (not (name := _node(owner, hop)[0]), name, ":" in hop, hop))


def _node(owner: Mapping[str, NodeVerdict], hop: str) -> tuple[str, str]:
    verdict = owner.get(hop.rpartition(" ")[2])
    if verdict is None:
        return "", ""
    lead = f"{verdict.standing}: "
    return verdict.name, verdict.reason if verdict.reason.startswith(lead) else lead + verdict.reason


class _Layout:
    def __init__(
        self,
        groups: Sequence[Group],
        uses: Mapping[str, Mapping[int, Use]],
        owner: Mapping[str, NodeVerdict],
        hops: Sequence[str],
        shown: Sequence[int],
    ) -> None:
        self._groups, self._uses, self._owner, self._hops, self._shown = groups, uses, owner, hops, shown
        self._hop_width = _HOP_WIDTH if all(len(hop) <= 28 for hop in hops) else 316
        self._hop_x = _NODE_WIDTH + _CHANNEL if owner else 0
        self._router_x = self._hop_x + self._hop_width + _CHANNEL

    def drawing(self, unmoved: Sequence[str], staying: Sequence[str]) -> Drawing:
        """All of it.

        Args:
            unmoved: hops that join or leave and have no place in the drawing.
            staying: hops that stay and have none; they share a box.
        """
        rows = len(self._hops) + bool(staying)
        height = max(rows, len(self._shown)) * (_HEIGHT + _GAP) - _GAP
        boxes: list[Box] = []
        links: list[Link] = []
        hop_y = {hop: _spread(number, rows, height) for number, hop in enumerate(self._hops)}
        router_y = {number: _spread(place, len(self._shown), height) for place, number in enumerate(self._shown)}
        for hop, y in hop_y.items():
            kind, note = self._note(hop)
            boxes.append(_box(f"hop {kind}", self._hop_x, y, self._hop_width, hop, note))
            for number, use in self._uses[hop].items():
                if number in router_y:
                    start = self._hop_x + self._hop_width
                    links.append(Link(use.kind, _curve(start, y, self._router_x, router_y[number])))
        if staying:
            y = _spread(rows - 1, rows, height)
            note = f"{counted(len(staying), 'next hop')} that stay"
            boxes.append(
                _box("hop stay", self._hop_x, y, self._hop_width, note, listed(staying, 1), listed(staying, 50))
            )
            users = {number for hop in staying for number in self._uses[hop]}
            links += [
                Link("stay", _curve(self._hop_x + self._hop_width, y, self._router_x, router_y[number]))
                for number in sorted(users & router_y.keys())
            ]
        self._nodes(hop_y, boxes, links)
        for number, y in router_y.items():
            group = self._groups[number]
            note = counted(len(group.rows), "change") + (" each" if len(group.routers) > 1 else "")
            note += ", blocked" if group.blocked else ""
            head = listed(group.routers, 1)
            boxes.append(_box("router", self._router_x, y, _ROUTER_WIDTH, head, note, ", ".join(group.routers)))
        links.sort(key=lambda link: link.kind != "stay")
        columns = [("Next hops", self._hop_x), ("Routers", self._router_x)]
        if self._owner:
            columns.insert(0, ("Nodes", 0))
        return Drawing(
            width=self._router_x + _ROUTER_WIDTH,
            height=_TOP + height,
            columns=tuple(columns),
            boxes=tuple(boxes),
            links=tuple(links),
            lines=tuple(self._lines()),
            left_out=self._left_out(unmoved),
            description=self._description(),
        )

    def _note(self, hop: str) -> tuple[str, str]:
        by = self._uses[hop].values()
        kinds = {use.kind for use in by} - {"stay"}
        kind = "stay" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"
        if kind == "mixed":
            return kind, f"joins {_span(use.gained for use in by)}, leaves {_span(use.lost for use in by)} prefixes"
        span = _span({"gain": use.gained, "lose": use.lost, "stay": use.kept}[kind] for use in by)
        return kind, f"{_WORDS[kind][0]} {span} {'prefix' if span == '1' else 'prefixes'}"

    def _nodes(self, hop_y: Mapping[str, float], boxes: list[Box], links: list[Link]) -> None:
        places: dict[str, list[str]] = {}
        for hop in hop_y:
            name, _ = _node(self._owner, hop)
            if name:
                places.setdefault(name, []).append(hop)
        for name, hops in places.items():
            y = sum(hop_y[hop] for hop in hops) / len(hops)
            _, standing = _node(self._owner, hops[0])
            kind = f"node {standing.partition(':')[0]}"
            boxes.append(_box(kind, 0, y, _NODE_WIDTH, name, standing))
            links += [Link("node", _curve(_NODE_WIDTH, y, self._hop_x, hop_y[hop])) for hop in hops]

    def _lines(self) -> Iterable[Line]:
        moved = [hop for hop in self._uses if any(use.kind != "stay" for use in self._uses[hop].values())]
        staying = set(self._uses) - set(moved)
        for hop in (*_in_order(moved, self._owner), *_in_order(staying, self._owner)):
            name, standing = _node(self._owner, hop)
            for number, use in self._uses[hop].items():
                yield Line(hop, name, standing, listed(self._groups[number].routers), use)

    def _left_out(self, unmoved: Sequence[str]) -> str:
        parts = []
        if unmoved:
            parts.append(f"{counted(len(unmoved), 'more next hop')} that join or leave")
        if rest := len(self._groups) - len(self._shown):
            parts.append(f"{counted(rest, 'more group')} of routers")
        return f"Not drawn: {', '.join(parts)}; the table below has them." if parts else ""

    def _description(self) -> str:
        kinds = Counter(self._note(hop)[0] for hop in self._hops)
        parts = [f"{kinds[kind]} {word}" for kind, (_, word) in _WORDS.items() if kinds[kind]]
        routers = counted(sum(len(group.routers) for group in self._groups), "router")
        return f"{counted(len(self._uses), 'next hop')} of {routers} with changes; drawn: {', '.join(parts)}."


def _span(numbers: Iterable[int]) -> str:
    """The numbers that are not zero: "3", or "3 to 4"."""
    found = sorted({*numbers} - {0}) or [0]
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _spread(place: int, places: int, height: float) -> float:
    """The middle of a box; all of one column are spread over the height."""
    used = places * (_HEIGHT + _GAP) - _GAP
    return round(_TOP + (height - used) / 2 + place * (_HEIGHT + _GAP) + _HEIGHT / 2, 1)


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (x + to_x) / 2
    return f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"


def _box(kind: str, x: float, y: float, width: float, head: str, note: str, whole: str = "") -> Box:
    head, note = visible(head), visible(note)
    if kind.startswith("hop") and head == DISCARD:
        note = f"drops traffic, {note}"
    room = int((width - 24) / _LETTER)
    title = f"{visible(whole) or head}: {note}"
    return Box(kind, x, round(y - _HEIGHT / 2, 1), width, _HEIGHT, _fit(head, room), _fit(note, int(room * 1.1)), title)


def _fit(text: str, room: int) -> str:
    """The beginning and the end of a text that is too long: names of nodes often differ in their ends."""
    if len(text) <= room:
        return text
    end = room // 3
    return f"{text[: room - end - 1]}…{text[-end:]}"

"""Where new prefixes go in an IOS-XR configuration: the blocks of `router static`, made where they are not there."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from k8s_ecmp.model import DEFAULT_VRF, NextHop, Prefix
from k8s_ecmp.platforms.edits import Edit
from k8s_ecmp.platforms.iosxr_blocks import Block, Cursor
from k8s_ecmp.platforms.syntax import FlatSyntax, outline

_New = Sequence[tuple[Prefix, NextHop]]
_Span = list[int]


@dataclass
class _Layout:
    """Blocks of a text as [number of the head, number of the line that ends them]."""

    static: _Span | None = None
    vrfs: dict[str, _Span] = field(default_factory=dict)
    families: dict[tuple[str, int], _Span] = field(default_factory=dict)


def new_lines(platform: FlatSyntax, source: Sequence[str], homeless: Mapping[tuple[str, int], _New]) -> Iterator[Edit]:
    """Edits that insert prefixes by (VRF, family), each as `show running-config` would show it."""
    layout = _layout(platform, source)
    wanting: dict[str, dict[int, _New]] = defaultdict(dict)
    for (vrf, family), new in sorted(homeless.items(), key=lambda item: (item[0][0] != DEFAULT_VRF, item[0])):
        span = layout.families.get((vrf, family))
        if span is None:
            wanting[vrf][family] = new
            continue
        head = source[span[0] - 1]
        lines = [_under(head, platform.shown(vrf, prefix, hop, None)) for prefix, hop in new]
        yield Edit(span[1], 0, tuple(lines), platform.context(vrf, str(new[0][0])))
    if not wanting:
        return
    if layout.static is None:
        first = platform.place(source, DEFAULT_VRF).first
        blocks = [line for vrf, families in wanting.items() for line in _vrf_block(platform, vrf, families)]
        yield Edit(first, 0, ("router static", *blocks, "!"))
        return
    for vrf, families in wanting.items():
        if vrf == DEFAULT_VRF or vrf in layout.vrfs:
            start, end = layout.static if vrf == DEFAULT_VRF else layout.vrfs[vrf]
            context = ("router static",) if vrf == DEFAULT_VRF else ("router static", f" vrf {vrf}")
            for family, new in families.items():
                at = _family_place(layout, vrf, family, start, end)
                yield Edit(at, 0, tuple(_family_block(platform, vrf, family, new)), context)
        else:
            yield Edit(layout.static[1], 0, tuple(_vrf_block(platform, vrf, families)), ("router static",))


def _family_place(layout: _Layout, vrf: str, family: int, start: int, end: int) -> int:
    """IPv4 stands before IPv6, both before the VRFs."""
    other = layout.families.get((vrf, 10 - family))
    if other is not None:
        return other[0] if family == 4 else other[1] + 1
    if vrf == DEFAULT_VRF and layout.vrfs:
        return min(head for head, _ in layout.vrfs.values() if head > start)
    return end


def _vrf_block(platform: FlatSyntax, vrf: str, families: Mapping[int, _New]) -> Iterator[str]:
    if vrf != DEFAULT_VRF:
        yield f" vrf {vrf}"
    for family, new in families.items():
        yield from _family_block(platform, vrf, family, new)
    if vrf != DEFAULT_VRF:
        yield " !"


def _family_block(platform: FlatSyntax, vrf: str, family: int, new: _New) -> Iterator[str]:
    indent = " " if vrf == DEFAULT_VRF else "  "
    yield f"{indent}address-family ipv{family} unicast"
    for prefix, hop in new:
        yield platform.shown(vrf, prefix, hop, None)
    yield f"{indent}!"


def _under(head: str, line: str) -> str:
    """A line one level deeper than the head of its block."""
    return " " * (len(head) - len(head.lstrip()) + 1) + line.lstrip()


def _layout(platform: FlatSyntax, source: Sequence[str]) -> _Layout:
    """The blocks of the text; of one that stands several times, the last."""
    layout = _Layout()
    cursor = Cursor()
    open_spans: list[tuple[Block, _Span]] = []
    for number, line in outline(platform, source):
        stripped = line.lstrip()
        if not stripped:
            continue
        indent = len(line) - len(stripped)
        closing = bool(cursor.blocks) and cursor.closes(stripped, indent)
        while len(open_spans) > len(cursor.blocks):
            open_spans.pop()[1][1] = number
        if closing:
            continue
        if cursor.blocks or line.startswith("router"):
            cursor.enters(stripped.split(), indent)
        for block in cursor.blocks[len(open_spans) :]:
            span = [number, number + 1]
            open_spans.append((block, span))
            if block.kind == "static":
                layout.static = span
            elif block.kind == "vrf":
                layout.vrfs[block.vrf] = span
            elif block.family:
                layout.families[block.vrf, block.family] = span
    for _, span in open_spans:
        span[1] = len(source) if source and not source[-1] else len(source) + 1
    return layout

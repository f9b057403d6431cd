"""A plan as one HTML file without anything from elsewhere: it works from a mail, without scripts and without a network.

The template escapes all that comes from routers and clusters, and shows their control characters instead of sending
them. Long lists are shortened, each with a word on where the rest is.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.core.waves import ready
from k8s_ecmp.model import Plan
from k8s_ecmp.views import plan_rollout as rollout
from k8s_ecmp.views import plan_rows as rows
from k8s_ecmp.views.drawing import draw
from k8s_ecmp.views.page import counted, visible
from k8s_ecmp.views.plan_about import UNWRITTEN, PlanFile, about, scope, terms
from k8s_ecmp.views.plan_flows import MEANING, TITLE, flow_lines
from k8s_ecmp.views.schema import Summary

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"
_NO_NODES: Mapping[str, NodeVerdict] = MappingProxyType({})

# What the page shows of all changes, of all lines of diffs, of one list, and of the next hops of one prefix.
_MOST_ROWS = 2000
_MOST_LINES = 3000
_MOST_ITEMS = 200
_MOST_HOPS = 16
_MOST_ROUTERS = 1000
# Up to so many rows or lines a part is open from the start.
_OPEN = 60

_KINDS = {"+": "add", "-": "del"}


class _Block(NamedTuple):
    kind: str
    lines: tuple[str, ...]


class _Diff(NamedTuple):
    routers: tuple[str, ...]
    title: str
    twin: str | None
    blocks: tuple[_Block, ...]
    size: int
    rest: int


class _Section(NamedTuple):
    routers: tuple[str, ...]
    blocked: bool
    size: int
    causes: list[rows.Cause]
    rest: int
    diffs: list[_Diff]
    open: bool


def plan_html(plan: Plan, nodes: Mapping[str, NodeVerdict] = _NO_NODES, file: PlanFile | None = None) -> str:
    """The page.

    Args:
        plan: made now, or read from a file.
        nodes: the nodes behind the next hops by name, for the drawing; none when they are not known.
        file: where the plan is kept; None: nowhere.
    """
    sheet = rows.Sheet(plan)
    page = _environment().get_template("plan.html.j2")
    changing = [router for router in plan.routers if router.changes]
    written = [] if plan.holds else ready(plan.routers)
    return page.render(
        plan=plan,
        about=about(plan, file),
        unwritten=UNWRITTEN,
        scope=scope(plan),
        terms=terms(plan),
        order=rollout,
        stages=rollout.waves(plan),
        rules=rollout.rules(plan),
        undo=rollout.undo_lines(plan),
        sheet=sheet,
        count=Summary.of(plan.routers),
        made=Summary.of(written or changing),
        changing=len(written or changing),
        all_held=not written,
        blocked=sum(router.status == "blocked" for router in plan.routers),
        withheld=sum(router.withheld for router in plan.routers),
        routers=plan.routers[:_MOST_ROUTERS],
        flows=flow_lines(plan),
        flow_title=TITLE,
        flow_meaning=MEANING,
        statuses={router.status: None for router in plan.routers},
        held=sheet.held(),
        clashes=sheet.clashes(),
        failures=sheet.failures(),
        sections=list(_sections(sheet.groups)),
        drawing=draw(sheet.groups, nodes),
        words=rows,
        most=_MOST_ITEMS,
        most_hops=_MOST_HOPS,
    )


def _sections(groups: Sequence[rows.Group]) -> Iterator[_Section]:
    total = sum(len(group.rows) for group in groups)
    sizes = rows.shares([len(group.rows) for group in groups], _MOST_ROWS)
    diffs = [diff for group in groups for diff in group.diffs if diff.twin is None]
    room = dict(zip(map(id, diffs), rows.shares([len(diff.lines) for diff in diffs], _MOST_LINES), strict=True))
    for group, size in zip(groups, sizes, strict=True):
        yield _Section(
            routers=group.routers,
            blocked=group.blocked,
            size=len(group.rows),
            causes=rows.causes(group.rows[:size]),
            rest=len(group.rows) - size,
            diffs=[_diff(diff, group, room.get(id(diff), 0)) for diff in group.diffs],
            open=total <= _OPEN or (group is groups[0] and len(group.rows) <= _OPEN),
        )


def _diff(diff: rows.Diff, group: rows.Group, room: int) -> _Diff:
    where = "" if diff.routers == group.routers else f" on {rows.listed(diff.routers)}"
    title = f"Diff of the {diff.what}{where}, {diff.source}"
    if diff.twin is not None:
        return _Diff(diff.routers, title, diff.twin, (), 0, 0)
    lines = diff.lines
    blocks = tuple(
        _Block(kind, tuple(some)) for kind, some in groupby(lines[:room], key=lambda line: _KINDS.get(line[:1], "same"))
    )
    return _Diff(diff.routers, title, None, blocks, len(lines), max(0, len(lines) - room))


@lru_cache(maxsize=1)
def _environment() -> "jinja2.Environment":
    import jinja2
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return visible(value) if type(value) is str else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=shown,
    )
    environment.filters.update(counted=counted, listed=rows.listed)
    style = (_TEMPLATES / "plan.css").read_text(encoding="utf-8")
    environment.globals.update(style=Markup(style), newline=Markup("\n"))  # noqa: S704
    return environment

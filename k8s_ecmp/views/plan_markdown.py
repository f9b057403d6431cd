"""A plan as Markdown that fits a comment of a merge request, however large the plan is."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from k8s_ecmp.model import Plan
from k8s_ecmp.views import plan_rollout as rollout
from k8s_ecmp.views import plan_rows as rows
from k8s_ecmp.views.markdown import code, codes, fenced, html_code, prose, table
from k8s_ecmp.views.page import MOST_WORDS, counted
from k8s_ecmp.views.plan_about import UNWRITTEN, About, PlanFile, about, scope, terms
from k8s_ecmp.views.plan_flows import MEANING, TITLE, flow_lines

T = TypeVar("T")

# GitHub takes 65,536 characters in a comment, GitLab a million.
MOST_BYTES = 60_000
REST = "`k8s-ecmp plan --format html` and the plan file show all"


class _Room(NamedTuple):
    """How much is shown: items of any list, rows and lines over all groups, characters of one text."""

    items: int
    rows: int
    text: int


_ROOMS = (
    _Room(200, 1000, 1000),
    _Room(100, 400, 1000),
    _Room(60, 150, 500),
    _Room(40, 60, 300),
    _Room(20, 30, 200),
    _Room(8, 16, 120),
    _Room(4, 6, 80),
)
_SIGNS = {"changes": "🔶", "in-sync": "✅", "conflict": "⚠️", "blocked": "⛔", "failed": "❌"}


def plan_markdown(plan: Plan, most_bytes: int = MOST_BYTES, file: PlanFile | None = None) -> str:
    """The plan; lists are shortened until it fits, each with a word on where the rest is.

    Args:
        plan: made now, or read from a file.
        most_bytes: what the text may be long in UTF-8; from 20,000 on it is kept whatever the plan holds.
        file: where the plan is kept; None: nowhere.
    """
    sheet = rows.Sheet(plan)
    what = about(plan, file)
    text = ""
    for room in _ROOMS:
        text = "\n".join(_Writer(sheet, room, what).lines()) + "\n"
        if len(text.encode()) <= most_bytes:
            break
    return text


class _Writer:
    def __init__(self, sheet: rows.Sheet, room: _Room, what: About) -> None:
        self._sheet = sheet
        self._plan = sheet.plan
        self._room = room
        self._about = what

    def lines(self) -> Iterator[str]:
        """The whole text."""
        plan = self._plan
        yield f"## Route changes for {self._code(plan.owner)}"
        yield ""
        yield f"**{rows.summary(plan.routers)}**"
        yield ""
        yield f"{UNWRITTEN} {scope(plan)}"
        yield ""
        if said := terms(plan):
            yield f"> **{said}**"
            yield ""
        if plan.holds:
            yield f"> **{rows.HELD}**, see guards."
            yield ""
        if plan.overrides:
            yield f"> **{self._prose(rows.overridden(plan.overrides))}**"
            yield ""
        yield from self._routers()
        yield from self._flows()
        yield from self._guards()
        yield from self._conflicts()
        yield from self._order()
        yield from self._changes()
        yield from self._skipped()
        yield "### About this plan"
        yield ""
        for fact in self._about.facts:
            parts = (self._code(fact.code) if fact.code else "", fact.words)
            yield f"- {fact.name}: {', '.join(filter(None, parts))}"
        yield ""
        yield self._spoken(self._about.next_step)

    def _spoken(self, text: str) -> str:
        """A sentence of ours in which commands stand between backticks."""
        words, *rest = text.split("`")
        for place, part in enumerate(rest):
            words += part if place % 2 else self._code(part)
        return words

    def _code(self, text: str) -> str:
        return code(text, self._room.text)

    def _codes(self, texts: Iterable[str]) -> str:
        return codes(texts, self._room.text)

    def _prose(self, text: str) -> str:
        return prose(text, self._room.text)

    def _names(self, names: Sequence[str]) -> str:
        rest = len(names) - MOST_WORDS
        return ", ".join(map(self._code, names[:MOST_WORDS])) + (f" and {rest} more" if rest > 0 else "")

    def _some(self, items: Sequence[T]) -> Sequence[T]:
        return items[: self._room.items]

    def _rest(self, items: Sequence[object], noun: str) -> Iterator[str]:
        rest = len(items) - self._room.items
        if rest > 0:
            yield f"- … {rest} more {noun}; {REST}"

    def _routers(self) -> Iterator[str]:
        routers = self._plan.routers
        # Those with something to say first, where not all are shown.
        if len(routers) > self._room.items:
            routers = tuple(sorted(routers, key=lambda router: router.status == "in-sync"))
        cells = []
        for router in self._some(routers):
            name, platform, status, *numbers = self._sheet.router_row(router)
            plain = [one if one == "-" else f"`{one}`" for one in numbers]
            cells.append([self._code(name), self._code(platform), f"{_SIGNS[status]} {status}", *plain])
        if cells:
            yield from table([column.capitalize() for column in rows.COLUMNS], cells)
            yield ""
        if rest := len(routers) - len(cells):
            yield f"… {rest} more routers; {REST}"
            yield ""
        for line in rows.legend(self._plan):
            yield f"<sub>{line}</sub>"
            yield ""
        failures = self._sheet.failures()
        for error, names in self._some(failures):
            yield f"- ❌ {self._names(names)} failed, nothing is written there: {self._prose(error)}"
        yield from self._rest(failures, "errors")
        if failures:
            yield ""

    def _flows(self) -> Iterator[str]:
        flows = flow_lines(self._plan)
        if not flows:
            return
        yield f"### {TITLE}"
        yield ""
        for sentence, names in self._some(flows):
            yield f"- {self._names(names)}: {sentence}"
        yield from self._rest(flows, "routers")
        yield ""
        yield f"<sub>{MEANING}</sub>"
        yield ""

    def _guards(self) -> Iterator[str]:
        held = self._sheet.held()
        if not held:
            return
        yield "### Guards that hold something"
        yield ""
        for one in held:
            yield f"**{self._code(one.guard)}** {one.meaning} {one.what}"
            yield ""
            for detail, names in self._some(one.details):
                yield "- " + (f"{self._names(names)}: " if names else "") + self._prose(detail)
            yield from self._rest(one.details, "of this guard")
            yield ""
            yield f"To do: {one.remedy}; if all is as it should be, plan with {code(one.option)}."
            yield ""

    def _conflicts(self) -> Iterator[str]:
        clashes = self._sheet.clashes()
        if not clashes:
            return
        yield "### Conflicts"
        yield ""
        for clash in self._some(clashes):
            yield f"- {self._code(clash.prefix)} on {self._names(clash.routers)}: {self._prose(clash.reason)}"
            for what, names in clash.elsewhere:
                yield f"  - at this prefix on {self._names(names)}: {what}"
        yield from self._rest(clashes, "conflicts")
        yield ""
        yield rows.CONFLICT_REMEDY
        yield ""

    def _order(self) -> Iterator[str]:
        stages = rollout.waves(self._plan)
        if not stages:
            return
        yield f"### {rollout.ORDER_TITLE}"
        yield ""
        for stage in self._some(stages):
            yield f"- {stage.title}: {self._names(stage.routers)}"
        yield from self._rest(stages, "waves")
        yield ""
        yield " ".join(self._prose(sentence) for sentence in rollout.rules(self._plan))
        yield ""
        yield f"### {rollout.UNDO_TITLE}"
        yield ""
        undo = rollout.undo_lines(self._plan)
        for sentence, names in self._some(undo):
            yield f"- {self._names(names)}: {sentence}"
        yield from self._rest(undo, "routers")
        yield ""
        yield rollout.later(self._plan)
        yield ""

    def _changes(self) -> Iterator[str]:
        groups = self._some(self._sheet.groups)
        if not groups:
            return
        yield "### Changes, and why"
        yield ""
        rooms = rows.shares([len(group.rows) for group in groups], self._room.rows)
        lines = rows.shares(
            [sum(len(diff.lines) for diff in group.diffs if diff.twin is None) for group in groups], self._room.rows
        )
        for group, room, some in zip(groups, rooms, lines, strict=True):
            yield from self._group(group, room, some)
        yield from self._rest(self._sheet.groups, "groups of routers")
        yield ""

    def _group(self, group: rows.Group, room: int, lines: int) -> Iterator[str]:
        few = len(group.routers) - MOST_WORDS
        names = ", ".join(html_code(name, self._room.text) for name in group.routers[:MOST_WORDS])
        names += f" and {few} more" if few > 0 else ""
        blocked = f", {rows.NOT_WRITTEN}" if group.blocked else ""
        each = " each" if len(group.routers) > 1 else ""
        yield f"<details><summary>{names}: {counted(len(group.rows), 'change')}{each}{blocked}</summary>"
        yield ""
        if len(group.routers) > MOST_WORDS:
            yield f"On {', '.join(map(self._code, self._some(group.routers)))}"
            yield from self._rest(group.routers, "routers")
            yield ""
        for cause in rows.causes(group.rows[:room]):
            if cause.lines:
                more = len(cause.lines) - self._room.items
                why = "; ".join(map(self._prose, self._some(cause.lines))) + (f"; {more} more" if more > 0 else "")
                yield f"**Why:** {why}"
                yield ""
            yield from map(self._row, cause.rows)
            yield ""
        if rest := len(group.rows) - room:
            yield f"… {rest} more changes; {REST}"
            yield ""
        for diff in self._some(group.diffs):
            where = "" if diff.routers == group.routers else f" on {self._names(diff.routers)}"
            same = "" if diff.twin is None else f": the same as on {self._code(diff.twin)}"
            yield f"Diff of the {diff.what}{where}, {diff.source}{same}"
            yield ""
            if diff.twin is None:
                shown = diff.lines[:lines]
                lines -= len(shown)
                if shown:
                    yield from fenced(shown, "diff", self._room.text)
                    yield ""
                if rest := len(diff.lines) - len(shown):
                    yield f"… {rest} more lines; {REST}"
                    yield ""
        yield from self._rest(group.diffs, "diffs")
        yield "</details>"
        yield ""

    def _row(self, row: rows.Row) -> str:
        lead = f"- {row.action} {code(row.prefix, self._room.text)}"
        hops = row.stay if row.action == "update" else row.after or row.before
        parts = [self._few(hops)]
        if row.action == "update":
            parts += [f"{sign} {self._few(some)}" for sign, some in (("＋", row.gained), ("−", row.lost)) if some]
        return f"{lead}, {row.numbers.replace('->', '→')}: {' '.join(filter(None, parts))}"

    def _few(self, hops: Sequence[str]) -> str:
        rest = len(hops) - MOST_WORDS
        return self._codes(hops[:MOST_WORDS]) + (f" and {rest} more" if rest > 0 else "")

    def _skipped(self) -> Iterator[str]:
        skipped = self._plan.skipped
        if not skipped:
            return
        yield f"<details><summary>Skipped: {counted(len(skipped), 'object')} {rows.SKIPPED_WORDS}</summary>"
        yield ""
        for skip in self._some(skipped):
            yield f"- {self._code(skip.object)}: {self._prose(skip.reason)}"
        yield from self._rest(skipped, "objects")
        yield ""
        yield "</details>"
        yield ""

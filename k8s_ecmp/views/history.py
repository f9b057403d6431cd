"""The journal as text: a line for each change of a router, and entries whole."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from k8s_ecmp.model import NextHop
from k8s_ecmp.views.page import Page, Part, counted, header, length, status

if TYPE_CHECKING:
    from rich.console import Console

    from k8s_ecmp.journal import Entry, Line
    from k8s_ecmp.journal.only_writer import Holder

_MOST_LINES = 200


class HistoryRow(msgspec.Struct, frozen=True):
    """One change of a router: when it was begun, and what became of it.

    `outcome` is "begun" while its run goes on, "died" where that ended without a word.
    """

    id: int
    at: str
    router: str
    outcome: str
    changes: int
    who: str
    ticket: str | None
    reason: str | None
    error: str | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def rows(lines: Iterable["Line"], writing: "Mapping[str, Holder | None]") -> list[HistoryRow]:
    """Changes that were begun joined with what became of them, and results of what was never begun.

    Args:
        lines: of the journal.
        writing: who writes for an owner at this moment: what any other has begun and not ended, has died.
    """
    found: dict[int, HistoryRow] = {}
    for line in lines:
        outcome = line.outcome or "unknown"
        if line.kind == "begin":
            found[line.id] = _row(line, "begun" if _goes_on(line, writing.get(line.owner)) else "died")
        elif line.begin in found:
            found[line.begin] = msgspec.structs.replace(found[line.begin], outcome=outcome, error=line.error)
        elif line.begin is None:
            found[line.id] = _row(line, outcome)
    return [found[number] for number in sorted(found)]


def _goes_on(line: "Line", holder: "Holder | None") -> bool:
    return holder is not None and (not holder.who or (holder.who == line.who and holder.since <= line.at))


def _row(line: "Line", outcome: str) -> HistoryRow:
    return HistoryRow(
        line.id,
        line.at,
        line.router or "-",
        outcome,
        line.changes,
        line.who,
        line.ticket,
        line.reason,
        line.error,
    )


def print_history(found: Sequence[HistoryRow], console: "Console | None" = None) -> None:
    """A table of changes; errors and reasons stand under their line."""
    page = Page(console)
    if found:
        cells = [_cells(row) for row in found]
        lines = page.table([header("ID", "WHEN", "ROUTER", "OUTCOME", "CHANGES", "TICKET", "WHO"), *cells])
        wide = max(map(length, lines)) - 2 > page.width
        if wide:  # who and why then stand below
            lines = page.table([header("ID", "WHEN", "ROUTER", "OUTCOME", "CHANGES"), *(row[:5] for row in cells)])
        head, *lines = lines
        page.line(*head)
        for row, line in zip(found, lines, strict=True):
            page.line(*line)
            by = _by(row.who, row.ticket) if wide else None
            for text, style in ((by, ""), (row.reason, ""), (row.error, "red")):
                if text:
                    page.prose(text, style=style, indent=4)
        page.line()
    dead = sum(row.outcome == "died" for row in found)
    left = f"; {dead} ended without a word: `k8s-ecmp apply` looks what became of it" if dead else ""
    page.prose(f"History: {counted(len(found), 'change')}{left}.", style="bold")
    page.show()


def _cells(row: HistoryRow) -> list[Part]:
    when = f"{row.at[:19].replace('T', ' ')}Z"
    return [str(row.id), when, row.router, status(row.outcome), str(row.changes), row.ticket or "-", row.who]


def _by(who: str, ticket: str | None) -> str:
    return f"by {who}, ticket {ticket}" if ticket else f"by {who}"


def print_entries(
    found: Sequence["Entry"], spoiled: Mapping[int, str | None], console: "Console | None" = None
) -> None:
    """Entries whole: changes as lines with "-" and "+", everything else as it was written.

    Args:
        found: the entries.
        spoiled: by number, what shows that an entry is not as it was written.
        console: rich's; None: standard output.
    """
    page = Page(console)
    for entry in found:
        page.line((f"{entry.id} {entry.kind}", "bold"), f"  {entry.at}  {entry.router or ''}".rstrip())
        wrong = spoiled.get(entry.id)
        if wrong is not None:
            page.prose(
                f"not as it was written: {wrong}; `k8s-ecmp history check` names every broken place",
                style="bold red",
                indent=2,
                hang=4,
            )
        page.prose(_by(entry.who, entry.ticket), indent=2)
        if entry.reason:
            page.prose(f"because: {entry.reason}", indent=2)
        body = dict(entry.body)
        if entry.kind == "begin" and wrong is None:  # of another one nobody knows what its body is like
            changes, commands = body.pop("changes"), body.pop("commands")
            _fields(page, body)
            _changes(page, changes, commands)
        else:
            _fields(page, body)
        page.prose(f"hash: {entry.hash}", indent=2)
        page.line()
    page.show()


def _fields(page: Page, body: Mapping[str, Any]) -> None:
    """A line for each name that has a value; where that is a list of things, a line for each of them."""
    for name, value in body.items():
        if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            page.line(f"  {name}:")
            for each in page.first(value, _MOST_LINES):
                page.prose(_guard(each) or _words(each), indent=4, hang=6)
            page.left_out(value, _MOST_LINES, name, indent=4)
        elif value not in (None, [], {}):
            page.prose(f"{name}: {_words(value)}", indent=2, hang=4)


def _guard(value: Any) -> str | None:
    """What a guard that tripped says; None: the value is none."""
    if not isinstance(value, Mapping) or "guard" not in value:
        return None
    where = [str(value[name]) for name in ("prefix", "router") if value.get(name) is not None] or ["all routers"]
    return f"{value['guard']} on {' on '.join(where)}: {value.get('detail')}"


def _words(value: Any) -> str:
    """What JSON holds, for reading: names and values, none where there is nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_words, value)) or "none"
    return "none" if value is None else str(value)


def _changes(page: Page, changes: Sequence[dict[str, Any]], commands: Sequence[str]) -> None:
    for change in page.first(changes, _MOST_LINES):
        page.prose(
            f"{change['action']} {change['prefix']} in VRF {change['vrf']}: {'; '.join(change['reasons'])}",
            indent=2,
            hang=4,
        )
        for sign, side, other, style in (("-", "before", "after", "red"), ("+", "after", "before", "green")):
            if hops := _only(change, side, other):
                page.prose(f"{sign} {', '.join(hops)}", style=style, indent=4, hang=6)
    page.left_out(changes, _MOST_LINES, "changes", indent=2)
    page.line("  commands:")
    for command in page.first(commands, _MOST_LINES):
        page.line(f"    {command}")
    page.left_out(commands, _MOST_LINES, "commands", indent=4)


def _only(change: Mapping[str, Any], side: str, other: str) -> list[str]:
    """The hops that one side of a change has alone: labels; those that stay, with all that is written."""
    moved = [label for label in change[side] if label not in change[other]]
    told = change.get("hops", {side: [], other: []})
    hops = (msgspec.convert(each, NextHop) for each in told[side] if each not in told[other])
    return moved + [hop.details for hop in hops if hop.label in change[other]]

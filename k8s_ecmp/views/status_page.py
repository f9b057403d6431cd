"""A daemon's report as one HTML page without anything from elsewhere. All text of routers and clusters is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from k8s_ecmp.views import status_rows as rows
from k8s_ecmp.views.page import visible

if TYPE_CHECKING:
    from k8s_ecmp.report import DaemonReport

_MOST_ROWS = 500
_STYLE = """
:root { color-scheme: light dark; --bad: #c62828; --warn: #b26a00; --good: #2e7d32; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --warn: #ffcc80; --good: #a5d6a7; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-size: .8rem; letter-spacing: .03em; } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
td.note { border-bottom: 0; padding-left: 1.2rem; }
.bad { color: var(--bad); } .warn { color: var(--warn); } .good { color: var(--good); }
"""
_CLASSES = {
    "in-sync": "good",
    "synced": "good",
    "not synced": "bad",
    "failed": "bad",
    "held": "bad",
    "out": "bad",
    "pending": "warn",
    "conflict": "warn",
    "draining": "warn",
    "error": "bad",
    "guard": "bad",
    "drift": "warn",
    "warning": "warn",
}


def status_page(report: "DaemonReport") -> str:
    """The page, as HTML."""
    parts = [_list(report)]
    if report.holds:
        trips = "".join(f"<li>guard {_safe(trip.guard)}: {_safe(trip.detail)}</li>" for trip in report.holds)
        parts.append(f'<h2 class="bad">Held: nothing is written to any router</h2><ul>{trips}</ul>')
    parts.append("<h2>Routers</h2>" + _table(rows.ROUTER_COLUMNS, _router_lines(report)))
    if report.watches:
        parts.append("<h2>Watches</h2>" + _table(rows.WATCH_COLUMNS, _watch_lines(report)))
    parts.append(f"<h2>{_safe(rows.nodes_summary(report))}</h2>")
    nodes = rows.node_rows(report)
    if nodes:
        parts.append(_table(rows.NODE_COLUMNS, _cut(map(_row, nodes), len(nodes), len(rows.NODE_COLUMNS))))
    if report.skipped:
        parts.append(f"<h2>Skipped ({len(report.skipped)})</h2>")
        parts.append(_table(("OBJECT", "REASON"), _cut(map(_row, report.skipped), len(report.skipped), 2)))
    title = f"k8s-ecmp {report.owner}: {'ready' if report.ready else 'not ready'}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head><body><h1>{_safe(title)}</h1>"
        f"{''.join(parts)}<p>At {report.now:%Y-%m-%d %H:%M:%S} UTC. "
        '<a href="status?format=json">JSON</a> <a href="metrics">metrics</a></p></body></html>\n'
    )


def _list(report: "DaemonReport") -> str:
    lines = []
    for name, text in rows.facts(report):
        colour = f' class="{"good" if report.ready else "bad"}"' if name == "ready" else ""
        lines.append(f'<tr><th scope="row">{_safe(name)}</th><td{colour}>{_safe(text)}</td></tr>')
    return f"<table>{''.join(lines)}</table>"


def _router_lines(report: "DaemonReport") -> Iterable[str]:
    for router in report.routers:
        yield _row(rows.router_row(router, report.now))
        for note in rows.router_notes(router):
            yield (
                f'<tr><td class="note {_CLASSES.get(note.level, "warn")}" colspan="{len(rows.ROUTER_COLUMNS)}">'
                f"{_safe(note.text)}</td></tr>"
            )


def _watch_lines(report: "DaemonReport") -> Iterable[str]:
    for cells, reason in rows.watch_rows(report):
        yield _row(cells)
        if reason:
            yield f'<tr><td class="note bad" colspan="{len(rows.WATCH_COLUMNS)}">{_safe(reason)}</td></tr>'


def _cut(lines: Iterable[str], number: int, columns: int) -> Iterable[str]:
    for count, line in enumerate(lines):
        if count >= _MOST_ROWS:
            yield f'<tr><td colspan="{columns}">{number - count} more; the JSON holds all</td></tr>'
            return
        yield line


def _table(columns: Sequence[str], lines: Iterable[str]) -> str:
    head = "".join(f"<th>{_safe(column.capitalize())}</th>" for column in columns)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(map(_cell, cells))}</tr>"


def _cell(text: str) -> str:
    colour = _CLASSES.get(text)
    return f'<td class="{colour}">{_safe(text)}</td>' if colour else f"<td>{_safe(text)}</td>"


def _safe(text: str) -> str:
    return escape(visible(text))

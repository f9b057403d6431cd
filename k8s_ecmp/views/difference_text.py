"""How two plans differ, as text for a terminal or a pipe."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from k8s_ecmp.core.difference import RouterDifference
from k8s_ecmp.model import RouteChange
from k8s_ecmp.views.page import Page, counted

if TYPE_CHECKING:
    from rich.console import Console

_MOST = 100


def print_difference(found: Sequence[RouterDifference], console: "Console | None" = None) -> None:
    """Shows what only the old plan does with "-", what only the new one does with "+", and both where they differ."""
    page = Page(console)
    for one in found:
        page.line((one.router or "every router", "bold"), *_statuses(one))
        lines = [
            *(("-", "red", f"only the old plan: {_words(change)}") for change in one.gone),
            *(("+", "green", f"only the new plan: {_words(change)}") for change in one.fresh),
            *(
                line
                for old, new in one.different
                for line in (
                    ("-", "red", f"the old plan: {_words(old)}"),
                    ("+", "green", f"the new plan: {_words(new)}"),
                )
            ),
            *(("-", "", f"no longer stops: {text}") for text in one.lifted),
            *(("+", "bold red", f"stops now: {text}") for text in one.stops),
        ]
        for sign, style, text in page.first(lines, _MOST):
            page.prose(f"{sign} {text}", style=style, indent=2, hang=4)
        page.left_out(lines, _MOST, "lines", indent=2)
        page.line()
    counts = [sum(len(part(one)) for one in found) for part in (_gone, _fresh, _different)]
    if found:
        gone, fresh, different = counts
        text = (
            f"Plans differ: {counted(gone, 'change')} only in the old, {fresh} only in the new, {different} different."
        )
    else:
        text = "The plans are the same but for their times."
    page.line((text, "bold"))
    page.show()


def _statuses(one: RouterDifference) -> tuple[str, ...]:
    if one.statuses is None:
        return ()
    old, new = one.statuses
    return (f"  {old or 'not in the old plan'} -> {new or 'not in the new plan'}",)


def _words(change: RouteChange) -> str:
    parts = [f"{change.action} {change.prefix}" + ("" if change.vrf == "default" else f" in VRF {change.vrf}")]
    for word, labels in (("add", change.add), ("remove", change.remove)):
        if labels:
            parts.append(f"{word} {', '.join(labels)}")
    distances = {hop.distance for hop in change.after} - {None}
    parts += [f"distance {distance}" for distance in sorted(filter(None, distances))]
    if set(change.add) != set(change.next_hops):
        parts.append(f"then {', '.join(change.next_hops) or 'no route'}")
    return "; ".join(parts)


def _gone(one: RouterDifference) -> Sequence[object]:
    return one.gone


def _fresh(one: RouterDifference) -> Sequence[object]:
    return one.fresh


def _different(one: RouterDifference) -> Sequence[object]:
    return one.different

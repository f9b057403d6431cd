"""How two plans differ, as text for a terminal or a pipe."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from k8s_ecmp.core.difference import PlanDifference, RouterDifference
from k8s_ecmp.model import RouteChange
from k8s_ecmp.views.page import Page, counted
from k8s_ecmp.views.plan_rollout import ORDER_TITLE

if TYPE_CHECKING:
    from rich.console import Console

_MOST = 100


def print_difference(found: PlanDifference, console: "Console | None" = None) -> None:
    """Shows what only the old plan does with "-", what only the new one does with "+", and both where they differ."""
    page = Page(console)
    _order(page, found)
    for one in found.routers:
        page.line((one.router or "every router", "bold"), *_statuses(one))
        _lines(
            page,
            [
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
            ],
        )
    page.prose(_summary(found), style="bold")
    page.show()


def _summary(found: PlanDifference) -> str:
    if not found:
        return "The plans are the same but for their times."
    gone, fresh, different = (
        sum(len(getattr(one, part)) for one in found.routers) for part in ("gone", "fresh", "different")
    )
    parts = []
    if gone or fresh or different:
        parts.append(f"{counted(gone, 'change')} only in the old, {fresh} only in the new, {different} different")
    if any(one.lifted or one.stops for one in found.routers):
        parts.append("what stops them differs")
    if found.waves or found.terms:
        parts.append("how the routers are gone over differs")
    if not parts:
        parts.append("the status of routers differs")
    return f"Plans differ: {'; '.join(parts)}."


def _order(page: Page, found: PlanDifference) -> None:
    """The waves of one plan alone, and the rollout's settings that differ."""
    if not found.waves and not found.terms:
        return
    page.line((ORDER_TITLE, "bold"))
    lines = [("~", "yellow", f"rollout.{name}: {was} -> {now}") for name, was, now in found.terms]
    old, new = found.waves or ((), ())
    for sign, style, waves, others in (("-", "red", old, new), ("+", "green", new, old)):
        which = "old" if sign == "-" else "new"
        lines += [
            (sign, style, f"the {which} plan, wave {number}: {page.few(wave, ', ')}")
            for number, wave in enumerate(waves, 1)
            if others[number - 1 : number] != (wave,)
        ]
    _lines(page, lines)


def _lines(page: Page, lines: Sequence[tuple[str, str, str]]) -> None:
    """Lines of sign, style and text, and an empty one."""
    for sign, style, text in page.first(lines, _MOST):
        page.prose(f"{sign} {text}", style=style, indent=2, hang=4)
    page.left_out(lines, _MOST, "lines", indent=2)
    page.line()


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

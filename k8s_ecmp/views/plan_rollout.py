"""In which order a plan changes the routers, and how it is undone, in words: the same in text, Markdown and page.

The waves are those of `core.waves`, by which `apply` goes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from k8s_ecmp.core.waves import order, ready
from k8s_ecmp.model import Plan, Rollout, RouterPlan, Undo
from k8s_ecmp.views.page import MOST_WORDS, counted

ORDER_TITLE = "Order"
UNDO_TITLE = "How it is undone"
ON_EACH = (
    "On each router: read it again, and refuse where its routes are no longer those of this plan; write and commit; "
    "verify its configuration and its tables; confirm."
)
_LATER = (
    "Once confirmed, a change is undone by a plan of its own: `k8s-ecmp history undo ID --out FILE.plan`, with ID from "
    "`k8s-ecmp history`."
)
_ADOPTED = (
    "Once confirmed, what is adopted is ours, and `k8s-ecmp history undo` leaves it alone. This plan and "
    "`k8s-ecmp history show ID` say what stood there: to have that again, write it on the router by hand."
)


class Wave(NamedTuple):
    """Routers that are changed at the same time, and what they are called together."""

    title: str
    routers: tuple[str, ...]


def waves(plan: Plan) -> list[Wave]:
    """The waves of a plan in their order; none where nothing is changed, or where the plan does not say how."""
    if plan.rollout is None:
        return []
    canary = plan.rollout.canary
    return [
        Wave(f"wave {number}{', canary' if number <= canary else ''}", tuple(names))
        for number, names in enumerate(order(plan.routers, plan.rollout), 1)
    ]


def rules(plan: Plan) -> list[str]:
    """What holds for all waves, a sentence each."""
    if plan.rollout is None or not ready(plan.routers):
        return []
    return list(_rules(plan.rollout, ready(plan.routers), len(waves(plan))))


def _rules(rollout: Rollout, routers: list[RouterPlan], count: int) -> Iterator[str]:
    if count > 1:
        yield (
            "A wave begins when every router of the one before it is done: confirmed, or left as it was before its "
            "commit."
        )
    if len(routers) > 1:
        yield f"In a wave at most {counted(rollout.parallel, 'router')} at the same time{_apart(routers)}."
    if count > 1 and rollout.pause_s:
        yield (
            f"After each wave but the last a pause of {rollout.pause_s:g} s, in which the routers of the wave are "
            "verified again; one that differs, or cannot be read, gets the inverse of its change, unless it cannot "
            "be reached or somebody else has changed these routes; and no later wave is begun."
        )
    elif count > 1:
        yield "No pause between waves."
    yield ON_EACH
    if len(routers) > 1:
        others = (
            "the others of its wave are taken back too, earlier waves stay"
            if rollout.on_failure == "rollback-wave"
            else "the others of its wave go on to their end and stay changed, as do earlier waves"
        )
        yield (
            "Where a router fails once its commit has begun, its change is taken back, no later wave is begun, and "
            f"{others}."
        )
        yield "A router that cannot be reached or refuses, before its commit, stays as it is; the others go on."
        if rollout.canary:
            yield "Where that is the canary, the next router takes its place."
    else:
        yield "Where it fails once its commit has begun, its change is taken back."


def _apart(routers: list[RouterPlan]) -> str:
    domains: dict[str, list[str]] = {}
    for router in routers:
        if router.failure_domain is not None:
            domains.setdefault(router.failure_domain, []).append(router.name)
    shared = [f"{domain} is {', '.join(names)}" for domain, names in domains.items() if len(names) > 1]
    if not shared:
        return "; by the inventory no two of them share a failure domain"
    more = f"; and {len(shared) - MOST_WORDS} more" if len(shared) > MOST_WORDS else ""
    return f", never two of one failure domain: {'; '.join(shared[:MOST_WORDS])}{more}"


def later(plan: Plan) -> str:
    """How what was confirmed is undone."""
    return _ADOPTED if plan.adopts else _LATER


def undo_lines(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    """How a commit is taken back where what follows it fails: each sentence with the routers that it is true of."""
    found: dict[str, list[str]] = {}
    for router in ready(plan.routers):
        if router.undo is not None:
            found.setdefault(undo_line(router.undo), []).append(router.name)
    return [(sentence, tuple(routers)) for sentence, routers in found.items()]


def undo_line(undo: Undo) -> str:
    """The sentence for one router."""
    if undo.timer_s:
        return (
            f"commit-confirm with a timer of {undo.timer_s} s. What cannot be verified is taken back at once; and a "
            f"commit that is not confirmed the router takes back by itself {undo.timer_s} s after it, also when "
            f"k8s-ecmp dies or the connection is lost.{_restored(undo)}"
        )
    how = "the driver's rollback" if undo.by == "router" else "the inverse patch, which writes the next hops of before"
    return (
        f"no commit-confirm. What cannot be verified is taken back by {how}.{_restored(undo)} If k8s-ecmp dies, or the "
        "router cannot be reached any more, between commit and verification, the change stays."
    )


def _restored(undo: Undo) -> str:
    """What is as before the commit once it is taken back."""
    if undo.restores == "configuration":
        return (
            " Taking back restores the router's whole configuration of before the commit: what anybody else changes on "
            "it in between is lost, too."
        )
    if undo.restores == "routes":
        return " Taking back restores the routes of this plan alone; every other line stays as it is by then."
    return ""

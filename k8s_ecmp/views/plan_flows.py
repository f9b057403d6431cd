"""What a plan does to live flows, in a sentence: what its text, its Markdown and its page have in common."""

from collections.abc import Iterable

from k8s_ecmp.model import Flows, Plan

TITLE = "Flows at risk"
MEANING = (
    "The share of existing connections to these prefixes that end up on another node: those of next hops that leave, "
    "and those that the router's way of hashing moves besides. A node that does not know a connection resets it."
)


def flow_lines(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    """Each sentence with the routers that it is true of, in the plan's order."""
    found: dict[str, list[str]] = {}
    for router in plan.routers:
        if router.flows is not None:
            found.setdefault(flow_line(router.flows), []).append(router.name)
    return [(sentence, tuple(routers)) for sentence, routers in found.items()]


def flow_line(flows: Flows) -> str:
    """What happens to the flows of one router, as shares: nobody counts a router's flows by prefix."""
    losing = sum(shift.lose > 0 for shift in flows.shifts)
    gaining = len(flows.shifts) - losing
    parts = [f"{_prefixes(losing)} {'loses' if losing == 1 else 'lose'} next hops"] if losing else []
    if gaining:
        verb = "gains" if gaining == 1 else "gain"
        parts.append(f"{gaining} only {verb} some" if losing else f"{_prefixes(gaining)} {verb} next hops")
    moved = _percent(share for shift in flows.shifts for share in (shift.moved_min, shift.moved_max))
    least = _percent(shift.unavoidable for shift in flows.shifts)
    at_best = "" if moved == least else f" (with resilient hashing {least})"
    return (
        f"{', '.join(parts)}: about {moved} of their existing connections move to another node{at_best}; "
        f"resilient hashing: {_found(flows)}"
    )


def _prefixes(number: int) -> str:
    return "1 prefix" if number == 1 else f"{number} prefixes"


def _found(flows: Flows) -> str:
    safe = sum(shift.resilient for shift in flows.shifts)
    if flows.hashing is None:
        return "not known, the router's configuration is not read"
    if not flows.configurable:
        return "none on this platform"
    if safe in (0, len(flows.shifts)):
        return "configured" if safe else "not configured"
    return f"configured for {safe} of {len(flows.shifts)} prefixes"


def _percent(shares: Iterable[float]) -> str:
    whole = sorted({round(100 * share) for share in shares})
    return f"{whole[0]} %" if len(whole) == 1 else f"{whole[0]} to {whole[-1]} %"

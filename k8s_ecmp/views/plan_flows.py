"""What a plan does to live flows, in a sentence: what its text, its Markdown and its page have in common."""

from collections.abc import Iterable, Iterator, Sequence

from k8s_ecmp.model import Flows, FlowShift, Hashing, Plan, RouterPlan

TITLE = "Flows at risk"
MEANING = (
    "The share of existing connections to these prefixes that end up on another node: those of next hops that leave, "
    "and those that the router's way of hashing moves besides. A node that does not know a connection resets it. Where "
    "a range stands, the prefixes differ in that, or the order of the next hops in the router's table decides, which "
    "no configuration shows."
)
_PLAIN: dict[Hashing | None, str] = {
    None: "taken to be by modulo",
    "modulo": "by modulo, as is assumed",
    "hash-threshold": "by hash-threshold",
    "resilient": "none",
}
STAY = "no existing connection moves to another node"


def flow_lines(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    """Each sentence with the routers that it is true of, in the plan's order: every router that changes has one.

    None at all where no connection of any router is at risk.
    """
    found: dict[str, list[str]] = {}
    for router in plan.routers:
        if router.changes:
            held = bool(plan.holds) or router.status == "blocked"
            sentence = flow_line(router) + ("; not now, it is blocked" if held and _at_risk(router) else "")
            found.setdefault(sentence, []).append(router.name)
    if not any(map(_at_risk, plan.routers)):
        return []
    return [(sentence, tuple(routers)) for sentence, routers in found.items()]


def flow_line(router: RouterPlan) -> str:
    """What happens to the flows of one router, as shares: nobody counts a router's flows by prefix."""
    return "; ".join(_sentences(router)) or STAY


def _sentences(router: RouterPlan) -> Iterator[str]:
    if router.flows is not None:
        kept = [shift for shift in router.flows.shifts if shift.covering is None]
        apart = [shift for shift in router.flows.shifts if shift.covering is not None]
        if kept:
            yield _moved(kept, router.flows)
            yield f"resilient hashing: {_found(router.flows, kept)}; plain hashing: {_PLAIN[router.flows.hashing]}"
        if apart:
            verb = "gets or loses a route of its own" if len(apart) == 1 else "get or lose routes of their own"
            yield (
                f"{_prefixes(len(apart))} {verb} within a larger one of ours: about {_moving(apart)} of "
                f"{_its(apart)} existing connections move to another node"
            )
    if cut := _cut(router):
        loses, its = ("loses", "its") if cut == 1 else ("lose", "their")
        yield (
            f"{_prefixes(cut)} {loses} {its} last next hop: {its} existing connections are cut, unless another route "
            "leads there"
        )
    if dropped := _dropped(router):
        drops, its = ("drops", "its") if dropped == 1 else ("drop", "their")
        yield (
            f"{_prefixes(dropped)} newly {drops} {its} traffic: connections that a larger route carries there so far "
            "are cut"
        )


def _at_risk(router: RouterPlan) -> bool:
    return router.flows is not None or _cut(router) > 0 or _dropped(router) > 0


def _dropped(router: RouterPlan) -> int:
    """Prefixes that are created to drop what a larger route may have carried."""
    return sum(change.action == "create" and all(hop.discard for hop in change.after) for change in router.changes)


def _cut(router: RouterPlan) -> int:
    """Prefixes that have next hops now, none afterwards, and no route of ours around them."""
    moved = {(shift.vrf, shift.prefix) for shift in router.flows.shifts} if router.flows is not None else set()
    return sum(
        any(not hop.discard for hop in change.before)
        and all(hop.discard for hop in change.after)
        and (change.vrf, change.prefix) not in moved
        for change in router.changes
    )


def _moved(shifts: Sequence[FlowShift], flows: Flows) -> str:
    losing = sum(shift.lose > 0 for shift in shifts)
    gaining = len(shifts) - losing
    parts = [f"{_prefixes(losing)} {'loses' if losing == 1 else 'lose'} next hops"] if losing else []
    if gaining:
        verb = "gains" if gaining == 1 else "gain"
        parts.append(f"{gaining} only {verb} some" if losing else f"{_prefixes(gaining)} {verb} next hops")
    moved, least = _moving(shifts), _percent(shift.unavoidable for shift in shifts)
    impossible = flows.hashing is not None and not flows.configurable
    at_best = "" if moved == least or impossible else f" (with resilient hashing {least})"
    return f"{', '.join(parts)}: about {moved} of {_its(shifts)} existing connections move to another node{at_best}"


def _its(shifts: Sequence[FlowShift]) -> str:
    return "its" if len(shifts) == 1 else "their"


def _moving(shifts: Iterable[FlowShift]) -> str:
    return _percent(share for shift in shifts for share in (shift.moved_min, shift.moved_max))


def _prefixes(number: int) -> str:
    return "1 prefix" if number == 1 else f"{number} prefixes"


def _found(flows: Flows, shifts: Sequence[FlowShift]) -> str:
    safe = sum(shift.resilient for shift in shifts)
    if flows.hashing is None:
        return "not known, the router's configuration is not read"
    if not flows.configurable:
        return "none on this platform"
    if safe in (0, len(shifts)):
        return "configured" if safe else "not configured"
    return f"configured for {safe} of {len(shifts)} prefixes"


def _percent(shares: Iterable[float]) -> str:
    whole = sorted({round(100 * share) for share in shares})
    return f"{whole[0]} %" if len(whole) == 1 else f"{whole[0]} to {whole[-1]} %"

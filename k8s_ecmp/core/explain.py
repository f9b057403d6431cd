"""`why`: all that speaks for or against one prefix, in sentences."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.core.ownership import Marks, foreign_reason, is_owned
from k8s_ecmp.core.selection import RouterView, Selection
from k8s_ecmp.model import DesiredRoute, Prefix, RunningRoutes, Skipped


class NodeAnswer(msgspec.Struct, frozen=True):
    """One node's part in a prefix. `next_hops` are its addresses, empty where it is no next hop."""

    node: str
    next_hops: tuple[str, ...]
    reason: str


class RouterAnswer(msgspec.Struct, frozen=True):
    """What one router makes of a prefix. `running` is None where the router was not read."""

    router: str
    vrf: str
    next_hops: tuple[str, ...]
    notes: tuple[str, ...]
    running: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """The answer to `why PREFIX`. `route` is the prefix's own route or None; `covered_by` the next wider one."""

    prefix: Prefix
    verdict: str
    route: DesiredRoute | None
    covered_by: DesiredRoute | None
    nodes: tuple[NodeAnswer, ...]
    skipped: tuple[Skipped, ...]
    routers: tuple[RouterAnswer, ...] = ()


def explain(
    prefix: Prefix,
    desired: Desired,
    routers: Sequence[RouterView] = (),
    running: Mapping[str, tuple[RunningRoutes, Marks]] | None = None,
) -> Answer:
    """Everything about one prefix.

    Args:
        prefix: asked for; a host prefix for a service address.
        desired: the decision for the cluster.
        routers: whose selections are shown.
        running: by router name, what was read there.
    """
    routes = {route.prefix: route for route in desired.routes}
    route = routes.get(prefix)
    wider = [other for other in desired.routes if other.prefix != prefix and other.prefix.covers(prefix)]
    covered_by = max(wider, key=lambda other: other.prefix.length, default=None)
    unserved = desired.unserved.get(prefix)
    if route is not None and route.kind == "discard":
        verdict = f"discarded: {desired.unserved[prefix].reason}"
    elif route is not None:
        verdict = f"routed to {len(route.nodes)} node{'s' if len(route.nodes) != 1 else ''} as {route.kind}"
    elif unserved is not None:
        verdict = f"not routed: {unserved.reason}"
    elif covered_by is not None:
        verdict = f"no route of its own; {covered_by.prefix} covers it"
    else:
        verdict = "not routed: no service, range or node asks for it"
    subject = route or covered_by
    answers = tuple(_routers(subject, desired, routers, running or {})) if subject is not None else ()
    mentions = re.compile(rf"(?<![\w.:]){re.escape(prefix.address)}(?![\w.]|:\w)")
    return Answer(
        prefix=prefix,
        verdict=verdict,
        route=route,
        covered_by=covered_by if route is None else None,
        nodes=tuple(_nodes(subject, prefix.family, desired)),
        skipped=tuple(skip for skip in desired.skipped if mentions.search(skip.reason)),
        routers=answers,
    )


def _nodes(route: DesiredRoute | None, family: int, desired: Desired) -> list[NodeAnswer]:
    out = []
    for name, verdict in desired.nodes.items():
        chosen = route is not None and name in route.nodes
        hops = verdict.address_of(family) if chosen else ()
        if chosen and route is not None:
            basis = desired.bases.get(route.prefix, "")
            reason = verdict.reason if basis == "eligible" else f"{basis}; {verdict.reason}"
        elif verdict.standing == "out":
            reason = f"out: {verdict.reason}"
        elif not verdict.address_of(family):
            reason = f"has no IPv{family} address"
        elif verdict.standing == "draining":
            reason = verdict.reason
        else:
            reason = "no usable endpoint"
        out.append(NodeAnswer(name, hops, reason))
    return out


def _routers(
    route: DesiredRoute,
    desired: Desired,
    routers: Sequence[RouterView],
    running: Mapping[str, tuple[RunningRoutes, Marks]],
) -> list[RouterAnswer]:
    out = []
    for router in routers:
        selection = Selection(router, desired.nodes)
        selected = selection.of(route)
        notes = [
            f"node {name}: {refusal}"
            for name in route.nodes
            if (refusal := selection.refusal(desired.nodes[name], route.prefix.family)) is not None
        ]
        if route.prefix.family not in router.families:
            selected, notes = selected._replace(addresses=()), [f"its bgp.families has no ipv{route.prefix.family}"]
        elif selected.fallback:
            notes.append(f"fewer nodes than next_hops.minimum ({router.minimum}) fit, so every node is taken")
        if selected.cut:
            notes.append(f"over max_paths ({router.max_paths}): {', '.join(selected.cut)}")
        text = None
        if router.name in running:
            routes, marks = running[router.name]
            present = routes.get(router.vrf, route.prefix)
            if present is None:
                text = "no static route"
            else:
                hops = ", ".join(hop.label for hop in present.next_hops)
                text = f"{hops} (ours)" if is_owned(present, marks) else f"{hops} ({foreign_reason(present, marks)})"
        out.append(RouterAnswer(router.name, router.vrf, selected.addresses, tuple(notes), text))
    return out

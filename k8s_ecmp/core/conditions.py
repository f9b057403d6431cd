"""From when on a node's conditions count: what the API server states, held against what was seen. Pure."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from k8s_ecmp.model import Condition, Node


def not_in_the_future(node: Node, now: datetime) -> Node:
    """The node with no condition of the future."""
    ready, network = not_after(node.ready, now), not_after(node.network_unavailable, now)
    if ready is node.ready and network is node.network_unavailable:
        return node
    return msgspec.structs.replace(node, ready=ready, network_unavailable=network)


def is_ready(condition: Condition | None) -> bool:
    return condition is not None and condition.status == "True"


def is_available(condition: Condition | None) -> bool:
    return condition is None or condition.status != "True"


def since(
    new: Condition | None,
    told: Condition | None,
    kept: Condition | None,
    is_good: Callable[[Condition | None], bool],
    now: datetime,
    *,
    live: bool,
) -> Condition | None:
    """The condition with the time from which on it counts here.

    `told` is what the API said before, `kept` what was made of it. A condition that goes from False to Unknown was bad
    all the time.
    """
    if new == told:
        return kept
    if new is None:
        return None
    good = is_good(new)
    if good != is_good(told):
        return Condition(new.status, now) if live else not_after(new, now)
    if live or not good:
        return Condition(new.status, None if kept is None else kept.since)
    return not_after(new, now)


def not_after(condition: Condition | None, now: datetime) -> Condition | None:
    """The API server's clock may be ahead of ours."""
    if condition is None or condition.since is None or condition.since <= now:
        return condition
    return Condition(condition.status, now)

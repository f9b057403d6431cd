"""Which nodes may be next hops, and with which addresses: rules N1-N7."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from k8s_ecmp.core.damping import Damped, damp
from k8s_ecmp.core.flags import parse_bool
from k8s_ecmp.model import Condition, Node, Skipped, address_family, canonical_address, unroutable
from k8s_ecmp.selector import Selector
from k8s_ecmp.settings import NodeSettings

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
NEXT_HOPS_ANNOTATION = "k8s-ecmp.io/next-hops"
DRAIN_ANNOTATION = "k8s-ecmp.io/drain"
DRAIN_ID_ANNOTATION = "k8s-ecmp.io/drain-id"

# cluster-autoscaler, Karpenter and the out-of-service taint of KEP-2268: the node is going or gone (rule N1).
EXCLUDING_TAINTS = frozenset(
    ("ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "node.kubernetes.io/out-of-service")
)
# medik8s' node-maintenance-operator marks a node that is being emptied in good order.
DRAIN_TAINTS = frozenset(("medik8s.io/drain",))
# OpenShift's machine-config-operator asks with "drain-<config>" before it evicts and reboots, and takes it back with
# "uncordon-<config>" once the node has returned.
MCO_ANNOTATION = "machineconfiguration.openshift.io/desiredDrain"
_MCO_DRAIN = "drain-"

Standing = Literal["eligible", "draining", "out"]


class Health(NamedTuple):
    """What only somebody who has watched a node for a while knows of it.

    `ill`: why its own health check fails, None where it answers or is not asked. `well_since`: since when it answers
    again, None where it never failed. `hold_up_s`: seconds that it must be well before it returns, longer for a node
    that flaps; None: `nodes.hold_up_s`. `ready_held_down` and `network_held_down`: whether it counted as well when that
    condition went bad, so that `nodes.hold_down_s` is given to it; None: that was not seen, and its age tells.
    `excused_until`: its failing
    health check does not count before, because it had been held and may only not have been asked again yet.
    """

    ill: str | None = None
    well_since: datetime | None = None
    hold_up_s: float | None = None
    ready_held_down: bool | None = None
    network_held_down: bool | None = None
    excused_until: datetime | None = None


_UNWATCHED = Health()
_NOTHING_KNOWN: Mapping[str, Health] = MappingProxyType({})
_NO_DRAINS: Mapping[str, str] = MappingProxyType({})


class NodeVerdict(msgspec.Struct, frozen=True):
    """What a node is to us, and why.

    `standing`: "eligible"; "draining" (healthy, but asked to leave: it keeps a Local address that nobody else serves);
    "out". `bad` says that at this moment, undamped, Kubernetes reports the node as not Ready or its own health check
    fails. `selected` says that `nodes.selector` admits it. `annotated` and `internal` hold addresses by family; so does
    `addresses`: those that it gives to whoever prefers none, the annotated ones, else its first InternalIP (rule N6). A
    node whose annotation cannot be read is out and gives none: its InternalIP would be a next hop that nobody asked
    for. `changes_at` is when a hold ends and the verdict may be another; None: it lasts. `cut_off` says that, at this
    moment and undamped, its network is unavailable; `healthy` that it counts as well, damped, whatever else keeps it
    out.
    """

    name: str
    standing: Standing
    reason: str
    bad: bool
    selected: bool
    labels: Mapping[str, str]
    annotated: Mapping[int, tuple[str, ...]]
    internal: Mapping[int, tuple[str, ...]]
    addresses: Mapping[int, tuple[str, ...]]
    changes_at: datetime | None = None
    cut_off: bool = False
    healthy: bool = True

    def address_of(self, family: int) -> tuple[str, ...]:
        """Of the family, those that it gives to whoever prefers none."""
        return self.addresses.get(family, ())


def judge_nodes(
    nodes: Iterable[Node],
    settings: NodeSettings,
    now: datetime,
    drains: Mapping[str, str] = _NO_DRAINS,
    health: Mapping[str, Health] = _NOTHING_KNOWN,
) -> tuple[dict[str, NodeVerdict], list[Skipped]]:
    """A verdict for every node by name, and the annotations that cannot be read.

    Args:
        nodes: all of them, in any order.
        settings: selector, holds.
        now: the time that ages are counted to.
        drains: node -> reason, of signals that stand on no Node object.
        health: by node, what a watcher knows beyond the objects.
    """
    selector = Selector.parse(settings.selector)
    verdicts: dict[str, NodeVerdict] = {}
    skipped: list[Skipped] = []
    for node in sorted(nodes, key=lambda n: n.name):
        verdict, notes = judge_node(
            node, selector, settings, now, drains.get(node.name), health.get(node.name, _UNWATCHED)
        )
        verdicts[node.name] = verdict
        skipped += notes
    return verdicts, skipped


def judge_node(
    node: Node,
    selector: Selector,
    settings: NodeSettings,
    now: datetime,
    drain: str | None = None,
    health: Health = _UNWATCHED,
) -> tuple[NodeVerdict, tuple[Skipped, ...]]:
    """The verdict on one node; arguments as for `judge_nodes`, `selector` is the parsed `nodes.selector`."""
    notes: tuple[Skipped, ...] = ()
    annotated: dict[int, tuple[str, ...]] | None = None
    try:
        annotated = _annotated_addresses(node)
    except ValueError as error:
        notes = (Skipped(f"Node {node.name}", f"annotation {NEXT_HOPS_ANNOTATION}: {error}"),)
    asked = node.annotations.get(DRAIN_ANNOTATION)
    if asked and parse_bool(asked) is None:
        text = f'annotation {DRAIN_ANNOTATION} is "true" or "false", not {asked!r}: ignored'
        notes = (*notes, Skipped(f"Node {node.name}", text))
    return _judge(node, annotated, selector, settings, now, drain, health), notes


def _annotated_addresses(node: Node) -> dict[int, tuple[str, ...]]:
    text = node.annotations.get(NEXT_HOPS_ANNOTATION, "")
    addresses = [canonical_address(part.strip()) for part in text.split(",") if part.strip()]
    for address in addresses:
        if flaw := unroutable(address):
            raise ValueError(f"{address} is {flaw}")
    return _by_family(addresses)


def _by_family(addresses: Iterable[str]) -> dict[int, tuple[str, ...]]:
    by_family: dict[int, tuple[str, ...]] = {}
    for address in addresses:
        family = address_family(address)
        by_family[family] = (*by_family.get(family, ()), address)
    return by_family


def _judge(
    node: Node,
    annotated: dict[int, tuple[str, ...]] | None,
    selector: Selector,
    settings: NodeSettings,
    now: datetime,
    signal: str | None,
    health: Health,
) -> NodeVerdict:
    ready, network, answers = damped = damped_health(node, settings, now, health)
    excuse = health.excused_until if health.ill is not None else None
    if excuse is not None and excuse <= now:
        excuse = None
    selected = selector.matches(node.labels)
    standing: Standing = "out"
    reason = _out_reason(node, selector)
    if annotated is None:
        reason = reason or f"annotation {NEXT_HOPS_ANNOTATION} cannot be read"
    if reason is None:
        if not ready.good:
            reason = ready.text
        elif not network.good:
            reason = network.text
        elif health.ill is not None and excuse is None:
            reason = health.ill
        elif not answers.good:
            reason = answers.text
        else:
            drain = _drain_reason(node, settings) or signal
            standing = "draining" if drain else "eligible"
            held = next((state.text for state in (ready, network) if not state.raw_good), None)
            reason = drain or held or ready.text
    internal = _by_family(node.internal_ips)
    given = {} if annotated is None else {family: found[:1] for family, found in internal.items()} | annotated
    return NodeVerdict(
        name=node.name,
        standing=standing,
        reason=reason,
        bad=node.ready is None or node.ready.status != "True" or health.ill is not None,
        selected=selected,
        labels=node.labels,
        annotated=annotated or {},
        internal=internal,
        addresses=given,
        changes_at=min(
            (until for until in (ready.until, network.until, answers.until, excuse) if until is not None), default=None
        ),
        cut_off=_is_cut_off(node),
        healthy=damped.good and (health.ill is None or excuse is not None),
    )


def is_well(node: Node) -> bool:
    """What Kubernetes says of the node at this moment, undamped (rule N2)."""
    return node.ready is not None and node.ready.status == "True" and not _is_cut_off(node)


def _is_cut_off(node: Node) -> bool:
    return node.network_unavailable is not None and node.network_unavailable.status == "True"


class DampedHealth(NamedTuple):
    """What counts of a node's health: Ready, network available, and answering its health check."""

    ready: Damped
    network: Damped
    answers: Damped

    @property
    def good(self) -> bool:
        return self.ready.good and self.network.good and self.answers.good


def damped_health(node: Node, settings: NodeSettings, now: datetime, health: Health) -> DampedHealth:
    """What counts of it; arguments as for `judge_nodes`."""
    hold_up_s = settings.hold_up_s if health.hold_up_s is None else health.hold_up_s
    ready, network = (
        damp(
            condition,
            good,
            name,
            created=node.created if held_down is None else None,
            now=now,
            hold_down_s=0 if held_down is False else settings.hold_down_s,
            hold_up_s=hold_up_s,
        )
        for condition, good, name, held_down in (
            (node.ready, "True", "Ready", health.ready_held_down),
            (node.network_unavailable, "False", "network available", health.network_held_down),
        )
    )
    answering = Condition("True", health.well_since)
    name = "answering its health check"
    answers = damp(answering, "True", name, created=None, now=now, hold_down_s=0, hold_up_s=hold_up_s)
    return DampedHealth(ready, network, answers)


def _out_reason(node: Node, selector: Selector) -> str | None:
    """Why the node is out whatever its health is (rules N1 and N7)."""
    if node.deleting:
        return "being deleted"
    exclude = node.labels.get(EXCLUDE_LABEL)
    if exclude is not None and parse_bool(exclude) is not False:
        return f"label {EXCLUDE_LABEL}"
    taint = next((taint.key for taint in node.taints if taint.key in EXCLUDING_TAINTS), None)
    if taint is not None:
        return f"taint {taint}"
    failed = selector.explain(node.labels)
    return None if failed is None else f"nodes.selector does not admit it: {failed}"


def _drain_reason(node: Node, settings: NodeSettings) -> str | None:
    """Why the node is to leave in good order (rule N3: a cordon alone does not say so)."""
    if parse_bool(node.annotations.get(DRAIN_ANNOTATION, "")):
        return f"draining: annotation {DRAIN_ANNOTATION}"
    taint = next((taint.key for taint in node.taints if taint.key in DRAIN_TAINTS), None)
    if taint is not None:
        return f"draining: taint {taint}"
    if node.annotations.get(MCO_ANNOTATION, "").startswith(_MCO_DRAIN):
        return f"draining: annotation {MCO_ANNOTATION}"
    if settings.withdraw_on_cordon and node.unschedulable:
        return "draining: cordoned, and nodes.withdraw_on_cordon is set"
    return None

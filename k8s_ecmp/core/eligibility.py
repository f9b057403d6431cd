"""Which nodes may be next hops, and with which addresses: rules N1-N7."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from k8s_ecmp.core.damping import damp
from k8s_ecmp.core.flags import parse_bool
from k8s_ecmp.model import Node, Skipped, address_family, canonical_address
from k8s_ecmp.selector import Selector
from k8s_ecmp.settings import NodeSettings

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
NEXT_HOPS_ANNOTATION = "k8s-ecmp.io/next-hops"
DRAIN_ANNOTATION = "k8s-ecmp.io/drain"

# cluster-autoscaler, Karpenter and the out-of-service taint of KEP-2268: the node is going or gone (rule N1).
EXCLUDING_TAINTS = frozenset(
    ("ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "node.kubernetes.io/out-of-service")
)
# medik8s' node-maintenance-operator marks a node that is being emptied in good order.
DRAIN_TAINTS = frozenset(("medik8s.io/drain",))

Standing = Literal["eligible", "draining", "out"]


class NodeVerdict(msgspec.Struct, frozen=True):
    """What a node is to us, and why.

    `standing`: "eligible"; "draining" (healthy, but asked to leave: it keeps a Local address that nobody else serves);
    "out". `bad` says that Kubernetes itself reports the node as not Ready at this moment, undamped. `selected` says
    that `nodes.selector` admits it. `annotated` and `internal` hold addresses by family. A node whose annotation is not
    `readable` is out and gives no address: its InternalIP would be a next hop that nobody asked for.
    """

    name: str
    standing: Standing
    reason: str
    bad: bool
    selected: bool
    labels: Mapping[str, str]
    annotated: Mapping[int, tuple[str, ...]]
    internal: Mapping[int, tuple[str, ...]]
    readable: bool = True

    def address_of(self, family: int) -> tuple[str, ...]:
        """The annotated addresses of the family, else its first InternalIP, else nothing (rule N6)."""
        if not self.readable:
            return ()
        return self.annotated.get(family) or self.internal.get(family, ())[:1]


def judge_nodes(
    nodes: Iterable[Node], settings: NodeSettings, now: datetime
) -> tuple[dict[str, NodeVerdict], list[Skipped]]:
    """A verdict for every node by name, and the annotations that cannot be read."""
    selector = Selector.parse(settings.selector)
    verdicts: dict[str, NodeVerdict] = {}
    skipped: list[Skipped] = []
    for node in sorted(nodes, key=lambda n: n.name):
        annotated: dict[int, tuple[str, ...]] | None = None
        try:
            annotated = _annotated_addresses(node)
        except ValueError as error:
            skipped.append(Skipped(f"Node {node.name}", f"annotation {NEXT_HOPS_ANNOTATION}: {error}"))
        drain = node.annotations.get(DRAIN_ANNOTATION)
        if drain and parse_bool(drain) is None:
            skipped.append(
                Skipped(
                    f"Node {node.name}", f'annotation {DRAIN_ANNOTATION} is "true" or "false", not {drain!r}: ignored'
                )
            )
        verdicts[node.name] = _judge(node, annotated, selector, settings, now)
    return verdicts, skipped


def _annotated_addresses(node: Node) -> dict[int, tuple[str, ...]]:
    text = node.annotations.get(NEXT_HOPS_ANNOTATION, "")
    return _by_family(canonical_address(part.strip()) for part in text.split(",") if part.strip())


def _by_family(addresses: Iterable[str]) -> dict[int, tuple[str, ...]]:
    by_family: dict[int, tuple[str, ...]] = {}
    for address in addresses:
        family = address_family(address)
        by_family[family] = (*by_family.get(family, ()), address)
    return by_family


def _judge(
    node: Node, annotated: dict[int, tuple[str, ...]] | None, selector: Selector, settings: NodeSettings, now: datetime
) -> NodeVerdict:
    ready = damp(
        node.ready,
        "True",
        "Ready",
        created=node.created,
        now=now,
        hold_down_s=settings.hold_down_s,
        hold_up_s=settings.hold_up_s,
    )
    network = damp(
        node.network_unavailable,
        "False",
        "network available",
        created=node.created,
        now=now,
        hold_down_s=settings.hold_down_s,
        hold_up_s=settings.hold_up_s,
    )
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
        else:
            drain = _drain_reason(node, settings)
            standing = "draining" if drain else "eligible"
            held = next((state.text for state in (ready, network) if not state.raw_good), None)
            reason = drain or held or ready.text
    return NodeVerdict(
        name=node.name,
        standing=standing,
        reason=reason,
        bad=node.ready is None or node.ready.status != "True",
        selected=selected,
        labels=node.labels,
        annotated=annotated or {},
        internal=_by_family(node.internal_ips),
        readable=annotated is not None,
    )


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
    if settings.withdraw_on_cordon and node.unschedulable:
        return "draining: cordoned, and nodes.withdraw_on_cordon is set"
    return None

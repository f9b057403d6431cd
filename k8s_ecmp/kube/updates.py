"""What a watch of the cluster tells: the language between `kube.follow` and whoever follows the cluster.

Updates arrive in the order in which they happened for one kind; kinds are independent of each other. Every update is
frozen and may be passed between threads.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from k8s_ecmp.model import EndpointSlice, Node, Service, ServiceCIDR, Skipped

ObjectKind = Literal["Node", "Service", "EndpointSlice"]
WatchKind = Literal["Node", "Service", "EndpointSlice", "ServiceCIDR", "Drain"]
"""What is followed: three kinds of objects, the service CIDRs, and drain signals that stand on no Node."""


class Listed(NamedTuple):
    """A complete list: it replaces everything known of the kind, so that what vanished unseen vanishes here.

    `objects` are keyed as `Changed.key`; `broken`, by the same keys, are those that cannot be read: they count as
    absent.
    """

    kind: ObjectKind
    objects: Mapping[str, Node | Service | EndpointSlice]
    broken: Mapping[str, Skipped]


class Changed(NamedTuple):
    """One object is new or different. `key` is the node's name, or "namespace/name"."""

    kind: ObjectKind
    key: str
    item: Node | Service | EndpointSlice


class Gone(NamedTuple):
    """One object was deleted, or can no longer be read; then `broken` says why."""

    kind: ObjectKind
    key: str
    broken: Skipped | None = None


class ServiceCIDRsKnown(NamedTuple):
    """All service CIDRs that are known now; they replace the former ones. `skipped` are objects that were left out."""

    cidrs: tuple[ServiceCIDR, ...]
    skipped: tuple[Skipped, ...] = ()


class DrainsKnown(NamedTuple):
    """Drain signals that stand on no Node object (kured's lock): node -> reason, all that are known now."""

    reasons: Mapping[str, str]


class WatchState(NamedTuple):
    """How one watch stands.

    `synced`: a complete list was delivered and the stream that follows it is in order. Otherwise `reason` says in one
    line, for people, why not ("the API server https://... does not answer: connection refused"). `essential` is false
    where a failure holds nothing (service CIDRs that the settings give, drain signals that may not be read).
    """

    kind: WatchKind
    synced: bool
    reason: str | None = None
    essential: bool = True


Update = Listed | Changed | Gone | ServiceCIDRsKnown | DrainsKnown | WatchState

Sink = Callable[[Update], None]
"""Takes an update; returns at once and may be called from any thread."""

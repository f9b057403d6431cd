"""What of a cluster's objects matters: nodes, Services, EndpointSlices, service CIDRs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from k8s_ecmp.model.prefixes import Family, Prefix


class Condition(msgspec.Struct, frozen=True):
    """A node condition: "True", "False" or "Unknown", and since when (None: not said)."""

    status: str
    since: datetime | None = None


class Taint(NamedTuple):
    """A node taint; `value` is "" where none is written."""

    key: str
    value: str
    effect: str


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What of a v1 Node matters. `ready` None: the node never reported."""

    name: str
    internal_ips: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    deleting: bool = False
    ready: Condition | None = None
    network_unavailable: Condition | None = None
    pod_cidrs: tuple[Prefix, ...] = ()
    created: datetime | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What of a v1 Service matters. Addresses are canonical; "None" and empty cluster IPs are left out."""

    namespace: str
    name: str
    type: str = "ClusterIP"
    headless: bool = False
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    load_balancer_notes: tuple[str, ...] = ()
    internal_local: bool = False
    external_local: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of a slice; nulls already read as the API defines them (ready and serving null are true)."""

    node: str | None
    ready: bool = True
    serving: bool = True
    terminating: bool = False


class EndpointSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A discovery.k8s.io/v1 EndpointSlice. `service` is "namespace/name", None where no label says it."""

    namespace: str
    name: str
    service: str | None
    family: Family
    endpoints: tuple[Endpoint, ...] = ()


class Skipped(NamedTuple):
    """Something that was left out, and why. `object` is "Kind namespace/name" or "Kind name"."""

    object: str
    reason: str


class ServiceCIDR(NamedTuple):
    """A service CIDR and where it is known from ("settings", "ServiceCIDR kubernetes", "ConfigMap ...")."""

    prefix: Prefix
    origin: str


@dataclass(frozen=True)
class ClusterState:
    """One consistent view of the cluster. `skipped` lists the objects that could not be read."""

    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    slices: tuple[EndpointSlice, ...] = ()
    service_cidrs: tuple[ServiceCIDR, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    source: str = ""
    warnings: tuple[str, ...] = field(default=())
    drains: Mapping[str, str] = field(default_factory=dict)
    """Node -> reason, of drain signals that stand on no Node object (kured's lock)."""

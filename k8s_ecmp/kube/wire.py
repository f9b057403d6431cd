"""API objects as they come over the wire, with the needed fields alone.

Every field has a default and takes null, as Go's decoder does. What the types cannot say is checked in `convert`.
"""

import msgspec

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
KURED_ANNOTATION = "kured.dev/kured-node-lock"
KURED_FORMER_ANNOTATION = "weave.works/kured-node-lock"


class _Wire(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Unknown fields are ignored; names are Kubernetes' own in camel case."""


class Meta(_Wire, frozen=True, gc=False):
    """`metadata` of an object."""

    name: str | None = None
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    resource_version: str | None = None


class WireCondition(_Wire, frozen=True, gc=False):
    """One of an object's conditions."""

    type: str | None = None
    status: str | None = None
    last_transition_time: str | None = None


class WireTaint(_Wire, frozen=True, gc=False):
    """One of `spec.taints`."""

    key: str | None = None
    value: str | None = None
    effect: str | None = None


class NodeSpec(_Wire, frozen=True, gc=False):
    """`spec` of a Node."""

    # The API's names are podCIDR and podCIDRs, which "camel" would not give.
    pod_cidr: str | None = msgspec.field(default=None, name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")
    taints: tuple[WireTaint, ...] | None = None
    unschedulable: bool | None = None


class NodeAddress(_Wire, frozen=True, gc=False):
    """One of `status.addresses`."""

    type: str | None = None
    address: str | None = None


class NodeStatus(_Wire, frozen=True, gc=False):
    """`status` of a Node."""

    addresses: tuple[NodeAddress, ...] | None = None
    conditions: tuple[WireCondition, ...] | None = None


class WireNode(_Wire, frozen=True, gc=False, tag_field="kind", tag="Node"):
    """v1 Node."""

    api_version: str | None = None
    metadata: Meta | None = None
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ServiceSpec(_Wire, frozen=True, gc=False):
    """`spec` of a Service."""

    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    external_ips: tuple[str, ...] | None = msgspec.field(default=None, name="externalIPs")
    external_traffic_policy: str | None = None
    internal_traffic_policy: str | None = None


class Ingress(_Wire, frozen=True, gc=False):
    """One of `status.loadBalancer.ingress`."""

    ip: str | None = None
    hostname: str | None = None
    ip_mode: str | None = None


class LoadBalancerStatus(_Wire, frozen=True, gc=False):
    """`status.loadBalancer`."""

    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(_Wire, frozen=True, gc=False):
    """`status` of a Service."""

    load_balancer: LoadBalancerStatus | None = None


class WireService(_Wire, frozen=True, gc=False, tag_field="kind", tag="Service"):
    """v1 Service."""

    api_version: str | None = None
    metadata: Meta | None = None
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None


class SliceLabels(_Wire, frozen=True, gc=False):
    """The one label that is read."""

    service: str | None = msgspec.field(default=None, name=SERVICE_NAME_LABEL)


class SliceMeta(_Wire, frozen=True, gc=False):
    """`metadata` of a slice: of its labels the service's name alone."""

    name: str | None = None
    namespace: str | None = None
    labels: SliceLabels | None = None
    resource_version: str | None = None


class EndpointConditions(_Wire, frozen=True, gc=False):
    """What of an endpoint changes; null means as in the API's definition."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class WireEndpoint(_Wire, frozen=True, gc=False):
    """One of `endpoints`."""

    addresses: tuple[str, ...] | None = None
    conditions: EndpointConditions | None = None
    node_name: str | None = None


class WireEndpointSlice(_Wire, frozen=True, gc=False, tag_field="kind", tag="EndpointSlice"):
    """discovery.k8s.io/v1 EndpointSlice."""

    api_version: str | None = None
    metadata: SliceMeta | None = None
    address_type: str | None = None
    endpoints: tuple[WireEndpoint, ...] | None = None

    @property
    def owner(self) -> str | None:
        """The service's name by the slice's label; None without one."""
        labels = self.metadata.labels if self.metadata else None
        return (labels.service or None) if labels else None


class ServiceCIDRSpec(_Wire, frozen=True, gc=False):
    """`spec` of a ServiceCIDR."""

    cidrs: list[str] | None = None


class ServiceCIDRStatus(_Wire, frozen=True, gc=False):
    """`status` of a ServiceCIDR."""

    conditions: list[WireCondition] | None = None


class WireServiceCIDR(_Wire, frozen=True, gc=False, tag_field="kind", tag="ServiceCIDR"):
    """networking.k8s.io/v1 or v1beta1 ServiceCIDR."""

    api_version: str | None = None
    metadata: Meta | None = None
    spec: ServiceCIDRSpec | None = None
    status: ServiceCIDRStatus | None = None


class ConfigData(_Wire, frozen=True, gc=False):
    """`data` of kubeadm-config."""

    cluster_configuration: str | None = msgspec.field(default=None, name="ClusterConfiguration")


class WireConfigMap(_Wire, frozen=True, gc=False, tag_field="kind", tag="ConfigMap"):
    """v1 ConfigMap, of which kubeadm's text alone is read."""

    api_version: str | None = None
    metadata: Meta | None = None
    data: ConfigData | None = None


class Container(_Wire, frozen=True, gc=False):
    """One of `spec.containers`."""

    command: list[str] | None = None
    args: list[str] | None = None


class PodSpec(_Wire, frozen=True, gc=False):
    """`spec` of a Pod."""

    containers: list[Container] | None = None


class WirePod(_Wire, frozen=True, gc=False, tag_field="kind", tag="Pod"):
    """v1 Pod, of which kube-apiserver's command line alone is read."""

    api_version: str | None = None
    metadata: Meta | None = None
    spec: PodSpec | None = None


class LockAnnotation(_Wire, frozen=True, gc=False):
    """kured's lock, under the name of today or that of its former home."""

    lock: str | None = msgspec.field(default=None, name=KURED_ANNOTATION)
    former_lock: str | None = msgspec.field(default=None, name=KURED_FORMER_ANNOTATION)


class DaemonSetMeta(_Wire, frozen=True, gc=False):
    """`metadata` of a DaemonSet."""

    name: str | None = None
    namespace: str | None = None
    annotations: LockAnnotation | None = None
    resource_version: str | None = None


class WireDaemonSet(_Wire, frozen=True, gc=False, tag_field="kind", tag="DaemonSet"):
    """apps/v1 DaemonSet, of which kured's lock alone is read."""

    api_version: str | None = None
    metadata: DaemonSetMeta | None = None

    @property
    def lock(self) -> str | None:
        """The lock's text; None where nobody holds it."""
        annotations = self.metadata.annotations if self.metadata else None
        return annotations.lock or annotations.former_lock if annotations else None


WireObject = WireNode | WireService | WireEndpointSlice | WireServiceCIDR | WireConfigMap | WirePod

KINDS: dict[str, type[WireObject]] = {
    "Node": WireNode,
    "Service": WireService,
    "EndpointSlice": WireEndpointSlice,
    "ServiceCIDR": WireServiceCIDR,
    "ConfigMap": WireConfigMap,
    "Pod": WirePod,
}
API_VERSIONS: dict[str, tuple[str, ...]] = {
    "Node": ("v1",),
    "Service": ("v1",),
    "EndpointSlice": ("discovery.k8s.io/v1",),
    "ServiceCIDR": ("networking.k8s.io/v1", "networking.k8s.io/v1beta1"),
    "ConfigMap": ("v1",),
    "Pod": ("v1",),
}
"""Which versions are read. The same kind of another group is another thing (Knative has a Service too)."""

"""What API objects mean: wire objects to the model's.

Each `read_*` raises ValueError with a text that names field and value; one broken object never costs another.
"""

import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from k8s_ecmp.kube.wire import (
    EndpointConditions,
    Ingress,
    LoadBalancerStatus,
    Meta,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ServiceSpec,
    SliceMeta,
    WireCondition,
    WireEndpointSlice,
    WireNode,
    WireService,
)
from k8s_ecmp.model import (
    Condition,
    Endpoint,
    EndpointSlice,
    Family,
    Node,
    Prefix,
    Service,
    Taint,
    canonical_address,
    unroutable,
)

# This project's, and the drain requests of the OpenShift machine config operator.
_ANNOTATIONS = ("k8s-ecmp.io/", "machineconfiguration.openshift.io/")
_POLICIES = ("Cluster", "Local")
_ADDRESS_TYPES: dict[str, tuple[Family, socket.AddressFamily]] = {
    "IPv4": (4, socket.AF_INET),
    "IPv6": (6, socket.AF_INET6),
}


def read_node(wire: WireNode) -> Node:
    """The model's Node.

    Raises:
        ValueError: a field that the object as a whole depends on is wrong.
    """
    meta = wire.metadata or Meta()
    spec = wire.spec or NodeSpec()
    status = wire.status or NodeStatus()
    conditions = {condition.type: condition for condition in reversed(status.conditions or ())}
    return Node(
        name=_name(meta.name),
        internal_ips=tuple(_internal_ips(status.addresses or ())),
        labels=_labels(meta.labels),
        annotations=read_annotations(meta.annotations),
        taints=tuple(Taint(taint.key or "", taint.value or "", taint.effect or "") for taint in spec.taints or ()),
        unschedulable=spec.unschedulable or False,
        deleting=meta.deletion_timestamp is not None,
        ready=_condition(conditions.get("Ready")),
        network_unavailable=_condition(conditions.get("NetworkUnavailable")),
        pod_cidrs=tuple(_pod_cidrs(spec)),
        created=_time("metadata.creationTimestamp", meta.creation_timestamp),
    )


def read_service(wire: WireService) -> Service:
    """The model's Service.

    Raises:
        ValueError: as `read_node`.
    """
    meta = wire.metadata or Meta()
    spec = wire.spec or ServiceSpec()
    balancer = (wire.status.load_balancer if wire.status else None) or LoadBalancerStatus()
    field = "clusterIPs" if spec.cluster_ips else "clusterIP"
    cluster_ips = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    addresses, notes = _load_balancer(balancer.ingress or ())
    return Service(
        namespace=meta.namespace or "default",
        name=_name(meta.name),
        type=spec.type or "ClusterIP",
        headless="None" in cluster_ips,
        cluster_ips=_addresses(f"spec.{field}", (ip for ip in cluster_ips if ip not in ("", "None"))),
        external_ips=_addresses("spec.externalIPs", spec.external_ips or ()),
        load_balancer_ips=addresses,
        load_balancer_notes=notes,
        internal_local=_is_local("spec.internalTrafficPolicy", spec.internal_traffic_policy),
        external_local=_is_local("spec.externalTrafficPolicy", spec.external_traffic_policy),
        labels=_labels(meta.labels),
        annotations=read_annotations(meta.annotations),
    )


def read_slice(wire: WireEndpointSlice) -> EndpointSlice:
    """The model's EndpointSlice.

    Endpoints without an address are left out, as kube-proxy does (pkg/proxy/endpointslicecache.go).

    Raises:
        ValueError: as `read_node`; also an addressType that is no IP family, and an address that is none of its type.
    """
    meta = wire.metadata or SliceMeta()
    name = _name(meta.name)
    namespace = meta.namespace or "default"
    family, socket_family = _ADDRESS_TYPES.get(wire.address_type or "", (None, socket.AF_UNSPEC))
    if family is None:
        raise ValueError(f"addressType: {wire.address_type!r} is none of IPv4, IPv6")
    endpoints = []
    read_address = socket.inet_pton
    for position, endpoint in enumerate(wire.endpoints or ()):
        addresses = endpoint.addresses
        if not addresses:
            continue
        try:
            for address in addresses:
                read_address(socket_family, address)
        except (OSError, ValueError):
            field = f"endpoints[{position}].addresses"
            raise ValueError(f"{field}: {address!r} is not an {wire.address_type} address") from None
        conditions = endpoint.conditions or _NO_CONDITIONS
        endpoints.append(
            _endpoint(endpoint.node_name or None, conditions.ready, conditions.serving, conditions.terminating)
        )
    return EndpointSlice(
        namespace=namespace,
        name=name,
        service=f"{namespace}/{wire.owner}" if wire.owner else None,
        family=family,
        endpoints=tuple(endpoints),
    )


_NO_CONDITIONS = EndpointConditions()


@lru_cache(maxsize=1 << 14)
def _endpoint(node: str | None, ready: bool | None, serving: bool | None, terminating: bool | None) -> Endpoint:
    """Nulls as the API defines them. Equal endpoints are one object: a cluster has far more of them than of nodes."""
    return Endpoint(node, ready=ready is not False, serving=serving is not False, terminating=terminating is True)


def read_prefix(field: str, text: str) -> Prefix:
    """A CIDR as Go's ParseCIDR takes it: with a length, host bits cleared.

    Raises:
        ValueError: names `field` and the text.
    """
    if "/" not in text:
        raise ValueError(f"{field}: {text!r} is not a CIDR: it has no length")
    try:
        return Prefix.parse(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def read_annotations(all_of_them: dict[str, str] | None) -> dict[str, str]:
    """Those that somebody here reads; most others are long, and change without meaning anything to us."""
    return {key: value for key, value in (all_of_them or {}).items() if key.startswith(_ANNOTATIONS)}


def is_true(conditions: Iterable[WireCondition] | None, kind: str) -> bool:
    """Whether the first condition of this type has the status "True"."""
    found = next((condition for condition in conditions or () if condition.type == kind), None)
    return found is not None and found.status == "True"


def _labels(labels: dict[str, str] | None) -> dict[str, str]:
    """A cluster has few different labels, and every object carries some of them."""
    return {_label_key(key): _label_value(value) for key, value in (labels or {}).items()}


@lru_cache(maxsize=1 << 11)
def _label_key(text: str) -> str:
    """Equal keys are one object."""
    return text


@lru_cache(maxsize=1 << 11)
def _label_value(text: str) -> str:
    """Equal values that are seen often are one object."""
    return text


def _name(name: str | None) -> str:
    if not name:
        raise ValueError("metadata.name: missing")
    return name


def _internal_ips(addresses: Iterable[NodeAddress]) -> Iterable[str]:
    for position, entry in enumerate(addresses):
        if entry.type != "InternalIP":
            continue
        field = f"status.addresses[{position}].address"
        address = _address(field, entry.address or "")
        flaw = unroutable(address)
        if flaw:
            raise ValueError(f"{field}: InternalIP {address} is {flaw}")
        yield address


def _pod_cidrs(spec: NodeSpec) -> Iterable[Prefix]:
    if spec.pod_cidrs:
        for position, text in enumerate(spec.pod_cidrs):
            yield read_prefix(f"spec.podCIDRs[{position}]", text)
    elif spec.pod_cidr:
        yield read_prefix("spec.podCIDR", spec.pod_cidr)


def _condition(wire: WireCondition | None) -> Condition | None:
    if wire is None:
        return None
    since = _time(f"status.conditions[{wire.type}].lastTransitionTime", wire.last_transition_time)
    return Condition(wire.status or "Unknown", since)


def _time(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{field}: {text!r} is not an RFC 3339 time")
    return moment.astimezone(UTC)


def _address(field: str, text: str) -> str:
    try:
        return canonical_address(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def _addresses(field: str, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(_address(field, text) for text in texts)


def _load_balancer(ingress: Iterable[Ingress]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses that kube-proxy answers to, and why the others are not among them (KEP-1860)."""
    addresses, notes = [], []
    for position, point in enumerate(ingress):
        if point.ip:
            address = _address(f"status.loadBalancer.ingress[{position}].ip", point.ip)
            if point.ip_mode in (None, "", "VIP"):
                addresses.append(address)
            else:
                notes.append(f"{address}: ipMode {point.ip_mode}")
        elif point.hostname:
            notes.append(f"{point.hostname}: a host name without an address")
    return tuple(addresses), tuple(notes)


def _is_local(field: str, policy: str | None) -> bool:
    if policy and policy not in _POLICIES:
        raise ValueError(f"{field}: {policy!r} is none of {', '.join(_POLICIES)}")
    return policy == "Local"

"""API objects as tests create them: only the fields that somebody reads."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Document = dict[str, Any]
_LONG = timedelta(days=1)


def split(key: str) -> tuple[str, str]:
    """Namespace and name of "namespace/name"."""
    namespace, _, name = key.partition("/")
    return namespace, name


def moment(ago_s: float = 0) -> str:
    """A time as the API writes it."""
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ready_condition(status: str, since: str) -> Document:
    """A node's Ready condition; `status` "Unknown" is what a node without heartbeats gets."""
    reason = {"True": "KubeletReady", "False": "KubeletNotReady"}.get(status, "NodeStatusUnknown")
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "lastTransitionTime": since,
        "lastHeartbeatTime": since,
    }


def node(
    name: str, addresses: Sequence[str], pod_cidrs: Sequence[str], *, ready_for_s: float | None = None
) -> Document:
    """A Ready node."""
    since = moment(_LONG.total_seconds() if ready_for_s is None else ready_for_s)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)},
        "status": {
            "addresses": [
                *({"type": "InternalIP", "address": address} for address in addresses),
                {"type": "Hostname", "address": name},
            ],
            "conditions": [ready_condition("True", since)],
        },
    }


def service(key: str, *, ports: Sequence[tuple[int, int]] = ((80, 8080),), **spec: Any) -> Document:
    """A dual-stack service whose pods carry the label app=NAME. `ports` are (port, target port)."""
    namespace, name = split(key)
    listed = [{"name": f"p{port}", "port": port, "targetPort": target} for port, target in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ipFamilyPolicy": "PreferDualStack", "selector": {"app": name}, "ports": listed, **spec},
    }


def pod(name: str, namespace: str, app: str, node: str) -> Document:
    """A pod on a node; its status is patched later."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {"nodeName": node, "containers": [{"name": "server", "image": "server"}]},
    }


def running(addresses: Sequence[str], *, ready: bool = True) -> Document:
    """The status of a running pod."""
    return {
        "phase": "Running",
        "podIP": addresses[0],
        "podIPs": [{"ip": address} for address in addresses],
        "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": moment()}],
    }


def endpoint_slice(
    key: str, name: str, endpoints: Sequence[tuple[str, str]], *, port: tuple[str, int] = ("p80", 8080)
) -> Document:
    """A slice made by hand for the service `key`. `endpoints` are (address, node), all of one family."""
    namespace, app = split(key)
    version = ipaddress.ip_address(endpoints[0][0]).version
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": app, "endpointslice.kubernetes.io/managed-by": "hand"},
        },
        "addressType": f"IPv{version}",
        "endpoints": [
            {"addresses": [address], "nodeName": node, "conditions": {"ready": True}} for address, node in endpoints
        ],
        "ports": [{"name": port[0], "port": port[1], "protocol": "TCP"}],
    }


def service_cidr(name: str, *cidrs: str) -> Document:
    """A further range for cluster IPs."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": list(cidrs)},
    }

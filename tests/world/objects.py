"""Nodes, services and pods as the API shows them and kubectl prints them.

Uids, resource versions and the many fields that nobody here reads are present because real files have them.
"""

import hashlib
import ipaddress
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

_NAMESPACE = uuid.UUID("5d0f3b52-8c0b-4a52-9a6e-0a1f2f0c7e11")


class Port(NamedTuple):
    """A port of a service. `target` is the pods' port; `node_port` 0: none."""

    port: int
    target: int
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


@dataclass(frozen=True)
class NodeState:
    """What of a node changes. `ready_since` is the lastTransitionTime of its Ready condition."""

    name: str
    addresses: tuple[str, ...]
    pod_cidrs: tuple[str, ...]
    ready: str
    ready_since: datetime
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    unschedulable: bool = False


@dataclass(frozen=True)
class ServiceState:
    """A service; `key` is namespace/name."""

    key: str
    cluster_ips: tuple[str, ...]
    ports: tuple[Port, ...]
    type: str = "ClusterIP"
    external_policy: str = "Cluster"
    internal_policy: str = "Cluster"
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pod:
    """A pod behind one service, with an address of each family that its node has a pod CIDR of."""

    name: str
    service: str
    node: str
    addresses: tuple[str, ...]
    terminating: bool = False


class Printer:
    """Makes API objects of one cluster's nodes, services and pods; an object's resourceVersion moves when it changes."""

    def __init__(self, created: datetime) -> None:
        self._created = created
        self._versions: dict[str, tuple[str, int]] = {}
        self._version = 41_000

    def _metadata(self, kind: str, name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
        identity = f"{kind}/{namespace}/{name}"
        return {
            **{key: value for key, value in more.items() if value},
            "creationTimestamp": _time(self._created),
            "managedFields": [
                {
                    "apiVersion": "v1",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}},
                    "manager": "kube-controller-manager",
                    "operation": "Update",
                    "time": _time(self._created),
                }
            ],
            "name": name,
            **({"namespace": namespace} if namespace else {}),
            "uid": str(uuid.uuid5(_NAMESPACE, identity)),
        }

    def _versioned(self, document: dict[str, Any]) -> dict[str, Any]:
        """A new resourceVersion for whatever differs from the last time it was printed."""
        metadata = document["metadata"]
        seen, version = self._versions.get(metadata["uid"], ("", 0))
        text = json.dumps(document, sort_keys=True)
        if text != seen:
            self._version = version = self._version + 17
            self._versions[metadata["uid"]] = (text, version)
        metadata["resourceVersion"] = str(version)
        return document

    def node(self, node: NodeState) -> dict[str, Any]:
        labels = {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": node.name,
            "kubernetes.io/os": "linux",
            **node.labels,
        }
        annotations = {
            "node.alpha.kubernetes.io/ttl": "0",
            "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            **node.annotations,
        }
        spec: dict[str, Any] = {"podCIDR": node.pod_cidrs[0], "podCIDRs": list(node.pod_cidrs)}
        taints = []
        if node.unschedulable:
            spec["unschedulable"] = True
            taints.append({"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable"})
        if node.ready != "True":
            key = "node.kubernetes.io/" + ("unreachable" if node.ready == "Unknown" else "not-ready")
            taints.append({"effect": "NoExecute", "key": key, "timeAdded": _time(node.ready_since)})
        if taints:
            spec["taints"] = taints
        addresses = [{"address": address, "type": "InternalIP"} for address in node.addresses]
        return self._versioned(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": self._metadata("Node", node.name, annotations=annotations, labels=labels),
                "spec": spec,
                "status": {
                    "addresses": [*addresses, {"address": node.name, "type": "Hostname"}],
                    "allocatable": {"cpu": "4", "memory": "16290376Ki", "pods": "110"},
                    "capacity": {"cpu": "4", "memory": "16392776Ki", "pods": "110"},
                    "conditions": list(self._conditions(node)),
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                    "images": [{"names": ["registry.k8s.io/pause:3.10"], "sizeBytes": 320368}],
                    "nodeInfo": {
                        "architecture": "amd64",
                        "containerRuntimeVersion": "containerd://2.0.4",
                        "kernelVersion": "6.12.22",
                        "kubeProxyVersion": "",
                        "kubeletVersion": "v1.34.3",
                        "operatingSystem": "linux",
                        "osImage": "Debian GNU/Linux 13 (trixie)",
                    },
                },
            }
        )

    def _conditions(self, node: NodeState) -> Iterator[dict[str, str]]:
        steady = {
            "MemoryPressure": "KubeletHasSufficientMemory",
            "DiskPressure": "KubeletHasNoDiskPressure",
            "PIDPressure": "KubeletHasSufficientPID",
        }
        unknown = node.ready == "Unknown"
        heartbeat = node.ready_since if node.ready != "True" else datetime.now(UTC)
        for kind, reason in steady.items():
            yield {
                "lastHeartbeatTime": _time(heartbeat),
                "lastTransitionTime": _time(node.ready_since if unknown else self._created),
                "message": "Kubelet stopped posting node status." if unknown else f"kubelet has no {kind}",
                "reason": "NodeStatusUnknown" if unknown else reason,
                "status": "Unknown" if unknown else "False",
                "type": kind,
            }
        yield {
            "lastHeartbeatTime": _time(heartbeat),
            "lastTransitionTime": _time(node.ready_since),
            "message": "kubelet is posting ready status" if node.ready == "True" else "kubelet is not ready",
            "reason": {"True": "KubeletReady", "False": "KubeletNotReady"}.get(node.ready, "NodeStatusUnknown"),
            "status": node.ready,
            "type": "Ready",
        }

    def service(self, service: ServiceState) -> dict[str, Any]:
        namespace, _, name = service.key.partition("/")
        families = [f"IPv{ipaddress.ip_address(ip).version}" for ip in service.cluster_ips]
        spec: dict[str, Any] = {
            "clusterIP": service.cluster_ips[0],
            "clusterIPs": list(service.cluster_ips),
            "internalTrafficPolicy": service.internal_policy,
            "ipFamilies": families,
            "ipFamilyPolicy": "SingleStack" if len(families) == 1 else "RequireDualStack",
            "ports": [_port(port) for port in service.ports],
            "selector": {"app": name},
            "sessionAffinity": "None",
            "type": service.type,
        }
        if service.external_ips:
            spec["externalIPs"] = list(service.external_ips)
        if service.type != "ClusterIP" or service.external_ips:
            spec["externalTrafficPolicy"] = service.external_policy
        ingress = [{"ip": ip, "ipMode": "VIP"} for ip in service.load_balancer_ips]
        return self._versioned(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": self._metadata("Service", name, namespace, labels={"app": name}),
                "spec": spec,
                "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
            }
        )

    def slices(self, service: ServiceState, pods: Sequence[Pod], alive: set[str]) -> Iterator[dict[str, Any]]:
        """One slice for each family; endpoints on nodes that are not `alive` are not ready."""
        namespace, _, name = service.key.partition("/")
        for family in sorted({ipaddress.ip_address(ip).version for ip in service.cluster_ips}):
            slice_name = f"{name}-{suffix(f'{service.key}{family}', 5)}"
            owner = {
                "apiVersion": "v1",
                "blockOwnerDeletion": True,
                "controller": True,
                "kind": "Service",
                "name": name,
                "uid": str(uuid.uuid5(_NAMESPACE, f"Service/{namespace}/{name}")),
            }
            endpoints = [_endpoint(pod, family, alive=pod.node in alive) for pod in pods]
            metadata = self._metadata(
                "EndpointSlice",
                slice_name,
                namespace,
                generateName=f"{name}-",
                labels={
                    "app": name,
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    "kubernetes.io/service-name": name,
                },
                ownerReferences=[owner],
            )
            yield self._versioned(
                {
                    "addressType": f"IPv{family}",
                    "apiVersion": "discovery.k8s.io/v1",
                    "endpoints": [endpoint for endpoint in endpoints if endpoint["addresses"]],
                    "kind": "EndpointSlice",
                    "metadata": metadata,
                    "ports": [{"name": p.name, "port": p.target, "protocol": p.protocol} for p in service.ports],
                }
            )


def _endpoint(pod: Pod, family: int, *, alive: bool) -> dict[str, Any]:
    return {
        "addresses": [ip for ip in pod.addresses if ipaddress.ip_address(ip).version == family],
        "conditions": {"ready": alive and not pod.terminating, "serving": alive, "terminating": pod.terminating},
        "nodeName": pod.node,
        "targetRef": {
            "kind": "Pod",
            "name": pod.name,
            "namespace": pod.service.partition("/")[0],
            "uid": str(uuid.uuid5(_NAMESPACE, f"Pod/{pod.name}")),
        },
    }


def _port(port: Port) -> dict[str, Any]:
    document: dict[str, Any] = {"port": port.port, "protocol": port.protocol, "targetPort": port.target}
    if port.name:
        document["name"] = port.name
    if port.node_port:
        document["nodePort"] = port.node_port
    return document


def suffix(text: str, length: int) -> str:
    """A suffix in the style of generated names: no vowels, steady for the same text."""
    letters = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(letters[byte % len(letters)] for byte in hashlib.sha256(text.encode()).digest()[:length])


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

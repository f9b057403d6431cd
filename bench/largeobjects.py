"""The objects of a cluster of 5,000 nodes, 10,000 services and 150,000 endpoints, of real size: 135 MB as JSON."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

NODES, SERVICES, SLICES_EACH, ENDPOINTS_EACH = 5_000, 10_000, 2, 15
ENDPOINTS = SERVICES * ENDPOINTS_EACH
LOCAL_SERVICES = SERVICES // 2
SERVICE_CIDR = "10.96.0.0/12"
_SINCE = "2026-01-10T08:00:00Z"
_SPACE = uuid.UUID("0b0f7a52-6f3e-4a39-8a6f-3f6a7d1c2b10")


def node_name(number: int) -> str:
    return f"node-{number:05}.dc1.example.com"


def node(number: int, *, ready: bool = True, beat: int = 0) -> dict[str, Any]:
    """A node as a kubelet writes it; `beat` moves its heartbeats alone."""
    name = node_name(number)
    high, low = divmod(number, 250)
    conditions = [
        ("NetworkUnavailable", "False", "RouteCreated", "RouteController created a route"),
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", str(ready), "KubeletReady", "kubelet is posting ready status"),
    ]
    resources = {"cpu": "64", "ephemeral-storage": "1855360804Ki", "memory": "527942140Ki", "pods": "250"}
    pods = f"10.{128 + number // 256}.{number % 256}.0/24"
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": _metadata(
            "Node",
            name,
            None,
            {
                "beta.kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/worker": "",
                "node.kubernetes.io/instance-type": "r7525",
                "topology.kubernetes.io/region": "dc1",
                "topology.kubernetes.io/zone": f"dc1-room{number % 4}",
            },
            annotations={
                "csi.volume.kubernetes.io/nodeid": f'{{"csi.example.com":"{name}"}}',
                "node.alpha.kubernetes.io/ttl": "300",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
            fields=70,
        ),
        "spec": {"podCIDR": pods, "podCIDRs": [pods], "providerID": f"metal://dc1/{name}"},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "lastHeartbeatTime": _moment(beat),
                    "lastTransitionTime": _SINCE,
                    "reason": reason,
                    "message": message,
                }
                for kind, status, reason, message in conditions
            ],
            "addresses": [
                {"type": "InternalIP", "address": f"10.32.{high}.{low + 1}"},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": _uid("machine", name).replace("-", ""),
                "systemUUID": _uid("system", name),
                "bootID": _uid("boot", name),
                "kernelVersion": "6.8.0-60-generic",
                "osImage": "Ubuntu 24.04.2 LTS",
                "containerRuntimeVersion": "containerd://2.1.3",
                "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": [
                {
                    "names": [
                        f"registry.example.com/team{image}/app@sha256:{_uid('image', str(image)).replace('-', '') * 2}",
                        f"registry.example.com/team{image}/app:v1.{image}.0",
                    ],
                    "sizeBytes": 104_857_600 + image,
                }
                for image in range(20)
            ],
        },
    }


def service(number: int) -> dict[str, Any]:
    """The first half of the services has the Local traffic policy."""
    name = f"service-{number:05}"
    local = number < LOCAL_SERVICES
    cluster_ip = f"10.{96 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": _metadata(
            "Service",
            name,
            "production",
            {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop", "team": f"team{number % 40}"},
            annotations={"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "production"},
            fields=10,
        ),
        "spec": {
            "ports": [
                {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 30000 + number % 2700},
                {"name": "metrics", "protocol": "TCP", "port": 9090, "targetPort": 9090},
            ],
            "selector": {"app.kubernetes.io/name": name},
            "clusterIP": cluster_ip,
            "clusterIPs": [cluster_ip],
            "type": "NodePort" if local else "ClusterIP",
            "sessionAffinity": "None",
            **({"externalTrafficPolicy": "Local"} if local else {}),
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


def endpoint_slice(number: int, *, flipped: bool = False) -> dict[str, Any]:
    """One of the two slices of a service; `flipped`: its first endpoint is not ready."""
    owner = number // SLICES_EACH
    first = number % SLICES_EACH
    members = range(first, ENDPOINTS_EACH, SLICES_EACH)
    name = f"service-{owner:05}"
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": _metadata(
            "EndpointSlice",
            f"{name}-{first}x7k2",
            "production",
            {
                "app.kubernetes.io/name": name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": name,
            },
            annotations={"endpoints.kubernetes.io/last-change-trigger-time": _SINCE},
            fields=8,
        ),
        "addressType": "IPv4",
        "endpoints": [_endpoint(owner, member, ready=not (flipped and member == first)) for member in members],
        "ports": [
            {"name": "http", "protocol": "TCP", "port": 8080},
            {"name": "metrics", "protocol": "TCP", "port": 9090},
        ],
    }


def _endpoint(owner: int, member: int, *, ready: bool) -> dict[str, Any]:
    at = (owner * 7 + member * 331) % NODES
    pod = f"service-{owner:05}-6d4b75cb6d-{member:05}"
    return {
        "addresses": [f"10.{128 + at // 256}.{at % 256}.{member + 2}"],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "production", "name": pod, "uid": _uid("Pod", pod)},
        "nodeName": node_name(at),
        "zone": f"dc1-room{at % 4}",
    }


def service_cidr(_: int = 0) -> dict[str, Any]:
    return {
        "kind": "ServiceCIDR",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": _metadata("ServiceCIDR", "kubernetes", None, {}),
        "spec": {"cidrs": [SERVICE_CIDR]},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": _SINCE}]},
    }


def _metadata(
    kind: str,
    name: str,
    namespace: str | None,
    labels: dict[str, str],
    *,
    annotations: dict[str, str] | None = None,
    fields: int = 2,
) -> dict[str, Any]:
    """`fields` is how many fields a manager is said to own."""
    owned: dict[str, Any] = {f"f:{name[:12]}{number}": {".": {}, "f:status": {}} for number in range(fields)}
    return {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "uid": _uid(kind, name),
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": _SINCE,
        "labels": labels,
        "annotations": annotations or {},
        "managedFields": [
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": "v1",
                "time": _SINCE,
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": owned},
            }
        ],
    }


def _uid(kind: str, name: str) -> str:
    return str(uuid.uuid5(_SPACE, f"{kind}/{name}"))


def _moment(beat: int) -> str:
    return (datetime(2026, 1, 10, 8, tzinfo=UTC) + timedelta(seconds=10 * beat)).strftime("%Y-%m-%dT%H:%M:%SZ")

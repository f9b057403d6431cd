"""A small cluster with one of everything that matters, and kubectl's own dumps of it under tests/data/clusters.

    python -m tests.world.kube.sample     writes the dumps anew

The control plane n1 is excluded by kubeadm's label; n2 and n3 work. Slices are made here, in the form of the endpoint
slice controller, since no controller runs.
"""

import tempfile
from pathlib import Path
from typing import Any

from tests.world.kube.server import KubeApi

DUMPS = Path(__file__).resolve().parents[2] / "data" / "clusters"
EVERYTHING = "nodes,services,endpointslices,servicecidrs"
DOCUMENTED = "nodes,services,endpointslices"
_EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
_SINCE = "2026-01-05T08:15:30Z"


def objects() -> list[dict[str, Any]]:
    """In an order in which they can be created."""
    control_plane = {"node-role.kubernetes.io/control-plane": "", _EXCLUDE: ""}
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    return [
        node(1, labels=control_plane, taints=[taint]),
        node(2),
        node(3),
        service("kube-dns", "kube-system", clusterIP="10.43.0.10"),
        piece("kube-dns", "kube-system", 4, "n2", "n3"),
        service(
            "nginx",
            type="LoadBalancer",
            clusterIP="10.43.7.20",
            externalTrafficPolicy="Local",
            ingress=[
                {"ip": "203.0.113.7", "ipMode": "VIP"},
                {"ip": "203.0.113.8", "ipMode": "Proxy"},
                {"hostname": "nginx.lb.example.com"},
            ],
        ),
        piece("nginx", "default", 4, "n2"),
        service(
            "web",
            clusterIP="10.43.7.21",
            clusterIPs=["10.43.7.21", "fd43::7:21"],
            ipFamilies=["IPv4", "IPv6"],
            ipFamilyPolicy="RequireDualStack",
            externalIPs=["198.51.100.9"],
            externalTrafficPolicy="Local",
        ),
        piece("web", "default", 4, "n2", "n3"),
        piece("web", "default", 6, "n3"),
        service("database", clusterIP="None"),
        piece("database", "default", 4, "n3"),
        service("elsewhere", type="ExternalName", externalName="www.example.com"),
    ]


def node(number: int, *, labels: dict[str, str] | None = None, taints: list[Any] | None = None) -> dict[str, Any]:
    """Dual-stack, Ready since `_SINCE`."""
    name = f"n{number}"
    steady = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
    cidrs = [f"10.244.{number}.0/24", f"fd44:0:0:{number}::/64"]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs, "taints": taints or []},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": f"10.0.0.{10 + number}"},
                {"type": "InternalIP", "address": f"fd00::{10 + number}"},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "lastTransitionTime": _SINCE,
                    "lastHeartbeatTime": _SINCE,
                    "reason": "r",
                }
                for kind, status in [*((kind, "False") for kind in steady), ("Ready", "True")]
            ],
        },
    }


def service(name: str, namespace: str = "default", *, ingress: list[Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Port 80; `spec` holds the API's own fields."""
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": name}, **spec},
    }
    if ingress:
        document["status"] = {"loadBalancer": {"ingress": ingress}}
    return document


def piece(service_name: str, namespace: str, family: int, *nodes: str, name: str | None = None) -> dict[str, Any]:
    """A slice with one ready endpoint on each of the nodes."""
    form = "10.244.{}.5" if family == 4 else "fd44:0:0:{}::5"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name or f"{service_name}-v{family}",
            "namespace": namespace,
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": service_name,
            },
        },
        "addressType": f"IPv{family}",
        "endpoints": [
            {
                "addresses": [form.format(at.removeprefix("n"))],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": at,
            }
            for at in nodes
        ],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


def create(server: KubeApi) -> None:
    """The whole cluster."""
    for document in objects():
        server.create(document)


def write_dumps() -> None:
    """What users give us: kubectl's own output, in both forms, with and without the service CIDRs."""
    DUMPS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, KubeApi(Path(folder)) as server:
        create(server)
        for name, kinds, form in (
            ("three-nodes.json", EVERYTHING, "json"),
            ("three-nodes.yaml", EVERYTHING, "yaml"),
            ("three-nodes-without-cidrs.json", DOCUMENTED, "json"),
        ):
            (DUMPS / name).write_text(server.kubectl("get", kinds, "--all-namespaces", "--output", form))


if __name__ == "__main__":
    write_dumps()

"""API objects and files for the tests of this folder, as short as the API allows."""

import json
from pathlib import Path
from typing import Any

from k8s_ecmp.kube.file import load_file
from k8s_ecmp.model import ClusterState
from k8s_ecmp.settings import ClusterSettings, Settings


def settings(*cidrs: str) -> Settings:
    return Settings(owner="prod-eu1", tag=4201, cluster=ClusterSettings(service_cidrs=cidrs))


def node(name: object = "n1", **changes: Any) -> dict[str, Any]:
    """`changes` replace whole sections: metadata is merged, spec and status are taken as they are."""
    metadata = {"name": name, **changes.pop("metadata", {})}
    status = {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": status, **changes}


def service(name: object = "s", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    ingress = spec.pop("ingress", None)
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "10.96.0.5", **spec},
    }
    if ingress is not None:
        document["status"] = {"loadBalancer": {"ingress": ingress}}
    return document


def piece(name: object = "s-1", owner: str | None = "s", **changes: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": owner} if owner else None
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.1.5"], "conditions": {}, "nodeName": "n1"}],
        **changes,
    }


def cidr(name: str = "kubernetes", *cidrs: Any, ready: str | None = "True", **changes: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}] if ready else None
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": list(cidrs)},
        "status": {"conditions": conditions},
        **changes,
    }


def kubeadm(subnet: str) -> dict[str, Any]:
    text = f"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking:\n  serviceSubnet: {subnet}\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kubeadm-config", "namespace": "kube-system"},
        "data": {"ClusterConfiguration": text},
    }


def kured(lock: object = None) -> dict[str, Any]:
    """kured's DaemonSet; `lock` is written as JSON into its annotation."""
    metadata: dict[str, Any] = {"name": "kured", "namespace": "kube-system"}
    if lock is not None:
        metadata["annotations"] = {"weave.works/kured-node-lock": json.dumps(lock)}
    labels = {"name": "kured"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "kured", "image": "kured"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec}


def api_server(*command: str, name: str = "kube-apiserver-n1") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"component": "kube-apiserver"}},
        "spec": {"containers": [{"name": "kube-apiserver", "command": ["kube-apiserver", *command]}]},
    }


def listed(*items: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "items": list(items), "kind": "List", "metadata": {"resourceVersion": ""}}


def load(folder: Path, *items: Any, cidrs: tuple[str, ...] = ()) -> ClusterState:
    """The state out of a List with these objects."""
    return load_text(folder, json.dumps(listed(*items)), *cidrs)


def load_text(folder: Path, text: str | bytes, *cidrs: str) -> ClusterState:
    path = folder / "cluster.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_file(str(path), settings=settings(*cidrs))


def at(version: str, made: dict[str, Any]) -> dict[str, Any]:
    """An object with that resource version."""
    return {**made, "metadata": {**made["metadata"], "resourceVersion": version}}

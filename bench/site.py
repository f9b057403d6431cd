"""A user's folder of any size: settings, a cluster as kubectl prints it, an inventory."""

import json
from pathlib import Path
from typing import Any

import yaml

TAG = 4201
SINCE = "2026-01-10T08:00:00Z"


def address(number: int) -> str:
    """The number-th service address of 10.96.0.0/12."""
    number += 1
    return f"10.{96 + number // 65536}.{number // 256 % 256}.{number % 256}"


def hop(number: int) -> str:
    """The number-th node's address."""
    return f"10.192.0.{number + 1}"


def cluster(services: int, nodes: int, gone: int | None = None) -> dict[str, Any]:
    """Local services that every node serves; node `gone` is not Ready and serves none."""
    up = [number for number in range(nodes) if number != gone]
    items: list[dict[str, Any]] = [
        {
            "kind": "Node",
            "metadata": {"name": f"node{number}", "creationTimestamp": SINCE},
            "status": {
                "addresses": [{"type": "InternalIP", "address": hop(number)}],
                "conditions": [
                    {"type": "Ready", "status": str(number in up), "lastTransitionTime": SINCE},
                ],
            },
        }
        for number in range(nodes)
    ]
    for number in range(services):
        name = f"s{number}"
        items.append(
            {
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {
                    "type": "NodePort",
                    "clusterIP": address(number),
                    "clusterIPs": [address(number)],
                    "externalTrafficPolicy": "Local",
                },
            }
        )
        items.append(
            {
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "metadata": {
                    "name": f"{name}-a",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "endpoints": [
                    {"addresses": ["10.244.0.1"], "conditions": {"ready": True}, "nodeName": f"node{node}"}
                    for node in up
                ],
            }
        )
    return {"apiVersion": "v1", "kind": "List", "items": items}


def lay_out(folder: Path, state: dict[str, Any], hosts: dict[str, Any]) -> Path:
    """Writes the folder and returns its settings file."""
    (folder / "inventory").mkdir(parents=True, exist_ok=True)
    write_cluster(folder, state)
    (folder / "inventory/hosts.yaml").write_text(yaml.safe_dump(hosts))
    settings = folder / "k8s-ecmp.yaml"
    settings.write_text(
        yaml.safe_dump(
            {
                "owner": "bench",
                "tag": TAG,
                "cluster": {"source": "cluster.json", "service_cidrs": ["10.96.0.0/12"]},
                "inventory": "inventory",
                "journal": "journal.sqlite",
            }
        )
    )
    return settings


def write_cluster(folder: Path, state: dict[str, Any]) -> None:
    (folder / "cluster.json").write_text(json.dumps(state))

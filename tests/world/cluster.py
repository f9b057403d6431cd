"""A cluster that is changed step by step, and what `kubectl get nodes,services,endpointslices -A -o json` prints of it."""

import ipaddress
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.world.objects import NodeState, Pod, Printer, ServiceState, suffix

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
DRAIN_ANNOTATION = "k8s-ecmp.io/drain"
_LONG_AGO = timedelta(days=41)


class Cluster:
    """The state of one cluster and the verbs that change it."""

    def __init__(self, *, service_cidrs: tuple[str, ...], pod_cidrs: tuple[str, ...]) -> None:
        self.service_cidrs = service_cidrs
        self.pod_cidrs = pod_cidrs
        self.nodes: dict[str, NodeState] = {}
        self.services: dict[str, ServiceState] = {}
        self.pods: dict[str, Pod] = {}
        self._created = datetime.now(UTC) - _LONG_AGO
        self._printer = Printer(self._created)
        self._pods_made: dict[str, int] = {}

    # --- nodes

    def add_node(self, name: str, addresses: tuple[str, ...], pod_cidrs: tuple[str, ...]) -> None:
        """A node that has been Ready for a long time."""
        self.nodes[name] = NodeState(name, addresses, pod_cidrs, "True", self._created)

    def delete_node(self, name: str) -> None:
        """The Node object goes, and its pods with it."""
        del self.nodes[name]
        self.pods = {pod.name: pod for pod in self.pods.values() if pod.node != name}

    def set_ready(self, name: str, status: str = "True", *, since_s: float) -> None:
        """The Ready condition has had `status` ("True", "False", "Unknown") for `since_s` seconds."""
        since = datetime.now(UTC) - timedelta(seconds=since_s)
        self.nodes[name] = replace(self.nodes[name], ready=status, ready_since=since)

    def annotate(self, name: str, key: str, value: str | None) -> None:
        """Sets an annotation of a node; None removes it."""
        self.nodes[name] = replace(self.nodes[name], annotations=_with(self.nodes[name].annotations, key, value))

    def label(self, name: str, key: str, value: str | None) -> None:
        """Sets a label of a node; None removes it."""
        self.nodes[name] = replace(self.nodes[name], labels=_with(self.nodes[name].labels, key, value))

    def drain(self, name: str) -> None:
        """Marks a node as `k8s-ecmp drain` does."""
        self.annotate(name, DRAIN_ANNOTATION, "true")

    def undrain(self, name: str) -> None:
        self.annotate(name, DRAIN_ANNOTATION, None)

    def cordon(self, name: str, *, on: bool = True) -> None:
        self.nodes[name] = replace(self.nodes[name], unschedulable=on)

    # --- services and pods

    def add_service(self, service: ServiceState) -> None:
        self.services[service.key] = service

    def change_service(self, key: str, **fields: Any) -> None:
        """Changes fields of a service: its policies, its external IPs."""
        self.services[key] = replace(self.services[key], **fields)

    def delete_service(self, key: str) -> None:
        """The service goes, and its pods with it."""
        del self.services[key]
        self.pods = {pod.name: pod for pod in self.pods.values() if pod.service != key}

    def scale(self, key: str, *nodes: str) -> tuple[Pod, ...]:
        """The service has one pod for each name in `nodes`; pods that are there already stay."""
        wanted = list(nodes)
        for pod in [pod for pod in self.pods.values() if pod.service == key]:
            if pod.node in wanted and not pod.terminating:
                wanted.remove(pod.node)
            else:
                del self.pods[pod.name]
        for node in wanted:
            pod = self._new_pod(key, node)
            self.pods[pod.name] = pod
        return self.pods_of(key)

    def pods_of(self, key: str) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.pods.values() if pod.service == key)

    def evict(self, node: str) -> tuple[Pod, ...]:
        """The node's pods end: no longer ready, still serving, as while their grace period runs."""
        gone = tuple(replace(pod, terminating=True) for pod in self.pods.values() if pod.node == node)
        self.pods |= {pod.name: pod for pod in gone}
        return gone

    def remove_pods(self, node: str) -> None:
        """The node's pods are gone for good."""
        self.pods = {pod.name: pod for pod in self.pods.values() if pod.node != node}

    def _new_pod(self, key: str, node: str) -> Pod:
        number = self._pods_made[node] = self._pods_made.get(node, 0) + 1
        addresses = tuple(str(ipaddress.ip_network(cidr)[number + 1]) for cidr in self.nodes[node].pod_cidrs)
        name = key.partition("/")[2]
        return Pod(f"{name}-{suffix(name, 9)}-{suffix(f'{key}{node}{number}', 5)}", key, node, addresses)

    # --- API objects

    def write(self, path: Path) -> None:
        """Writes what kubectl would print, as one rename."""
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps(self.document(), indent=4) + "\n")
        new.replace(path)

    def document(self) -> dict[str, Any]:
        """The List that kubectl prints for several kinds."""
        items = [*self.node_objects(), *self.service_objects(), *self.slice_objects()]
        return {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}

    def node_objects(self) -> list[dict[str, Any]]:
        return [self._printer.node(node) for node in self.nodes.values()]

    def service_objects(self) -> list[dict[str, Any]]:
        return [self._printer.service(service) for service in self.services.values()]

    def slice_objects(self) -> list[dict[str, Any]]:
        alive = {node.name for node in self.nodes.values() if node.ready == "True"}
        services = self.services.values()
        return [item for s in services for item in self._printer.slices(s, self.pods_of(s.key), alive)]


def _with(mapping: dict[str, str], key: str, value: str | None) -> dict[str, str]:
    rest = {name: text for name, text in mapping.items() if name != key}
    return rest if value is None else {**rest, key: value}

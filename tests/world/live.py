"""A live cluster in namespaces: a real control plane, a real kube-proxy on every node, FRR routers, and a client.

    client --- street --- router(s) --- lan --- nodes (kube-proxy) --- pods
                             |           |         |
                             +------- management --+   API server, controllers, and whoever manages the routers

`lab` builds clients, routers, nodes and cables. Pods are real servers behind their nodes and objects of the API, patched
Ready by the world, since no kubelet is there to do it; the real controllers make everything else of them.
"""

import contextlib
import ipaddress
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from tests.world import lab as laboratory
from tests.world.frr import FrrRouter
from tests.world.kube import documents, server
from tests.world.kube.documents import split
from tests.world.kube.plane import ControlPlane
from tests.world.kube.proxy import KubeProxy
from tests.world.kube.server import COLLECTIONS, Failed
from tests.world.lab import Lab, NodePlan, Topology, with_length
from tests.world.netns import Namespace, veth, wait_for
from tests.world.nodes import NodeSpace, Server
from tests.world.objects import Pod, suffix

DRAIN_ANNOTATION = "k8s-ecmp.io/drain"
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
_API_ADDRESS = "10.255.0.1"  # of the management network


def missing() -> str | None:
    """Why no live cluster can be built here; None when one can."""
    return laboratory.missing() or server.missing()


def require() -> None:
    """Skips the test where no live cluster can be built."""
    if reason := missing():
        pytest.skip(reason)


def topology(nodes: int = 3, routers: int = 1) -> Topology:
    """Nodes n1, n2 ... at 10.98.0.1N, routers r1, r2 at 10.98.0.1 and .2; everything dual-stack."""
    return Topology(
        lan=("10.98.0.0/24", "fd98::/64"),
        routers={f"r{n}": (f"10.98.0.{n}", f"fd98::{n}") for n in range(1, routers + 1)},
        nodes={
            f"n{n}": NodePlan((f"10.98.0.{10 + n}", f"fd98::{10 + n}"), (f"10.244.{n}.0/24", f"fd44:{n}::/64"))
            for n in range(1, nodes + 1)
        },
        service_cidrs=("10.43.0.0/16", "fd43::/108"),
        pod_cidrs=("10.244.0.0/16", "fd44::/16"),
    )


@dataclass
class Live:
    """One world. `with Live(topology, directory) as live:` builds it and takes everything down after.

    `mode` is kube-proxy's: nftables or iptables. `service_cidrs` are the API server's own, the topology's when None.
    """

    topology: Topology
    directory: Path
    mode: str = "nftables"
    service_cidrs: tuple[str, ...] | None = None
    lab: Lab = field(init=False)
    api: ControlPlane = field(init=False)
    proxies: dict[str, KubeProxy] = field(init=False, default_factory=dict)
    pods: dict[str, Pod] = field(init=False, default_factory=dict)
    _numbers: dict[str, "itertools.count[int]"] = field(init=False, default_factory=dict)
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)

    def start(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends every process and deletes every namespace. May be called twice."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def client(self) -> Namespace:
        return self.lab.client

    @property
    def management(self) -> Namespace:
        """Where the API server listens, and from where routers and nodes are reached."""
        return self.lab.management.namespace

    @property
    def routers(self) -> dict[str, FrrRouter]:
        return self.lab.routers

    @property
    def router(self) -> FrrRouter:
        """The first router."""
        return next(iter(self.lab.routers.values()))

    @property
    def nodes(self) -> dict[str, NodeSpace]:
        return self.lab.nodes

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def addresses(self, family: int, *nodes: str) -> frozenset[str]:
        """Addresses of the nodes in a family; of all nodes when none is named."""
        chosen = nodes or tuple(self.topology.nodes)
        return frozenset(self.address(family, node) for node in chosen)

    def address(self, family: int, node: str) -> str:
        found = self.topology.nodes[node].addresses
        return next(a for a in found if ipaddress.ip_address(a).version == family)

    # --- services and pods

    def add_service(self, key: str, *nodes: str, **spec: Any) -> tuple[str, ...]:
        """Creates a service and a pod of it on each of `nodes`; its cluster IPs, as the API server chose them."""
        made = self.api.create(documents.service(key, **spec))
        for node in nodes:
            self.add_pod(key, node)
        return tuple(made["spec"]["clusterIPs"])

    def add_local(self, key: str, *nodes: str, **spec: Any) -> tuple[str, ...]:
        """As `add_service`, with externalTrafficPolicy Local."""
        return self.add_service(key, *nodes, type="NodePort", externalTrafficPolicy="Local", **spec)

    def service(self, key: str) -> dict[str, Any]:
        document: dict[str, Any] = self.api.get(self._path("Service", key))
        return document

    def change_service(self, key: str, **spec: Any) -> None:
        """Changes fields of a service's spec; None removes one."""
        self.api.patch(self._path("Service", key), {"spec": spec})

    def set_load_balancer_ips(self, key: str, *addresses: str) -> None:
        """What a load-balancer controller writes into the status."""
        ingress = [{"ip": address, "ipMode": "VIP"} for address in addresses]
        self.api.patch(f"{self._path('Service', key)}/status", {"status": {"loadBalancer": {"ingress": ingress}}})

    def delete_service(self, key: str) -> None:
        """The service goes; its pods stay."""
        namespace, name = split(key)
        self.api.delete("Service", name, namespace)

    def remove_service(self, key: str) -> None:
        """The service goes and its pods with it."""
        self.delete_service(key)
        for pod in self.pods_of(key):
            self.remove_pod(pod)

    def scale(self, key: str, *nodes: str) -> list[Pod]:
        """The service has one pod for each name in `nodes`; pods that are there already stay."""
        wanted, surplus = list(nodes), []
        for pod in self.pods_of(key):
            if pod.node in wanted:
                wanted.remove(pod.node)
            else:
                surplus.append(pod)
        for node in wanted:
            self.add_pod(key, node)
        for pod in surplus:
            self.remove_pod(pod)
        return self.pods_of(key)

    def add_by_hand(self, name: str, *nodes: str) -> str:
        """A Local service of one address and its slice, made without pods and controllers; its prefix."""
        key = f"default/{name}"
        only_four: dict[str, Any] = {"selector": None, "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}
        made = self.api.create(documents.service(key, type="NodePort", externalTrafficPolicy="Local", **only_four))
        self.api.create(documents.endpoint_slice(key, f"{name}-hand", _endpoints(nodes)))
        return f"{made['spec']['clusterIP']}/32"

    def place_by_hand(self, name: str, *nodes: str) -> None:
        """The service of `add_by_hand` has an endpoint on each of these nodes now."""
        document = documents.endpoint_slice(f"default/{name}", f"{name}-hand", _endpoints(nodes))
        path = self._path("EndpointSlice", f"default/{name}-hand")
        self.api.patch(path, {"endpoints": document["endpoints"]})

    def remove_by_hand(self, name: str, *, slice_first: bool = False) -> None:
        """Service and slice go, one directly after the other."""
        kinds = [("Service", name), ("EndpointSlice", f"{name}-hand")]
        for kind, own in reversed(kinds) if slice_first else kinds:
            self.api.delete(kind, own)

    def pods_of(self, key: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.service == key]

    def pods_on(self, node: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.node == node]

    def add_pod(self, key: str, node: str, *, ready: bool = True) -> Pod:
        """A pod that serves, then its object."""
        namespace, app = split(key)
        number = next(self._numbers.setdefault(node, itertools.count(2)))
        cidrs = self.topology.nodes[node].pod_cidrs
        name = f"{app}-{suffix(f'{key}{node}{number}', 5)}"
        pod = Pod(name, key, node, tuple(str(ipaddress.ip_network(cidr)[number]) for cidr in cidrs))
        targets = [port["targetPort"] for port in self.service(key)["spec"]["ports"]]
        self._serve(pod, targets).await_ready()
        self.api.create(documents.pod(name, namespace, app, node))
        self.pods[name] = pod
        self.set_pod_ready(pod, ready=ready)
        return pod

    def set_pod_ready(self, pod: Pod, *, ready: bool = True) -> None:
        status = documents.running(pod.addresses, ready=ready)
        self.api.patch(f"{self._pod_path(pod)}/status", {"status": status})

    def terminate_pod(self, pod: Pod) -> None:
        """Asks the pod to end; it serves on until `remove_pod`."""
        self.api.request("DELETE", f"{self._pod_path(pod)}?gracePeriodSeconds=600")

    def remove_pod(self, pod: Pod) -> None:
        """The pod's object goes, then its server."""
        with contextlib.suppress(Failed):  # it may be gone with its node
            self.api.request("DELETE", f"{self._pod_path(pod)}?gracePeriodSeconds=0")
        del self.pods[pod.name]
        if pod.name in self.nodes[pod.node].pods:
            self.nodes[pod.node].remove_pod(pod.name)

    def _serve(self, pod: Pod, targets: Sequence[int]) -> Server:
        """Starts the pod's server: 3306 greets, everything else answers HTTP."""
        roles = [f"{'greet' if target == 3306 else 'http'}:{target}" for target in targets]
        return self.nodes[pod.node].add_pod(pod).serve(roles, {})

    def _pod_path(self, pod: Pod) -> str:
        return self._path("Pod", f"{split(pod.service)[0]}/{pod.name}")

    def _path(self, kind: str, key: str) -> str:
        namespace, name = split(key)
        return f"{COLLECTIONS[kind].format(namespace)}/{name}"

    # --- nodes, as the API sees them

    def add_node(self, name: str, *, ready_for_s: float | None = None) -> None:
        """Creates the Node object of one of the world's nodes; Ready for a long time already when nothing is said."""
        plan = self.topology.nodes[name]
        self.api.create(documents.node(name, plan.addresses, plan.pod_cidrs, ready_for_s=ready_for_s))

    def delete_node(self, name: str) -> None:
        """The Node object goes; the node itself does not notice."""
        self.api.delete("Node", name)

    def set_ready(self, name: str, status: str = "True", *, ago_s: float = 0) -> None:
        """The Ready condition has `status` ("True", "False", "Unknown") since `ago_s` seconds ago."""
        condition = documents.ready_condition(status, documents.moment(ago_s))
        self.api.patch(f"{COLLECTIONS['Node']}/{name}/status", {"status": {"conditions": [condition]}})

    def cordon(self, name: str, *, on: bool = True) -> None:
        self._patch_node(name, {"spec": {"unschedulable": on}})

    def label(self, name: str, key: str, value: str | None) -> None:
        """Sets a label of a node; None removes it."""
        self._patch_node(name, {"metadata": {"labels": {key: value}}})

    def annotate(self, name: str, key: str, value: str | None) -> None:
        """Sets an annotation of a node; None removes it."""
        self._patch_node(name, {"metadata": {"annotations": {key: value}}})

    def taint(self, name: str, *keys: str) -> None:
        """The node has these taints and no others."""
        self._patch_node(name, {"spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in keys]}})

    def _patch_node(self, name: str, body: Mapping[str, Any]) -> None:
        self.api.patch(f"{COLLECTIONS['Node']}/{name}", dict(body))

    # --- nodes, as they are

    def cut(self, node: str) -> None:
        """Pulls every cable of the node; nobody is told."""
        self.lab.cut(node)
        self.management.ip("link set", self._management_port(node), "down")

    def mend(self, node: str) -> None:
        self.management.ip("link set", self._management_port(node), "up")
        self.lab.mend(node)

    def power_off(self, node: str) -> None:
        """The node is dead: cables, kube-proxy, its rules and its pods; nobody is told."""
        self.cut(node)
        self.proxies[node].stop()
        for pod in self.pods_on(node):
            self.nodes[node].remove_pod(pod.name)
        self.nodes[node].namespace.run("nft", "flush", "ruleset")

    def power_on(self, node: str) -> None:
        """The node is back, kube-proxy has made its rules, and its pods serve again under their addresses."""
        self.mend(node)
        started = [
            self._serve(pod, [port["targetPort"] for port in self.service(pod.service)["spec"]["ports"]])
            for pod in self.pods_on(node)
        ]
        for each in started:
            each.await_ready()
        self.proxies[node].start()
        self.proxies[node].await_ready()

    def restore(self, *, proxies: bool = True) -> None:
        """Empties the API of what a test has made of it; every node is cabled, known and Ready for long again.

        `proxies`: kube-proxy runs again on every node too.
        """
        for pod in list(self.pods.values()):
            self.remove_pod(pod)
        self.api.clear()
        self.api.request("DELETE", _LEASES)
        for name, proxy in self.proxies.items():
            self.mend(name)
            self.add_node(name)
            if proxies and proxy.health() == 0:
                proxy.stop()
                proxy.start()
        for proxy in self.proxies.values() if proxies else ():
            proxy.await_ready()

    def clear_routes(self) -> None:
        """Takes every static route off every router by hand."""
        for router in self.routers.values():
            lines = [line.strip() for line in router.running_config().splitlines()]
            routes = [line for line in lines if line.startswith(("ip route ", "ipv6 route "))]
            if routes:
                router.configure("\n".join(f"no {line}" for line in routes))

    def await_slices(self, key: str, endpoints: int, timeout: float = 60) -> None:
        """Returns when the service's slices have that many endpoints, counted in all families."""
        namespace, name = split(key)
        path = COLLECTIONS["EndpointSlice"].format(namespace)
        query = f"{path}?labelSelector=kubernetes.io/service-name%3D{name}"

        def counted() -> bool:
            slices = self.api.get(query)["items"]
            return sum(len(item.get("endpoints") or ()) for item in slices) == endpoints

        wait_for(counted, f"{key} has {endpoints} endpoints", timeout, 0.02)

    def await_unused(self, pod: Pod, timeout: float = 60) -> None:
        """Returns when no kube-proxy but that of the pod's own node sends connections to the pod."""
        others = [space for name, space in self.nodes.items() if name != pod.node]

        def unused() -> bool:
            rules = [space.namespace.run("nft", "list", "ruleset") for space in others]
            return not any(f"{address} " in text for text in rules for address in pod.addresses)

        wait_for(unused, f"no node sends connections to {pod.name}", timeout, 0.1)

    def await_used(self, pod: Pod, timeout: float = 60) -> None:
        """Returns when every kube-proxy sends connections to the pod."""

        def used() -> bool:
            rules = [space.namespace.run("nft", "list", "ruleset") for space in self.nodes.values()]
            return all(f"{address} " in text for text in rules for address in pod.addresses)

        wait_for(used, f"every node sends connections to {pod.name}", timeout, 0.1)

    # --- how it is built

    def _management_port(self, node: str) -> str:
        return f"m-{node}"[:15]

    def _build(self) -> None:
        self.lab = Lab(self.topology, self.directory)
        self._stack.callback(self.lab.stop)
        self.lab.start()
        self._cable()
        cidrs = self.service_cidrs or self.topology.service_cidrs
        self.api = ControlPlane(
            self.directory / "kube", namespace=self.management, address=_API_ADDRESS, service_cidrs=cidrs
        )
        self._stack.callback(self.api.stop)
        self.api.start()
        self.api.kubeconfig(self.kubeconfig)
        for name in self.topology.nodes:
            self.add_node(name)
            proxy = KubeProxy(
                name,
                self.nodes[name].namespace,
                self.directory,
                self.kubeconfig,
                self.topology.pod_cidrs,
                self.mode,
            )
            self._stack.callback(proxy.stop)
            self.proxies[name] = proxy
            proxy.start()
        for proxy in self.proxies.values():
            proxy.await_ready()

    def _cable(self) -> None:
        """The management network reaches every node by a cable of its own, and stands on the LAN as a monitor would."""
        outside = [str(ipaddress.ip_network(prefix)[-3]) for prefix in self.topology.lan]
        lan = self.lab.lan
        veth(lan, "monitor", self.management, "lan", (), with_length(outside, self.topology.lan))
        lan.ip("link set monitor master switch")
        for number, name in enumerate(self.topology.nodes, 1):
            port = self._management_port(name)
            veth(self.management, port, self.nodes[name].namespace, "mgmt", (), [f"10.255.200.{number}/16"])
            self.management.ip("link set", port, "master mgmt0")


def _endpoints(nodes: Iterable[str]) -> list[tuple[str, str]]:
    """One made-up pod on each node: (address, node)."""
    return [(f"10.244.{node.removeprefix('n')}.200", node) for node in nodes]

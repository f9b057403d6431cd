"""The world of a live measurement: an API server with Local services, three nodes, and one FRR router to all of them.

The control plane and whoever speaks to the router by SSH run in the namespace of the management network, the nodes in
namespaces of their own, on that network and on the router's.
"""

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import yaml

from tests.world.fib import GONE, FibHistory, Hops
from tests.world.frr import FrrRouter, Link, ManagementNetwork
from tests.world.kube.server import KubeApi
from tests.world.netns import Namespace, veth, wait_for

NODES = ("node1", "node2", "node3")
POOL = "10.200.0.0/16"
ROUTER_ADDRESS = "10.192.0.254"
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
_CONTROL_ADDRESS = "10.255.0.1"
_SINCE = "2026-01-10T08:00:00Z"
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
_SERVICES = "/api/v1/namespaces/default/services"
_WRITERS = 8
_IDLE_S = 30.0


def hop(node: str) -> str:
    """The node's address towards the router."""
    return f"10.192.0.{node.removeprefix('node')}"


ALL_HOPS: Hops = frozenset(hop(node) for node in NODES)


def address(number: int) -> str:
    """The number-th service's load-balancer address."""
    return f"10.200.{number // 250}.{number % 250 + 1}"


def prefix(number: int) -> str:
    return f"{address(number)}/32"


class Connection:
    """One kept-alive connection to the API server, as admin.

    Args:
        kubeconfig: with a token.
        namespace: from where the server is reached.
    """

    def __init__(self, kubeconfig: Path, namespace: Namespace) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        host, port = cluster["server"].removeprefix("https://").rsplit(":", 1)
        self._token = document["users"][0]["user"]["token"]
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
        self._namespace = namespace
        self._used = float("-inf")
        self.freshen()

    def freshen(self) -> None:
        """Connects anew when the server may have closed the connection, which it does after 90 s without a request."""
        if time.monotonic() - self._used > _IDLE_S:
            self._connection.close()
            with self._namespace.entered():
                self._connection.connect()
            self._used = time.monotonic()

    def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        self._used = time.monotonic()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode(errors='replace')}")
        return json.loads(content)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class World:
    """Use as a context manager.

    Args:
        folder: of its own.
        services: how many Local services stand in it, each with an endpoint on every node.
        config: lines for the router's frr.conf.
        daemons: of the router, beside zebra and staticd.
        api: whether there is a control plane at all.
    """

    def __init__(
        self, folder: Path, services: int, *, config: str = "", daemons: Sequence[str] = (), api: bool = True
    ) -> None:
        self.folder = folder
        self.services = services
        self._config = config
        self._daemons = daemons
        self._with_api = api
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        enter = self._stack.enter_context
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.management = enter(ManagementNetwork())
        fabric = enter(Namespace("fabric"))
        fabric.bridge("fabric0")
        link = Link("fabric", [f"{ROUTER_ADDRESS}/24"], peer=fabric, peer_interface="router")
        self.router = enter(
            FrrRouter(
                "edge1",
                self.folder,
                links=[link],
                config=self._config,
                daemons=self._daemons,
                management=self.management,
            )
        )
        fabric.ip("link set router master fabric0")
        self.nodes = {node: enter(Namespace(node)) for node in NODES}
        for node, namespace in self.nodes.items():
            veth(fabric, node, namespace, "fabric", (), [f"{hop(node)}/24"])
            fabric.ip("link set", node, "master fabric0")
            self.management.attach(namespace)
        self.fib = enter(FibHistory(self.router.netns))
        if self._with_api:
            self.api = enter(
                KubeApi(self.folder / "kube", namespace=self.management.namespace, address=_CONTROL_ADDRESS)
            )
            self.kubeconfig = self.api.kubeconfig(self.folder / "admin.conf")
            self._fill()
            self.connection = enter(self.connect())

    def await_table(self, hops: Hops = ALL_HOPS, timeout_s: float = 120) -> float:
        """The moment at which the router's kernel had exactly `hops` for every service's address (none: no route)."""
        wanted = {prefix(number) for number in range(self.services)}

        def complete() -> bool:
            found = self.fib.table()
            return all(found.get(one, GONE) == hops for one in wanted)

        # The history has the exact times, so that looking seldom costs no precision and takes no time from others.
        wait_for(complete, f"every route has {sorted(hops)}", timeout=timeout_s, interval=0.1)
        return max(self.fib.samples(one)[-1].at for one in wanted)

    def connect(self) -> Connection:
        return Connection(self.kubeconfig, self.management.namespace)

    def _fill(self) -> None:
        for node in NODES:
            self.api.create(_node(node))

        def write(numbers: Iterable[int]) -> None:
            with self.connect() as connection:
                for number in numbers:
                    connection.request("POST", _SLICES, _encoded(_slice(number, NODES)))
                    connection.request("POST", _SERVICES, _encoded(_service(number)))
                    status = {"status": {"loadBalancer": {"ingress": [{"ip": address(number)}]}}}
                    path = f"{_SERVICES}/s{number}/status"
                    connection.request("PATCH", path, _encoded(status), "application/merge-patch+json")

        with ThreadPoolExecutor(_WRITERS) as pool:
            for done in [pool.submit(write, range(k, self.services, _WRITERS)) for k in range(_WRITERS)]:
                done.result()

    # --- changes; the moment before the request is given back

    def set_endpoints(self, number: int, nodes: Sequence[str]) -> float:
        """The number-th service has an endpoint on each of `nodes`."""
        return self._change("PUT", f"{_SLICES}/s{number}-v4", _slice(number, nodes), "application/json")

    def set_ready(self, node: str, ready: bool) -> float:
        """The node's Ready condition."""
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now(), "reason": "bench"}
        return self._change(
            "PATCH", f"/api/v1/nodes/{node}/status", {"status": {"conditions": [condition]}}, _STRATEGIC
        )

    def set_excluded(self, node: str, excluded: bool) -> float:
        """The label that excludes a node from load balancers."""
        labels = {EXCLUDE_LABEL: "true" if excluded else None}
        return self._change("PATCH", f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}}, _STRATEGIC)

    def _change(self, method: str, path: str, document: Any, content_type: str) -> float:
        body = _encoded(document)
        self.connection.freshen()
        started = time.monotonic()
        self.connection.request(method, path, body, content_type)
        return started


_STRATEGIC = "application/strategic-merge-patch+json"


def _encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "InternalIP", "address": hop(name)}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": _SINCE, "reason": "bench"}],
        },
    }


def _service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"s{number}"},
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
    }


def _slice(number: int, nodes: Sequence[str]) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"s{number}-v4", "labels": {"kubernetes.io/service-name": f"s{number}"}},
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.244.{node.removeprefix('node')}.5"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": node,
            }
            for node in nodes
        ],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }

"""What happens in a busy cluster in a day, as the watches tell it: made up, the same in every run."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from k8s_ecmp.kube.updates import Changed, Gone, Listed, ServiceCIDRsKnown, Update, WatchState
from k8s_ecmp.model import Condition, Endpoint, EndpointSlice, Node, Prefix, Service, ServiceCIDR

_SINCE = datetime(2026, 1, 10, 8, tzinfo=UTC)
_CIDR = "10.96.0.0/12"
_ADDRESSES = 2_000
_ENDPOINTS = 5
_MOST_DOWN = 4  # nodes at once
# Of 1,000 events.
_WEIGHTS = {"flip": 700, "move": 100, "heartbeat": 100, "node": 20, "service": 80}


class Story:
    """A cluster and its events.

    Args:
        nodes: how many there are all the time.
        services: how many there are on average; every one is Local and has five endpoints.
    """

    def __init__(self, nodes: int, services: int) -> None:
        self._random = random.Random(20260110)
        self._nodes = {name: _node(number) for number, name in enumerate(f"node{n}" for n in range(nodes))}
        self._names = list(self._nodes)
        self._down: list[str] = []
        self._free = list(range(_ADDRESSES))
        self._made = 0
        self._wanted = services
        self._services: dict[str, Service] = {}
        self._addresses: dict[str, int] = {}
        self._slices: dict[str, EndpointSlice] = {}
        for _ in range(services):
            self._create()

    def beginning(self) -> Iterator[Update]:
        """The lists, and that all is in order."""
        yield Listed("Node", dict(self._nodes), {})
        yield Listed("Service", dict(self._services), {})
        yield Listed("EndpointSlice", dict(self._slices), {})
        yield ServiceCIDRsKnown((ServiceCIDR(Prefix.parse(_CIDR), "story"),))
        for kind in ("Node", "Service", "EndpointSlice", "ServiceCIDR"):
            yield WatchState(kind, synced=True)

    def events(self, count: int) -> Iterator[Update]:
        """At least `count` updates."""
        told = 0
        kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        while told < count:
            for kind in self._random.choices(kinds, weights, k=1_000):
                for update in getattr(self, f"_{kind}")():
                    told += 1
                    yield update

    def calm(self) -> Iterator[Update]:
        """Every node is Ready again, so that no route is held that nobody serves."""
        while self._down:
            yield self._set_ready(self._down.pop(), "True")

    # --- what happens; the names are those of `_WEIGHTS`

    def _flip(self) -> Iterator[Update]:
        """An endpoint becomes ready, or is not any more."""
        key, at = self._any_endpoint()
        old = self._slices[key].endpoints[at]
        yield self._replace(key, at, Endpoint(old.node, ready=not old.ready, serving=not old.ready))

    def _move(self) -> Iterator[Update]:
        """A pod is replaced by one on another node."""
        key, at = self._any_endpoint()
        yield self._replace(key, at, Endpoint(self._random.choice(self._names)))

    def _heartbeat(self) -> Iterator[Update]:
        name = self._random.choice(self._names)
        yield Changed("Node", name, msgspec.structs.replace(self._nodes[name]))

    def _node(self) -> Iterator[Update]:
        """A node is not Ready, or is again."""
        if len(self._down) == _MOST_DOWN or (self._down and self._random.random() < 0.5):
            name, status = self._down.pop(0), "True"
        else:
            name, status = self._random.choice([name for name in self._names if name not in self._down]), "False"
            self._down.append(name)
        yield self._set_ready(name, status)

    def _service(self) -> Iterator[Update]:
        """A service comes, with a name that there never was, or goes with its slice."""
        if len(self._services) < self._wanted * self._random.uniform(0.9, 1.1):
            key = self._create()
            yield Changed("Service", key, self._services[key])
            yield Changed("EndpointSlice", f"{key}-v4", self._slices[f"{key}-v4"])
        else:
            key = self._random.choice(list(self._services))
            del self._services[key], self._slices[f"{key}-v4"]
            self._free.append(self._addresses.pop(key))
            yield Gone("Service", key)
            yield Gone("EndpointSlice", f"{key}-v4")

    def _create(self) -> str:
        self._made += 1
        name = f"service-{self._made:06}"
        number = self._free.pop(self._random.randrange(len(self._free)))
        address = f"10.96.{number // 250}.{number % 250 + 1}"
        key = f"default/{name}"
        self._addresses[key] = number
        self._services[key] = Service(namespace="default", name=name, cluster_ips=(address,), external_local=True)
        where = self._random.sample(self._names, _ENDPOINTS)
        endpoints = tuple(Endpoint(node) for node in where)
        self._slices[f"{key}-v4"] = EndpointSlice(
            namespace="default", name=f"{name}-v4", service=key, family=4, endpoints=endpoints
        )
        return key

    def _set_ready(self, name: str, status: str) -> Update:
        self._nodes[name] = msgspec.structs.replace(self._nodes[name], ready=Condition(status, _SINCE))
        return Changed("Node", name, self._nodes[name])

    def _any_endpoint(self) -> tuple[str, int]:
        return self._random.choice(list(self._slices)), self._random.randrange(_ENDPOINTS)

    def _replace(self, key: str, at: int, endpoint: Endpoint) -> Update:
        endpoints = list(self._slices[key].endpoints)
        endpoints[at] = endpoint
        self._slices[key] = msgspec.structs.replace(self._slices[key], endpoints=tuple(endpoints))
        return Changed("EndpointSlice", key, self._slices[key])


def _node(number: int) -> Node:
    return Node(name=f"node{number}", internal_ips=(f"10.192.0.{number + 1}",), ready=Condition("True", _SINCE))

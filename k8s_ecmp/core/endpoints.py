"""Which endpoints of a service are usable, and the nodes that they make next hops of a Local address."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.model import Endpoint, EndpointSlice

Terminating = Literal["last-resort", "never", "always"]
Key = tuple[str, int]
"""Service "namespace/name" and family."""

_NOBODY: frozenset[str] = frozenset()


class ServiceEndpoints:
    """The usable endpoints of one service in one family: the union over its slices (rule S1).

    Counted by node, so that one slice can be taken out again without looking at the others. `young` are nodes whose
    endpoints do not count yet, because kube-proxy there may not know of them.
    """

    __slots__ = ("_ready", "_ready_anywhere", "_terminating", "_terminating_anywhere", "young")

    def __init__(self, young: AbstractSet[str] = _NOBODY) -> None:
        self._ready: dict[str, int] = {}
        self._terminating: dict[str, int] = {}
        self._ready_anywhere = self._terminating_anywhere = 0
        self.young = young

    def add(self, piece: EndpointSlice) -> None:
        """Counts a slice in."""
        self.count(piece.endpoints, 1)

    def count(self, endpoints: Iterable[Endpoint], by: int) -> None:
        """Counts endpoints of a slice in (1), or out that were counted in before (-1)."""
        for endpoint in endpoints:
            if endpoint.ready:
                self._ready_anywhere += by
                nodes = self._ready
            elif endpoint.serving and endpoint.terminating:
                self._terminating_anywhere += by
                nodes = self._terminating
            else:
                continue
            name = endpoint.node
            if name is not None:
                count = nodes.get(name, 0) + by
                if count:
                    nodes[name] = count
                else:
                    del nodes[name]

    @property
    def nodes(self) -> AbstractSet[str]:
        """Nodes with any usable endpoint, young ones too."""
        return self._ready.keys() | self._terminating.keys() if self._terminating else self._ready.keys()

    def has_grown_up(self, policy: Terminating) -> bool:
        """Whether a node is there that may carry the address under `policy`, and is not young."""
        nodes = self._ready.keys() if policy == "never" else self.nodes
        return any(node not in self.young for node in nodes)

    @property
    def ready(self) -> AbstractSet[str]:
        """Nodes with a ready endpoint that counts."""
        return self._ready.keys() - self.young if self.young else self._ready.keys()

    @property
    def terminating(self) -> AbstractSet[str]:
        """Nodes with an endpoint that terminates and still serves."""
        return self._terminating.keys()

    def usable_anywhere(self, policy: Terminating) -> bool:
        """Whether anything would answer, endpoints without a node too."""
        return bool(self._ready_anywhere) or (policy != "never" and bool(self._terminating_anywhere))

    def usable_on_a_node(self, policy: Terminating) -> bool:
        """Whether anything would answer that stands on a node."""
        return bool(self.ready) or (policy != "never" and bool(self._terminating))


NO_ENDPOINTS = ServiceEndpoints()


def index_endpoints(
    slices: Iterable[EndpointSlice], young: Mapping[Key, AbstractSet[str]] | None = None
) -> dict[Key, ServiceEndpoints]:
    """(service "namespace/name", family) -> its endpoints; `young` by the same keys."""
    index: dict[Key, ServiceEndpoints] = {}
    for piece in slices:
        if piece.service is None:
            continue
        key = (piece.service, piece.family)
        found = index.get(key)
        if found is None:
            found = index[key] = ServiceEndpoints((young or {}).get(key, _NOBODY))
        found.add(piece)
    return index


class Carriers(NamedTuple):
    """The nodes that may carry a Local address of one family, each with its addresses of it."""

    eligible: dict[str, tuple[str, ...]]
    draining: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, verdicts: Mapping[str, NodeVerdict], family: int) -> "Carriers":
        """Those among all nodes."""
        carriers = cls({}, {})
        for name, verdict in verdicts.items():
            carriers.put(name, verdict, family)
        return carriers

    def put(self, name: str, verdict: NodeVerdict | None, family: int) -> None:
        """A node has another verdict; None: it is gone."""
        self.eligible.pop(name, None)
        self.draining.pop(name, None)
        if verdict is None or verdict.standing == "out":
            return
        addresses = verdict.address_of(family)
        if addresses:
            (self.eligible if verdict.standing == "eligible" else self.draining)[name] = addresses


def local_nodes(endpoints: ServiceEndpoints, carriers: Carriers, policy: Terminating) -> tuple[AbstractSet[str], str]:
    """The nodes to which a Local address goes, and what makes them so (rules N4 and N5, KEP-1669).

    In order: ready endpoints on eligible nodes, ready on draining ones, serving-and-terminating on eligible, then on
    draining; never nodes that are out or have no address of the family. `policy` "always" puts terminating endpoints
    beside the ready ones, "never" leaves them out.
    """
    ready = endpoints.ready | endpoints.terminating if policy == "always" else endpoints.ready
    if chosen := carriers.eligible.keys() & ready:
        return chosen, "usable endpoint"
    if chosen := carriers.draining.keys() & ready:
        return chosen, "last usable endpoint, on a draining node"
    if policy == "last-resort":
        if chosen := carriers.eligible.keys() & endpoints.terminating:
            return chosen, "terminating but still serving endpoint"
        if chosen := carriers.draining.keys() & endpoints.terminating:
            return chosen, "terminating but still serving endpoint on a draining node"
    return frozenset(), ""

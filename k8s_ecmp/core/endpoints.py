"""Which endpoints of a service are usable, and the nodes that they make next hops of a Local address."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.model import EndpointSlice

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
        self._count(piece, 1)

    def remove(self, piece: EndpointSlice) -> None:
        """Counts a slice out that was counted in before."""
        self._count(piece, -1)

    def _count(self, piece: EndpointSlice, by: int) -> None:
        for endpoint in piece.endpoints:
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


def local_nodes(
    endpoints: ServiceEndpoints, family: int, verdicts: Mapping[str, NodeVerdict], policy: Terminating
) -> tuple[frozenset[str], str]:
    """The nodes to which a Local address goes, and what makes them so (rules N4 and N5, KEP-1669).

    In order: ready endpoints on eligible nodes, ready on draining ones, serving-and-terminating on eligible, then on
    draining; never nodes that are out or have no address of the family. `policy` "always" puts terminating endpoints
    beside the ready ones, "never" leaves them out.
    """
    ready = endpoints.ready | endpoints.terminating if policy == "always" else endpoints.ready
    tiers = [("usable endpoint", ready, "eligible"), ("last usable endpoint, on a draining node", ready, "draining")]
    if policy == "last-resort":
        tiers.append(("terminating but still serving endpoint", endpoints.terminating, "eligible"))
        tiers.append(("terminating but still serving endpoint on a draining node", endpoints.terminating, "draining"))
    for basis, names, standing in tiers:
        chosen = [
            name
            for name in names
            if (verdict := verdicts.get(name)) is not None
            and verdict.standing == standing
            and verdict.addresses.get(family)
        ]
        if chosen:
            return frozenset(chosen), basis
    return frozenset(), ""

"""Which endpoints of a service are usable, and the nodes that they make next hops of a Local address."""

from collections.abc import Iterable, Mapping
from typing import Literal

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.model import EndpointSlice

Terminating = Literal["last-resort", "never", "always"]


class ServiceEndpoints:
    """The usable endpoints of one service in one family: the union over its slices (rule S1).

    `ready` and `terminating` are names of nodes with a ready, or a serving and terminating endpoint; `anywhere`
    likewise counts endpoints of any place, those without a node too.
    """

    __slots__ = ("ready", "ready_anywhere", "terminating", "terminating_anywhere")

    def __init__(self) -> None:
        self.ready: set[str] = set()
        self.terminating: set[str] = set()
        self.ready_anywhere = False
        self.terminating_anywhere = False

    def usable_anywhere(self, policy: Terminating) -> bool:
        """Whether anything would answer."""
        return self.ready_anywhere or (policy != "never" and self.terminating_anywhere)

    def usable_on_a_node(self, policy: Terminating) -> bool:
        """Whether anything would answer that stands on a node."""
        return bool(self.ready) or (policy != "never" and bool(self.terminating))


NO_ENDPOINTS = ServiceEndpoints()


def index_endpoints(slices: Iterable[EndpointSlice]) -> dict[tuple[str, int], ServiceEndpoints]:
    """(service "namespace/name", family) -> its endpoints."""
    index: dict[tuple[str, int], ServiceEndpoints] = {}
    for piece in slices:
        if piece.service is None:
            continue
        key = (piece.service, piece.family)
        found = index.get(key)
        if found is None:
            found = index[key] = ServiceEndpoints()
        for endpoint in piece.endpoints:
            if endpoint.ready:
                found.ready_anywhere = True
                if endpoint.node is not None:
                    found.ready.add(endpoint.node)
            elif endpoint.serving and endpoint.terminating:
                found.terminating_anywhere = True
                if endpoint.node is not None:
                    found.terminating.add(endpoint.node)
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
        chosen = frozenset(
            name
            for name in names
            if (verdict := verdicts.get(name)) is not None
            and verdict.standing == standing
            and verdict.address_of(family)
        )
        if chosen:
            return chosen, basis
    return frozenset(), ""

"""Which next hops one router gets: its subnets, its node selector, its minimum and its number of paths (N6, N7)."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.model import DesiredRoute, Prefix, sorted_addresses
from k8s_ecmp.router_settings import RouterSettings
from k8s_ecmp.selector import Selector


class RouterView(NamedTuple):
    """A router as the decisions see it: its name and its part of the inventory, parsed."""

    name: str
    vrf: str
    distance: int | None
    max_paths: int
    subnets: tuple[Prefix, ...]
    selector: Selector
    minimum: int
    bfd: bool = False
    track: str | None = None
    failure_domain: str | None = None
    families: tuple[int, ...] = (4, 6)

    @classmethod
    def of(cls, name: str, settings: RouterSettings) -> "RouterView":
        hops = settings.next_hops
        return cls(
            name=name,
            vrf=settings.vrf,
            distance=settings.distance,
            max_paths=settings.carried_paths,
            subnets=tuple(Prefix.parse(subnet) for subnet in hops.subnets),
            selector=Selector.parse(hops.node_selector),
            minimum=hops.minimum,
            bfd=settings.bfd,
            track=settings.track,
            failure_domain=settings.failure_domain,
            families=settings.carried_families,
        )


class Selected(NamedTuple):
    """The next hops of one prefix on one router.

    `fallback`: fewer nodes than `minimum` were preferred, so every node was taken. `cut`: names of the nodes whose
    addresses did not fit into `max_paths`.
    """

    addresses: tuple[str, ...]
    fallback: bool
    cut: tuple[str, ...]


class Selection:
    """The selection of one router; remembers sets of nodes that many prefixes share."""

    def __init__(self, router: RouterView, nodes: Mapping[str, NodeVerdict]) -> None:
        self._router = router
        self._nodes = nodes
        self._pools: dict[tuple[int, tuple[str, ...]], tuple[dict[str, tuple[str, ...]], bool, Selected | None]] = {}

    def of(self, route: DesiredRoute) -> Selected:
        """The next hops of `route` on this router; none for a discard route."""
        key = (route.prefix.family, route.nodes)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._pool(route.prefix.family, route.nodes)
        addresses, fallback, whole = pool
        return whole if whole is not None else self._cut(route.prefix, addresses, fallback)

    def refusal(self, node: NodeVerdict, family: int) -> str | None:
        """Why the router does not prefer the node; None if it does."""
        failed = self._router.selector.explain(node.labels)
        if failed is not None:
            return f"next_hops.node_selector does not admit it: {failed}"
        if not self._preferred(node, family):
            if not node.address_of(family):
                return f"has no IPv{family} address"
            subnets = ", ".join(str(s) for s in self._router.subnets if s.family == family)
            return f"no address in next_hops.subnets ({subnets})"
        return None

    def _pool(self, family: int, names: tuple[str, ...]) -> tuple[dict[str, tuple[str, ...]], bool, Selected | None]:
        """Addresses by node, whether that is the fallback, and the final answer where nothing must be cut."""
        preferred = {
            name: found
            for name in names
            if self._router.selector.matches(self._nodes[name].labels)
            and (found := self._preferred(self._nodes[name], family))
        }
        fallback = len(preferred) < self._router.minimum
        if fallback:
            preferred = {
                name: found
                for name in names
                if (found := self._preferred(self._nodes[name], family) or self._nodes[name].address_of(family))
            }
            fallback = any(self.refusal(self._nodes[name], family) for name in preferred)
        addresses = sorted_addresses(address for found in preferred.values() for address in found)
        fits = len(addresses) <= self._router.max_paths
        return preferred, fallback, Selected(addresses, fallback, ()) if fits else None

    def _preferred(self, node: NodeVerdict, family: int) -> tuple[str, ...]:
        """The annotated addresses; else those inside the subnets, if the family has any; else the first one."""
        annotated = node.annotated.get(family)
        if annotated:
            return annotated
        subnets = [subnet for subnet in self._router.subnets if subnet.family == family]
        if not subnets:
            return node.address_of(family)
        return tuple(
            address
            for address in node.internal.get(family, ())
            if any(subnet.covers(Prefix.host(address)) for subnet in subnets)
        )

    def _cut(self, prefix: Prefix, addresses: Mapping[str, tuple[str, ...]], fallback: bool) -> Selected:
        ranked = rendezvous(self._router.name, str(prefix), addresses)
        chosen: list[str] = []
        cut: list[str] = []
        for name in ranked:
            fresh = [address for address in addresses[name] if address not in chosen]
            room = self._router.max_paths - len(chosen)
            chosen.extend(fresh[:room])
            if len(fresh) > room:
                cut.append(name)
        return Selected(sorted_addresses(chosen), fallback, tuple(sorted(cut)))


def rendezvous(router: str, prefix: str, nodes: Iterable[str]) -> list[str]:
    """Nodes by falling weight for this router and prefix (highest random weight hashing, Thaler and Ravishankar 1998).

    Taking the first n of the list, a node that leaves changes only its own slot.
    """
    seed = hashlib.blake2b(f"{router}\0{prefix}\0".encode(), digest_size=8)

    def weight(node: str) -> tuple[bytes, str]:
        state = seed.copy()
        state.update(node.encode())
        return state.digest(), node

    return sorted(nodes, key=weight, reverse=True)

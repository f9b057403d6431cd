"""The EndpointSlices as they are told of, one by one: the endpoints of the services that ask for them, by node.

Slices may come before their service and stay after it. Nothing here knows a clock: times are arguments.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from k8s_ecmp.core.endpoints import NO_ENDPOINTS, Key, ServiceEndpoints
from k8s_ecmp.model import Endpoint, EndpointSlice
from k8s_ecmp.settings import ServiceSettings

_FAMILIES = (4, 6)
_NOBODY: frozenset[str] = frozenset()


class LiveEndpoints:
    """Every slice, and for each asking service and family its endpoints. Young ones do not count yet."""

    def __init__(self, settings: ServiceSettings, touch: Callable[[str, int], None]) -> None:
        """Knows no slice yet.

        Args:
            settings: how long a node's first endpoint of a service is young, and which endpoints count.
            touch: called with a service and a family whose endpoints are different.
        """
        self._settings = settings
        self._touch = touch
        self._slices: dict[str, EndpointSlice] = {}
        self._of_service: dict[str, set[str]] = {}
        self._asking: set[str] = set()
        self._endpoints: dict[Key, ServiceEndpoints] = {}
        self._on_node: defaultdict[str, set[Key]] = defaultdict(set)
        self._young: dict[Key, dict[str, datetime]] = {}
        self._just_left: defaultdict[Key, set[str]] = defaultdict(set)
        self._thinned: set[Key] = set()
        self._deadlines: list[tuple[datetime, str, int]] = []

    # --- what is told ---

    def put(self, key: str, piece: EndpointSlice, now: datetime, *, live: bool) -> None:
        """A slice is new or different; nodes that it adds are young where it is `live`."""
        old = self._slices.get(key)
        if old == piece:
            return
        self._slices[key] = piece
        if old is not None and old.service != piece.service:
            self._unlink(key, old)
        if piece.service is not None:
            self._of_service.setdefault(piece.service, set()).add(key)
        if old is not None and (old.service, old.family) != (piece.service, piece.family):
            self._recount(old, None, now, live=live)
            old = None
        self._recount(old, piece, now, live=live)

    def drop(self, key: str, now: datetime) -> None:
        """A slice is gone."""
        old = self._slices.pop(key, None)
        if old is not None:
            self._unlink(key, old)
            self._recount(old, None, now, live=True)

    def ask(self, service: str, young_from: datetime | None) -> None:
        """A service's endpoints matter from now on; all its nodes are young where `young_from` is given."""
        if service in self._asking:
            return
        self._asking.add(service)
        for name in self._of_service.get(service, ()):
            piece = self._slices[name]
            self._endpoints.setdefault((service, piece.family), ServiceEndpoints()).add(piece)
        for key, found in self._both(service):
            for node in found.nodes:
                self._on_node[node].add(key)
            if young_from is not None:
                self._make_young(key, found, found.nodes, young_from)

    def forget(self, service: str) -> None:
        """They do not matter any more."""
        self._asking.discard(service)
        for key, found in self._both(service):
            for node in found.nodes:
                self._leave(node, key)
            del self._endpoints[key]
            self._young.pop(key, None)

    # --- time ---

    def next_deadline(self) -> datetime | None:
        """When `advance` has something to do; None: never."""
        return self._deadlines[0][0] if self._deadlines else None

    def advance(self, now: datetime) -> None:
        """Nodes that have been young for long enough count."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, service, family = heapq.heappop(self._deadlines)
            young = self._young.get((service, family), {})
            for node in [node for node, due in young.items() if due <= now]:
                del young[node]
            self._touch(service, family)

    def count_young(self, service: str, family: int) -> bool:
        """Lets the young nodes of a service count now; whether there were any."""
        young = self._young.get((service, family))
        if not young:
            return False
        young.clear()
        self._touch(service, family)
        return True

    def settle(self) -> None:
        """All of this decision is told: a node that comes back from now on is young.

        Where nothing else is left to carry an address, better a node whose kube-proxy may be late than none.
        """
        self._just_left.clear()
        for service, family in self._thinned:
            if not self.of((service, family)).has_grown_up(self._settings.terminating):
                self.count_young(service, family)
        self._thinned.clear()

    # --- what follows ---

    def of(self, key: Key) -> ServiceEndpoints:
        """The endpoints of a service and family."""
        return self._endpoints.get(key, NO_ENDPOINTS)

    def on_node(self, node: str) -> Collection[Key]:
        """Services and families with a usable endpoint on a node, young or not."""
        return self._on_node.get(node, ())

    @property
    def names(self) -> AbstractSet[str]:
        return self._slices.keys()

    def objects(self) -> tuple[EndpointSlice, ...]:
        return tuple(self._slices.values())

    def young(self) -> dict[Key, frozenset[str]]:
        """The nodes of each service and family that are young."""
        return {key: frozenset(found.young) for key, found in self._endpoints.items() if found.young}

    # --- inside ---

    def _both(self, service: str) -> list[tuple[Key, ServiceEndpoints]]:
        keys = [(service, family) for family in _FAMILIES]
        return [(key, found) for key in keys if (found := self._endpoints.get(key)) is not None]

    def _recount(self, old: EndpointSlice | None, new: EndpointSlice | None, now: datetime, *, live: bool) -> None:
        """Replaces what one slice gives to its service in its family."""
        piece = new or old
        if piece is None or piece.service not in self._asking:
            return
        key = (piece.service, piece.family)
        found = self._endpoints.get(key)
        if found is None:
            found = self._endpoints[key] = ServiceEndpoints()
        lost, gained = _difference(old, new)
        touched = {endpoint.node for endpoint in (*lost, *gained) if endpoint.node is not None}
        before = found.nodes & touched
        had_grown_up = found.has_grown_up(self._settings.terminating)
        found.count(gained, 1)
        found.count(lost, -1)
        after = found.nodes & touched
        for node in after - before:
            self._on_node[node].add(key)
        young = self._young.get(key, {})
        for node in before - after:
            self._leave(node, key)
            if young.pop(node, None) is None:
                self._just_left[key].add(node)
        # Slices are replaced by others with the same endpoints: what was there before is no first endpoint.
        if live and (fresh := after - before - self._just_left.get(key, _NOBODY)):
            self._make_young(key, found, fresh, now)
        if had_grown_up and not found.has_grown_up(self._settings.terminating):
            self._thinned.add(key)
        self._touch(*key)

    def _make_young(self, key: Key, found: ServiceEndpoints, nodes: AbstractSet[str], now: datetime) -> None:
        if delay_s := self._settings.add_delay_s:
            due = now + timedelta(seconds=delay_s)
            young = self._young.setdefault(key, {})
            young |= dict.fromkeys(nodes, due)
            found.young = young.keys()
            heapq.heappush(self._deadlines, (due, *key))

    def _leave(self, node: str, key: Key) -> None:
        keys = self._on_node[node]
        keys.remove(key)
        if not keys:
            del self._on_node[node]

    def _unlink(self, key: str, old: EndpointSlice) -> None:
        if old.service is not None:
            keys = self._of_service[old.service]
            keys.remove(key)
            if not keys:
                del self._of_service[old.service]


def _difference(old: EndpointSlice | None, new: EndpointSlice | None) -> tuple[Sequence[Endpoint], Sequence[Endpoint]]:
    """The endpoints that are lost and gained: those that differ, or all where one came or went."""
    before, after = old.endpoints if old else (), new.endpoints if new else ()
    if len(before) != len(after):
        return before, after
    # Equal endpoints are mostly one object.
    pairs = [(was, now) for was, now in zip(before, after, strict=True) if was is not now]
    return [was for was, _ in pairs], [now for _, now in pairs]

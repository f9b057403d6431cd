"""Words for every next hop that comes or goes, and for every prefix."""

from collections.abc import Iterable, Iterator
from functools import cached_property

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.core.selection import Selected, Selection
from k8s_ecmp.model import DesiredRoute, NextHop, Prefix, RouteChange, address_family, sorted_labels

_DISTANCE = "administrative distance"
_OPTION = "the option"
ADOPTS = "adopts "
"""How the reason begins that names a route of others that is taken over."""
OF_STAYING = (_DISTANCE, _OPTION)
"""How reasons begin that speak of next hops that stay."""


class Reasons:
    """Explains changes of one router against the decision for the cluster. Remembers what many prefixes share."""

    def __init__(self, desired: Desired, selection: Selection) -> None:
        self._desired = desired
        self._selection = selection
        self._absent: dict[tuple[str, int], str] = {}

    @cached_property
    def _owners(self) -> dict[str, str]:
        """Address -> node; of several with one address the one that is best off."""
        owners: dict[str, str] = {}
        for name, verdict in sorted(self._desired.nodes.items(), key=lambda item: _fitness(item[1])):
            for pool in (verdict.internal, verdict.annotated):
                for addresses in pool.values():
                    owners.update(dict.fromkeys(addresses, name))
        return owners

    @cached_property
    def _by_sources(self) -> dict[Prefix, tuple[str, ...]]:
        return {route.prefix: route.sources for route in self._desired.routes}

    def is_dead(self, address: str) -> bool:
        """Whether no node has the address, or its node is not Ready or without a network."""
        owner = self._owners.get(address)
        if owner is None:
            return True
        verdict = self._desired.nodes[owner]
        return verdict.bad or verdict.cut_off

    def draining(self, address: str) -> str | None:
        """The node that has the address, where it leaves in good order."""
        owner = self._owners.get(address)
        return owner if owner is not None and self._desired.nodes[owner].standing == "draining" else None

    def explained(self, change: RouteChange, asked: tuple[DesiredRoute, Selected] | None) -> RouteChange:
        """The change with its reasons; `asked` is what the router shall have at the prefix, None for nothing."""
        if change.action == "delete" or asked is None:
            reasons = self.delete(change.prefix)
        elif change.action == "create":
            reasons = self.create(asked[0])
        else:
            reasons = self.update(*asked, change.before, change.after)
        return RouteChange(change.action, change.vrf, change.prefix, change.before, change.after, reasons)

    def create(self, route: DesiredRoute) -> tuple[str, ...]:
        """Why a route comes to be."""
        if route.kind == "discard":
            return (f"{_all(route.sources)}: {self._desired.unserved[route.prefix].reason}",)
        basis = self._desired.bases.get(route.prefix, "")
        nodes = _all(route.nodes)
        if route.kind == "host" and basis != "eligible":
            return (f"{_all(route.sources)}: {basis} on {nodes}",)
        if route.kind == "pod-cidr":
            return (f"{_all(route.sources)}",)
        return (f"{_all(route.sources)}: eligible nodes {nodes}",)

    def delete(self, prefix: Prefix) -> tuple[str, ...]:
        """Why a route goes."""
        unserved = self._desired.unserved.get(prefix)
        if unserved is not None:
            return (f"{_all(unserved.sources)}: {unserved.reason}",)
        sources = self._by_sources.get(prefix)
        if sources is not None:
            return (f"{_all(sources)}: no next hop is left for this router",)
        return ("no service, range or node asks for it any more",)

    def update(
        self, route: DesiredRoute, selected: Selected, before: Iterable[NextHop], after: Iterable[NextHop]
    ) -> tuple[str, ...]:
        """Why the next hops differ: a reason for each that comes or goes, and for what changes at those that stay."""
        before = tuple(before)
        old = {hop.label: hop for hop in before}
        new = {hop.label: hop for hop in after}
        out = [self._gained(route, new[label]) for label in new if label not in old]
        out += [self._lost(route, selected, old[label]) for label in sorted_labels(old.keys() - new.keys())]
        out += _rewritten([(hop, new[hop.label]) for hop in before if hop.label in new])
        return tuple(dict.fromkeys(out))

    def _gained(self, route: DesiredRoute, hop: NextHop) -> str:
        if hop.address is None:
            return self.create(route)[0]
        name = self._owners.get(hop.address, hop.address)
        basis = self._desired.bases.get(route.prefix, "")
        if route.kind == "host" and basis != "eligible":
            return f"node {name} has a {basis}"
        if route.kind == "pod-cidr":
            return f"node {name} has this pod CIDR"
        return f"node {name} is eligible: {self._desired.nodes[name].reason}"

    def _lost(self, route: DesiredRoute, selected: Selected, hop: NextHop) -> str:
        if hop.discard:
            return f"{_all(route.sources)}: there is a next hop again"
        if hop.address is None or hop.interface is not None or hop.vrf is not None:
            return f"next hop {hop.label} is not how this router's next hops are written"
        name = self._owners.get(hop.address)
        if name is None:
            return f"no node has the address {hop.address}"
        verdict = self._desired.nodes[name]
        if verdict.standing == "out":
            return f"node {name} is out: {verdict.reason}"
        if name in selected.cut:
            return f"node {name} is over this router's max_paths"
        if name in route.nodes:
            family = address_family(hop.address)
            key = (name, family)
            if key not in self._absent:
                refusal = self._selection.refusal(verdict, family)
                self._absent[key] = refusal or f"{hop.address} is not the address that it gives"
            return f"node {name}: {self._absent[key]}"
        if verdict.standing == "draining":
            return f"node {name} is {verdict.reason}"
        return f"node {name} has no usable endpoint"


def _fitness(verdict: NodeVerdict) -> tuple[bool, int]:
    return not verdict.bad, ("out", "draining", "eligible").index(verdict.standing)


def still_wanted(desired: Desired) -> dict[Prefix, str]:
    """Prefixes without a next hop that service and settings still want, and why they have none."""
    return {
        prefix: f"{_all(unserved.sources)} {unserved.reason}"
        for prefix, unserved in desired.unserved.items()
        if unserved.wanted
    }


def _all(names: Iterable[str], most: int = 8) -> str:
    listed = list(names)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest} more" if rest > 0 else "")


def _rewritten(staying: Iterable[tuple[NextHop, NextHop]]) -> Iterator[str]:
    """What is written otherwise on next hops that stay, each as it stands and as it shall."""
    differing = [(old, new) for old, new in staying if old != new]
    moved = [(old.distance, new.distance) for old, new in differing if old.distance != new.distance]
    if moved:
        was, now = (_distances(set(values)) for values in zip(*moved, strict=True))
        yield f"{_DISTANCE} {was} -> {now}"
    options = {(old.options, new.options) for old, new in differing if sorted(old.options) != sorted(new.options)}
    yield from (f"{_OPTION} {_exchange(*both)}" for both in sorted(options))


def _exchange(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """Which words come or go. What both have at their beginning or end stays."""
    more, fewer, what = (new, old, "comes") if len(new) > len(old) else (old, new, "goes")
    rest = len(more) - len(fewer)
    for words, others in ((more[:rest], more[rest:]), (more[len(fewer) :], more[: len(fewer)])):
        if words and others == fewer:
            return f"'{' '.join(words)}' {what}"
    return f"'{' '.join(old)}' gives way to '{' '.join(new)}'"


def _distances(values: Iterable[int | None]) -> str:
    return ", ".join("default" if value is None else str(value) for value in sorted(values, key=lambda v: v or 0))

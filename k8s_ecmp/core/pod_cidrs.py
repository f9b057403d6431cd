"""Which nodes each pod CIDR belongs to."""

from bisect import insort
from collections.abc import Sequence

from k8s_ecmp.model import Prefix


class PodCidrs:
    """Of every node; one that two nodes state belongs to both."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Prefix, ...]] = {}
        self._nodes: dict[Prefix, list[str]] = {}

    def move(self, node: str, after: tuple[Prefix, ...]) -> set[Prefix]:
        """Replaces a node's; returns those that were or are its own, nothing where they are the same."""
        before = self._of.get(node, ())
        if before == after:
            return set()
        for prefix in set(before):
            self._nodes[prefix].remove(node)
            if not self._nodes[prefix]:
                del self._nodes[prefix]
        for prefix in set(after):
            insort(self._nodes.setdefault(prefix, []), node)
        if after:
            self._of[node] = after
        else:
            del self._of[node]
        return {*before, *after}

    def of(self, node: str) -> Sequence[Prefix]:
        return self._of.get(node, ())

    def nodes(self, prefix: Prefix) -> Sequence[str]:
        """The nodes whose pod CIDR it is, sorted."""
        return self._nodes.get(prefix, ())

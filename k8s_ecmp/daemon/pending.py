"""What waits for one router, and when it is due: the first change of a quiet time at once, what follows together."""

from collections.abc import Collection
from typing import NamedTuple

from k8s_ecmp.model import Prefix

LONGEST_S = 0.5
"""A steady stream of changes does not put a batch off for longer."""


class Batch(NamedTuple):
    """`prefixes` None: everything is to be looked at. `since_s`: when the oldest change was told of, None: none was."""

    prefixes: frozenset[Prefix] | None
    since_s: float | None


class Pending:
    """Collects prefixes. Times are readings of a monotonic clock, in seconds. Not for several threads."""

    def __init__(self, coalesce_s: float) -> None:
        self._coalesce_s = coalesce_s
        self._prefixes: set[Prefix] = set()
        self._everything = False
        self._since_s: float | None = None
        self._last_s = float("-inf")
        self._at_once = False

    def __bool__(self) -> bool:
        return self._since_s is not None

    def add(self, prefixes: Collection[Prefix] | None, now_s: float) -> None:
        """More to look at; None: everything."""
        if self._since_s is None:
            self._since_s = now_s
            self._at_once = now_s - self._last_s >= self._coalesce_s
        self._last_s = now_s
        self._look_at(prefixes)

    def put_back(self, batch: Batch, now_s: float) -> None:
        """A batch that could not be worked on; it does not wait for others again."""
        since_s = now_s if batch.since_s is None else batch.since_s
        self._since_s = since_s if self._since_s is None else min(self._since_s, since_s)
        self._at_once = True
        self._look_at(batch.prefixes)

    @property
    def prefixes(self) -> frozenset[Prefix]:
        """Those that wait by name."""
        return frozenset(self._prefixes)

    def due_s(self) -> float | None:
        """When to begin; None: nothing waits."""
        if self._since_s is None:
            return None
        if self._at_once:
            return self._since_s
        return min(self._last_s + self._coalesce_s, self._since_s + LONGEST_S)

    def _look_at(self, prefixes: Collection[Prefix] | None) -> None:
        if prefixes is None:
            self._everything = True
            self._prefixes.clear()
        elif not self._everything:
            self._prefixes.update(prefixes)

    def take(self) -> Batch:
        """All that waits."""
        assert self._since_s is not None  # noqa: S101  callers ask `due_s` first
        batch = Batch(None if self._everything else frozenset(self._prefixes), self._since_s)
        self._prefixes.clear()
        self._everything, self._since_s = False, None
        return batch

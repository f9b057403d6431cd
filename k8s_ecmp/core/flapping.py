"""How long a node must be well before it returns: longer, the more often it was lost lately."""

from collections import deque
from datetime import datetime, timedelta

MOST = 10
"""`hold_up_s` is multiplied by this at most."""
_REMEMBERED_HOLDS = 40
_REMEMBERED_AT_LEAST_S = 600.0
_REMEMBERED_NODES = 64


class Flaps:
    """Counts the losses of each node. Time is an argument.

    The first loss costs `hold_up_s`, each further one within the remembered time twice as much, up to `MOST` times. A
    loss is forgotten after 40 holds, but not before 10 minutes.
    """

    def __init__(self, hold_up_s: float) -> None:
        self._hold_up_s = hold_up_s
        self._remembered = timedelta(seconds=max(_REMEMBERED_AT_LEAST_S, _REMEMBERED_HOLDS * hold_up_s))
        self._losses: dict[str, deque[datetime]] = {}
        self._most = _REMEMBERED_NODES

    def lost(self, node: str, now: datetime) -> None:
        """The node, which had been well, is not."""
        losses = self._losses.setdefault(node, deque(maxlen=8))
        losses.append(now)
        if len(self._losses) > self._most:
            self._forget(now)
            self._most = max(_REMEMBERED_NODES, 2 * len(self._losses))

    def hold_up_s(self, node: str, now: datetime) -> float:
        """Seconds that the node must be well, as things are."""
        losses = self._losses.get(node, ())
        recent = sum(1 for at in losses if at > now - self._remembered)
        factor: int = min(MOST, 2 ** max(0, recent - 1))
        return self._hold_up_s * factor

    def forgive(self, node: str) -> None:
        """Its last loss was none."""
        losses = self._losses.get(node)
        if losses:
            losses.pop()
            if not losses:
                del self._losses[node]

    def drop(self, node: str) -> None:
        """The node is gone."""
        self._losses.pop(node, None)

    def _forget(self, now: datetime) -> None:
        for node in [node for node, losses in self._losses.items() if losses[-1] <= now - self._remembered]:
            del self._losses[node]

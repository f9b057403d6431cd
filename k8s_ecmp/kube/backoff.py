"""How long to wait before the next attempt."""

import random
from dataclasses import dataclass

LONGEST_ASKED_S = 300.0
"""A server that asks for more (Retry-After) is asked again all the same."""


@dataclass(frozen=True)
class Pace:
    """The times of a watch, in seconds.

    Args:
        silence_s: without a byte for so long a stream counts as broken; the server sends a bookmark every 60 s.
        list_s: the same for a list, which comes without pauses or not at all.
        first_pause_s: before the second attempt, doubled with each further one (client-go's reflector: 0.8 s).
        longest_pause_s: no pause is longer, but where the server asks for it.
        healthy_s: after so long in order the pauses start anew.
        shortest_stream_s: a stream that ends sooner counts as a failure.
        refused_pause_s: before the next attempt at something that may well be forbidden or missing for ever.
        ask_again_s: before what is not watched (kubeadm's ConfigMap) is asked again whether it knows a service CIDR.
        watch_s: the server is asked to end a watch after a time within these bounds, so that they are spread.
    """

    silence_s: float = 70.0
    list_s: float = 30.0
    first_pause_s: float = 0.8
    longest_pause_s: float = 30.0
    healthy_s: float = 120.0
    shortest_stream_s: float = 1.0
    refused_pause_s: float = 300.0
    ask_again_s: float = 180.0
    watch_s: tuple[int, int] = (300, 600)


class Backoff:
    """Exponential with full jitter, so that many watches that fail together do not come again together."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._bound_s = pace.first_pause_s

    def pause_s(self, asked_s: float | None = None) -> float:
        """Seconds before the next attempt.

        Args:
            asked_s: what the server asks for (Retry-After), which is the least.
        """
        pause_s = random.uniform(0, self._bound_s)  # noqa: S311  no secret
        self._bound_s = min(self._bound_s * 2, self._pace.longest_pause_s)
        return pause_s if asked_s is None else min(asked_s, LONGEST_ASKED_S) + pause_s

    def in_order_for(self, elapsed_s: float) -> None:
        """Takes note of how long the last stream was in order."""
        if elapsed_s >= self._pace.healthy_s:
            self._bound_s = self._pace.first_pause_s

"""Who watches a rollout: told of its waves, of each router's steps and results, and of its pauses."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from k8s_ecmp.model import CommitResult


class Spectator(Protocol):
    """Told by several threads at once; what it raises is lost."""

    def begins(self, waves: Sequence[Sequence[str]]) -> None:
        """The routers that will be changed, in their waves."""
        ...

    def wave(self, number: int) -> None:
        """A wave begins, counted from 0."""
        ...

    def step(self, router: str, step: str) -> None:
        """A router has come to a step."""
        ...

    def ended(self, result: CommitResult) -> None:
        """What became of a router; a second time where it was taken back after it had been committed."""
        ...

    def pauses(self, routers: Sequence[str], seconds: float) -> None:
        """A pause begins, in which these routers are verified again."""
        ...


class Unheeded:
    """Tells a spectator, and raises nothing: whether somebody can be told decides nothing about a router."""

    def __init__(self, spectator: Spectator) -> None:
        self._spectator = spectator

    def begins(self, waves: Sequence[Sequence[str]]) -> None:
        with suppress(Exception):
            self._spectator.begins(waves)

    def wave(self, number: int) -> None:
        with suppress(Exception):
            self._spectator.wave(number)

    def step(self, router: str, step: str) -> None:
        with suppress(Exception):
            self._spectator.step(router, step)

    def ended(self, result: CommitResult) -> None:
        with suppress(Exception):
            self._spectator.ended(result)

    def pauses(self, routers: Sequence[str], seconds: float) -> None:
        with suppress(Exception):
            self._spectator.pauses(routers, seconds)


class _Nobody:
    def begins(self, waves: Sequence[Sequence[str]]) -> None:
        """Looks away."""

    def wave(self, number: int) -> None:
        """Looks away."""

    def step(self, router: str, step: str) -> None:
        """Looks away."""

    def ended(self, result: CommitResult) -> None:
        """Looks away."""

    def pauses(self, routers: Sequence[str], seconds: float) -> None:
        """Looks away."""


NOBODY: Spectator = _Nobody()
"""For scripts that look at the results alone."""

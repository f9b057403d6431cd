"""What keeps account of the changes of routers, as far as the way to a router knows it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from k8s_ecmp.errors import EcmpError
from k8s_ecmp.model import CommitResult, RouteChange


class Record(Protocol):
    """Told of every change before it is begun and after it has ended; by several threads at once."""

    def begin(
        self, router: str, changes: Sequence[RouteChange], commands: Sequence[str], *, takes_back: bool = False
    ) -> None:
        """A router is about to be changed.

        Args:
            router: its name.
            changes: what is about to be done.
            commands: what is about to be sent.
            takes_back: it is the way back from the change of the same run that was begun on it before.

        Raises:
            EcmpError: it could not be written down, and so must not be done.
        """
        ...

    def end(self, result: CommitResult) -> None:
        """What became of a router's plan, or of the way back from it.

        Raises:
            EcmpError: it could not be written down.
        """
        ...


def ended(record: Record, result: CommitResult) -> CommitResult:
    """Writes down what became of a router's plan; where that cannot be done, the result says so."""
    try:
        record.end(result)
    except EcmpError as error:
        lost = f"what became of this could not be written down: {error}"
        return msgspec.structs.replace(result, recorded=False, warnings=(*result.warnings, lost))
    return result


class _Unrecorded:
    def begin(
        self, router: str, changes: Sequence[RouteChange], commands: Sequence[str], *, takes_back: bool = False
    ) -> None:
        """Keeps nothing."""

    def end(self, result: CommitResult) -> None:
        """Keeps nothing."""


UNRECORDED: Record = _Unrecorded()
"""For scripts that keep account in their own way."""

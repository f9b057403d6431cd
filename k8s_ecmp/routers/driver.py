"""The driver that the transaction needs: the part of NAPALM's `NetworkDriver` that changes configurations."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from k8s_ecmp.model import Prefix


class Driver(Protocol):
    """NAPALM's own method names and shapes, so that NAPALM's drivers and this project's are one to the transaction.

    Drivers of this project raise `k8s_ecmp.errors.RouterError` subclasses; what NAPALM's drivers raise is translated
    where they are called. Of `rollback` a `CommitFailed` says that no timer takes the commit back any more either: it
    was ended, or it was not ours; after every other error the timer goes on, or the router is at it already.
    """

    def open(self) -> None: ...
    def close(self) -> None: ...
    def is_alive(self) -> Mapping[str, bool]: ...
    def get_config(self, retrieve: str = "all") -> Mapping[str, str]: ...
    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None: ...
    def compare_config(self) -> str: ...
    def commit_config(self, message: str = "", revert_in: int | None = None) -> None: ...
    def confirm_commit(self) -> None: ...
    def has_pending_commit(self) -> bool: ...
    def rollback(self) -> None: ...
    def discard_config(self) -> None: ...
    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]: ...


@runtime_checkable
class Watching(Protocol):
    """A driver that can tell, without reading the configuration again, whether others were there."""

    def changed_by_others(self) -> bool:
        """Whether another session has changed something since the last read; asks the router."""


@runtime_checkable
class Looking(Protocol):
    """A driver's attribute `keeping`: its session costs the router less where nothing but questions will be asked."""

    def open_to_look(self) -> None:
        """As `Driver.open`."""


@runtime_checkable
class Settling(Protocol):
    """A driver's attribute `keeping`: it can tell without the router's lock that no run left anything to take back."""

    def settle(self) -> None:
        """Takes back what a run that died left pending or half done; takes the lock only where there is something.

        Raises:
            RouterError: as `Driver.load_merge_candidate`.
        """


@runtime_checkable
class Noting(Protocol):
    """A driver's attribute `keeping`: a session can have the router write down what another one will ask for."""

    def write_down(self, commands: Sequence[str]) -> Any:
        """The note of what runs and of the answers to these show commands; None where the router cannot."""

    def fetch(self, note: Any) -> bool:
        """Fetches the note of another session, for `Driver.get_config` and `Driver.cli`; whether it was there."""

    def forget(self) -> None:
        """They ask the router again."""


@runtime_checkable
class Saving(Protocol):
    """A driver's attribute `keeping`: its session saves the startup configuration later than it commits."""

    @property
    def unsaved(self) -> bool:
        """Whether the startup configuration may lack a commit."""


@runtime_checkable
class Insuring(Protocol):
    """A driver that commits nothing before the router holds a state to go back to."""

    def commit_way_back(self) -> None:
        """Commits a candidate that is itself the way back of a change: also where the router can hold no such state.

        Raises:
            RouterError: as `Driver.commit_config`.
        """


@runtime_checkable
class Telling(Protocol):
    """A driver that keeps what the router warned of where it did what it was asked to do."""

    def warnings(self) -> tuple[str, ...]:
        """What it said since it was last asked for, each once and without secrets."""


class Comparison(NamedTuple):
    """How a receiver's table differs from what is announced to it, a sentence each; and what could not be compared."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Comparing(Protocol):
    """The attribute `receiver` of a BGP peer's driver: the router itself, to be read."""

    def compare(self, expected: Mapping[Prefix, frozenset[str]], *, whole: bool) -> Comparison:
        """Compares its table with what is announced, which is all there is where `whole`; never raises."""
        ...

    def why_down(self) -> str:
        """What it says of a session that is not established; "": nothing. Never raises."""
        ...

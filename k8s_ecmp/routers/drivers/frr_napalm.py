"""The FRR driver for users of NAPALM: the same router, NAPALM's base class and NAPALM's exceptions.

`napalm.base.get_network_driver` finds drivers in packages of the names `napalm_X` and `custom_napalm.X` alone; a
one-line module `custom_napalm/frr.py` with `from k8s_ecmp.routers.drivers.frr_napalm import FRRDriver` makes
`get_network_driver("frr")` work.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from napalm.base.base import NetworkDriver
from napalm.base.exceptions import (
    CommandErrorException,
    CommitConfirmException,
    CommitError,
    ConnectAuthError,
    ConnectionException,
    ConnectTimeoutError,
    LockError,
    MergeConfigException,
    ReplaceConfigException,
)

from k8s_ecmp.errors import (
    AuthenticationFailed,
    CommitFailed,
    ConfigRejected,
    ConfirmExpired,
    DeadlineExceeded,
    HostKeyRejected,
    LockHeld,
    RouterError,
    Unreachable,
)
from k8s_ecmp.routers.drivers.frr import FrrDriver


@contextlib.contextmanager
def _translated(rejected: type[Exception], other: type[Exception] = CommandErrorException) -> Iterator[None]:
    try:
        yield
    except ConfigRejected as error:
        raise rejected(str(error)) from error
    except ConfirmExpired as error:
        raise CommitConfirmException(str(error)) from error
    except CommitFailed as error:
        raise CommitError(str(error)) from error
    except LockHeld as error:
        raise LockError(str(error)) from error
    except AuthenticationFailed as error:
        raise ConnectAuthError(str(error)) from error
    except DeadlineExceeded as error:
        raise ConnectTimeoutError(str(error)) from error
    except (HostKeyRejected, Unreachable) as error:
        raise ConnectionException(str(error)) from error
    except RouterError as error:
        raise other(str(error)) from error


class FRRDriver(FrrDriver, NetworkDriver):  # type: ignore[misc]
    """`FrrDriver` as a NAPALM driver."""

    def open(self) -> None:
        with _translated(ConnectionException, ConnectionException):
            super().open()

    def get_config(
        self, retrieve: str = "all", full: bool = False, sanitized: bool = False, format: str = "text"
    ) -> dict[str, str]:
        with _translated(CommandErrorException):
            return super().get_config(retrieve, full, sanitized, format)

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:
        with _translated(CommandErrorException):
            return super().cli(commands, encoding)

    def get_facts(self) -> dict[str, Any]:
        with _translated(CommandErrorException):
            return super().get_facts()

    def get_route_to(
        self, destination: str = "", protocol: str = "", longer: bool = False
    ) -> dict[str, list[dict[str, Any]]]:
        with _translated(CommandErrorException):
            return super().get_route_to(destination, protocol, longer)

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        with _translated(MergeConfigException):
            super().load_merge_candidate(filename, config)

    def load_replace_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        with _translated(ReplaceConfigException):
            super().load_replace_candidate(filename, config)

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        with _translated(CommitError):
            super().commit_config(message, revert_in)

    def confirm_commit(self) -> None:
        with _translated(CommitError):
            super().confirm_commit()

    def has_pending_commit(self) -> bool:
        with _translated(CommandErrorException):
            return super().has_pending_commit()

    def rollback(self) -> None:
        with _translated(CommitError):
            super().rollback()

    def discard_config(self) -> None:
        with _translated(CommandErrorException):
            super().discard_config()

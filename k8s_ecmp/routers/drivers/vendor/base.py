"""What the drivers of NAPALM have in common, and what of their pitfalls.

A subclass holds one of NAPALM's drivers as `device`, says how its candidate is locked, compared and taken back, and
translates what it raises. Everything that leaves this package is a `RouterError`.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from k8s_ecmp.errors import (
    AuthenticationFailed,
    CommitFailed,
    ConfigRejected,
    EcmpError,
    HostKeyRejected,
    LockHeld,
    RouterError,
    Unreachable,
)
from k8s_ecmp.redaction import sanitized


class VendorDriver:
    """One router behind one of NAPALM's drivers, with the method names of `routers.driver.Driver`.

    Args:
        hostname: the router.
        username: the login.
        password: its password; "" where keys are used.
        timeout: seconds for one command.
        optional_args: NAPALM's, and `k8s_ecmp_owner`, the settings' `owner`, for the names of candidates.
    """

    napalm_name: ClassVar[str]

    def __init__(
        self, hostname: str, username: str, password: str, timeout: float = 60, optional_args: Any = None
    ) -> None:
        from napalm import get_network_driver

        for library in ("pyeapi", "napalm.pyIOSXR"):  # they log what they raise: tracebacks, and what a router said
            logging.getLogger(library).setLevel(logging.CRITICAL)
        options = dict(optional_args or {})
        self._warnings: list[str] = []
        self.hostname = hostname
        self.owner: str = options.pop("k8s_ecmp_owner", None) or "k8s-ecmp"
        self.options = self.prepared(options)
        with self.translated("read the inventory's options"):
            driver = get_network_driver(self.napalm_name)
            self.device: Any = driver(hostname, username, password, timeout=timeout, optional_args=dict(self.options))

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options for NAPALM: safe defaults where the inventory says nothing."""
        return options

    # --- verbs ---

    def open(self) -> None:
        """Connects.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: it did not work.
        """
        with self.translated("connect"):
            self.device.open()

    def close(self) -> None:
        """Ends the connection; a commit whose timer runs stays pending, an open candidate does not."""
        with contextlib.suppress(Exception):
            self.device.close()

    def is_alive(self) -> Mapping[str, bool]:
        """{"is_alive": whether the session lives}."""
        with contextlib.suppress(Exception):
            alive: Mapping[str, bool] = self.device.is_alive()
            return alive
        return {"is_alive": False}

    def get_config(self, retrieve: str = "all") -> Mapping[str, str]:
        """The configuration's texts as "running", "startup", "candidate"."""
        with self.translated("read the configuration"):
            texts: Mapping[str, str] = self.device.get_config(retrieve=retrieve)
            return texts

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Loads commands into the candidate; "" takes the lock alone and clears away what a dead run of ours left.

        Raises:
            LockHeld: somebody else is changing the router.
            ConfigRejected: it refused a line; nothing is in force.
        """
        if not filename and not config:
            self.lock()
            return
        with self.translated("load the candidate"):
            self.device.load_merge_candidate(filename=filename, config=config)

    def lock(self) -> None:
        """Takes the lock where the platform has one before the candidate is loaded.

        Raises:
            LockHeld: somebody else has it.
        """

    def compare_config(self) -> str:
        """The router's own diff of the candidate, as it prints it."""
        with self.translated("compare"):
            return str(self.device.compare_config())

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Puts the candidate in force, and into the startup configuration where the driver does that.

        Raises:
            CommitFailed: it broke off; the caller reads again before it decides.
        """
        with self.translated("commit"):
            self.device.commit_config(message=message, revert_in=revert_in)

    def has_pending_commit(self) -> bool:
        """Whether a commit waits for its confirm, anybody's."""
        return False

    def confirm_commit(self) -> None:
        """Makes a commit with a timer final.

        Raises:
            ConfirmExpired: the router has already taken it back.
        """
        with self.translated("confirm"):
            self.device.confirm_commit()

    def rollback(self) -> None:
        """Takes back this driver's commit whose timer still runs.

        Raises:
            CommitFailed: it cannot, and no timer of ours runs any more.
            RouterError: it cannot, and the timer goes on.
        """
        raise CommitFailed(f"{self.napalm_name} has no commit timer to end")

    def discard_config(self) -> None:
        """Throws the candidate away and gives the lock back; a commit whose timer runs is left alone."""
        with self.translated("discard"):
            self.device.discard_config()

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:
        """The answers to show commands."""
        with self.translated("ask"):
            answers: dict[str, Any] = self.device.cli(commands, encoding=encoding)
            return answers

    # --- warnings ---

    def heed(self, warning: str) -> None:
        """Keeps what the router said beside doing what it was asked to do."""
        self._warnings.append(warning)

    def warnings(self) -> tuple[str, ...]:
        """As `routers.driver.Telling`."""
        warnings, self._warnings = tuple(dict.fromkeys(self._warnings)), []
        return warnings

    # --- errors ---

    def translate(self, error: Exception, what: str) -> RouterError | None:  # noqa: ARG002
        """The platform's own words for an error of its libraries; None: the common ones."""
        return None

    @contextlib.contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Makes every error in it a `RouterError` that says what was being done."""
        try:
            yield
        except EcmpError:
            raise
        except Exception as error:
            raise self.translate(error, what) or _common(error, what, self.hostname) from error


def _common(error: Exception, what: str, hostname: str) -> RouterError:
    """Names are compared, because each library would have to be imported to compare classes."""
    names = {cls.__name__ for cls in type(error).__mro__}
    text = f"could not {what}: {describe(error)}"
    if names & {"NetmikoAuthenticationException", "AuthenticationException", "ConnectAuthError", "AuthenticationError"}:
        return AuthenticationFailed(text, remedy="check the username, password or key of this router in the inventory")
    if names & {"BadHostKeyException", "SSHUnknownHostError"} or "not found in known_hosts" in str(error):
        return HostKeyRejected(
            text, remedy=f"add the right key of {hostname} to known_hosts, or name it by alt_key_file"
        )
    if names & {"LockError", "SessionLockedException"}:
        return LockHeld(text, holder="another session", remedy="wait until it has ended")
    if names & {"MergeConfigException", "ConfigInvalidException"}:
        return ConfigRejected(text)
    if what == "commit":
        return CommitFailed(text)
    if what == "connect" or isinstance(error, OSError | EOFError) or "ConnectionException" in names:
        return Unreachable(text)
    return RouterError(text)


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from or met while it was handled, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def describe(error: BaseException) -> str:
    """One line for an error of a library: its kind and its text, which may quote a configuration with its secrets."""
    text = " ".join(sanitized(str(error)).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""Everything that k8s-ecmp raises on purpose.

    EcmpError
    ├── SettingsError            the settings file or the inventory is wrong
    ├── ClusterError             the cluster's state could not be had
    │   ├── ClusterFileError     a kubectl file is unreadable or has the wrong shape
    │   ├── ClusterUnreachable   the API server did not answer                    retryable
    │   ├── ClusterRefused       it answered with an error, such as a 403
    │   └── ServiceCIDRUnknown   no service CIDR is configured or discoverable
    ├── PlanRefused              a plan file is edited, expired, stale or was taken back
    ├── Frozen                   a freeze began after the plan was made
    ├── NotLeading               this process may not write at the moment             retryable
    ├── JournalError             the journal cannot be read or written; nothing is written to routers
    ├── ParseError               a running config cannot be understood
    │   └── TableUnreadable      an answer about the router's tables cannot be
    │       └── SessionDown      there is none to read: the BGP session to the router is not established
    ├── RenderError              a template failed or wrote something that the plan does not say
    └── RouterError              one router; the others go on
        ├── UnsupportedPlatform  the inventory names a platform nobody drives
        ├── Unreachable          no connection                                    retryable
        ├── CredentialsUnusable  a source of credentials cannot be asked, or must not be
        ├── AuthenticationFailed wrong user, key or password
        ├── HostKeyRejected      unknown or changed SSH host key, or a certificate that nobody vouches for
        ├── LockHeld             somebody else is changing the router             retryable
        ├── ConfigRejected       the router refused lines; nothing was applied
        ├── ForeignLines         the router's own diff shows what the plan does not
        ├── CommitFailed         the commit broke off; the message says what is left
        ├── VerifyFailed         committed, but the routing table says otherwise
        ├── ChangePending        a change of another run waits for its confirm          retryable
        ├── ConfirmExpired       the router took the change back before the confirm
        ├── NotSaved             the change is in force, but a reboot would lose it
        └── DeadlineExceeded     the router did not finish in its time            retryable

`retryable` says whether the same call may succeed later without anyone changing anything. `remedy`, where known,
is one sentence that tells the user what to do. Neither holds a secret that this process knows, whatever a library said.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from k8s_ecmp.redaction import redacted, sanitized


class EcmpError(Exception):
    """Base of all errors that are this project's own; `warnings` are what a router warned of before one of its."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        message = redacted(message)
        super().__init__(message)
        self.warnings: tuple[str, ...] = ()
        self.message = message
        self.remedy = remedy and redacted(remedy)

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class SettingsError(EcmpError):
    """The settings file or the inventory is wrong; the message names file, key, value and what is allowed."""


class ClusterError(EcmpError):
    """The cluster's state could not be had."""


class ClusterFileError(ClusterError):
    """A kubectl file is unreadable or has the wrong shape."""


class ClusterUnreachable(ClusterError):
    """The API server did not answer, or cannot at the moment."""

    retryable: ClassVar[bool] = True


class ClusterRefused(ClusterError):
    """The API server answered with an error that stays until something is changed; `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class ServiceCIDRUnknown(ClusterError):
    """No service CIDR is configured or discoverable; it is never inferred from the services."""


class PlanRefused(EcmpError):
    """A plan file is edited, expired, stale or was taken back; nothing was written."""


class Frozen(EcmpError):
    """A freeze began after the plan was made; nothing was written. The guard "frozen"."""


class NotLeading(EcmpError):
    """Another process writes, or it is not known who does; nothing was written."""

    retryable: ClassVar[bool] = True


class JournalError(EcmpError):
    """The journal cannot be read or written; without it nothing is written to routers."""


class ParseError(EcmpError):
    """A running config cannot be understood. Never to be read as "no routes".

    `line` is 1-based, None when the text as a whole is wrong.
    """

    def __init__(self, message: str, *, line: int | None = None, remedy: str | None = None) -> None:
        message = sanitized(message)  # it quotes lines
        super().__init__(message if line is None else f"line {line}: {message}", remedy=remedy)
        self.line = line


class TableUnreadable(ParseError):
    """A router's answer about its routing or forwarding table is an error message, or has an unknown form."""


class SessionDown(TableUnreadable):
    """The BGP session over which a router has its routes is not established; what is announced waits for it."""


class RenderError(EcmpError):
    """A template failed, or wrote something that the plan does not say."""


class RouterError(EcmpError):
    """One router failed; the others go on."""


class UnsupportedPlatform(RouterError):
    """The inventory names a platform that nobody drives."""


class Unreachable(RouterError):
    """No connection to the router, or it was lost."""

    retryable: ClassVar[bool] = True


class CredentialsUnusable(RouterError):
    """A source of credentials cannot be read, or others may read it too; no login was tried."""


class AuthenticationFailed(RouterError):
    """The router refused user, key or password."""


class HostKeyRejected(RouterError):
    """The router's SSH host key is unknown or not the expected one, or its certificate is not trusted."""


class LockHeld(RouterError):
    """Somebody else is changing the router; `holder` says who."""

    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, holder: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.holder = holder


class ConfigRejected(RouterError):
    """The router refused lines of the candidate; nothing of it was applied."""


class ForeignLines(RouterError):
    """The router's own diff shows lines that the plan does not; nothing was committed. The guard "foreign-lines"."""


class CommitFailed(RouterError):
    """The commit broke off; the message says what is left on the router."""


class VerifyFailed(RouterError):
    """The change was committed, but the router's tables do not show it.

    `prefixes` (`model.Prefix`) are where they do not, as far as that is known; `undone` who took it back: "router",
    or "inverse", the inverse patch; None where it still stands.
    """

    def __init__(
        self,
        message: str,
        *,
        prefixes: Sequence[Any] = (),
        undone: Literal["router", "inverse"] | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.prefixes = tuple(prefixes)
        self.undone = undone


class ChangePending(RouterError):
    """A change of another run waits on the router for its confirm; what is read now may not last."""

    retryable: ClassVar[bool] = True


class ConfirmExpired(RouterError):
    """The router took the change back by itself before it was confirmed."""


class NotSaved(RouterError):
    """The change is in force, but could not be written to the startup configuration: a reboot would lose it."""


class DeadlineExceeded(RouterError):
    """The router did not finish in its time."""

    retryable: ClassVar[bool] = True

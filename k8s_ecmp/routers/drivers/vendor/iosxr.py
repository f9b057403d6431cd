"""NAPALM's `iosxr`: the XML agent over SSH.

What is handled here: the driver knows only that a lock is not to be had, so its holder is asked for; it cuts commit
comments at 60 characters and writes them unescaped into XML; it answers "other commits have occurred" with committing
the whole merged configuration anew, from a session without the lock; its close() waits for a
timeout on a connection that is gone, and for a prompt of the command line on one that is not; and it takes log
messages that the router prints into an answer (`terminal monitor`, `logging monitor`) for a part of it.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from k8s_ecmp.errors import (
    AuthenticationFailed,
    CommitFailed,
    ConfigRejected,
    HostKeyRejected,
    LockHeld,
    ParseError,
    RouterError,
    Unreachable,
)
from k8s_ecmp.routers.drivers.vendor.base import VendorDriver, describe

_COMMENT_MAX = 60
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._:/@+-]")
# `show configuration sessions`: session, line, user, date, and a star where it holds the lock.
_HOLDER = re.compile(r"^\S+ +(\S+) +(\S+) +.*\*\s*$", re.MULTILINE)
_COMMIT = re.compile(r"^1 +(\S+)", re.MULTILINE)  # `show configuration commit list 1`: number, ID, user ...
# node:time : process[pid]: %GROUP-severity-CODE : text ("Implementing Logging Services on Cisco IOS XR Software").
_LOGGED = re.compile(r"^(?:[A-Z]+/)?\d+/\w+/\w+:.*\w ?\[\d+\] ?: ?%[A-Z][\w-]*-\d-\w+ ?: .*\n?", re.MULTILINE)
_GONE = ("Socket is closed", "EOFError", "Channel stream closed", "not connected")


class IosXrDriver(VendorDriver):
    """Cisco IOS-XR behind its XML agent."""

    napalm_name = "iosxr"

    def __init__(
        self, hostname: str, username: str, password: str, timeout: float = 60, optional_args: Any = None
    ) -> None:
        super().__init__(hostname, username, password, timeout, optional_args)
        agent = self.device.device  # which stays the same however often it is opened
        agent._send_command = _without_log(agent._send_command)  # noqa: SLF001  all that it asks goes through there

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """Host keys are checked against known_hosts unless `ssh_strict: false`."""
        return {"ssh_strict": True, "system_host_keys": True} | options

    def open(self) -> None:
        """Connects, and keeps the driver from committing what others have changed.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: it did not work.
        """
        super().open()
        self._last_seen = self._last_commit()
        # Asked for by pyIOSXR in one place only: before it commits the merged configuration again.
        self.device.device.get_candidate_config = _refuse_recommit

    def close(self) -> None:
        """Gives the lock back and ends the session, and so its candidate, even where the router no longer answers."""
        agent = self.device.device
        with contextlib.suppress(Exception):
            agent._unlock_xml_agent()  # noqa: SLF001  an exception may have left it taken, and close() would wait for it
        if self.is_alive()["is_alive"]:
            with contextlib.suppress(Exception):
                agent.unlock()
        agent.locked = False  # else the next session would believe that it has the lock
        with contextlib.suppress(Exception):  # netmiko's own disconnect() would look for a prompt for ten seconds
            agent.device.remote_conn_pre.close()

    def lock(self) -> None:
        """Takes `configure exclusive`, in a new session where others have committed since this one began.

        The router would refuse the commit of an older one.

        Raises:
            LockHeld: somebody else has it.
        """
        with self.translated("lock"):
            self.device.device.lock()
        if self._last_commit() != self._last_seen:
            self.close()
            self.open()
            with self.translated("lock"):
                self.device.device.lock()

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Loads commands into the target configuration; one that fails is thrown away at once.

        Raises:
            LockHeld: somebody else is changing the router.
            ConfigRejected: it refused a line; nothing is in force.
        """
        if not self.device.device.locked:
            self.lock()
        try:
            super().load_merge_candidate(filename, config)
        except ConfigRejected:
            with contextlib.suppress(RouterError):
                self.discard_config()
            raise

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Commits, with a comment that says who.

        Raises:
            CommitFailed: it broke off or was refused.
        """
        comment = _NOT_PLAIN.sub("_", message or f"k8s-ecmp {self.owner}")[:_COMMENT_MAX]
        super().commit_config(comment, revert_in)
        self._last_seen = self._last_commit()

    def get_config(self, retrieve: str = "all") -> Mapping[str, str]:
        """The configuration's texts; an answer without its end is an error.

        Raises:
            ParseError: the running configuration was cut short.
        """
        texts = super().get_config(retrieve)
        if retrieve == "running" and texts["running"].rstrip().rpartition("\n")[2].strip() != "end":
            raise ParseError("the router's running configuration was cut short", remedy="read it again")
        return texts

    def translate(self, error: Exception, what: str) -> RouterError | None:
        """Those of pyIOSXR; they are named like Python's own, and are others."""
        name, text = type(error).__name__, f"could not {what}: {describe(error)}"
        if "Authentication to device failed" in str(error):
            return AuthenticationFailed(text, remedy="check the username and password of this router in the inventory")
        if "Host key for server" in str(error):
            return HostKeyRejected(text, remedy=f"correct the key of {self.hostname} in known_hosts if it was changed")
        if name == "LockError":
            holder = self._holder()
            return LockHeld(
                f"the configuration is being changed by {holder} (configure exclusive)",
                holder=holder,
                remedy="wait until the lock is given back",
            )
        if "XML agent is not enabled" in str(error):
            return RouterError("the router's XML agent is off", remedy="configure `xml agent tty iteration off`")
        if "IteratorID" in str(error):
            return RouterError("the XML agent splits its answers", remedy="configure `xml agent tty iteration off`")
        if name in ("InvalidInputError", "XMLCLIError") and what == "load the candidate":
            return ConfigRejected(text)
        if what != "commit" and (name in ("TimeoutError", "ReadTimeout") or any(sign in text for sign in _GONE)):
            return Unreachable(text)
        return None

    def _last_commit(self) -> str:
        """The ID of the last commit, anybody's; "" where the router does not tell."""
        with contextlib.suppress(Exception):
            answer = self.device.cli(["show configuration commit list 1"])["show configuration commit list 1"]
            if match := _COMMIT.search(answer):
                return match[1]
        return ""

    def _holder(self) -> str:
        """Who has the lock, as `show configuration sessions` says it."""
        with contextlib.suppress(Exception):
            answer = self.device.cli(["show configuration sessions"])["show configuration sessions"]
            if match := _HOLDER.search(answer):
                return f"{match[2]} on {match[1]}"
        return "another session"


def _without_log(send: Callable[..., str]) -> Callable[..., str]:
    """What the XML agent answers, without the log messages between its lines."""

    def sent(*args: Any, **kwargs: Any) -> str:
        return _LOGGED.sub("", send(*args, **kwargs))

    return sent


def _refuse_recommit(*_: object, **__: object) -> NoReturn:
    raise CommitFailed(
        "others have committed since this session began, so the router refused the commit", remedy="make a new plan"
    )


DRIVERS: dict[str, type[VendorDriver]] = {"iosxr": IosXrDriver}

"""Arista EOS by eAPI: configuration sessions with names that tell whose they are, and their commit timers.

NAPALM's driver aborts its session when it is closed, and with it a commit whose timer runs; it saves by `write memory`
in the request of the commit; its `rollback` replaces the running configuration with the startup one when no timer runs.
Here a timer outlives `close`, a commit that could not be saved is told from one that failed, and only a session that is
listed as ours is ever aborted. No session of the switch keeps others out: any that is pending when we come is taken as
a lock, because the one committed last overwrites what the others changed.
"""

import contextlib
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from k8s_ecmp.errors import (
    AuthenticationFailed,
    CommitFailed,
    ConfigRejected,
    ConfirmExpired,
    HostKeyRejected,
    LockHeld,
    NotSaved,
    RouterError,
    Unreachable,
    UnsupportedPlatform,
)
from k8s_ecmp.routers.drivers.vendor.base import VendorDriver, describe
from k8s_ecmp.routers.drivers.vendor.eos_names import SessionName

_SESSIONS = "show configuration sessions detail"
_SAVE = "'write memory' failed"
_JSON = "| json"
_UNVERIFIED = (
    "name the certificate's authority by optional_args.ca_file, or set enforce_verification: false, "
    "which sends the password to whoever answers"
)


class Sessions(NamedTuple):
    """Configuration sessions on the switch: users by the name of a pending one, and that whose commit timer runs."""

    pending: Mapping[str, str]
    timed: str | None


class EosDriver(VendorDriver):
    """One switch. `optional_args` are NAPALM's for eAPI, and `ca_file`: whose certificates are trusted."""

    napalm_name: ClassVar[str] = "eos"
    lines_at_once: ClassVar[int] = 5000
    """Of a candidate in one request, which has to be answered within the timeout."""

    def __init__(
        self, hostname: str, username: str, password: str, timeout: float = 60, optional_args: Any = None
    ) -> None:
        super().__init__(hostname, username, password, timeout, optional_args)
        self._left: str | None = None  # our session while the connection is closed
        self._dead_after_s = 3 * timeout  # loading, comparing and committing each end in time or break off

    def prepared(self, options: dict[str, Any]) -> dict[str, Any]:
        """HTTPS with certificates checked; the lock is looked after here, without NAPALM's ten seconds of waiting."""
        transport = options.setdefault("transport", options.pop("eos_transport", "https"))
        if transport == "ssh":
            raise RouterError(
                "over SSH the switch's refusals go unnoticed",
                remedy="set transport: https and enable `management api http-commands` on the switch",
            )
        verify = options.setdefault("enforce_verification", True)
        authority = options.pop("ca_file", None)
        if verify and authority is not None:
            try:
                options["context"] = ssl.create_default_context(cafile=authority)
            except OSError as error:
                raise RouterError(f"the ca_file {authority} cannot be used: {error}") from error
        self._respects_others = not options.get("lock_disable", False)
        return options | {"lock_disable": True}

    # --- verbs ---

    def open(self) -> None:
        """Connects; a commit of ours whose timer ran when the connection was closed is known again.

        Raises:
            Unreachable, AuthenticationFailed, HostKeyRejected: it did not work.
        """
        super().open()
        self.device.config_session, self._left = self.device.config_session or self._left, None

    def close(self) -> None:
        """Ends the connection. A commit whose timer runs stays pending, an open candidate does not.

        NAPALM's driver aborts the session that it knows when it is closed, and once more when it is thrown away.
        """
        with contextlib.suppress(RouterError):  # the next contact finds the session by its name
            self.discard_config()
        self._left, self.device.config_session = self.device.config_session or self._left, None
        super().close()

    def lock(self) -> None:
        """Makes sure that nobody else has a session pending, and clears away ours and those of dead runs.

        Raises:
            LockHeld: a session is pending, or another commit waits for its confirm.
        """
        sessions = self._sessions()
        left = [
            name
            for name in (*sessions.pending, sessions.timed)
            if name is not None and (name == self.device.config_session or self._is_dead(name))
        ]
        for name in left:
            self._abort(name)
        self._expect_alone(self._sessions() if left else sessions)

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Opens a session of ours and loads commands into it; "" takes the lock alone.

        Raises:
            LockHeld: somebody else has a session pending.
            ConfigRejected: the switch refused a line; nothing is in force.
        """
        self.lock()
        if not filename and not config:
            return
        self.device.config_session = str(SessionName.new(self.owner))
        lines = Path(filename).read_text(encoding="utf-8").splitlines() if filename else (config or "").splitlines()
        with self.translated("load the candidate"):
            for first in range(0, len(lines), self.lines_at_once):
                part = "\n".join(lines[first : first + self.lines_at_once])
                self.device.load_merge_candidate(config=part)
        self._expect_alone(self._sessions())  # of two that came at once both see each other now, and both step back

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Puts the session in force; without a timer also into the startup configuration.

        Raises:
            NotSaved: it is in force, but not in the startup configuration.
            CommitFailed: it broke off.
        """
        session = self.device.config_session
        with self.translated("commit"):
            try:
                self.device.commit_config(message=message, revert_in=revert_in)
            except Exception as error:
                if _SAVE in str(error):
                    self.device.config_session = None
                    raise _not_saved(error) from error
                self.device.config_session = session
                raise

    def has_pending_commit(self) -> bool:
        """Whether a commit waits for its confirm, anybody's."""
        return self._sessions().timed is not None

    def confirm_commit(self) -> None:
        """Makes our commit final and saves it.

        Raises:
            ConfirmExpired: the switch has already taken it back.
            NotSaved: it is final, but not in the startup configuration.
        """
        if self.device.config_session is None or self._sessions().timed != self.device.config_session:
            raise ConfirmExpired("the switch took the change back before it was confirmed")
        with self.translated("confirm"):
            try:
                self.device.confirm_commit()
            except Exception as error:
                if _SAVE not in str(error):
                    raise
                self.device.config_session = None
                raise _not_saved(error) from error

    def rollback(self) -> None:
        """Takes back our commit whose timer still runs, and saves.

        Raises:
            CommitFailed: the timer that runs is not ours, or none does.
        """
        timed = self._sessions().timed
        if timed is None or timed != self.device.config_session:
            raise CommitFailed(
                "no commit of this run waits for its confirm any more" + (f"; {timed} does" if timed else "")
            )
        with self.translated("roll back"):
            try:
                self.device.rollback()
            except Exception as error:
                if _SAVE not in str(error):
                    raise
                # What the startup configuration holds is from before the commit, and that is in force again.
        self.device.config_session = None

    def discard_config(self) -> None:
        """Aborts our session if it is pending; a commit whose timer runs is left alone."""
        name = self.device.config_session
        if name is None:
            return
        sessions = self._sessions()
        if name == sessions.timed:
            return
        if name in sessions.pending:
            self._abort(name)
        self.device.config_session = None

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:
        """The answers to show commands, all asked at once; as text in JSON where a command ends in "| json"."""
        answers: dict[str, Any] = {}
        with self.translated("ask"):
            plain = [command for command in commands if not command.endswith(_JSON)]
            structured = [command for command in commands if command.endswith(_JSON)]
            if plain:
                found = self.device.device.run_commands(list(plain), encoding=encoding)
                answers |= zip(plain, (a["output"] if encoding == "text" else a for a in found), strict=True)
            if structured:
                asked = [command.removesuffix(_JSON).rstrip() for command in structured]
                found = self.device.device.run_commands(asked, encoding="json")
                answers |= zip(structured, map(json.dumps, found), strict=True)
        return answers

    # --- sessions ---

    def _sessions(self) -> Sessions:
        with self.translated("ask for configuration sessions"):
            (answer,) = self.device.device.run_commands([_SESSIONS], encoding="json")
            pending: dict[str, str] = {}
            timed = answer.get("commitTimerSessionName") or None  # since EOS 4.32
            for name, session in answer["sessions"].items():
                if session["state"] == "pending":
                    users = [entry.get("user", "") for entry in session.get("instances", {}).values()]
                    pending[name] = ", ".join(user for user in [*users, session.get("commitUser", "")] if user)
                elif session["state"] == "pendingCommitTimer":
                    timed = name
            return Sessions(pending, timed)

    def _is_dead(self, name: str) -> bool:
        session = SessionName.read(name, self.owner)
        return session is not None and session.is_dead(self._dead_after_s)

    def _expect_alone(self, sessions: Sessions) -> None:
        own = self.device.config_session
        others = {name: user for name, user in sessions.pending.items() if name != own}
        if sessions.timed is not None:
            raise LockHeld(
                f"the commit of session {sessions.timed} waits for its confirm",
                holder=sessions.timed,
                remedy="wait until it is confirmed or its timer has ended",
            )
        if others and self._respects_others:
            name, user = next(iter(others.items()))
            holder = f"{user} (session {name})" if user else f"session {name}"
            raise LockHeld(
                f"the router is being changed by {holder}",
                holder=holder,
                remedy=f"wait until it is committed; a forgotten one ends with `configure session {name} abort`",
            )

    def _abort(self, name: str) -> None:
        """Ends a session; one whose timer runs is taken back with it. One that is just being committed is waited for.

        Raises:
            LockHeld: the switch does not let it go yet.
        """
        try:
            self.device.device.run_commands([f"configure session {name} abort"], encoding="text")
        except Exception as error:
            with self.translated("abort a session"):
                if type(error).__name__ != "CommandError":
                    raise
            sessions = self._sessions()
            if name in sessions.pending or name == sessions.timed:
                raise LockHeld(f"session {name} cannot be aborted: {describe(error)}", holder=name) from error
        if name == self.device.config_session:
            self.device.config_session = None

    # --- errors ---

    def translate(self, error: Exception, what: str) -> RouterError | None:
        """Errors of pyeapi, which NAPALM lets through, and those that NAPALM keeps only the text of."""
        first = error.__context__
        if what == "load the candidate" and type(error).__name__ == "CommandError" and isinstance(first, Exception):
            error = first  # NAPALM aborts the session that could not be opened, and that is refused, too
        text = describe(error)
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            return HostKeyRejected(f"could not {what}: the switch's certificate: {text}", remedy=_UNVERIFIED)
        if "Unauthorized" in text or "Unable to authenticate" in text:
            return AuthenticationFailed(
                f"could not {what}: {text}", remedy="check the username and password of this router in the inventory"
            )
        if type(error).__name__ == "UnsupportedVersion":
            return UnsupportedPlatform("the switch's EOS is too old", remedy="4.23 or newer is needed")
        if "Error [1005]" in text:
            return RouterError(
                f"could not {what}: {text}", remedy="docs/platforms/eos.md lists what the account must do"
            )
        if "'copy startup-config" in text:
            return CommitFailed(
                f"could not {what}: {text}",
                remedy="the startup configuration is copied to flash:rollback-0 first: `write memory` once, make room",
            )
        if what == "load the candidate" and type(error).__name__ == "CommandError":
            return ConfigRejected(f"could not {what}: {text}")
        lost = "Socket error" in text or "unable to connect to eAPI" in text or type(error).__module__ == "http.client"
        if lost and what != "commit":
            return Unreachable(f"could not {what}: {text}")
        return None


def _not_saved(error: Exception) -> NotSaved:
    return NotSaved(
        f"the change is in force, but not in the startup configuration: {describe(error)}",
        remedy="make room on the switch, then `write memory`",
    )


DRIVERS = {"eos": EosDriver}

"""Configuration sessions of an Arista switch and their commit timer.

From the EOS manual ("Configure Session") and reports on NAPALM's issues 1266 and 2166:

- a session begins as a copy of the running configuration; committing it makes that copy the running configuration,
  whatever others have changed meanwhile. At most five are pending; of those that are done one is kept.
- `commit timer` puts it in force and keeps a checkpoint; a second commit confirms, `abort` or the end of the timer
  restores the checkpoint, whatever others have changed meanwhile. While it runs no other session can be committed.
- up to EOS 4.31 such a session is listed as "pendingCommitTimer"; later as "committed", with "commitTimerSessionName"
  and "commitTimerExpireTime" beside the sessions while the timer runs.

Not seen on a device: the texts of refusals, and what `abort` does to a session that is just being committed.
"""

import difflib
from dataclasses import dataclass, field
from typing import Any

from tests.world.emulators.eos_config import CliError, Config

_MAX_PENDING = 5


@dataclass
class _Session:
    config: Config
    user: str
    state: str = "pending"
    committing: bool = False


@dataclass
class _Timer:
    """A commit that waits for its confirm; `expires` in seconds of the device's uptime."""

    session: str
    checkpoint: Config
    expires: float


@dataclass
class Sessions:
    """The running configuration and what may become it. `now` are seconds of uptime; the caller holds a lock."""

    running: Config
    sessions: dict[str, _Session] = field(default_factory=dict)
    timer: _Timer | None = None

    def tick(self, now: float) -> None:
        """Takes back a commit whose timer has ended."""
        if self.timer is not None and self.timer.expires <= now:
            self.running = self.timer.checkpoint
            self.sessions.pop(self.timer.session, None)
            self.timer = None

    def enter(self, name: str, user: str) -> None:
        session = self.sessions.get(name)
        if session is None:
            if sum(other.state == "pending" for other in self.sessions.values()) >= _MAX_PENDING:
                raise CliError(1000, "Maximum number of pending sessions has been reached")
            self.sessions[name] = _Session(self.running.copy(), user)
        elif session.state != "pending":
            raise CliError(1000, f"Cannot enter session {name} (session is {session.state})")

    def typed(self, name: str, line: str) -> None:
        self.sessions[name].config.command(line)

    def abort(self, name: str) -> None:
        session = self._find(name)
        if session.committing:
            raise CliError(1000, f"Cannot abort session {name} (commit in progress)")
        if self.timer is not None and self.timer.session == name:
            self.running = self.timer.checkpoint
            self.timer = None
        elif session.state != "pending":
            raise CliError(1000, f"Cannot abort session {name} (session is {session.state})")
        del self.sessions[name]

    def confirms(self, name: str) -> bool:
        """Whether a commit of the session confirms the one whose timer runs; then it is confirmed."""
        if self.timer is None or self.timer.session != name:
            return False
        self.timer = None
        self.sessions[name].state = "completed"
        return True

    def begin_commit(self, name: str) -> None:
        session = self._find(name)
        if session.state != "pending" or session.committing:
            state = "being committed" if session.committing else session.state
            raise CliError(1000, f"Cannot commit session {name} (session is {state})")
        if self.timer is not None:
            raise CliError(1000, f"Cannot commit session {name} while {self.timer.session} waits for its confirm")
        session.committing = True

    def end_commit(self, name: str, expires: float | None) -> None:
        """Puts the session in force; with `expires` until then, unless it is confirmed."""
        session = self.sessions[name]
        if expires is not None:
            self.timer = _Timer(name, self.running, expires)
        self.running = session.config.copy()
        session.committing = False
        for other in [key for key, entry in self.sessions.items() if entry.state == "completed"]:
            del self.sessions[other]
        session.state = "completed" if expires is None else "pendingCommitTimer"

    def listing(self, *, recent: bool, detail: bool, holder: str | None) -> dict[str, Any]:
        """`show configuration sessions [detail]`; `recent`: since EOS 4.32; `holder` has a session of their own open."""
        entries: dict[str, Any] = {}
        for name, session in self.sessions.items():
            timed = self.timer is not None and self.timer.session == name
            state = "committed" if recent and timed else session.state
            entries[name] = {"state": state, "commitUser": session.user, "description": "", "instances": {}}
            if self.timer is not None and timed and not recent:
                entries[name]["commitBy"] = self.timer.expires
        if holder is not None:
            terminal = {"user": holder, "terminal": "vty5", "currentTerminal": False}
            entries["sess-2034--807408832-0"] = {"state": "pending", "commitUser": "", "instances": {"2034": terminal}}
        answer: dict[str, Any] = {"sessions": entries, "maxSavedSessions": 1, "maxOpenSessions": _MAX_PENDING}
        if detail and recent and self.timer is not None:
            answer["commitTimerSessionName"] = self.timer.session
            answer["commitTimerExpireTime"] = self.timer.expires
        return answer

    def shown(self, name: str, *, diffs: bool) -> str:
        """`show session-config named N [diffs]`; nothing where nothing differs."""
        session = self._find(name)
        if not diffs:
            return session.config.text()
        old, new = self.running.text().splitlines(), session.config.text().splitlines()
        names = ("system:/running-config", f"session:/{name}-session-config")
        return "".join(f"{line}\n" for line in difflib.unified_diff(old, new, *names, lineterm=""))

    def _find(self, name: str) -> _Session:
        if name not in self.sessions:
            raise CliError(1000, f"Cannot find session {name}")
        return self.sessions[name]

"""What the driver keeps about one router while connected: agent, reader, lock, and what runs."""

import getpass
import logging
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime

from k8s_ecmp.errors import CommitFailed, ConfigRejected, DeadlineExceeded, LockHeld, RouterError, Unreachable
from k8s_ecmp.routers.drivers.frr.agent import Agent, quoted
from k8s_ecmp.routers.drivers.frr.reader import Reader
from k8s_ecmp.routers.drivers.frr.session import Options, Session
from k8s_ecmp.routers.drivers.frr.transactions import Change, Running

LOG = logging.getLogger("k8s_ecmp.routers.drivers.frr")

_LOCK_PATIENCE_S = 10.0  # for the rest of a dead session's work
_EMPTY_LOCK_S = 2.0  # a lock without content for so long was never finished
_POLL_S = 0.02
_FENCE_AGAIN_S = 1.0

FREE_THE_LOCK = (
    "let the session that is in configuration mode end it, and try again; where there is none, "
    "`show mgmt frontend-adapter all` shows a dead one that has locks, and only a restart of FRR frees them"
)


class Remote:
    """One router, connected or not. Raises Unreachable and DeadlineExceeded everywhere."""

    def __init__(self, hostname: str, username: str, password: str, timeout: float, options: Options) -> None:
        self._hostname = hostname
        self._timeout = timeout
        self._options = options
        self._session = Session(hostname, username, password, options)
        self._agent: Agent | None = None
        self._reader: Reader | None = None
        self._lock_number: int | None = None
        self._last_lock = -1
        self._running: Running | None = None
        self._running_text: str | None = None
        self._running_lock = -1
        self.reads = 0
        self.unsaved = False
        self.fence_s = 0
        self.keep_applied = False
        self._fenced_s = 0.0

    def open(self) -> None:
        """Connects, and starts the agent.

        Raises:
            AuthenticationFailed, HostKeyRejected: as `Session.open`.
            RouterError: the login lacks what the agent needs.
        """
        self.close()
        self._session.open()
        try:
            self._start_agent()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Disconnects; on the router that frees the lock. May be called at any time."""
        for part in (self._reader, self._agent):
            if part is not None:
                with suppress(Exception):
                    part.close()
        self._reader = self._agent = None
        self._lock_number = None
        self._session.close()

    @property
    def connected(self) -> bool:
        return self._agent is not None and self._session.alive and self._agent.alive

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            raise Unreachable(f"router {self._hostname}: not connected", remedy="call open() first")
        return self._agent

    def restart_agent(self) -> None:
        """A fresh agent after a failed commit, whose vtysh may be in any state. Frees the lock."""
        self.unlock()
        self.agent.close()
        self._start_agent()

    def _start_agent(self) -> None:
        self._agent = Agent(self._hostname, self._session, self._options.workdir, self._timeout)

    # --- asking ---

    def show(self, command: str) -> str:
        """The output of a vtysh command.

        Raises:
            RouterError: vtysh does not know it.
        """
        if self._agent is None:
            raise Unreachable(f"router {self._hostname}: not connected", remedy="call open() first")
        if self._reader is None or not self._reader.alive:
            self._reader = Reader(self._hostname, self._session, self._timeout)
        try:
            return self._reader.ask(command)
        except (Unreachable, DeadlineExceeded):
            self._reader.close()
            self._reader = None
            raise

    def read_running(self) -> str:
        """The running configuration, and remembers it.

        Raises:
            RouterError: it came incomplete.
        """
        self.reads += 1
        number, whose = self.agent.ask("lock_state").text.split()
        text = self.show("show running-config")
        if "!\n" not in text or not text.rstrip().endswith("\nend"):
            raise RouterError(f"router {self._hostname}: `show running-config` came incomplete")
        self._running_text, self._running = text, None
        self._running_lock = int(number) if whose in ("free", "mine") else -1
        return text

    def changed_by_others(self) -> bool:
        """Whether the lock has moved on since what we know was read."""
        number, _ = self.agent.ask("lock_state").text.split()
        return int(number) != self._running_lock

    def known_running(self) -> Running:
        """What runs, under our lock: what was read or committed last, unless another session held the lock since."""
        if self._running_lock != self._last_lock:
            self.read_running()
        if self._running is None:
            if self._running_text is None:
                self.read_running()
            self._running = Running.read(self._running_text or "")
            self._running_text = None
        return self._running

    def follow(self, change: Change) -> None:
        """Remembers a commit of ours."""
        if self._running is None and self._running_text is not None:
            self._running = Running.read(self._running_text)
        if self._running is not None:
            self._running.take(change)
        self._running_text = None

    def forget_running(self) -> None:
        self._running = self._running_text = None
        self._running_lock = -1

    def check(self, text: str) -> None:
        """Has vtysh check the syntax of commands or of a whole configuration.

        Raises:
            ConfigRejected: with line and message.
        """
        lines = ("!" if line.startswith(("Building conf", "Current conf")) else line for line in text.splitlines())
        self.agent.upload([("check.tmp", "".join(f"{line}\n" for line in lines))])
        answer = self.agent.ask("vtysh -C -f check.tmp 2>&1; drop check.tmp")
        complaints = [line.strip() for line in answer.text.splitlines() if "%" in line]
        if complaints:
            more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
            raise ConfigRejected(f"router {self._hostname} refused {complaints[0]}{more}; nothing was applied")

    def commit_waits(self) -> bool:
        """Whether a commit of any session waits for its confirm."""
        return self.agent.ask("waiting").text.strip() == "pending"

    def save(self) -> None:
        """Writes the startup configuration; a login that may not is a warning."""
        answer = self.agent.fetch("vtysh -c 'write memory' 2>&1")
        if "[OK]" not in answer:
            reason = next((line for line in answer.splitlines() if line.startswith("%") or "rror" in line), "no rights")
            LOG.warning("router %s: the startup configuration was not saved: %s", self._hostname, reason)

    # --- the lock ---

    @property
    def lock_number(self) -> int | None:
        """The number of our lock; None when we hold none."""
        return self._lock_number

    def lock(self) -> bool:
        """Takes the lock, or finds it ours; reverts what a dead session left pending or half done.

        Returns:
            Whether another session has held it since we did, or we never did.

        Raises:
            LockHeld: another session has it, or its work is not finished.
            CommitFailed: not all that a dead session left could be taken back.
        """
        began = time.monotonic()
        while True:
            waited = time.monotonic() - began
            stale = int(waited > _EMPTY_LOCK_S)
            command = (
                f'lock {quoted(_owner())} {stale} {self.fence_s}; [ -z "$LOCK" ] || recover {int(self.keep_applied)}'
            )
            answer = self.agent.ask(command).text
            word, _, rest = answer.partition(" ")
            if word == "LOCKED":
                first, *state = answer.splitlines()
                number, before = (int(text) for text in first.split()[1:3])
                overtaken = before not in (number, self._last_lock)
                if self._running_lock == before:
                    self._running_lock = number
                self._lock_number = self._last_lock = number
                self._fenced_s = time.monotonic()
                if state and state[0] != "CLEAN":
                    LOG.warning("router %s: took back what a dead session had left pending", self._hostname)
                    self.forget_running()
                    self.wait_settled(f"recover {int(self.keep_applied)}", state[0])
                return overtaken
            holder = rest.strip()
            if word == "HELD":
                raise LockHeld(f"router {self._hostname} is being changed by {holder}", holder=holder)
            if waited > _LOCK_PATIENCE_S:
                reason = (
                    f"a commit of {holder or 'a lost session'} is still being applied"
                    if word == "WORKING"
                    else f"no lock can be written in {self._options.workdir}"
                )
                raise LockHeld(f"router {self._hostname}: {reason}", holder=holder)
            time.sleep(_POLL_S)

    def renew_fence(self, *, at_once: bool = False) -> None:
        """Our lock lapses `fence_s` from now; where it lapses at all, and was not renewed within the last second."""
        due = at_once or time.monotonic() - self._fenced_s > _FENCE_AGAIN_S
        if self.fence_s and self._lock_number is not None and due:
            self.agent.ask(f"fence {self.fence_s}")
            self._fenced_s = time.monotonic()

    def unlock(self, keep: str = "none") -> None:
        """Frees the lock if it is ours; the files of transaction `keep` stay. A lost session has freed it by itself."""
        if self._lock_number is not None and self._agent is not None:
            self._lock_number = None
            with suppress(Unreachable, DeadlineExceeded):
                self._agent.ask(f"unlock {keep}")

    def wait_settled(self, question: str, answer: str | None = None) -> str:
        """Asks until the router is no longer working; its last answer.

        Raises:
            CommitFailed: something could not be taken back.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            answer = self.agent.ask(question).text.strip() if answer is None else answer
            if answer.startswith("STUCK"):
                reason = answer[5:].strip()
                raise CommitFailed(
                    f"router {self._hostname}: not everything could be taken back: {reason}",
                    remedy=after_failure(reason),
                )
            if answer != "WORKING":
                return answer
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"router {self._hostname}: is not done after {self._timeout:g} s")
            time.sleep(_POLL_S)
            answer = None


def after_failure(reason: str) -> str:
    """What a person does about a transaction that failed, or was not taken back, for that reason."""
    return FREE_THE_LOCK if "Can't enter config" in reason else "compare `show running-config` with the plan"


def _owner() -> str:
    """Who holds a lock, for people: user, host, pid and time."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} pid {os.getpid()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"

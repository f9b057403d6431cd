"""What the driver keeps about one router while connected: agent, reader, lock, and what runs."""

import getpass
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

from k8s_ecmp.errors import CommitFailed, ConfigRejected, DeadlineExceeded, LockHeld, RouterError, Unreachable
from k8s_ecmp.routers.drivers.frr.agent import NOTE, Agent, quoted, writing
from k8s_ecmp.routers.drivers.frr.note import Note
from k8s_ecmp.routers.drivers.frr.reader import Reader, known
from k8s_ecmp.routers.drivers.frr.session import Options, Session
from k8s_ecmp.routers.drivers.frr.transactions import Change, Running

LOG = logging.getLogger("k8s_ecmp.routers.drivers.frr")

_LOCK_PATIENCE_S = 10.0  # for the rest of a dead session's work
_EMPTY_LOCK_S = 2.0  # a lock without content for so long was never finished
_POLL_S = 0.02
_RUNNING = "show running-config"
_FENCE_AGAIN_S = 1.0
_NOTE_S = 5.0  # for a note, without which all goes on

FREE_THE_LOCK = (
    "let the session that is in configuration mode end it, and try again; where there is none, "
    "`show mgmt frontend-adapter all` shows a dead one that has locks, and only a restart of FRR frees them"
)


Files = Sequence[tuple[str, str]]
"""Names and contents."""


class Locked(NamedTuple):
    """`overtaken`: another session has held the lock since we did, or we never did. `staged`: the files are there."""

    overtaken: bool
    staged: bool


class Remote:
    """One router, connected or not. Raises Unreachable and DeadlineExceeded everywhere."""

    def __init__(self, hostname: str, username: str, password: str, timeout: float, options: Options) -> None:
        self._hostname = hostname
        self._timeout = timeout
        self._options = options
        self._session = Session(hostname, username, password, options)
        self._agent: Agent | None = None
        self._reader: Reader | None = None
        self._foreseen: dict[str, str] = {}
        self._lock_number: int | None = None
        self._last_lock = -1
        self._running: Running | None = None
        self._running_text: str | None = None
        self._running_lock = -1
        self.reads = 0
        self.unsaved = False
        self.save_hangs = False
        """Whether the last `save` of this session had no answer: its end does not wait for another one."""
        self.fence_s = 0
        self.keep_applied = False
        self.look_along: Sequence[str] = ()
        self._fenced_s = 0.0

    def open(self, *, to_look: bool = False) -> None:
        """Connects, and starts the agent; `to_look`: not before anything but `show` is asked for.

        Raises:
            AuthenticationFailed, HostKeyRejected: as `Session.open`.
            RouterError: the login lacks what the agent needs.
        """
        self.close()
        self._session.open()
        try:
            if not to_look:
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
        self._foreseen = {}
        self._session.close()

    @property
    def connected(self) -> bool:
        return self._session.alive and (self._agent is None or self._agent.alive)

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            self._expect_open()
            self._start_agent()
        assert self._agent is not None  # noqa: S101  it was just started
        return self._agent

    def _expect_open(self) -> None:
        if not self._session.opened:
            raise Unreachable(f"router {self._hostname}: not connected", remedy="call open() first")

    def restart_agent(self) -> None:
        """A fresh agent after a failed commit, whose vtysh may be in any state. Frees the lock."""
        self.unlock()
        self.agent.close()
        self._start_agent()

    def _start_agent(self) -> None:
        self._agent = Agent(self._hostname, self._session, self._options.workdir, self._timeout)
        self._foreseen = {}

    # --- asking ---

    def show(self, *commands: str) -> list[str]:
        """The outputs of vtysh commands.

        Raises:
            RouterError: vtysh does not know one.
        """
        self._expect_open()
        foreseen = [self._foreseen.pop(command, None) for command in commands]
        if None not in foreseen:
            return [answer for answer in foreseen if answer is not None]
        asked = [" ".join(command.split()) for command in commands]
        if self._looks and all(command.startswith(("show ", "write ")) for command in asked):
            self.agent.look(asked)
            return self._looked(asked)
        return [self._read(command) for command in asked]

    def write_down(self, commands: Sequence[str]) -> Note | None:
        """Has the agent's vtysh write what runs and what it answers into a file on the router; None where it cannot.

        Under our lock alone: whoever holds it owns the file.
        """
        if not self._looks or self._lock_number is None:
            return None
        note = Note.of((_RUNNING, *commands))
        with self._looking():
            return note if self.agent.write_down(*note, _NOTE_S) else None

    def fetch(self, note: Note) -> bool:
        """Fetches what another session had written down, which `show` says once. Whether it is there, and whole."""
        self._expect_open()
        path = quoted(f"{self._options.workdir}/{NOTE}")
        self._foreseen = note.answers(self._session.output(f"cat {path}", _NOTE_S, errors_apart=True))
        return bool(self._foreseen)

    def acknowledge_at_once(self) -> None:
        """As `Session.acknowledge_at_once`."""
        self._session.acknowledge_at_once()

    def forget_looks(self) -> None:
        """What was looked at along with staging is no longer of this moment."""
        self._foreseen = {}

    @property
    def _looks(self) -> bool:
        """Whether the agent's vtysh answers; else one on a channel of its own does."""
        return self._agent is not None and self._agent.shows and self._reader is None

    def _looked(self, commands: Sequence[str]) -> list[str]:
        with self._looking():
            answers = self.agent.looked()
        return [known(self._hostname, *pair) for pair in zip(commands, answers, strict=True)]

    @contextmanager
    def _looking(self) -> Iterator[None]:
        try:
            yield
        except (Unreachable, DeadlineExceeded):
            # An answer of its vtysh is outstanding, or it has ended: the agent itself goes on without it.
            self.agent.shows = False
            raise

    def _read(self, command: str) -> str:
        """By a vtysh on a channel of its own."""
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
        number, whose, text = self._lock_and_running()
        if "!\n" not in text or not text.rstrip().endswith("\nend"):
            raise RouterError(f"router {self._hostname}: `show running-config` came incomplete")
        self._running_text, self._running = text, None
        self._running_lock = int(number) if whose in ("free", "mine") else -1
        return text

    def _lock_and_running(self) -> tuple[str, str, str]:
        """Number and holder of the lock, then what runs; nobody's lock for a session that only looks."""
        if self._agent is None:
            return "-1", "unknown", self.show(_RUNNING)[0]
        looks = (_RUNNING,) if self._looks else ()
        number, whose = self.agent.ask("lock_state", look=looks).text.split()
        text = (self._looked(looks) if looks else self.show(_RUNNING))[0]
        return number, whose, text

    def changed_by_others(self) -> bool:
        """Whether the lock has moved on since what we know was read."""
        number, _ = self.agent.ask("lock_state").text.split()
        return int(number) != self._running_lock

    @property
    def remembered(self) -> Running | None:
        """What was read or committed last; None: nothing that a lock could prove to run still."""
        if self._running is None and self._running_text is not None:
            self._running = Running.read(self._running_text)
            self._running_text = None
        return self._running if self._running_lock >= 0 else None

    @property
    def is_current(self) -> bool:
        """Under our lock: whether that is what runs, as no other session has held the lock since."""
        return self._running_lock == self._last_lock

    def known_running(self) -> Running:
        """What runs, under our lock: what was read or committed last, unless another session held the lock since."""
        if not self.is_current or self.remembered is None:
            self.read_running()
        running = self.remembered
        if running is None:
            raise CommitFailed(f"router {self._hostname}: another session has taken the lock over")
        return running

    def follow(self, change: Change) -> None:
        """Remembers a commit of ours."""
        running = self.remembered
        if running is not None:
            running.take(change)

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
        """Whether a commit of any session waits for its confirm, or is being applied or taken back."""
        return self.agent.ask("waiting").text.strip() == "pending"

    def save(self) -> None:
        """Writes the startup configuration; a login that may not is a warning."""
        self.save_hangs = True
        self.agent.ask("owed")
        try:
            answer = self.show("write memory")[0]
        except (Unreachable, DeadlineExceeded):
            raise
        except RouterError as error:  # vtysh refuses the command
            answer = f"% {error.message}"
        self.unsaved = self.save_hangs = False  # only now: a router that did not answer is to be asked again
        if "[OK]" in answer:
            self.agent.ask("saved")
        else:
            reason = next((line for line in answer.splitlines() if line.startswith("%") or "rror" in line), "no rights")
            LOG.warning("router %s: the startup configuration was not saved: %s", self._hostname, reason)

    # --- the lock ---

    @property
    def lock_number(self) -> int | None:
        """The number of our lock; None when we hold none."""
        return self._lock_number

    def lock(self, files: Files = (), look: Sequence[str] = ()) -> Locked:
        """Takes the lock, or finds it ours; reverts what a dead session left pending or half done.

        Args:
            files: written on the way, once we have the lock and nothing had to be taken back.
            look: vtysh commands that are sent along; where the files are staged, `show` has their answers.

        Raises:
            LockHeld: another session has it, or its work is not finished.
            CommitFailed: not all that a dead session left could be taken back.
            RouterError: a file did not arrive as it was sent.
        """
        began = time.monotonic()
        self.forget_looks()
        looks = look if self._looks else ()
        staging = f' && [ -n "$CLEAN" ] && {{ {writing(files)}\n}}' if files else ""
        while True:
            waited = time.monotonic() - began
            stale = int(waited > _EMPTY_LOCK_S)
            command = (
                f"lock {quoted(_owner())} {stale} {self.fence_s}\n"
                f'[ -z "$LOCK" ] || {{ recover {int(self.keep_applied)}{staging}\n}}'
            )
            answer = self.agent.ask(command, look=looks).text
            word, _, rest = answer.partition(" ")
            if word == "LOCKED":
                overtaken = self._note_lock(*(int(text) for text in rest.split()[:2]))
            looked = self._looked(looks) if looks else []
            if word == "LOCKED":
                state, _, arrived = rest.partition("\n")[2].partition("\n")
                nothing_undone = state in ("CLEAN", "KEPT")
                if state and not nothing_undone:
                    LOG.warning("router %s: took back what a dead session had left pending", self._hostname)
                    self.forget_running()
                    state = self.wait_settled(f"recover {int(self.keep_applied)}", state)
                if state == "KEPT":
                    self.unsaved = True
                staged = bool(files) and nothing_undone
                if staged:
                    self.agent.compare(files, arrived)
                    self._foreseen = dict(zip(looks, looked, strict=True))
                return Locked(overtaken, staged)
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

    def _note_lock(self, number: int, before: int) -> bool:
        """Remembers that we have the lock; whether another session has held it since we did, or we never did."""
        overtaken = before not in (number, self._last_lock)
        if self._running_lock == before:
            self._running_lock = number
        self._lock_number = self._last_lock = number
        self._fenced_s = time.monotonic()
        return overtaken

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

"""The driver's half of the conversation with the shell on the router; the other half is agent.sh."""

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from k8s_ecmp.errors import RouterError, Unreachable
from k8s_ecmp.routers.drivers.frr.session import Session, channel_errors

if TYPE_CHECKING:
    import paramiko

_CHUNK = 1 << 20
NOTE = "note"
"""The file in the work directory from which another session has the answers of the waiting vtysh."""
CHANNEL = "/proc/self/fd/6"
"""Where it writes to have them read here."""
_SHOWN_MARK = b"k8s-ecmp-shown "  # after the answers to one look
NEXT_MARK = "% Unknown command: k8s-ecmp-next\n"
"""After each of them."""
_INLINE = 2_000_000  # characters of batches that travel inside a command; a channel for each file costs 50 ms more
_SHOWN = 1500  # characters that the shell reads back itself, byte by byte, faster than it starts `cat`


class Answer(NamedTuple):
    """What a command printed, and its exit status."""

    text: str
    status: int


class Stream:
    """Lines to and from one channel, with a deadline for every answer; `errors`: from its stream of errors."""

    def __init__(self, name: str, channel: "paramiko.Channel", *, errors: bool = False) -> None:
        self._name = name
        self._channel = channel
        self._receive = channel.recv_stderr if errors else channel.recv
        self._buffer = bytearray()

    def send(self, text: str, timeout: float) -> None:
        with channel_errors(self._name, timeout):
            self._channel.settimeout(timeout)
            self._channel.sendall(text.encode())

    def until(self, mark: bytes, timeout: float) -> bytes:
        """Everything up to the line that begins with `mark`; that line follows with `line`."""
        return self._until(lambda start: self._find(mark, start), timeout)

    def line(self, timeout: float) -> str:
        """The next line, without its end."""
        text = self._until(lambda start: self._buffer.find(b"\n", start) + 1 or -1, timeout)
        return text.decode("utf-8", "replace").rstrip("\n")

    def close(self) -> None:
        self._channel.close()

    @property
    def closed(self) -> bool:
        return self._channel.closed or self._channel.exit_status_ready()

    def _find(self, mark: bytes, start: int) -> int:
        if self._buffer.startswith(mark):
            return 0
        found = self._buffer.find(b"\n" + mark, max(0, start - len(mark)))
        return found + 1 if found >= 0 else -1

    def _until(self, end: "Callable[[int], int]", timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        searched = 0
        while True:
            position = end(searched)
            if position >= 0:
                text = bytes(self._buffer[:position])
                del self._buffer[:position]
                return text
            searched = len(self._buffer)
            left = deadline - time.monotonic()
            with channel_errors(self._name, timeout):
                self._channel.settimeout(max(left, 0.001))
                chunk = self._receive(_CHUNK)
            if not chunk:
                raise Unreachable(f"router {self._name}: the SSH session was lost")
            self._buffer += chunk


class Agent:
    """The long-lived shell on the router: commands in, answers out. Its end frees the lock."""

    def __init__(self, name: str, session: Session, workdir: str, timeout: float) -> None:
        self._name = name
        self._session = session
        self._workdir = workdir
        self._timeout = timeout
        self._serial = itertools.count(1)
        self._verdicts: dict[str, str] = {}
        program = resources.files(__package__).joinpath("agent.sh").read_text()
        channel = session.start("exec sh", errors_apart=True)
        self._stream = Stream(name, channel)
        self._answers = Stream(name, channel, errors=True)
        self._asked = 0
        self._stream.send(_boot(program, workdir), timeout)
        greeting = self._greeting()
        if not greeting.startswith("READY "):
            self.close()
            raise RouterError(
                f"router {name}: the login gives no usable shell: {greeting}",
                remedy=f"the login needs vtysh, sh, cat and mv, the group frrvty, and {workdir} to write in",
            )
        *checker, managed, shows = greeting.split()[1:5]
        self._checker = " ".join(checker)
        self.shows = shows == "1"
        """Whether `look` works: the waiting vtysh can write to the channel."""
        known = self.ask(f'eval "$KE_PROGRAM"\nCHECKER=\'{self._checker}\' MANAGED={managed}\nowed; echo "$OWED"')
        self.found_unsaved = bool(known.text.strip())
        """Whether an earlier session left the startup configuration unwritten, as its end does where it is sudden."""

    def _greeting(self) -> str:
        """The first line; where there is none, what was said on the stream of errors."""
        try:
            return self._stream.line(self._timeout)
        except Unreachable as lost:
            try:
                return self._answers.line(self._timeout)
            except Unreachable:
                raise lost from None

    @property
    def alive(self) -> bool:
        return not self._stream.closed

    def close(self) -> None:
        self._stream.close()

    def ask(self, script: str, timeout: float | None = None, *, look: Sequence[str] = ()) -> Answer:
        """Runs shell text; nothing of it runs when it arrives incomplete.

        Args:
            script: POSIX sh.
            timeout: seconds.
            look: commands for vtysh that are sent along, and answered after the script; `looked` has their answers.

        Raises:
            Unreachable, DeadlineExceeded: the session is lost, or slow.
        """
        timeout = self._timeout if timeout is None else timeout
        number = next(self._serial)
        begin, mark = f"k8s-ecmp-asked-{number}", f"k8s-ecmp-answer-{number}"
        # What stands before the begin is no part of the answer: one that came too late, or what the login's shell said.
        framed = f"printf '\\n{begin}\\n'; {{ {script}\n}} </dev/null; printf '\\n{mark} %s\\n' \"$?\"\n"
        self._stream.send(framed + (self._look(look, CHANNEL) if look else ""), timeout)
        text = self._stream.until(mark.encode() + b" ", timeout)
        status = int(self._stream.line(timeout).rsplit(" ", 1)[1])
        said = self._without_verdicts(text.decode("utf-8", "replace").removesuffix("\n"))
        return Answer(said.partition(f"{begin}\n")[2], status)

    def look(self, commands: Sequence[str]) -> None:
        """Asks the waiting vtysh; `looked` has the answers."""
        self._stream.send(self._look(commands, CHANNEL), self._timeout)

    def write_down(self, mark: str, commands: Sequence[str], timeout: float) -> bool:
        """Has the waiting vtysh write its answers into `NOTE`, whose first line is `mark`; False where that cannot be.

        Raises:
            Unreachable, DeadlineExceeded: as `looked`.
        """
        # Only where the file can be written: a vtysh that cannot open it writes to where it wrote before, and crashes.
        if self.ask(f"if new_note {mark}; then {self._look(commands, NOTE)}else echo none; fi").text == "none\n":
            return False
        self.looked(timeout)
        return True

    def _look(self, commands: Sequence[str], into: str) -> str:
        self._asked = next(self._serial)
        return f"look {self._asked} {into} {' '.join(map(quoted, commands))}\n"

    def looked(self, timeout: float | None = None) -> list[str]:
        """The answers of vtysh to what it was asked last, one for each command.

        Raises:
            Unreachable: the waiting vtysh has ended, or the session is lost.
            DeadlineExceeded: no answer in time; whatever comes later is not read any more.
        """
        text = self._answers.until(_SHOWN_MARK, self._timeout if timeout is None else timeout)
        said = self._answers.line(self._timeout).split()[-1]
        if said != str(self._asked):
            raise Unreachable(f"router {self._name}: the waiting vtysh has ended")
        *answers, rest = text.decode("utf-8", "replace").removesuffix("\n").split(NEXT_MARK)
        return [*answers[:-1], "".join(answers[-1:]) + rest]

    def result(self, transaction: str, timeout: float) -> tuple[str, str]:
        """Waits for the router's verdict on a transaction: a word ("ok", "undone", ...) and its reason."""
        verdict = self._verdicts.pop(transaction, None)
        if verdict is None:
            self._stream.until(f"RESULT {transaction} ".encode(), timeout)
            verdict = self._stream.line(timeout)
        words = verdict.split(" ", 3)
        return words[2], words[3].strip().rstrip(";") if len(words) > 3 else ""

    def _without_verdicts(self, text: str) -> str:
        """The checker speaks when it is done, also into an answer of the agent's; what it said is kept."""
        if "RESULT " not in text:
            return text
        lines = text.split("\n")
        self._verdicts |= {line.split(" ", 2)[1]: line for line in lines if line.startswith("RESULT ")}
        return "\n".join(line for line in lines if not line.startswith("RESULT "))

    def upload(self, files: Sequence[tuple[str, str]]) -> None:
        """Writes files into the work directory and compares what arrived.

        Raises:
            RouterError: a file is not there as it was sent.
        """
        if not files:
            return
        if fits(files):
            arrived = self.ask(writing(files)).text
        else:
            for name, text in files:
                self._stream_up(name, text)
            arrived = self.fetch(f"cat {' '.join(name for name, _ in files)}")
        self.compare(files, arrived)

    def compare(self, files: Sequence[tuple[str, str]], arrived: str) -> None:
        """Compares what `writing` said with what was sent.

        Raises:
            RouterError: a file is not there as it was sent.
        """
        if arrived == "".join(text for _, text in files):
            return
        detail = arrived.strip().splitlines()[-1:] if len(arrived) < 500 else ["contents differ"]
        raise RouterError(
            f"router {self._name}: the candidate did not arrive whole: {' '.join(detail) or 'it is empty'}",
            remedy="check space and rights of the work directory on the router",
        )

    def fetch(self, command: str) -> str:
        """All output of a command on a channel of its own, in the work directory."""
        return self._session.output(f"cd {quoted(self._workdir)} && {command}", self._timeout)

    def _stream_up(self, name: str, text: str) -> None:
        channel = self._session.start(f"cd {quoted(self._workdir)} && cat >{name}")
        with contextlib.closing(channel), channel_errors(self._name, self._timeout):
            channel.settimeout(self._timeout)
            try:
                channel.sendall(text.encode())
            except OSError as error:
                if isinstance(error, TimeoutError) or not self._session.alive:
                    raise
                return  # cat has ended, on a full disk: what arrived is compared
            channel.shutdown_write()
            while channel.recv(_CHUNK):
                pass


def fits(files: Sequence[tuple[str, str]]) -> bool:
    """Whether so much travels inside a command."""
    return sum(len(text) for _, text in files) <= _INLINE


def writing(files: Sequence[tuple[str, str]]) -> str:
    """Shell text that writes files into the work directory and says what they hold then."""
    writes = " &&\n".join(f"printf '%s' {quoted(text)} >|{name}" for name, text in files)
    reader = "show" if sum(len(text) for _, text in files) <= _SHOWN else "cat"
    return f"{writes} &&\n{reader} {' '.join(name for name, _ in files)}"


def quoted(text: str) -> str:
    """As one word for sh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _boot(program: str, workdir: str) -> str:
    """Starts the pipeline of agent.sh. The shell that stays on the channel is the agent."""
    return (
        f"KE_DIR={quoted(workdir)}; KE_PROGRAM={quoted(program)}; export KE_DIR KE_PROGRAM; unset VTYSH_PAGER\n"
        "trap '' HUP PIPE; exec 4>&1 6>&2 2>&1\n"
        '[ -d "$KE_DIR" ] || mkdir -m 700 "$KE_DIR"\n'
        '[ -w "$KE_DIR" ] || { echo "$KE_DIR cannot be written"; exit 9; }\n'
        "exec 2>/dev/null\n"  # a shell says there which of its children a signal killed
        "sh 5>&1 1>&4 2>&4 4>&- 6>&- | sh -c 'eval \"$KE_PROGRAM\"' k8s-ecmp feeder 2>/dev/null 6>&-"
        ' | { cd "$KE_DIR" && exec vtysh; } 2>&1 4>&-'
        " | sh -c 'eval \"$KE_PROGRAM\"' k8s-ecmp checker 2>/dev/null; exit\n"
    )

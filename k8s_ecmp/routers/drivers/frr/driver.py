"""The driver: NAPALM's methods over the agent on the router."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from k8s_ecmp.errors import (
    CommitFailed,
    ConfigRejected,
    ConfirmExpired,
    DeadlineExceeded,
    LockHeld,
    RouterError,
    Unreachable,
)
from k8s_ecmp.model import Prefix
from k8s_ecmp.routers.drivers.frr import getters, transactions
from k8s_ecmp.routers.drivers.frr.agent import fits, quoted
from k8s_ecmp.routers.drivers.frr.keeping import Keeping
from k8s_ecmp.routers.drivers.frr.remote import FREE_THE_LOCK, Remote, after_failure
from k8s_ecmp.routers.drivers.frr.session import read_options
from k8s_ecmp.routers.drivers.frr.transactions import Change, Commands, Refused, Running

_SHOWN_LINES = 20  # up to so many lines the shell itself feeds to vtysh, faster than it starts `cat`
_WARM_LINES = 100  # up to so many lines go through the waiting vtysh; above, one vtysh for each batch
_NOT_STARTED = {
    "LOST": "the lock was lost",
    "ASLEEP": "the commit came too long after it was prepared",
    "DEAD": "the waiting vtysh has ended",
}
_SECONDS_PER_LINE = 0.01  # patience with a large commit; measured: 0.0005


@dataclass
class _Applied:
    """A transaction of this driver on the router; `transaction` "" when there was nothing to change."""

    transaction: str
    change: Change
    pending: bool


class FrrDriver:
    """One FRR router. Methods, arguments and answers are those of `napalm.base.base.NetworkDriver`.

    Raises everywhere, beside what each method names: Unreachable (also for a lost session), DeadlineExceeded.
    A merge takes static route lines, `vrf` blocks of them, and `hostname`.
    """

    platform = "frr"

    def __init__(
        self,
        hostname: str,
        username: str,
        password: str,
        timeout: int = 60,
        optional_args: dict[str, Any] | None = None,
    ) -> None:
        self.hostname = hostname
        self.username = username
        self.password = password
        self.timeout = timeout
        self._options = read_options(hostname, optional_args or {})
        self._remote = Remote(hostname, username, password, timeout, self._options)
        self._serial = 0
        self._slot = "a"
        self._candidate: Change | None = None
        self._last: _Applied | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connects, logs in and starts the agent.

        Raises:
            AuthenticationFailed, HostKeyRejected: each with what to do.
            RouterError: the login lacks what the driver needs.
        """
        self._candidate = None
        self._remote.open()

    def close(self) -> None:
        """Saves the startup configuration if anything was committed, frees the lock and disconnects.

        A commit that waits for its confirm goes on waiting: the router takes it back by itself.
        """
        try:
            if self._remote.connected:
                self.discard_config()
                with suppress(Unreachable, DeadlineExceeded):
                    if self._remote.unsaved and not self._remote.save_hangs and not self._remote.commit_waits():
                        self._remote.save()
        finally:
            self._remote.close()

    def is_alive(self) -> dict[str, bool]:
        """Whether the agent on the router answers."""
        try:
            alive = self._remote.connected and self._remote.agent.ask(":", self._options.conn_timeout).status == 0
        except RouterError:
            alive = False
        return {"is_alive": alive}

    # --- reading ---

    def get_config(
        self, retrieve: str = "all", full: bool = False, sanitized: bool = False, format: str = "text"
    ) -> dict[str, str]:
        """`running` as shown by the router, `startup` where the login may read it, `candidate` as its lines.

        Raises:
            RouterError: the running configuration came incomplete.
        """
        del full  # FRR shows no defaults
        if format != "text":
            raise RouterError(f"router {self.hostname}: get_config format {format!r} is not supported; use 'text'")
        answer = {"running": "", "startup": "", "candidate": ""}
        if retrieve in ("all", "running"):
            answer["running"] = self._remote.read_running()
        if retrieve in ("all", "startup"):
            answer["startup"] = self._remote.agent.fetch("cat /etc/frr/frr.conf 2>/dev/null")
        if retrieve in ("all", "candidate") and self._candidate is not None:
            answer["candidate"] = "".join(self._candidate.batches)
        if sanitized:
            return {key: getters.sanitized(text) for key, text in answer.items()}
        return answer

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:
        """Each command through vtysh; command -> output. Those of iproute2 (`ip neigh`) go through the login's shell.

        Raises:
            RouterError: vtysh does not know a command, or another encoding than text is asked for.
        """
        if encoding != "text":
            raise RouterError(f"router {self.hostname}: cli encoding {encoding!r} is not supported; use 'text'")
        self._remote.renew_fence()
        shown = [command for command in commands if command.split()[:1] != ["ip"]]
        answers = dict(zip(shown, self._remote.show(*shown), strict=True))
        if any(command.split()[:1] in (["write"], ["copy"]) for command in shown):
            self._remote.unsaved = False
        return {command: answers[command] if command in answers else self._run(command) for command in commands}

    def get_facts(self) -> dict[str, Any]:
        version, interfaces = self._remote.show("show version", "show interface brief")
        return getters.facts(version, interfaces, self._remote.agent.ask("cat /proc/uptime").text)

    def get_route_to(
        self, destination: str = "", protocol: str = "", longer: bool = False
    ) -> dict[str, list[dict[str, Any]]]:
        """Routes of the default VRF to an address or prefix; all of both families when none is given.

        Raises:
            RouterError: `destination` is no address or prefix.
        """
        if not destination:
            both = self._remote.show("show ip route json", "show ipv6 route json")
            return {prefix: hops for text in both for prefix, hops in getters.routes(text, protocol).items()}
        try:
            prefix = Prefix.parse(destination)
        except ValueError as error:
            raise RouterError(f"router {self.hostname}: {error}") from None
        word = "ip" if prefix.family == 4 else "ipv6"
        where = f"{prefix} longer-prefixes" if longer else str(prefix) if "/" in destination else prefix.address
        return getters.routes(self._remote.show(f"show {word} route {where} json")[0], protocol)

    @property
    def keeping(self) -> Keeping:
        """For whoever wants to save the router work: not part of NAPALM's interface."""
        return Keeping(self._remote, lambda: self.load_merge_candidate(config=""))

    # --- changing ---

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Locks the router, reverts what a dead session left pending, and stages the commands; changes no route.

        Raises:
            LockHeld: another session is changing the router.
            ConfigRejected: a line is wrong or cannot be taken back; nothing is staged.
        """
        text = _content(filename, config)
        self._load(text, lambda _: transactions.read_commands(text))

    def load_replace_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """As `load_merge_candidate`, from a whole configuration, which may differ in static routes and host name only.

        Raises:
            LockHeld, ConfigRejected: as there.
        """
        text = _content(filename, config)
        self._load(text, lambda running: transactions.replacement(running, text))

    def compare_config(self) -> str:
        """The lines that the candidate takes away ("-") and adds ("+"), as predicted from the running configuration."""
        return self._candidate.diff if self._candidate is not None else ""

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Has the router apply the candidate by itself: it ends in the new state or the old, whatever happens to us.

        Args:
            message: FRR keeps none; anything but "" is refused, as NAPALM's drivers do.
            revert_in: seconds until the router takes the commit back unless `confirm_commit` comes before.

        Raises:
            ConfigRejected: the router refused a line; it is in its old state.
            LockHeld: somebody holds the lock of FRR's own configuration; nothing was applied.
            ConfirmExpired: the application took longer than `revert_in`; it was taken back.
            CommitFailed: nothing is staged, a commit waits for its confirm, or something is left, as the message says.
        """
        if message:
            raise NotImplementedError("FRR keeps no commit messages")
        if revert_in is not None and revert_in < 1:
            raise CommitFailed(f"router {self.hostname}: revert_in must be at least 1 second")
        self._refuse_while_pending()
        change = self._candidate
        if change is None:
            raise CommitFailed(f"router {self.hostname}: nothing is staged", remedy="load a candidate first")
        self._serial += 1
        transaction = f"{self._remote.lock_number}-{self._serial}" if change.batches else ""
        self._last = _Applied(transaction, change, pending=revert_in is not None)
        self._candidate = None
        if transaction:
            self._apply(self._last, revert_in)
        if revert_in is None:
            self._remote.unlock(transaction)

    def confirm_commit(self) -> None:
        """Keeps the pending commit.

        Raises:
            ConfirmExpired: the router had taken it back already.
            CommitFailed: none is pending.
        """
        last = self._last
        if last is None or not last.pending:
            raise CommitFailed(f"router {self.hostname}: no commit waits for a confirm")
        if not last.transaction or self._remote.wait_settled(f"confirm {last.transaction}") == "CONFIRMED":
            last.pending = False
            self._remote.unlock(last.transaction)
            return
        self._remote.forget_running()
        self._remote.wait_settled(f"settled {last.transaction}")
        self._last = None  # only now: before, `rollback` asks the router about it
        self._remote.unlock()
        raise ConfirmExpired(
            f"router {self.hostname} took the change back before it was confirmed, or another session decided about it"
        )

    def has_pending_commit(self) -> bool:
        """Whether a commit of this tool, of any session, waits on the router for its confirm, or is half done."""
        return self._remote.commit_waits()

    def rollback(self) -> None:
        """Takes back the pending commit, or the last one of this driver; also what a dead session left pending.

        Raises:
            LockHeld: another session is changing the router.
            CommitFailed: a line could not be taken back, or another session has changed the router since.
        """
        last = self._last
        if last is None or not last.transaction or not last.pending or self._remote.lock_number is None:
            overtaken = self._remote.lock().overtaken
            if last is not None and last.transaction and overtaken and not last.pending:
                self._last = None
                self._remote.unlock()
                raise CommitFailed(
                    f"router {self.hostname}: the commit cannot be taken back: another session came after it",
                    remedy="plan again from the running configuration",
                )
        if last is not None and last.transaction:
            self._remote.forget_running()
            self._remote.unsaved = True
            answer = self._remote.agent.ask(f"rollback {last.transaction}", self._patience(last.change)).text.strip()
            if answer.startswith("LOST"):
                self._last = None
                raise CommitFailed(
                    f"router {self.hostname}: another session took the lock over and decided whether the change stays",
                    remedy="plan again from the running configuration",
                )
            if answer.startswith("GONE") and not last.pending:
                self._last = None
                self._remote.unlock()
                raise CommitFailed(
                    f"router {self.hostname}: the commit cannot be taken back: what it takes for that is gone",
                    remedy="plan again from the running configuration",
                )
            self._remote.wait_settled(f"settled {last.transaction}")
        self._last = None
        self._remote.unlock()

    def discard_config(self) -> None:
        """Forgets the candidate and frees the lock, which a pending commit keeps. A lost session freed it by itself."""
        change, self._candidate = self._candidate, None
        self._remote.forget_looks()
        with suppress(Unreachable, DeadlineExceeded):
            if change is not None and change.batches:
                names = " ".join(name for name, _ in _files(change, self._slot))
                self._remote.agent.ask(f"drop {names}")
            if self._last is None or not self._last.pending:
                self._remote.unlock(self._last.transaction if self._last else "none")

    # --- inside ---

    def _run(self, command: str) -> str:
        """The output of a program on the router; vtysh has no command that begins with `ip`."""
        answer = self._remote.agent.ask(" ".join(map(quoted, command.split())) + " 2>&1")
        if answer.status:
            raise RouterError(
                f"router {self.hostname}: {command!r} ended with status {answer.status}: {answer.text.strip()[:200]}",
                remedy="the login needs `ip` on its PATH, of an iproute2 that knows this command",
            )
        return answer.text

    def _refuse_while_pending(self) -> None:
        if self._last is not None and self._last.pending:
            raise CommitFailed(f"router {self.hostname}: a commit waits for its confirm", remedy="confirm or roll back")

    def _load(self, text: str, read: Callable[[Running], Commands]) -> None:
        self._refuse_while_pending()
        foreseen = self._foreseen(text, read)
        files = _files(foreseen, self._slot) if foreseen is not None else []
        look, self._remote.look_along = self._remote.look_along, ()
        locked = self._remote.lock(files if fits(files) else [], look)
        if locked.overtaken:
            self._last = None
        self._candidate = Change()
        if not text.strip():
            return
        try:
            if foreseen is not None and self._remote.is_current:
                self._candidate = foreseen
                if not locked.staged:
                    self._remote.agent.upload(files)
            else:
                self._candidate = self._change(text, read)
                self._remote.agent.upload(_files(self._candidate, self._slot))
        except BaseException:
            self.discard_config()
            raise

    def _foreseen(self, text: str, read: Callable[[Running], Commands]) -> Change | None:
        """What the commands do if nobody has changed the router since we know it; None where that takes the router."""
        running = self._remote.remembered
        if not text.strip() or running is None:
            return None
        try:
            commands = read(running)
        except Refused:
            return None
        return transactions.change(running, commands) if commands.plain else None

    def _change(self, text: str, read: Callable[[Running], Commands]) -> Change:
        running = self._remote.known_running()
        try:
            commands = read(running)
        except Refused as refused:
            self._remote.check(text)
            where = f"line {refused.number}: " if refused.number else ""
            raise ConfigRejected(
                f"router {self.hostname}: {where}{refused.text!r} is no static route command",
                remedy="this driver takes static routes, vrf blocks of them, and hostname",
            ) from None
        change = transactions.change(running, commands)
        if not commands.plain:  # plain lines were held against a stricter grammar than vtysh's
            self._remote.check("".join(change.batches))
        return change

    def _apply(self, applied: _Applied, revert_in: int | None) -> None:
        """Returns when the router has applied everything; else raises as `commit_config`."""
        agent = self._remote.agent
        change = applied.change
        lines = sum(batch.count("\n") for batch in change.batches)
        how = "show" if lines <= _SHOWN_LINES else "cat" if lines <= _WARM_LINES else "file"
        counts = f"{len(change.batches)} {len(change.undo)}"
        self._remote.forget_looks()
        slot, self._slot = self._slot, "b" if self._slot == "a" else "a"
        try:
            command = f"commit {applied.transaction} {counts} {slot} {revert_in or 0} {how}"
            started = agent.ask(command).text.strip()
            if started == "STARTED":
                verdict, reason = agent.result(applied.transaction, self._patience(change))
        except (Unreachable, DeadlineExceeded):
            self._remote.forget_running()  # the router goes on; `rollback` or `confirm_commit` after `open` decide
            self._remote.unsaved = True
            raise
        if started == "STARTED" and verdict == "ok":
            self._remote.follow(change)
            self._remote.unsaved = True
            self._remote.renew_fence()
            return
        self._last = None
        self._remote.forget_running()
        with suppress(Unreachable, DeadlineExceeded):  # what became of the change is known, and to be told
            self._remote.restart_agent()
        if started != "STARTED":
            why = _NOT_STARTED.get(started, "the work directory takes no more files")
            raise CommitFailed(f"router {self.hostname}: nothing was applied: {why}", remedy="load the candidate again")
        if verdict == "busy":
            raise LockHeld(
                f"router {self.hostname}: nothing was applied: somebody has FRR's configuration locked",
                holder="a session of FRR's management daemon",
                remedy=FREE_THE_LOCK,
            )
        if verdict == "undone":
            raise ConfigRejected(f"router {self.hostname} refused the change and is as before: {reason}")
        if verdict == "expired":
            raise ConfirmExpired(f"router {self.hostname}: the change took over {revert_in} s and was taken back")
        raise CommitFailed(f"router {self.hostname}: {reason}", remedy=after_failure(reason))

    def _patience(self, change: Change) -> float:
        return self.timeout + _SECONDS_PER_LINE * sum(batch.count("\n") for batch in change.batches + change.undo)


def _content(filename: str | None, config: str | None) -> str:
    if filename:
        try:
            return Path(filename).read_text()
        except OSError as error:
            raise ConfigRejected(f"{filename}: {error.strerror}") from None
    if config is None:
        raise ConfigRejected("neither filename nor config is given")
    return config


def _files(change: Change, slot: str) -> list[tuple[str, str]]:
    """Names and contents of the files that go to the router."""
    return [(f"new.{slot}.{number}", text) for number, text in enumerate(change.batches, 1)] + [
        (f"undo.{slot}.{number}", text) for number, text in enumerate(change.undo, 1)
    ]

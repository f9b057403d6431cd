"""The daemon's journal: one thread writes, so that a disk that hangs holds up no router but by saying that it does.

"begin" is written while the change is being staged and has to be on the disk before the router is told to commit; what
became of it is written when that is known. While the journal cannot be written nothing is: `trouble` says why, every
router is held, and once a second it is tried again.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from k8s_ecmp.core.intent import digest_of
from k8s_ecmp.daemon.authority import Authority
from k8s_ecmp.errors import JournalError
from k8s_ecmp.journal import Author, Begun, Journal
from k8s_ecmp.journal.only_writer import OnlyWriter
from k8s_ecmp.model import CommitResult, DesiredRoute, Outcome, RouteChange
from k8s_ecmp.recording import changes_body, found_out, result_body
from k8s_ecmp.settings import Settings

_log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
_BUSY_S = 2.0
_TICK_S = 0.5
_LOCK_PATIENCE_S = 0.2
_RETRY_S = 1.0
_PRUNE_S = 60.0


@dataclass(eq=False)
class Begin:
    """A change that is being written down."""

    author: Author
    router: str
    changes: Sequence[RouteChange]
    commands: Sequence[str]
    cluster: Mapping[str, Any]
    routes: Sequence[DesiredRoute]
    entry: int | None = None
    error: str | None = None
    given_up: bool = False
    written: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Returns when it is on the disk.

        Raises:
            JournalError: it cannot be written, or not soon enough; nothing may be done.
        """
        if not self.written.wait(_PATIENCE_S):
            self.given_up = True
            raise JournalError(f"the journal took longer than {_PATIENCE_S:g} s to write; nothing was written")
        if self.entry is None:
            raise JournalError(self.error or "the journal cannot be written")


@dataclass(frozen=True)
class _Result:
    """What became of a change; `body` None: it never got as far as the journal."""

    author: Author
    router: str
    body: Callable[[], dict[str, Any] | None]


class Account:
    """What the workers tell the journal; and that no other process of the owner writes meanwhile, beside it."""

    def __init__(
        self,
        settings: Settings,
        authority: Authority,
        identity: str,
        source: Callable[[], str],
        lease: str | None,
        on_change: Callable[[], None],
    ) -> None:
        """Opens nothing yet.

        Args:
            settings: owner, and where the journal is.
            authority: who may write; the lock is held while that is this process.
            identity: of the daemon.
            source: where the cluster's state comes from, for the entries.
            lease: names the Lease under which others may hold the lock too; None: there is none.
            on_change: called when `trouble` began or ended, or there are changes to find out about.
        """
        self._settings = settings
        self._authority = authority
        self._source = source
        self._on_change = on_change
        self._author = Author.here(settings.owner, identity=f"k8s-ecmp run {identity}")
        self._journal: Journal | None = None
        self._lease = lease
        self._lock: OnlyWriter | None = None
        self._searched = False  # for changes whose process died, since the lock was taken
        self._wake = threading.Condition()
        self._begins: deque[Begin] = deque()
        self._results: deque[_Result] = deque()
        self._dead: dict[str, list[Begun]] = defaultdict(list)
        self._trouble: str | None = None
        self._since: datetime | None = None
        self._retry_s = 0.0
        self._pruned_s = float("-inf")
        self._busy_since_s: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    # --- from other threads ---

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Writes what waits, for at most this long, and ends."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def nudge(self) -> None:
        """Who leads is different."""
        with self._wake:
            self._wake.notify()

    @property
    def trouble(self) -> str | None:
        """Why nothing may be written to routers; None: the journal is well."""
        busy_since_s = self._busy_since_s
        if busy_since_s is not None and time.monotonic() - busy_since_s > _PATIENCE_S:
            return f"the journal {self._settings.journal} does not answer; its disk hangs"
        return self._trouble

    def begin(
        self, router: str, changes: Sequence[RouteChange], commands: Sequence[str], routes: Sequence[DesiredRoute]
    ) -> Begin:
        """Begins to write down what is about to be done; `Begin.wait` has to return before it is.

        Args:
            router: its name.
            changes: what is about to be done.
            commands: what is about to be sent.
            routes: what the cluster asks for at these prefixes.
        """
        cluster = {"source": self._source(), "seen": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        begin = Begin(self._author.again(), router, changes, commands, cluster, routes)
        with self._wake:
            self._begins.append(begin)
            self._wake.notify()
        return begin

    def end(self, begin: Begin, result: CommitResult) -> None:
        """What became of it; returns at once."""

        def body() -> dict[str, Any] | None:
            return None if begin.entry is None else result_body(result, None, begin.entry)

        self._tell(_Result(begin.author, begin.router, body))

    def dead(self, router: str) -> tuple[Begun, ...]:
        """Changes of the router whose process died, each handed out once."""
        with self._wake:
            return tuple(self._dead.pop(router, ()))

    def found(self, begun: Begun, outcome: Outcome, detail: str | None) -> None:
        """What became of one of these."""
        _log.info(
            "found out what became of a change whose process had died",
            extra={"router": begun.router, "entry": begun.entry, "outcome": outcome, "detail": detail},
        )
        self._tell(_Result(self._author.again(), begun.router, lambda: found_out(begun, outcome, detail)))

    def _tell(self, result: _Result) -> None:
        with self._wake:
            self._results.append(result)
            self._wake.notify()

    # --- the thread ---

    def _run(self) -> None:
        while True:
            with self._wake:
                idle = not self._begins and (not self._results or self._trouble is not None)
                if idle and not self._stopping:
                    self._wake.wait(_TICK_S)
            self._busy_since_s = time.monotonic()
            try:
                self._stand_ready()
                job = self._next()
                if job is not None:
                    self._do(job)
            except Exception:  # noqa: BLE001  whatever it is, the thread goes on
                _log.exception("the journal met something unexpected")
            self._busy_since_s = None
            if self._stopping and (self._trouble is not None or not (self._begins or self._results)):
                break
        self._close()

    def _next(self) -> "Begin | _Result | None":
        """Begins first: a router waits for them. What became of changes waits until the journal is well."""
        with self._wake:
            if self._begins:
                return self._begins.popleft()
            return self._results.popleft() if self._results and self._trouble is None else None

    def _stand_ready(self) -> None:
        """Holds the lock while this process leads, and heals what was broken."""
        if not self._authority.leading and not self._begins and not self._results:
            if self._trouble is not None:
                self._well()
            self._close()
            return
        if (self._searched and self._trouble is None) or time.monotonic() < self._retry_s:
            return
        self._retry_s = time.monotonic() + _RETRY_S
        try:
            journal = self._opened()
            if self._lock is not None and not self._lock.is_of(journal.path):  # a link leads to another one by now
                self._give_back()
            if self._lock is None:
                lease = None if self._lease is None else f"{self._lease} at {self._source()}"
                lock = OnlyWriter(journal.path, self._settings.owner, self._author.who, lease=lease)
                lock.take(_LOCK_PATIENCE_S)
                self._lock = lock
            if not self._searched:
                found = journal.unfinished(self._settings.owner)
                with self._wake:
                    self._dead.clear()
                    for begun in found:
                        self._dead[begun.router].append(begun)
                self._searched = True
                if found:
                    self._on_change()
            if self._trouble is not None and self._since is not None:
                since = self._since.strftime("%Y-%m-%dT%H:%M:%SZ")
                journal.write(self._author.again(), "trouble", {"since": since, "error": self._trouble})
        except JournalError as error:
            self._ill(error)
            return
        if self._trouble is not None:
            self._well()

    def _do(self, job: "Begin | _Result") -> None:
        try:
            if isinstance(job, Begin):
                self._begin(job)
            else:
                body = job.body()
                if body is not None:
                    self._opened().write(job.author, "result", body, job.router)
                self._prune()
        except JournalError as error:
            if not isinstance(job, Begin):
                # It is not lost; meanwhile no change is begun, so that this cannot grow.
                with self._wake:
                    self._results.appendleft(job)
            if self._trouble is None:
                self._ill(error)
        finally:
            if isinstance(job, Begin):
                job.written.set()

    def _begin(self, begin: Begin) -> None:
        if self._trouble is not None or not self._searched:
            begin.error = self._trouble or "the journal is not open yet"
            return
        if begin.given_up:
            return
        body = {
            "plan": None,
            "cluster": {**begin.cluster, "digest": digest_of(begin.routes)},
            "changes": changes_body(begin.changes),
            "commands": list(begin.commands),
        }
        try:
            begin.entry = self._opened().write(begin.author, "begin", body, begin.router)
        except JournalError as error:
            begin.error = str(error)
            raise

    def _prune(self) -> None:
        keep = self._settings.daemon.journal_files
        if keep is None or time.monotonic() - self._pruned_s < _PRUNE_S:
            return
        self._pruned_s = time.monotonic()
        for name in self._opened().prune(self._author.again(), keep):
            _log.warning("the journal's oldest file was removed", extra={"file": name, "journal_files": keep})

    def _opened(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self._settings.journal, busy_s=_BUSY_S)
        return self._journal

    def _ill(self, error: JournalError) -> None:
        """The file is opened anew for the next attempt; the lock stays, where it is held."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._retry_s = time.monotonic() + _RETRY_S
        if self._trouble is None:
            self._since = datetime.now(UTC)
            _log.error("nothing is written to routers: the journal cannot be written", extra={"error": str(error)})
        self._trouble = str(error)
        self._on_change()

    def _well(self) -> None:
        self._trouble = self._since = None
        _log.info("the journal can be written again")
        self._on_change()

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._give_back()

    def _give_back(self) -> None:
        if self._lock is not None:
            self._lock.give_back()
        self._lock = None
        self._searched = False

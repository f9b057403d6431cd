"""One router's worker: a thread that keeps a session, plans what the loop marks, and commits it.

Nothing that a router does or leaves undone reaches another worker. What a guard, the mode or a freeze holds stays
marked and is looked at again when something changes, and every second.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext

from nornir.core.configuration import Config
from nornir.core.inventory import Host

from k8s_ecmp.core.table import Table
from k8s_ecmp.daemon.account import Account
from k8s_ecmp.daemon.authority import Authority
from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.daemon.decision import Decision, Snapshot
from k8s_ecmp.daemon.ledger import Ledger
from k8s_ecmp.daemon.metrics import Instruments
from k8s_ecmp.daemon.pending import Batch, Pending
from k8s_ecmp.daemon.planner import Planner
from k8s_ecmp.daemon.through import Questions, Through
from k8s_ecmp.daemon.turns import Turns
from k8s_ecmp.daemon.writing import Writing, outcome_of
from k8s_ecmp.errors import (
    EcmpError,
    JournalError,
    NotLeading,
    NotSaved,
    PlanRefused,
    UnsupportedPlatform,
    VerifyFailed,
)
from k8s_ecmp.memory import give_back
from k8s_ecmp.model import Prefix, RouterPlan
from k8s_ecmp.report import RouterReport, RouterState
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import platform_of
from k8s_ecmp.routers.session import NEVER_WRITE
from k8s_ecmp.routers.standing import StandingSession
from k8s_ecmp.settings import Settings

_log = logging.getLogger(__name__)

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 30.0
_CHECK_S = 10.0  # a session that has been idle for so long is asked for a sign of life
_HELD_AGAIN_S = 1.0
_SAVE_QUIET_S, _SAVE_EVERY_S, _LONGEST_SAVE_S = 1.0, 30.0, 3600.0
_WAITING_AGAIN_S = 10.0  # for a hop that the router cannot resolve
_MOST_REFUSALS = 1
_JITTER = 0.1


class Worker:
    """Follows the decision on one router."""

    def __init__(
        self,
        host: Host,
        configuration: Config,
        settings: Settings,
        decision: Decision,
        authority: Authority,
        clock: Clock,
        instruments: Instruments,
        account: Account,
        turns: Turns | None,
        on_progress: Callable[[], None],
    ) -> None:
        """Reads the inventory.

        Args:
            host: Nornir's.
            configuration: Nornir's.
            settings: all of them.
            decision: what shall be.
            authority: who may write.
            clock: the daemon's time.
            instruments: metrics.
            account: the journal.
            turns: shared with the routers of the same failure domain.
            on_progress: called when something happened that the loop may want to know.
        """
        self.name: str = host.name
        self.platform: str = platform_of(host) or ""
        lease = settings.daemon.lease
        fence_s = max(1, int(lease.duration_s - lease.renew_deadline_s)) if lease.enabled else 0
        self._session = StandingSession(host, configuration, settings, fence_s=fence_s)
        self._settings = settings
        self._decision = decision
        self._authority = authority
        self._clock = clock
        self._instruments = instruments
        self._writing = Writing(self.name, self._session, settings, account, self._permit)
        self._questions = Questions(self._session, decision)
        self._as_read: Table | None = None
        self._turns = turns
        self._on_progress = on_progress
        self._wake = threading.Condition()
        self._pending = Pending(settings.daemon.coalesce_s)
        self._planner = Planner(self._session, decision, settings.guards.window_s)
        self.ledger = Ledger(self.name, self.platform)
        self._silent: tuple[str, ...] = ()
        self._grounds: object = None
        self._refusals = 0
        self.unsupported = False
        """Whether this version cannot write to the router."""
        self._term = 0
        self._tries = 0
        self._retry_s = 0.0
        self._resync_s = 0.0
        self._used_s = 0.0
        self._nudged = False
        self._saved_s = float("-inf")
        self._save_every_s = _SAVE_EVERY_S
        self._held_s = float("inf")
        self._working = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"router {self.name}", daemon=True)

    @property
    def _writes(self) -> bool:
        return self._settings.mode not in NEVER_WRITE

    @property
    def _frozen(self) -> bool:
        freeze = self._decision.freeze()
        return freeze is not None and freeze.everything

    # --- from other threads ---

    def start(self) -> None:
        self._thread.start()

    def mark(self, prefixes: Collection[Prefix] | None, now_s: float) -> None:
        """These prefixes have to be looked at; None: all."""
        with self._wake:
            self._pending.add(prefixes, now_s)
            self._wake.notify()

    def nudge(self) -> None:
        """Something that held changes is different."""
        with self._wake:
            self._nudged = True  # not a time: a turn that is under way sets that anew
            self._wake.notify()

    def ask_through(self, question: Through) -> None:
        """Answers, once nothing waits, which of our prefixes go through a node."""
        self._questions.add(question)
        with self._wake:
            self._wake.notify()

    def stop(self) -> None:
        """Ends after what is in hand; the routes stay."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self, timeout_s: float) -> bool:
        """Whether it has ended within that time."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    @property
    def leading(self) -> bool:
        """Whether this process is the one that writes to the router."""
        return self._authority.leading

    @property
    def settled(self) -> bool:
        """Whether the router was read in this term and nothing failed since; what is held counts as settled."""
        ledger = self.ledger
        return ledger.read and ledger.failing is None and self._term == self._authority.term

    @property
    def busy(self) -> bool:
        """Whether something waits for the router, or is under way."""
        # In the order in which a change goes its way, so that it is not missed on it.
        return self._decision.untold or bool(self._pending) or self._working

    def report(self, desired: int) -> RouterReport:
        """How the router stands, where `desired` prefixes shall be."""
        return self.ledger.report(self._state(), desired, self._retry_s - time.monotonic())

    def _state(self) -> RouterState:
        ledger = self.ledger
        if not self._authority.leading:
            return "idle"
        if ledger.failing is not None:
            return "failed"
        if not ledger.read:
            return "connecting"
        if ledger.held:
            return "held"
        if self.busy:
            return "pending"
        return "conflict" if ledger.conflicts else "in-sync"

    # --- the thread ---

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and (wait_s := self._wait_s()) > 0:
                    self._wake.wait(min(wait_s, 60.0))
                if self._stopping:
                    break
            try:
                self._working = True
                self._turn()
            except NotLeading as error:
                self._put_down(error)
            except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
                self._failed(error)
            finally:
                self._working = False
                self._on_progress()
        self._session.close()

    def _wait_s(self) -> float:
        """Seconds until there is something to do."""
        now_s = time.monotonic()
        if not self._authority.leading:
            return 0.0 if self._session.connected or self._term else 60.0
        if self._term != self._authority.term:
            return 0.0
        if self._retry_s > now_s:
            return self._retry_s - now_s
        if self._nudged:
            return 0.0
        times = [self._resync_s, self._used_s + _CHECK_S, self._held_s]
        if (due_s := self._pending.due_s()) is not None and self._decision.complete:
            times.append(due_s)
        if self._questions and not self._pending:
            times.append(now_s)
        if self._session.saves_later:
            times.append(self._save_s())
        return min(times) - now_s

    def _save_s(self) -> float:
        return max(self._used_s + _SAVE_QUIET_S, self._saved_s + self._save_every_s)

    def _save(self, now_s: float) -> None:
        """Saves the startup configuration; a router that does not answer that is asked ever more seldom."""
        self._saved_s, every_s = now_s, self._save_every_s
        self._save_every_s = min(2 * every_s, _LONGEST_SAVE_S)
        self._session.save_startup()
        self._save_every_s = _SAVE_EVERY_S
        self.ledger.not_saved = None

    def _turn(self) -> None:
        """One thing to do, the most urgent first."""
        with self._wake:
            nudged, self._nudged = self._nudged, False
        if not self._authority.leading:
            self._stand_by()
            return
        if self._term != self._authority.term:
            self._term = self._authority.term
            self._session.close()
            self.ledger.read = False
            with self._wake:
                self._pending = Pending(self._settings.daemon.coalesce_s)  # everything is read anew
            self._retry_s = self._resync_s = 0.0
        self._find_out()
        now_s = time.monotonic()
        if not self._session.connected:
            self._session.connect()
            self._used_s = time.monotonic()
        if self._session.table is None or now_s >= self._resync_s:
            if not self._decision.complete:
                # The session stands; what shall be is not known yet.
                self._resync_s = self._used_s = float("inf")
                return
            self._full_cycle()
            give_back()
        elif (due_s := self._pending.due_s()) is not None and due_s <= now_s:
            with self._wake:
                batch = self._pending.take()
            self._batch(batch)
        elif nudged or self._held_s <= now_s:
            self._look_again()
        elif self._questions and not self._pending:
            self._questions.answer()
            self._used_s = time.monotonic()
        elif self._session.saves_later and self._save_s() <= now_s:
            self._save(now_s)
        elif now_s >= self._used_s + _CHECK_S:
            self._session.check()
            self._used_s = time.monotonic()
            if self._session.table is None:
                self._resync_s = self._used_s  # somebody else wrote: it is read again at once

    def _stand_by(self) -> None:
        """Another process leads: no session, and nothing is known of the router."""
        self._session.close()
        self._term = 0
        self.ledger.stand_by()
        with self._wake:
            self._pending = Pending(self._settings.daemon.coalesce_s)

    def _put_down(self, error: NotLeading) -> None:
        """Nothing was written, and what was read may be stale before this process may write again."""
        self._session.close()
        self._instruments.committed(self.name, "refused", None)
        if not self._stopping:
            self.ledger.failed(error.message, None)
            self._retry_s = time.monotonic() + _FIRST_RETRY_S

    def _failed(self, error: BaseException) -> None:
        """Closes the session and tries again later: what runs has to be read anew."""
        self.ledger.failed(error_text(error), None if isinstance(error, EcmpError) else error)
        if isinstance(error, NotSaved):
            self.ledger.not_saved = error_text(error)
        self.unsupported = isinstance(error, UnsupportedPlatform)
        outcome = "rolled-back" if isinstance(error, VerifyFailed) else "failed"
        self._instruments.committed(self.name, outcome, None)
        self._session.close()
        longest_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2**self._tries)
        self._tries = min(self._tries + 1, 10)
        self._retry_s = time.monotonic() + longest_s * (1 - random.random() / 2)  # noqa: S311

    def _succeeded(self) -> None:
        self._tries = self._refusals = 0
        self.ledger.succeeded(self._clock.now())

    # --- looking and changing ---

    def _full_cycle(self) -> None:
        """Reads the router in full; what differs though nothing waits is drift."""
        ledger = self.ledger
        first = not ledger.read
        with self._wake:
            batch = self._pending.take() if self._pending else Batch(frozenset(), None)
        try:
            table = self._as_read = self._session.read(recover=self._writes and not self._frozen)
            self._planner.read(table)
            self._find_out()
            if time.monotonic() >= self._resync_s:
                self._planner.trust()
            self._used_s = time.monotonic()
            ledger.last_read = self._clock.now()
            interval_s = self._settings.daemon.resync_s
            self._resync_s = time.monotonic() + interval_s * (1 + random.uniform(-_JITTER, _JITTER))  # noqa: S311
            problems = self._session.drift_in_tables()
            self._silent = self._session.silent_hops()
            with self._alone():
                snapshot = self._snapshot(table, None)
                planned = self._planner.plan(table, snapshot, None)
                expected = first or batch.prefixes is None
                known = self._marked() | ledger.held | self._planner.waiting | (batch.prefixes or frozenset())
                ledger.drifted([] if expected else [c for c in planned.changes if c.prefix not in known], problems)
                done = self._act(table, planned, Batch(None, batch.since_s), snapshot)
        except BaseException:
            self._put_back(batch)
            raise
        if done:
            ledger.read = True
            self._succeeded()

    def _batch(self, batch: Batch) -> None:
        """Looks at some prefixes, and at those that are held: a guard holds the router, not only what tripped it."""
        try:
            table = self._session.table
            assert table is not None  # noqa: S101  a turn reads before it looks
            scope = None
            if batch.prefixes is not None:
                self._planner.trust(batch.prefixes)
                scope = batch.prefixes | self.ledger.held | self._planner.waiting
            with self._alone():
                snapshot = self._snapshot(table, scope)
                planned = self._planner.plan(table, snapshot, scope)
                done = self._act(table, planned, Batch(scope, batch.since_s), snapshot)
        except BaseException:
            self._put_back(batch)
            raise
        if done:
            self._succeeded()

    def _look_again(self) -> None:
        """At what is held, where something that held it may be different."""
        grounds = self._planner.grounds(self._session.table, self._decision.rules())
        if grounds == self._grounds and not self._planner.waiting:
            self._held_s = time.monotonic() + _HELD_AGAIN_S if self.ledger.held else float("inf")
            return
        self._batch(Batch(frozenset(), None))

    def _snapshot(self, table: Table, scope: frozenset[Prefix] | None) -> Snapshot:
        """What shall be; what holds is looked at again where it is not what holds now."""
        snapshot = self._decision.snapshot(scope)
        self._grounds = self._planner.grounds(table, snapshot.rules)
        return snapshot

    def _alone(self) -> AbstractContextManager[None]:
        """No other router of the failure domain is planned, committed and verified meanwhile."""
        return nullcontext() if self._turns is None else self._turns.mine()

    def _marked(self) -> frozenset[Prefix]:
        with self._wake:
            return self._pending.prefixes

    def _put_back(self, batch: Batch) -> None:
        with self._wake:
            self._pending.put_back(batch, time.monotonic())

    def _act(self, table: Table, planned: RouterPlan, batch: Batch, snapshot: Snapshot) -> bool:
        """Commits what may be committed, and notes what may not. False: it has to be planned anew."""
        ledger = self.ledger
        ledger.planned(planned, batch.prefixes, snapshot.rules, writes=self._writes)
        ledger.size = table.size
        now_s = time.monotonic()
        self._held_s = float("inf")
        if ledger.held and self._writes:
            self._held_s = now_s + _HELD_AGAIN_S
        elif self._planner.waiting:
            self._held_s = now_s + _WAITING_AGAIN_S
        seen = [*(skip.reason for skip in planned.skipped), *self._silent]
        if not planned.changes or planned.status == "blocked" or not self._writes:
            ledger.warned(seen)
            return True
        began_s = time.monotonic()
        try:
            warnings = self._commit(table, planned, snapshot)
        except JournalError as error:
            # Nothing was written; the journal's trouble holds the router now. What runs is read again, and planned.
            self._instruments.committed(self.name, "refused", None)
            _log.warning("not begun", extra={"router": self.name, "error": error.message})
            self._put_back(batch)
            return False
        except PlanRefused as error:
            # Nothing was written: somebody else was there. Read again and plan anew, at once, but not for ever.
            self._refusals += 1
            if self._refusals > _MOST_REFUSALS:
                raise
            _log.info("read again before writing", extra={"router": self.name, "reason": error.message})
            self._instruments.committed(self.name, "refused", None)
            self._put_back(batch)
            return False
        except VerifyFailed as error:
            if not error.prefixes or (len(error.prefixes) == len(planned.changes) > 1):
                raise
            # The rest goes on without those that do not show; they are tried again when they change, and at a resync.
            self._planner.doubt(error.prefixes)
            self._instruments.committed(self.name, "rolled-back", None)
            _log.warning("taken back", extra={"router": self.name, "error": error.message})
            self._put_back(batch)
            return False
        ledger.warned([*seen, *warnings])
        ended_s = self._used_s = time.monotonic()
        after = self._session.table
        self._planner.committed(table, planned, snapshot, ended_s)
        after_s = None if batch.since_s is None else ended_s - batch.since_s
        if after is None:
            self._put_back(Batch(frozenset(), None))  # it has to be read
        size = after.size if after is not None else table.size.after(planned.changes)
        ledger.committed(planned, size, self._clock.now(), after_s, ended_s - began_s)
        if not self._session.saves_later:
            ledger.not_saved = None
        self._instruments.committed(self.name, "committed", after_s)
        return True

    def _commit(self, table: Table, planned: RouterPlan, snapshot: Snapshot) -> tuple[str, ...]:
        """Commits; what ends in an error may be in force all the same, and counts for the guards then."""
        try:
            return self._writing.commit(planned, snapshot, lambda: self._stopping)
        except BaseException as error:
            if outcome_of(error) not in ("refused", "blocked"):
                self._planner.broke_off(table, planned, snapshot)
            raise

    def _find_out(self) -> None:
        """What became of changes whose process died, once the router was read."""
        if self._as_read is not None:
            self._writing.find_out(self._as_read)

    def _permit(self) -> None:
        """Called directly before a commit.

        Raises:
            NotLeading: this process may not write.
            PlanRefused: a freeze that stops everything began after the plan was made.
        """
        refusal = self._authority.refusal()
        if refusal is None and self._term != self._authority.term:
            refusal = "this process led, lost that, and leads again: what was read is of the time before"
        refusal = refusal or ("the daemon is stopping" if self._stopping else None)
        if refusal is not None:
            raise NotLeading(f"router {self.name}: {refusal}")
        freeze = self._decision.freeze()
        if freeze is not None and freeze.everything:
            raise PlanRefused(f"router {self.name}: {freeze.detail}")

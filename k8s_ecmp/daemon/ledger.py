"""What is known to stand on one router and what holds it: for the report, the metrics and the log."""

import logging
from collections.abc import Collection
from datetime import datetime

from k8s_ecmp.core.rules import Rules
from k8s_ecmp.core.table import Size
from k8s_ecmp.model import GuardTrip, Prefix, RouteChange, RouterPlan
from k8s_ecmp.report import ConflictReport, GuardReport, RouterReport, RouterState

_log = logging.getLogger(__name__)

_SHOWN = 5
_AUDITED = 100
_MOST_DRIFT = 20


class Ledger:
    """Written by the router's worker alone, read by everybody; each field is replaced as a whole."""

    def __init__(self, router: str, platform: str) -> None:
        self.router = router
        self.platform = platform
        self.conflicts: dict[Prefix, str] = {}
        self.guards: dict[Prefix | None, tuple[GuardReport, ...]] = {}
        self.held: frozenset[Prefix] = frozenset()
        self.warnings: tuple[str, ...] = ()
        self.not_saved: str | None = None
        """Why the startup configuration is not the one that runs, since a commit could not save it."""
        self.drift = 0
        self.commits = 0
        self.failures = 0
        self.failing: str | None = None
        self.last_success: datetime | None = None
        self.last_commit: datetime | None = None
        self.last_read: datetime | None = None
        self.size = Size()
        self.read = False
        self.due = 0
        """Changes of the last plan that are not made."""
        self.version = 0
        """Counts up when conflicts, guards or what they hold may be different."""
        self._said: object = None

    def stand_by(self) -> None:
        """Another process leads: nothing is known of the router any more."""
        fresh = Ledger(self.router, self.platform)
        fresh.commits, fresh.failures, fresh.version = self.commits, self.failures, self.version + 1
        self.__dict__.update(fresh.__dict__)

    def planned(self, plan: RouterPlan, scope: Collection[Prefix] | None, rules: Rules, *, writes: bool) -> None:
        """Keeps what a plan says of conflicts, guards and what they hold; logs what is new.

        Args:
            plan: of the router, for the prefixes in `scope` or for all.
            scope: see there.
            rules: that it was made with.
            writes: whether the mode lets anything be written.
        """
        self.version += 1
        self.due = len(plan.changes)
        self._note_conflicts(plan, scope)
        blocked = bool(plan.changes) and (plan.status == "blocked" or not writes)
        self._note_guards(plan, scope, rules)
        held = {change.prefix for change in plan.changes} if blocked else set[Prefix]()
        held |= {trip.prefix for trip in plan.guards if trip.prefix is not None}
        self.held = frozenset(held if scope is None else {p for p in self.held if p not in scope} | held)
        if not self.held:
            self.guards.pop(None, None)
        if blocked:
            self._say_held(plan.changes, writes=writes)

    def committed(self, plan: RouterPlan, size: Size, at: datetime, after_s: float | None, commit_s: float) -> None:
        """A plan's changes are made: `after_s` since the event that caused them, `commit_s` of it on the router."""
        self.commits += 1
        self.last_commit = at
        self.size = size
        actions = [change.action for change in plan.changes]
        after_ms = None if after_s is None else round(after_s * 1000, 1)
        counts = {action: actions.count(action) for action in ("create", "update", "delete")}
        took = {"after_ms": after_ms, "commit_ms": round(commit_s * 1000, 1)}
        changes = [_shown(change) for change in plan.changes[:_AUDITED]]
        more = len(plan.changes) - len(changes)
        _log.info("committed", extra={"router": self.router, **counts, **took, "changes": changes, "more": more})
        self.due = 0

    def warned(self, warnings: Collection[str]) -> None:
        """What the last look at the router, or the last commit, warns of."""
        for warning in sorted(set(warnings) - set(self.warnings)):
            _log.warning("router warns", extra={"router": self.router, "warning": warning})
        self.warnings = tuple(warnings)

    def drifted(self, changes: Collection[RouteChange], problems: Collection[str]) -> None:
        """What a full read found to differ though nothing in the cluster had changed."""
        self.drift = len(changes) + len(problems)
        for change in list(changes)[:_MOST_DRIFT]:
            _log.warning("drift", extra={"router": self.router, **_shown(change)})
        for problem in list(problems)[:_MOST_DRIFT]:
            _log.warning(
                "the router's tables differ from its configuration", extra={"router": self.router, "problem": problem}
            )

    def failed(self, text: str, error: BaseException | None) -> None:
        """An attempt failed; the same failure is said once. `error`: one that nobody foresaw."""
        self.failures += 1
        if self.failing != text:
            _log.warning("router failed", exc_info=error, extra={"router": self.router, "error": text})
        self.failing = text

    def succeeded(self, at: datetime) -> None:
        """Whatever was to do is done."""
        if self.failing is not None:
            _log.info("router is well again", extra={"router": self.router})
        self.failing = None
        self.last_success = at

    def held_prefixes(self) -> dict[Prefix, str]:
        """Prefixes that a guard holds, and why."""
        return {p: guards[0].detail for p, guards in list(self.guards.items()) if p is not None and guards}

    def report(self, state: RouterState, desired: int, retry_in_s: float) -> RouterReport:
        """All of it.

        Args:
            state: of the router.
            desired: prefixes that it shall carry.
            retry_in_s: until the next attempt after a failure.
        """
        return RouterReport(
            name=self.router,
            platform=self.platform,
            state=state,
            owned_prefixes=self.size.prefixes,
            owned_hops=self.size.hops,
            desired_prefixes=desired,
            pending=max(len(self.held), self.due),
            drift=self.drift,
            conflicts=tuple(ConflictReport(str(p), why) for p, why in sorted(self.conflicts.items())),
            guards=tuple(guard for some in list(self.guards.values()) for guard in some),
            warnings=self.warnings if self.not_saved is None else (self.not_saved, *self.warnings),
            last_success=self.last_success,
            last_commit=self.last_commit,
            last_read=self.last_read,
            commits=self.commits,
            failures=self.failures,
            error=self.failing,
            retry_in_s=round(retry_in_s, 1) if self.failing is not None and retry_in_s > 0 else None,
        )

    def _note_conflicts(self, plan: RouterPlan, scope: Collection[Prefix] | None) -> None:
        conflicts = {conflict.prefix: conflict.reason for conflict in plan.conflicts}
        for prefix, reason in conflicts.items():
            if self.conflicts.get(prefix) != reason:
                _log.warning("conflict", extra={"router": self.router, "prefix": str(prefix), "reason": reason})
        kept = {} if scope is None else {p: why for p, why in self.conflicts.items() if p not in scope}
        self.conflicts = kept | conflicts

    def _note_guards(self, plan: RouterPlan, scope: Collection[Prefix] | None, rules: Rules) -> None:
        guards: dict[Prefix | None, tuple[GuardReport, ...]] = {}
        if scope is not None:
            guards |= {p: some for p, some in self.guards.items() if p is not None and p not in scope}
        fresh: dict[str, list[GuardTrip]] = {}
        for trip in (*plan.guards, *(rules.holds if plan.changes or plan.guards else ())):
            held_at = None if trip.prefix is None else str(trip.prefix)
            if trip.guard not in {old.guard for old in self.guards.get(trip.prefix, ())}:
                fresh.setdefault(trip.guard, []).append(trip)
            report = GuardReport(trip.guard, trip.detail, trip.router, held_at)
            guards[trip.prefix] = (*guards.get(trip.prefix, ()), report)
        self.guards = guards
        for guard, trips in fresh.items():
            prefixes = [str(trip.prefix) for trip in trips[:_SHOWN] if trip.prefix is not None]
            what = {"guard": guard, "count": len(trips), "prefixes": prefixes, "detail": trips[0].detail}
            _log.warning("guard holds", extra={"router": self.router, **what})

    def _say_held(self, changes: Collection[RouteChange], *, writes: bool) -> None:
        what = tuple((change.prefix, change.next_hops) for change in changes)
        if what != self._said:
            why = "a guard" if writes else "the mode"
            shown = [_shown(change) for change in list(changes)[:_SHOWN]]
            _log.warning(
                f"changes are held by {why}",
                extra={"router": self.router, "count": len(changes), "changes": shown},
            )
        self._said = what


def _shown(change: RouteChange) -> dict[str, object]:
    return {
        "action": change.action,
        "prefix": str(change.prefix),
        "add": change.add,
        "remove": change.remove,
        "reasons": change.reasons,
    }

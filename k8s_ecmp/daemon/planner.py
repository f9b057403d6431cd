"""What one router is planned to get: what the decision asks for, with what the daemon has seen happen there."""

import time
from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from k8s_ecmp.core.plan import by_drains, plan_prefixes
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.core.table import Size, Table, Window
from k8s_ecmp.daemon.decision import Decision, Snapshot
from k8s_ecmp.model import DISCARD, Conflict, Prefix, RouteChange, RouterPlan
from k8s_ecmp.routers.standing import StandingSession

_DOUBT = "was written and did not show in the router's tables; taken back, and tried again at daemon.resync_s"


class Planner:
    """Plans one router's prefixes; remembers what was withdrawn lately, what did not show, and what waits for a way.

    Args:
        session: the router's, connected and read when it is planned.
        decision: what shall be.
        window_s: seconds over which the guards count withdrawals.
    """

    def __init__(self, session: StandingSession, decision: Decision, window_s: float) -> None:
        self._session = session
        self._decision = decision
        self._window = Window(window_s)
        self._doubtful: frozenset[Prefix] = frozenset()
        self.waiting: frozenset[Prefix] = frozenset()
        """Prefixes that would gain next hops to which the router has no way."""

    def read(self, table: Table) -> None:
        """The router was read in full."""
        self._window.seen(table)

    def doubt(self, prefixes: Collection[Prefix]) -> None:
        """These were written and did not show: they are left out until somebody trusts them."""
        self._doubtful |= frozenset(prefixes)

    def trust(self, prefixes: Collection[Prefix] | None = None) -> None:
        """These are tried again; None: all."""
        self._doubtful = frozenset() if prefixes is None else self._doubtful.difference(prefixes)

    def plan(self, table: Table, snapshot: Snapshot, scope: Collection[Prefix] | None) -> RouterPlan:
        """What is to be changed on the router at the prefixes of the scope; None: at all."""
        planned = self._plan(table, snapshot, scope, ())
        gained = {label for change in planned.changes for label in change.add} - {DISCARD}
        missing = self._session.unresolved(gained)
        here = frozenset(change.prefix for change in planned.changes if missing & set(change.add))
        self.waiting = here if scope is None else (self.waiting - frozenset(scope)) | here
        if missing:
            planned = self._plan(table, snapshot, scope, missing)
        if self._doubtful:
            changes = tuple(change for change in planned.changes if change.prefix not in self._doubtful)
            conflicts = tuple(Conflict(table.vrf, prefix, _DOUBT) for prefix in sorted(self._doubtful))
            planned = replace(planned, changes=changes, conflicts=(*planned.conflicts, *conflicts))
        return planned

    def _plan(
        self, table: Table, snapshot: Snapshot, scope: Collection[Prefix] | None, unresolved: Collection[str]
    ) -> RouterPlan:
        now_s = time.monotonic()
        return plan_prefixes(
            self._session.view,
            self._session.port.traits,
            snapshot.desired,
            table,
            snapshot.rules,
            unresolved,
            scope=scope,
            start=self._window.start(now_s, table.size, self._decision.acknowledged),
            made=self._window.made(now_s),
        )

    def grounds(self, table: Table | None, rules: Rules) -> object:
        """What a guard's answer depends on besides the plan: where that is as it was, so is the answer."""
        now_s = time.monotonic()
        size = table.size if table is not None else None
        start = None if size is None else self._window.start(now_s, size, self._decision.acknowledged)
        return rules.holds, rules.freeze, start, size, self._window.made(now_s)

    def committed(self, table: Table, planned: RouterPlan, snapshot: Snapshot, ended_s: float) -> None:
        """The plan is in force.

        Args:
            table: what was there before it.
            planned: what was planned from it.
            snapshot: what it was planned by.
            ended_s: when, by the monotonic clock.
        """
        drained = by_drains(planned, snapshot.desired, self._session.view)
        self._window.committed(ended_s, table.size, drained, len(planned.changes))

    def broke_off(self, table: Table, planned: RouterPlan, snapshot: Snapshot) -> None:
        """A commit ended in an error: it may be in force all the same, which the next reading tells."""
        view = self._session.view

        def drained(changes: Sequence[RouteChange]) -> Mapping[str, Size]:
            return by_drains(replace(planned, changes=tuple(changes)), snapshot.desired, view)

        self._window.broke_off(time.monotonic(), table, planned.changes, drained)

"""A worker's commits: each with an entry of the journal before it, asked for directly before it, and one after it."""

import time
from collections.abc import Callable, Sequence

from k8s_ecmp.core.table import Table
from k8s_ecmp.core.undo import became_of, done_of
from k8s_ecmp.daemon.account import Account, Begin
from k8s_ecmp.daemon.decision import Snapshot
from k8s_ecmp.errors import ForeignLines, JournalError, NotLeading, PlanRefused, VerifyFailed
from k8s_ecmp.model import CommitResult, Outcome, RouterPlan
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.standing import StandingSession
from k8s_ecmp.settings import Settings


class Writing:
    """To one router."""

    def __init__(
        self,
        name: str,
        session: StandingSession,
        settings: Settings,
        account: Account,
        permit: Callable[[], None],
    ) -> None:
        """Writes nothing yet.

        Args:
            name: the router's.
            session: to the router.
            settings: owner and tag.
            account: the journal.
            permit: called directly before each commit; raises NotLeading or PlanRefused where nothing may be written.
        """
        self._name = name
        self._session = session
        self._settings = settings
        self._account = account
        self._permit = permit

    def commit(self, planned: RouterPlan, snapshot: Snapshot, hurry: Callable[[], bool]) -> tuple[str, ...]:
        """Commits the plan.

        Args:
            planned: with changes.
            snapshot: what it was made from.
            hurry: as `StandingSession.commit`.

        Returns:
            Warnings.

        Raises:
            JournalError: it could not be written down, and so was not done.
            NotLeading: another process may write.
            PlanRefused: a freeze began after the plan was made.
            EcmpError: as `StandingSession.commit`.
        """
        begun: Begin | None = None
        began_s = time.monotonic()
        touched = frozenset(change.prefix for change in planned.changes)
        routes = [route for route in snapshot.desired.routes if route.prefix in touched]

        def announce(commands: Sequence[str]) -> None:
            nonlocal begun
            begun = self._account.begin(self._name, planned.changes, commands, routes)

        def permission() -> None:
            if begun is not None:
                begun.wait()
            self._permit()

        outcome: Outcome = "committed"
        said: str | None = None
        warnings: tuple[str, ...] = ()
        try:
            warnings = self._session.commit(planned, permission, hurry, announce)
        except BaseException as error:
            outcome, said = outcome_of(error), error_text(error)
            raise
        finally:
            if begun is not None:
                done = len(planned.changes) if outcome == "committed" else 0
                result = CommitResult(self._name, outcome, done, time.monotonic() - began_s, said, warnings)
                self._account.end(begun, result)
        return warnings

    def find_out(self, table: Table) -> None:
        """Writes down what became of changes whose process died, by what ran when the router was read."""
        for begun in self._account.dead(self._name):
            traits = self._session.port.traits
            marks = traits.marks(self._settings, self._session.view)
            done = done_of(begun.body["changes"])
            self._account.found(begun, *became_of(done, table.running, marks, traits.default_distance))


def outcome_of(error: BaseException) -> Outcome:
    """What an error says of a change that was begun."""
    if isinstance(error, PlanRefused | NotLeading | JournalError):
        return "refused"
    if isinstance(error, ForeignLines):
        return "blocked"
    return "rolled-back" if isinstance(error, VerifyFailed) else "failed"

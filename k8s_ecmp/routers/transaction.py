"""The port to one router: read, stage, commit, verify, confirm, rollback, discard.

One sequence for every driver; what differs is asked of the platform's capabilities. The driver keeps the router's lock
from `begin` to `discard`.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from k8s_ecmp.core.configured import HopKey, hop_keys
from k8s_ecmp.errors import (
    ChangePending,
    CommitFailed,
    ForeignLines,
    NotSaved,
    ParseError,
    RouterError,
    SessionDown,
)
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.redaction import sanitized
from k8s_ecmp.routers.driver import Comparing, Comparison, Driver, Insuring, Noting, Saving, Settling, Telling
from k8s_ecmp.routers.port import Port, predicted_diff, restored
from k8s_ecmp.routers.shown import Shown, called
from k8s_ecmp.routers.tables import Floating, is_address, standing_by, table_problems

WayBack = Literal["router", "inverse"]
"""How a commit was taken back: the router went back to its state before, or the inverse patch was written."""
VANISHED = (
    "the router took the change, and nothing of it stands in what was read of its configuration a moment later: "
    "somebody else has taken it back, or the router did not show its whole configuration; what is in force is not known"
)
WAY_BACK_NOT_SAVED = "the way back is not in the startup configuration, which a reboot would load"
_POLL_S = 0.1
_RETRY_S = 1.0
_RETURN_S = 60.0  # what a router may take to end a commit whose client is gone
_HURRY_S = 1.0
_RECEIVED_S = 5.0
_RECEIVED_PER_S = 500  # prefixes that a receiver takes, with many next hops each


class Transaction:
    """The verbs on one open driver. Every error that leaves it is a `RouterError` or a `ParseError`."""

    def __init__(self, driver: Driver, port: Port, template: str | None = None, *, kept: bool = False) -> None:
        """`kept`: whoever connects after this session was lost keeps a commit that waits for its confirm."""
        self.kept = kept
        self._driver = driver
        self._port = port
        self._template = template
        self._pending = False
        self._staged: Sequence[RouteChange] = ()
        self.shown = Shown(driver, port)
        """What the router shows."""
        self._diff = ""
        self.timer_s = 0
        """Seconds of the timer that the last commit was given; 0: none."""

    @property
    def undoes_itself(self) -> bool:
        """Whether the driver settles a commit that broke off, and takes back its last one."""
        return self._port.capabilities.undo

    @property
    def waits(self) -> bool:
        """Whether the last commit waits for its confirm, or for its timer, as far as the router was heard of."""
        return self._pending

    @property
    def restores(self) -> Literal["routes", "configuration"]:
        """What is as before the last commit where the router takes it back."""
        return restored(self._port, self.timer_s)

    @property
    def default_distance(self) -> int:
        """What a static route of the router has on which no distance is written."""
        return self._port.capabilities.default_distance

    def begin(self) -> None:
        """Takes the router's lock, and takes back what a run that died left unconfirmed.

        Raises:
            LockHeld: somebody else has it.
        """
        called("lock", self._driver.load_merge_candidate, config="")

    def settle(self) -> None:
        """Takes back what a run that died left unconfirmed, as `begin` does; the lock may be taken for that, or not.

        Raises:
            LockHeld: somebody else has it, and it is needed.
        """
        keeping = getattr(self._driver, "keeping", None)
        if isinstance(keeping, Settling):
            called("lock", keeping.settle)
        else:
            self.begin()

    def expect_settled(self, within_s: float = 0.0) -> None:
        """Looks whether the router is in a state that lasts.

        Args:
            within_s: seconds to wait until it is.

        Raises:
            ChangePending: a change of another run waits for its confirm.
        """
        deadline = time.monotonic() + within_s
        while called("ask for pending changes", self._driver.has_pending_commit):
            if time.monotonic() < deadline:
                time.sleep(_RETRY_S)
                continue
            raise ChangePending(
                "a change of another run waits for its confirm, or for the router to take it back",
                remedy="wait, or let `k8s-ecmp apply` take it back now"
                if self.undoes_itself
                else "wait until it is confirmed or the router has taken it back",
            )

    def read(self) -> RunningRoutes:
        """All static routes of the running configuration.

        Raises:
            ParseError: the text cannot be understood; never an empty answer instead.
        """
        answer = called("read the running configuration", self._driver.get_config, retrieve="running")
        text = answer.get("running") or ""
        if not text.strip():
            raise ParseError("the router gave an empty running configuration")
        self.shown.running = self._port.syntax.parse(text)
        return self.shown.running

    def stage(
        self,
        changes: Sequence[RouteChange],
        running: RunningRoutes,
        *,
        allow_foreign_lines: bool = False,
        announce: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> tuple[str, ...]:
        """Loads the changes as a candidate and returns its commands; nothing is in force yet.

        Args:
            changes: what is about to be done.
            running: what runs.
            allow_foreign_lines: go on where the router's own diff shows other lines too.
            announce: called with the commands before they are loaded.

        Raises:
            ConfigRejected: the router refused a line.
            ForeignLines: the router's own diff shows what the changes do not.
        """
        commands = self._port.syntax.render(changes, running, self._template)
        announce(commands.splitlines())
        self._staged = tuple(changes)
        called("stage", self._driver.load_merge_candidate, config=commands)
        if self._port.capabilities.device_diff:
            self._diff = self._compared()
            foreign = [] if allow_foreign_lines else self._foreign_lines(running, commands)
            if foreign:
                more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
                raise ForeignLines(
                    f"the router's own diff shows what the plan does not: {sanitized(foreign[0])!r}{more}",
                    remedy="somebody else has a candidate open or the router rewrites lines; nothing was committed",
                )
        return tuple(commands.splitlines())

    def _foreign_lines(self, running: RunningRoutes, commands: str) -> list[str]:
        """Lines of the router's own diff that are not the effect of the commands."""
        if self._port.platform != "file":
            return self._port.syntax.foreign_lines(self._diff, running, commands)
        # An embedded router prints its diff as we predict ours, whatever its syntax.
        predicted = frozenset(predicted_diff(self._port, running, commands).splitlines())
        return [line for line in self._diff.splitlines() if line.startswith(("+", "-")) and line not in predicted]

    def device_diff(self) -> str:
        """The router's own diff of the candidate, for people: other people's lines in it show no passwords and keys."""
        return sanitized(self._compared())

    def diff_has_changed(self) -> bool:
        """Whether the router's own diff is not that of `stage` any more: somebody changed what it compares with."""
        return self._port.capabilities.device_diff and self._compared() != self._diff

    def _compared(self) -> str:
        return str(called("compare", self._driver.compare_config))

    def commit(self, confirm_within_s: int, hops: int) -> None:
        """Puts the candidate in force; with a timer the router takes it back by itself unless `confirm` comes.

        Args:
            confirm_within_s: seconds; 0 for no timer, as where the configuration that was read lacks what one needs.
            hops: next hops that change, which a timer lasts longer for.

        Raises:
            CommitFailed: it broke off; the message says what is left.
        """
        self.timer_s = self._port.on(self.shown.running).capabilities.timer_s(confirm_within_s, hops)
        self._pending = self.timer_s > 0
        called("commit", self._driver.commit_config, revert_in=self.timer_s or None)

    def write_down(self, vrf: str, prefixes: Sequence[Prefix]) -> Any:
        """Has the router write down what `read` and `verify` will ask first in another session, which `fetched` takes.

        Saves the router the work of answering anew in a session of which it is all that is asked. None where it cannot.
        """
        keeping = getattr(self._driver, "keeping", None)
        if not isinstance(keeping, Noting):
            return None
        try:
            return called("write the routes down", keeping.write_down, self.shown.commands(vrf, prefixes))
        except RouterError:
            return None

    @contextlib.contextmanager
    def fetched(self, note: Any) -> Iterator[bool]:
        """Within this, `read` and `verify` take their first answers from what another session had written down.

        Yields:
            Whether they do; where not, for whatever reason, they ask the router as ever.
        """
        keeping = getattr(self._driver, "keeping", None)
        if note is None or not isinstance(keeping, Noting):
            yield False
            return
        try:
            there = False
            with contextlib.suppress(RouterError):
                there = bool(called("fetch the routes", keeping.fetch, note))
            yield there
        finally:
            keeping.forget()

    def router_warnings(self) -> tuple[str, ...]:
        """What the router warned of since this was last asked for, though it did what it was asked to do."""
        said = self._driver.warnings() if isinstance(self._driver, Telling) else ()
        return tuple(f"the router warns: {warning}" for warning in said)

    def unsaved(self) -> tuple[str, ...]:
        """A warning where the driver saves at the end of its session, and that has ended too early; asks nobody."""
        keeping = getattr(self._driver, "keeping", None)
        if not isinstance(keeping, Saving) or not keeping.unsaved:
            return ()
        return (
            "the session ended before the startup configuration was saved: a reboot would lose the change; "
            "`write memory` on the router",
        )

    def verify(
        self,
        vrf: str,
        expected: Mapping[Prefix, frozenset[str]],
        timeout_s: float,
        hurry: Callable[[], bool] = lambda: False,
        standby: Floating | None = None,
        removed: Mapping[Prefix, Collection[str]] | None = None,
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Waits until the tables hold exactly the expected next hops at the expected prefixes.

        Args:
            vrf: the VRF.
            expected: labels of next hops by prefix, empty for prefixes that must not be there.
            timeout_s: seconds to wait.
            hurry: whether there is no time left to wait for more than a second.
            standby: the floating ones among the expected routes.
            removed: labels of the next hops that the change took away, by prefix.

        Returns:
            What still differs, a sentence each (nothing where the platform shows no tables); and warnings: for next
            hops that are missing because the router has no way to them, which no change of ours can mend unless it took
            the last one away to which there is a way, for floating routes that stand behind a better one, and for
            tables that cannot be read.
        """
        deadline = time.monotonic() + timeout_s
        standby, removed = standby or {}, removed or {}
        reachable = expected
        unresolved: frozenset[str] | None = None
        while True:
            try:
                tables = self.shown.installed(vrf, tuple(expected), standby)
            except SessionDown as error:
                down = self.why_down(error)
                return (), (f"it waits for the session, and is announced as soon as that is in order: {down}",)
            if tables is None:
                return (), self.shown.blind
            problems = table_problems(tables, expected, standby)
            if problems and unresolved is None:
                missing = {
                    label
                    for prefix, labels in expected.items()
                    for label in labels - (tables[prefix].fib if prefix in tables else frozenset())
                    if is_address(label)
                }
                unresolved = self.shown.unresolved(vrf, sorted(missing))
                lost = [p for p, labels in expected.items() if labels and labels <= unresolved]
                cut_off = self._cut_off(vrf, {p: removed.get(p, ()) for p in lost}, unresolved)
                reachable = {p: labels if p in cut_off else labels - unresolved for p, labels in expected.items()}
            if problems and unresolved:
                problems = table_problems(tables, reachable, standby)
            if hurry():
                deadline = min(deadline, time.monotonic() + _HURRY_S)
            if not problems or time.monotonic() >= deadline:
                warnings = standing_by(tables, reachable, standby) + tuple(
                    f"next hop {address} is configured but cannot be resolved" for address in sorted(unresolved or ())
                )
                warnings += self.shown.half_blind
                return problems, warnings if problems else warnings + self._received(expected, deadline, hurry)
            time.sleep(_POLL_S)

    def _cut_off(
        self, vrf: str, removed: Mapping[Prefix, Collection[str]], unresolved: Collection[str]
    ) -> frozenset[Prefix]:
        """Those prefixes of which a next hop that was taken away could still be reached: putting it back mends them."""
        asked = {label for labels in removed.values() for label in labels if is_address(label)}.difference(unresolved)
        gone = self.shown.unresolved(vrf, sorted(asked)).union(unresolved)
        return frozenset(prefix for prefix, labels in removed.items() if not gone.issuperset(labels))

    def compare_received(self, expected: Mapping[Prefix, frozenset[str]], *, whole: bool) -> Comparison:
        """How the table of a BGP peer that may be read differs from what is announced; nothing for other routers.

        Args:
            expected: announced next hops by prefix; none where it was withdrawn.
            whole: whether that is all that is announced.
        """
        return Comparison() if self._receiver is None else self._receiver.compare(expected, whole=whole)

    def why_down(self, error: SessionDown) -> str:
        """That a BGP session is down, with what the router itself says of it where it may be read."""
        said = "" if self._receiver is None else self._receiver.why_down()
        return f"{error}; the router says: {said}" if said else str(error)

    @property
    def _receiver(self) -> Comparing | None:
        return getattr(self._driver, "receiver", None)

    def _received(
        self, expected: Mapping[Prefix, frozenset[str]], deadline: float, hurry: Callable[[], bool]
    ) -> tuple[str, ...]:
        """Gives a receiver a moment to take what was just announced; what it lacks then is for people to mend."""
        deadline = min(deadline, time.monotonic() + _RECEIVED_S + len(expected) / _RECEIVED_PER_S)
        while True:
            problems, warnings = self.compare_received(expected, whole=False)
            if not problems or hurry() or time.monotonic() >= deadline:
                return problems + warnings
            time.sleep(_POLL_S)

    def confirm(self) -> None:
        """Makes a commit with a timer final.

        Raises:
            ConfirmExpired: the router has already taken it back.
        """
        if self._pending:
            called("confirm", self._driver.confirm_commit)
            self._pending = False

    def rollback(self) -> WayBack:
        """Takes the last commit of this transaction back: the driver does, or its timer, or the inverse patch.

        Raises:
            NotSaved: it is taken back, but the startup configuration is not that of before.
            CommitFailed: nothing of it stands in what was read, and it was not this transaction that took it away; or
                it cannot be taken back, and no timer does it any more.
        """
        timer_ended = self._pending and not called("ask for pending changes", self._driver.has_pending_commit)
        if self.undoes_itself or (self._pending and not timer_ended):
            called("roll back", self._driver.rollback)
            self._pending = False
            return "router"
        # With a timer that ended: either the router took it back, or the confirm arrived and its answer did not.
        self._pending = False
        if self._undo():
            return "inverse"
        if not timer_ended:
            raise CommitFailed(VANISHED, remedy="run verify, then apply")
        return "router"

    def take_back_what_stands(self) -> WayBack | None:
        """After a commit that broke off: connects anew and takes back what is in force of it.

        Returns:
            How; None: nothing of it was in force.

        Raises:
            NotSaved: it is taken back, but the startup configuration is not that of before.
            CommitFailed: somebody else has changed the same routes, or it cannot be taken back.
            RouterError: the router cannot be asked.
        """
        deadline = time.monotonic() + _RETURN_S
        while True:
            try:
                self._driver.close()
                called("connect again", self._driver.open)
                if self._pending and called("ask for pending changes", self._driver.has_pending_commit):
                    called("roll back", self._driver.rollback)
                    self._pending = False
                    return "router"
                self._pending = False
                called("lock", self._driver.load_merge_candidate, config="")
                return "inverse" if self._undo() else None
            except RouterError as error:
                if not error.retryable or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)

    def _undo(self) -> bool:
        """Writes the inverse of the staged changes at the prefixes that carry them, whole or in part."""
        running = self.read()
        undo, foreign = [], list[str]()
        unsaved: NotSaved | None = None
        for change in self._staged:
            now = _hops_at(running, change)
            if self._keys(now) == self._keys(change.before):
                continue
            if not self._keys(now) <= self._keys(change.before) | self._keys(change.after):
                foreign.append(str(change.prefix))
                continue
            undo.append(RouteChange.between(change.vrf, change.prefix, now, change.before))
        if undo:
            commands = self._port.syntax.render(undo, running, self._template)
            called("stage the way back", self._driver.load_merge_candidate, config=commands)
            unsaved = self.commit_way_back()
            after = self.read()
            left = [c.prefix for c in undo if self._keys(_hops_at(after, c)) != self._keys(c.after)]
            if left:
                raise CommitFailed(f"{left[0]} is not as it was after the way back")
        if foreign:
            rest = "; everything else of the change was taken back" if undo else ""
            rest += f"; {unsaved.message}" if unsaved is not None else ""
            raise CommitFailed(f"{', '.join(foreign)} was changed by somebody else meanwhile and left alone{rest}")
        if unsaved is not None:
            raise unsaved
        return bool(undo)

    def commit_way_back(self) -> NotSaved | None:
        """Puts the candidate, an inverse, in force without a timer; returns why it is not in the startup configuration.

        Raises:
            RouterError: it broke off; the message says what is left.
        """
        driver = self._driver
        commit = driver.commit_way_back if isinstance(driver, Insuring) else driver.commit_config
        try:
            called("commit the way back", commit)
        except NotSaved as error:
            return NotSaved(WAY_BACK_NOT_SAVED, remedy=error.remedy)
        return None

    def _keys(self, hops: Sequence[NextHop]) -> frozenset[HopKey]:
        return hop_keys(hops, self.default_distance)

    def discard(self) -> None:
        """Throws the candidate away and gives the lock back."""
        called("discard", self._driver.discard_config)


def _hops_at(running: RunningRoutes, change: RouteChange) -> tuple[NextHop, ...]:
    route = running.get(change.vrf, change.prefix)
    return route.next_hops if route is not None else ()

"""A change over many routers: wave by wave, with pauses in which a wave is verified again, until one fails."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec
from nornir.core import Nornir
from nornir.core.task import AggregatedResult, Result

from k8s_ecmp.core.waves import order as order_of
from k8s_ecmp.core.waves import ready as ready_of
from k8s_ecmp.errors import ChangePending, DeadlineExceeded, EcmpError, Frozen, JournalError, PlanRefused
from k8s_ecmp.model import CommitResult, RouteChange, RouterPlan
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import router_settings
from k8s_ecmp.routers.record import UNRECORDED, Record
from k8s_ecmp.routers.runner import DeadlineRunner
from k8s_ecmp.routers.session import NEVER_WRITE, close_kept
from k8s_ecmp.routers.spectator import NOBODY, Spectator, Unheeded
from k8s_ecmp.routers.stopping import Stop
from k8s_ecmp.routers.taking_back import look_again, take_back_routes
from k8s_ecmp.routers.tasks import apply_routes, outcomes, run
from k8s_ecmp.settings import Settings

# Seconds that a router may take for each next hop that changes, above all else: FRR 8.4 takes 0.4 ms at 160,000.
_PER_HOP_S = 0.005
_BASE_S = 300.0
_FROM_THE_COMMIT = frozenset(("commit", "connect again", "verify", "confirm"))  # steps after which a router is changed
_LOOK_S = 5.0  # between two looks at the routers of a wave in a pause

STOPPED = "the rollout was stopped before this wave"
"""Why a router was not attempted when somebody asked to stop."""


def roll_out(
    nornir: Nornir,
    settings: Settings,
    plans: Sequence[RouterPlan],
    *,
    spectator: Spectator = NOBODY,
    overrides: Collection[str] = (),
    record: Record = UNRECORDED,
    stop: Stop | None = None,
    frozen: Callable[[], str | None] = lambda: None,
) -> Iterator[CommitResult]:
    """Applies the plans wave by wave and yields each router's result when its wave, and the pause after it, has ended.

    A router whose plan failed or is blocked is left out, the others go on. A router that refuses before anything was
    committed (no connection, a lock, a stale plan) does not stop the others; one whose change had to be taken back, or
    whose state is not known, does, and so does one that differs from its plan in the pause: the waves after it are
    "not-attempted", and with `on_failure: rollback-wave` the other routers of its wave are taken back too. Where the
    canary refuses, the next router goes alone in its place. Once a result could not be written down nothing more is
    begun, on no router.

    Args:
        nornir: the routers.
        settings: owner, tag, rollout.
        plans: one for each router, in the inventory's order.
        spectator: is told of every step; an error of its own changes nothing.
        overrides: names of guards that are switched off.
        record: what keeps account of changes; one that cannot stops them.
        stop: asked between waves.
        frozen: asked between waves and directly before each router's commit: the freeze that came meanwhile; None:
            none did. Routers that it holds are "blocked".

    Raises:
        PlanRefused: the settings' mode writes to no router.
    """
    ready = ready_of(placed(plans, nornir))
    changing = {plan.name for plan in ready}
    for plan in plans:
        if plan.status == "failed":
            yield CommitResult(plan.name, "failed", error=plan.error)
        elif plan.name not in changing:
            yield CommitResult(plan.name, "blocked" if plan.status == "blocked" else "unchanged")
    if ready and settings.mode in NEVER_WRITE:
        raise PlanRefused(f"mode is {settings.mode}, which writes to no router")
    order = order_of(ready, settings.rollout)
    spectator = Unheeded(spectator)
    spectator.begins(order)
    rollout = _Rollout(nornir, settings, ready, spectator, overrides, record, stop or Stop(), frozen)
    stopped: str | None = None
    waiting = deque(enumerate(order))
    untried = settings.rollout.canary > 0
    try:
        while waiting:
            number, wave = waiting.popleft()
            if stopped is None and rollout.stop.asked:
                stopped = STOPPED
            if stopped is not None:
                results = [CommitResult(name, "not-attempted", error=stopped) for name in wave]
            elif held := rollout.account.held():
                results = [CommitResult(name, "blocked", error=held) for name in wave]
            else:
                if untried and len(wave) > 1:  # the canary refused, so that nothing is known of this change yet
                    waiting.appendleft((number, wave[1:]))
                    wave = wave[:1]
                spectator.wave(number)
                results, failed = rollout.change(wave, last=not waiting)
                stopped = rollout.account.lost or (failed and f"{failed} failed in an earlier wave")
                untried = untried and not any(result.outcome == "committed" for result in results)
            for result in results:
                rollout.account.tell(result)
                yield msgspec.structs.replace(result, step=rollout.account.steps.get(result.router))
    finally:  # of routers that were looked at and then not attempted
        close_kept(nornir.inventory.hosts.values())


class _Rollout:
    """The waves of one rollout."""

    def __init__(
        self,
        nornir: Nornir,
        settings: Settings,
        plans: Sequence[RouterPlan],
        spectator: Spectator,
        overrides: Collection[str],
        record: Record,
        stop: Stop,
        frozen: Callable[[], str | None],
    ) -> None:
        self._nornir = nornir
        self._settings = settings
        self._plans = {plan.name: plan for plan in plans}
        self._spectator = spectator
        self._overrides = overrides
        self.account = _Account(record, spectator, frozen)
        self.stop = stop

    def change(self, wave: Sequence[str], *, last: bool) -> tuple[list[CommitResult], str | None]:
        """Changes a wave and verifies it again in the pause after it, if any.

        Returns:
            A result for each of its routers, and the name of the one that stops the rollout.
        """
        results, failed = self._apply(wave)
        differing: list[str] = []
        if failed is None and not last and not self.account.lost:
            results, differing = self._pause(results)
            failed = differing[0] if differing else None
        if failed is not None and self._settings.rollout.on_failure == "rollback-wave":
            committed = [result.router for result in results if result.outcome == "committed"]
            results = self._take_back(results, committed, f"taken back with its wave, because {failed} failed in it")
        return results, failed

    def _apply(self, wave: Sequence[str]) -> tuple[list[CommitResult], str | None]:
        deadline_s = self._deadline_s(wave)
        results = self._run(
            wave,
            apply_routes,
            deadline_s,
            plans=[self._plans[name] for name in wave],
            overrides=self._overrides,
            deadline_s=deadline_s,
            progress=self.account.step,
            record=self.account,
        )
        late = {name for name, multi in results.items() if isinstance(multi[0].exception, DeadlineExceeded)}
        found = outcomes(results, CommitResult, _lost)
        failed = None
        for result in found:
            unknown = self.account.steps.get(result.router) in _FROM_THE_COMMIT or result.router in late
            if result.outcome == "rolled-back" or (result.outcome == "failed" and unknown):
                failed = failed or result.router
        return found, failed

    def _pause(self, results: list[CommitResult]) -> tuple[list[CommitResult], list[str]]:
        """Waits, looking at the routers of the wave again and again; takes those back that differ from their plan.

        Returns:
            The results as they are after it, and the routers that differed.
        """
        names = [result.router for result in results if result.outcome == "committed"]
        pause_s = self._settings.rollout.pause_s
        if not names or not pause_s:
            return results, []
        self._spectator.pauses(names, pause_s)
        until = time.monotonic() + pause_s
        while not self.stop.wait(min(until - time.monotonic(), _LOOK_S)):
            ended = time.monotonic() >= until
            looked = self._run(
                names, look_again, self._deadline_s(names), done=self.account.done, progress=self._spectator.step
            )
            found = {name: _differences(multi[0]) for name, multi in looked.items()}
            differing = [name for name in names if found[name]]
            for name in differing:
                why = f"taken back, because it differed in the pause after its wave: {found[name]}"
                results = self._take_back(results, [name], why)
            if differing or ended:
                unseen = {n: error for n in names if isinstance(error := looked[n][0].exception, ChangePending)}
                return [_with_unseen(result, unseen.get(result.router)) for result in results], differing
        return results, []

    def _take_back(self, results: list[CommitResult], names: Sequence[str], why: str) -> list[CommitResult]:
        if not names:
            return results
        undone = self._run(
            names,
            take_back_routes,
            self._deadline_s(names),
            done=self.account.done,
            why=why,
            overrides=self._overrides,
            progress=lambda router, step: self._spectator.step(router, f"take back: {step}"),
            record=self.account,
        )
        after = {result.router: result for result in outcomes(undone, CommitResult, _lost)}
        return [_joined(result, after.get(result.router)) for result in results]

    def _run(
        self, names: Sequence[str], task: Callable[..., Result], within_s: float, **kwargs: Any
    ) -> AggregatedResult:
        some = self._nornir.filter(filter_func=_among(frozenset(names)))
        runner = DeadlineRunner(self._settings.rollout.parallel, within_s)
        return run(some.with_runner(runner), task, settings=self._settings, **kwargs)

    def _deadline_s(self, wave: Sequence[str]) -> float:
        rollout = self._settings.rollout
        plans = [self._plans[name] for name in wave]
        hops = max(len(change.after) + len(change.before) for plan in plans for change in plan.changes)
        most = hops * max(len(plan.changes) for plan in plans)
        return _BASE_S + rollout.confirm_within_s + 2 * rollout.verify_timeout_s + most * _PER_HOP_S


class _Account:
    """The record of a rollout: passes on what it is told and remembers what was done, for the way back."""

    def __init__(self, record: Record, spectator: Spectator, frozen: Callable[[], str | None]) -> None:
        self._record = record
        self._frozen = frozen
        self._spectator = spectator
        self._lock = threading.Lock()
        self._told: dict[str, CommitResult] = {}
        self.steps: dict[str, str] = {}
        self.lost = ""
        """Why nothing is begun any more, once a result could not be written down."""
        self.done: dict[str, Sequence[RouteChange]] = {}

    def held(self) -> str | None:
        """The guard that began to hold everything meanwhile."""
        freeze = self._frozen()
        return None if freeze is None else f"guard frozen: {freeze}"

    def step(self, router: str, step: str) -> None:
        """Of an apply; how far each router came is kept."""
        if step != "done":
            with self._lock:
                self.steps[router] = step
        self._spectator.step(router, step)

    def begin(
        self, router: str, changes: Sequence[RouteChange], commands: Sequence[str], *, takes_back: bool = False
    ) -> None:
        if self.lost and not takes_back:
            raise JournalError(f"nothing was written to {router}: {self.lost}")
        if not takes_back and (held := self.held()):
            raise Frozen(held)
        self._record.begin(router, changes, commands, takes_back=takes_back)
        if not takes_back:
            with self._lock:
                self.done[router] = changes

    def end(self, result: CommitResult) -> None:
        try:
            self._record.end(result)
        except EcmpError:
            self.lost = f"what became of {result.router} could not be written down"
            self.tell(result)
            raise
        self.tell(result)

    def tell(self, result: CommitResult) -> None:
        """Tells the spectator, once for each outcome of a router."""
        with self._lock:
            told = self._told.get(result.router)
            if told is not None and told.outcome == result.outcome:
                return
            self._told[result.router] = result
        self._spectator.ended(result)


def placed(plans: Sequence[RouterPlan], nornir: Nornir) -> list[RouterPlan]:
    """With the failure domain of the inventory where a plan has none: one of an older program does not say it."""
    domains = {name: router_settings(host).failure_domain for name, host in nornir.inventory.hosts.items()}
    return [
        msgspec.structs.replace(plan, failure_domain=plan.failure_domain or domains.get(plan.name)) for plan in plans
    ]


def _joined(result: CommitResult, after: CommitResult | None) -> CommitResult:
    """A committed router's result after the way back."""
    if after is None:
        return result
    return msgspec.structs.replace(
        after,
        elapsed_s=result.elapsed_s + after.elapsed_s,
        warnings=(*result.warnings, *after.warnings),
        recorded=result.recorded and after.recorded,
    )


def _with_unseen(result: CommitResult, error: ChangePending | None) -> CommitResult:
    """A router's result where the last look at it in the pause saw nothing."""
    if error is None:
        return result
    warning = f"what it has at the end of the pause was not seen: {error.message}"
    return msgspec.structs.replace(result, warnings=(*result.warnings, warning))


def _differences(looked: Result) -> str:
    if isinstance(looked.result, tuple):
        return "; ".join(looked.result[:3])
    return error_text(looked.exception) if looked.exception is not None else "it could not be asked"


def _among(names: frozenset[str]) -> Callable[..., bool]:
    return lambda host: host.name in names


def _lost(name: str, error: BaseException) -> CommitResult:
    return CommitResult(name, "failed", error=error_text(error))

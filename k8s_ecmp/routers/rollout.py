"""In which order routers are changed: a canary first, then waves, never two of one failure domain at once."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence

from nornir.core import Nornir

from k8s_ecmp.errors import DeadlineExceeded, PlanRefused
from k8s_ecmp.model import CommitResult, RouterPlan
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.inventory import router_settings
from k8s_ecmp.routers.runner import DeadlineRunner
from k8s_ecmp.routers.session import NEVER_WRITE, Progress
from k8s_ecmp.routers.tasks import apply_routes, outcomes, run
from k8s_ecmp.settings import RolloutSettings, Settings

# Seconds that a router may take for each next hop that changes, above all else: FRR 8.4 takes 0.4 ms at 160,000.
_PER_HOP_S = 0.005
_BASE_S = 300.0


def waves(routers: Sequence[tuple[str, str | None]], rollout: RolloutSettings) -> list[list[str]]:
    """Names of routers in the waves in which they are changed.

    Args:
        routers: (name, failure domain or None), in the inventory's order.
        rollout: `canary` routers go first, one after the other; then at most `parallel` at a time.
    """
    out = [[name] for name, _ in routers[: rollout.canary]]
    waiting = list(routers[rollout.canary :])
    while waiting:
        wave: list[str] = []
        domains: set[str] = set()
        left: list[tuple[str, str | None]] = []
        for name, domain in waiting:
            if len(wave) < rollout.parallel and domain not in domains:
                wave.append(name)
                if domain is not None:
                    domains.add(domain)
            else:
                left.append((name, domain))
        out.append(wave)
        waiting = left
    return out


def roll_out(
    nornir: Nornir,
    settings: Settings,
    plans: Sequence[RouterPlan],
    progress: Progress | None = None,
    overrides: Collection[str] = (),
) -> Iterator[CommitResult]:
    """Applies the plans wave by wave and yields each router's result as its wave ends.

    A router whose plan failed or is blocked is left out, the others go on. A router that refuses before anything was
    committed (no connection, a lock, a stale plan) does not stop the others; one whose change had to be taken back, or
    whose state is not known, does: the waves after it are "not-attempted".

    Raises:
        PlanRefused: the settings' mode writes to no router.
    """
    by_name = {plan.name: plan for plan in plans}
    ready = [plan for plan in plans if plan.changes and plan.status == "changes"]
    for plan in plans:
        if plan.status == "failed":
            yield CommitResult(plan.name, "failed", error=plan.error)
        elif plan not in ready:
            yield CommitResult(plan.name, "blocked" if plan.status == "blocked" else "unchanged")
    if ready and settings.mode in NEVER_WRITE:
        raise PlanRefused(f"mode is {settings.mode}, which writes to no router")
    domains = [(plan.name, router_settings(nornir.inventory.hosts[plan.name]).failure_domain) for plan in ready]
    committing = _Committing(progress)
    stopped: str | None = None
    for wave in waves(domains, settings.rollout):
        if stopped is not None:
            yield from (
                CommitResult(name, "not-attempted", error=f"{stopped} failed in an earlier wave") for name in wave
            )
            continue
        names = frozenset(wave)
        hops = max(len(change.after) + len(change.before) for name in wave for change in by_name[name].changes) * max(
            len(by_name[name].changes) for name in wave
        )
        deadline_s = _BASE_S + settings.rollout.confirm_within_s + settings.rollout.verify_timeout_s + hops * _PER_HOP_S
        some = nornir.filter(filter_func=_among(names)).with_runner(
            DeadlineRunner(settings.rollout.parallel, deadline_s)
        )
        results = run(
            some,
            apply_routes,
            settings=settings,
            plans=plans,
            overrides=overrides,
            deadline_s=deadline_s,
            progress=committing,
        )
        late = {name for name, multi in results.items() if isinstance(multi[0].exception, DeadlineExceeded)}
        for result in outcomes(results, CommitResult, _lost):
            unknown = result.router in committing.reached or result.router in late
            if result.outcome == "rolled-back" or (result.outcome == "failed" and unknown):
                stopped = stopped or result.router
            yield result


class _Committing:
    """Passes progress on and remembers which routers came as far as the commit."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self.reached: set[str] = set()

    def __call__(self, router: str, step: str) -> None:
        if step == "commit":
            with self._lock:
                self.reached.add(router)
        if self._progress is not None:
            self._progress(router, step)


def _among(names: frozenset[str]) -> Callable[..., bool]:
    return lambda host: host.name in names


def _lost(name: str, error: BaseException) -> CommitResult:
    return CommitResult(name, "failed", error=error_text(error))

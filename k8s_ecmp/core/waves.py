"""In which order routers are changed: a canary first, then waves, never two of one failure domain at once. Pure."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from k8s_ecmp.model import Rollout, RouterStatus
from k8s_ecmp.settings import RolloutSettings


class Terms(Protocol):
    """What an order depends on: the settings' `rollout`, or what a plan says of them."""

    @property
    def canary(self) -> int: ...
    @property
    def parallel(self) -> int: ...


def waves(routers: Sequence[tuple[str, str | None]], terms: Terms) -> list[list[str]]:
    """Names of routers in the waves in which they are changed.

    Args:
        routers: (name, failure domain or None), in the inventory's order.
        terms: `canary` routers go first, one after the other; then at most `parallel` at a time.
    """
    out = [[name] for name, _ in routers[: terms.canary]]
    waiting = list(routers[terms.canary :])
    while waiting:
        wave: list[str] = []
        domains: set[str] = set()
        left: list[tuple[str, str | None]] = []
        for name, domain in waiting:
            if len(wave) < terms.parallel and domain not in domains:
                wave.append(name)
                if domain is not None:
                    domains.add(domain)
            else:
                left.append((name, domain))
        out.append(wave)
        waiting = left
    return out


class Placed(Protocol):
    """A router of a plan, as far as the order depends on it."""

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> RouterStatus: ...
    @property
    def changes(self) -> Sequence[object]: ...
    @property
    def failure_domain(self) -> str | None: ...


_Router = TypeVar("_Router", bound=Placed)


def rollout_of(settings: RolloutSettings) -> Rollout:
    """What a plan says of the settings."""
    return Rollout(
        settings.canary, settings.parallel, float(settings.pause_s), settings.on_failure, settings.confirm_within_s
    )


def ready(plans: Sequence[_Router]) -> list[_Router]:
    """The routers of a plan that are changed: those with changes that nothing holds."""
    return [plan for plan in plans if plan.changes and plan.status == "changes"]


def order(plans: Sequence[Placed], terms: Terms) -> list[list[str]]:
    """The waves of a plan: names of the routers that are changed. What a plan shows and what a rollout does."""
    return waves([(plan.name, plan.failure_domain) for plan in ready(plans)], terms)

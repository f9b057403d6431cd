"""In which order routers are changed: a canary first, then waves, never two of one failure domain at once."""

from collections.abc import Sequence

from k8s_ecmp.settings import RolloutSettings


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

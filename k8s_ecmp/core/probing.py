"""What a row of probes says of an address: well, or ill and why. Pure; the time of each probe is an argument.

Three probes without an answer are a dead or unreachable node. A refused connection is something else: the node lives,
and a kube-proxy that restarts leaves its rules in force, so it is given `REFUSED_GRACE_S`.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

REFUSED_GRACE_S = 30.0
"""Seconds that an address may refuse connections before it is ill: a kube-proxy's restart takes a few."""

OutcomeKind = Literal["answered", "failed", "refused"]


class Outcome(NamedTuple):
    """How one probe ended. `text` says it in words: "status 503", "no answer within 1 s", "connection refused"."""

    kind: OutcomeKind
    text: str = ""


class Health(NamedTuple):
    """What is known of an address after at least one probe.

    `ill` says why it is not well, as at the moment it became so; None: well. `failures` and `refused_since` count what
    has been since the last answer, while it is well: failed probes, and the time of the first refused one.
    """

    ill: str | None = None
    failures: int = 0
    refused_since: float | None = None


ANSWERED = Outcome("answered")
WELL = Health()


def judge(before: Health | None, outcome: Outcome, at_s: float, failures: int) -> Health:
    """The health after one more probe.

    One answer makes an address well. An address that never answered has no credit: its first failure makes it ill.
    Refused probes neither count among the failures nor begin their row anew, and the other way round.

    Args:
        before: the health before; None: this is the first probe.
        outcome: how the probe ended.
        at_s: when, in seconds of a clock that never goes back.
        failures: failed probes since the last answer that make it ill, at least 1.
    """
    if outcome.kind == "answered":
        return WELL
    if before is None:
        return Health(f"has never answered, at first: {outcome.text}")
    if before.ill is not None:
        return before
    if outcome.kind == "refused":
        since = at_s if before.refused_since is None else before.refused_since
        if at_s - since >= REFUSED_GRACE_S:
            return Health(f"{outcome.text} for {at_s - since:.0f} s")
        return before._replace(refused_since=since)
    count = before.failures + 1
    if count >= failures:
        probes = "1 probe" if count == 1 else f"{count} probes in a row"
        return Health(f"{probes} failed: {outcome.text}")
    return before._replace(failures=count)


def probes_at_once(health: Health | None, failures: int) -> int:
    """How many unanswered probes are worth having out at once: as many as make a well address ill, else one."""
    return 1 if health is None or health.ill is not None else failures - health.failures


def verdict(addresses: Iterable[tuple[str, Health | None]]) -> tuple[bool, str | None]:
    """What a node's addresses say together: ill when any is or there are none, well when all are.

    Args:
        addresses: each with its health, None where no probe has ended yet.

    Returns:
        Whether there is a verdict, and why the node is ill, None for well.
    """
    known = empty = True
    for address, health in addresses:
        empty = False
        if health is None:
            known = False
        elif health.ill is not None:
            return True, f"{address}: {health.ill}"
    return known, "has no address to be asked at" if empty else None

"""How long a node condition must last before it counts."""

from datetime import datetime, timedelta
from typing import NamedTuple

from k8s_ecmp.model import Condition

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Damped(NamedTuple):
    """Whether a condition counts as good, whether it is good at this moment, and the words for it.

    `until` is the time at which the answer changes by itself; None: it lasts.
    """

    good: bool
    raw_good: bool
    text: str
    until: datetime | None = None


def duration(seconds: float) -> str:
    """A time in the largest unit of which there are at least two: "3 d", "2 h", "90 s"."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} s"


def damp(
    condition: Condition | None,
    good_status: str,
    name: str,
    *,
    created: datetime | None,
    now: datetime,
    hold_down_s: float,
    hold_up_s: float,
) -> Damped:
    """Damps one node condition by the age of its last transition.

    A state younger than `hold_down_s` (bad) or `hold_up_s` (good) counts as the one before it. A node that was good
    for less than `hold_up_s` before it went bad never counted as good, so it gets no hold-down.

    Args:
        condition: None when the node does not report it; that is bad for "Ready" and good for others.
        good_status: the status that is good, "True" or "False"; for "False" Unknown and absent are good too.
        name: how to call the good state in the words, "Ready" or "network available".
        created: when the node object was made, None if unknown.
        now: the time that ages are counted to.
        hold_down_s: seconds that a bad state must last.
        hold_up_s: seconds that a good state must last.
    """
    if condition is None:
        absent_is_good = good_status == "False"
        return Damped(absent_is_good, absent_is_good, name if absent_is_good else f"never reported {name}")
    good = condition.status == good_status if good_status == "True" else condition.status != "True"
    if condition.since is None:
        return Damped(good, good, name if good else f"not {name}")
    age_s = max(0.0, (now - condition.since).total_seconds())
    if good:
        if age_s < hold_up_s:
            text = f"{name} for {duration(age_s)} only, counts after {hold_up_s:g} s (hold_up_s)"
            return Damped(False, True, text, condition.since + timedelta(seconds=hold_up_s))
        return Damped(True, True, f"{name} for {duration(age_s)}")
    if age_s < hold_down_s:
        was_good_s = None if created is None else (condition.since - created).total_seconds()
        if was_good_s is None or was_good_s >= hold_up_s:
            text = f"not {name} for {duration(age_s)}, held for {hold_down_s:g} s (hold_down_s)"
            return Damped(True, False, text, condition.since + timedelta(seconds=hold_down_s))
    return Damped(False, False, f"not {name} for {duration(age_s)}")

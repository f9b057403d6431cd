"""Times in which routers are not changed."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from k8s_ecmp.core.damping import duration
from k8s_ecmp.settings import FreezeWindow


class Freeze(NamedTuple):
    """A freeze in force. `everything`: withdrawals of dead nodes are held too."""

    detail: str
    everything: bool


def window_in_force(windows: Iterable[FreezeWindow], now: datetime) -> Freeze | None:
    """The freeze window that holds at `now`, one with `freeze_all` before others; None if there is none."""
    found: Freeze | None = None
    for window in windows:
        local = now.astimezone(ZoneInfo(window.time_zone))
        started = next(CronSim(window.start, local - timedelta(seconds=window.duration_s)))
        if started <= local:
            left_s = window.duration_s - (local - started).total_seconds()
            detail = f"freeze window {window.start!r} ({window.time_zone}) holds for another {duration(left_s)}"
            freeze = Freeze(detail, window.freeze_all)
            found = freeze if found is None or freeze.everything else found
    return found

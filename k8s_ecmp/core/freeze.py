"""Times in which routers are not changed."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from k8s_ecmp.core.damping import duration
from k8s_ecmp.settings import FreezeWindow, GuardSettings


class Freeze(NamedTuple):
    """A freeze in force. `everything`: withdrawals of dead nodes are held too. `since` None: not known."""

    detail: str
    everything: bool
    since: datetime | None = None


def freeze_of(settings: GuardSettings, now: datetime, file_text: str | None) -> Freeze | None:
    """The freeze in force at `now`; `file_text` is what the freeze file says, None where there is none."""
    if file_text is not None:
        said = f": {file_text}" if file_text.strip() else ""
        return Freeze(f"the freeze file {settings.freeze_file} exists{said}", everything=True)
    return window_in_force(settings.freeze_windows, now)


def window_in_force(windows: Iterable[FreezeWindow], now: datetime) -> Freeze | None:
    """The freeze window that holds at `now`, one with `freeze_all` before others; None if there is none."""
    found: Freeze | None = None
    for window in windows:
        local = now.astimezone(ZoneInfo(window.time_zone))
        soon = local.replace(second=0, microsecond=0) + timedelta(minutes=1)
        started = next(CronSim(window.start, soon, reverse=True))
        if (local - started).total_seconds() < window.duration_s:
            left_s = window.duration_s - (local - started).total_seconds()
            detail = f"freeze window {window.start!r} ({window.time_zone}) holds for another {duration(left_s)}"
            freeze = Freeze(detail, window.freeze_all, started)
            found = freeze if found is None or freeze.everything else found
    return found

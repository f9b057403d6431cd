"""Times in which routers are not changed."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from k8s_ecmp.core.damping import duration
from k8s_ecmp.settings import FreezeWindow, GuardSettings

_LONGEST_SHIFT = timedelta(hours=2)


class Freeze(NamedTuple):
    """A freeze in force. `everything`: withdrawals of dead nodes are held too. `windows`: all that are in force, each
    with when it began.
    """

    detail: str
    everything: bool
    windows: tuple[str, ...] = ()


def freeze_of(settings: GuardSettings, now: datetime, file_text: str | None) -> Freeze | None:
    """The freeze in force at `now`; `file_text` is what the freeze file says, None where there is none."""
    if file_text is not None:
        said = f": {file_text}" if file_text.strip() else ""
        return Freeze(f"the freeze file {settings.freeze_file} exists{said}", everything=True)
    return window_in_force(settings.freeze_windows, now)


def window_in_force(windows: Iterable[FreezeWindow], now: datetime) -> Freeze | None:
    """The freeze window that holds at `now`, one with `freeze_all` before others; None if there is none."""
    found: Freeze | None = None
    names: list[str] = []
    for window in windows:
        started = _last_start(window, now)
        left_s = window.duration_s - (now - started).total_seconds()
        if left_s > 0:
            name = f"{window.start!r} ({window.time_zone})"
            names.append(f"{name} since {started:%Y-%m-%dT%H:%M:%SZ}")
            freeze = Freeze(f"freeze window {name} holds for another {duration(left_s)}", window.freeze_all)
            found = freeze if found is None or freeze.everything else found
    return found and found._replace(windows=tuple(names))


def _last_start(window: FreezeWindow, now: datetime) -> datetime:
    """When the window began last, in UTC: differences of local times are an hour off when summer time begins or ends.

    The search goes back from a later time: in the hour that comes twice a start may have a later clock than `now`. A
    start in the hour that is left out counts when that hour would have begun.
    """
    later = (now + _LONGEST_SHIFT).astimezone(ZoneInfo(window.time_zone))
    starts = (start.astimezone(UTC) for start in CronSim(window.start, later, reverse=True))
    return next(start for start in starts if start <= now)

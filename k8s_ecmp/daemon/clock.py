"""A time that never jumps: that of the wall when the process started, carried on by the monotonic clock."""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """`now` for decisions. A wall clock that is set neither ages nor rejuvenates what was seen."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self._started_s = time.monotonic()

    def now(self) -> datetime:
        return self.at(time.monotonic())

    def at(self, monotonic_s: float) -> datetime:
        """The time that belongs to a reading of the monotonic clock."""
        return self.started + timedelta(seconds=monotonic_s - self._started_s)

    def seconds_until(self, when: datetime) -> float:
        return (when - self.now()).total_seconds()

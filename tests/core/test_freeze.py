from datetime import UTC, datetime

import pytest

from k8s_ecmp.core.freeze import window_in_force
from k8s_ecmp.settings import FreezeWindow

# From Friday 18:00 in Berlin for two and a half days.
WEEKEND = FreezeWindow(start="0 18 * * 5", duration_s=2.5 * 86400, time_zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        (datetime(2026, 1, 9, 16, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 9, 17, 0, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 12, 4, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 12, 5, 0, 0, tzinfo=UTC), False),
        (datetime(2026, 7, 10, 15, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 7, 10, 16, 0, 0, tzinfo=UTC), True),
    ],
)
def test_a_window_holds_from_its_start_for_its_duration_in_its_time_zone(now: datetime, frozen: bool) -> None:
    assert (window_in_force([WEEKEND], now) is not None) is frozen


def test_overlapping_starts_count_from_the_last_one() -> None:
    found = window_in_force(
        [FreezeWindow(start="* * * * *", duration_s=3600)], datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    )
    assert found is not None
    assert "another 59 min" in found.detail


def test_a_window_for_everything_stands_before_others() -> None:
    now = datetime(2026, 1, 10, 12, tzinfo=UTC)
    total = FreezeWindow(start="0 0 * * *", duration_s=86400, freeze_all=True)
    for windows in ([WEEKEND, total], [total, WEEKEND]):
        found = window_in_force(windows, now)
        assert found is not None
        assert found.everything
    assert "Europe/Berlin" in (window_in_force([WEEKEND], now) or total).detail  # type: ignore[union-attr]

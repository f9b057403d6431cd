import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

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


# Berlin 2026: 29 March 02:00 -> 03:00 (01:00 UTC), 25 October 03:00 -> 02:00 (01:00 UTC).
@pytest.mark.parametrize(
    ("start", "hours", "now", "frozen"),
    [
        # 60 hours are 60 hours, whatever the clocks do meanwhile.
        ("0 18 * * 5", 60, "2026-03-30T04:59:59", True),
        ("0 18 * * 5", 60, "2026-03-30T05:00:00", False),
        ("0 18 * * 5", 60, "2026-10-26T03:59:59", True),
        ("0 18 * * 5", 60, "2026-10-26T04:00:00", False),
        # 02:30 is left out in spring: the window begins at 03:00.
        ("30 2 * * *", 1, "2026-03-29T00:59:59", False),
        ("30 2 * * *", 1, "2026-03-29T01:00:00", True),
        ("30 2 * * *", 1, "2026-03-29T02:00:00", False),
        # 02:30 comes twice in autumn: the window begins at the first one, and its clock goes back under it.
        ("30 2 * * *", 1, "2026-10-25T00:29:59", False),
        ("30 2 * * *", 1, "2026-10-25T00:30:00", True),
        ("30 2 * * *", 1, "2026-10-25T01:10:00", True),
        ("30 2 * * *", 1, "2026-10-25T01:30:00", False),
        # A window over the change.
        ("0 1 * * *", 2, "2026-03-29T01:59:59", True),
        ("0 1 * * *", 2, "2026-03-29T02:00:00", False),
        ("0 1 * * *", 2, "2026-10-25T00:59:59", True),
        ("0 1 * * *", 2, "2026-10-25T01:00:00", False),
    ],
)
def test_when_summer_time_begins_and_ends(start: str, hours: int, now: str, frozen: bool) -> None:
    window = FreezeWindow(start=start, duration_s=hours * 3600, time_zone="Europe/Berlin")
    assert (window_in_force([window], datetime.fromisoformat(f"{now}+00:00")) is not None) is frozen


@given(
    st.integers(0, 365 * 86400),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.sampled_from(["30 2 * * *", "*/15 1-3 * * *", "0 18 * * 5", "45 1 28-31 * 0"]),
    st.integers(1, 100),
)
def test_a_window_holds_exactly_where_a_start_is_not_longer_ago_than_it_lasts(
    second: int, zone: str, start: str, hours: int
) -> None:
    """Against the starts counted forward, day by day, from long before."""
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    starts = CronSim(start, (now - timedelta(days=40)).astimezone(ZoneInfo(zone)))
    past = list(itertools.takewhile(lambda found: found <= now, (found.astimezone(UTC) for found in starts)))
    frozen = any(now - found < timedelta(hours=hours) for found in past)
    window = FreezeWindow(start=start, duration_s=hours * 3600, time_zone=zone)
    assert (window_in_force([window], now) is not None) is frozen

"""Times and versions that an API server tells."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from k8s_ecmp.doctor.live import check_clock, check_version

NOW = datetime(2026, 3, 1, 12, 0, 0, 400_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("theirs_off_s", "level", "words"),
    [
        (0, "ok", "agrees"),
        (1.5, "ok", "agrees"),
        (-1.5, "ok", "agrees"),
        (10, "warning", "10 s behind"),
        (-10, "warning", "9 s ahead of"),
        (3600, "problem", "3600 s behind"),
        (-3600, "problem", "s ahead of"),
    ],
)
def test_clocks(theirs_off_s: float, level: str, words: str) -> None:
    header = format_datetime(NOW + timedelta(seconds=theirs_off_s), usegmt=True)
    found = check_clock(header, NOW)
    assert found.level == level
    assert words in found.saw


@pytest.mark.parametrize("header", [None, "", "yesterday"])
def test_no_time(header: str | None) -> None:
    assert check_clock(header, NOW).level == "unknown"


@pytest.mark.parametrize(
    ("major", "minor", "level"), [("1", "36", "ok"), ("1", "21+", "ok"), ("1", "20", "problem"), ("", "", "unknown")]
)
def test_versions(major: str, minor: str, level: str) -> None:
    assert check_version("https://s", "v", major, minor).level == level

"""Seconds of commit timers: what a plan says and what a commit gets."""

import pytest

from k8s_ecmp.platforms.drivers import driver_traits


@pytest.mark.parametrize(
    ("driver", "asked", "hops", "seconds"),
    [
        ("frr", 120, 10, 120),
        ("frr", 120, 160_000, 440),
        ("frr", 0, 10, 0),
        ("junos", 120, 10, 120),
        ("junos", 121, 10, 180),
        ("ios", 120, 600, 180),
        ("eos", 90_000, 10, 86_399),
        ("nxos", 120, 10, 0),
        ("iosxr", 120, 10, 0),
    ],
)
def test_a_timer_lasts_as_long_as_the_platform_can_and_the_change_needs(
    driver: str, asked: int, hops: int, seconds: int
) -> None:
    assert driver_traits(driver).capabilities().timer_s(asked, hops) == seconds

"""Which failures a route change excuses, and that the watch brackets a change."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.world import netns
from tests.world.netns import Namespace
from tests.world.traffic import Failure, LoadReport, Moment, watching

CHANGE = Moment(10.000, 10.002)


def test_only_established_connections_that_were_open_at_a_change_are_excused() -> None:
    reset = "ConnectionResetError"
    excused = [
        Failure(Moment(9.999, 10.001), reset, established=True),
        Failure(Moment(10.001, 10.003), reset, established=True),
        Failure(Moment(9.999, 13.0), "TimeoutError", established=True),
    ]
    counted = [
        Failure(Moment(9.990, 9.999), reset, established=True),
        Failure(Moment(10.003, 10.004), reset, established=True),
        Failure(Moment(9.999, 10.9), "no connection", established=False),
        Failure(Moment(9.5, 12.5), "TimeoutError", established=True),
    ]
    report = LoadReport(100, 1.0, (*excused, *counted), Counter())
    assert report.new_failures([CHANGE]) == counted
    assert report.new_failures([]) == [*excused, *counted]
    slow = LoadReport(100, 1.0, (*excused, *counted), Counter(), longest_s=0.6)
    assert slow.new_failures([CHANGE]) == counted[:3], "where working connections took as long"


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    if reason := netns.missing():
        pytest.skip(reason)
    with Namespace("watched") as namespace:
        yield namespace


@pytest.mark.world
def test_a_watch_brackets_each_change_of_routes(namespace: Namespace) -> None:
    spans = []
    with watching(namespace) as (watch,):
        for n in range(5):
            before = time.monotonic()
            namespace.ip(f"route add 10.0.{n}.0/24 dev lo")
            netns.wait_for(lambda n=n: len(watch.moments) > n, "the change is noticed")
            spans.append(Moment(before, time.monotonic()))
    assert len(watch.moments) == len(spans)
    for moment, span in zip(watch.moments, spans, strict=True):
        assert moment.overlaps(span), (moment, span)
    assert all(first.end <= second.start for first, second in zip(watch.moments, watch.moments[1:], strict=False))

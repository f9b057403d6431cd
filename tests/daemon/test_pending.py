"""When a batch is due: the first change of a quiet time at once, what follows together, and never put off for long."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from k8s_ecmp.daemon.pending import LONGEST_S, Batch, Pending
from tests.core.build import p

A, B = p("10.0.0.1/32"), p("10.0.0.2/32")


def test_the_first_change_of_a_quiet_time_is_due_at_once() -> None:
    pending = Pending(0.05)
    assert not pending
    assert pending.due_s() is None
    pending.add({A}, 10.0)
    assert pending.due_s() == 10.0
    assert pending.take() == Batch(frozenset({A}), 10.0)
    assert not pending
    pending.add({B}, 10.06)
    assert pending.due_s() == 10.06


def test_what_follows_waits_for_its_neighbours() -> None:
    pending = Pending(0.05)
    pending.add({A}, 10.0)
    pending.take()
    pending.add({A}, 10.02)
    assert pending.due_s() == pytest.approx(10.07)
    pending.add({B}, 10.06)
    assert pending.due_s() == pytest.approx(10.11)
    assert pending.take() == Batch(frozenset({A, B}), 10.02)


def test_what_comes_while_the_first_still_waits_does_not_put_it_off() -> None:
    pending = Pending(0.05)
    pending.add({A}, 10.0)
    pending.add({B}, 10.01)
    assert pending.due_s() == 10.0


def test_everything_swallows_the_rest() -> None:
    pending = Pending(0.05)
    pending.add({A}, 10.0)
    pending.add(None, 10.0)
    assert pending.take() == Batch(None, 10.0)


def test_what_is_put_back_keeps_its_age_and_is_due_at_once() -> None:
    pending = Pending(0.05)
    pending.add({A}, 10.0)
    batch = pending.take()
    pending.add({B}, 10.01)
    pending.put_back(batch, 10.2)
    assert pending.due_s() == 10.0
    assert pending.take() == Batch(frozenset({A, B}), 10.0)
    pending.put_back(Batch(None, None), 11.0)
    assert pending.take() == Batch(None, 11.0)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=60), st.floats(0, 0.4))
def test_nothing_is_put_off_longer_than_the_limit(pauses: list[float], coalesce_s: float) -> None:
    pending = Pending(coalesce_s)
    now_s = 100.0
    pending.add({A}, now_s)
    pending.take()
    for pause in pauses:
        now_s += pause
        due_s = pending.due_s()
        if due_s is not None and due_s <= now_s:
            batch = pending.take()
            assert batch.since_s is not None
            assert due_s <= batch.since_s + LONGEST_S
        pending.add({B}, now_s)
    batch = pending.take()
    assert batch.prefixes == frozenset({B})

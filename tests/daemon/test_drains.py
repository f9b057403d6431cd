"""Which drains count as acknowledged for the guards, and until when."""

import time

from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.daemon.drains import Drains
from k8s_ecmp.settings import Settings
from tests.core.build import OWNER, TAG


def test_a_drain_that_was_acknowledged_stays_so_for_the_window_after_it_is_over() -> None:
    drains = Drains([], lambda *_: True, window_s=60)
    decision = Decision(Settings(owner=OWNER, tag=TAG), Clock())
    drains.follow({"n1": "1"}, decision)
    assert drains.acknowledged == {"n1": float("inf")}
    began_s = time.monotonic()
    drains.follow({}, decision)  # its Node was deleted
    assert drains.drained == frozenset()
    assert began_s <= drains.acknowledged["n1"] <= time.monotonic()
    drains.forget()
    assert drains.acknowledged == {}


def test_what_left_longer_ago_than_the_window_is_forgotten() -> None:
    drains = Drains([], lambda *_: True, window_s=-1)
    decision = Decision(Settings(owner=OWNER, tag=TAG), Clock())
    drains.follow({"n1": "1"}, decision)
    drains.follow({"n1": "2"}, decision)
    assert drains.acknowledged == {"n1": float("inf")}
    drains.follow({}, decision)
    assert drains.acknowledged == {}

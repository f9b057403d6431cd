"""Routers of one failure domain take turns; one that hangs keeps the turn for a while only."""

import threading

import pytest

from k8s_ecmp.daemon import turns as module
from k8s_ecmp.daemon.turns import Turns
from tests.world.netns import wait_for


class Router:
    """Takes its turn in a thread of its own, and keeps it until it is told to go on."""

    def __init__(self, turns: Turns) -> None:
        self.has_it, self.goes_on, self.done = threading.Event(), threading.Event(), threading.Event()
        self._turns = turns
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with self._turns.mine():
            self.has_it.set()
            self.goes_on.wait(60)
        self.done.set()


def test_one_at_a_time() -> None:
    turns = Turns()
    routers = [Router(turns) for _ in range(4)]
    for left in range(4, 0, -1):
        first = wait_for(lambda: [router for router in routers if router.has_it.is_set()], "one has the turn")
        assert len(first) == 1
        assert len(routers) == left
        first[0].goes_on.set()
        assert first[0].done.wait(60)
        routers.remove(first[0])


def test_who_waits_has_the_next_turn() -> None:
    """However soon the one that has just had it asks again."""
    turns = Turns()
    for _ in range(100):
        with turns.mine():
            other = Router(turns)
            wait_for(lambda: len(turns._waiting) == 1, "the other waits")
        other.goes_on.set()
        with turns.mine():
            assert other.has_it.is_set()


def test_one_that_hangs_is_waited_for_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    hangs = Router(turns)
    assert hangs.has_it.wait(60)
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    beside = Router(turns)
    assert beside.has_it.wait(60)
    beside.goes_on.set()
    assert beside.done.wait(60)
    monkeypatch.setattr(module, "PATIENCE_S", 3600)  # nobody waits from here on
    after = Router(turns)
    assert after.has_it.wait(60)
    assert not hangs.done.is_set()
    # It comes back, and takes the turn from nobody.
    hangs.goes_on.set()
    assert hangs.done.wait(60)
    third = Router(turns)
    after.goes_on.set()
    assert third.has_it.wait(60)
    assert after.done.wait(60)
    third.goes_on.set()

"""What signals mean in a rollout; what becomes of one is tried in tests/cli and tests/test_playbooks.py."""

import os
import signal
from collections.abc import Iterator

import pytest

from k8s_ecmp.routers.interrupting import interruptible

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of a process that was just started; afterwards as they were."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_asks_to_stop(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    with interruptible() as stop:
        assert not stop.asked
        send(number)
        assert stop.asked
    assert capfd.readouterr().err == "stopping after this wave; press Ctrl-C again to break off\n"


@pytest.mark.parametrize("first", NUMBERS)
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_breaks_off(first: int, second: int) -> None:
    with interruptible():
        send(first)
        with pytest.raises(KeyboardInterrupt):
            send(second)


@pytest.mark.parametrize("first", NUMBERS)
def test_a_terminal_that_is_closed_breaks_nothing_off(first: int) -> None:
    """A shell passes SIGHUP on, and the kernel sends another one when the shell has ended."""
    with interruptible() as stop:
        send(first)
        send(signal.SIGHUP)
        send(signal.SIGHUP)
        assert stop.asked
    send(signal.SIGHUP)  # journal and report come after the rollout


def test_nohup_counts() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interruptible() as stop:
        send(signal.SIGHUP)
        assert not stop.asked
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_afterwards_signals_are_as_before() -> None:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    with interruptible():
        pass
    assert {number: signal.getsignal(number) for number in NUMBERS} == before

"""Signals in a rollout: the first one lets the wave in hand end, a second Ctrl-C or SIGTERM breaks off.

SIGHUP, a terminal that is closed, only ever asks to stop: a shell passes it on, and the kernel sends another one when
the shell has ended; two of them are nobody's second wish. Whoever was started with it ignored (nohup) goes on.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

from k8s_ecmp.routers.stopping import Stop

_FIRST = b"stopping after this wave; press Ctrl-C again to break off\n"


@contextlib.contextmanager
def interruptible() -> Iterator[Stop]:
    """For the time of a rollout SIGINT, SIGTERM and SIGHUP ask it to stop.

    A SIGINT or SIGTERM after that raises `KeyboardInterrupt`.
    """
    stop = Stop()
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def asked(number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            before[number] = signal.SIG_IGN  # a late one would end the process before journal and report are done
            if stop.asked:
                return
        elif stop.asked:
            raise KeyboardInterrupt
        stop.ask()
        with contextlib.suppress(OSError):
            os.write(2, _FIRST)  # a signal may come in the middle of a write to sys.stderr

    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, asked)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

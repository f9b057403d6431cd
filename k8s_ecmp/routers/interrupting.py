"""Ctrl-C in a rollout: the first one lets the wave in hand end, the second one breaks off."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from k8s_ecmp.routers.stopping import Stop

_FIRST = b"stopping after this wave; press Ctrl-C again to break off\n"


@contextlib.contextmanager
def interruptible() -> Iterator[Stop]:
    """For the time of a rollout SIGINT and SIGTERM ask it to stop; a second one raises `KeyboardInterrupt`."""
    stop = Stop()

    def asked(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.asked:
            raise KeyboardInterrupt
        stop.ask()
        with contextlib.suppress(OSError):
            os.write(2, _FIRST)  # a signal may come in the middle of a write to sys.stderr

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

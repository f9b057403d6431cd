"""An event loop whose clock is not the wall's: it stands while there is anything to read or write, and jumps to the next
timer when there is not. What shares the loop and speaks over loopback meets the same times on a busy machine."""

import asyncio
import contextlib
import selectors
from collections.abc import Iterator

QUIET_S = 0.005  # of the wall: what was sent on loopback has arrived by then


class JumpingClock(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(QUIET_S)
        if not events:
            self.now += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = JumpingClock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


class Policy(asyncio.DefaultEventLoopPolicy):
    """Every new event loop is `loop`."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = JumpingLoop()

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop


@contextlib.contextmanager
def jumping() -> Iterator[JumpingLoop]:
    """The loop, which every new event loop is meanwhile."""
    policy = Policy()
    asyncio.set_event_loop_policy(policy)
    try:
        yield policy.loop
    finally:
        asyncio.set_event_loop_policy(None)

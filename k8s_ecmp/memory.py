"""How Python's garbage collector is set for this program, and what the C library keeps of what was freed."""

import contextlib
import gc
import time

_THRESHOLDS = (100_000, 20, 20)
_AT_THE_START = (1_000_000, 20, 20)
_LONG_S = 60.0

_put_off_s = 0.0


def collect_rarely() -> None:
    """Clusters and plans are many small objects that live to the end.

    To look at them all again and again takes a fifth of the time of a start, and finds nothing.
    """
    gc.set_threshold(*_THRESHOLDS)


def put_off() -> None:
    """For the start of what reads a whole cluster: nothing is looked at before `keep`, or a million objects."""
    global _put_off_s  # noqa: PLW0603  the collector is one, too
    _put_off_s = time.monotonic()
    gc.set_threshold(*_AT_THE_START)


def keep() -> None:
    """What is there now is never looked at again; what comes later is, as with `collect_rarely`."""
    if time.monotonic() - _put_off_s > _LONG_S:
        gc.collect()  # a start that takes long has tried again and again, and what that left would stay for good
    gc.freeze()
    collect_rarely()


def give_back() -> None:
    """After work on a whole router: hands freed memory to the kernel, which glibc alone does for the end of its heap.

    It takes some milliseconds. Where the C library has no such call nothing happens.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)

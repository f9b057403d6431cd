"""How Python's garbage collector is set for this program."""

import gc

_THRESHOLDS = (100_000, 20, 20)
_AT_THE_START = (1_000_000, 20, 20)


def collect_rarely() -> None:
    """Clusters and plans are many small objects that live to the end.

    To look at them all again and again takes a fifth of the time of a start, and finds nothing.
    """
    gc.set_threshold(*_THRESHOLDS)


def put_off() -> None:
    """For the start of what reads a whole cluster: nothing is looked at before `keep`, or a million objects."""
    gc.set_threshold(*_AT_THE_START)


def keep() -> None:
    """What is there now is never looked at again; what comes later is, as with `collect_rarely`."""
    gc.freeze()
    collect_rarely()

"""How Python's garbage collector is set for this program."""

import gc

_THRESHOLDS = (100_000, 20, 20)


def collect_rarely() -> None:
    """Clusters and plans are many small objects that live to the end.

    To look at them all again and again takes a fifth of the time of a start, and finds nothing.
    """
    gc.set_threshold(*_THRESHOLDS)

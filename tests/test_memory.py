"""What the garbage collector is kept from looking at, and what was freed."""

import ctypes
import subprocess
import sys

import pytest

STARTED = """
import gc, weakref
from k8s_ecmp import memory

class Left:
    pass

memory.put_off()
left = Left()
left.itself, gone = left, weakref.ref(left)
del left
memory._put_off_s -= {after_s}
memory.keep()
gc.collect()
print(gone() is None, gc.get_freeze_count() > 0)
"""


@pytest.mark.parametrize(("after_s", "gone"), [(0, False), (3600, True)])
def test_what_a_long_start_left_is_not_kept_for_good(after_s: int, gone: bool) -> None:
    program = STARTED.format(after_s=after_s)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(gone), "True"]


FREED = """
from k8s_ecmp import memory

def resident_mb():
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * 4096 / 1e6

made = [b"x" * 4000 + str(number).encode() for number in range(20_000)]
last = made.pop()
del made
before = resident_mb()
memory.give_back()
print(before - resident_mb())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library gives back by itself")
def test_what_was_freed_below_something_that_lives_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 40

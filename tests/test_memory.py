"""What the garbage collector is kept from looking at."""

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

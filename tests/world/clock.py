"""A wall clock that jumps, for one process: a small library is compiled and preloaded, the host's clock is not touched."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


def missing() -> str | None:
    """Why no clock can be bent here; None when one can."""
    return None if shutil.which("cc") else "there is no C compiler"


class Clock:
    """The offset, in seconds, of the wall clock of processes that have `environment`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock.offset"
        self._library = folder / "clock.so"
        self._file.write_bytes(struct.pack("=q", 0))
        command = ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(self._library), str(_SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_OFFSET_FILE": str(self._file)}

    def jump(self, offset_s: int) -> None:
        """The clock shows the real time and this much more from now on, at once."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as mapped:
            mapped[:] = struct.pack("=q", offset_s)

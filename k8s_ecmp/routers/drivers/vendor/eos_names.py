"""Names of configuration sessions that tell whose they are, since when, and whether their run still lives.

`k8s-ecmp-<owner>-<time>-<host>-<process>`, numbers in hexadecimal. A session outlives the run that opened it,
and a switch knows of no owner that is gone: only its name can say so.
"""

import os
import re
import socket
import threading
import time
import zlib
from typing import NamedTuple, Self

_FORM = re.compile(r"k8s-ecmp-(.+)-([0-9a-f]{11})-([0-9a-f]{8})-([0-9a-f]+)")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_OWNER_LENGTH = 24
_STARTED_MS = time.time_ns() // 1_000_000


class _Milliseconds:
    """Unix time, no millisecond twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest = 0

    def following(self) -> int:
        with self._lock:
            self._latest = max(time.time_ns() // 1_000_000, self._latest + 1)
            return self._latest


_milliseconds = _Milliseconds()


class SessionName(NamedTuple):
    """The parts of a name. `began_ms` is Unix time, `host` a checksum of the host's name."""

    owner: str
    began_ms: int
    host: int
    process: int

    @classmethod
    def new(cls, owner: str) -> Self:
        """A name that this process has not used before."""
        return cls(_fit(owner), _milliseconds.following(), _host(), os.getpid())

    @classmethod
    def read(cls, text: str, owner: str) -> Self | None:
        """The parts of a session of that owner; None for every other one."""
        found = _FORM.fullmatch(text)
        if found is None or found[1] != _fit(owner):
            return None
        return cls(found[1], int(found[2], 16), int(found[3], 16), int(found[4], 16))

    def is_dead(self, after_s: float) -> bool:
        """Whether no living run can hold it: its process on this host is gone, or it is older than `after_s`."""
        if self.host == _host():
            if self.process == os.getpid():
                return self.began_ms < _STARTED_MS  # an earlier process had the number
            if not _runs(self.process):
                return True
        return time.time() - self.began_ms / 1000 > after_s

    def __str__(self) -> str:
        return f"k8s-ecmp-{self.owner}-{self.began_ms:011x}-{self.host:08x}-{self.process:x}"


def _fit(owner: str) -> str:
    """The owner as a word; one that does not fit is shortened and told apart by a checksum."""
    if len(owner) <= _OWNER_LENGTH and not _UNFIT.search(owner):
        return owner
    return f"{_UNFIT.sub('_', owner)[: _OWNER_LENGTH - 9]}-{zlib.crc32(owner.encode()):08x}"


def _host() -> int:
    return zlib.crc32(socket.gethostname().encode())


def _runs(process: int) -> bool:
    """Whether a process of that number is there, anybody's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True

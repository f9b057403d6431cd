"""Being the only one of an owner that writes to routers, among the processes that share a journal.

A lock file beside the journal, held with flock, so that it goes with its process. One who holds it writes its name
there. Daemons that stand under one Lease share it: the Lease says which of them writes, also where the one before is
only frozen, and the file keeps everybody else out.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from k8s_ecmp.errors import JournalError
from k8s_ecmp.journal.files import REMEDY

PATIENCE_S = 1.0
"""Who only looks whether somebody holds the lock holds it for a moment itself."""
_POLL_S = 0.02
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")


class Holder(msgspec.Struct, frozen=True):
    """Who holds the lock, since when (RFC 3339), and under which Lease; "" and "" where that cannot be read."""

    who: str
    since: str
    lease: str | None = None


class OnlyWriter:
    """The lock of one owner beside one journal. Not for several threads."""

    def __init__(self, journal: Path, owner: str, who: str, *, lease: str | None = None) -> None:
        """Takes nothing yet.

        Args:
            journal: its first file.
            owner: of the routes.
            who: what others are told.
            lease: names the Lease that says which of several daemons writes; None: there is none.
        """
        self._path = _lock_file(journal, owner)
        self._owner = owner
        self._who = who
        self._lease = lease
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def is_of(self, journal: Path) -> bool:
        """Whether this is the lock of that journal."""
        return self._path == _lock_file(journal, self._owner)

    def take(self, patience_s: float = PATIENCE_S) -> None:
        """Takes the lock, unless this one has it.

        Raises:
            JournalError: another process has it, or the file cannot be written.
        """
        if self._file is not None:
            return
        try:
            file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            until = time.monotonic() + patience_s
            while not self._locked(file):
                if time.monotonic() >= until:
                    raise JournalError(
                        f"{_read(file).who or 'another process'} is writing to routers for owner {self._owner}; two of "
                        "one owner never write at once",
                        remedy="wait until it has ended; a daemon ends when it is stopped, and its routes stay",
                    )
                time.sleep(_POLL_S)
            file.truncate(0)
            file.write(msgspec.json.encode(Holder(self._who, _now(), self._lease)).decode())
            file.flush()
        except BaseException as error:
            with suppress(OSError):  # closing tries once more to write what could not be written
                file.close()
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise
        self._file = file

    def give_back(self) -> None:
        """Frees the lock where it is held."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _unwritable(self, error: OSError) -> JournalError:
        return JournalError(f"{self._path} cannot be written: {error.strerror}", remedy=REMEDY)

    def _locked(self, file: IO[str]) -> bool:
        alone = _flock(file, fcntl.LOCK_EX)
        if self._lease is None:
            return alone
        # From alone to shared there is a moment without; whoever was faster then has it.
        if not _flock(file, fcntl.LOCK_SH):
            return False
        if alone or _read(file).lease == self._lease:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False


@contextmanager
def only_writer(journal: Path, owner: str, who: str) -> Iterator[None]:
    """Holds the lock for a while.

    Raises:
        JournalError: another process has it, or the file cannot be written.
    """
    lock = OnlyWriter(journal, owner, who)
    lock.take()
    try:
        yield
    finally:
        lock.give_back()


def holder(journal: Path, owner: str) -> Holder | None:
    """Who writes for the owner at this moment; None: nobody. One of whom nothing is known where it cannot be seen."""
    try:
        file = _lock_file(journal, owner).open("r", encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError:
        return Holder("", "")
    with file:
        return None if _flock(file, fcntl.LOCK_EX) else _read(file)


def _lock_file(journal: Path, owner: str) -> Path:
    """Beside the file itself: one lock, whatever links lead to it."""
    first = Path(os.path.realpath(journal))
    return first.with_name(f"{first.name}.{_UNFIT.sub('_', owner)}.lock")


def _flock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(file: IO[str]) -> Holder:
    file.seek(0)
    try:
        return msgspec.json.decode(file.read(), type=Holder)
    except (msgspec.DecodeError, OSError, UnicodeError):
        return Holder("", "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

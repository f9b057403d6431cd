"""One process of a kind at a time for a folder of ExaBGP's."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from k8s_ecmp.errors import SettingsError


@contextmanager
def alone(lock: Path, taken: SettingsError, more: str = "") -> Iterator[int]:
    """Holds the lock file, which goes with its process; yields its descriptor.

    Args:
        lock: in the folder, which exists.
        taken: is raised where another process holds it.
        more: is said where the folder cannot be used, behind that.

    Raises:
        SettingsError: `taken`, or the folder cannot be used.
    """
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(f"{lock.parent} cannot be used{more}: {error.strerror}") from error
    with os.fdopen(descriptor, "r+b"):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None
        yield descriptor

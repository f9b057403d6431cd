"""Files with secrets in them: read only where nobody else can."""

import os
import stat
from pathlib import Path

from k8s_ecmp.errors import CredentialsUnusable


def read_private(path: Path) -> str:
    """The text of a file that nobody else can read or change.

    It must be ours or root's, and closed to others. The group may read it where it is root's: so the kubelet mounts a
    Secret for a pod with an fsGroup, and an administrator gives a file to a service. It may never write.

    Raises:
        CredentialsUnusable: it is open to others, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CredentialsUnusable(f"{path} is refused: it is no regular file")
            if status.st_uid not in (0, os.geteuid()):
                raise CredentialsUnusable(
                    f"{path} is refused: it belongs to user {status.st_uid}, neither to us nor to root",
                    remedy=f"chown {os.geteuid()} {path}",
                )
            closed = 0o037 if status.st_uid == 0 else 0o077
            if status.st_mode & closed:
                raise CredentialsUnusable(
                    f"{path} is refused: others have access to it (mode {stat.S_IMODE(status.st_mode):04o})",
                    remedy=f"chmod 600 {path}; for a mounted Secret set defaultMode: 0400",
                )
            return file.read().decode()
    except UnicodeDecodeError:
        raise CredentialsUnusable(f"{path} cannot be read: it is no UTF-8 text") from None
    except OSError as error:
        raise CredentialsUnusable(f"{path} cannot be read: {error.strerror}") from None

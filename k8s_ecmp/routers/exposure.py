"""Passwords in inventory files that everybody on the machine may read."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nornir.core import Nornir

# A key of Nornir or of NAPALM's optional_args that holds a secret, with a value.
_SECRET = re.compile(
    r"""(?m)^[^#\n]*?(?<![\w-])["']?(password|secret|enable_password|passphrase)["']?\s*:[ \t]+"""
    r"""(?!(?:null|~|""|'')\s*[,}\n#])[^\s#]"""
)


@dataclass(frozen=True)
class Exposed:
    """A file of the inventory that has a password and that others than its owner and group may read."""

    path: Path
    mode: int

    @property
    def remedy(self) -> str:
        return f"chmod 600 {self.path}, or take the password from one of the sources that `credentials` names"

    def __str__(self) -> str:
        return f"{self.path} has a password, and every user of this machine may read it (mode {self.mode:04o})"


def exposed(nornir: Nornir) -> tuple[Exposed, ...]:
    """Those files of an inventory in files; other inventories have none."""
    return tuple(
        Exposed(path, mode)
        for path in _files(nornir.config.inventory.options)
        if (mode := _open_mode(path)) is not None
    )


def _files(options: dict[str, Any]) -> list[Path]:
    names = [value for name, value in (options or {}).items() if name.endswith("_file") and isinstance(value, str)]
    return [Path(name).expanduser() for name in names]


def _open_mode(path: Path) -> int | None:
    """The mode of a file that is open to others and has a password."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if not mode & stat.S_IROTH or not _SECRET.search(path.read_text(encoding="utf-8")):
            return None
    except (OSError, UnicodeDecodeError):
        return None
    return mode

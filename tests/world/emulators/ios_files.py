"""The flash of an IOS router: real files in a folder, and what the file commands print."""

import hashlib
import time
from pathlib import Path

NO_FILE = "No such file or directory"
_FREE = 7_000_000_000  # bytes


class Flash:
    """A flat file system in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def path(self, name: str) -> Path:
        """Of "flash:/name" or "flash:name"."""
        return self.folder / name.rpartition(":")[2].lstrip("/")

    def read(self, name: str) -> str | None:
        path = self.path(name)
        return path.read_text() if path.is_file() else None

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def listing(self, name: str, *, full: bool) -> str:
        """`dir`, of all files or of one."""
        files = [self.path(found) for found in self.names()]
        if name not in ("flash:", "flash:/"):
            files = [self.path(name)]
            if not files[0].is_file():
                return f"%Error opening {name} ({NO_FILE})\n"
        rows = [f"Directory of {name}\n\n"]
        for number, path in enumerate(files, 1):
            written = time.strftime("%b %d %Y %H:%M:%S +00:00", time.gmtime(path.stat().st_mtime))
            rows.append(f"{number:5}  -rw-  {path.stat().st_size:12}  {written}  {path.name}\n")
        return "".join(rows) + f"\n{2 * _FREE} bytes total ({0 if full else _FREE} bytes free)\n"

    def verify(self, name: str) -> str:
        """`verify /md5`."""
        path = self.path(name)
        if not path.is_file():
            return f"%Error opening {name} ({NO_FILE})\n"
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        return f".MD5 of {name} Done!\nverify /md5 ({name}) = {digest}\n"

    def delete(self, name: str) -> str:
        """`delete /force`."""
        path = self.path(name)
        if not path.is_file():
            return f"%Error deleting {name} ({NO_FILE})\n"
        path.unlink()
        return ""

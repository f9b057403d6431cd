"""A small file system in a mount namespace of its own, which a test fills."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_SIZE_KB = 512


class SmallDisk:
    """`with SmallDisk(folder) as disk:` mounts it there; the folder's files are copied to it, and back in the end.

    Commands see it with `around` in front of them, the test through `root`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        before = {path.name: path.read_bytes() for path in self._folder.iterdir() if path.is_file()}
        script = f"mount -t tmpfs -o size={_SIZE_KB}k tmpfs {self._folder} && echo mounted && exec cat"
        self._process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"mounted\n":
            raise RuntimeError(f"no file system could be mounted at {self._folder}")
        for name, content in before.items():
            self.path(name).write_bytes(content)
        return self

    def __exit__(self, *_: object) -> None:
        self.save()
        self._process.kill()
        self._process.communicate()

    def save(self) -> None:
        """Brings its files to the folder below."""
        for path in self.path("").iterdir():
            if path.is_file():
                copy = self._folder / f".{path.name}.copy"
                copy.write_bytes(path.read_bytes())
                copy.replace(self._folder / path.name)

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self._process.pid}/root")

    @property
    def around(self) -> Sequence[str]:
        return ["nsenter", "-t", str(self._process.pid), "-m"]

    def path(self, name: str) -> Path:
        """Of a file on it, for the test."""
        return self.root / self._folder.relative_to("/") / name

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a page is left."""
        fill = self.path("fill")
        with fill.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        try:
            yield
        finally:
            fill.unlink()

"""The embedded router: a running configuration in a file. Atomic commits, history kept, NAPALM's method names.

Beside `r1.cfg` stand `r1.cfg.lock` (held while a candidate is open) and the folder `r1.cfg.history` with every earlier
version, numbered; all that a commit does to `r1.cfg` itself is one rename.
"""

import fcntl
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from k8s_ecmp.errors import CommitFailed, ConfigRejected, LockHeld, ParseError, RenderError, Unreachable
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes, text_lines
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Capabilities
from k8s_ecmp.platforms.edits import Edit, apply_edits, unified

_KEEP_VERSIONS = 100


def capabilities_of(syntax: Capabilities) -> Capabilities:
    """What the embedded router can promise in a syntax: its own way to commit, the syntax's marks and limits."""
    return msgspec.structs.replace(
        syntax, atomic=True, device_diff=True, confirm=False, message=False, lock=True, undo=True
    )


class FileDriver:
    """One file as one router.

    Args:
        hostname: not used; NAPALM's constructor has it.
        username: not used.
        password: not used.
        timeout: not used.
        optional_args: `path` (the file) and `syntax` (eos, ios, iosxr, nxos, junos, frr).
    """

    def __init__(
        self,
        hostname: str = "",  # noqa: ARG002
        username: str = "",  # noqa: ARG002
        password: str = "",  # noqa: ARG002
        timeout: float = 60,  # noqa: ARG002
        optional_args: Mapping[str, Any] | None = None,
    ) -> None:
        options = dict(optional_args or {})
        if not options.get("path"):
            raise Unreachable("a file router needs optional_args.path", remedy="path: routers/r1.cfg")
        self._path = Path(options["path"]).resolve()
        self._platform = get_platform(str(options.get("syntax", "")))
        self._lock: IO[str] | None = None
        self._candidate: str | None = None
        self._base = ""
        self._commands = ""
        self._edits: tuple[Edit, ...] = ()
        self._last: tuple[str, str] | None = None

    def open(self) -> None:
        """Looks whether the file is there.

        Raises:
            Unreachable: it is not.
        """
        if not self._path.is_file():
            raise Unreachable(f"there is no running configuration at {self._path}")

    def close(self) -> None:
        """Discards an open candidate."""
        self.discard_config()

    def is_alive(self) -> Mapping[str, bool]:
        """{"is_alive": whether the file is there}."""
        return {"is_alive": self._path.is_file()}

    def get_config(self, retrieve: str = "all") -> Mapping[str, str]:
        """The file's text as "running", the open candidate's as "candidate"; "startup" is the running one."""
        texts = {"running": self._read(), "candidate": self._candidate or "", "startup": self._read()}
        return {kind: text if retrieve in ("all", kind) else "" for kind, text in texts.items()}

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Takes the lock and loads commands into the candidate; no commands take the lock alone.

        Raises:
            LockHeld: another process has a candidate open.
            ConfigRejected: a command is not understood; the candidate is as before.
        """
        self._acquire()
        fresh = Path(filename).read_text(encoding="utf-8") if filename else config or ""
        if self._candidate is None:
            self._base = self._read()
        commands = f"{self._commands}{fresh}\n"
        try:
            edits = self._platform.edits(self._platform.parse(self._base), commands)
        except ParseError as error:
            raise ConfigRejected(f"{self._path}: {error}") from error
        self._commands, self._edits = commands, edits
        self._candidate = apply_edits(self._base, edits)

    def compare_config(self) -> str:
        """The candidate against the file, as "-" and "+" lines."""
        return unified(text_lines(self._base), self._edits)

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:  # noqa: ARG002
        """Puts the candidate in force by one rename; the earlier text goes to the history first.

        Raises:
            CommitFailed: no timer here, nothing to commit, or the file changed under the lock.
        """
        if revert_in:
            raise CommitFailed("a file router has no commit timer")
        if self._candidate is None:
            raise CommitFailed(f"{self._path}: no candidate is loaded")
        try:
            now = self._read()
        except Unreachable as error:
            raise CommitFailed(f"{error.message}; nothing was written") from error
        if now != self._base:
            raise CommitFailed(f"{self._path} was changed by somebody who does not lock it; nothing was written")
        self._write(self._candidate)
        self._last = (self._base, self._candidate)
        self._forget()

    def confirm_commit(self) -> None:
        """Nothing to do: a commit here has no timer."""

    def has_pending_commit(self) -> bool:
        """Always false: a commit here has no timer."""
        return False

    def rollback(self) -> None:
        """Takes this driver's last commit back; what others wrote into the file since stays.

        Raises:
            CommitFailed: this driver has committed nothing, or its routes were changed since.
        """
        if self._last is None:
            raise CommitFailed(f"{self._path}: nothing to roll back")
        before, after = self._last
        text = self._read()
        self._write(before if text == after else self._without_change(before, after, text))
        self._last = None
        self._forget()

    def _without_change(self, before: str, after: str, now: str) -> str:
        """The text as it is now with the routes of the last commit as they were before it."""
        try:
            old, new, current = (self._platform.parse(text) for text in (before, after, now))
            keys = {key for key in old.by_prefix.keys() | new.by_prefix.keys() if _hops(old, key) != _hops(new, key)}
            if any(_hops(new, key) != _hops(current, key) for key in keys):
                raise CommitFailed(
                    f"{self._path}: somebody changed the same routes since the commit; nothing was undone"
                )
            undo = [RouteChange.between(*key, _hops(new, key), _hops(old, key)) for key in sorted(keys)]
            return apply_edits(now, self._platform.edits(current, self._platform.render(undo, current)))
        except (ParseError, RenderError) as error:
            raise CommitFailed(f"{self._path}: {error}; nothing was undone") from error

    def discard_config(self) -> None:
        """Throws the candidate away and gives the lock back."""
        self._forget()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:  # noqa: ARG002
        """A file answers no show commands but its own text."""
        return {command: self._read() if "running-config" in command else "" for command in commands}

    def _forget(self) -> None:
        self._candidate, self._commands, self._edits = None, "", ()

    def _acquire(self) -> None:
        if self._lock is not None:
            return
        handle = (self._path.parent / f"{self._path.name}.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            handle.close()
            raise LockHeld(f"{self._path} is being changed by {holder}", holder=holder) from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()}")
        handle.flush()
        self._lock = handle

    def _read(self) -> str:
        try:
            return self._path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise Unreachable(f"{self._path} cannot be read: {error.strerror}") from error

    def _write(self, text: str) -> None:
        try:
            self._keep()
            _replace(self._path, text.encode("utf-8", "surrogateescape"), self._path.stat().st_mode & 0o777)
        except OSError as error:
            raise CommitFailed(f"{self._path} could not be written: {error.strerror}; it is as it was") from error

    def _keep(self) -> None:
        history = self._path.parent / f"{self._path.name}.history"
        history.mkdir(exist_ok=True)
        kept = sorted(path for path in history.iterdir() if re.fullmatch(r"\d{6}\.cfg", path.name))
        number = int(kept[-1].stem) + 1 if kept else 1
        _replace(history / f"{number:06}.cfg", self._path.read_bytes(), 0o600)
        for path in kept[: max(0, len(kept) + 1 - _KEEP_VERSIONS)]:
            path.unlink()


def _hops(routes: RunningRoutes, key: tuple[str, Prefix]) -> tuple[NextHop, ...]:
    route = routes.get(*key)
    return route.next_hops if route is not None else ()


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Writes a file so that at every moment its name leads to the old or to the new content."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

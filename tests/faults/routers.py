"""The routers of the matrix, and what can be done to each: look into it, type on it, cut it off, fill its disk."""

import fcntl
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.faults.disk import SmallDisk
from tests.faults.stepped import Stepped
from tests.faults.watch import Poller, Seen, Table
from tests.world.emulators.base import Drop, Emulator
from tests.world.emulators.eos import Eos
from tests.world.emulators.nxos import NxosSsh

BEFORE_COMMIT, AFTER_COMMIT = "commit: commit", "connect again"
_ROUTE = re.compile(r"ip(?:v6)? route (\S+) (\S+)")


class Router(ABC):
    """One router, in its old state at first. `timer`: a commit that is not confirmed is taken back by the router.
    `lock`: it keeps others of our kind out."""

    name: ClassVar[str]
    timer: ClassVar[bool]
    lock: ClassVar[bool]

    @abstractmethod
    def host(self) -> dict[str, Any]:
        """The inventory's entry."""

    @abstractmethod
    def running(self) -> str:
        """Its running configuration."""

    @abstractmethod
    def table(self) -> Table:
        """What it forwards by, of static routes."""

    @abstractmethod
    def restore(self, running: str) -> None:
        """Brings it into the state of that configuration, by hand."""

    @abstractmethod
    def type(self, line: str) -> None:
        """Somebody types a line and commits it at once, whoever has a lock."""

    @abstractmethod
    def watched(self) -> AbstractContextManager[Seen]:
        """Everything that its table goes through."""

    @abstractmethod
    def down(self) -> AbstractContextManager[None]:
        """For the time of the context nobody reaches it; it forwards as before."""

    @abstractmethod
    def cut(self, run: Stepped, moment: Drop, seen: Seen) -> None:
        """The connection of the run breaks at that moment; it goes on to its end."""

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """Somebody else holds the router's lock."""

    @abstractmethod
    def not_installing(self, prefix: str) -> AbstractContextManager[None]:
        """The router takes a route to the prefix into its configuration and not into its tables."""

    @abstractmethod
    def full_disk(self) -> AbstractContextManager[None]:
        """The router can write no file any more."""

    @abstractmethod
    def unsettled(self) -> list[str]:
        """What runs of ours have left on it: commits that wait for their confirm, candidates, files."""

    @abstractmethod
    def settle(self) -> None:
        """A commit timer that runs ends now; waits for what it does."""


class FileRouter(Router):
    """A running configuration of FRR in a file."""

    name, timer, lock = "file", False, True
    root = Path("/")
    """Where the file system begins that the router is seen in: a namespace's."""

    def __init__(self, folder: Path, running: str) -> None:
        self.path = folder / "r1.cfg"
        self.path.write_text(running)

    def host(self) -> dict[str, Any]:
        options = {"syntax": "frr", "path": str(self.path)}
        return {"platform": "file", "connection_options": {"napalm": {"extras": {"optional_args": options}}}}

    def running(self) -> str:
        for _ in range(100):  # it may be moved away and back
            for path in (self._path, self._away):
                try:
                    return path.read_text()
                except FileNotFoundError:
                    continue
        raise FileNotFoundError(self._path)

    def table(self) -> Table:
        return configured(self.running())

    def restore(self, running: str) -> None:
        shutil.rmtree(self._path.with_name("r1.cfg.history"), ignore_errors=True)
        self._save(running)

    def type(self, line: str) -> None:
        text = self.running()
        if line.startswith("no "):
            self._save(text.replace(f"{line.removeprefix('no ')}\n", ""))
        else:
            self._save(text.replace("ip route 172.16", f"{line}\nip route 172.16", 1))

    def _save(self, running: str) -> None:
        new = self._path.with_suffix(".typed")
        new.write_text(running)
        new.replace(self._path)

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        seen = Seen(self.table())
        poller = Poller(seen, self.table)
        try:
            yield seen
        finally:
            poller.stop()
            for version in sorted(self._path.parent.glob("r1.cfg.history/*.cfg")):
                seen.note(configured(version.read_text()))
            seen.note(self.table())

    @contextmanager
    def down(self) -> Iterator[None]:
        self._path.replace(self._away)
        try:
            yield
        finally:
            self._away.replace(self._path)

    def cut(self, run: Stepped, moment: Drop, seen: Seen) -> None:
        run.until({"before-commit": BEFORE_COMMIT, "after-commit": AFTER_COMMIT}[moment])
        with self.down():
            run.finish()

    @contextmanager
    def held(self) -> Iterator[None]:
        with (self._path.parent / "r1.cfg.lock").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def not_installing(self, prefix: str) -> AbstractContextManager[None]:
        raise NotImplementedError("a file has no tables")

    def full_disk(self) -> AbstractContextManager[None]:
        raise NotImplementedError("it is put on a small disk")

    @contextmanager
    def on(self, disk: SmallDisk) -> Iterator[None]:
        """The file is on a disk that has been mounted on its folder."""
        self.root = disk.root
        try:
            yield
        finally:
            disk.save()
            del self.root

    def unsettled(self) -> list[str]:
        return [f"the file {path.name}" for path in self._path.parent.glob(".r1.cfg.*")]

    def settle(self) -> None:
        """There is none."""

    @property
    def _path(self) -> Path:
        return self.root / self.path.relative_to("/")

    @property
    def _away(self) -> Path:
        return self._path.with_name("away.cfg")


class Emulated(Router):
    """An emulated device."""

    def __init__(self, device: Emulator) -> None:
        self.device = device

    def host(self) -> dict[str, Any]:
        return self.device.host()

    def running(self) -> str:
        return self.device.running()

    def table(self) -> Table:
        return {
            prefix if vrf == "default" else f"{vrf} {prefix}": hops
            for (vrf, prefix), hops in self.device.routes().items()
        }

    def restore(self, running: str) -> None:
        self.device.load(running)

    def type(self, line: str) -> None:
        self.device.type(line)

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        seen = Seen(self.table())

        def look() -> None:
            seen.note(self.table())

        self.device.watchers.append(look)
        try:
            yield seen
        finally:
            self.device.watchers.remove(look)
            look()

    @contextmanager
    def down(self) -> Iterator[None]:
        self.device.stop()
        try:
            yield
        finally:
            self.device.start()

    def cut(self, run: Stepped, moment: Drop, seen: Seen) -> None:
        self.device.faults.drop = moment
        run.finish()

    @contextmanager
    def held(self) -> Iterator[None]:
        self.device.faults.holder = "alice"
        try:
            yield
        finally:
            self.device.faults.holder = None

    @contextmanager
    def not_installing(self, prefix: str) -> Iterator[None]:
        self.device.faults.hide = {prefix}
        try:
            yield
        finally:
            self.device.faults.hide = set()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        self.device.faults.full_disk = True
        try:
            yield
        finally:
            self.device.faults.full_disk = False

    def unsettled(self) -> list[str]:
        return ["a commit that waits for its confirm"] if self.device.pending() else []

    def settle(self) -> None:
        if self.device.pending():
            self.device.expire()


class EosRouter(Emulated):
    """Sessions and a commit timer."""

    name, timer, lock = "eos", True, True
    device: Eos

    def unsettled(self) -> list[str]:
        ended = ("completed", "aborted")
        sessions = [f"the session {name}" for name, state in self.device.sessions().items() if state not in ended]
        return super().unsettled() + sessions


class NexusRouter(Emulated):
    """Line by line over SSH: no candidate, no lock, no timer."""

    name, timer, lock = "nxos_ssh", False, False
    device: NxosSsh

    def unsettled(self) -> list[str]:
        return super().unsettled() + [f"the checkpoint {name}" for name in self.device.files]


def configured(text: str) -> Table:
    """The next hops that a configuration of FRR with one address a line asks for."""
    table: dict[str, frozenset[str]] = {}
    vrf = ""
    for line in text.splitlines():
        if line.startswith(("vrf ", "exit-vrf")):
            vrf = f"{line.split()[1]} " if line.startswith("vrf ") else ""
        elif found := _ROUTE.match(line.strip()):
            prefix = vrf + found[1]
            table[prefix] = table.get(prefix, frozenset()) | {found[2]}
    return table

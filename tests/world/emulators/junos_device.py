"""The configuration database of a Junos router: what is in force, its history, the shared candidate, the timer."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import ClassVar

from tests.world.emulators.base import Emulator, canonical
from tests.world.emulators.junos_sample import SAMPLE
from tests.world.emulators.junos_show import tables
from tests.world.emulators.junos_tree import Node, change, clone, parse, statics, text_of

_BOOT = 1_700_000_000  # the device's clock when it booted, seconds
HEADER = "\n## Last commit: 2024-05-14 09:12:44 UTC by alice\n"


@dataclass
class Commit:
    """One entry of the history: what was in force, and what `show system commit` says of it."""

    tree: Node
    user: str
    client: str
    seconds: int
    comment: str = ""
    log: str = ""


@dataclass
class Timer:
    """A commit that waits for its confirm; `before` is what comes back."""

    before: Node
    handle: asyncio.TimerHandle | None = None


@dataclass
class Edit:
    """What a session may be changing: its private candidate, or the shared one under its lock."""

    number: int
    user: str
    private: Node | None = None
    base: Node | None = None
    committing: bool = field(default=False)


class JunosDevice(Emulator):
    """What the sessions of a router share. Other people's uncommitted edits are made by `edit`."""

    driver: ClassVar[str] = "junos"
    SAMPLE: ClassVar[str] = SAMPLE

    def load(self, running: str) -> None:
        tree = parse(running)
        self.history = [Commit(tree, "alice", "cli", _BOOT)]
        self.candidate = clone(tree)
        self.locked: Edit | None = None
        self.timer: Timer | None = None
        self.clock = _BOOT + 100
        self.marks_waiting = True
        """Whether the commit history says "rollback pending", as current releases do."""
        self.guard = threading.RLock()

    def running(self) -> str:
        with self.guard:
            return HEADER + text_of(self.history[0].tree)

    def others(self, tag: int) -> str:
        with self.guard:
            tree = clone(self.history[0].tree)
        for line in _tagged(tree, str(tag)):
            change(tree, line)
        return text_of(tree)

    def routes(self) -> dict[tuple[str, str], frozenset[str]]:
        with self.guard:
            found = tables(self.history[0].tree, self.learned)
        return {
            (_vrf(table), canonical(str(prefix))): frozenset(address for address, _ in route.hops)
            for table, routes in found.items()
            for prefix, route in routes.items()
            if route.protocol == "Static" and str(prefix) not in self.faults.hide
        }

    def type(self, lines: str) -> None:
        with self.guard:
            tree = clone(self.history[0].tree)
            for line in lines.splitlines():
                change(tree, line)
                change(self.candidate, line)
            self.commit(tree, "bob", "cli")

    def edit(self, lines: str) -> None:
        """Somebody types configuration lines in the shared candidate and leaves them there."""
        with self.guard:
            for line in lines.splitlines():
                change(self.candidate, line)

    def pending(self) -> bool:
        with self.guard:
            return self.timer is not None

    def expire(self) -> None:
        with self.guard:
            timer, self.timer = self.timer, None
            if timer is not None:
                if timer.handle is not None:
                    timer.handle.cancel()
                self.commit(timer.before, "root", "other")
                self.candidate = clone(timer.before)

    def commit(self, tree: Node, user: str, client: str, comment: str = "", log: str = "") -> None:
        """Any commit confirms one that waits."""
        if self.timer is not None and self.timer.handle is not None:
            self.timer.handle.cancel()
        self.timer = None
        self.clock += 1
        self.history.insert(0, Commit(clone(tree), user, client, self.clock, comment, log))

    def dirty(self) -> bool:
        """Whether the shared candidate differs from what is in force."""
        return self.candidate != self.history[0].tree


def _vrf(table: str) -> str:
    return table.rsplit(".", 2)[0] if table.count(".") > 1 else "default"


def _tagged(tree: Node, tag: str) -> list[str]:
    return [
        f"delete {' '.join(path)} route {prefix}"
        for path, routes in statics(tree)
        for prefix, node in routes
        if (leaf := node.children.get(("tag",))) is not None and leaf.values == [tag]
    ]

"""The configuration manager of an IOS-XR router: sessions, the lock, commits, and what the router prints.

From Cisco's "XML API Guide", "Data Models Configuration Guide" (NETCONF) and "System Management Command Reference":

- changes are collected in a session's target configuration and come into force with its commit, all or none;
- `<Lock/>`, or `lock` of the candidate, is `configure exclusive`: nobody else commits while it is held; it ends with
  the session. `show configuration sessions` names its holder and marks it with a star;
- a commit is refused when others have committed since the session began or since its own last commit (0x41866c00), and
  when there is nothing to commit (0x41864e00; NETCONF answers <ok/>);
- a commit that has begun is ended even when its client is gone.

Not seen on a device: the text of a refused lock.
"""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from tests.world.emulators import neighbours
from tests.world.emulators.base import PASSWORD, USERNAME, Emulator
from tests.world.emulators.iosxr_config import Config, InvalidInput
from tests.world.emulators.iosxr_sample import SAMPLE
from tests.world.emulators.iosxr_show import Tables
from tests.world.emulators.netconf import Cut

VERSION = "7.3.2"
_OTHERS = (
    "'CfgMgr' detected the 'warning' condition 'One or more commits have occurred from other configuration sessions "
    "since this session started or since the last commit was made from this session.'"
)
_EMPTY = "'CfgMgr' detected the 'warning' condition 'There are no configuration changes to commit'"
_LOCKED = "'CfgMgr' detected the 'warning' condition 'The configuration namespace has been locked by another agent.'"


class Refused(Exception):
    """A commit or a lock that the configuration manager refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Session:
    """A configuration session: its target lines, and which commit it rests on."""

    def __init__(self, device: "IosXr", user: str, line: str) -> None:
        self.device = device
        self.user = user
        self.line = line
        self.target: list[str] = []
        self.base = device.commits
        self.committing = False

    def load(self, lines: list[str], *, all_or_none: bool) -> None:
        """Puts lines into the target.

        Raises:
            InvalidInput: one is not taken.
        """
        refused = self.device.faults.refuse
        config = self.merged()
        for place, line in enumerate(lines):
            try:
                if refused is not None and refused in line:
                    raise InvalidInput(line)
                config.enter(lines[: place + 1])
            except InvalidInput:
                self.target += [] if all_or_none else lines[:place]
                raise
        self.target += lines

    def merged(self) -> Config:
        """The configuration as it would be."""
        config = self.device.config.copy()
        config.enter(self.target)
        return config

    def ended(self) -> None:
        """The client is gone."""
        with self.device.guard:
            if self.device.locked_by is self and not self.committing:
                self.device.locked_by = None


class IosXr(Emulator):
    """The device model; subclasses serve it."""

    SAMPLE: ClassVar[str] = SAMPLE

    def __init__(self, folder: Path, running: str | None = None) -> None:
        self.guard = threading.RLock()
        self.config = Config()
        self.commits = 1000000000
        self._changed_at = time.time()
        self._changed_by = "admin"
        self.locked_by: Session | None = None
        self.ends_later_s = 1.0
        """How long a commit goes on whose client went away in the middle of it."""
        super().__init__(folder, running)

    # --- what tests do ---

    def load(self, running: str) -> None:
        with self.guard:
            self.config = Config.booted(running)

    def running(self) -> str:
        with self.guard:
            return self.text(self.config)

    def others(self, tag: int) -> str:
        with self.guard:
            config = self.config.copy()
        for table in config.static.values():
            for network, hops in list(table.items()):
                table[network] = {key: found for key, found in hops.items() if found.get("tag") != str(tag)}
                if not table[network]:
                    del table[network]
        return self.text(config)

    def routes(self) -> dict[tuple[str, str], frozenset[str]]:
        with self.guard:
            tables = Tables(self.config, learned=self.learned)
            return {
                (vrf, str(route.network)): route.labels()
                for vrf, afi, safi in self.config.static
                if safi == "unicast"
                for route in tables.static(vrf, afi)
            }

    def type(self, lines: str) -> None:
        with self.guard:
            config = self.config.copy()
            config.enter(lines.splitlines())
            self._put_in_force(config, "console")

    def pending(self) -> bool:
        return False

    def expire(self) -> None:
        raise AssertionError("no driver of this platform sets a commit timer")

    # --- the configuration manager ---

    def lock(self, session: Session) -> None:
        """Raises Refused where somebody else has it."""
        with self.guard:
            if self.faults.holder is not None or self.locked_by not in (None, session):
                raise Refused("0x41864200", _LOCKED)
            self.locked_by = session

    def unlock(self, session: Session) -> None:
        with self.guard:
            if self.locked_by is session:
                self.locked_by = None

    async def commit(self, session: Session) -> None:
        """Puts a session's target in force.

        Raises:
            Refused: the configuration manager does not take it; the target stays.
            Cut: the client's connection is gone.
        """
        drop, self.faults.drop = self.faults.drop, None
        if drop == "before-commit":
            raise Cut
        with self.guard:
            if self.faults.holder is not None or self.locked_by not in (None, session):
                raise Refused("0x41864200", _LOCKED)
            if self.commits != session.base:
                raise Refused("0x41866c00", _OTHERS)
            if not session.target:
                raise Refused("0x41864e00", _EMPTY)
            session.committing = True
        if drop == "in-commit":
            asyncio.get_running_loop().call_later(self.ends_later_s, self._end_commit, session, True)
            raise Cut
        await asyncio.sleep(self.faults.slow_commit_s)
        self._end_commit(session, False)
        if drop == "after-commit":
            raise Cut

    def _end_commit(self, session: Session, alone: bool) -> None:
        with self.guard:
            self._put_in_force(session.merged(), session.user)
            session.target = []
            session.base = self.commits
            session.committing = False
            if alone and self.locked_by is session:
                self.locked_by = None

    def _put_in_force(self, config: Config, user: str) -> None:
        self.config = config
        self.commits += 1
        self._changed_at, self._changed_by = time.time(), user

    # --- what it prints ---

    def show(self, command: str, session: Session) -> str:
        """The answer to a show command, of the configuration or of operation."""
        with self.guard:
            if command == "show running-config":
                changed = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(self._changed_at))
                stamp = f"!! Last configuration change at {changed} by {self._changed_by}\n!\n"
                return "Building configuration...\n" + self.text(self.config).replace("\n", "\n" + stamp, 1)
            if command == "show configuration merge":
                return "Building configuration...\n" + self.text(session.merged())
            if command == "show configuration sessions":
                return self._sessions()
            if command == "show configuration commit list 1":
                return self._last_commit()
            if command.startswith(("show arp vrf ", "show ipv6 neighbors vrf ")):
                version = 6 if "ipv6" in command else 4
                return neighbours.iosxr(self.neighbours(command.rsplit(maxsplit=1)[-1], version), version)
            faults = self.faults
            if faults.fib_refused and command.startswith("show cef"):
                return "% This command is not authorized"
            return Tables(self.config, set(faults.hide), self.learned, set(faults.not_forwarded)).show(command)

    def neighbours(self, vrf: str, version: int) -> list[neighbours.Entry]:
        """The ARP or ND entries of a VRF."""
        return neighbours.entries(self.routes(), self.config.connected(vrf), self.faults.silent, vrf, version)

    def _sessions(self) -> str:
        head = "Current Configuration Session  Line       User     Date                     Lock"
        when = "Fri Nov 21 16:31:08 2026"
        if self.faults.holder is not None:
            return f"{head}\n00001000-00007f21-00000000     vty1       {self.faults.holder:<8} {when} *"
        if self.locked_by is not None:
            return f"{head}\n00001000-000081c4-00000000     {self.locked_by.line:<10} {self.locked_by.user:<8} {when} *"
        return head

    def _last_commit(self) -> str:
        when = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(self._changed_at))
        columns = "{:<4} {:<11} {:<9} {:<19} {:<11} {}"
        head = columns.format("SNo.", "Label/ID", "User", "Line", "Client", "Time Stamp")
        rule = columns.format("~" * 4, "~" * 8, "~" * 4, "~" * 4, "~" * 6, "~" * 10)
        return (
            f"{head}\n{rule}\n{columns.format(1, self.commits, self._changed_by, 'vty0:node0_RP0_CPU0', 'CLI', when)}"
        )

    @staticmethod
    def text(config: Config) -> str:
        return "\n".join([f"!! IOS XR Configuration {VERSION}", *config.lines()]) + "\n"

    def _host(self, port: int, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "hostname": "127.0.0.1",
            "port": port,
            "platform": self.driver,
            "username": USERNAME,
            "password": PASSWORD,
            "connection_options": {"napalm": {"extras": {"timeout": 10, "optional_args": options}}},
        }

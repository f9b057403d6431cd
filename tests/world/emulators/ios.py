"""A Cisco IOS router over SSH and SCP: configuration, file system, archive with its revert timer, startup configuration.

From the IOS Configuration Fundamentals and Configuration Management guides: copying a file to running-config is a merge,
line by line, that goes on behind a refused line; `configure terminal revert timer N` needs `archive` with a `path`; file
operations ask back unless `file prompt quiet` is configured; the timer restores the whole configuration of its start.
"""

import asyncio
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.world.emulators import neighbours
from tests.world.emulators.base import PASSWORD, USERNAME, Emulator
from tests.world.emulators.ios_config import INVALID, Config, Refused
from tests.world.emulators.ios_files import NO_FILE, Flash
from tests.world.emulators.ios_show import incremental_diff, show_cef, show_configuration, show_lock, show_route
from tests.world.emulators.ssh import CliServer, Terminal

_MARK = f"        ^\n{INVALID}\n"
_OTHER_IMAGE = (
    "Warning: Attempting to overwrite an NVRAM configuration previously written\n"
    "by a different version of the system image.\nOverwrite the previous NVRAM configuration?[confirm]"
)
_SHORT = 3  # lines
_RESTRICTED = "!\nboot-start-marker\nboot-end-marker\n!\n!\nend\n"
_NO_PENDING = "%No Rollback Confirmed Change pending\n"


@dataclass
class Pending:
    """A change that the router takes back at `deadline` unless it is confirmed."""

    user: str
    minutes: int
    backup: str
    deadline: float


class Ios(Emulator):
    """The router. `nvram_busy`: `write memory` fails, which it only prints. `other_image`: the startup configuration was
    written by another version of the software, and `write memory` asks before it is overwritten. `stamp` stands in front
    of every answer to show commands, `message` in the middle of it. `level`: the account's privilege; below 15 it is shown
    those lines alone that it may change. `padding`: what shown lines end with.
    """

    driver = "ios"
    SAMPLE = (Path(__file__).parent / "ios_sample.cfg").read_text()

    def __init__(self, folder: Path, running: str | None = None) -> None:
        self.guard = threading.RLock()
        self.flash = Flash(Path(tempfile.mkdtemp(prefix="ios-", dir=folder)) / "flash")
        self.nvram_busy = False
        self.other_image = False
        self.stamp = ""
        self.message = ""
        self.level = 15
        self.padding = ""
        super().__init__(folder, running)
        self._server = CliServer(
            self._session, folder, self.flash.folder, lambda: self.config.has("ip scp server enable")
        )

    # --- what tests do ---

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def host(self) -> dict[str, Any]:
        options = {"alt_host_keys": True, "alt_key_file": str(self._server.known_hosts)}
        return {
            "hostname": "127.0.0.1",
            "port": self._server.port,
            "platform": "ios",
            "username": USERNAME,
            "password": PASSWORD,
            "connection_options": {"napalm": {"extras": {"optional_args": options}}},
        }

    def load(self, running: str) -> None:
        with self.guard:
            self.config = Config.of(running)
            self.startup = self.config.text()
            self._pending: Pending | None = None

    def running(self) -> str:
        with self.guard:
            self._tick()
            return self.config.text()

    def others(self, tag: int) -> str:
        with self.guard:
            self._tick()
            kept = {key: route for key, route in self.config.routes.items() if route.tag != tag}
            return Config(kept, self.config.frame).text()

    def routes(self) -> dict[tuple[str, str], frozenset[str]]:
        with self.guard:
            self._tick()
            table = self.config.table()
            return {
                (vrf, str(net)): frozenset(hop.target for hop in hops)
                for (vrf, net), hops in table.items()
                if not ((other := self.learned.get(str(net))) is not None and other.beats(vrf, hops[0].distance))
            }

    def type(self, lines: str) -> None:
        with self.guard:
            self.config.block = ""
            for line in lines.splitlines():
                self.config.configure(line)

    def pending(self) -> bool:
        with self.guard:
            self._tick()
            return self._pending is not None

    def expire(self) -> None:
        with self.guard:
            assert self._pending is not None
            self._pending.deadline = 0
            self._tick()

    def saved(self) -> bool:
        with self.guard:
            return self.startup == self.config.text()

    def _tick(self) -> None:
        if self._pending is not None and time.monotonic() >= self._pending.deadline:
            self._revert()

    def _revert(self) -> None:
        assert self._pending is not None
        self.config = Config.of(self._pending.backup)
        self._pending = None

    # --- the command line ---

    async def _session(self, terminal: Terminal) -> None:
        configuring = False
        while True:
            with self.guard:
                hostname = next(
                    (line.split()[1] for line in self.config.frame if line.startswith("hostname ")), "Router"
                )
            line = await terminal.ask(f"{hostname}{'(config)' if configuring else ''}#")
            if line is None:
                return
            words = line.split()
            if not words:
                continue
            self.transcript.append(line.strip())
            with self.guard:
                self._tick()
            if configuring:
                configuring = words[0] not in ("end", "exit")
                if configuring:
                    terminal.write(self._line(line))
            elif words[:2] == ["configure", "terminal"]:
                answer = self._enter(words[2:], terminal.username)
                terminal.write(answer)
                configuring = not answer.startswith("%")
            elif words[0] == "copy":
                await self._copy(terminal, words[1:])
            elif words[0] in ("exit", "logout"):
                return
            elif words[0] == "write" and self.other_image and await self._declined(terminal):
                continue
            else:
                if words[2:3] == ["cef"]:
                    await asyncio.sleep(self.faults.slow_fib_s)
                with self.guard:
                    terminal.write(self._answer(line.strip(), words))

    async def _declined(self, terminal: Terminal) -> bool:
        """Whether the client answers the question with something else than a return or "y"."""
        answer = await terminal.ask(_OTHER_IMAGE)
        self.other_image = answer is None or answer.strip() not in ("", "y")
        return self.other_image

    def _line(self, line: str) -> str:
        """One line of configuration: "" or what is printed for it."""
        if self.faults.refuse is not None and self.faults.refuse in line:
            return _MARK
        try:
            with self.guard:
                self.config.configure(line)
        except Refused as refused:
            return _MARK if str(refused) == INVALID else f"{refused}\n"
        return ""

    def _enter(self, words: list[str], user: str) -> str:
        if self.faults.holder is not None:
            return (
                f"%Configuration mode is locked by user '{self.faults.holder}' from terminal '2'. Please try later.\n"
            )
        if words[:2] == ["revert", "timer"] and len(words) == 3:
            if not self._archive():
                return "%Please turn config archive on\n"
            minutes = int(words[2])
            with self.guard:
                backup = self.config.text()
                self._pending = Pending(user, minutes, backup, time.monotonic() + minutes * 60)
            return "Rollback Confirmed Change: Backing up current running config to flash:archive-0\n"
        self.config.block = ""
        return "Enter configuration commands, one per line.  End with CNTL/Z.\n"

    def _archive(self) -> bool:
        return "archive" in self.config.frame and any(line.startswith(" path ") for line in self.config.frame)

    def _answer(self, line: str, words: list[str]) -> str:
        if words[0] == "show":
            rows = self._show(line, words).split("\n")
            if self.message and len(rows) > _SHORT:
                rows.insert(len(rows) // 2, self.message)
            return self.stamp + f"{self.padding}\n".join(rows)
        if words[0] == "terminal":
            return ""
        if words[0] == "dir":
            return self.flash.listing(words[1] if len(words) > 1 else "flash:/", full=self.faults.full_disk)
        if words[0] == "more" and len(words) == 2:
            return self.flash.read(words[1]) or f"%Error opening {words[1]} ({NO_FILE})\n"
        if words[:2] == ["verify", "/md5"]:
            return self.flash.verify(words[2])
        if words[:2] == ["delete", "/force"]:
            return self.flash.delete(words[2])
        if words[0] == "write" and words[1:] in ([], ["mem"], ["memory"]):
            if self.nvram_busy:
                return "startup-config file open failed (Device or resource busy)\n"
            self.startup = self.config.text()
            return "Building configuration...\n[OK]\n"
        if words == ["configure", "confirm"] or words == ["configure", "revert", "now"]:
            if self._pending is None:
                return _NO_PENDING
            if words[1] == "revert":
                self._revert()
                return (
                    "Rollback Confirmed Change: rolling to:flash:archive-0\nTotal number of passes: 1\nRollback Done\n"
                )
            self._pending = None
            return ""
        if words[:2] == ["configure", "replace"] and words[-1] == "force":
            text = self.flash.read(words[2])
            if text is None:
                return f"%Error opening {words[2]} ({NO_FILE})\n"
            self.config = Config.of(text)
            return "Total number of passes: 1\nRollback Done\n"
        return _MARK

    def _show(self, line: str, words: list[str]) -> str:
        if words[1] == "running-config":
            return show_configuration(
                self.config.text() if self.level == 15 else _RESTRICTED,
                line,
                "Building configuration...\n\nCurrent configuration : {} bytes",
            )
        if words[1] == "startup-config":
            return show_configuration(self.startup, line, "Using {} out of 262136 bytes")
        if words[1] in ("ip", "ipv6") and words[2:3] == ["route"]:
            return show_route(self.config, words[1], words[3:], self.faults.hide, self.learned)
        if words[1] in ("ip", "ipv6") and words[2:3] == ["cef"]:
            if self.faults.fib_refused:
                return "% Authorization failed.\n"
            return show_cef(self.config, words[1], words[3:], self.faults.hide, self.faults.not_forwarded)
        if words[1:3] in (["ip", "arp"], ["ipv6", "neighbors"]):
            return self._show_neighbours(4 if words[1] == "ip" else 6, words[3:])
        if words[1:] == ["archive"]:
            return (
                "The maximum archive configurations allowed is 10.\nThere are currently 0 archive configurations saved.\n"
                if self._archive()
                else "Archive feature not enabled\n"
            )
        if words[1:] == ["archive", "config", "rollback", "timer"]:
            return self._timer()
        if words[1:4] == ["archive", "config", "incremental-diffs"]:
            return incremental_diff(self.config, words[4], self.flash.read(words[4]))
        if words[1:] == ["configuration", "lock"]:
            return show_lock(self.faults.holder)
        return _MARK

    def _show_neighbours(self, version: int, words: list[str]) -> str:
        vrf = words[1] if words[:1] == ["vrf"] else "default"
        if vrf not in self.config.vrfs():
            return f"% {'IP' if version == 4 else 'IPv6'} routing table {vrf} does not exist\n"
        connected = [(own.network, "GigabitEthernet0/1") for own in self.config.interfaces(vrf)]
        return neighbours.ios(neighbours.entries(self.routes(), connected, self.faults.silent, vrf, version), version)

    def _timer(self) -> str:
        if self._pending is None:
            return _NO_PENDING
        return (
            "Time configured: 17:11:05 UTC Tue Sep 13 2005\nTimer type: absolute timer\n"
            f"Timer value: {self._pending.minutes} min\nUser: {self._pending.user}\n"
        )

    # --- copies ---

    async def _copy(self, terminal: Terminal, words: list[str]) -> None:
        if len(words) != 2:
            terminal.write(_MARK)
            return
        source, target = words
        name = target.rpartition(":")[2].lstrip("/")
        if not self.config.has("file prompt quiet") and await terminal.ask(f"Destination filename [{name}]? ") is None:
            return
        if target == "running-config":
            await self._merge(terminal, source)
            return
        if self.faults.full_disk:
            terminal.write(f"%Error opening {target} (No space left on device)\n")
            return
        with self.guard:
            text = {"running-config": self.config.text(), "null:": ""}.get(source)
            if text is None:
                terminal.write(_MARK)
                return
            self.flash.path(target).write_text(text)
        terminal.write(f"{len(text)} bytes copied in 0.412 secs\n")

    async def _merge(self, terminal: Terminal, source: str) -> None:
        text = self.flash.read(source)
        if text is None:
            terminal.write(f"%Error opening {source} ({NO_FILE})\n")
            return
        drop, lines = self.faults.drop, [row for row in text.splitlines() if row.strip() != "end"]
        self.faults.drop = None
        if drop == "before-commit":
            terminal.cut()
            return
        if self.faults.slow_commit_s:
            await asyncio.sleep(self.faults.slow_commit_s)
        if drop == "in-commit":
            lines = lines[: len(lines) // 2]
        self.config.block = ""
        answers = [f"{row}\n{answer}" for row in lines if (answer := self._line(row))]
        if drop is not None:
            terminal.cut()
            return
        terminal.write("".join(answers) + f"{len(text)} bytes copied in 0.732 secs (2003 bytes/sec)\n")

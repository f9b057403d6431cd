"""A Cisco Nexus switch: NX-API (JSON-RPC over HTTPS) and the command line over SSH on one model of the device.

From the NX-OS programmability guide ("NX-API CLI"), the system management guide ("Configuring Rollback") and the unicast
routing guide. There is no candidate and no lock: each line is in force when it is typed. A JSON-RPC array stops at the
first command that fails. Static routes and their rules are in `nxos_config`.
"""

import asyncio
import base64
import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.world.emulators import neighbours
from tests.world.emulators.base import PASSWORD, USERNAME, Emulator
from tests.world.emulators.https import HttpsServer, cut
from tests.world.emulators.nxos_config import INVALID, Config, Hop, Network, Refused, forwarding_table, route_table
from tests.world.emulators.ssh import CliServer, Terminal

_NO_SPACE = "ERROR: no space left on device"
_ABORTED = "Configuration update aborted: request was aborted"
_PAUSE_S = 2.0
_ONE_MOMENT = 3  # lines that a terminal types before its connection breaks in the middle of a change


class Dropped(Exception):
    """The connection breaks here."""


@dataclass
class Shell:
    """Where a client is: in configuration mode or not, and in which block."""

    configuring: bool = False
    mode: str = ""
    typed: int = 0  # configuration lines


class _Nexus(Emulator):
    """What the device does, whoever speaks to it."""

    SAMPLE: ClassVar[str] = """
version 9.3(6) Bios:version 05.45
hostname leaf-101
vdc leaf-101 id 1
  limit-resource vlan minimum 16 maximum 4094
  limit-resource u4route-mem minimum 248 maximum 248

feature nxapi
feature scp-server
feature bgp
feature interface-vlan

username admin password 5 $5$planted$nothing  role network-admin
banner motd ^
 Do not type ip route 10.96.0.0/12 10.192.0.1 by hand:
ip route 10.96.0.0/12 10.192.0.66 name prod tag 4201
^
ip domain-lookup
ntp server 192.0.2.123 use-vrf management

ip route 0.0.0.0/0 10.192.0.254 name uplink 250
ip route 10.30.0.0/16 10.192.0.9 tag 77
ip route 10.97.10.2/32 10.192.0.9 name legacy-vip
ip route 10.98.0.0/16 Null0 tag 4201 200
ipv6 route fd00:30::/32 Vlan10 fe80::9
ip route static bfd Vlan10 10.192.0.1
vlan 1,10,20
vlan 10
  name NODES

vrf context management
  ip route 0.0.0.0/0 192.0.2.1
vrf context red
  ip route 10.97.10.2/32 10.20.0.9 name prod-eu1 tag 5
  rd auto

interface Vlan10
  description ip route 10.96.0.0/12 stands here
  no shutdown
  ip address 10.192.0.253/24
  ipv6 address fd10:192::fd/64

interface Vlan20
  no shutdown
  vrf member red
  ip address 10.20.0.1/24

interface mgmt0
  vrf member management
  ip address 192.0.2.101/24
line console
line vty
boot nxos bootflash:/nxos.9.3.6.bin
router bgp 65001
  router-id 10.255.0.101
""".lstrip("\n")

    def __init__(self, folder: Path, running: str | None = None) -> None:
        self.lock = threading.RLock()
        self.meanwhile: list[tuple[str, Callable[[], None]]] = []
        """What happens once, in order, right after a command that contains the text was answered."""
        self.aborts_copies = False
        """Saving fails in words alone, which NX-API gives as the result of a command that went well."""
        super().__init__(folder, running)

    # --- for tests ---

    def load(self, running: str) -> None:
        self.config = Config(running)
        self.startup = self.config.clone()
        self.files: dict[str, Config] = {}
        """Checkpoints on bootflash by name."""

    def running(self) -> str:
        with self.lock:
            return self.config.text()

    def others(self, tag: int) -> str:
        with self.lock:
            return self.config.text(without_tag=tag)

    def routes(self) -> dict[tuple[str, str], frozenset[str]]:
        with self.lock:
            return {
                (vrf, str(network)): frozenset("discard" if hop.is_discard else hop.address or "" for hop in hops)
                for (vrf, network), hops in self.config.installed().items()
                if str(network) not in self.faults.hide
                and not ((other := self.learned.get(str(network))) is not None and other.beats(vrf, hops[0].distance))
            }

    def type(self, lines: str) -> None:
        with self.lock:
            mode = ""
            for line in filter(str.strip, lines.splitlines()):
                mode = self.config.type(line, mode if line[0].isspace() or line.startswith("exit") else "")
        self.changed()

    def pending(self) -> bool:
        return False

    def expire(self) -> None:
        raise AssertionError("NX-OS has no commit timer")

    def saved(self) -> bool:
        with self.lock:
            return self.startup.text() == self.config.text()

    def do_as_somebody(self, command: str) -> None:
        """A command in the exec mode, typed on the console."""
        self.do(command, Shell())
        self.transcript.pop()

    def boot(self) -> None:
        """The switch reloads with its startup configuration."""
        with self.lock:
            self.config = self.startup.clone()

    # --- commands ---

    def do(self, command: str, shell: Shell) -> str:
        """What one command answers; the shell is where it leads to.

        Raises:
            Refused: the device's error.
            Dropped: the connection breaks.
        """
        self.transcript.append(command)
        asked, pipe, wanted = command.partition(" | include ")
        if asked.startswith("show forwarding"):
            time.sleep(self.faults.slow_fib_s)
        with self.lock:
            answer = self._answer_to(asked, shell)
        self.changed()
        if pipe:
            answer = "\n".join(line for line in answer.splitlines() if wanted in line)
        due = next((event for event in self.meanwhile if event[0] in command), None)
        if due is not None:
            self.meanwhile.remove(due)
            due[1]()
        return answer

    def _answer_to(self, command: str, shell: Shell) -> str:
        words = command.split()
        if not words or words[0].startswith("!"):
            return ""
        if words[0] == "show":
            return self._show(words)
        if words[:2] in (["configure", "terminal"], ["conf", "t"], ["config", "term"]):
            shell.configuring, shell.mode = True, ""
            return "Enter configuration commands, one per line. End with CNTL/Z."
        if words == ["end"] or (words == ["exit"] and not shell.mode):
            shell.configuring, shell.mode = False, ""
            return ""
        answer = self._exec(command, words)
        return self._configure(command, shell) if answer is None else answer

    def _exec(self, command: str, words: list[str]) -> str | None:
        """Commands of the exec mode, which are taken in every mode; None: it is none."""
        without = words[1:] if words[0] == "no" else words
        if without[0] == "terminal":
            return ""
        if words[0] == "dir":
            return self._dir(words[1] if len(words) > 1 else "")
        if words[0] == "delete":
            name = _file(words[1])
            if name not in self.files:
                raise Refused(f"No such file or directory\n(bootflash:{name})")
            del self.files[name]
            return ""
        if words[:2] == ["checkpoint", "file"]:
            self._expect_space()
            self.files[_file(words[2])] = self.config.clone()
            return "...Done"
        if words[:3] == ["rollback", "running-config", "file"]:
            if _file(words[3]) not in self.files:
                raise Refused("ERROR: file does not exist")
            self.config = self.files[_file(words[3])].clone()
            return "Generating Rollback Patch\n\nRollback completed successfully."
        if words[0] == "copy" and "running-config".startswith(words[1]) and "startup-config".startswith(words[2]):
            self._expect_space()
            if self.aborts_copies:
                return _ABORTED
            self.startup = self.config.clone()
            return "[########################################] 100%\nCopy complete."
        return None

    def _configure(self, command: str, shell: Shell) -> str:
        if not shell.configuring:
            raise Refused(INVALID)
        if self.faults.refuse is not None and self.faults.refuse in command:
            raise Refused(INVALID)
        if shell.typed == 0 and self.faults.slow_commit_s:
            time.sleep(self.faults.slow_commit_s)
        shell.mode = self.config.type(command.strip(), shell.mode)
        shell.typed += 1
        return ""

    def _expect_space(self) -> None:
        if self.faults.full_disk:
            raise Refused(_NO_SPACE)

    def _dir(self, pattern: str) -> str:
        name = _file(pattern)
        if name and name not in self.files:
            return f"No such file or directory\n(bootflash:{name})"
        names = [name] if name else sorted(self.files)
        lines = [f"      71803    Nov 21 16:00:00 2026  {file}" for file in names]
        return "\n".join([*lines, "", "Usage for bootflash://", "  6211682304 bytes used", " 110314684416 bytes free"])

    def _show(self, words: list[str]) -> str:
        match words[1:]:
            case ["running-config", *_]:
                return self._printed(words, "Running configuration last done", self.config)
            case ["startup-config"]:
                return self._printed(words, "Startup config saved", self.startup)
            case ["hostname"]:
                return f"{self.config.hostname} "
            case ["ip" | "ipv6" as keyword, "route", *rest]:
                return self._show_route(4 if keyword == "ip" else 6, rest)
            case ["forwarding", *_] if self.faults.fib_refused:
                raise Refused("% Permission denied for the role")
            case ["forwarding", "ipv4" | "ipv6" as family, "route", *rest]:
                return self._show_forwarding(int(family[-1]), rest)
            case ["ip", "arp", "vrf", vrf] if vrf in self.config.vrfs:
                return self._show_neighbours(4, vrf)
            case ["ipv6", "neighbor", "vrf", vrf] if vrf in self.config.vrfs:
                return self._show_neighbours(6, vrf)
        raise Refused(INVALID)

    def _show_neighbours(self, version: int, vrf: str) -> str:
        connected = [(network, "Vlan10") for own, network in self.config.connected() if own == vrf]
        found = neighbours.entries(self.routes(), connected, self.faults.silent, vrf, version)
        return neighbours.nxos(found, version, vrf)

    def _printed(self, words: list[str], what: str, config: Config) -> str:
        now = time.strftime("%a %b %d %H:%M:%S %Y")
        return f"\n!Command: {' '.join(words)}\n!{what} at: {now}\n!Time: {now}\n\n{config.text()}"

    def _show_route(self, version: int, rest: list[str]) -> str:
        vrf = rest[rest.index("vrf") + 1] if "vrf" in rest else "default"
        if vrf not in self.config.vrfs:
            raise Refused(f"%VRF {vrf} not found")
        wanted = rest[0] if rest and rest[0] not in ("vrf", "static") else None
        entries = self._entries(version, vrf, only_static="static" in rest)
        if wanted is None:
            shown = entries
        elif "/" in wanted:
            shown = {network: paths for network, paths in entries.items() if network == ipaddress.ip_network(wanted)}
        else:
            covering = [network for network in entries if ipaddress.ip_address(wanted) in network]
            best = max(covering, key=lambda network: network.prefixlen, default=None)
            shown = {best: entries[best]} if best is not None else {}
        return route_table(self.config, version, vrf, shown.items())

    def _show_forwarding(self, version: int, rest: list[str]) -> str:
        """`[summary | PREFIX] [vrf V]`."""
        vrf = rest[rest.index("vrf") + 1] if "vrf" in rest else "default"
        if vrf not in self.config.vrfs:
            raise Refused(f"%VRF {vrf} not found")
        wanted = ipaddress.ip_network(rest[0]) if rest and rest[0] not in ("vrf", "summary") else None
        entries: dict[Network, list[tuple[str, str]]] = {
            network: [("Attached", "Vlan10")]
            for where, network in self.config.connected()
            if where == vrf and network.version == version
        }
        for (where, network), hops in self.config.installed().items():
            if where == vrf and network.version == version and str(network) not in self.faults.hide:
                entries[network] = [_forwarded(hop) for hop in hops if hop.address not in self.faults.not_forwarded]
        shown = [(network, paths) for network, paths in entries.items() if wanted in (None, network) and paths]
        if "summary" in rest:
            return f"slot  1\n=======\n\nIPv{version} routes for table {vrf}/base\n\nTotal number of routes: {len(shown)}\n"
        return forwarding_table(version, vrf, shown)

    def _entries(self, version: int, vrf: str, *, only_static: bool) -> dict[Network, list[str]]:
        entries: dict[Network, list[str]] = {}
        for where, network in self.config.connected():
            if where == vrf and network.version == version and not only_static:
                entries[network] = [f"    *via {network[1]}, Vlan10, [0/0], 3d02h, direct"]
        for (where, network), hops in self.config.installed().items():
            other = self.learned.get(str(network))
            if other is not None and other.beats(where, hops[0].distance):
                continue
            if where == vrf and network.version == version and str(network) not in self.faults.hide:
                entries[network] = [_path(vrf, hop) for hop in hops]
        for text, other in self.learned.items() if vrf == "default" and not only_static else ():
            if (network := ipaddress.ip_network(text)).version == version and network not in entries:
                path = f"    *via {other.next_hop}, [{other.distance}/0], 00:01:07, bgp-65001, external, tag 65002"
                entries[network] = [path]
        return entries


def _path(vrf: str, hop: Hop) -> str:
    target = hop.address or hop.interface
    if hop.address and hop.vrf and hop.vrf != vrf:
        target = f"{hop.address}%{hop.vrf}"
    interface = f", {hop.interface}" if hop.interface and hop.address else ""
    tag = f", tag {hop.tag}" if hop.tag else ""
    return f"    *via {target}{interface}, [{hop.distance}/0], 00:00:07, static{tag}"


def _forwarded(hop: Hop) -> tuple[str, str]:
    if hop.is_discard:
        return "Drop", "Null0"
    return hop.address or "Attached", hop.interface or "Vlan10"


def _file(path: str) -> str:
    return path.removeprefix("bootflash:").lstrip("/")


class NxosApi(_Nexus):
    """NX-API: `POST /ins` with a JSON-RPC array. Configuration lines need no `configure terminal`."""

    driver = "nxos"

    def start(self) -> None:
        self._https = HttpsServer(self.folder, self._application)
        self._https.start()

    def stop(self) -> None:
        self._https.stop()

    def host(self) -> dict[str, Any]:
        return {
            "hostname": "127.0.0.1",
            "port": self._https.port,
            "platform": "nxos",
            "username": USERNAME,
            "password": PASSWORD,
            "connection_options": {
                "napalm": {"extras": {"optional_args": {"ssl_verify": str(self._https.certificate)}}}
            },
        }

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        wanted = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        response: Response
        if request.headers.get("authorization") != wanted:
            response = HTMLResponse("<html><body>401 Authorization Required</body></html>", 401)
        elif request.url.path != "/ins" or request.method != "POST":
            response = HTMLResponse("<html><body>404 Not Found</body></html>", 404)
        else:
            calls = await request.json()
            try:
                answers = await asyncio.to_thread(self._answer, calls if isinstance(calls, list) else [calls])
            except Dropped:
                cut(send)
                return
            failed = any("error" in answer for answer in answers)
            response = JSONResponse(answers if len(answers) > 1 else answers[0], 500 if failed else 200)
        await response(scope, receive, send)

    def _answer(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer for each command up to the first that fails."""
        commands = [call["params"]["cmd"].strip() for call in calls]
        changes = any(command.removeprefix("no ").startswith(("ip route", "ipv6 route")) for command in commands)
        drop = self.faults.drop if changes else None
        if drop is not None:
            self.faults.drop = None
            with contextlib.suppress(Refused):
                stop = {"before-commit": 0, "in-commit": len(calls) // 2, "after-commit": len(calls)}[drop]
                self._run(calls[:stop])
            raise Dropped
        return self._run(calls)

    def _run(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        shell = Shell(configuring=True)
        answers: list[dict[str, Any]] = []
        for call in calls:
            head = {"jsonrpc": "2.0", "id": call["id"]}
            command = call["params"]["cmd"]
            try:
                text = self.do(command, shell)
            except Refused as error:
                shown = {"code": -32602, "message": "Invalid params", "data": {"msg": f"{error}\n"}}
                answers.append(head | {"error": shown})
                break
            result: Any = {"msg": text} if text else None
            if call["method"] == "cli" and command == "show hostname":
                result = {"body": {"hostname": text.strip()}}
            answers.append(head | {"result": result})
        return answers


class NxosSsh(_Nexus):
    """The command line. `pauses` are texts behind each of which an answer goes on after a pause, once."""

    driver = "nxos_ssh"

    def __init__(self, folder: Path, running: str | None = None) -> None:
        self.pauses: list[str] = []
        super().__init__(folder, running)

    def start(self) -> None:
        self._ssh = CliServer(self._session, self.folder)
        self._ssh.start()

    def stop(self) -> None:
        self._ssh.stop()

    def host(self) -> dict[str, Any]:
        return {
            "hostname": "127.0.0.1",
            "port": self._ssh.port,
            "platform": "nxos_ssh",
            "username": USERNAME,
            "password": PASSWORD,
            "connection_options": {
                "napalm": {
                    "extras": {
                        "optional_args": {
                            "alt_host_keys": True,
                            "alt_key_file": str(self._ssh.known_hosts),
                            "allow_agent": False,
                            "use_keys": False,
                        }
                    }
                }
            },
        }

    async def _session(self, terminal: Terminal) -> None:
        shell = Shell()
        while (line := await terminal.ask(self._prompt(shell))) is not None:
            if line.strip() == "exit" and not shell.configuring:
                return
            try:
                answer = await asyncio.to_thread(self._answer, line, shell)
            except Dropped:
                terminal.cut()
                return
            except Refused as error:
                answer = f"          ^\n{error}" if "marker" in str(error) else str(error)
            if answer:
                await self._print(terminal, f"{answer.rstrip()}\n")

    async def _print(self, terminal: Terminal, answer: str) -> None:
        for text in [text for text in dict.fromkeys(self.pauses) if text in answer]:
            self.pauses.remove(text)
            head, _, answer = answer.partition(text)
            terminal.write(head + text)
            await terminal.pause(_PAUSE_S)
        terminal.write(answer)

    def _answer(self, line: str, shell: Shell) -> str:
        drop = self.faults.drop if shell.configuring else None
        ends = line.strip() == "end" and shell.typed > 0
        if (
            (drop == "before-commit" and "route" in line)
            or (drop == "in-commit" and shell.typed == _ONE_MOMENT)
            or (drop == "after-commit" and ends)
        ):
            self.faults.drop = None
            raise Dropped
        answer = self.do(line, shell)
        shell.typed = 0 if not shell.configuring else shell.typed
        return answer

    def _prompt(self, shell: Shell) -> str:
        if not shell.configuring:
            return f"{self.config.hostname}# "
        return f"{self.config.hostname}({self.config.submode(shell.mode) if shell.mode else 'config'})# "

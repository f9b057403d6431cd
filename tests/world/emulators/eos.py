"""An Arista switch with eAPI over HTTPS.

From the eAPI command reference: a request is one run of the CLI; its mode ends with it, and the first command that fails
ends it, with 1002 for one that does not parse, 1000 for one that cannot be done, 1003 for one without a JSON form. Not
seen on a device: what becomes of the commands behind a commit whose client is gone; here they are run.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from tests.world.emulators import eos_bgp
from tests.world.emulators.base import PASSWORD, USERNAME, Drop, Emulator, canonical
from tests.world.emulators.eapi import EapiError, EapiServer
from tests.world.emulators.eos_config import HEADERS, CliError, Config
from tests.world.emulators.eos_rib import static_routes, table
from tests.world.emulators.eos_sessions import Sessions

_BOOTED_S_AGO = 86400.0
_KINDS = {1000: "could not run command", 1002: "invalid command", 1003: "unconverted command"}
_Cut = Callable[[], None]


class Eos(Emulator):
    """One switch. `version` may be set before it is spoken to."""

    driver = "eos"
    SAMPLE: ClassVar[str] = (Path(__file__).parent / "eos_sample.cfg").read_text()
    version = "4.31.2F"
    received: eos_bgp.Received = MappingProxyType({})

    def start(self) -> None:
        self._server = EapiServer(self.folder, {USERNAME: PASSWORD}, self._request)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def host(self) -> dict[str, Any]:
        options = {"transport": "https", "ca_file": str(self._server.certificate)}
        return {
            "hostname": "127.0.0.1",
            "port": self._server.port,
            "platform": self.driver,
            "username": USERNAME,
            "password": PASSWORD,
            "connection_options": {"napalm": {"extras": {"timeout": 30, "optional_args": options}}},
        }

    def load(self, running: str) -> None:
        self._header = "".join(f"{line}\n" for line in running.splitlines()[:2] if line.startswith(HEADERS))
        self._state = Sessions(Config.read(running))
        self._startup = self._state.running.copy()
        self._files: dict[str, Config] = {}
        self._lock = threading.RLock()
        self._booted = time.monotonic() - _BOOTED_S_AGO

    # --- what tests see ---

    def running(self) -> str:
        with self._lock:
            return self._header + self._now().running.text()

    def others(self, tag: int) -> str:
        with self._lock:
            return self._header + self._now().running.without_tag(tag).text()

    def routes(self) -> dict[tuple[str, str], frozenset[str]]:
        with self._lock:
            config = self._now().running
            return {
                (vrf, str(prefix)): frozenset("discard" if via == "Null0" else via.rpartition(" ")[2] for via in vias)
                for vrf in config.vrfs()
                for prefix, vias in static_routes(config, vrf, self._hidden(), self.learned).items()
            }

    def type(self, lines: str) -> None:
        with self._lock:
            config = self._now().running.copy()
            for line in lines.splitlines():
                config.command(line)
            self._state.running = config
        self.changed()

    def pending(self) -> bool:
        with self._lock:
            return self._now().timer is not None

    def expire(self) -> None:
        with self._lock:
            assert self._state.timer is not None
            self._state.tick(self._state.timer.expires)
        self.changed()

    def saved(self) -> bool:
        with self._lock:
            return self._startup.text() == self._now().running.text()

    def sessions(self) -> dict[str, str]:
        """The states of all configuration sessions."""
        with self._lock:
            return {name: session.state for name, session in self._now().sessions.items()}

    # --- eAPI ---

    def _request(self, commands: list[Any], form: str, user: str, cut: _Cut) -> list[dict[str, Any]]:
        """Runs the commands of one request.

        Raises:
            EapiError: one was refused.
        """
        done: list[dict[str, Any]] = []
        session: str | None = None
        for number, item in enumerate(commands, 1):
            command = str(item["cmd"] if isinstance(item, dict) else item).strip()
            self.transcript.append(command)
            try:
                session, answer = self._command(command, session, form, user, cut)
            except CliError as error:
                message = f"CLI command {number} of {len(commands)} '{command}' failed: {_KINDS[error.code]}"
                raise EapiError(error.code, message, [*done, {"errors": [error.text]}]) from None
            finally:
                self.changed()
            done.append(answer)
        return done

    def _command(
        self, command: str, session: str | None, form: str, user: str, cut: _Cut
    ) -> tuple[str | None, dict[str, Any]]:
        """The session that is open behind the command, and the answer."""
        words = command.split()
        if words[:2] == ["configure", "session"] and words[3:4] == ["commit"]:
            self._commit(words[2], words[4:], cut)
            return None, {}
        with self._lock:
            state = self._now()
            if words[:2] == ["configure", "session"] and words[3:] == ["abort"]:
                state.abort(words[2])
                return None, {}
            if words[:2] == ["configure", "session"] and len(words) == 3:
                state.enter(words[2], user)
                return words[2], {}
            if command == "end":
                return None, {}
            if session is not None and words[:1] != ["show"]:
                self._refuse_at_will(words)
                state.typed(session, command)
                return session, {}
            answer = self._exec(command, words)
        if isinstance(answer, dict):
            return session, answer
        if form == "text":
            return session, {"output": answer}
        if words[0] == "show":
            raise CliError(1003, "Command cannot be used over the API at this time")
        return session, {"messages": [answer]}

    def _exec(self, command: str, words: list[str]) -> str | dict[str, Any]:
        """Text, or the JSON form of an answer."""
        state = self._state
        if command == "enable":
            return {}
        if command == "show version":
            return {"modelName": "DCS-7050SX3-48YC8", "version": self.version, "uptime": self._uptime()}
        if command in ("show running-config", "show startup-config"):
            return self._header + (state.running if "running" in command else self._startup).text()
        if words[:3] == ["show", "configuration", "sessions"] and words[3:] in ([], ["detail"]):
            recent = tuple(int(part) for part in self.version.split(".")[:2]) >= (4, 32)
            return state.listing(recent=recent, detail=len(words) == 4, holder=self.faults.holder)
        if words[:3] == ["show", "session-config", "named"] and words[4:] in ([], ["diffs"]):
            return state.shown(words[3], diffs=len(words) == 5)
        found = eos_bgp.answer(words, self.received, list(state.running.vrfs()))
        if found is not None:
            return found
        if words[:3] in (["show", "ip", "route"], ["show", "ipv6", "route"]):
            return table(state.running, words, self._hidden(), self.learned)
        if command == "write memory":
            self._need_space("copying running-config to startup-config")
            self._startup = state.running.copy()
            return "Copy completed successfully.\n"
        if words[:2] == ["copy", "startup-config"] and len(words) == 3 and words[2].startswith("flash:"):
            self._need_space(f"copying startup-config to {words[2]}")
            self._files[words[2]] = self._startup.copy()
            return "Copy completed successfully.\n"
        if words[:2] == ["configure", "replace"] and len(words) == 3 and words[2] in self._files:
            state.running = self._files[words[2]].copy()
            return ""
        raise CliError(1002, f"Invalid input (at token 0: '{command[:20]}')")

    def _commit(self, name: str, rest: list[str], cut: _Cut) -> None:
        """`configure session N commit [timer HH:MM:SS]`; readers see the old configuration until it is done."""
        if self._drops("before-commit"):
            cut()
            raise CliError(1000, "the client is gone")
        seconds = _seconds(rest) if rest else None
        with self._lock:
            confirmed = seconds is None and self._now().confirms(name)
            if not confirmed:
                self._state.begin_commit(name)
        if not confirmed:
            if self._drops("in-commit"):
                cut()
            threading.Event().wait(self.faults.slow_commit_s)
            with self._lock:
                self._state.end_commit(name, None if seconds is None else self._uptime() + seconds)
        if self._drops("after-commit"):
            cut()

    # --- faults, clock ---

    def _drops(self, moment: Drop) -> bool:
        """Whether the connection is cut now, which it is once."""
        if self.faults.drop != moment:
            return False
        self.faults.drop = None
        return True

    def _refuse_at_will(self, words: list[str]) -> None:
        if self.faults.refuse is not None and self.faults.refuse in " ".join(words):
            raise CliError(1002, f"Invalid input (at token {len(words) - 1}: '{words[-1]}')")

    def _need_space(self, what: str) -> None:
        if self.faults.full_disk:
            raise CliError(1000, f"Error {what} (No space left on device)")

    def _hidden(self) -> set[str]:
        return {canonical(prefix) for prefix in self.faults.hide}

    def _now(self) -> Sessions:
        """The state, with a timer that has ended taken back."""
        self._state.tick(self._uptime())
        return self._state

    def _uptime(self) -> float:
        return time.monotonic() - self._booted


def _seconds(words: list[str]) -> int:
    """`timer HH:MM:SS`."""
    if len(words) != 2 or words[0] != "timer":
        raise CliError(1002, f"Invalid input (at token 4: '{words[0]}')")
    hours, minutes, seconds = (int(part) for part in words[1].split(":"))
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        raise CliError(1002, f"Invalid input (at token 5: '{words[1]}')")
    return total

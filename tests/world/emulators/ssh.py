"""An SSH server for emulated command lines: `CliServer` has a thread of its own, password login, shells and SCP.

A device passes `session`, a coroutine function that gets one `Terminal` for each shell and returns when it ends:

    async def session(self, terminal: Terminal) -> None:
        while (line := await terminal.ask("r1#")) is not None:
            terminal.write(self.answer(line))

Device state that tests touch too belongs under the server's `lock`.
"""

import asyncio
import contextlib
import os
import re
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh

from tests.world.emulators.base import PASSWORD, USERNAME

_LINE_END = re.compile(r"[\r\n]")
_ERASED = re.compile(r"[^\b\x7f]?[\b\x7f]")


class Terminal:
    """One shell: what the client types is echoed, as terminals do."""

    def __init__(self, process: asyncssh.SSHServerProcess[str]) -> None:
        self._process = process
        self._typed = ""
        self._after_return = False

    @property
    def username(self) -> str:
        return str(self._process.get_extra_info("username"))

    @property
    def subsystem_or_command(self) -> str | None:
        """What the client asked for instead of a shell."""
        return self._process.subsystem or self._process.command

    def write(self, text: str) -> None:
        """Prints text; its newlines become CR LF."""
        self._process.stdout.write(text.replace("\r\n", "\n").replace("\n", "\r\n"))

    async def ask(self, prompt: str, *, echo: bool = True) -> str | None:
        """Prints the prompt and reads a line without its end; None when the client has gone."""
        self.write(prompt)
        line = ""
        while True:
            if not self._typed:
                try:
                    self._typed = await self._process.stdin.read(1 << 16)
                except (asyncssh.BreakReceived, asyncssh.SignalReceived, asyncssh.TerminalSizeChanged):
                    continue
                except (OSError, asyncssh.Error):
                    return None
                if not self._typed:
                    return None
            if self._after_return and self._typed[0] == "\n":  # CR LF is one end of a line
                self._typed = self._typed[1:]
            self._after_return = False
            found = _LINE_END.search(self._typed)
            part = self._typed[: found.start() if found else None].replace("\0", "")
            self._typed = self._typed[found.end() :] if found else ""
            line += part
            if echo and part:
                self._process.stdout.write(part)
            if found:
                self._after_return = found[0] == "\r"
                self.write("\n")
                return _erased(line)

    async def pause(self, seconds: float) -> None:
        """Waits until the client types something, which is there for the next question, or the time is over."""
        with contextlib.suppress(TimeoutError, OSError, asyncssh.Error):
            self._typed += await asyncio.wait_for(self._process.stdin.read(1 << 16), seconds)

    def cut(self) -> None:
        """The TCP connection breaks, without a word."""
        self._process.get_extra_info("connection").abort()


def _erased(line: str) -> str:
    """The line after its backspaces."""
    while _ERASED.search(line):
        line = _ERASED.sub("", line, count=1)
    return line


class CliServer:
    """Serves on a free port of 127.0.0.1 between `start` and `stop`.

    Args:
        session: what each shell does.
        folder: gets `known_hosts`, for clients that check the key.
        files: the folder that SCP writes to; a path's "flash:" or "bootflash:" is dropped. None: no SCP.
        scp: whether the device takes files at the moment.
    """

    def __init__(
        self,
        session: Callable[[Terminal], Awaitable[None]],
        folder: Path,
        files: Path | None = None,
        scp: Callable[[], bool] = lambda: True,
    ) -> None:
        self.lock = threading.RLock()
        self.port = 0
        self.known_hosts = folder / "known_hosts"
        self._session = session
        self._files = files
        self._scp = scp
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop: Any = None
        self._thread: Any = None
        self._server: Any = None

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulated-ssh", daemon=True)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        with self.known_hosts.open("ab") as file:  # others may share the folder
            file.write(f"[127.0.0.1]:{self.port} ".encode() + self._key.export_public_key())
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(listener), self._loop).result(10)

    def stop(self) -> None:
        """Ends all sessions and the server; once more does nothing."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self, listener: socket.socket) -> None:
        self._server = await asyncssh.listen(
            sock=listener,
            server_factory=_Login,
            server_host_keys=[self._key],
            process_factory=self._shell,
            sftp_factory=self._transfer if self._files is not None else None,
            allow_scp=self._files is not None,
            line_editor=False,
            encoding="utf-8",
            login_timeout=30,
        )

    async def _close(self) -> None:
        self._server.close()
        for task in asyncio.all_tasks(self._loop) - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    async def _shell(self, process: asyncssh.SSHServerProcess[str]) -> None:
        try:
            await self._session(Terminal(process))
        except (BrokenPipeError, ConnectionError, asyncssh.Error):
            pass
        finally:
            process.exit(0)

    def _transfer(self, channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        if self._files is None or not self._scp():
            raise asyncssh.SFTPPermissionDenied("SCP is not enabled")
        return _Files(channel, chroot=os.fsencode(self._files))


class _Login(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USERNAME, PASSWORD)


class _Files(asyncssh.SFTPServer):
    """A flat file system, as network devices have it."""

    def map_path(self, path: bytes) -> bytes:
        return super().map_path(path.rpartition(b":")[2])

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs, *more: Any) -> None:
        """Modes and times of the client's file are not kept."""

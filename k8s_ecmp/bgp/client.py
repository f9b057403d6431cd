"""The connection to a bridge: requests, answers, and errors in this project's words."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from k8s_ecmp.bgp.frames import Message, pack, receive
from k8s_ecmp.errors import CommitFailed, ConfigRejected, LockHeld, RouterError, Unreachable

START = "start it: k8s-ecmp bgp start"
PROTOCOL = 1


class BridgeClient:
    """One connection to the bridge of a folder. Locks that it takes end with it."""

    def __init__(self, folder: Path, timeout_s: float) -> None:
        """Connects.

        Raises:
            Unreachable: nobody listens there.
            RouterError: the bridge is of another version, or this process has no file descriptor left.
        """
        self.folder = folder
        self._path = folder / "bridge.sock"
        self._timeout_s = timeout_s
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise RouterError(
                f"no socket for {self._path} can be had: {error.strerror or error}",
                remedy="raise the limit of open files (LimitNOFILE), or find out who has them open",
            ) from error
        self._socket.settimeout(timeout_s)
        try:
            _connect(self._socket, self._path)
        except OSError as error:
            self._socket.close()
            raise Unreachable(
                f"no ExaBGP of ours answers at {self._path}: {error.strerror or error}", remedy=START
            ) from error
        hello = self.ask("hello", client=f"process {os.getpid()}")
        if hello.get("protocol") != PROTOCOL:
            self.close()
            raise RouterError(f"the bridge at {self._path} is of another version", remedy="restart ExaBGP")
        self.peers: tuple[str, ...] = tuple(hello["peers"])
        self.bridge_pid = int(hello["pid"])
        self.exabgp_pid = int(hello["exabgp_pid"])

    def ask(self, op: str, *, more_s: float = 0.0, **words: Any) -> Message:
        """The answer to a request.

        Args:
            op: what is asked.
            more_s: seconds beyond the connection's own that the answer may take.
            words: what belongs to it.

        Raises:
            LockHeld, ConfigRejected, CommitFailed, Unreachable, RouterError: as the bridge says, or it says nothing.
        """
        self._socket.settimeout(self._timeout_s + more_s)
        try:
            self._socket.sendall(pack({"op": op, **words}))
            answer = receive(self._socket)
        except TimeoutError as error:
            self.close()
            raise Unreachable(
                f"ExaBGP did not acknowledge {op} within {self._timeout_s + more_s:g} s; it may still do so",
                remedy="look at `k8s-ecmp bgp status` and at ExaBGP's log",
            ) from error
        except (OSError, ValueError) as error:
            self.close()
            raise Unreachable(f"the connection to the bridge at {self._path} was lost: {error}") from error
        if answer.get("ok"):
            return answer
        raise _failure(answer.get("error") or {}, str(words.get("peer") or "the peer"))

    def close(self) -> None:
        """Leaves; may be called twice."""
        self._socket.close()

    @property
    def closed(self) -> bool:
        return self._socket.fileno() == -1


def _connect(connection: socket.socket, path: Path) -> None:
    """Waits for a bridge that is being started again: ExaBGP does that within a moment."""
    deadline = time.monotonic() + 2.0
    while True:
        try:
            return connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            if not path.parent.is_dir() or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _failure(error: Message, peer: str) -> RouterError:
    kind, text = error.get("kind"), str(error.get("text"))
    if kind == "locked":
        return LockHeld(f"{peer} is being changed by {text}", holder=text)
    if kind == "peer":
        return RouterError(text, remedy="restart ExaBGP with k8s-ecmp bgp start, which reads the inventory")
    if kind == "invalid":
        return ConfigRejected(f"{peer}: {text}; nothing was announced")
    if kind == "reload":
        return RouterError(text)
    if kind == "exabgp":
        return CommitFailed(f"{peer}: {text}")
    return RouterError(f"{peer}: the bridge says: {text}")

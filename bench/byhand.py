"""An engineer's open session: ssh to the router, `vtysh`, `configure terminal`; then one line at a time."""

import os
import select
import subprocess
import time
from typing import Self

from tests.world.frr import FrrRouter, ManagementNetwork

_PROMPT = b"(config)# "
_TIMEOUT_S = 30.0


class HandSession:
    """An OpenSSH client with a terminal, as root, that is in vtysh's configure mode. Use as a context manager."""

    def __init__(self, router: FrrRouter, network: ManagementNetwork) -> None:
        options = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={router.known_hosts}", "BatchMode=yes"]
        flags = [word for option in options for word in ("-o", option)]
        login = ["ssh", "-F", "none", "-tt", *flags, "-i", str(router.key_file), f"root@{router.address}", "vtysh"]
        self._process = subprocess.Popen(
            network.argv(*login), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )

    def __enter__(self) -> Self:
        self._send(b"")
        self._until(b"# ")
        self.line("configure terminal")
        self.answered()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def line(self, text: str) -> float:
        """Types a line; the moment before. `answered` is to follow."""
        typed = text.encode() + b"\n"
        started = time.monotonic()
        self._send(typed)
        return started

    def answered(self) -> None:
        """Returns when the prompt is there again."""
        self._until(_PROMPT)

    def _send(self, typed: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(typed)

    def _until(self, prompt: bytes) -> None:
        assert self._process.stdout is not None
        deadline = time.monotonic() + _TIMEOUT_S
        shown = b""
        while not shown.endswith(prompt):
            readable, _, _ = select.select([self._process.stdout], [], [], max(deadline - time.monotonic(), 0))
            chunk = os.read(self._process.stdout.fileno(), 65536) if readable else b""
            if not chunk:
                raise RuntimeError(f"the session ended or hangs: {shown.decode(errors='replace')[-300:]}")
            shown += chunk

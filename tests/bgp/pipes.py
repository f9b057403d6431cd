"""An ExaBGP that is two pipes and no more: for moments at which the real one cannot be held.

The bridge is the real one, a process of its own.
"""

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.errors import Unreachable
from tests.world.netns import wait_for


def peer(name: str, number: int, *locals_: str, **fields: Any) -> dict[str, Any]:
    """A peer at 10.9.0.NUMBER, as `bridge.json` has it."""
    found: dict[str, Any] = {
        "name": name,
        "sessions": [{"local": local, "peer": f"10.9.0.{number}"} for local in locals_ or ("10.9.0.11",)],
        "families": [4],
        "add_path": len(locals_) < 2,
        "attributes": "",
        "restart_s": 120,
        "attributes_behind": None,
        "hand_over_s": 10,
        "fingerprint": "",
    }
    return found | fields


def bridge_file(*peers: dict[str, Any]) -> str:
    return json.dumps({"mark": "", "peers": list(peers)})


@dataclass
class Pipes:
    """`with Pipes(folder) as exabgp:`; the folder has the bridge's file.

    `heard` is called with every line, in a thread of its own; ExaBGP answers when it returns. Sessions are those of the
    bridge's file at the last `reload`; `up` are those that stand, by the peer's address.
    """

    folder: Path
    heard: Callable[["Pipes", str], object] = lambda _, __: None
    up: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "exabgp.log"

    def __enter__(self) -> Self:
        argv = [sys.executable, "-m", "k8s_ecmp.bgp.bridge", str(self.folder / "bridge.json")]
        self._sessions = self._read()
        with self.log.open("ab") as log:
            self.bridge = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bridge.kill()
        self.bridge.wait()

    def client(self, timeout_s: float = 120) -> BridgeClient:
        """Connected, as soon as the bridge listens."""

        def connected() -> BridgeClient | None:
            with contextlib.suppress(Unreachable):
                return BridgeClient(self.folder, timeout_s)
            return None

        return wait_for(connected, "the bridge listens", 60, 0.05)

    def close(self) -> None:
        """As an ExaBGP that ends; from `heard`."""
        for pipe in (self.bridge.stdin, self.bridge.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the bridge has on disk."""
        with contextlib.closing(sqlite3.connect(self.folder / "announced.sqlite", timeout=60)) as file:
            return file.execute(query).fetchall()

    def _serve(self) -> None:
        assert self.bridge.stdin is not None
        assert self.bridge.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for raw in self.bridge.stdout:
                line = raw.decode("ascii").strip()
                self.lines.append(line)
                self.heard(self, line)
                if line == "reload":
                    self._sessions = self._read()
                said = [json.dumps(self._listed()), "done"] if line == "show neighbor json" else ["done"]
                self.bridge.stdin.write("\n".join([*said, ""]).encode("ascii"))
                self.bridge.stdin.flush()

    def _read(self) -> list[dict[str, str]]:
        found = json.loads((self.folder / "bridge.json").read_bytes())
        return [session for told in found["peers"] for session in told["sessions"]]

    def _listed(self) -> list[dict[str, Any]]:
        return [
            {
                "local": {"address": session["local"]},
                "peer": {"address": session["peer"]},
                "fsm": "ESTABLISHED" if session["peer"] in self.up else "IDLE",
                "families": ["ipv4 unicast"],
                "add-path": {"ipv4 unicast": "send"},
            }
            for session in self._sessions
        ]

"""The bridge's own configuration: which peers there are, over which sessions, with which attributes.

Written by `bgp.config` as JSON beside ExaBGP's; read here with the standard library alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Session:
    """One BGP session, by its two addresses."""

    local: str
    peer: str

    @property
    def selector(self) -> str:
        """How ExaBGP's commands name it."""
        return f"neighbor {self.peer} local-ip {self.local}"


@dataclass(frozen=True)
class PeerConfig:
    """One peer of the inventory.

    `add_path`: its one session carries several paths for a prefix; else each of its sessions carries one. `attributes`
    is what stands in every announcement ("med 100 community [65010:1]"). `restart_s`: for how long the peer keeps the
    routes of a session that it lost; 0: it does not.

    `attributes_behind` is what stands there instead while no client keeps this replica current, None where there is no
    other replica to be behind; a client that has not said so for `hand_over_s` does not. `fingerprint` differs where
    ExaBGP is told anything else of the sessions.
    """

    name: str
    sessions: tuple[Session, ...]
    families: tuple[int, ...] = (4, 6)
    add_path: bool = True
    attributes: str = ""
    restart_s: int = 120
    attributes_behind: str | None = None
    hand_over_s: float = 10.0
    fingerprint: str = ""

    @property
    def max_paths(self) -> int | None:
        """How many next hops a prefix can have; None: as many as the client likes."""
        return None if self.add_path else len(self.sessions)


@dataclass(frozen=True)
class BridgeConfig:
    """What the bridge is told when it starts. The files are in one folder that belongs to it alone.

    `mark` stands at the end of every session's description in ExaBGP's configuration; "" where the user's template
    leaves it out.
    """

    folder: Path
    peers: tuple[PeerConfig, ...]
    mark: str = ""

    @property
    def file(self) -> Path:
        return self.folder / "bridge.json"

    @property
    def socket(self) -> Path:
        return self.folder / "bridge.sock"

    @property
    def database(self) -> Path:
        return self.folder / "announced.sqlite"

    @property
    def lock(self) -> Path:
        return self.folder / "bridge.lock"


def read_config(path: Path) -> BridgeConfig:
    """Reads the file that `bgp.config` wrote.

    Raises:
        OSError, ValueError, KeyError: it cannot be read.
    """
    found: dict[str, Any] = json.loads(path.read_bytes())
    peers = tuple(
        PeerConfig(
            name=peer["name"],
            sessions=tuple(Session(**session) for session in peer["sessions"]),
            families=tuple(peer["families"]),
            add_path=peer["add_path"],
            attributes=peer["attributes"],
            restart_s=peer["restart_s"],
            attributes_behind=peer["attributes_behind"],
            hand_over_s=peer["hand_over_s"],
            fingerprint=peer["fingerprint"],
        )
        for peer in found["peers"]
    )
    return BridgeConfig(path.absolute().parent, peers, str(found.get("mark", "")))

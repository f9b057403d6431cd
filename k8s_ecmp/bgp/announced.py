"""What is announced, on disk: it survives the bridge, ExaBGP and the machine. SQLite, durable at every commit.

Beside the routes it keeps what was withdrawn of late: a peer that restarts gracefully may still hold those paths, and
FRR before 9.0.5, 9.1.3, 10.0.3 and 10.1.2 forgets only one stale path of a prefix by itself. A change that is written
in pieces is kept as a whole until the last of them: a bridge that dies in the middle leaves it to the next.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_SCHEMA = """
create table if not exists hops (peer text, prefix text, hop text, tag integer, name text, slot integer,
  primary key (peer, prefix, hop)) without rowid;
create table if not exists leaving (peer text, prefix text, slot integer, at real,
  primary key (peer, prefix, slot)) without rowid;
create table if not exists path_ids (peer text, hop text, id integer, primary key (peer, hop)) without rowid;
create table if not exists kinds (peer text primary key, kind text) without rowid;
create table if not exists promises (peer text primary key, within_s real, at real) without rowid;
create table if not exists begun (peer text primary key, wanted text);
"""
_TABLES = ("hops", "leaving", "path_ids", "kinds", "promises", "begun")
_ALL_PEERS = " union ".join(f"select peer from {table}" for table in _TABLES)  # noqa: S608


class Hop(NamedTuple):
    """A next hop as announced. `slot` is the path identifier, or the number of the session that carries it."""

    tag: int | None
    name: str | None
    slot: int


Hops = dict[str, Hop]
"""By address."""

Wanted = Mapping[str, Collection[tuple[str, int | None, str | None]]]
"""By prefix its next hops, each with tag and owner; none where the prefix shall not be announced."""


class Announced:
    """The file. Not for several processes at a time: the bridge holds a lock beside it."""

    def __init__(self, path: Path) -> None:
        """Opens the file; makes it where there is none.

        Raises:
            sqlite3.Error: it is damaged or cannot be written.
        """
        path.touch(mode=0o600)
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = full")
        self._file.executescript(_SCHEMA)

    def routes(self, peer: str) -> dict[str, Hops]:
        """By prefix."""
        found: dict[str, Hops] = {}
        rows = self._file.execute(
            "select prefix, hop, tag, name, slot from hops where peer = ? order by prefix, hop", (peer,)
        )
        for prefix, hop, tag, name, slot in rows:
            found.setdefault(prefix, {})[hop] = Hop(tag, name, slot)
        return found

    def leaving(self, peer: str) -> dict[tuple[str, int], float]:
        """(prefix, slot) -> when it was withdrawn, in seconds since the epoch."""
        rows = self._file.execute("select prefix, slot, at from leaving where peer = ?", (peer,))
        return {(prefix, slot): at for prefix, slot, at in rows}

    def path_ids(self, peer: str) -> dict[str, int]:
        """Next hop -> path identifier. One that was given is never given to another next hop."""
        return dict(self._file.execute("select hop, id from path_ids where peer = ?", (peer,)))

    def kind(self, peer: str) -> str | None:
        """What slots mean in this peer's rows; None: there are none."""
        row = self._file.execute("select kind from kinds where peer = ?", (peer,)).fetchone()
        return None if row is None else str(row[0])

    def held(self, peer: str) -> tuple[float, float] | None:
        """Within how many seconds a client that follows the cluster promised to be back, and when; None: none did.

        The moment is in seconds since the epoch.
        """
        row = self._file.execute("select within_s, at from promises where peer = ?", (peer,)).fetchone()
        return None if row is None else (float(row[0]), float(row[1]))

    def hold(self, peer: str, within_s: float | None, at: float) -> None:
        """Keeps such a promise, or forgets it."""
        if within_s is None:
            self._file.execute("delete from promises where peer = ?", (peer,))
        else:
            self._file.execute("insert or replace into promises values (?, ?, ?)", (peer, within_s, at))

    def begin(self, peer: str, wanted: Wanted) -> None:
        """Keeps a change that will be written in pieces."""
        text = json.dumps({prefix: list(hops) for prefix, hops in wanted.items()})
        self._file.execute("insert or replace into begun values (?, ?)", (peer, text))

    def begun(self, peer: str) -> Wanted | None:
        """The change of which the last piece was not written; None: there is none."""
        row = self._file.execute("select wanted from begun where peer = ?", (peer,)).fetchone()
        if row is None:
            return None
        found = json.loads(row[0])
        return {prefix: [(hop, tag, name) for hop, tag, name in hops] for prefix, hops in found.items()}

    def forget_begun(self, peer: str) -> None:
        """Leaves such a change as it is."""
        self._file.execute("delete from begun where peer = ?", (peer,))

    def start_anew(self, peer: str, kind: str, routes: Mapping[str, Hops], path_ids: Mapping[str, int]) -> None:
        """Replaces all that is known of a peer whose slots have another meaning from now on."""
        with self._transaction():
            for table in ("hops", "leaving", "path_ids"):
                self._file.execute(f"delete from {table} where peer = ?", (peer,))  # noqa: S608  names from above
            self._file.execute("insert or replace into kinds values (?, ?)", (peer, kind))
            self._insert(peer, routes)
            self._file.executemany(
                "insert into path_ids values (?, ?, ?)", [(peer, hop, number) for hop, number in path_ids.items()]
            )

    def change(
        self,
        peer: str,
        routes: Mapping[str, Hops],
        path_ids: Mapping[str, int],
        left: Iterable[tuple[str, int]],
        back: Iterable[tuple[str, int]],
        at: float,
        *,
        last: bool = False,
    ) -> None:
        """Writes the new next hops of some prefixes, none where one has none; all of it or nothing.

        Args:
            peer: whose.
            routes: by prefix.
            path_ids: those that are new.
            left: (prefix, slot) that carry nothing any more.
            back: (prefix, slot) that carry something again.
            at: now, in seconds since the epoch.
            last: nothing of a change that was begun is left to be written.
        """
        with self._transaction():
            self._file.executemany(
                "delete from hops where peer = ? and prefix = ?", [(peer, prefix) for prefix in routes]
            )
            self._insert(peer, routes)
            self._file.executemany(
                "insert or replace into path_ids values (?, ?, ?)",
                [(peer, hop, number) for hop, number in path_ids.items()],
            )
            self._file.executemany(
                "insert or replace into leaving values (?, ?, ?, ?)", [(peer, *key, at) for key in left]
            )
            self._file.executemany(
                "delete from leaving where peer = ? and prefix = ? and slot = ?", [(peer, *key) for key in back]
            )
            if last:
                self.forget_begun(peer)

    def keep_only(self, peers: Iterable[str]) -> None:
        """Forgets all that is of other peers."""
        known = {row[0] for row in self._file.execute(f"select peer from ({_ALL_PEERS})")}  # noqa: S608  names from above
        with self._transaction():
            for peer in known.difference(peers):
                for table in _TABLES:
                    self._file.execute(f"delete from {table} where peer = ?", (peer,))  # noqa: S608

    def forget_leaving(self, peer: str, before: float) -> None:
        """Drops what was withdrawn before a moment."""
        self._file.execute("delete from leaving where peer = ? and at < ?", (peer, before))

    def close(self) -> None:
        self._file.close()

    def _insert(self, peer: str, routes: Mapping[str, Hops]) -> None:
        self._file.executemany(
            "insert into hops values (?, ?, ?, ?, ?, ?)",
            [(peer, prefix, address, *hop) for prefix, hops in routes.items() for address, hop in hops.items()],
        )

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._file)


class _Transaction:
    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("begin immediate")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.execute("commit")
        finally:
            if self._file.in_transaction:  # a full disk leaves it open, or ends it by itself
                self._file.execute("rollback")

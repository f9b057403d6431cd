"""The journal: what was planned, overridden, begun, done and taken back, by whom and why, for years.

A SQLite file in WAL mode. Entries are only ever added: each carries the SHA-256 of itself and of the one before it, so
that `check` finds any that was changed, taken out or put between. A change of a router is written down before it is
begun; where that fails, nothing is written to the router.
"""

import getpass
import hashlib
import json
import os
import socket
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from k8s_ecmp.errors import JournalError

Kind = Literal["plan", "review", "override", "begin", "result"]

_BUSY_S = 10.0
_FIRST = "0" * 64
# One script for each version of the file; `user_version` says how many it has had.
_MIGRATIONS = (
    """
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        run TEXT NOT NULL,
        owner TEXT NOT NULL,
        who TEXT NOT NULL,
        router TEXT,
        ticket TEXT,
        reason TEXT,
        body TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE INDEX entry_run ON entry (run);
    CREATE INDEX entry_router ON entry (router, id);
    CREATE TRIGGER entry_stays BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER entry_remains BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    """,
)
_SELECT = "SELECT id, at, kind, run, owner, who, router, ticket, reason, body, previous, hash FROM entry"
_INSERT = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal. `at` is RFC 3339 in UTC; `run` joins what one run wrote; `body` depends on the kind."""

    id: int
    at: str
    kind: Kind
    run: str
    owner: str
    who: str
    router: str | None
    ticket: str | None
    reason: str | None
    body: dict[str, Any]
    previous: str
    hash: str


class Author(msgspec.Struct, frozen=True):
    """Who writes, why, and in which run."""

    owner: str
    who: str
    run: str
    ticket: str | None = None
    reason: str | None = None

    @classmethod
    def here(cls, owner: str, ticket: str | None = None, reason: str | None = None) -> Self:
        """Of the process that asks: user, host and process number."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = str(os.getuid())
        return cls(owner, f"{user}@{socket.gethostname()} process {os.getpid()}", str(uuid.uuid4()), ticket, reason)


class Journal:
    """An open journal; may be used by several threads, and by several processes at once."""

    def __init__(self, path: str | Path) -> None:
        """Opens the file; makes it, readable by its owner alone, where it is not there.

        Raises:
            JournalError: it cannot be opened or written, or a newer version of this program has written it.
        """
        self.path = Path(path).expanduser()
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be opened: {error.strerror}", remedy=_REMEDY) from error
        with self._translated("opened"):
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._migrate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # --- writing ---

    def write(self, author: Author, kind: Kind, body: Mapping[str, Any], router: str | None = None) -> int:
        """Adds an entry, on the disk when this returns.

        Returns:
            Its number.

        Raises:
            JournalError: the disk is full, the file is locked by somebody or cannot be written.
        """
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self._lock, self._translated("written"), self._transaction():
            last = self._connection.execute("SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1").fetchone()
            number, previous = (last[0] + 1, last[1]) if last else (1, _FIRST)
            row = (number, at, kind, author.run, author.owner, author.who, router, author.ticket, author.reason, text)
            self._connection.execute(_INSERT, (*row, previous, _hash((*row, previous))))
        return number

    # --- reading ---

    def entries(
        self,
        *,
        router: str | None = None,
        kinds: Sequence[Kind] = (),
        run: str | None = None,
        since: datetime | None = None,
        last: int | None = None,
    ) -> list[Entry]:
        """Entries in their order; the `last` ones where that is set."""
        where, values = ["1"], list[Any]()
        after = None if since is None else since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for condition, value in (("router = ?", router), ("run = ?", run), ("at >= ?", after)):
            if value is not None:
                where.append(condition)
                values.append(value)
        if kinds:
            where.append(f"kind IN ({', '.join('?' * len(kinds))})")
            values += kinds
        query = f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        with self._lock, self._translated("read"):
            rows = self._connection.execute(query, (*values, -1 if last is None else last)).fetchall()
        return [_entry(row) for row in reversed(rows)]

    def entry(self, number: int) -> Entry:
        """One entry.

        Raises:
            JournalError: there is none of that number.
        """
        with self._lock, self._translated("read"):
            row = self._connection.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise JournalError(f"the journal has no entry {number}", remedy="`k8s-ecmp history` lists them")
        return _entry(row)

    def check(self) -> Iterator[str]:
        """What is wrong with the chain, a sentence for each broken place; nothing where it is whole.

        The newest entries can be cut off without a trace in the file itself; `hash` of the last one, kept elsewhere,
        shows that too.
        """
        with self._lock, self._translated("read"), closing(self._connection.cursor()) as cursor:
            expected, previous = 1, _FIRST
            for row in cursor.execute(f"{_SELECT} ORDER BY id"):
                number, stated_previous, stated = row[0], row[-2], row[-1]
                if number != expected:
                    lost = f"entry {expected}" if number == expected + 1 else f"entries {expected} to {number - 1}"
                    yield f"{lost} missing"
                elif stated_previous != previous:
                    yield f"entry {number} does not follow the one before it"
                if _hash(row[:-1]) != stated:
                    yield f"entry {number} was changed"
                expected, previous = number + 1, stated

    # --- inside ---

    def _migrate(self) -> None:
        with self._transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > len(_MIGRATIONS):
                raise JournalError(
                    f"the journal {self.path} has version {version}, this program knows {len(_MIGRATIONS)}",
                    remedy="use the version of k8s-ecmp that wrote it, or a newer one",
                )
            for number, script in enumerate(_MIGRATIONS[version:], version + 1):
                for statement in _statements(script):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} cannot be {what}: {error}", remedy=_REMEDY) from error


_REMEDY = "nothing is written to routers without it; see to the disk and the file's rights, or set `journal` elsewhere"


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _hash(fields: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _entry(row: Sequence[Any]) -> Entry:
    fields = dict(zip(Entry.__struct_fields__, row, strict=True))
    return Entry(**fields | {"body": json.loads(fields["body"])})

"""The file, or files, of the journal: adding, reading, checking, and going on in another file."""

import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from k8s_ecmp.errors import JournalError
from k8s_ecmp.journal.entry import Author, Begun, Entry, Kind, Line, entry_of, hash_of
from k8s_ecmp.journal.redacting import without_secrets
from k8s_ecmp.redaction import redacted_prose, remember_environment

_BUSY_S = 10.0
_FILE_BYTES = 64 * 2**20
_FIRST = "0" * 64
_MOST_ENTRIES = 2**63 - 1  # SQLite takes no larger number
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
_LINE = "SELECT id, at, kind, owner, who, router, ticket, reason"
_OF_BODY = "CASE WHEN json_valid(body) THEN json_extract(body, '$.{}') END"
_COUNT = "CASE WHEN kind = 'begin' AND json_valid(body) THEN json_array_length(body, '$.changes') END"
_HEADS = (
    f"{_LINE}, ifnull({_COUNT}, 0) FROM entry "
    f"WHERE (kind = 'begin' OR (kind = 'result' AND {_OF_BODY.format('begin')} IS NULL)) "
    "AND (?1 IS NULL OR router = ?1) ORDER BY id DESC LIMIT ?2"
)
_ENDED = (
    f"{_LINE}, 0, {', '.join(map(_OF_BODY.format, ('begin', 'outcome', 'error')))} FROM entry "
    "WHERE kind = 'result' AND id >= ?2 AND (?1 IS NULL OR router = ?1)"
)
_WITH_NEIGHBOURS = (
    "SELECT id, at, kind, run, owner, who, router, ticket, reason, CASE id WHEN ?1 THEN body END, previous, hash "
    "FROM entry WHERE id IN (?1, (SELECT max(id) FROM entry WHERE id < ?1), (SELECT min(id) FROM entry WHERE id > ?1))"
)
_UNTOLD = -1
# Of a result the change that it is of; 0: none was begun, -1, that is _UNTOLD: what it said was damaged.
_ENDS = (
    "SELECT id, CASE kind WHEN 'result' THEN ifnull(CASE WHEN json_valid(body) THEN CASE json_type(body, '$.begin') "
    "WHEN 'integer' THEN json_extract(body, '$.begin') WHEN 'null' THEN 0 END END, -1) END "
    "FROM entry WHERE owner = ? AND kind IN ('begin', 'result') ORDER BY id"
)
# Damage may leave bytes that are no text: that entry is to be named, and the others to be read.
_TEXT = partial(str, encoding="utf-8", errors="replace")
_INSERT = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Journal:
    """An open journal; may be used by several threads, and by several processes at once."""

    def __init__(self, path: str | Path, *, busy_s: float | None = None, to_write: bool = True) -> None:
        """Opens the newest file; makes the first, readable by its owner alone, where there is none.

        Args:
            path: of the first file. A link is followed: later files stand beside that file, not beside the link.
            busy_s: how long to wait for another process that writes; None: 10 s.
            to_write: False: to read alone. Nothing is made or changed then, who writes is not waited for, and neither
                files nor folder need to be writable.

        Raises:
            JournalError: it cannot be opened or written, or another version of this program has written it; to read:
                there is none.
        """
        remember_environment()
        self._given = Path(path).expanduser()
        self.path = Path(os.path.realpath(self._given))
        self._busy_s = _BUSY_S if busy_s is None else busy_s
        self._lock = threading.Lock()
        try:
            if to_write:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            newest = max(self._numbers() if to_write or self.path.parent.exists() else (), default=None)
            strays = self._beside_link()
        except OSError as error:
            raise self._not_opened(self.path, error) from error
        if strays:
            number, stray = strays[0]
            raise JournalError(
                f"{stray} goes on where the journal {self._given} ended, but that is a link to {self.path}",
                remedy=f"while nothing runs move it to {self._file(number)}, its -wal and -shm too, and those after it",
            )
        if to_write:
            self._open(newest or 1)
            return
        if newest is None:
            raise JournalError(
                f"there is no journal at {self.path}", remedy="`apply` makes it; `journal` in the settings says where"
            )
        self._connection, self._number = self._to_read(newest), newest

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
            JournalError: the disk is full, the file is locked by somebody, was removed, or cannot be written.
        """
        with self._lock:
            while True:
                self._expect_same_file()
                with self._translated("written"), self._transaction():
                    last, closed = self._last()
                    if not closed and self._size() < _FILE_BYTES:
                        return self._add(last, author, kind, body, router)
                    if not closed:
                        self._add(last, author, "closed", {"next": self._file(self._number + 1).name}, None)
                self._connection.close()
                self._open(self._number + 1)

    def prune(self, author: Author, keep: int) -> tuple[str, ...]:
        """Removes the oldest files beyond the newest `keep`, after an entry that names them and what they held.

        Returns:
            Their names.

        Raises:
            JournalError: the entry cannot be written, or a file not removed.
        """
        gone = []
        for number in self._numbers()[:-keep]:
            with self._reading(number) as connection, self._translated("read"):
                first, last, closing = connection.execute(
                    "SELECT min(id), max(id), (SELECT hash FROM entry ORDER BY id DESC LIMIT 1) FROM entry"
                ).fetchone()
            file = self._file(number)
            self.write(author, "pruned", {"file": file.name, "first": first, "last": last, "hash": closing})
            try:
                for suffix in ("-wal", "-shm", ""):
                    file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
            except OSError as error:
                raise JournalError(f"the journal's file {file} cannot be removed: {error.strerror}") from error
            gone.append(file.name)
        return tuple(gone)

    # --- reading ---

    def entries(
        self,
        *,
        router: str | None = None,
        kinds: Sequence[Kind] = (),
        run: str | None = None,
        plan: str | None = None,
        after: int | None = None,
        last: int | None = None,
        intact: bool = False,
    ) -> list[Entry]:
        """Entries in their order, those on the plan of an id, and those `after` a number; the `last` ones where that is
        set.

        Raises:
            JournalError: it cannot be read; with `intact` also where one of these was changed since it was written.
        """
        where, values = ["1"], list[Any]()
        of_plan = None if plan is None else _json({"plan": plan})[1:-1]
        if kinds:
            where.append(f"kind IN ({', '.join('?' * len(kinds))})")
            values += kinds
        # The bodies last: they are what is large.
        conditions = (("router = ?", router), ("run = ?", run), ("id > ?", after), ("instr(body, ?)", of_plan))
        for condition, value in conditions:
            if value is not None:
                where.append(condition)
                values.append(value)
        return self._found(where, values, last, intact=intact)

    def changes(self, last: int, router: str | None = None) -> list[Line]:
        """The `last` changes, begun or not, and all of their results, in their order.

        Args:
            last: how many.
            router: whose; None: all.
        """
        heads: list[Line] = []
        for file in reversed(self._numbers()):
            if left := min(last, _MOST_ENTRIES) - len(heads):
                with self._reading(file) as connection, self._translated("read"):
                    heads += (Line(*row) for row in connection.execute(_HEADS, (router, left)))
        found = [line for line in heads if line.kind == "begin"]
        begun = {line.id for line in found}
        for file in self._numbers():
            with self._reading(file) as connection, self._translated("read"):
                ended = connection.execute(_ENDED, (router, heads[-1].id if heads else 0))
                found += (line for line in (Line(*row) for row in ended) if line.begin is None or line.begin in begun)
        return sorted(found, key=attrgetter("id"))

    def told_with(self, entry: Entry) -> list[Entry]:
        """An entry with those of its run that are of its router or of none, and the plan if another run made that."""
        found = self._found(("run = ?", "(router IS NULL OR router = ?)"), (entry.run, entry.router))
        if not isinstance(plan := entry.body.get("plan"), str):
            return found
        made = ("run <> ?", f"CASE kind WHEN 'plan' THEN {_OF_BODY.format('plan')} END = ?")
        return self._found(made, (entry.run, plan)) + found

    def entry(self, number: int) -> Entry:
        """One entry.

        Raises:
            JournalError: there is none of that number.
        """
        for file in reversed(self._numbers() if 0 < number <= _MOST_ENTRIES else ()):
            with self._reading(file) as connection, self._translated("read"):
                row = connection.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
            if row is not None:
                return entry_of(row)
        raise JournalError(f"the journal has no entry {number}", remedy="`k8s-ecmp history` lists them")

    def unfinished(self, owner: str) -> list[Begun]:
        """The changes of an owner that were begun and have no result, in the two newest files, oldest first.

        Raises:
            JournalError: it cannot be read; or one of these was changed since it was written, or a later result, which
                may be that of one of these.
        """
        begun: dict[int, int] = {}
        untold: list[int] = []
        for file in self._numbers()[-2:]:
            with self._reading(file) as connection, self._translated("read"):
                for number, ends in connection.execute(_ENDS, (owner,)):
                    if ends is None:
                        begun[number] = file
                    elif ends == _UNTOLD:
                        untold.append(number)
                    else:
                        begun.pop(ends, None)
        if begun and (hiding := [number for number in untold if number > min(begun)]):
            raise _not_as_written(hiding[0])
        found = [entry for number in begun for entry in self._found(("id = ?",), (number,), intact=True)]
        return [Begun(e.id, e.at, e.run, e.who, e.router or "", e.body) for e in found]

    @property
    def first(self) -> int:
        """The number of the oldest entry that is still here; 1 where nothing was removed."""
        for number in self._numbers():
            with self._reading(number) as connection, self._translated("read"):
                (first,) = connection.execute("SELECT min(id) FROM entry").fetchone()
            if first is not None:
                return int(first)
        return 1

    def check(self) -> Iterator[str]:
        """What is wrong with the chain, a sentence for each broken place; nothing where it is whole.

        The newest entries can be cut off without a trace in the file itself; `hash` of the last one, kept elsewhere,
        shows that too. So can the oldest files; `first` says where what is here begins.
        """
        expected, previous = 1, _FIRST
        for file in self._numbers():
            with self._reading(file) as connection, self._translated("read"):
                for row in connection.execute(f"{_SELECT} ORDER BY id"):
                    if expected == 1 and file > 1:
                        expected, previous = row[0], row[-2]
                    if (gap := _gap(row, expected, previous)) is not None:
                        yield gap
                    if _is_changed(row):
                        yield f"entry {row[0]} was changed"
                    expected, previous = row[0] + 1, row[-1]

    def spoiled(self, number: int) -> str | None:
        """What `check` says of one entry and of its place between its neighbours; None: it is as it was written."""
        rows: list[Sequence[Any]] = []
        for file in self._numbers():
            with self._reading(file) as connection, self._translated("read"):
                rows += connection.execute(_WITH_NEIGHBOURS, (number,)).fetchall()
        before, own, after = (
            [row for row in rows if row[0] < number],
            [row for row in rows if row[0] == number],
            [row for row in rows if row[0] > number],
        )
        if any(map(_is_changed, own)):
            return f"entry {number} was changed"
        near = [*sorted(before, key=itemgetter(0))[-1:], *own, *sorted(after, key=itemgetter(0))[:1]]
        gaps = (_gap(row, one[0] + 1, one[-1]) for one, row in pairwise(near))
        return next((gap for gap in gaps if gap is not None), None)

    # --- inside ---

    def _found(
        self, where: Sequence[str], values: Sequence[Any], last: int | None = None, *, intact: bool = False
    ) -> list[Entry]:
        """Entries that all of these conditions are true of, in their order; the `last` ones where that is set.

        Raises:
            JournalError: as `entries`.
        """
        query = f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        found: list[Sequence[Any]] = []
        for number in reversed(self._numbers()):
            left = -1 if last is None else min(last, _MOST_ENTRIES) - len(found)
            if left:
                with self._reading(number) as connection, self._translated("read"):
                    found += connection.execute(query, (*values, left)).fetchall()
        found.reverse()
        if intact and (changed := next(filter(_is_changed, found), None)) is not None:
            raise _not_as_written(changed[0])
        return [entry_of(row) for row in found]

    def _file(self, number: int) -> Path:
        return self.path if number == 1 else self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")

    def _numbers(self) -> list[int]:
        """Of the files that there are, oldest first."""
        return sorted({*_followers(self.path), *([1] if self.path.exists() else [])})

    def _beside_link(self) -> list[tuple[int, Path]]:
        """Files beside a link to the first one, made by versions that did not follow links; nobody looks there now."""
        if not self._given.is_symlink():
            return []
        found = ((number, self._given.with_name(name)) for number, name in sorted(_followers(self._given).items()))
        return [(number, file) for number, file in found if Path(os.path.realpath(file)) != self._file(number)]

    def _not_opened(self, file: Path, error: OSError) -> JournalError:
        return JournalError(f"the journal {file} cannot be opened: {error.strerror}", remedy=REMEDY)

    def _open(self, number: int) -> None:
        file = self._file(number)
        try:
            # Only a new one: closing a file gives up all locks that this process has on it, those of SQLite too.
            with suppress(FileExistsError):
                os.close(os.open(os.path.realpath(file), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._identity = _identity(file)
        except OSError as error:
            raise self._not_opened(file, error) from error
        with self._translated("opened"):
            self._connection = sqlite3.connect(
                file, timeout=self._busy_s, isolation_level=None, check_same_thread=False
            )
            self._connection.text_factory = _TEXT
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._migrate()
        self._number = number

    @contextmanager
    def _reading(self, number: int) -> Iterator[sqlite3.Connection]:
        """The connection of the open file, or one for the time of reading a closed one."""
        with self._lock:
            if number == self._number:
                yield self._connection
                return
        with closing(self._to_read(number)) as connection:
            yield connection

    def _to_read(self, number: int) -> sqlite3.Connection:
        """A connection that changes nothing.

        Who may write opens the file so all the same: only then does SQLite remove its log and its index when it closes
        the file. Who may not and finds no log has the whole file before him, which a log beside it would need to show.
        """
        file = Path(os.path.realpath(self._file(number)))
        writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
        has_log = file.with_name(f"{file.name}-wal").exists()
        how = "mode=rw" if writable else "mode=ro" if has_log else "immutable=1"
        with self._translated("read", _READ_REMEDY):
            connection = sqlite3.connect(
                f"file:{quote(str(file))}?{how}",
                uri=True,
                timeout=self._busy_s,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.text_factory = _TEXT
            try:
                connection.execute("PRAGMA query_only = ON")
                if self._version(connection) < len(_MIGRATIONS):
                    raise JournalError(
                        f"the journal's file {file} is of an older version of k8s-ecmp, or empty",
                        remedy="the next `apply`, or daemon, that writes to it makes it one of this version",
                    )
            except BaseException:
                connection.close()
                raise
        return connection

    def _expect_same_file(self) -> None:
        """SQLite goes on writing to a file that was removed, where nobody will ever read it.

        Raises:
            JournalError: another file stands there now, or none.
        """
        file = self._file(self._number)
        try:
            same = _identity(file) == self._identity and Path(os.path.realpath(self._given)) == self.path
        except OSError:
            same = False
        if not same:
            raise JournalError(f"the journal {file} was moved or removed while it was open", remedy=REMEDY)

    def _last(self) -> tuple[tuple[int, str], bool]:
        """Number and hash of the newest entry, and whether that closes the file."""
        query = "SELECT id, hash, kind FROM entry ORDER BY id DESC LIMIT 1"
        row = self._connection.execute(query).fetchone()
        if row is not None:
            return (row[0], row[1]), row[2] == "closed"
        if self._number - 1 in self._numbers():
            with closing(sqlite3.connect(self._file(self._number - 1))) as connection:
                before = connection.execute(query).fetchone()
            if before is not None:
                return (before[0], before[1]), False
        return (0, _FIRST), False

    def _size(self) -> int:
        (pages,), (size,) = (
            self._connection.execute(f"PRAGMA {word}").fetchone() for word in ("page_count", "page_size")
        )
        return int(pages) * int(size)

    def _add(
        self, last: tuple[int, str], author: Author, kind: Kind, body: Mapping[str, Any], router: str | None
    ) -> int:
        text = _json(without_secrets(body))
        ticket, reason = (said and redacted_prose(said) for said in (author.ticket, author.reason))
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        number, previous = last[0] + 1, last[1]
        row = (number, at, kind, author.run, author.owner, author.who, router, ticket, reason, text)
        self._connection.execute(_INSERT, (*row, previous, hash_of((*row, previous))))
        return number

    def _migrate(self) -> None:
        with self._transaction():
            version = self._version(self._connection)
            for number, script in enumerate(_MIGRATIONS[version:], version + 1):
                for statement in _statements(script):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {number}")

    def _version(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise JournalError(
                f"the journal {self.path} has version {version}, this program knows {len(_MIGRATIONS)}",
                remedy="use the version of k8s-ecmp that wrote it, or a newer one",
            )
        return int(version)

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
    def _translated(self, what: str, remedy: str | None = None) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} cannot be {what}: {error}", remedy=remedy or REMEDY) from error


REMEDY = "nothing is written to routers without it; see to the disk and the file's rights, or set `journal` elsewhere"
_READ_REMEDY = (
    "see to the file's rights; where nothing may be written beside it, copy it with the `-wal` file that it has into a "
    "folder of your own, and set `journal` to the copy"
)


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _not_as_written(number: int) -> JournalError:
    return JournalError(
        f"entry {number} of the journal is not as it was written, so that nothing can be decided by it",
        remedy="`k8s-ecmp history check` names every broken place; docs/guides/journal.md says how to go on",
    )


def _is_changed(row: Sequence[Any]) -> bool:
    return hash_of(row[:-1]) != str(row[-1])


def _gap(row: Sequence[Any], expected: int, previous: str) -> str | None:
    """Why a row is not the one that is expected after another."""
    number = row[0]
    if number < expected:
        return f"entry {number} stands there twice"
    if number > expected:
        lost = f"entry {expected}" if number == expected + 1 else f"entries {expected} to {number - 1}"
        return f"{lost} missing"
    return None if row[-2] == previous else f"entry {number} does not follow the one before it"


def stands(path: Path | str) -> bool:
    """Whether there is a journal: its first file, or one of those that go on where that ended."""
    first = Path(os.path.realpath(Path(path).expanduser()))
    return first.exists() or (first.parent.is_dir() and bool(_followers(first)))


def _followers(first: Path) -> dict[int, str]:
    """The files that go on where a first one ended: number -> name."""
    later = re.compile(rf"{re.escape(first.stem)}\.([1-9][0-9]*){re.escape(first.suffix)}")
    return {int(match[1]): file.name for file in first.parent.iterdir() if (match := later.fullmatch(file.name))}


def _identity(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_dev, stat.st_ino


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

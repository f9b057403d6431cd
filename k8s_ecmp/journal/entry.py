"""An entry of the journal: what it holds, who writes it, and the hash that chains it to the one before."""

import hashlib
import json
import os
import pwd
import socket
import uuid
from collections.abc import Sequence
from typing import Any, Literal, Self

import msgspec

Kind = Literal["plan", "review", "override", "begin", "result", "trouble", "closed", "pruned"]
"""trouble: why, and for how long, a daemon could not write here, and so changed no router; closed: the next file goes
on; pruned: a closed file that was removed."""


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


class Line(msgspec.Struct, frozen=True):
    """What a list of changes says of an entry "begin" or "result", without the rest of its body.

    `changes`: how many were begun; `begin`: of a result, the entry that it is of. Of a body that somebody has made
    unreadable nothing is known.
    """

    id: int
    at: str
    kind: Kind
    owner: str
    who: str
    router: str | None
    ticket: str | None
    reason: str | None
    changes: int = 0
    begin: int | None = None
    outcome: str | None = None
    error: str | None = None


class Begun(msgspec.Struct, frozen=True):
    """An entry "begin" that has no result: its number, and what it says."""

    entry: int
    at: str
    run: str
    who: str
    router: str
    body: dict[str, Any]


class Author(msgspec.Struct, frozen=True):
    """Who writes, why, and in which run."""

    owner: str
    who: str
    run: str
    ticket: str | None = None
    reason: str | None = None

    @classmethod
    def here(
        cls, owner: str, ticket: str | None = None, reason: str | None = None, *, identity: str | None = None
    ) -> Self:
        """Of the process that asks: user (a daemon's `identity` instead), host, who called sudo, and process number."""
        by = "" if identity is not None else _sudo()
        who = f"{identity or _user()}@{socket.gethostname()}{by} process {os.getpid()}"
        return cls(owner, who, str(uuid.uuid4()), ticket, reason)

    def again(self) -> Self:
        """The same one in a run of its own."""
        return msgspec.structs.replace(self, run=str(uuid.uuid4()))


def _user() -> str:
    """By the real uid: what LOGNAME and its like say anybody can set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _sudo() -> str:
    name = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    return f" (sudo: {name})" if name else ""


def hash_of(fields: Sequence[Any]) -> str:
    """SHA-256 of every field of a row but its hash."""
    return hashlib.sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry of a row; a body that somebody has made unreadable stands as its "text"."""
    fields = dict(zip(Entry.__struct_fields__, row, strict=True))
    try:
        body = json.loads(fields["body"])
    except ValueError:
        body = None
    return Entry(**fields | {"body": body if isinstance(body, dict) else {"text": fields["body"]}})

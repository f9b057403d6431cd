"""What one line of a watch says: something of an object, a bookmark, or that the watch is at its end."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from k8s_ecmp.errors import ClusterUnreachable
from k8s_ecmp.kube.stream import Garbled, loosely
from k8s_ecmp.kube.watched import Seen, Watched

Item = TypeVar("Item")

EXPIRED = 410
_INITIAL_END = "k8s.io/initial-events-end"


class Expired(Exception):
    """The server no longer knows the version that was asked for."""


class Bookmark(msgspec.Struct, rename="camel"):
    """Where the stream stands."""

    resource_version: str | None = None
    annotations: dict[str, str] | None = None

    @property
    def ends_list(self) -> bool:
        """Whether all objects of the moment have been told (KEP-3157)."""
        return _INITIAL_END in (self.annotations or {})


class _Object(msgspec.Struct):
    metadata: Bookmark


class _Event(msgspec.Struct):
    object: _Object


_BOOKMARKS = msgspec.json.Decoder(_Event)


class Reader(Generic[Item]):
    """Reads the lines of one kind's watch.

    Args:
        watched: the kind.
    """

    def __init__(self, watched: Watched[Item]) -> None:
        self._watched = watched
        self._decoder = watched.event_decoder()

    def read(self, server: str, line: bytes, known: Mapping[str, int]) -> tuple[str, Seen[Item] | Bookmark]:
        """The type of the event, and its object, which is not read again where it is as `known`.

        Raises:
            Expired: the server says that it has forgotten the version.
            ClusterUnreachable: it says something else instead of an event, or what it says is no event.
        """
        try:
            event = self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            flaw: Exception = error
        else:
            if event.type == "BOOKMARK":
                return event.type, _bookmark(server, line)
            if event.type != "ERROR":
                return event.type, self._watched.seen(event.object, known)
            flaw = ValueError("an error without a status")
        try:
            kind, document = loosely(line)
        except Garbled as garbled:
            raise ClusterUnreachable(f"the API server {server} sends no watch: {garbled}") from garbled
        if kind == "ERROR":
            raise _stated(server, document)
        if kind == "BOOKMARK":
            return kind, _bookmark(server, line)
        # The path that msgspec names starts at the event.
        return kind, self._watched.unseen(document, ValueError(str(flaw).replace("`$.object", "`$")))


def _bookmark(server: str, line: bytes) -> Bookmark:
    try:
        return _BOOKMARKS.decode(line).object.metadata
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClusterUnreachable(f"the API server {server} sends a bookmark that is none: {error}") from error


def _stated(server: str, status: Mapping[str, Any]) -> Exception:
    """What an ERROR event means."""
    if status.get("code") == EXPIRED:
        return Expired()
    message = status.get("message") or status.get("reason") or "without saying why"
    return ClusterUnreachable(f"the API server {server} broke off a watch: {message}")

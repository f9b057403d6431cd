"""One open watch: bytes of the wire to whole lines, lines to events.

The API server writes one JSON object a line, `{"type": "ADDED", "object": {...}}`, in chunks that end anywhere.
"""

import io
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec
import urllib3

from k8s_ecmp.errors import ClusterUnreachable
from k8s_ecmp.kube.api import FAILURES, Api
from k8s_ecmp.kube.sockets import break_off

Wire = TypeVar("Wire")

_READ_BYTES = 1 << 16
_LONGEST_HEAD = 1 << 12
_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;|\Z)")
_GARBLED = "what the API server {server} sends as a watch is none: {why}"


class Event(msgspec.Struct, Generic[Wire], frozen=True, gc=False):
    """One line of a watch."""

    type: str
    object: Wire


class Chunks:
    """Takes the frames of chunked transfer (RFC 9112, 7.1) away, wherever the pieces of the stream end.

    The transport's own way costs several times as much as everything else for a short event. `ended`: the last chunk
    has come. Trailers are not waited for.
    """

    def __init__(self) -> None:
        self.ended = False
        self._left = 0
        self._head = b""

    def feed(self, piece: bytes) -> bytes:
        """The content in this piece.

        Raises:
            ValueError: it is not chunked.
        """
        content, place, size = [], 0, len(piece)
        while place < size and not self.ended:
            if self._left:
                part = piece[place : place + self._left]
                content.append(part)
                place += len(part)
                self._left -= len(part)
                continue
            end = piece.find(b"\n", place) + 1
            if not end:
                self._head += piece[place:]
                if len(self._head) > _LONGEST_HEAD:
                    raise ValueError("a chunk without a size")
                break
            head, place, self._head = (self._head + piece[place:end]).strip(), end, b""
            # The line end after a chunk looks like an empty head.
            if head:
                self._left = _chunk_size(head)
                self.ended = self._left == 0
        return b"".join(content)


def _chunk_size(head: bytes) -> int:
    found = _CHUNK_HEAD.match(head)
    if found is None:
        raise ValueError("a chunk without a size")
    return int(found[1], 16)


class Lines:
    """Cuts a stream of bytes into lines, wherever its pieces end."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes, without their ends and without empty ones."""
        lines, start = [], 0
        # Not `split`, which looks at each byte by itself.
        while (end := piece.find(b"\n", start)) >= 0:
            line, start = piece[start:end], end + 1
            if self._rest:
                line = b"".join((*self._rest, line))
                self._rest.clear()
            if line and not line.isspace():
                lines.append(line)
        if start < len(piece):
            self._rest.append(piece[start:] if start else piece)
        return lines

    @property
    def incomplete(self) -> bool:
        """Whether the stream so far ends within a line."""
        return any(part and not part.isspace() for part in self._rest)


class Stream:
    """An open watch. One thread reads it; any other may `shut` it.

    Args:
        api: whom to ask.
        path: of the collection.
        query: of the request; `watch` is added.
        read_s: seconds of silence after which the stream counts as broken.

    Raises:
        ClusterError: as `Api.open`.
    """

    def __init__(self, api: Api, path: str, query: Mapping[str, str | int], *, read_s: float) -> None:
        self._api = api
        self._read_s = read_s
        self._response: urllib3.HTTPResponse = api.open(path, {**query, "watch": "true"}, read_s=read_s)

    def batches(self) -> Iterator[list[bytes]]:
        """Whole lines as they come, those of one read together; ends when the server ends the watch.

        Raises:
            ClusterUnreachable: the stream broke off, or there was silence for `read_s`.
        """
        lines = Lines()
        try:
            for piece in self._pieces():
                if batch := lines.feed(piece):
                    yield batch
        except FAILURES as error:
            raise self._api.broken(error, self._read_s) from error
        if lines.incomplete:
            raise ClusterUnreachable(_GARBLED.format(server=self._api.server, why="it ends within an event"))

    def _pieces(self) -> Iterator[bytes]:
        response = self._response
        # The file under the transport's response, which has read the head and nothing else.
        below = getattr(getattr(response, "_fp", None), "fp", None)
        if not response.chunked or not isinstance(below, io.BufferedReader) or "content-encoding" in response.headers:
            while piece := response.read1(_READ_BYTES, decode_content=True):
                yield piece
            return
        chunks = Chunks()
        while not chunks.ended:
            piece = below.read1(_READ_BYTES)
            if not piece:
                raise ConnectionResetError("ended within a chunk")
            try:
                yield chunks.feed(piece)
            except ValueError as error:
                raise ConnectionError(str(error)) from error

    def expect(self, read_s: float) -> None:
        """Changes how long a silence may be. For the thread that reads."""
        self._read_s = read_s
        if (made := self._socket()) is not None:
            made.settimeout(read_s)

    def shut(self) -> None:
        """Makes the thread that reads stop at once; the stream is of no further use."""
        if (made := self._socket()) is not None:
            break_off(made)

    def close(self) -> None:
        """Ends the watch. For the thread that reads."""
        self._response.close()

    def _socket(self) -> socket.socket | None:
        """None once the stream has ended."""
        made = getattr(self._response.connection, "sock", None)
        return made if isinstance(made, socket.socket) else None


class Garbled(Exception):
    """A line that is no watch event."""


def loosely(line: bytes) -> tuple[str, dict[str, Any]]:
    """Type and object of an event whose object does not have the expected form.

    Raises:
        Garbled: the line is no event at all.
    """
    try:
        event: Any = msgspec.json.decode(line.decode("utf-8", errors="replace"))
    except msgspec.DecodeError:
        raise Garbled("a line is no JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise Garbled("a line is no event")
    item = event.get("object")
    return event["type"], item if isinstance(item, dict) else {}

"""What client and bridge say to each other: JSON in ASCII, each message behind its length as four bytes, big-endian.

A request is an object with `op` and, for most, `peer`; an answer has `ok`, and `error` with `kind` where it is false.
"""

import asyncio
import json
import socket
import struct
from typing import Any

MAX_BYTES = 128 * 1024 * 1024  # 10,000 prefixes with 64 next hops take 40 MB

Message = dict[str, Any]


def pack(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        ValueError: it is too long.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is too long")
    return struct.pack(">I", len(body)) + body


def receive(connection: socket.socket) -> Message:
    """The next message of a blocking socket.

    Raises:
        OSError: the connection broke off or the socket's timeout ended.
        ValueError: what came is no message.
    """
    return _unpack(_exactly(connection, _length(_exactly(connection, 4))))


async def receive_async(reader: asyncio.StreamReader) -> Message | None:
    """The next message of a stream; None at its end.

    Raises:
        OSError: the connection broke off.
        ValueError: what came is no message.
    """
    try:
        return _unpack(await reader.readexactly(_length(await reader.readexactly(4))))
    except asyncio.IncompleteReadError:
        return None


def _length(head: bytes) -> int:
    (length,) = struct.unpack(">I", head)
    if length > MAX_BYTES:
        raise ValueError(f"a message of {length} bytes is too long")
    return int(length)


def _unpack(body: bytes) -> Message:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message must be an object")  # noqa: TRY004  the sender's value, not our type
    return message


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise ConnectionResetError("the bridge closed the connection")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)

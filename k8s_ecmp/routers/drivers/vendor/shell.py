"""Netmiko's shells: a connection that has ended is told at once, not when the time for an answer is over."""

from typing import Any


def notice_the_end(connection: Any) -> None:
    """Makes netmiko's reads raise EOFError once the connection has ended and all that came was read.

    Its own reads ask only whether there is something to read, which on a closed channel there never is, until the
    time for the answer is over; that time has to be long where configurations are large.
    """
    channel = connection.channel
    read = channel.read_channel

    def read_channel() -> str:
        text: str = read()
        if not text and channel.remote_conn.closed:
            raise EOFError("the connection was lost")
        return text

    channel.read_channel = read_channel

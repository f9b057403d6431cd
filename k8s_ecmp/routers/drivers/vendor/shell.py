"""Netmiko's shells: answers are read whole, and a connection that has ended is told at once."""

import re
from typing import Any

from k8s_ecmp.errors import RouterError

_READINGS = 3


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


def read_whole(connection: Any) -> None:
    """Makes netmiko read the answers to show commands to their end.

    Its own reading ends as soon as the prompt's words have come, wherever they stand: in a location, a description or
    a banner, when what follows them takes a moment to come. Here the prompt has to stand in a line of its own, be the
    last thing that came, and answer an empty line by itself alone. Whatever else comes then belongs to the answer,
    which was not over, and is asked for anew.
    """
    send = connection.send_command

    def send_command(command_string: str, *arguments: Any, **options: Any) -> Any:
        if not command_string.startswith("show ") or arguments or "expect_string" in options:
            return send(command_string, *arguments, **options)
        for _ in range(_READINGS):
            prompt = connection.find_prompt()
            end = rf"(?:^|\n){re.escape(prompt)}[ \t]*\Z"
            answer = send(command_string, expect_string=end, **options)
            connection.write_channel(connection.RETURN)
            behind = connection.read_until_pattern(pattern=end)
            if {line.strip() for line in behind.splitlines()} <= {"", prompt}:
                return answer
        raise RouterError(
            f"the answer to {command_string!r} could not be read to its end: the prompt {prompt!r} stands in it",
            remedy="take the line that begins with it out of the router's banners and descriptions",
        )

    connection.send_command = send_command

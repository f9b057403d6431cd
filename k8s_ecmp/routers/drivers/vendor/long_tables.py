"""Forwarding tables that are too long to be read whole, as on a router with the Internet's routes."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from k8s_ecmp.routers.drivers.vendor.base import VendorDriver

_LONGEST = 50_000  # routes; some 5 MB of text, which a slow control plane prints in half a minute
# A command that prints a whole table, the one that prints how long it is, and where the number stands.
_TABLES = (
    (re.compile(r"(show ip(?:v6)? cef (?:vrf \S+ )?)detail"), r"\1summary", re.compile(r"(\d+) (?:prefixes|routes)\b")),
    (
        re.compile(r"(show forwarding ipv[46] route) (vrf \S+)"),
        r"\1 summary \2",
        re.compile(r"Total number of routes *: *(\d+)"),
    ),
)


class WholeTables(VendorDriver):
    """A driver that asks how long a forwarding table is before it reads it, and leaves out one that is too long."""

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:
        """The answers to show commands; none for the whole of a forwarding table with more than 50,000 routes."""
        return super().cli(short_ones(commands, super().cli), encoding)


def short_ones(commands: Sequence[str], ask: Callable[[list[str]], Mapping[str, Any]]) -> list[str]:
    """The commands without those whose answer would be too long. Where no length is told, the table is read."""
    return [command for command in commands if _length(command, ask) <= _LONGEST]


def _length(command: str, ask: Callable[[list[str]], Mapping[str, Any]]) -> int:
    for whole, summary, number in _TABLES:
        if (asked := whole.fullmatch(command)) is not None:
            question = asked.expand(summary)
            return max(map(int, number.findall(str(ask([question])[question]))), default=0)
    return 0

"""What one session has vtysh write down on the router, for another to fetch: a vtysh less has to start."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple, Self

from k8s_ecmp.routers.drivers.frr.agent import NEXT_MARK
from k8s_ecmp.routers.drivers.frr.reader import refused


class Note(NamedTuple):
    """`mark`: its first line, of this note alone. `commands`: whose answers follow, each with `NEXT_MARK` behind it."""

    mark: str
    commands: tuple[str, ...]

    @classmethod
    def of(cls, commands: Sequence[str]) -> Self:
        return cls(f"k8s-ecmp-note-{secrets.token_hex(8)}", tuple(commands))

    def answers(self, text: str) -> dict[str, str]:
        """What stands in it, by command, without what vtysh did not know; nothing unless it is this note, and whole.

        Args:
            text: the note, with whatever the login said before and behind it.
        """
        *answers, _ = text.partition(f"{self.mark}\n")[2].split(NEXT_MARK)
        if len(answers) != len(self.commands):
            return {}
        return {command: said for command, said in zip(self.commands, answers, strict=True) if not refused(said)}

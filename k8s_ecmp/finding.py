"""What a check found."""

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "problem", "unknown"]
"""problem: traffic or the program suffers; warning: it may; unknown: it could not be looked at from here."""


class Finding(msgspec.Struct, frozen=True):
    """One finding of one check.

    `check` is its name, the same in every version; `saw` what was found, in a sentence; `why` why that matters, empty
    where all is well; `remedy` what to do, None where there is nothing to do; `router` the router it is about.
    """

    check: str
    level: Level
    saw: str
    why: str = ""
    remedy: str | None = None
    router: str | None = None


def few(names: list[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")

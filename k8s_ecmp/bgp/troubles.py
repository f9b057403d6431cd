"""What the bridge says in ExaBGP's log, and what it outlives. Standard library alone."""

import contextlib
import sys
from collections.abc import Iterator


def say(text: str) -> None:
    """Into ExaBGP's log; a log that is gone is no reason to stop."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


class Troubles:
    """Of what is tried again and again: each is said once, and so is its end."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    @contextlib.contextmanager
    def outlived(self, what: str) -> Iterator[None]:
        """Whatever fails in it, a full disk for one, ends nothing."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  the clock must go on
            trouble = f"{type(error).__name__}: {error}"
            if self._said.get(what) != trouble:
                self._said[what] = trouble
                say(f"{what}: {trouble}; it is tried again")
        else:
            if self._said.pop(what, None) is not None:
                say(f"{what}: done")

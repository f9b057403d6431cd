"""What a router's routes went through while something happened to it."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

Hops = frozenset[str]
GONE: Hops = frozenset()
Table = Mapping[str, Hops]
"""Next-hop addresses by prefix; a prefix of another VRF has that in front: "red 10.0.0.0/8"."""


class Seen:
    """Every table that was seen, in order; `note` may be called by any thread.

    Args:
        first: the table at the beginning.
    """

    def __init__(self, first: Table) -> None:
        self._lock = threading.Lock()
        self._tables = [dict(first)]
        self._at_change: Callable[[], None] | None = None

    def note(self, table: Table) -> None:
        with self._lock:
            if table == self._tables[-1]:
                return
            self._tables.append(dict(table))
            due, self._at_change = self._at_change, None
        if due is not None:
            due()

    def at_next_change(self, act: Callable[[], None] | None) -> None:
        """`act` is called once, by the thread that sees the next change, before the router goes on where it can wait."""
        with self._lock:
            self._at_change = act

    @property
    def first(self) -> Table:
        return self._tables[0]

    @property
    def changes(self) -> int:
        """How often the table changed."""
        return len(self._tables) - 1

    def of(self, prefix: str) -> list[Hops]:
        """The states of a prefix, in order; none twice in a row."""
        with self._lock:
            states = [table.get(prefix, GONE) for table in self._tables]
        return [hops for number, hops in enumerate(states) if not number or hops != states[number - 1]]

    def prefixes(self) -> set[str]:
        with self._lock:
            return {prefix for table in self._tables for prefix in table}


class Poller:
    """Asks for the table again and again, without a pause longer than a millisecond, until `stop`."""

    def __init__(self, seen: Seen, ask: Callable[[], Table]) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(seen, ask), name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self, seen: Seen, ask: Callable[[], Table]) -> None:
        while not self._ended.wait(0.001):
            with suppress(FileNotFoundError):
                seen.note(ask())

"""A rollout as it goes: a table on a terminal, plain lines where there is none."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from k8s_ecmp.cli.common import displayed, say
from k8s_ecmp.model import CommitResult
from k8s_ecmp.routers.spectator import Spectator
from k8s_ecmp.views.page import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_FOLDED = ("committed", "not-attempted")
_STYLES = {"rolled-back": "bold red", "failed": "bold red", "refused": "bold red", "not-attempted": "yellow"}
_FRAMES_PER_S = 8


@contextmanager
def watching(total: int) -> "Iterator[Spectator]":
    """A spectator for one rollout over so many routers."""
    if not sys.stderr.isatty() or total == 0:
        yield Lines(say)
        return
    from rich.console import Console
    from rich.live import Live

    table = Table(time.monotonic)
    with displayed(Live(table, console=Console(stderr=True), refresh_per_second=_FRAMES_PER_S, transient=True)):
        yield table


class Lines:
    """Says a line for each router that has ended, and for each pause."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def begins(self, waves: Sequence[Sequence[str]]) -> None:
        """Says nothing."""

    def wave(self, number: int) -> None:
        """Says nothing."""

    def step(self, router: str, step: str) -> None:
        """Says nothing."""

    def ended(self, result: CommitResult) -> None:
        self._say(f"{result.router}: {result.outcome} after {result.elapsed_s:.1f} s")

    def pauses(self, routers: Sequence[str], seconds: float) -> None:
        count = f"{len(routers)} router{'s' if len(routers) > 1 else ''}"
        self._say(f"pause of {seconds:g} s; {count} of this wave verified again meanwhile")


class Table:
    """A row for each router at work and for each that failed; those that are done fold into a count.

    Args:
        now: a clock in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._began = now()
        self._waves: Sequence[Sequence[str]] = ()
        self._wave = 0
        self._pause_ends: float | None = None
        self._steps: dict[str, tuple[str, float]] = {}
        self._results: dict[str, CommitResult] = {}

    def begins(self, waves: Sequence[Sequence[str]]) -> None:
        with self._lock:
            self._waves = waves

    def wave(self, number: int) -> None:
        with self._lock:
            self._wave = number
            self._pause_ends = None

    def step(self, router: str, step: str) -> None:
        with self._lock:
            if step.endswith("done") or step == "look again":
                return
            began = self._steps[router][1] if router in self._steps else self._now()
            self._steps[router] = (step, began)

    def ended(self, result: CommitResult) -> None:
        with self._lock:
            self._results[result.router] = result
            self._steps.pop(result.router, None)

    def pauses(self, routers: Sequence[str], seconds: float) -> None:
        del routers
        with self._lock:
            self._pause_ends = self._now() + seconds

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        height = options.max_height or console.height
        yield from self._rows(max(height - 2, 3))

    def _rows(self, most: int) -> "Iterator[RenderableType]":
        from rich.table import Table as Grid
        from rich.text import Text

        with self._lock:
            steps, results = dict(self._steps), dict(self._results)
            waves, wave, pause_ends = self._waves, self._wave, self._pause_ends
        now = self._now()
        yield Text(_headline(waves, wave, results, now - self._began, pause_ends and pause_ends - now))
        shown: list[tuple[str, str, float, str]] = [
            (name, result.outcome, result.elapsed_s, (result.error or "").partition("\n")[0])
            for name, result in results.items()
            if result.outcome not in _FOLDED
        ]
        shown += [(name, step, now - began, "") for name, (step, began) in steps.items()]
        grid = Grid.grid(padding=(0, 2), expand=True)
        for style in ("bold", "", ""):
            grid.add_column(style=style, no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for name, word, elapsed, error in shown[:most]:
            grid.add_row(
                Text(visible(name)), Text(word, _STYLES.get(word, "")), Text(f"{elapsed:.1f} s"), Text(visible(error))
            )
        yield grid
        if len(shown) > most:
            yield Text(f"and {len(shown) - most} more", "dim")


def _headline(
    waves: Sequence[Sequence[str]],
    wave: int,
    results: dict[str, CommitResult],
    elapsed: float,
    pause: float | None,
) -> str:
    total = sum(map(len, waves))
    counts = Counter(result.outcome for result in results.values())
    done = ", ".join(f"{number} {word}" for word, number in counts.items())
    parts = [f"wave {min(wave + 1, len(waves))} of {len(waves)}", f"{len(results)} of {total} routers done"]
    parts += [done] if done else []
    parts += [f"pause, {max(pause, 0):.0f} s left"] if pause is not None else []
    minutes, seconds = divmod(int(elapsed), 60)
    return f"{'; '.join(parts)}  {minutes}:{seconds:02}"

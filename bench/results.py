"""What a measurement says, and the page that keeps it."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Row:
    """One claim. `ratio` is ours against theirs, both measured in the same run; None for an absolute figure.

    `ours` and `theirs` are in `unit`.
    """

    name: str
    what: str
    ours: float
    theirs: float | None
    target: str
    met: bool
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None else self.ours / self.theirs

    def line(self) -> str:
        theirs = "-" if self.theirs is None else self._shown(self.theirs)
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = "yes" if self.met else "**no**"
        command = f"`python -m bench {self.name}`"
        cells = (self.what, self._shown(self.ours), theirs, ratio, self.target, verdict, command)
        return f"| {' | '.join(cells)} |"

    def _shown(self, value: float) -> str:
        return f"{value:.3f}" if self.unit == "s" else f"{value:.1f} {self.unit}"


def timed(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(times: Sequence[float]) -> float:
    return statistics.median(times)


def save(rows: Sequence[Row]) -> None:
    """Puts all rows of some measurements into the page; those of other measurements that are there already stay."""
    kept: dict[str, str] = {}
    anew = tuple(f"`python -m bench {row.name}` |" for row in rows)
    if PAGE.exists():
        for line in PAGE.read_text().splitlines():
            if line.startswith("| ") and "`python -m bench " in line and not line.endswith(anew):
                kept[line.split(" | ")[0]] = line
    for row in rows:
        kept[row.line().split(" | ")[0]] = row.line()
    head = f"""# Measured

{os.cpu_count()} shared cores, Linux {platform.release().split("-")[0]}, Python {platform.python_version()}, FRR 8.4.4.
Seconds where no unit stands; the ratio is ours / theirs in the same run. Timings on shared machines are noisy: trust
ratios.

| what | ours | theirs | ratio | target | met | command |
|---|---|---|---|---|---|---|
"""
    PAGE.write_text(head + "\n".join(kept[key] for key in sorted(kept)) + "\n")

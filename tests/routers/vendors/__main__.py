"""`python -m tests.routers.vendors [PYTEST-ARGUMENT ...]`: every story on every platform, as one table; 0 when
all held."""

import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import tables
from tests.routers.vendors.stories import Confirming, Locking
from tests.tables import aligned
from tests.world.emulators import NAMES

_TEST = re.compile(r"test_(\w+)\.py::\w+::test_(.+)$")
_EXTRA: tuple[type[Locking] | type[Confirming], ...] = (Locking, Confirming)


@dataclass
class Cells:
    """What became of each story, by story and driver. A pytest plugin."""

    found: dict[tuple[str, str], str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """What the tests of a driver took."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (match := _TEST.search(report.nodeid)) is None:
            return
        self.seconds[match[1]] += report.duration
        if report.passed and report.when != "call":
            return
        key = _words(match[2]), match[1]
        self.found[key] = "FAIL" if report.failed or self.found.get(key) == "FAIL" else "ok"
        print(end="F" if report.failed else ".", file=sys.stderr, flush=True)
        if report.failed:
            self.texts.append(f"FAIL  {key[0]}, {key[1]}: {report.longreprtext}")


def lines(cells: Cells) -> list[str]:
    """The table, why some cells are empty, and what failed."""
    stories = list(dict.fromkeys(story for story, _ in cells.found))
    absent = {_words(test.removeprefix("test_")): kind for kind in _EXTRA for test in _tests(kind)}
    rows = [["STORY", *NAMES]]
    for story in stories:
        empty = "-" if story in absent else "not run"
        rows.append([story, *(cells.found.get((story, name), empty) for name in NAMES)])
    rows.append(["seconds", *(f"{cells.seconds[name]:.0f}" for name in NAMES)])
    failed = sum(result == "FAIL" for result in cells.found.values())
    return [
        *aligned(rows),
        "",
        *(
            f"-  the platform {kind.absent}"
            for kind in dict.fromkeys(absent[story] for story in stories if story in absent)
        ),
        *cells.texts,
        f"{len(cells.found) - failed} of {len(cells.found)} ok.",
    ]


def _tests(kind: type[object]) -> list[str]:
    return [name for name in vars(kind) if name.startswith("test_")]


def _words(test: str) -> str:
    return test.replace("_s_", "'s ").replace("_", " ").replace("[", ": ").removesuffix("]")


if __name__ == "__main__":
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in NAMES]
    sys.exit(tables.run("the stories", Cells(), lines, *files, workers=4))

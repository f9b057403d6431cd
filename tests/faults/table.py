"""The matrix as a table, made of what happened."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.faults import FAULTS
from tests.tables import aligned

ROUTERS = ("file", "frr", "eos", "nxos_ssh")
_NAMES = {"file": "file", "frr": "FRR, real", "eos": "EOS, emulated", "nxos_ssh": "NX-OS, emulated"}


@dataclass
class Cells:
    """What the tests noted, by fault and router. A pytest plugin."""

    found: dict[tuple[str, str], tuple[str, int | str, Sequence[str]]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    """Tests that failed without a cell."""
    seconds: float = 0
    """What the tests took, one after the other."""

    def pytest_runtest_logreport(self, report: object) -> None:
        self.seconds += getattr(report, "duration", 0.0)
        noted = dict(getattr(report, "user_properties", ())).get("cell")
        if noted is not None:
            fault, router, ended, code, problems = noted
            if (fault, router) not in self.found:
                print(end="F" if problems else ".", file=sys.stderr, flush=True)
            self.found[fault, router] = (ended, code, problems)
        elif getattr(report, "failed", False):
            self.others.append(f"{getattr(report, 'nodeid', '')}: {getattr(report, 'longreprtext', '')}")


def lines(cells: Cells) -> list[str]:
    """The table, then what did not hold and why cells are left out."""
    rows = [["FAULT", *(_NAMES[router] for router in ROUTERS)]]
    absent: dict[str, None] = {}
    failed = []
    for fault in FAULTS:
        row = [fault.name]
        for router in ROUTERS:
            if (why := fault.absent.get(router)) is not None:
                absent[f"{router}: {why}"] = None
                row.append("-")
            elif (cell := cells.found.get((fault.name, router))) is None:
                row.append("not run")
            else:
                ended, code, problems = cell
                row.append(f"{ended:<4}  {code!s:<6}  {'FAIL' if problems else 'ok'}")
                failed += [f"FAIL  {fault.name}, {router}: {problem}" for problem in problems]
        rows.append(row)
    count = len(cells.found)
    bad = sum(bool(problems) for _, _, problems in cells.found.values())
    return [
        *aligned(rows),
        "",
        "A cell: the router ended in the old or the new state (part: in between, no hop lost), exit code of apply, and",
        "whether everything held: no gap, foreign routes untouched, report, journal and router agree, the next run heals.",
        *(f"-  {why}" for why in absent),
        *failed,
        *(f"FAIL  {text}" for text in cells.others),
        "",
        f"{count - bad} of {count} ok, in {cells.seconds:.0f} s of tests.",
    ]

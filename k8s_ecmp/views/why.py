"""The answer to `why PREFIX` as terminal text."""

import sys
from collections.abc import Sequence
from typing import TextIO

from k8s_ecmp.core.explain import Answer, RouterAnswer


def print_answer(answer: Answer, stream: TextIO | None = None) -> None:
    """Writes the answer: the verdict, then every node's part and every router's selection, aligned."""
    out = stream or sys.stdout
    out.write(f"{answer.prefix}: {answer.verdict}\n")
    route = answer.route or answer.covered_by
    if route is not None:
        of = "" if answer.route is not None else f" ({route.prefix})"
        out.write(f"  asked for by{of}: {', '.join(route.sources)}\n")
    for skip in answer.skipped:
        out.write(f"  {skip.object}: {skip.reason}\n")
    rows = [(node.node, ", ".join(node.next_hops) or "-", node.reason) for node in answer.nodes]
    if rows:
        out.write("\nNodes\n")
        _table(rows, out)
    if answer.routers:
        out.write("\nRouters\n")
        for router in answer.routers:
            _router(router, out)


def _router(router: RouterAnswer, out: TextIO) -> None:
    vrf = "" if router.vrf == "default" else f" (VRF {router.vrf})"
    out.write(f"  {router.router}{vrf}: {', '.join(router.next_hops) or 'no next hop'}\n")
    out.writelines(f"    {note}\n" for note in router.notes)
    if router.running is not None:
        out.write(f"    runs there: {router.running}\n")


def _table(rows: Sequence[tuple[str, ...]], out: TextIO) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        out.write(f"  {'  '.join([*cells, row[-1]])}\n")

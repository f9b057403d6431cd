"""From a change in Kubernetes to the kernel of an FRR router: ours against MetalLB's speaker and a line typed by hand.

Each has a world of its own (`kubeworld`), all of one run stand at the same time, and their samples take turns. A time
begins just before the request, or the line, and ends with the kernel's notification in the router's namespace.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import contenders
from bench.contenders import Contender, MetalLB, Ours
from bench.kubeworld import ALL_HOPS, NODES, hop, prefix
from bench.results import Row, median

SERVICES = 1_000
_CHANGES = 20
_NODES_OUT = 4
_STARTS = 5
_QUIET_S = 0.5  # between two changes, since one in a quiet time is measured
_METALLB = "MetalLB 0.15.2"


def change_to_fib() -> list[Row]:
    """An endpoint lost, then gained, on one node, 20 times each.

    Ours and the line by hand meet routers in the same state, started with every route in their configuration: staticd
    takes 8 ms longer for a line where the routes came in three transactions, as our first push writes them (adr/0006).
    """
    with tempfile.TemporaryDirectory(prefix="bench") as place, ExitStack() as stack:
        root = _open(place)
        ours = stack.enter_context(contenders.ours(root / "ours", SERVICES, routed=True))
        speakers = stack.enter_context(contenders.speakers(root / "metallb", SERVICES))
        by_hand = stack.enter_context(contenders.by_hand(root / "hand", SERVICES))
        _start(ours, speakers)
        found: dict[Contender, list[float]] = {ours: [], speakers: [], by_hand: []}
        for turn in range(_CHANGES):
            for contender in contenders.shuffled([ours, speakers, by_hand], turn):
                found[contender] += _lose_and_gain(contender, 37 * turn % SERVICES, NODES[turn % len(NODES)])
    what = f"one endpoint to the FIB, {SERVICES:,} x {len(NODES)}"
    own, theirs, typed = found[ours], found[speakers], found[by_hand]
    mid, peer, hand = median(own), median(theirs), median(typed)
    return [
        Row("change-to-fib", f"{what}, against {_METALLB}: median", mid, peer, "<= 0.060 s, < 1", _below(mid, peer)),
        Row("change-to-fib", f"{what}, against {_METALLB}: 90th percentile", p90(own), p90(theirs), "-", True),
        Row("change-to-fib", f"{what}, against a line in vtysh: median", mid, hand, "<= 1.5", mid <= 1.5 * hand),
        Row("change-to-fib", f"{what}, against a line in vtysh: 90th percentile", p90(own), p90(typed), "-", True),
    ]


def node_out() -> list[Row]:
    """One node out of every route, and back: ours by Ready condition and by exclude label, theirs by the label."""
    with tempfile.TemporaryDirectory(prefix="bench") as place, ExitStack() as stack:
        root = _open(place)
        ours = stack.enter_context(contenders.ours(root / "ours", SERVICES))
        speakers = stack.enter_context(contenders.speakers(root / "metallb", SERVICES))
        _start(ours, speakers)
        found: dict[str, list[float]] = {}
        for turn in range(_NODES_OUT):
            node = NODES[turn % len(NODES)]
            for contender, label, who in (
                (ours, False, "ours, not Ready"),
                (speakers, True, "theirs"),
                (ours, True, "ours, label"),
            ):
                gone_s, back_s = _out_and_back(contender, node, label)
                found.setdefault(who, []).append(gone_s)
                found.setdefault(f"{who}, back", []).append(back_s)
                if contender is speakers:
                    speakers.settle()
    took = {who: median(times) for who, times in found.items()}
    out = f"a node out of {SERVICES:,} x {len(NODES)} to the FIB"
    back = f"a node back to {SERVICES:,} x {len(NODES)} in the FIB"
    limit = "<= 0.5 s"
    ready, excluded, theirs = took["ours, not Ready"], took["ours, label"], took["theirs"]
    return [
        Row("node-out", f"{out}: not Ready, against the label at {_METALLB}", ready, theirs, limit, ready <= 0.5),
        Row("node-out", f"{out}: the exclude label, against {_METALLB}", excluded, theirs, limit, excluded <= 0.5),
        Row("node-out", f"{back}, against {_METALLB}", took["ours, label, back"], took["theirs, back"], "-", True),
    ]


def start_to_fib() -> list[Row]:
    """From the start of the process, or of all speakers, with no route on the router; the first is not counted."""
    with tempfile.TemporaryDirectory(prefix="bench") as place, ExitStack() as stack:
        root = _open(place)
        ours = stack.enter_context(contenders.ours(root / "ours", SERVICES))
        speakers = stack.enter_context(contenders.speakers(root / "metallb", SERVICES))
        own: list[float] = []
        theirs: list[float] = []
        typed: list[float] = []
        stages: dict[str, list[float]] = {}
        for turn in range(_STARTS + 1):
            took = _started(ours)
            ours.stop()
            ours.clear()
            took_theirs = _started(speakers)
            speakers.stop()
            speakers.world.await_table(frozenset())
            took_typed = ours.typed_in()
            ours.clear()
            if turn:
                own.append(took)
                theirs.append(took_theirs)
                typed.append(took_typed)
                for stage, stage_s in ours.stages().items():
                    stages.setdefault(stage, []).append(stage_s)
    what = f"process start to {SERVICES:,} x {len(NODES)} in the FIB"
    mid, peer, hand = median(own), median(theirs), median(typed)
    return [
        Row("start-to-fib", f"{what}, against {_METALLB}", mid, peer, "<= 1.0 s", mid <= 1.0),
        Row("start-to-fib", f"{what}, against `vtysh -f` of the same lines alone", mid, hand, "-", True),
        *(
            Row("start-to-fib", f"{what}, part {number}: {stage}", median(times), None, "-", True)
            for number, (stage, times) in enumerate(stages.items(), 1)
        ),
    ]


def p90(times: Sequence[float]) -> float:
    """The 90th percentile."""
    return statistics.quantiles(times, n=10)[-1]


def _below(own: float, theirs: float) -> bool:
    return own <= 0.060 and own < theirs


def _open(place: str) -> Path:
    root = Path(place)
    root.chmod(0o755)  # the routers' users read in it
    return root


def _start(ours: Ours, speakers: MetalLB) -> None:
    for contender in (ours, speakers):
        contender.start()
        contender.world.await_table()
    speakers.settle()


def _started(contender: Ours | MetalLB) -> float:
    started = time.monotonic()
    contender.start()
    return contender.world.await_table() - started


def _lose_and_gain(contender: Contender, number: int, node: str) -> list[float]:
    found = []
    for there, hops in ((False, ALL_HOPS - {hop(node)}), (True, ALL_HOPS)):
        time.sleep(_QUIET_S)
        started = contender.change(number, node, there=there)
        found.append(contender.world.fib.await_hops(prefix(number), hops).at - started)
    return found


def _out_and_back(contender: Contender, node: str, label: bool) -> tuple[float, float]:
    world = contender.world
    found = []
    for out, hops in ((True, ALL_HOPS - {hop(node)}), (False, ALL_HOPS)):
        time.sleep(_QUIET_S)
        started = world.set_excluded(node, out) if label else world.set_ready(node, not out)
        found.append(world.await_table(hops) - started)
    return found[0], found[1]

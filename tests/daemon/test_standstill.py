"""A process that stood still knows it afterwards, and believes nothing that it knew before until it has looked again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from k8s_ecmp.daemon.standstill import Standstill
from k8s_ecmp.kube.follow import Follow
from k8s_ecmp.kube.follow_file import FollowFile
from k8s_ecmp.kube.lease import Clocks
from k8s_ecmp.kube.updates import Listed, WatchState
from k8s_ecmp.settings import ClusterSettings, Settings
from tests.daemon.test_decision import NODES, SERVICES, SLICES, guards, states, synced
from tests.kube.build import node
from tests.kube.recorder import KINDS, QUICK, Recorder
from tests.kube.teller import NODES as NODES_PATH
from tests.kube.teller import Answer, Teller, listing, stream
from tests.world.netns import wait_for


@pytest.mark.parametrize(
    ("after", "noticed"),
    [
        (Clocks(4.0, 1004.0), []),
        (Clocks(9.0, 1009.0), [9.0]),
        (Clocks(1.0, 1060.0), [60.0]),  # suspended: the monotonic clock stood still
        (Clocks(1.0, 400.0), []),  # somebody set the clock back
    ],
)
def test_either_clock_tells_of_a_standstill(after: Clocks, noticed: list[float]) -> None:
    found: list[float] = []
    now = Clocks(0.0, 1000.0)
    standstill = Standstill(5.0, found.append, lambda: now)
    now = after
    standstill.check()
    standstill.check()
    assert found == noticed


def test_what_is_known_is_in_doubt_until_every_kind_was_told_again() -> None:
    decision = synced()
    decision.doubt("this process stood still")
    assert decision.not_synced() == "Node: this process stood still"
    assert guards(decision) == {"not-synced"}
    decision.tell([NODES, SERVICES, SLICES])
    decision.tell(states()[:2])
    assert decision.not_synced() == "EndpointSlice: this process stood still"
    assert decision.tell(states()[2:]).holds_changed
    assert decision.not_synced() is None
    assert guards(decision) == set()


@pytest.mark.parametrize("end", ["hang", "end"], ids=["on a stream", "between two"])
def test_a_live_cluster_is_listed_again(tmp_path: Path, end: str) -> None:
    with Teller(tmp_path) as teller:
        first: Answer = listing(node("n1"), node("n2"), end=end)
        teller.prepare(NODES_PATH, "stream", first, listing(node("n2"), version="90"))
        teller.prepare(NODES_PATH, "watch", stream())
        seen = Recorder()
        pace = replace(QUICK, first_pause_s=60.0, longest_pause_s=60.0, shortest_stream_s=0.0)
        follow = Follow(
            ClusterSettings(kubeconfig=str(teller.config), service_cidrs=("10.96.0.0/12",)), seen, pace=pace
        )
        follow.start()
        try:
            seen.wait_synced()
            if end == "end":
                wait_for(lambda: teller.queries(NODES_PATH, "watch"), "it is resumed")
            told = {kind: len(seen.of(WatchState, kind)) for kind in KINDS}
            follow.again()
            for kind in KINDS:
                wait_for(lambda kind=kind: len(seen.of(WatchState, kind)) == told[kind] + 1, f"{kind} is in order")
                assert len(seen.of(Listed, kind)) == 2
            assert seen.keys("Node") == ["n2"]
            assert seen.synced()
        finally:
            assert follow.stop(20)


@pytest.mark.slow
def test_a_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": [node("n1")]}))
    seen = Recorder()
    source = ClusterSettings(source=str(file), service_cidrs=("10.96.0.0/12",))
    follow = FollowFile(Settings(owner="prod", tag=1, cluster=source), seen)
    follow.start()
    try:
        seen.wait_synced()
        follow.again()
        wait_for(lambda: all(len(seen.of(WatchState, kind)) == 2 for kind in KINDS), "it is told again")
        assert len(seen.of(Listed, "Node")) == 2
        assert seen.synced()
    finally:
        follow.stop()

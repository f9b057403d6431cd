"""Following a real API server that is killed, frozen, cut off, and that forgets: nothing is lost, and it is said."""

import dataclasses
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_ecmp.kube import api
from k8s_ecmp.kube.follow import Follow
from k8s_ecmp.kube.live import load_live
from k8s_ecmp.kube.updates import Gone, Listed, WatchState
from k8s_ecmp.settings import ClusterSettings
from tests.kube.build import node, piece, service
from tests.kube.gate import Gate
from tests.kube.recorder import KINDS, QUICK, Recorder, following
from tests.world.kube import sample
from tests.world.kube.server import READER, KubeApi, missing
from tests.world.netns import wait_for

pytestmark = [pytest.mark.kubeworld, pytest.mark.long]

CIDRS = ("10.43.0.0/16",)
SERVER = "kube-apiserver"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    """A control plane that may be maltreated."""
    if reason := missing():
        pytest.skip(reason)
    with KubeApi(tmp_path_factory.mktemp("maltreated")) as server:
        yield server


@pytest.fixture
def kube(own_server: KubeApi) -> Iterator[KubeApi]:
    yield own_server
    own_server.clear()


@pytest.fixture
def gate(kube: KubeApi) -> Iterator[Gate]:
    with Gate(kube.port) as made:
        yield made


@pytest.fixture
def config(kube: KubeApi, gate: Gate, tmp_path: Path) -> Path:
    """It leads through the gate."""
    return kube.kubeconfig(tmp_path / "config", server=f"https://127.0.0.1:{gate.port}")


def same_as_listed(kube: KubeApi, seen: Recorder, folder: Path) -> bool:
    """Whether the follower knows exactly what a list of this moment says."""
    state = load_live(ClusterSettings(kubeconfig=str(kube.kubeconfig(folder / "direct")), service_cidrs=CIDRS))
    listed = {
        "Node": {made.name: made for made in state.nodes},
        "Service": {made.key: made for made in state.services},
        "EndpointSlice": {f"{made.namespace}/{made.name}": made for made in state.slices},
    }
    return listed == seen.objects


def states(seen: Recorder, kind: str) -> list[bool]:
    return [state.synced for state in seen.of(WatchState, kind)]


def test_a_short_cut_is_nothing(kube: KubeApi, gate: Gate, config: Path, tmp_path: Path) -> None:
    """The streams are resumed where they were: nothing is listed again, and nobody hears of it."""
    with following(config, cidrs=CIDRS, drains=False) as seen:
        seen.wait_synced()
        for number in range(1, 6):
            gate.cut()
            for made, kind, key in (
                (node(f"n{number}"), "Node", f"n{number}"),
                (service(f"s{number}", clusterIP=None, ports=[{"port": 80}]), "Service", f"default/s{number}"),
                (piece(f"s-{number}"), "EndpointSlice", f"default/s-{number}"),
            ):
                kube.create(made)
                wait_for(lambda kind=kind, key=key: key in seen.keys(kind), f"{key} is there")
        assert all(states(seen, kind) == [True] for kind in KINDS)
        assert len(seen.of(Listed)) == len(KINDS)
        wait_for(lambda: same_as_listed(kube, seen, tmp_path), "it knows what a list says")


def test_a_cut_that_lasts_is_said(kube: KubeApi, gate: Gate, config: Path, tmp_path: Path) -> None:
    kube.create(node("n1"))
    kube.create(node("n2"))
    with following(config) as seen:
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
        gate.shut()
        wait_for(lambda: not any(state.synced for state in seen.states.values()), "each says that it is cut off")
        assert f"the API server https://127.0.0.1:{gate.port}" in seen.reason("Node")
        assert seen.states["EndpointSlice"].essential
        assert seen.keys("Node") == ["n1", "n2"]
        kube.delete("Node", "n1")
        kube.create(node("n3"))
        gate.open()
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
        assert seen.keys("Node") == ["n2", "n3"]
        wait_for(lambda: same_as_listed(kube, seen, tmp_path), "it knows what a list says")


def test_deletions_in_a_gap_that_is_forgotten(kube: KubeApi, gate: Gate, config: Path, tmp_path: Path) -> None:
    """The server that comes back has none of the versions in between, and etcd neither."""
    for number in range(4):
        kube.create(node(f"n{number}"))
        kube.create(piece(f"s-{number}"))
    with following(config, cidrs=CIDRS) as seen:
        seen.wait_synced()
        gate.shut()
        kube.delete("Node", "n1")
        kube.delete("EndpointSlice", "s-2")
        kube.create(node("n9"))
        kube.compact()
        kube.kill(SERVER)
        kube.start_again(SERVER)
        gate.open()
        seen.wait_synced(timeout=40)
        assert seen.keys("Node") == ["n0", "n2", "n3", "n9"]
        assert seen.keys("EndpointSlice") == ["default/s-0", "default/s-1", "default/s-3"]
        wait_for(lambda: same_as_listed(kube, seen, tmp_path), "it knows what a list says")
        assert not seen.of(Gone)


def test_a_version_that_is_forgotten_while_the_stream_is_cut(kube: KubeApi, tmp_path: Path) -> None:
    """A server without a cache of its own answers 410 to the first attempt after the cut; that alone is not said."""
    with KubeApi(tmp_path / "uncached", ["--watch-cache=false"]) as server, Gate(server.port) as gate:
        for number in range(4):
            server.create(node(f"n{number}"))
        config = server.kubeconfig(tmp_path / "config", server=f"https://127.0.0.1:{gate.port}")
        with following(config, cidrs=CIDRS, drains=False) as seen:
            seen.wait_synced()
            lists = len(seen.of(Listed, "Node"))
            with gate.held():
                gate.cut()
                server.delete("Node", "n1")
                server.create(node("n9"))
                server.compact()
            wait_for(lambda: seen.keys("Node") == ["n0", "n2", "n3", "n9"], "the deletion is seen")
            assert len(seen.of(Listed, "Node")) == lists + 1
            assert states(seen, "Node") == [True]


def test_the_server_is_killed_and_comes_back(kube: KubeApi, config: Path, tmp_path: Path) -> None:
    sample.create(kube)
    with following(config) as seen:
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
        kube.kill(SERVER)
        wait_for(lambda: not any(seen.synced(kind) for kind in KINDS), "each says that it is away")
        assert seen.keys("Node") == ["n1", "n2", "n3"]
        kube.start_again(SERVER)
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain", timeout=40)
        wait_for(lambda: same_as_listed(kube, seen, tmp_path), "it knows what a list says")
        kube.create(node("n9"))
        wait_for(lambda: "n9" in seen.keys("Node"), "it is followed again")


def test_a_refused_connection_is_named(kube: KubeApi, tmp_path: Path) -> None:
    config = kube.kubeconfig(tmp_path / "config")
    with following(config, cidrs=CIDRS) as seen:
        seen.wait_synced()
        kube.kill(SERVER)
        expected = f"the API server {kube.server} does not answer: connection refused"
        wait_for(lambda: seen.reason("Service") == expected, "it is named")
        kube.start_again(SERVER)
        seen.wait_synced(timeout=40)


def test_a_frozen_server_is_noticed(
    kube: KubeApi, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open. That a stream is silent for a while, and resumed, is no reason to say anything."""
    monkeypatch.setattr(api, "_CONNECT_S", 1.0)
    with following(config, cidrs=CIDRS, pace=dataclasses.replace(QUICK, silence_s=1.5)) as seen:
        seen.wait_synced()
        with kube.frozen():
            wait_for(lambda: not any(seen.synced(kind) for kind in KINDS), "each says that it does not answer")
            assert "does not answer: " in seen.reason("Node")
        kube.create(node("n9"))
        seen.wait_synced(timeout=40)
        wait_for(lambda: same_as_listed(kube, seen, tmp_path), "all is as listed")


def test_silence_is_no_outage(kube: KubeApi, gate: Gate, config: Path) -> None:
    with following(config, cidrs=CIDRS, drains=False, pace=dataclasses.replace(QUICK, silence_s=2)) as seen:
        seen.wait_synced()
        wait_for(lambda: gate.passed > 6, "the streams have been resumed", timeout=60)
        assert all(states(seen, kind) == [True] for kind in KINDS)
        assert len(seen.of(Listed)) == len(KINDS)


def test_etcd_is_paused(kube: KubeApi, gate: Gate, config: Path, tmp_path: Path) -> None:
    """The API server serves streams from its cache meanwhile."""
    sample.create(kube)
    with following(config) as seen:
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
        with kube.etcd_frozen():
            before = gate.passed
            gate.cut()
            wait_for(lambda: gate.passed >= before + 5, "all have come again")
        kube.delete("Node", "n3")
        wait_for(lambda: seen.keys("Node") == ["n1", "n2"], "the deletion is seen", timeout=40)
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain", timeout=40)
        wait_for(lambda: same_as_listed(kube, seen, tmp_path), "it knows what a list says")


def test_etcd_is_paused_at_the_start(kube: KubeApi, config: Path, tmp_path: Path) -> None:
    """A list that is not older than the question cannot be had: that is said, not taken for an empty cluster."""
    sample.create(kube)
    quick = dataclasses.replace(QUICK, list_s=0.3)
    with kube.etcd_frozen(), following(config, cidrs=CIDRS, drains=False, pace=quick) as seen:
        wait_for(lambda: "does not answer: no answer within 0.3 s" in seen.reason("Node"), "it says that no list comes")
        assert not seen.of(Listed)
    with following(config, cidrs=CIDRS) as seen:
        seen.wait_synced(timeout=40)
        wait_for(lambda: same_as_listed(kube, seen, tmp_path), "it knows what a list says")


def test_a_token_is_rotated(tmp_path: Path) -> None:
    """The former one is refused by a server that has started anew."""
    with KubeApi(tmp_path / "rotating") as server:
        resources = (("", "nodes"), ("", "services"), ("discovery.k8s.io", "endpointslices"))
        server.allow(READER, *((group, resource, "get,list,watch") for group, resource in resources))
        token, tokens = tmp_path / "token", server.folder / "tokens.csv"
        token.write_text("token-of-reader")
        config = server.kubeconfig(tmp_path / "config", credentials={"tokenFile": str(token)})
        with following(config, cidrs=CIDRS, drains=False) as seen:
            seen.wait_synced()
            server.kill(SERVER)
            tokens.write_text(tokens.read_text().replace("token-of-reader,", "fresh-token,"))
            server.start_again(SERVER)
            wait_for(lambda: all("(401)" in seen.reason(kind) for kind in KINDS), "the former token is refused")
            fresh = tmp_path / "fresh"
            fresh.write_text("fresh-token")
            fresh.rename(token)
            seen.wait_synced(timeout=40)


def test_without_lists_as_streams(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "k8s_ecmp.kube")
    with KubeApi(tmp_path / "older", ["--feature-gates=WatchList=false"]) as server:
        sample.create(server)
        with following(server.kubeconfig(tmp_path / "config"), cidrs=CIDRS) as seen:
            seen.wait_synced(*KINDS, "Drain")
            wait_for(lambda: same_as_listed(server, seen, tmp_path), "it knows what a list says")
            assert "no list of Node objects as a stream" in caplog.text
            server.create(node("n9"))
            wait_for(lambda: "n9" in seen.keys("Node"), "it is followed")
            assert states(seen, "Node") == [True]


class TestStop:
    def test_while_all_is_in_order(self, kube: KubeApi, config: Path) -> None:
        seen = Recorder()
        follow = Follow(ClusterSettings(kubeconfig=str(config)), seen, pace=QUICK)
        follow.start()
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
        assert follow.stop(10)

    def test_while_the_server_is_away(self, kube: KubeApi, gate: Gate, config: Path) -> None:
        seen = Recorder()
        gate.shut()
        follow = Follow(
            ClusterSettings(kubeconfig=str(config)),
            seen,
            pace=dataclasses.replace(QUICK, first_pause_s=1000, longest_pause_s=1000),
        )
        follow.start()
        wait_for(lambda: all(seen.reason(kind) for kind in KINDS), "all wait for the next attempt")
        assert follow.stop(10)

    def test_while_it_starts(self, kube: KubeApi, config: Path) -> None:
        for _ in range(20):
            seen = Recorder()
            follow = Follow(ClusterSettings(kubeconfig=str(config)), seen, pace=QUICK)
            follow.start()
            follow.stop(0)
            told = len(seen.updates)
            assert follow.stop(10)
            assert len(seen.updates) == told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_restarts_with_changes_in_each_gap(kube: KubeApi, gate: Gate, config: Path, tmp_path: Path) -> None:
    """`make chaos`: twenty in a row."""
    with following(config) as seen:
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")
        for number in range(int(os.environ.get("K8S_ECMP_CHAOS", "6"))):
            kube.create(node(f"n{number}"))
            kube.create(piece(f"s-{number}"))
            wait_for(lambda number=number: f"default/s-{number}" in seen.keys("EndpointSlice"), "the slice is there")
            gate.shut()
            kube.delete("Node", f"n{number}")
            kube.delete("EndpointSlice", f"s-{number}")
            kube.create(node(f"m{number}"))
            kube.compact()
            kube.kill(SERVER)
            kube.start_again(SERVER)
            gate.open()
            seen.wait_synced(*KINDS, "ServiceCIDR", "Drain", timeout=40)
            wait_for(lambda: same_as_listed(kube, seen, tmp_path), "it knows what a list says")

"""Events against a real API server: as kubectl shows them, counted instead of repeated, and never in anybody's way."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.kube import events
from k8s_ecmp.kube.events import Recorder
from k8s_ecmp.settings import ClusterSettings
from tests.kube.relay import PutOff, Relay
from tests.world.kube import sample
from tests.world.kube.server import ADMIN, READER, KubeApi
from tests.world.netns import wait_for

pytestmark = pytest.mark.kubeworld
EVENTS = "/api/v1/namespaces/default/events"


@pytest.fixture
def kube(kube_api: KubeApi) -> Iterator[KubeApi]:
    yield kube_api
    for namespace in ("default", "kube-system"):
        kube_api.request("DELETE", f"/api/v1/namespaces/{namespace}/events")


@pytest.fixture
def made() -> Iterator[list[Recorder]]:
    recorders: list[Recorder] = []
    yield recorders
    for recorder in recorders:
        recorder.stop()


def recorder(kube: KubeApi, folder: Path, made: list[Recorder], user: str = ADMIN, **options: Any) -> Recorder:
    config = kube.kubeconfig(folder / "config", user)
    out = Recorder(ClusterSettings(kubeconfig=str(config)), instance="host-1", **options)
    out.start()
    made.append(out)
    return out


def written(kube: KubeApi, reason: str) -> list[dict[str, Any]]:
    return [event for event in kube.get(EVENTS)["items"] if event["reason"] == reason]


def test_kubectl_describe_shows_it(kube: KubeApi, tmp_path: Path, made: list[Recorder]) -> None:
    sample.create(kube)
    out = recorder(kube, tmp_path, made)
    uid = kube.get("/api/v1/nodes/n2")["metadata"]["uid"]
    out.emit("Node", None, "n2", uid, "Normal", events.ROUTES_WITHDRAWN, "left 3 routes on 2 routers: draining")
    # Without a uid it is asked for.
    out.emit("Service", "kube-system", "kube-dns", None, "Warning", events.ROUTE_CONFLICT, "10.43.0.10/32 on r1")
    wait_for(lambda: "left 3 routes" in kube.kubectl("describe", "node", "n2"), "the node's event is there")
    wait_for(
        lambda: "10.43.0.10/32 on r1" in kube.kubectl("describe", "service", "-n", "kube-system", "kube-dns"),
        "the service's event is there",
    )
    event = written(kube, "RoutesWithdrawn")[0]
    assert event["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "n2", "uid": uid}
    assert event["source"] == {"component": "k8s-ecmp"}
    assert (event["reportingComponent"], event["reportingInstance"]) == ("k8s-ecmp", "host-1")
    assert (event["type"], event["count"]) == ("Normal", 1)


def test_the_same_again_is_counted(kube: KubeApi, tmp_path: Path, made: list[Recorder]) -> None:
    kube.create(sample.node(1))
    out = recorder(kube, tmp_path, made, suppress_s=0)
    for _ in range(3):
        out.emit("Node", None, "n1", "u", "Normal", "Again", "same")
    wait_for(lambda: [event["count"] for event in written(kube, "Again")] == [3], "it is counted")
    # The API server forgets events after an hour; then there is a new one.
    kube.request("DELETE", EVENTS)
    out.emit("Node", None, "n1", "u", "Normal", "Again", "same")
    wait_for(lambda: [event["count"] for event in written(kube, "Again")] == [4], "it is there again")


def test_the_same_within_ten_minutes_costs_no_request(kube: KubeApi, tmp_path: Path, made: list[Recorder]) -> None:
    kube.create(sample.node(1))
    out = recorder(kube, tmp_path, made)
    for number in (1, 1, 1, 2):
        out.emit("Node", None, "n1", "u", "Normal", f"Reason{number}", "same")
    wait_for(lambda: written(kube, "Reason2"), "the last one is there")
    assert [event["count"] for event in written(kube, "Reason1")] == [1]
    assert out.dropped == 0


def test_what_is_forbidden_is_said_once_and_blocks_nobody(
    kube: KubeApi, tmp_path: Path, made: list[Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    out = recorder(kube, tmp_path, made, READER)
    with caplog.at_level(logging.INFO, "k8s_ecmp.kube.events"):
        for number in range(50):
            out.emit("Node", None, "n1", "u", "Normal", "Reason", f"message {number}")
        wait_for(lambda: out.dropped == 50, "all are given up")
    assert len(caplog.records) == 1
    assert "create events" in caplog.text
    assert "403" in caplog.text


def test_a_busy_server_is_left_in_peace_for_as_long_as_it_asks(
    kube: KubeApi, tmp_path: Path, made: list[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_PAUSE_S", 0)
    relay = Relay(kube, tmp_path)
    try:
        out = Recorder(ClusterSettings(kubeconfig=str(relay.config)))
        made.append(out)
        out.start()
        relay.put_off = PutOff("POST", retry_after="3600")
        for number in range(3):
            out.emit("Node", None, "n1", "u", "Normal", "Reason", f"message {number}")
        wait_for(lambda: out.dropped == 3, "all are given up")
        assert relay.arrived("POST") == 1
    finally:
        out.stop()
        relay.close()


def test_a_silent_server_fills_the_queue_and_no_more(kube: KubeApi, tmp_path: Path, made: list[Recorder]) -> None:
    out = recorder(kube, tmp_path, made)
    with kube.frozen():
        for number in range(1000):
            out.emit("Node", None, "n1", "u", "Normal", "Reason", f"message {number}")
        # One is on its way, as many as the queue holds wait, the others are gone.
        assert out.dropped >= 1000 - 2 * out._queue.maxsize
    assert out.dropped > 0


def test_no_cluster_at_all(tmp_path: Path, made: list[Recorder], caplog: pytest.LogCaptureFixture) -> None:
    out = Recorder(ClusterSettings(kubeconfig=str(tmp_path / "absent")))
    made.append(out)
    out.start()
    with caplog.at_level(logging.WARNING, "k8s_ecmp.kube.events"):
        out.emit("Node", None, "n1", None, "Normal", "Reason", "message")
        wait_for(lambda: out.dropped == 1, "it is given up")
    assert "there is no kubeconfig" in caplog.text

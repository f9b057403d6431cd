"""What of an object is news: what is read of it, and nothing else."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from k8s_ecmp.kube.watched import NODES, SERVICES, SLICES, Seen, Watched
from tests.kube.build import node, piece, service
from tests.kube.teller import line

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"}
NODE = node(
    metadata={"labels": {"rack": "a"}, "annotations": {"k8s-ecmp.io/next-hops": "192.0.2.1", "csi": "1"}},
    spec={"taints": [{"key": "k", "effect": "NoSchedule"}], "podCIDRs": ["10.244.0.0/24"]},
    status={
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "conditions": [{**READY, "lastHeartbeatTime": "2026-03-01T10:00:00Z"}],
        "images": [{"sizeBytes": 1}],
    },
)
SERVICE = service(externalIPs=["192.0.2.9"], ingress=[{"ip": "192.0.2.8"}], externalTrafficPolicy="Local")
PIECE = piece()

Change = Callable[[Any], object]


def again(watched: Watched[Any], document: dict[str, Any], change: Change) -> Seen[Any]:
    """The object after a change, for somebody who knows it as it was before."""
    changed = copy.deepcopy(document)
    change(changed)
    decoder = watched.event_decoder()
    before, after = (decoder.decode(line("MODIFIED", item)).object for item in (document, changed))
    first = watched.seen(before)
    assert first.item is not None
    assert not first.same
    return watched.seen(after, {first.key: first.digest})


@pytest.mark.parametrize(
    ("watched", "document", "change"),
    [
        (NODES, NODE, lambda o: o["metadata"].update(resourceVersion="7")),
        (NODES, NODE, lambda o: o["metadata"]["annotations"].update(csi="2", other="x")),
        (NODES, NODE, lambda o: o["status"]["conditions"][0].update(lastHeartbeatTime="2026-03-01T10:00:10Z")),
        (NODES, NODE, lambda o: o["status"].update(images=[])),
        (SERVICES, SERVICE, lambda o: o["metadata"].update(resourceVersion="7", generation=3)),
        (SERVICES, SERVICE, lambda o: o["metadata"].update(annotations={"helm": "x"})),
        (SLICES, PIECE, lambda o: o["metadata"].update(annotations={"last-change-trigger-time": "x"})),
        (SLICES, PIECE, lambda o: o["metadata"]["labels"].update(app="x")),
    ],
)
def test_what_nobody_reads_is_no_news(watched: Watched[Any], document: dict[str, Any], change: Change) -> None:
    seen = again(watched, document, change)
    assert seen.same
    assert seen.item is None


@pytest.mark.parametrize(
    ("watched", "document", "change"),
    [
        (NODES, NODE, lambda o: o["metadata"]["labels"].update(rack="b")),
        (NODES, NODE, lambda o: o["metadata"]["annotations"].update({"k8s-ecmp.io/drain": "true"})),
        (NODES, NODE, lambda o: o["metadata"].update(deletionTimestamp="2026-03-01T10:00:00Z")),
        (NODES, NODE, lambda o: o["metadata"].update(creationTimestamp="2026-03-01T10:00:00Z")),
        (NODES, NODE, lambda o: o["spec"]["taints"][0].update(effect="NoExecute")),
        (NODES, NODE, lambda o: o["spec"].update(unschedulable=True)),
        (NODES, NODE, lambda o: o["spec"].update(podCIDRs=["10.244.1.0/24"])),
        (NODES, NODE, lambda o: o["status"]["addresses"][0].update(address="10.0.0.2")),
        (NODES, NODE, lambda o: o["status"]["conditions"][0].update(status="False")),
        (NODES, NODE, lambda o: o["status"]["conditions"][0].update(lastTransitionTime="2026-03-01T10:00:01Z")),
        (SERVICES, SERVICE, lambda o: o["metadata"].update(labels={"a": "b"})),
        (SERVICES, SERVICE, lambda o: o["metadata"].update(annotations={"k8s-ecmp.io/advertise": "true"})),
        (SERVICES, SERVICE, lambda o: o["spec"].update(type="NodePort")),
        (SERVICES, SERVICE, lambda o: o["spec"].update(clusterIP="10.96.0.6")),
        (SERVICES, SERVICE, lambda o: o["spec"].update(externalIPs=[])),
        (SERVICES, SERVICE, lambda o: o["spec"].update(externalTrafficPolicy="Cluster")),
        (SERVICES, SERVICE, lambda o: o["spec"].update(internalTrafficPolicy="Local")),
        (SERVICES, SERVICE, lambda o: o["status"]["loadBalancer"]["ingress"][0].update(ipMode="Proxy")),
        (SLICES, PIECE, lambda o: o["metadata"]["labels"].update({"kubernetes.io/service-name": "other"})),
        (SLICES, PIECE, lambda o: o["endpoints"][0]["conditions"].update(ready=False)),
        (SLICES, PIECE, lambda o: o["endpoints"][0]["conditions"].update(terminating=True)),
        (SLICES, PIECE, lambda o: o["endpoints"][0].update(nodeName="n2")),
        (SLICES, PIECE, lambda o: o["endpoints"][0].update(addresses=[])),
        (SLICES, PIECE, lambda o: o.update(endpoints=[])),
    ],
)
def test_what_is_read_is_news(watched: Watched[Any], document: dict[str, Any], change: Change) -> None:
    seen = again(watched, document, change)
    assert not seen.same
    assert seen.item is not None


def test_what_can_no_longer_be_read_is_news() -> None:
    seen = again(NODES, NODE, lambda o: o["status"]["addresses"][0].update(address="10.0.0"))
    assert not seen.same
    assert seen.broken is not None

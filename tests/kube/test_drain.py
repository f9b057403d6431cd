"""What stands on the Node and on the Lease during a drain."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import ClusterRefused
from k8s_ecmp.kube import drain as drains
from k8s_ecmp.kube.drain import (
    DRAINED_ANNOTATION,
    Ack,
    DrainedNode,
    LeaseWatch,
    acknowledgement,
    decode_acks,
    decode_pending,
    encode_acks,
    encode_pending,
)
from k8s_ecmp.kube.lease import Elector
from k8s_ecmp.kube.writes import Writer
from k8s_ecmp.settings import ClusterSettings, LeaseSettings
from tests.world.kube import sample
from tests.world.kube.server import Failed, KubeApi
from tests.world.netns import wait_for

ACK = Ack(id="d1", uid="u1", at="2026-01-05T08:15:30Z", kept=("10.96.0.10/32",))
NODE = DrainedNode(name="n1", uid="u1", asked=True, drain_id="d1", marked=True)


def test_the_form_of_an_acknowledgement() -> None:
    assert json.loads(str(encode_acks({"n1": ACK}))) == {
        "n1": {"id": "d1", "uid": "u1", "at": "2026-01-05T08:15:30Z", "kept": ["10.96.0.10/32"], "more": 0}
    }
    assert encode_acks({}) is None


@given(st.dictionaries(st.text(), st.builds(Ack, st.text(), st.text(), st.text(), st.lists(st.text()).map(tuple))))
def test_acknowledgements_come_back(acks: dict[str, Ack]) -> None:
    assert decode_acks(encode_acks(acks)) == acks


@given(st.text() | st.none())
def test_text_that_is_none_is_no_acknowledgement(text: str | None) -> None:
    assert all(isinstance(ack, Ack) for ack in decode_acks(text).values())
    assert isinstance(decode_pending(text), dict)


def test_an_acknowledgement_without_the_later_field() -> None:
    text = '{"n1": {"id": "d1", "uid": "", "at": "2026-01-05T08:15:30Z", "kept": []}}'
    assert decode_acks(text)["n1"].id == "d1"


def test_it_fits_into_an_annotation_and_says_what_it_leaves_out() -> None:
    many = {
        f"n{node}": Ack(f"d{node}", "u", "t", tuple(f"10.{node}.{i >> 8}.{i & 255}/32" for i in range(10_000)))
        for node in range(5)
    }
    text = str(encode_acks(many))
    assert len(text) <= 100_000
    found = decode_acks(text)
    assert {name: ack.id for name, ack in found.items()} == {f"n{node}": f"d{node}" for node in range(5)}
    assert all(len(ack.kept) + ack.more == 10_000 for ack in found.values())


@pytest.mark.parametrize(
    ("ack", "counts"),
    [
        (ACK, True),
        (Ack("d1", "", "t"), True),
        (Ack("d0", "u1", "t"), False),
        (Ack("", "u1", "t"), False),
        (Ack("d1", "another node of that name", "t"), False),
    ],
)
def test_which_acknowledgement_counts(ack: Ack, counts: bool) -> None:
    assert (acknowledgement({"n1": ack}, NODE) is not None) is counts
    assert acknowledgement({"n2": ack}, NODE) is None


def test_without_an_id_nothing_counts() -> None:
    node = DrainedNode(name="n1", uid="u1", asked=True, drain_id="", marked=True)
    assert acknowledgement({"n1": Ack("", "u1", "t")}, node) is None


def test_what_is_pending_comes_back() -> None:
    pending = {"n1": {"r1": ["10.96.0.0/12"], "r2": ["does not answer"]}}
    assert decode_pending(encode_pending(pending)) == pending
    assert encode_pending({}) is None
    shortened = decode_pending(encode_pending({"n1": {"r1": [f"10.0.0.{i}/32" for i in range(200)]}}))
    assert len(shortened["n1"]["r1"]) == 20


# --- against a real API server


@pytest.fixture
def writer(kube_api: KubeApi, tmp_path: Path) -> Writer:
    sample.create(kube_api)
    return Writer(ClusterSettings(kubeconfig=str(kube_api.kubeconfig(tmp_path / "config"))))


def annotations(kube: KubeApi, node: str) -> dict[str, str]:
    return dict(kube.get(f"/api/v1/nodes/{node}")["metadata"].get("annotations", {}))


@pytest.mark.kubeworld
def test_drain_and_back(kube_api: KubeApi, writer: Writer) -> None:
    kube_api.patch("/api/v1/nodes/n2", {"metadata": {"annotations": {"theirs": "stays"}}})
    before = drains.read_node(writer, "n2")
    assert (before.asked, before.drain_id, before.marked) == (False, "", False)
    asked = drains.ask_to_drain(writer, before)
    assert annotations(kube_api, "n2") == {
        "theirs": "stays",
        "k8s-ecmp.io/drain": "true",
        "k8s-ecmp.io/drain-id": asked.drain_id,
    }
    assert drains.read_node(writer, "n2") == asked
    assert drains.ask_to_drain(writer, asked) == asked
    assert drains.ask_to_drain(writer, asked, anew=True).drain_id != asked.drain_id
    drains.take_back(writer, asked)
    assert annotations(kube_api, "n2") == {"theirs": "stays"}
    assert drains.take_back(writer, drains.read_node(writer, "n2")).asked is False


@pytest.mark.kubeworld
@pytest.mark.parametrize("value", ["true", "false"])
def test_an_annotation_that_somebody_set_by_hand(kube_api: KubeApi, writer: Writer, value: str) -> None:
    """It gets an id; and one that was left over from an earlier drain is not used again once the node was back."""
    left = (
        {"k8s-ecmp.io/drain": value} if value == "true" else {"k8s-ecmp.io/drain": "false", "k8s-ecmp.io/drain-id": "x"}
    )
    kube_api.patch("/api/v1/nodes/n2", {"metadata": {"annotations": left}})
    asked = drains.ask_to_drain(writer, drains.read_node(writer, "n2"))
    assert asked.asked
    assert asked.drain_id not in ("", "x")


@pytest.mark.kubeworld
def test_both_annotations_come_in_one_write(kube_api: KubeApi, writer: Writer) -> None:
    """Whoever watches the node sees it asked to drain and under which id, or not asked at all."""
    before = int(kube_api.get("/api/v1/nodes/n2")["metadata"]["resourceVersion"])
    asked = drains.ask_to_drain(writer, drains.read_node(writer, "n2"))
    seen = kube_api.request(
        "GET",
        f"/api/v1/nodes?watch=true&resourceVersion={before}&timeoutSeconds=1&fieldSelector=metadata.name=n2",
        text=True,
    )
    versions = [json.loads(line)["object"]["metadata"]["annotations"] for line in seen.splitlines()]
    assert versions == [{"k8s-ecmp.io/drain": "true", "k8s-ecmp.io/drain-id": asked.drain_id}]


@pytest.mark.kubeworld
@pytest.mark.parametrize("name", ["absent", "n2/status", "../pods"])
def test_a_node_that_is_not_there(writer: Writer, name: str) -> None:
    with pytest.raises(ClusterRefused, match=f"the cluster has no node {name}"):
        drains.read_node(writer, name)


class Watched:
    """A Lease that daemons write and one looks at."""

    def __init__(self, kube: KubeApi, writer: Writer, folder: Path) -> None:
        self.kube, self.writer = kube, writer
        self.settings = LeaseSettings(duration_s=2, renew_deadline_s=1.5, retry_s=0.1, identity="daemon")
        self.cluster = ClusterSettings(kubeconfig=str(folder / "config"))
        self.electors: list[Elector] = []

    def daemon(self) -> Elector:
        made = Elector(self.cluster, self.settings, "watched")
        self.electors.append(made)
        made.start()
        wait_for(lambda: made.leading, "the daemon leads")
        return made

    def watch(self) -> LeaseWatch:
        return LeaseWatch(self.writer, self.settings, "watched")

    def write(self, **spec: Any) -> None:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "k8s-ecmp-watched"},
            "spec": {"leaseDurationSeconds": 2, **spec},
        }
        self.kube.request("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", body)


@pytest.fixture
def watched(kube_api: KubeApi, writer: Writer, tmp_path: Path) -> Iterator[Watched]:
    made = Watched(kube_api, writer, tmp_path)
    yield made
    for elector in made.electors:
        elector.stop()
    try:
        kube_api.request("DELETE", "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp-watched")
    except Failed as error:
        if "404" not in str(error):
            raise


def look(watch: LeaseWatch) -> tuple[str | None, bool]:
    watch.look()
    return watch.holder, watch.undecided


@pytest.mark.kubeworld
def test_a_daemon_that_leads_is_seen_at_once(watched: Watched) -> None:
    watch = watched.watch()
    assert look(watch) == (None, False)
    daemon = watched.daemon()
    assert look(watch) == ("daemon", False)
    assert look(watched.watch()) == ("daemon", False)
    daemon.stop()
    # Given back a moment ago: a standby may be about to take it.
    assert look(watch) == (None, True)
    wait_for(lambda: look(watch) == (None, False), "nobody does")


@pytest.mark.kubeworld
@pytest.mark.parametrize("year", [2000, 2100])
def test_a_lease_that_looks_old_is_watched(watched: Watched, year: int) -> None:
    watched.write(holderIdentity="dead or behind", renewTime=f"{year}-01-01T00:00:00.000000Z")
    watch = watched.watch()
    assert look(watch) == (None, True)
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/k8s-ecmp-watched"
    watched.kube.patch(path, {"spec": {"renewTime": f"{year}-01-01T00:00:01.000000Z"}})
    assert look(watch) == ("dead or behind", False)
    wait_for(lambda: look(watch)[0] is None, "it has not changed for its duration")
    assert not watch.undecided


@pytest.mark.kubeworld
def test_a_lease_without_times_is_nobodys_when_it_does_not_change(watched: Watched) -> None:
    watched.write(holderIdentity="odd")
    watch = watched.watch()
    assert look(watch) == (None, True)
    wait_for(lambda: look(watch) == (None, False), "it has not changed for its duration")


@pytest.mark.kubeworld
def test_the_daemons_answer_is_read_from_its_lease(watched: Watched) -> None:
    daemon, watch = watched.daemon(), watched.watch()
    asked = drains.ask_to_drain(watched.writer, drains.read_node(watched.writer, "n2"))
    acks = {"n2": Ack("of an earlier drain", asked.uid, "t")}
    daemon.annotate(DRAINED_ANNOTATION, encode_acks(acks))
    daemon.annotate(drains.DRAIN_PENDING_ANNOTATION, encode_pending({"n2": {"r1": ["10.96.0.0/12"]}}))
    wait_for(lambda: len(daemon.annotations()) == 2, "it is written")
    watch.look()
    assert watch.ack(asked) is None
    assert watch.pending(asked) == {"r1": ["10.96.0.0/12"]}
    daemon.annotate(DRAINED_ANNOTATION, encode_acks({"n2": Ack(asked.drain_id, asked.uid, "t", ("10.43.0.10/32",))}))

    def confirmed() -> Ack | None:
        watch.look()
        return watch.ack(asked)

    found = wait_for(confirmed, "it is confirmed")
    assert found.kept == ("10.43.0.10/32",)

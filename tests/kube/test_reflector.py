"""List and watch against answers that are prepared: broken objects, forgotten versions, servers on their worst days."""

import dataclasses
import logging
from typing import Any

import pytest

from k8s_ecmp.kube.follow import Follow
from k8s_ecmp.kube.updates import Changed, Gone, Listed, Update
from k8s_ecmp.model import Skipped
from k8s_ecmp.settings import ClusterSettings
from tests.kube.build import at, node, piece, service
from tests.kube.recorder import KINDS, QUICK, Recorder, following
from tests.kube.teller import (
    NODES,
    SERVICES,
    SLICES,
    Answer,
    Teller,
    bookmark,
    gone,
    line,
    listing,
    page,
    refusal,
    stream,
)
from tests.world.netns import wait_for

CIDRS = ("10.96.0.0/12",)
PATIENT = dataclasses.replace(QUICK, shortest_stream_s=60.0)
"""A stream that ends within the test counts as a failure."""


def follow(teller: Teller, **changes: Any) -> Any:
    return following(teller.config, **{"cidrs": CIDRS, "drains": False, **changes})


class TestBrokenObjects:
    def test_in_a_list(self, teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
        """As a stream or in pages: each skips only itself, and unknown fields and nulls are no flaw."""
        odd: dict[str, Any] = {
            "kind": "Node",
            "metadata": {"name": "odd", "labels": None, "x": 1},
            "spec": None,
            "status": None,
            "y": [],
        }
        items = [
            node("n1"),
            node("bad", spec={"taints": 5}),
            {"kind": "Node", "metadata": {"name": ["?"]}},
            odd,
            node("wrong", status={"addresses": [{"type": "InternalIP", "address": "1.2.3"}]}),
            None,
            node("n2"),
        ]
        expected = {
            "bad": Skipped("Node bad", "spec.taints: 5 is not a list"),
            "wrong": Skipped("Node wrong", "status.addresses[0].address: '1.2.3' is not an IP address"),
        }
        for way in (listing(*items), refusal(422)):
            caplog.clear()
            teller.prepare(NODES, "stream", way)
            teller.prepare(NODES, "list", page(*items))
            with follow(teller) as seen:
                seen.wait_synced()
                assert seen.keys("Node") == ["n1", "n2", "odd"]
                assert {key: skipped for key, skipped in seen.broken["Node"].items() if key} == expected
                assert seen.broken["Node"][""].object == "Node without a name"
            for skipped in expected.values():
                assert caplog.text.count(f"{skipped.object} cannot be read and counts as absent: {skipped.reason}") == 1

    def test_in_a_watch(self, teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
        bad = node("n1", spec={"unschedulable": "yes"})
        told = [
            line("MODIFIED", at("6", bad)),
            line("MODIFIED", at("7", bad)),
            line("ADDED", at("8", node("n3", spec={"podCIDR": "x"}))),
            line("MODIFIED", at("9", node("n2", spec={"unschedulable": True}))),
            line("MODIFIED", at("10", node("n1"))),
            line("DELETED", at("11", node("n3"))),
            line("MODIFIED", at("12", bad)),
            line("ADDED", at("13", node("last"))),
        ]
        teller.prepare(NODES, "stream", listing(node("n1"), node("n2"), after=told))
        with follow(teller) as seen:
            wait_for(lambda: "last" in seen.keys("Node"), "all is told")
            flaw = Skipped("Node n1", 'spec.unschedulable: "yes" is not true or false')
            updates = [update for update in seen.updates if isinstance(update, Changed | Gone)]
            assert [(type(update), update.key) for update in updates] == [
                (Gone, "n1"),
                (Gone, "n3"),
                (Changed, "n2"),
                (Changed, "n1"),
                (Gone, "n3"),
                (Gone, "n1"),
                (Changed, "last"),
            ]
            assert updates[0] == Gone("Node", "n1", flaw)
            assert updates[4] == Gone("Node", "n3")
            assert seen.broken["Node"] == {"n1": flaw}
        assert caplog.text.count(str(flaw.reason)) == 2  # it was whole in between

    def test_no_version_is_lost_to_them(self, teller: Teller) -> None:
        bad = node("n1", spec=5)
        teller.prepare(NODES, "stream", listing(after=[line("ADDED", at("77", bad))], end="end"))
        with follow(teller) as seen:
            wait_for(lambda: teller.queries(NODES, "watch"), "the stream is resumed")
            assert teller.queries(NODES, "watch")[0]["resourceVersion"] == "77"
            assert seen.broken["Node"] == {"n1": Skipped("Node n1", "spec: 5 is not a mapping")}

    def test_a_slice_of_host_names(self, teller: Teller) -> None:
        """Nothing that kube-proxy reads; only one that belongs to a service is named."""
        named, other = piece("s-1", addressType="FQDN"), piece("s-2", None, addressType="FQDN")
        after = [
            line("MODIFIED", at("6", piece("s-3", None, addressType="FQDN"))),
            line("ADDED", at("7", piece("s-4"))),
        ]
        teller.prepare(SLICES, "stream", listing(named, other, piece("s-3"), after=after))
        with follow(teller) as seen:
            wait_for(lambda: "default/s-4" in seen.keys("EndpointSlice"), "all is told")
            assert seen.keys("EndpointSlice") == ["default/s-4"]
            assert seen.broken["EndpointSlice"] == {
                "default/s-1": Skipped("EndpointSlice default/s-1", "addressType FQDN")
            }

    def test_what_is_no_watch(self, teller: Teller) -> None:
        """It is said, and everything is listed again."""
        teller.prepare(NODES, "stream", listing(after=[b"<html>\n"]), listing(node("n1")))
        with follow(teller, pace=PATIENT) as seen:
            wait_for(lambda: seen.keys("Node") == ["n1"], "the node is there")
            seen.wait_synced()
            said = f"the API server {teller.url} sends no watch: a line is no JSON"
            assert seen.states_of("Node") == [(True, None), (False, said), (True, None)]


class TestEvents:
    def test_duplicates_and_what_nobody_knows(self, teller: Teller) -> None:
        told = [
            line("ADDED", at("5", service("a"))),
            line("MODIFIED", at("6", service("a"))),
            line("DELETED", at("7", service("never-seen"))),
            line("DELETED", at("8", service("a"))),
            line("DELETED", at("8", service("a"))),
            line("ADDED", at("9", service("a"))),
            line("ADDED", at("9", service("a"))),
            line("ADDED", at("10", service("last"))),
        ]
        teller.prepare(SERVICES, "stream", listing(service("a"), after=told))
        with follow(teller) as seen:
            wait_for(lambda: "default/last" in seen.keys("Service"), "all is told")
            updates = [(type(u), u.key) for u in seen.updates if isinstance(u, Changed | Gone)]
            assert updates == [(Gone, "default/a"), (Changed, "default/a"), (Changed, "default/last")]

    def test_cut_anywhere(self, teller: Teller) -> None:
        """Chunks of one byte, several events in one chunk, empty lines."""
        text = b"".join(line("ADDED", at(str(number), node(f"näme-{number}"))) for number in range(20))
        whole = text + b"\n\n" + bookmark("20", end=True)
        last = line("ADDED", at("21", node("last"))) + line("DELETED", at("22", node("näme-3")))
        parts = (*(whole[place : place + 1] for place in range(len(whole))), last)
        teller.prepare(NODES, "stream", stream(*parts))
        with follow(teller) as seen:
            wait_for(lambda: "last" in seen.keys("Node") and "näme-3" not in seen.keys("Node"), "all is told")
            assert len(seen.keys("Node")) == 20
            assert len(seen.of(Listed, "Node")) == 1

    @pytest.mark.parametrize("form", ["plain", "gzip"])
    def test_what_a_proxy_makes_of_it(self, teller: Teller, form: str) -> None:
        """Without chunks, or compressed."""
        parts = (line("ADDED", node("n1")), bookmark("5", end=True), line("ADDED", at("9", node("n2"))))
        teller.prepare(NODES, "stream", Answer(200, parts, form=form))
        with follow(teller) as seen:
            wait_for(lambda: teller.queries(NODES, "watch"), "it is resumed")
            assert seen.keys("Node") == ["n1", "n2"]
            assert teller.queries(NODES, "watch")[0]["resourceVersion"] == "9"

    def test_stopping_where_a_proxy_makes_something_of_it(self, teller: Teller) -> None:
        """No more is known of such a stream than its socket."""
        teller.prepare(NODES, "stream", listing(node("n1"))._replace(form="plain"))
        seen = Recorder()
        made = Follow(ClusterSettings(kubeconfig=str(teller.config), service_cidrs=CIDRS), seen, pace=QUICK)
        made.start()
        seen.wait_synced()
        assert made.stop(5)

    def test_deleted_within_the_list(self, teller: Teller) -> None:
        parts = [
            line("ADDED", node("n1")),
            line("ADDED", node("n2")),
            line("DELETED", node("n1")),
            bookmark("5", end=True),
        ]
        teller.prepare(NODES, "stream", stream(*parts))
        with follow(teller) as seen:
            seen.wait_synced()
            assert seen.keys("Node") == ["n2"]


class TestVersions:
    def test_what_is_asked(self, teller: Teller) -> None:
        with follow(teller) as seen:
            seen.wait_synced()
            (query,) = teller.queries(NODES)
            assert 300 <= int(query.pop("timeoutSeconds")) <= 600
            assert query == {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "sendInitialEvents": "true",
                "resourceVersionMatch": "NotOlderThan",
            }

    def test_a_watch_that_ends_is_resumed_after_the_last_event(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", listing(node("n1"), after=[line("ADDED", at("8", node("n2")))], end="end"))
        teller.prepare(
            NODES,
            "watch",
            stream(bookmark("12"), end="end"),
            stream(line("ADDED", at("13", node("n3"))), end="cut"),
            stream(),
        )
        with follow(teller) as seen:
            wait_for(lambda: len(teller.queries(NODES, "watch")) == 3, "it is resumed")
            assert [query["resourceVersion"] for query in teller.queries(NODES, "watch")] == ["8", "12", "13"]
            assert seen.keys("Node") == ["n1", "n2", "n3"]
            assert seen.states_of("Node") == [(True, None)]
            assert len(seen.of(Listed, "Node")) == 1

    @pytest.mark.parametrize("form", [stream(gone()), refusal(410)], ids=["event", "status"])
    def test_a_forgotten_version(self, teller: Teller, form: Answer) -> None:
        """What was deleted in the gap is missing from the new list; nobody is told of an outage."""
        teller.prepare(NODES, "stream", listing(node("n1"), node("n2"), end="end"), listing(node("n2"), version="90"))
        teller.prepare(NODES, "watch", form)
        with follow(teller) as seen:
            wait_for(lambda: len(seen.of(Listed, "Node")) == 2, "it is listed again")
            assert seen.keys("Node") == ["n2"]
            assert seen.states_of("Node") == [(True, None)]
            assert teller.ways(NODES) == ["stream", "watch", "stream"]

    def test_versions_that_are_always_forgotten(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", listing(end="end"))
        teller.prepare(NODES, "watch", stream(gone()))
        with follow(teller, pace=PATIENT) as seen:
            wait_for(lambda: "ends each watch at once" in seen.reason("Node"), "it is said")

    def test_an_error_event(self, teller: Teller) -> None:
        status = {"kind": "Status", "message": "etcdserver: leader changed", "code": 500}
        teller.prepare(NODES, "stream", listing(node("n1"), after=[line("ERROR", status)]), listing(node("n2")))
        with follow(teller, pace=PATIENT) as seen:
            wait_for(lambda: seen.keys("Node") == ["n2"], "it is listed again")
            seen.wait_synced()
            broken = f"the API server {teller.url} broke off a watch: etcdserver: leader changed"
            assert seen.states_of("Node") == [(True, None), (False, broken), (True, None)]


class TestPages:
    def test_where_lists_are_no_streams(self, teller: Teller) -> None:
        for status in (400, 422):
            teller.asked.clear()
            teller.prepare(NODES, "stream", refusal(status))
            teller.prepare(NODES, "list", page(node("n1"), version="31", token="two"), page(node("n2"), version="31"))
            with follow(teller) as seen:
                seen.wait_synced()
                assert seen.keys("Node") == ["n1", "n2"]
                assert [query.get("continue") for query in teller.queries(NODES, "list")] == [None, "two"]
                assert {query["limit"] for query in teller.queries(NODES, "list")} == {"500"}
                assert teller.queries(NODES, "watch")[0]["resourceVersion"] == "31"
                assert seen.states_of("Node") == [(True, None)]

    def test_pages_that_expire(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", refusal(422))
        teller.prepare(NODES, "list", page(node("gone"), token="two"), refusal(410), page(node("n1")))
        with follow(teller) as seen:
            seen.wait_synced()
            assert seen.keys("Node") == ["n1"]
            assert len(seen.of(Listed, "Node")) == 1

    def test_a_stream_that_ends_before_its_list(self, teller: Teller) -> None:
        """Half a list is none; the next attempt asks for pages."""
        for end in ("end", "cut"):
            teller.asked.clear()
            teller.prepare(NODES, "stream", stream(line("ADDED", node("half")), end=end))
            teller.prepare(NODES, "list", page(node("n1"), node("n2")))
            with follow(teller) as seen:
                seen.wait_synced()
                assert seen.keys("Node") == ["n1", "n2"]
                assert len(seen.of(Listed, "Node")) == 1
                assert teller.ways(NODES) == ["stream", "list", "watch"]

    @pytest.mark.slow
    def test_a_stream_whose_list_does_not_end(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", stream(line("ADDED", node("half"))))
        teller.prepare(NODES, "list", page(node("n1")))
        with follow(teller, pace=dataclasses.replace(QUICK, list_s=2)) as seen:
            seen.wait_synced()
            assert seen.keys("Node") == ["n1"]
            assert teller.ways(NODES) == ["stream", "list", "watch"]

    def test_what_is_no_list(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", refusal(422))
        teller.prepare(NODES, "list", Answer(200, (b"<html>",)))
        with follow(teller) as seen:
            expected = f"the API server {teller.url} answered with something that is no list for {NODES}"
            wait_for(lambda: seen.reason("Node") == expected, "it is said")
            assert not seen.of(Listed, "Node")
            seen.wait_synced("Service", "EndpointSlice")


class TestFailures:
    def test_a_server_that_is_busy(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", refusal(429, "too many", Retry_After="0"), refusal(503), listing(node("n1")))
        with follow(teller) as seen:
            seen.wait_synced()
            assert [synced for synced, _ in seen.states_of("Node")] == [False, False, True]
            assert seen.states_of("Node")[0][1] == f"the API server {teller.url} answered 429 for {NODES}: too many"

    def test_it_waits_as_long_as_the_server_asks(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", refusal(429, Retry_After="3600"), listing(node("n1")))
        with follow(teller) as seen:
            seen.wait_synced("Service", "EndpointSlice")
            wait_for(lambda: seen.reason("Node"), "it is said")
            for number in range(20):
                # Others come again meanwhile.
                before = len(teller.queries(SERVICES))
                teller.cut()
                wait_for(lambda before=before: len(teller.queries(SERVICES)) > before, f"again, {number}")
            assert len(teller.queries(NODES)) == 1

    def test_streams_that_end_at_once(self, teller: Teller) -> None:
        teller.prepare(NODES, "stream", listing(node("n1"), end="end"))
        teller.prepare(NODES, "watch", stream(end="end"))
        with follow(teller, pace=PATIENT) as seen:
            expected = f"the API server {teller.url} ends each watch at once"
            wait_for(lambda: (False, expected) in seen.states_of("Node"), "it is said")

    def test_a_kind_that_is_not_there(self, teller: Teller) -> None:
        teller.prepare(SLICES, "stream", refusal(404))
        with follow(teller) as seen:
            wait_for(lambda: f"knows no {SLICES} (404)" in seen.reason("EndpointSlice"), "it is said")
            teller.prepare(SLICES, "stream", listing(piece("s-1")))
            seen.wait_synced()
            assert seen.keys("EndpointSlice") == ["default/s-1"]

    def test_a_consumer_that_raises(self, teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
        """The watch does not end silently: it says so, and starts again."""
        seen = Recorder()
        failures = iter([True])

        def sink(update: Update) -> None:
            if isinstance(update, Listed) and update.kind == "Node" and next(failures, False):
                raise RuntimeError("not today")
            seen(update)

        made = Follow(
            ClusterSettings(kubeconfig=str(teller.config), service_cidrs=CIDRS), sink, drains=False, pace=QUICK
        )
        made.start()
        try:
            seen.wait_synced()
        finally:
            assert made.stop(10)
        assert seen.states_of("Node") == [(False, "an internal error, see the log"), (True, None)]
        assert "not today" in caplog.text

    def test_a_reason_is_said_once(self, teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "k8s_ecmp.kube")
        teller.prepare(NODES, "stream", *[refusal(500)] * 5, listing())
        with follow(teller) as seen:
            seen.wait_synced()
            assert len(seen.states_of("Node")) == 2
        assert caplog.text.count("Node objects are not followed: ") == 1
        assert caplog.text.count("Node objects are followed again") == 1


def test_every_kind_has_its_thread(teller: Teller) -> None:
    with follow(teller, drains=True, cidrs=()) as seen:
        seen.wait_synced(*KINDS, "ServiceCIDR", "Drain")

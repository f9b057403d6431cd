"""The metrics, read as Prometheus reads them."""

import math
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from k8s_ecmp.core.guards import GUARDS
from k8s_ecmp.daemon.metrics import BUCKETS_S, Exposition, Instruments
from k8s_ecmp.report import DaemonReport
from tests.views.reports import CALM, FULL, NOW, STANDBY

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(report: DaemonReport, instruments: Instruments | None = None) -> Samples:
    text, _ = Exposition(instruments or Instruments(), lambda: report).text()
    found = [sample for family in prometheus(text.decode()) for sample in family.samples]
    out = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
    assert len(out) == len(found)  # nothing twice
    return out


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"k8s_ecmp_{name}", frozenset(labels.items())]


def test_what_the_report_says() -> None:
    found = samples(FULL)
    assert value(found, "nexthops", state="eligible") == 1
    assert value(found, "nexthops", state="draining") == 1
    assert value(found, "nexthops", state="out") == 1
    assert value(found, "pending_changes") == 5
    assert value(found, "last_success_timestamp_seconds", router="edge1") == NOW.timestamp() - 40
    assert ("k8s_ecmp_last_success_timestamp_seconds", frozenset({("router", "edge2")})) not in found
    assert value(found, "drift_routes", router="leaf-with-a-long-name") == 1
    assert value(found, "conflicts", router="leaf-with-a-long-name") == 1
    assert value(found, "conflicts", router="edge1") == 0
    assert value(found, "owned_prefixes", router="edge2") == 12
    assert value(found, "owned_nexthops", router="edge2") == 36
    assert value(found, "watch_synced", kind="EndpointSlice") == 0
    assert value(found, "watch_synced", kind="Node") == 1
    assert value(found, "skipped_objects", kind="Service") == 2
    assert value(found, "skipped_objects", kind="Node") == 0
    assert value(found, "leader") == 1
    assert value(found, "ready") == 0
    assert value(found, "desired_routes") == 12
    assert value(found, "router_state", router="edge2", state="failed") == 1
    assert value(found, "router_state", router="edge2", state="in-sync") == 0
    assert value(found, "build_info", version="0.1.0", owner="prod-eu1", mode="full") == 1
    assert value(samples(STANDBY), "leader") == 0
    assert found["process_resident_memory_bytes", frozenset()] > 1e6


def test_every_guard_has_a_line_before_it_trips() -> None:
    calm = samples(CALM)
    assert {guard: value(calm, "guard_tripped", reason=guard) for guard in GUARDS} == dict.fromkeys(GUARDS, 0)
    tripped = samples(FULL)
    assert {guard for guard in GUARDS if value(tripped, "guard_tripped", reason=guard)} == {
        "panic",
        "mass-withdrawal",
        "last-next-hop",
    }


def test_what_is_counted() -> None:
    instruments = Instruments()
    instruments.event("Service")
    instruments.event("EndpointSlice", 40)
    instruments.event("EndpointSlice")
    instruments.committed("edge1", "committed", 0.03)
    instruments.committed("edge1", "committed", None)
    instruments.committed("edge2", "failed", 61)
    found = samples(CALM, instruments)
    assert value(found, "events_total", kind="EndpointSlice") == 41
    assert value(found, "events_total", kind="Service") == 1
    assert value(found, "commits_total", router="edge1", outcome="committed") == 2
    assert value(found, "commits_total", router="edge2", outcome="failed") == 1
    assert value(found, "event_to_commit_seconds_bucket", le="0.025") == 0
    assert value(found, "event_to_commit_seconds_bucket", le="0.05") == 1
    assert value(found, "event_to_commit_seconds_bucket", le="60.0") == 1
    assert value(found, "event_to_commit_seconds_bucket", le="+Inf") == 2
    assert value(found, "event_to_commit_seconds_count") == 2
    assert value(found, "event_to_commit_seconds_sum") == pytest.approx(61.03)


@given(st.lists(st.floats(0, 120), max_size=50))
def test_the_histogram_counts_every_duration_in_its_bucket(durations: list[float]) -> None:
    instruments = Instruments()
    for seconds in durations:
        instruments.committed("r", "committed", seconds)
    found = samples(CALM, instruments)
    for bound in (*BUCKETS_S, math.inf):
        name = "+Inf" if bound == math.inf else str(bound)
        at_most = sum(seconds <= bound for seconds in durations)
        assert value(found, "event_to_commit_seconds_bucket", le=name) == at_most


def test_threads_lose_nothing() -> None:
    instruments = Instruments()

    def count() -> None:
        for _ in range(20_000):
            instruments.event("Node")

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(count)
    assert instruments.counts().events == {"Node": 160_000}


def test_labels_may_hold_anything() -> None:
    name = 'r"1\\\n{}'
    report = msgspec.structs.replace(CALM, routers=(msgspec.structs.replace(CALM.routers[0], name=name),))
    assert value(samples(report), "owned_prefixes", router=name) == 12


@pytest.mark.parametrize("report", [CALM, FULL, STANDBY])
def test_openmetrics_is_whole(report: DaemonReport) -> None:
    """Its parser is strict about names, types, suffixes and the order of buckets."""
    instruments = Instruments()
    instruments.event("Node")
    instruments.committed("edge1", "committed", 0.2)
    text, content_type = Exposition(instruments, lambda: report).text("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in openmetrics(text.decode())}
    ours = {name for name in families if not name.startswith("process_")}
    assert ours
    assert all(name.startswith("k8s_ecmp_") for name in ours)
    assert all(family.documentation.endswith(".") for name, family in families.items() if name in ours)


def test_every_metric_is_documented() -> None:
    from tests.site import REPO

    page = (REPO / "docs/reference/metrics.md").read_text()
    text, _ = Exposition(Instruments(), lambda: FULL).text()
    for family in prometheus(text.decode()):
        if family.name.startswith("k8s_ecmp_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert f"`{name}" in page, name

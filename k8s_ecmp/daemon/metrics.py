"""The daemon's numbers for Prometheus: what was counted since the start, and what the report says of this moment.

Counting is done here with plain integers under one lock, so that an event costs well under a microsecond and nothing of
prometheus-client is loaded before somebody asks. docs/reference/metrics.md describes every metric.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, get_args

import k8s_ecmp
from k8s_ecmp.core.eligibility import Standing
from k8s_ecmp.core.guards import GUARDS
from k8s_ecmp.report import DaemonReport, ReportSource, RouterReport, RouterState

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram, seconds: a commit to an idle router takes tens of milliseconds."""


class Counts(NamedTuple):
    """What was counted up to one moment. `durations` has one more entry than `BUCKETS_S`: longer ones."""

    events: dict[str, int]
    commits: dict[tuple[str, str], int]
    durations: tuple[int, ...]
    durations_sum_s: float


class Instruments:
    """Counts what happens. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: Counter[str] = Counter()
        self._commits: Counter[tuple[str, str]] = Counter()
        self._durations = [0] * (len(BUCKETS_S) + 1)
        self._durations_sum_s = 0.0

    def event(self, kind: str, n: int = 1) -> None:
        """`n` updates about objects of a kind came from the API server."""
        with self._lock:
            self._events[kind] += n

    def committed(self, router: str, outcome: str, event_to_commit_s: float | None) -> None:
        """A batch for a router ended.

        Args:
            router: its name.
            outcome: `model.Outcome`.
            event_to_commit_s: from the event's arrival to the end of the commit; None where no event was the cause, or
                where something held the change.
        """
        with self._lock:
            self._commits[router, outcome] += 1
            if event_to_commit_s is not None:
                self._durations[bisect_left(BUCKETS_S, event_to_commit_s)] += 1
                self._durations_sum_s += event_to_commit_s

    def counts(self) -> Counts:
        """A consistent copy."""
        with self._lock:
            return Counts(
                dict(self._events), dict(self._commits), tuple(self._durations), max(0.0, self._durations_sum_s)
            )


class Exposition:
    """The text that Prometheus reads; loads prometheus-client."""

    def __init__(self, instruments: Instruments, report: ReportSource) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._instruments = instruments
        self._report = report
        self.registry: CollectorRegistry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The numbers of this moment, and their content type.

        Args:
            accept: the request's Accept header; OpenMetrics where it asks for it, else Prometheus' text format.
        """
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def describe(self) -> "Iterator[Metric]":
        """Nothing: without it the registry would make a report only to learn the names."""
        return iter(())

    def collect(self) -> "Iterator[Metric]":
        """prometheus-client's collector."""
        report = self._report()
        yield from _counted(self._instruments.counts())
        yield from _of_the_daemon(report)
        yield from _of_the_routers(report.routers)


def _counted(counts: Counts) -> "Iterator[Metric]":
    from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

    events = CounterMetricFamily("k8s_ecmp_events", "Updates that the API server sent, by kind.", labels=["kind"])
    for kind, number in sorted(counts.events.items()):
        events.add_metric([kind], number)
    yield events
    commits = CounterMetricFamily(
        "k8s_ecmp_commits", "Batches of changes that ended, by router and outcome.", labels=["router", "outcome"]
    )
    for labels, number in sorted(counts.commits.items()):
        commits.add_metric(labels, number)
    yield commits
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    yield HistogramMetricFamily(
        "k8s_ecmp_event_to_commit_seconds",
        "From an event's arrival to the end of the commit that it caused.",
        buckets=list(zip(bounds, accumulate(counts.durations), strict=True)),
        sum_value=counts.durations_sum_s,
    )


def _of_the_daemon(report: DaemonReport) -> "Iterator[Metric]":
    from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily

    yield InfoMetricFamily(
        "k8s_ecmp_build", "The program.", {"version": k8s_ecmp.__version__, "owner": report.owner, "mode": report.mode}
    )
    yield GaugeMetricFamily(
        "k8s_ecmp_leader", "1 while this process may write to routers, 0 while it stands by.", value=report.leading
    )
    yield GaugeMetricFamily("k8s_ecmp_ready", "1 while /readyz answers 200.", value=report.ready)
    yield GaugeMetricFamily(
        "k8s_ecmp_journal_writable",
        "0 while the journal cannot be written, and so no router, else 1.",
        value=report.journal_trouble is None,
    )
    yield GaugeMetricFamily(
        "k8s_ecmp_desired_routes", "Prefixes that the cluster asks for.", value=report.desired_routes
    )
    standings = Counter(node.standing for node in report.nodes)
    nexthops = GaugeMetricFamily(
        "k8s_ecmp_nexthops", "Nodes by what they are as next hops: eligible, draining or out.", labels=["state"]
    )
    for standing in get_args(Standing):
        nexthops.add_metric([standing], standings[standing])
    yield nexthops
    tripped = Counter(trip.guard for trip in report.holds)
    tripped.update(trip.guard for router in report.routers for trip in router.guards)
    guards = GaugeMetricFamily(
        "k8s_ecmp_guard_tripped", "Places (all, a router, a prefix) that a guard holds now.", labels=["reason"]
    )
    for guard in dict.fromkeys((*GUARDS, *sorted(tripped))):
        guards.add_metric([guard], tripped[guard])
    yield guards
    synced = GaugeMetricFamily(
        "k8s_ecmp_watch_synced", "1 while the watch of a kind is complete and in order.", labels=["kind"]
    )
    for watch in report.watches:
        synced.add_metric([watch.kind], watch.synced)
    yield synced
    skipped = GaugeMetricFamily(
        "k8s_ecmp_skipped_objects", "Objects that are left out, by kind; the status page says why.", labels=["kind"]
    )
    kinds = Counter(name.partition(" ")[0] for name, _ in report.skipped)
    for kind in sorted({*kinds, *(watch.kind for watch in report.watches)}):
        skipped.add_metric([kind], kinds[kind])
    yield skipped


def _of_the_routers(routers: tuple[RouterReport, ...]) -> "Iterator[Metric]":
    from prometheus_client.metrics_core import GaugeMetricFamily

    yield GaugeMetricFamily(
        "k8s_ecmp_pending_changes",
        "Changes that are due or held, over all routers.",
        value=sum(router.pending for router in routers),
    )
    succeeded = GaugeMetricFamily(
        "k8s_ecmp_last_success_timestamp_seconds",
        "When a router was last found in sync or brought there.",
        labels=["router"],
    )
    for router in routers:
        if router.last_success is not None:
            succeeded.add_metric([router.name], router.last_success.timestamp())
    yield succeeded
    for name, words, value in (
        ("drift_routes", "Differences without a cause in the cluster that the last full read found.", "drift"),
        ("owned_prefixes", "Prefixes of ours that the router carries.", "owned_prefixes"),
        ("owned_nexthops", "Next hops of ours that the router carries, over all prefixes.", "owned_hops"),
        ("conflicts", "Desired prefixes at which a route stands that is not ours.", "conflicts"),
    ):
        metric = GaugeMetricFamily(f"k8s_ecmp_{name}", words, labels=["router"])
        for router in routers:
            found = getattr(router, value)
            metric.add_metric([router.name], len(found) if isinstance(found, tuple) else found)
        yield metric
    states = GaugeMetricFamily(
        "k8s_ecmp_router_state", "1 for the state that the router is in, 0 for the others.", labels=["router", "state"]
    )
    for router in routers:
        for state in get_args(RouterState):
            states.add_metric([router.name, state], router.state == state)
    yield states

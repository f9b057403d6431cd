"""A daemon's report in words and rows: what its page in a terminal and its page in a browser have in common."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from k8s_ecmp.core.damping import duration
from k8s_ecmp.views.page import counted

if TYPE_CHECKING:
    from k8s_ecmp.report import DaemonReport, RouterReport

ROUTER_COLUMNS = ("ROUTER", "PLATFORM", "STATE", "PREFIXES", "HOPS", "PENDING", "LAST SUCCESS")
WATCH_COLUMNS = ("WATCH", "STATE", "OBJECTS", "BROKEN")
NODE_COLUMNS = ("NODE", "STANDING", "DRAINED", "REASON")
STATE_COLUMN = 2


class Note(NamedTuple):
    """A sentence about a router; `level` is "error", "guard", "drift", "conflict" or "warning"."""

    level: str
    text: str


def facts(report: "DaemonReport") -> list[tuple[str, str]]:
    """What is true of the whole daemon, each with its name."""
    if report.leading:
        role = "leads"
    else:
        role = f"stands by, {report.leader} leads" if report.leader else "stands by, nobody leads"
    found = [
        ("ready", "yes" if report.ready else f"no: {report.not_ready or 'the reason is not known'}"),
        ("identity", f"{report.identity}, {role}"),
        ("owner", f"{report.owner}, mode {report.mode}"),
        ("program", f"{report.program}, running for {age(report.started, report.now)}"),
    ]
    if report.cluster:
        found.append(("cluster", report.cluster))
    if report.service_cidrs:
        found.append(("service CIDRs", ", ".join(report.service_cidrs)))
    found.append(("desired", f"{counted(report.desired_routes, 'route')} after {counted(report.events, 'event')}"))
    return found


def router_row(router: "RouterReport", now: datetime) -> tuple[str, ...]:
    """The cells under `ROUTER_COLUMNS`; prefixes are those it carries and those it shall carry."""
    return (
        router.name,
        router.platform or "-",
        router.state,
        f"{router.owned_prefixes}/{router.desired_prefixes}",
        str(router.owned_hops),
        str(router.pending) if router.pending else "-",
        "never" if router.last_success is None else f"{age(router.last_success, now)} ago",
    )


def router_notes(router: "RouterReport") -> Iterator[Note]:
    """What is to be said of a router beyond its row."""
    if router.error:
        again = "" if router.retry_in_s is None else f"; again in {duration(max(0.0, router.retry_in_s))}"
        yield Note("error", router.error + again)
    for trip in router.guards:
        what = f" holds {trip.prefix}" if trip.prefix is not None else ""
        yield Note("guard", f"guard {trip.guard}{what}: {trip.detail}")
    if router.drift:
        yield Note("drift", f"drift: {counted(router.drift, 'difference')} without a cause in the cluster")
    for conflict in router.conflicts:
        yield Note("conflict", f"conflict {conflict.prefix}: {conflict.reason}")
    for warning in router.warnings:
        yield Note("warning", f"warning: {warning}")


def watch_rows(report: "DaemonReport") -> list[tuple[tuple[str, ...], str | None]]:
    """The cells under `WATCH_COLUMNS`, each with the reason why the watch is not synced."""
    return [
        (
            (
                watch.kind,
                "synced" if watch.synced else "not synced",
                str(watch.objects),
                str(watch.broken) if watch.broken else "-",
            ),
            watch.reason,
        )
        for watch in report.watches
    ]


def nodes_summary(report: "DaemonReport") -> str:
    """How many nodes there are of each standing."""
    standings = Counter(node.standing for node in report.nodes)
    parts = [f"{standings[standing]} {standing}" for standing in ("eligible", "draining", "out") if standings[standing]]
    return f"{counted(len(report.nodes), 'node')}" + (f": {', '.join(parts)}" if parts else "")


def node_rows(report: "DaemonReport") -> list[tuple[str, ...]]:
    """The cells under `NODE_COLUMNS` of the nodes that are not eligible."""
    return [
        (node.name, node.standing, "confirmed" if node.drained else "-", node.reason)
        for node in report.nodes
        if node.standing != "eligible"
    ]


def holds_something(report: "DaemonReport") -> bool:
    """Whether a guard holds anything."""
    return bool(report.holds) or any(router.guards for router in report.routers)


def age(since: datetime, now: datetime) -> str:
    """The time between two moments, in words."""
    return duration(max(0.0, (now - since).total_seconds()))

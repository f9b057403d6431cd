"""Reports of daemons: one with something of everything, and a calm one."""

from datetime import UTC, datetime, timedelta

import msgspec

from k8s_ecmp.report import (
    ConflictReport,
    DaemonReport,
    GuardReport,
    NodeReport,
    RouterReport,
    WatchReport,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HOSTILE = '<script>alert("x")</script>\x1b[31m'

CALM = DaemonReport(
    program="k8s-ecmp 0.1.0",
    owner="prod-eu1",
    identity="edge-a_7f3c",
    leading=True,
    leader="edge-a_7f3c",
    mode="full",
    started=NOW - timedelta(days=3),
    now=NOW,
    synced=True,
    ready=True,
    cluster="https://10.0.0.1:6443",
    service_cidrs=("10.96.0.0/12", "fd00:96::/108"),
    desired_routes=12,
    events=4711,
    watches=(WatchReport("Node", True, 3), WatchReport("Service", True, 10), WatchReport("EndpointSlice", True, 14)),
    nodes=tuple(NodeReport(f"n{number}", "eligible", "Ready for 3 d") for number in (1, 2, 3)),
    routers=(
        RouterReport(
            name="edge1",
            platform="frr",
            state="in-sync",
            owned_prefixes=12,
            owned_hops=36,
            desired_prefixes=12,
            last_success=NOW - timedelta(seconds=40),
            last_commit=NOW - timedelta(hours=1),
            last_read=NOW - timedelta(seconds=40),
            commits=7,
        ),
    ),
)

FULL = msgspec.structs.replace(
    CALM,
    ready=False,
    not_ready="router edge2 failed",
    watches=(
        *CALM.watches[:2],
        WatchReport("EndpointSlice", False, 13, 1, "the API server https://10.0.0.1:6443 does not answer: refused"),
        WatchReport("Drain", True),
    ),
    holds=(GuardReport("panic", "2 of 3 nodes are not Ready at once (n2, n3)"),),
    nodes=(
        CALM.nodes[0],
        NodeReport("n2", "draining", "draining: annotation k8s-ecmp.io/drain", drained=True),
        NodeReport("n3", "out", "10.0.0.3: 3 probes in a row failed: no answer within 1 s"),
    ),
    skipped=(("Service default/broken", "spec.clusterIP: 5 is not a string"), ("Service shop/x", "headless")),
    routers=(
        *CALM.routers,
        RouterReport(
            name="edge2",
            platform="frr",
            state="failed",
            owned_prefixes=12,
            owned_hops=36,
            desired_prefixes=13,
            pending=2,
            failures=4,
            error=f"edge2 does not answer: {HOSTILE}",
            retry_in_s=7.5,
        ),
        RouterReport(
            name="leaf-with-a-long-name",
            platform="eos",
            state="held",
            owned_prefixes=11,
            owned_hops=30,
            desired_prefixes=12,
            pending=3,
            drift=1,
            conflicts=(ConflictReport("10.96.7.7/32", "a route that is not ours: next hop 10.0.0.9 has no tag"),),
            guards=(
                GuardReport("mass-withdrawal", "9 of 11 owned prefixes would go", "leaf-with-a-long-name"),
                GuardReport("last-next-hop", "shop/web lost its nodes", "leaf-with-a-long-name", "10.96.3.3/32"),
            ),
            warnings=("next hop 10.0.0.3 cannot be resolved",),
            last_success=NOW - timedelta(hours=2),
        ),
    ),
)

STANDBY = msgspec.structs.replace(
    CALM,
    identity="edge-b_1a2b",
    leading=False,
    routers=(RouterReport(name="edge1", platform="frr", state="idle"),),
)

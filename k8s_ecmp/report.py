"""What a running daemon says of itself: the status page, `k8s-ecmp status` and the metrics are made of it."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

VERSION = 1

RouterState = Literal["idle", "connecting", "in-sync", "pending", "held", "conflict", "failed"]
"""idle: this process does not lead; connecting: no session yet; pending: changes are due; held: a guard, a freeze or
the mode holds them; conflict: nothing to do but prefixes that are not ours; failed: the last attempt failed, see
`error`."""


class GuardReport(msgspec.Struct, frozen=True):
    """A guard that holds something. `router` None: everything; `prefix` None: the whole router."""

    guard: str
    detail: str
    router: str | None = None
    prefix: str | None = None


class ConflictReport(msgspec.Struct, frozen=True):
    """A desired prefix at which a route stands that is not ours."""

    prefix: str
    reason: str


class WatchReport(msgspec.Struct, frozen=True):
    """One watch of the API server. `objects` counts the readable ones, `broken` those that cannot be read."""

    kind: str
    synced: bool
    objects: int = 0
    broken: int = 0
    reason: str | None = None


class RouterReport(msgspec.Struct, frozen=True, kw_only=True):
    """One router.

    `owned_prefixes` and `owned_hops` are what it carries of ours; `desired_prefixes` what it shall carry. `pending`
    counts the changes that are due or held. `drift` counts the differences that the last full read found without a
    cause in the cluster. Times are UTC; durations seconds.
    """

    name: str
    platform: str
    state: RouterState
    owned_prefixes: int = 0
    owned_hops: int = 0
    desired_prefixes: int = 0
    pending: int = 0
    drift: int = 0
    conflicts: tuple[ConflictReport, ...] = ()
    guards: tuple[GuardReport, ...] = ()
    warnings: tuple[str, ...] = ()
    last_success: datetime | None = None
    last_commit: datetime | None = None
    last_read: datetime | None = None
    commits: int = 0
    failures: int = 0
    error: str | None = None
    retry_in_s: float | None = None


class NodeReport(msgspec.Struct, frozen=True):
    """One node: "eligible", "draining" or "out", why, and whether every router has confirmed its drain."""

    name: str
    standing: str
    reason: str
    drained: bool = False


class DaemonReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole daemon. `leader` is the identity that holds the Lease, None where there is none or nobody holds it.

    `synced`: all essential watches are. `ready`: synced, and on the leader one cycle has ended without a failed router.
    `holds` are the guards that hold every router. `journal_trouble`: why the journal cannot be written, and so no
    router; it stands among the holds, too.
    """

    version: int = VERSION
    program: str
    owner: str
    identity: str
    leading: bool
    leader: str | None
    mode: str
    started: datetime
    now: datetime
    synced: bool
    ready: bool
    not_ready: str | None = None
    journal_trouble: str | None = None
    cluster: str = ""
    service_cidrs: tuple[str, ...] = ()
    desired_routes: int = 0
    events: int = 0
    watches: tuple[WatchReport, ...] = ()
    holds: tuple[GuardReport, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    routers: tuple[RouterReport, ...] = ()


ReportSource = Callable[[], DaemonReport]
"""Makes a report of this moment; may be called from any thread, and blocks nothing."""

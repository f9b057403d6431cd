"""What users of the cluster should notice, as Kubernetes Events: of nodes that leave and return, of addresses without
a route.
"""

from collections.abc import Callable, Iterable, Mapping

from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.daemon.worker import Worker
from k8s_ecmp.kube.events import (
    DRAINED,
    GUARD_HELD,
    JOURNAL_FAILS,
    JOURNAL_WELL,
    NOT_ROUTED,
    ROUTE_CONFLICT,
    ROUTES_RETURNED,
    ROUTES_WITHDRAWN,
    UNREADABLE,
    Recorder,
)
from k8s_ecmp.kube.lease_object import lease_name
from k8s_ecmp.model import Prefix, Skipped
from k8s_ecmp.settings import LeaseSettings


class Notices:
    """Compares each moment with the one before. Only the leader speaks. Called from the loop's thread alone."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder
        self._standings: dict[str, str] | None = None
        self._drained: frozenset[str] = frozenset()
        self._skipped: frozenset[Skipped] | None = None
        self._conflicts: frozenset[tuple[str, Prefix]] = frozenset()
        self._held: frozenset[tuple[str, Prefix]] = frozenset()

    def nodes(self, verdicts: Mapping[str, NodeVerdict], drained: frozenset[str], *, acts: bool) -> None:
        """How the nodes stand now. `acts`: that reaches the routers; nothing is said of what does not."""
        if not acts:
            return
        before = self._standings
        self._standings = {name: verdict.standing for name, verdict in verdicts.items()}
        if before is not None:
            for name, verdict in verdicts.items():
                was = before.get(name)
                if was is not None and was != verdict.standing:
                    if verdict.standing == "eligible":
                        self._node(name, "Normal", ROUTES_RETURNED, f"is a next hop again: {verdict.reason}")
                    else:
                        self._node(name, "Warning", ROUTES_WITHDRAWN, f"is no next hop: {verdict.reason}")
        for name in drained - self._drained:
            self._node(name, "Normal", DRAINED, "every router's routing table shows that the node is out")
        self._drained = drained

    def skipped(self, skipped: Iterable[Skipped]) -> None:
        """What was left out."""
        now = frozenset(skipped)
        if self._skipped is not None:
            for skip in now - self._skipped:
                kind, _, key = skip.object.partition(" ")
                namespace, slash, name = key.partition("/")
                if kind == "Service" and slash and ("no usable endpoint" in skip.reason or "is in no " in skip.reason):
                    self._service(namespace, name, NOT_ROUTED, skip.reason)
                elif kind == "Node" and not slash:
                    self._node(key, "Warning", UNREADABLE, skip.reason)
        self._skipped = now

    def routers(self, workers: Iterable[Worker], sources: Callable[[Prefix], tuple[str, ...]]) -> None:
        """Conflicts and guards. `sources` says per prefix who asks for it."""
        conflicts: dict[tuple[str, Prefix], str] = {}
        held: dict[tuple[str, Prefix], str] = {}
        for worker in workers:
            conflicts |= {(worker.name, prefix): reason for prefix, reason in worker.ledger.conflicts.items()}
            held |= {(worker.name, prefix): detail for prefix, detail in worker.ledger.held_prefixes().items()}
        for (router, prefix), reason in conflicts.items():
            if (router, prefix) not in self._conflicts:
                self._to_sources(sources(prefix), ROUTE_CONFLICT, f"router {router}, {prefix}: {reason}")
        for (router, prefix), detail in held.items():
            if (router, prefix) not in self._held:
                self._to_sources(sources(prefix), GUARD_HELD, f"router {router}, {prefix}: {detail}")
        self._conflicts, self._held = frozenset(conflicts), frozenset(held)

    def journal(self, trouble: str | None, lease: LeaseSettings, owner: str) -> None:
        """It cannot be written, or can again: said of the Lease, the object that is the daemon's. From any thread."""
        if self._recorder is None or not lease.enabled:
            return
        words = f"no router is changed: {trouble}" if trouble is not None else "routers are changed again"
        self._recorder.emit(
            "Lease",
            lease.namespace,
            lease_name(lease, owner),
            None,
            "Normal" if trouble is None else "Warning",
            JOURNAL_WELL if trouble is None else JOURNAL_FAILS,
            words,
        )

    def _to_sources(self, sources: Iterable[str], reason: str, message: str) -> None:
        for source in sources:
            kind, _, rest = source.partition(" ")
            namespace, slash, name = rest.partition(" ")[0].partition("/")
            if kind == "Service" and slash:
                self._service(namespace, name, reason, message)

    def _node(self, name: str, type: str, reason: str, message: str) -> None:
        if self._recorder is not None:
            self._recorder.emit("Node", None, name, None, "Normal" if type == "Normal" else "Warning", reason, message)

    def _service(self, namespace: str, name: str, reason: str, message: str) -> None:
        if self._recorder is not None:
            self._recorder.emit("Service", namespace, name, None, "Warning", reason, message)

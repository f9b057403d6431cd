"""The decision that the loop keeps up to date and the routers' workers read: everything here is behind one lock."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.core.eligibility import NodeVerdict
from k8s_ecmp.core.freeze import Freeze, freeze_of
from k8s_ecmp.core.guards import cluster_holds
from k8s_ecmp.core.incremental import Incremental
from k8s_ecmp.core.rules import Rules
from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.kube.updates import Changed, DrainsKnown, Gone, Listed, ServiceCIDRsKnown, Update, WatchState
from k8s_ecmp.model import EndpointSlice, GuardTrip, Node, Prefix, Service, ServiceCIDR, Skipped
from k8s_ecmp.report import WatchReport
from k8s_ecmp.runs import freeze_file_text
from k8s_ecmp.settings import Settings

_log = logging.getLogger(__name__)

_OBJECTS = ("Node", "Service", "EndpointSlice")
_WINDOWS_CHECK_S = 1.0
_NO_ANSWERS: Mapping[str, str | None] = MappingProxyType({})
JOURNAL = "journal"
"""What holds everything while the journal cannot be written: like a guard, but nobody overrides it."""


@dataclass(frozen=True)
class Snapshot:
    """What a worker plans with: the decision for some prefixes or all, and what governs the plan."""

    desired: Desired
    rules: Rules


class Told(NamedTuple):
    """What a batch of updates did.

    `prefixes` need a new plan; `nodes`: some were added, changed or removed; those in `gone` were removed, though
    one of the same name may be there again.
    """

    prefixes: frozenset[Prefix]
    nodes: bool
    gone: frozenset[str]
    holds_changed: bool


class Decision:
    """The cluster as it was told, and what follows from it."""

    def __init__(
        self, settings: Settings, clock: Clock, journal_trouble: Callable[[], str | None] = lambda: None
    ) -> None:
        """Nothing is known yet.

        Args:
            settings: all of them.
            clock: the daemon's time.
            journal_trouble: why the journal cannot be written, which holds every router; None: it can.
        """
        self._settings = settings
        self._journal_trouble = journal_trouble
        self._clock = clock
        self._lock = threading.RLock()
        self._incremental = Incremental(settings)
        self._watches: dict[str, WatchState] = {}
        self._broken: dict[str, dict[str, Skipped]] = {kind: {} for kind in _OBJECTS}
        self._cidr_skips: tuple[Skipped, ...] = ()
        self._cidrs_known = False
        self._gone: set[str] = set()
        self._unprobed: set[str] | None = set() if settings.nodes.probe.enabled else None
        self._freeze: tuple[float, str | None, Freeze | None] = (float("-inf"), None, None)
        self._holds: tuple[GuardTrip, ...] = ()
        self._held_for: object = None
        self._ever_synced = False
        self.events: Counter[str] = Counter()
        self.acknowledged: Mapping[str, float] = {}
        """Nodes whose drain every router has confirmed -> until when, by the monotonic clock; inf: it still stands."""
        self.version = 0
        """Counts up when anything may be different."""
        self.untold = False
        """Whether something was decided that no worker was told of yet; whoever tells them says when it is done."""

    # --- the loop's side ---

    def tell(self, updates: Sequence[Update], answers: Mapping[str, str | None] = _NO_ANSWERS) -> Told:
        """Takes updates and the passing of time, and decides anew what they touch: all of it, or nobody sees any.

        Args:
            updates: in their order.
            answers: what the health checks of some nodes say: why they are ill, None for well.
        """
        now = self._clock.now()
        nodes = any(isinstance(u, Changed | Gone | Listed) and u.kind == "Node" for u in updates)
        with self._lock:
            before = self._current_holds()
            for name, ill in answers.items():
                self._incremental.set_health(name, ill, now)
                if self._unprobed:
                    self._unprobed.discard(name)
            self._incremental.advance(now)
            for update in updates:
                try:
                    self._take(update, now)
                except Exception:  # noqa: BLE001  one object must not cost the others
                    _log.exception("an update could not be taken")
            prefixes = self._incremental.settle() if self.complete else frozenset()
            self.version += bool(updates or answers or prefixes)
            self.untold = self.untold or bool(prefixes)
            gone, self._gone = frozenset(self._gone), set()
            return Told(prefixes, nodes, gone, before != self._current_holds())

    def freeze(self) -> Freeze | None:
        """The freeze in force; a freeze file that was just made is one. Waits for nobody."""
        checked_s, known, freeze = self._freeze
        text = freeze_file_text(self._settings)
        if text != known or time.monotonic() - checked_s > _WINDOWS_CHECK_S:
            freeze = freeze_of(self._settings.guards, datetime.now(UTC), text)
            self._freeze = (time.monotonic(), text, freeze)
        return freeze

    def next_deadline_s(self) -> float | None:
        """Seconds until something changes by time alone; None: nothing does."""
        with self._lock:
            deadline = self._incremental.next_deadline()
            return None if deadline is None else self._clock.seconds_until(deadline)

    # --- everybody's side ---

    @property
    def complete(self) -> bool:
        """Whether each kind of object was listed once and the service CIDRs are known: nothing is decided before."""
        if not self._ever_synced:
            with self._lock:
                listed = all(kind in self._watches and self._watches[kind].synced for kind in _OBJECTS)
                self._ever_synced = listed and self._cidrs_known
        return self._ever_synced

    def not_synced(self) -> str | None:
        """Why the view of the cluster is not whole at the moment; None if it is."""
        with self._lock:
            for kind in _OBJECTS:
                state = self._watches.get(kind)
                if state is None or not state.synced:
                    reason = state.reason if state is not None and state.reason else "not listed yet"
                    return f"{kind}: {reason}"
            for state in self._watches.values():
                if state.essential and not state.synced:
                    return f"{state.kind}: {state.reason}"
            if not self._cidrs_known:
                return "the service CIDRs are not known yet"
            if self._unprobed:
                some = ", ".join(sorted(self._unprobed)[:3])
                return f"the first health checks of {len(self._unprobed)} nodes are not done ({some})"
            return None

    def doubt(self, reason: str) -> None:
        """What is known may be old: the view is not whole until each kind of object was told to be in order again."""
        with self._lock:
            for kind, state in self._watches.items():
                if kind in _OBJECTS:
                    self._watches[kind] = state._replace(synced=False, reason=reason)
            self.version += 1

    def snapshot(self, prefixes: Collection[Prefix] | None) -> Snapshot:
        """The decision of this moment for some prefixes, or for all."""
        with self._lock:
            return Snapshot(self._incremental.desired(prefixes), self._rules())

    def rules(self) -> Rules:
        """What governs a plan at this moment."""
        with self._lock:
            return self._rules()

    @property
    def nodes(self) -> Mapping[str, NodeVerdict]:
        with self._lock:
            return self._incremental.nodes

    @property
    def holds(self) -> tuple[GuardTrip, ...]:
        """The guards that hold every router at this moment."""
        with self._lock:
            return self._current_holds()

    @property
    def service_cidrs(self) -> tuple[ServiceCIDR, ...]:
        with self._lock:
            return self._incremental.service_cidrs

    def drains(self) -> dict[str, str]:
        """Nodes that are asked to leave -> the id of that drain, "" where another signal than ours asks for it."""
        with self._lock:
            return self._incremental.drains()

    def sources(self, prefix: Prefix) -> tuple[str, ...]:
        """Who asks for a prefix."""
        with self._lock:
            desired = self._incremental.desired((prefix,))
            unserved = desired.unserved.get(prefix)
            return desired.routes[0].sources if desired.routes else unserved.sources if unserved else ()

    def counts(self) -> tuple[int, int]:
        """Prefixes that have a route, and events so far."""
        with self._lock:
            return self._incremental.routed, self.events.total()

    def skipped(self) -> tuple[Skipped, ...]:
        """What was left out, and why."""
        with self._lock:
            broken = [note for notes in self._broken.values() for note in notes.values()]
            return tuple(sorted({*self._incremental.skipped(), *broken, *self._cidr_skips}))

    def watches(self) -> tuple[WatchReport, ...]:
        with self._lock:
            return tuple(self._watch(kind, state) for kind, state in sorted(self._watches.items()))

    # --- inside ---

    def _watch(self, kind: str, state: WatchState) -> WatchReport:
        objects = len(self._incremental.keys(kind)) if kind in _OBJECTS else 0
        if kind == "ServiceCIDR":
            objects = len(self._incremental.service_cidrs)
        return WatchReport(kind, state.synced, objects, len(self._broken.get(kind, ())), state.reason)

    def _take(self, update: Update, now: datetime) -> None:
        match update:
            case Changed(kind, key, item):
                self.events[kind] += 1
                self._broken[kind].pop(key, None)
                self._put(key, item, now, live=True)
            case Gone(kind, key, broken):
                self.events[kind] += 1
                self._drop(kind, key, now)
                if broken is None:
                    self._broken[kind].pop(key, None)
                else:
                    self._broken[kind][key] = broken
            case Listed(kind, objects, broken_objects):
                self.events[kind] += 1
                for key in self._incremental.keys(kind) - objects.keys():
                    self._drop(kind, key, now)
                self._broken[kind] = dict(broken_objects)
                for key, item in objects.items():
                    self._put(key, item, now, live=kind != "Node" and self._ever_synced)
            case ServiceCIDRsKnown(cidrs, skipped):
                self._incremental.set_service_cidrs(cidrs)
                self._cidr_skips = skipped
                wanted = self._settings.services.aggregate or self._settings.services.cluster_ips != "none"
                self._cidrs_known = bool(cidrs) or not wanted
            case DrainsKnown(reasons):
                self._incremental.set_drains(reasons, now)
            case WatchState(kind):
                self._watches[kind] = update

    def _put(self, key: str, item: Node | Service | EndpointSlice, now: datetime, *, live: bool) -> None:
        if isinstance(item, Node):
            if self._unprobed is not None and not self._ever_synced and key not in self._incremental.keys("Node"):
                self._unprobed.add(key)
            self._incremental.put_node(item, now, live=live)
        elif isinstance(item, Service):
            self._incremental.put_service(item, now, live=live)
        else:
            self._incremental.put_slice(key, item, now, live=live)

    def _drop(self, kind: str, key: str, now: datetime) -> None:
        if kind == "Node":
            self._incremental.drop_node(key)
            self._gone.add(key)
            if self._unprobed:
                self._unprobed.discard(key)
        elif kind == "Service":
            self._incremental.drop_service(key)
        else:
            self._incremental.drop_slice(key, now)

    def _rules(self) -> Rules:
        settings = self._settings
        return Rules(
            tag=settings.tag,
            owner=settings.owner,
            guards=settings.guards,
            mode=settings.mode,
            policy=settings.policy,
            freeze=self.freeze(),
            holds=self._current_holds(),
        )

    def _current_holds(self) -> tuple[GuardTrip, ...]:
        freeze, not_synced, counts = self.freeze(), self.not_synced(), self._incremental.counts
        trouble = self._journal_trouble()
        key = (freeze, not_synced, counts, trouble)
        if self._held_for != key:
            self._held_for = key
            calm = counts.eligible and counts.bad <= self._settings.guards.max_not_ready_fraction * counts.selected
            if calm and freeze is None and not_synced is None:
                self._holds = ()
            else:
                desired = Desired((), {}, {}, self._incremental.nodes)
                self._holds = cluster_holds(desired, self._settings.guards, not_synced=not_synced, freeze=freeze)
            if trouble is not None:
                self._holds += (GuardTrip(JOURNAL, None, None, trouble),)
        return self._holds

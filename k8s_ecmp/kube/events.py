"""Kubernetes Events on Services, Nodes and our Lease: what a user should notice who has no access to the routers.

They are a courtesy. Nothing waits for them, nothing fails with them: what cannot be written is dropped, said once.
"""

import contextlib
import logging
import queue
import secrets
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from k8s_ecmp.errors import ClusterError, ClusterRefused
from k8s_ecmp.kube.api import Busy
from k8s_ecmp.kube.backoff import LONGEST_ASKED_S
from k8s_ecmp.kube.writes import NOT_FOUND, Writer
from k8s_ecmp.settings import ClusterSettings

_log = logging.getLogger("k8s_ecmp.kube.events")

ROUTES_WITHDRAWN = "RoutesWithdrawn"
ROUTES_RETURNED = "RoutesReturned"
ROUTE_CONFLICT = "RouteConflict"
NOT_ROUTED = "NotRouted"
GUARD_HELD = "GuardHeld"
DRAINED = "Drained"
UNREADABLE = "Unreadable"
JOURNAL_FAILS = "JournalFails"
JOURNAL_WELL = "JournalWell"

EventType = Literal["Normal", "Warning"]
EventKind = Literal["Node", "Service", "Lease"]

SUPPRESS_S = 600.0
_QUEUED = 256
_REMEMBERED = 2048
_PAUSE_S = 30.0
_LONGEST_MESSAGE = 1024  # what the API takes
_TIMEOUT_S = 5.0
_COLLECTION = "/api/v1/namespaces/{}/events"
_LEASES = "coordination.k8s.io/v1"
_OBJECTS = {
    "Node": "/api/v1/nodes/{name}",
    "Service": "/api/v1/namespaces/{namespace}/services/{name}",
    "Lease": f"/apis/{_LEASES}/namespaces/{{namespace}}/leases/{{name}}",
}
_NODES_NAMESPACE = "default"


class _Event(NamedTuple):
    """What was noticed. Equal ones are the same thing again."""

    kind: EventKind
    namespace: str | None
    name: str
    uid: str | None
    type: EventType
    reason: str
    message: str


class _Written:
    """An event that is on the server: its name there, how often it was noticed, when it was written last."""

    __slots__ = ("at", "count", "name")

    def __init__(self, name: str, at: float) -> None:
        self.name = name
        self.count = 1
        self.at = at


class _Meta(msgspec.Struct):
    uid: str | None = None


class _Object(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class Recorder:
    """Writes Events from a thread of its own.

    The same one (object, reason and message) is written again after `suppress_s` at the earliest, then with its count.

    Args:
        cluster: where the API server is.
        component: who reports.
        instance: which one of them, such as the Lease's identity.
        suppress_s: seconds for which the same one is only counted.
    """

    def __init__(
        self,
        cluster: ClusterSettings,
        component: str = "k8s-ecmp",
        instance: str = "",
        *,
        suppress_s: float = SUPPRESS_S,
    ) -> None:
        self._suppress_s = suppress_s
        self._writer = Writer(cluster)
        self._component = component
        self._instance = instance or component
        self._queue: queue.Queue[_Event | None] = queue.Queue(_QUEUED)
        self._written: OrderedDict[_Event, _Written] = OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._failed = False
        self._paused_until = 0.0
        self.dropped: int = 0
        """Events that were not written: too many at once, or the API server would not take them."""

    def start(self) -> None:
        """Begins to write what `emit` is given."""
        self._thread.start()

    def emit(
        self,
        kind: EventKind,
        namespace: str | None,
        name: str,
        uid: str | None,
        type: EventType,
        reason: str,
        message: str,
    ) -> None:
        """Takes an event; returns at once and never raises. May be called from any thread.

        Args:
            kind: of the object that it is about.
            namespace: of the object, None for a Node.
            name: of the object.
            uid: of the object; None: it is asked for, since kubectl describe finds events by it.
            type: "Normal" or "Warning".
            reason: one of this module's constants.
            message: one sentence for people.
        """
        try:
            self._queue.put_nowait(_Event(kind, namespace, name, uid, type, reason, message[:_LONGEST_MESSAGE]))
        except queue.Full:
            self.dropped += 1

    def stop(self, timeout_s: float = 2.0) -> None:
        """Writes what is waiting, for at most this many seconds, and ends."""
        self._stopping.set()
        # Where it is full the thread looks at `_stopping` after each event.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            event = self._queue.get()
            if event is None:
                break
            try:
                self._take(event)
            except Exception as error:  # noqa: BLE001  a courtesy must not end anything
                self._give_up(f"unexpected {type(error).__name__}: {error}")
            if self._stopping.is_set() and self._queue.empty():
                break
        self._writer.close()

    def _take(self, event: _Event) -> None:
        now = time.monotonic()
        known = self._written.get(event)
        if known is not None:
            known.count += 1
            self._written.move_to_end(event)
            if now - known.at < self._suppress_s:
                return
        if now < self._paused_until:
            self.dropped += 1
            return
        try:
            if known is None or not self._repeat(event, known):
                self._written[event] = _Written(self._create(event, known.count if known is not None else 1), now)
            else:
                known.at = now
        except ClusterError as error:
            self._give_up(str(error), error.pause_s if isinstance(error, Busy) else 0)
            return
        if self._failed:
            self._failed = False
            _log.info("Kubernetes Events can be written again")
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _give_up(self, text: str, asked_s: float = 0) -> None:
        """Says so once, and leaves the API server in peace for a while, or for longer where it asks for that."""
        self.dropped += 1
        self._paused_until = time.monotonic() + max(_PAUSE_S, min(asked_s, LONGEST_ASKED_S))
        if not self._failed:
            self._failed = True
            _log.warning("Kubernetes Events are not written: %s", text)

    def _create(self, event: _Event, count: int) -> str:
        """Writes a new one; its name."""
        namespace = event.namespace or _NODES_NAMESPACE
        name = f"{event.name[:200]}.{secrets.token_hex(8)}"
        moment = _now()
        version = _LEASES if event.kind == "Lease" else "v1"
        about: dict[str, Any] = {"apiVersion": version, "kind": event.kind, "name": event.name}
        if event.namespace:
            about["namespace"] = event.namespace
        if uid := event.uid or self._uid(event):
            about["uid"] = uid
        self._writer.create(
            _COLLECTION.format(namespace),
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": about,
                "type": event.type,
                "reason": event.reason,
                "message": event.message,
                "source": {"component": self._component},
                "reportingComponent": self._component,
                "reportingInstance": self._instance[:128],
                "firstTimestamp": moment,
                "lastTimestamp": moment,
                "count": count,
            },
            timeout_s=_TIMEOUT_S,
        )
        return name

    def _repeat(self, event: _Event, known: _Written) -> bool:
        """Counts one up that is there; False where the API server has forgotten it, as it does after an hour."""
        path = f"{_COLLECTION.format(event.namespace or _NODES_NAMESPACE)}/{known.name}"
        try:
            self._writer.merge(path, {"count": known.count, "lastTimestamp": _now()}, timeout_s=_TIMEOUT_S)
        except ClusterRefused as error:
            if error.status != NOT_FOUND:
                raise
            return False
        return True

    def _uid(self, event: _Event) -> str | None:
        path = _OBJECTS[event.kind].format(namespace=event.namespace, name=event.name)
        try:
            return msgspec.json.decode(self._writer.get(path, timeout_s=_TIMEOUT_S), type=_Object).metadata.uid
        except (ClusterRefused, msgspec.DecodeError, UnicodeError):
            return None  # gone meanwhile: the event is worth having without


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"

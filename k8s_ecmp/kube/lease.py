"""The Lease that lets one of several daemons write: acquire, renew, step down, release.

As client-go's leader election, with what it lacks here: an answer directly before each commit, jitter, and a process
that goes on whatever the API server says. Clocks of different machines are never compared: a Lease has expired when
it was not seen to change for its duration by the own monotonic clock.
"""

import logging
import math
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from k8s_ecmp.errors import ClusterError, ClusterRefused
from k8s_ecmp.kube.api import Busy
from k8s_ecmp.kube.backoff import LONGEST_ASKED_S
from k8s_ecmp.kube.lease_object import COLLECTION, Lease, LeaseSpec, lease_name, lease_path
from k8s_ecmp.kube.writes import CONFLICT, NOT_FOUND, Writer
from k8s_ecmp.settings import ClusterSettings, LeaseSettings

_log = logging.getLogger("k8s_ecmp.kube.lease")

_CLOCKS_AGREE_S = 1.0
_RELEASE_S = 3.0
_LOOKS = 4
"""How often a standby looks at the Lease in `retry_s`. It counts the Lease's time from the look that finds a renewal:
what is seen late is taken over late."""


class Clocks(NamedTuple):
    """Both clocks at one moment, in seconds: `wall` jumps when somebody sets it, `monotonic` stands in a suspend."""

    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> "Clocks":
        return cls(time.monotonic(), time.time())


class Elector:
    """Holds the Lease, or waits for it; a thread of its own does all the speaking. It is an authority to write.

    The right ends by itself: `renew_deadline_s` after the last renewal, which is before `duration_s`, when another may
    take over. A renewal counts from the moment when its request was begun.

    Args:
        cluster: where the API server is.
        settings: namespace, name and times. `duration_s` is rounded up to whole seconds, which is all the API knows.
        owner: of the settings.
        on_change: called without arguments after `leading` or `term` has changed, from the elector's thread.
        shard: which part of the routers the Lease is for; None: all.
        clocks: the time; another one is for tests of jumps.
    """

    def __init__(
        self,
        cluster: ClusterSettings,
        settings: LeaseSettings,
        owner: str,
        on_change: Callable[[], None] | None = None,
        *,
        shard: int | None = None,
        clocks: Callable[[], Clocks] = Clocks.now,
    ) -> None:
        self.identity: str = settings.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self.name: str = f"{settings.namespace}/{lease_name(settings, owner, shard)}"
        self._settings = settings
        self._duration_s = math.ceil(settings.duration_s)
        self._collection = COLLECTION.format(settings.namespace)
        self._path = lease_path(settings, owner, shard)
        self._writer = Writer(cluster)
        self._on_change = on_change or (lambda: None)
        self._clocks = clocks
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        # Below: guarded by the lock where other threads read it.
        self._leading = False
        self._term = 0
        self._renewed = Clocks(-math.inf, -math.inf)
        self._lease: Lease | None = None
        self._wanted: dict[str, str | None] = {}
        # The elector's thread alone.
        self._seen: tuple[LeaseSpec, float] | None = None
        self._claim: str | None = None
        self._failures = 0
        self._asked_s = 0.0
        self._trouble: str | None = None
        self._errors: set[str] = set()
        self._waits_for: str | None = None
        self._told = (False, 0)

    # --- authority

    @property
    def leading(self) -> bool:
        """Whether this process holds the Lease and has renewed it in time."""
        with self._lock:
            return self._leading and self._lapse(self._clocks()) is None

    @property
    def leader(self) -> str | None:
        """Identity that holds the Lease, None where nobody does or it is not known."""
        now = self._clocks()
        with self._lock:
            if self._leading and self._lapse(now) is None:
                return self.identity
            lease, seen = self._lease, self._seen
        if lease is None or seen is None or now.monotonic - seen[1] >= lease.duration_s(self._duration_s):
            return None
        return lease.holder

    @property
    def term(self) -> int:
        """Counts up each time this process begins to lead, also after a renewal that came too late."""
        with self._lock:
            return self._term

    def refusal(self) -> str | None:
        """Why nothing may be written at this moment; None: write now. Asked directly before a commit.

        A renewal that is too old, or clocks that disagree (the process or its machine stood still, or somebody set the
        clock), also make the elector renew at once; until that has succeeded the answer stays.
        """
        with self._lock:
            if not self._leading:
                holder = self._lease.holder if self._lease is not None else None
                return f"the Lease {self.name} is not held here" + (f": {holder} has it" if holder else "")
            lapse = self._lapse(self._clocks())
        if lapse is not None:
            self._wake.set()
        return lapse

    # --- annotations

    def annotate(self, key: str, value: str | None) -> None:
        """Sets an annotation of the Lease, or takes it away; returns at once.

        It is written with the next request to the Lease, which this call brings forward, and again until it is there;
        forgotten when this process does not lead or ceases to.
        """
        with self._lock:
            if not self._leading:
                return
            if self._lease is not None and self._lease.annotations.get(key) == value:
                self._wanted.pop(key, None)
                return
            self._wanted[key] = value
        self._wake.set()

    def annotations(self) -> Mapping[str, str]:
        """The Lease's annotations, as last read or written."""
        with self._lock:
            return dict(self._lease.annotations) if self._lease is not None else {}

    # --- life

    def start(self) -> None:
        """Begins to compete for the Lease."""
        self._thread.start()

    def stop(self, timeout_s: float = 8.0) -> None:
        """Gives the Lease back, so that a standby takes over at once, and ends. `refusal` refuses from now on.

        Args:
            timeout_s: seconds to wait for the API server; after them the Lease expires by itself.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._stopping.is_set():
                break
            wait_s = self._turn()
            self._tell()
            self._wake.wait(wait_s)
        self._release()
        self._tell()
        self._writer.close()

    def _turn(self) -> float:
        """One attempt to hold the Lease; the seconds until the next."""
        self._asked_s = 0.0
        try:
            self._attempt()
        except ClusterError as error:
            if isinstance(error, Busy):
                self._asked_s = min(error.pause_s, LONGEST_ASKED_S)
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001  a mistake in here must not end the thread: it would never lead again
            self._fail(f"unexpected {type(error).__name__}: {error}")
        else:
            if self._failures:
                _log.info("the Lease %s can be read and written again", self.name)
            self._failures = 0
            self._trouble = None
            self._errors.clear()
        return self._pause_s()

    def _pause_s(self) -> float:
        """Seconds to the next attempt, with jitter, about `retry_s` while it leads.

        A busy server is left in peace for as long as it asks, but a leader tries again before its right ends.
        A standby looks `_LOOKS` times as often, and at the moment when the Lease expires.
        """
        pause = self._settings.retry_s * random.uniform(0.8, 1.0)  # noqa: S311
        now = self._clocks()
        with self._lock:
            leading, lease, seen = self._leading, self._lease, self._seen
            lapsed = leading and self._lapse(now) is not None
            left = self._renewed.monotonic + self._settings.renew_deadline_s - now.monotonic
        if leading:
            # Lapsed although the attempt succeeded: the process stood still while it was under way.
            return max(pause, min(self._asked_s, left / 2)) if not lapsed or self._failures else 0.01
        if self._failures:
            most = max(self._settings.retry_s, self._settings.duration_s)
            backoff = min(pause * 2 ** min(self._failures - 1, 10), most * random.uniform(0.8, 1.0))  # noqa: S311
            return float(max(backoff, min(self._asked_s, most)))  # whoever is well again first shall lead
        if lease is not None and lease.holder and seen is not None:
            expiry = seen[1] + lease.duration_s(self._duration_s) - self._clocks().monotonic
            return max(0.01, min(pause / _LOOKS, expiry + 0.01))
        return pause

    def _attempt(self) -> None:
        with self._lock:
            held = self._leading
            lease = self._lease
        if held and lease is not None:
            try:
                self._write(lease, begins=False)
            except ClusterRefused as error:
                if error.status not in (CONFLICT, NOT_FOUND):
                    raise
            else:
                return
        self._look_and_take()

    def _look_and_take(self) -> None:
        """Reads the Lease, and takes it where it is free, has expired, or is ours already."""
        try:
            lease = Lease.decode(self._writer.get(self._path, timeout_s=self._request_s))
        except ClusterRefused as error:
            if error.status != NOT_FOUND:
                raise
            self._take(None)
            return
        now = self._clocks().monotonic
        if self._seen is None or self._seen[0] != lease.spec:
            self._seen = (lease.spec, now)
        with self._lock:
            self._lease = lease
        ours = lease.holder == self.identity and self._claim is not None and lease.spec.acquire_time == self._claim
        if ours:
            with self._lock:
                begins = not self._leading
            self._write(lease, begins=begins)
        elif lease.holder is None or now - self._seen[1] >= lease.duration_s(self._duration_s):
            self._take(lease)
        else:
            self._claim = None
            self._lose(f"{lease.holder} holds it")
            self._wait_for(lease.holder)

    def _wait_for(self, holder: str) -> None:
        if holder == self._waits_for:
            return
        self._waits_for = holder
        own = ", which is this process's own identity: its predecessor, or another daemon of that name"
        _log.info("the Lease %s: waiting, %s holds it%s", self.name, holder, own if holder == self.identity else "")

    def _take(self, lease: Lease | None) -> None:
        """Acquires a Lease that is free. Whoever is first changes its version, so that the others are refused."""
        self._claim = self._claim or _micro_time(self._clocks().wall)
        try:
            self._write(lease, begins=True)
        except ClusterRefused as error:
            gone = error.status == NOT_FOUND and lease is not None
            if error.status != CONFLICT and not gone:
                raise
            self._lose("another daemon took it first")

    def _write(self, lease: Lease | None, *, begins: bool) -> None:
        """Renews or acquires, together with the annotations that wait."""
        begun = self._clocks()
        spec: dict[str, object] = {"renewTime": _micro_time(begun.wall)}
        if begins:
            spec["holderIdentity"] = self.identity
            spec["leaseDurationSeconds"] = self._duration_s
            spec["acquireTime"] = self._claim
            if lease is not None and lease.spec.acquire_time != self._claim:
                spec["leaseTransitions"] = (lease.spec.lease_transitions or 0) + 1
        with self._lock:
            wanted = dict(self._wanted)
        metadata: dict[str, object] = {"annotations": wanted} if wanted else {}
        if lease is None:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.name.partition("/")[2]},
                "spec": {**spec, "leaseTransitions": 0},
            }
            wanted = {}
            answer = self._writer.create(self._collection, body, timeout_s=self._request_s)
        else:
            body = {"metadata": {**metadata, "resourceVersion": lease.metadata.resource_version}, "spec": spec}
            answer = self._writer.merge(self._path, body, timeout_s=self._request_s)
        self._hold(Lease.decode(answer), begun, wanted, begins=begins or lease is None)

    def _hold(self, lease: Lease, begun: Clocks, written: Mapping[str, str | None], *, begins: bool) -> None:
        """The Lease is ours from `begun` on. A renewal that came too late begins a new term."""
        with self._lock:
            lapse = self._lapse(self._clocks()) if self._leading else None
            if begins or lapse is not None or not self._leading:
                self._term += 1
            self._leading = True
            self._waits_for = None
            self._lease = lease
            self._renewed = begun
            for key, value in written.items():
                if self._wanted.get(key) == value:
                    self._wanted.pop(key, None)
        self._seen = (lease.spec, begun.monotonic)
        if lapse is not None:
            _log.warning("the Lease %s is renewed; before: %s", self.name, lapse)

    def _lose(self, why: str) -> None:
        with self._lock:
            lost, self._leading = self._leading, False
            self._wanted.clear()
        if lost:
            _log.warning("the Lease %s is lost: %s", self.name, why)

    def _release(self) -> None:
        """Gives the Lease back. No renewal can undo it: this thread makes one request after the other."""
        with self._lock:
            lease, held, self._leading = self._lease, self._leading, False
            self._wanted.clear()
        if lease is None or not held:
            return
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time(self._clocks().wall)}
        body = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}
        try:
            answer = Lease.decode(self._writer.merge(self._path, body, timeout_s=min(_RELEASE_S, self._request_s)))
        except ClusterError as error:
            _log.warning("the Lease %s could not be given back and expires by itself: %s", self.name, error)
            return
        with self._lock:
            self._lease = answer
        _log.info("the Lease %s is given back", self.name)

    def _lapse(self, now: Clocks) -> str | None:
        """Why the last renewal does not count any more. The lock is held."""
        monotonic, wall = now.monotonic - self._renewed.monotonic, now.wall - self._renewed.wall
        if self._stopping.is_set():
            return f"the Lease {self.name} is being given back"
        if monotonic >= self._settings.renew_deadline_s:
            return (
                f"the Lease {self.name} was last renewed {monotonic:.1f} s ago, "
                f"longer than renew_deadline_s of {self._settings.renew_deadline_s:g} s"
            )
        if abs(wall - monotonic) > _CLOCKS_AGREE_S or wall >= self._settings.renew_deadline_s:
            return (
                f"since the Lease {self.name} was renewed {monotonic:.1f} s have passed by the monotonic clock and "
                f"{wall:.1f} s by the wall clock: the machine stood still or its clock was set"
            )
        return None

    @property
    def _request_s(self) -> float:
        """A request that hangs leaves time for another one before the deadline."""
        return self._settings.renew_deadline_s / 2

    @property
    def trouble(self) -> str | None:
        """Why the Lease cannot be read or written at the moment; None: it can."""
        return self._trouble

    def _fail(self, text: str) -> None:
        self._failures += 1
        self._trouble = f"the Lease {self.name}: {text}"
        if text not in self._errors:
            self._errors.add(text)
            _log.warning("the Lease %s: %s", self.name, text)
        with self._lock:
            lapsed = self._leading and self._lapse(self._clocks()) is not None
        if lapsed:
            self._lose(f"it could not be renewed within {self._settings.renew_deadline_s:g} s")

    def _tell(self) -> None:
        """Calls `on_change` where something has changed since the last call."""
        with self._lock:
            now = (self._leading, self._term)
        if now == self._told:
            return
        if now[0] and now[1] != self._told[1]:
            _log.info("the Lease %s is held here: term %d", self.name, now[1])
        self._told = now
        try:
            self._on_change()
        except Exception:  # noqa: BLE001  theirs to mend; the Lease must be renewed all the same
            _log.exception("the Lease %s: whoever follows it failed", self.name)


def _micro_time(wall: float) -> str:
    """Kubernetes' MicroTime."""
    return f"{datetime.fromtimestamp(wall, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"

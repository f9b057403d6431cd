"""The loop: takes what the watches tell, decides anew what it touches, and marks the routers' workers."""

import contextlib
import logging
import queue
import time
from collections.abc import Callable, Sequence

from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.daemon.metrics import Instruments
from k8s_ecmp.daemon.worker import Worker
from k8s_ecmp.kube.updates import Changed, Gone, Listed, Update, WatchState
from k8s_ecmp.memory import keep

_log = logging.getLogger(__name__)

_MOST_AT_ONCE = 5000
_MOST_WAITING = 50_000  # beyond that the watches wait, and the API server with them
_TICK_S = 0.5
_STUCK_S = 30.0

Health = tuple[str, str | None]
_Item = tuple[float, Update | Health | None]


class Loop:
    """Everything that changes the decision goes through its inbox; it never waits for a router or the API."""

    def __init__(
        self,
        decision: Decision,
        workers: Sequence[Worker],
        instruments: Instruments,
        on_nodes: Callable[[frozenset[str]], None],
        on_turn: Callable[[], None],
    ) -> None:
        """Nothing runs yet.

        Args:
            decision: what is kept up to date.
            workers: who is told what to look at.
            instruments: metrics.
            on_nodes: called when nodes were added, changed or removed, with the names of those that were removed.
            on_turn: called after each turn, at least once a second.
        """
        self._decision = decision
        self._workers = workers
        self._instruments = instruments
        self._on_nodes = on_nodes
        self._on_turn = on_turn
        self._inbox: queue.Queue[_Item] = queue.Queue(_MOST_WAITING)
        self._stopping = False
        self._turned_s = time.monotonic()
        self._synced: bool | None = None

    # --- from other threads ---

    def tell(self, update: Update) -> None:
        """What a watch tells."""
        self._inbox.put((time.monotonic(), update))

    def tell_health(self, node: str, ill: str | None) -> None:
        """What a health check tells."""
        self._inbox.put((time.monotonic(), (node, ill)))

    def wake(self) -> None:
        """Something happened elsewhere. Never waits: a full inbox is awake."""
        with contextlib.suppress(queue.Full):
            self._inbox.put_nowait((time.monotonic(), None))

    def stop(self) -> None:
        """Ends within a tick. A signal handler may call it: it takes no lock that the loop might hold."""
        self._stopping = True

    def alive(self) -> bool:
        """Whether it has turned lately."""
        return time.monotonic() - self._turned_s < _STUCK_S

    # --- the thread ---

    def run(self) -> None:
        """Turns until `stop`."""
        while not self._stopping:
            items = self._take()
            self._turned_s = time.monotonic()
            try:
                self._turn(items)
            except Exception:  # noqa: BLE001  whatever it is, the loop goes on
                _log.exception("the loop met something unexpected and goes on")
                for worker in self._workers:
                    worker.mark(None, time.monotonic())
                self._decision.untold = False

    def _take(self) -> list[_Item]:
        deadline_s = self._decision.next_deadline_s()
        wait_s = _TICK_S if deadline_s is None else max(0.0, min(_TICK_S, deadline_s))
        items: list[_Item] = []
        try:
            items.append(self._inbox.get(timeout=wait_s))
            while len(items) < _MOST_AT_ONCE:
                items.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return items

    def _turn(self, items: Sequence[_Item]) -> None:
        was_complete = self._decision.complete
        health: dict[str, str | None] = {}
        updates: list[Update] = []
        at_s = time.monotonic()
        for told_s, item in items:
            if item is None:
                continue
            at_s = min(at_s, told_s)
            if isinstance(item, tuple) and not isinstance(item, Update):
                health[item[0]] = item[1]
            else:
                updates.append(item)
        told = self._decision.tell(updates, health)
        self._count(updates)
        if self._decision.complete and not was_complete:
            keep()
            _log.info(
                "cluster is read", extra={"nodes": len(self._decision.nodes), "routes": self._decision.counts()[0]}
            )
            for worker in self._workers:
                worker.mark(None, at_s)
        elif told.prefixes:
            for worker in self._workers:
                worker.mark(told.prefixes, at_s)
        self._decision.untold = False
        if told.holds_changed:
            for worker in self._workers:
                worker.nudge()
        if told.nodes:
            self._on_nodes(told.gone)
        self._say_synced()
        self._on_turn()

    def _count(self, updates: Sequence[Update]) -> None:
        counts: dict[str, int] = {}
        for update in updates:
            if isinstance(update, Changed | Gone | Listed):
                counts[update.kind] = counts.get(update.kind, 0) + 1
            elif isinstance(update, WatchState) and update.reason is not None:
                _log.warning("watch is not in order", extra={"kind": update.kind, "reason": update.reason})
        for kind, count in counts.items():
            self._instruments.event(kind, count)

    def _say_synced(self) -> None:
        why = self._decision.not_synced()
        if (why is None) != self._synced:
            self._synced = why is None
            if why is None:
                _log.info("all watches are synced")
            else:
                _log.warning("nothing is changed until the cluster is seen whole", extra={"reason": why})

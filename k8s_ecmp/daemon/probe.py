"""Probes kube-proxy's health port on every node, some seconds faster than Kubernetes notices that a node is gone.

One thread, one event loop, and for each address one timer and one connection that is kept open: 5,000 addresses at one
probe a second would otherwise be 5,000 TCP handshakes a second here and as many closed connections on the nodes. More
of them only where an answer is late, so that the verdict on a dead node takes no row of whole intervals.
"""

import asyncio
import logging
import random
import resource
import threading
from collections.abc import Callable, Collection, Mapping

from k8s_ecmp.core.probing import ANSWERED, WELL, Health, Outcome, judge, probes_at_once, verdict
from k8s_ecmp.daemon.asking import Line, write_request
from k8s_ecmp.settings import ProbeSettings

_log = logging.getLogger(__name__)

Verdicts = Callable[[str, str | None], None]
"""Takes a node and why it is ill; None: it is well."""

_DOUBT = 0.4
"""Of an interval without an answer, then the next probe goes out beside it. A dead node fails `failures` of them within
1 + 0.4 x (failures - 1) + 1 intervals: 2.8 for 3."""
_MOST_AT_ONCE = 3  # probes of an address: each has ended an interval after it was sent
_SPARE_FILES = 256
_JOIN_S = 5.0


class Prober:
    """Asks every node's addresses and tells when a node's verdict changes.

    A node whose verdict was not told yet has not answered. A node that is taken away and comes back begins anew.
    """

    def __init__(self, settings: ProbeSettings, sink: Verdicts) -> None:
        """Asks nobody yet.

        Args:
            settings: port, path, interval and how many failures in a row count; `enabled` is not looked at.
            sink: called from the prober's thread, on each change of a node's verdict alone; returns at once.
        """
        self._settings = settings
        self._sink = sink
        self._nodes: dict[str, dict[str, _Address]] = {}
        self._told: dict[str, str | None] = {}
        self._doubts = _Doubts(_DOUBT * settings.interval_s)
        self._targets: Mapping[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread. The first probes are spread over one interval, as all later ones are."""
        with self._lock:
            if self._thread is not None:
                raise RuntimeError("the prober is started already")
            self._loop = loop = asyncio.new_event_loop()
            self._doubts = _Doubts(_DOUBT * self._settings.interval_s)
            self._thread = threading.Thread(target=self._run, args=(loop,), name="probe", daemon=True)
            loop.call_soon(self._follow, self._targets)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes all connections; no verdict is told after it. May be called twice."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_JOIN_S)

    def set_targets(self, targets: Mapping[str, tuple[str, ...]]) -> None:
        """Says whom to ask from now on: node -> addresses. Any thread; what stays is not disturbed.

        A node without an address is ill.
        """
        copied = dict(targets)
        with self._lock:
            self._targets = copied
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._follow, copied)

    def forget(self, nodes: Collection[str]) -> None:
        """These nodes are gone; one of the same name that comes after is another one, of whom nothing was told."""
        with self._lock:
            if self._loop is not None and nodes:
                self._loop.call_soon_threadsafe(self._drop, tuple(nodes))

    # --- in the prober's thread

    def _drop(self, nodes: Collection[str]) -> None:
        for node in nodes:
            for line in self._nodes.pop(node, {}).values():
                line.close()
            self._told.pop(node, None)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            self._follow({})
            # Cancelled connections and closed ones are only gone after another turn.
            loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    def _follow(self, targets: Mapping[str, tuple[str, ...]]) -> None:
        _allow_files(sum(map(len, targets.values())), min(self._settings.failures, _MOST_AT_ONCE))
        self._drop(self._nodes.keys() - targets.keys())
        for node, addresses in targets.items():
            lines = self._nodes.get(node)
            if lines is None:
                lines = self._nodes[node] = {}
            elif lines.keys() == set(addresses):
                continue
            for address in lines.keys() - set(addresses):
                lines.pop(address).close()
            for address in addresses:
                if address not in lines:
                    lines[address] = _Address(node, address, self._settings, self._doubts, self._heard)
            self._heard(node)

    def _heard(self, node: str) -> None:
        """Looks whether the node's verdict is another one now."""
        known, ill = verdict((address, line.health) for address, line in self._nodes[node].items())
        if not known or (node in self._told and (self._told[node] is None) == (ill is None)):
            return
        self._told[node] = ill
        self._sink(node, ill)


class _Address:
    """One address: what is known of it, its timer, and the lines on which it is asked.

    One line is enough while the answers come at once. When the newest probe has none for a while, which is the doubt,
    the next one goes out beside it on a line of its own, until as many are out as it takes to make the address ill.
    """

    __slots__ = (
        "_address",
        "_doubts",
        "_heard",
        "_lines",
        "_loop",
        "_newest",
        "_node",
        "_request",
        "_sent",
        "_settings",
        "_timer",
        "health",
    )

    def __init__(
        self, node: str, address: str, settings: ProbeSettings, doubts: "_Doubts", heard: Callable[[str], None]
    ) -> None:
        self._node = node
        self._address = address
        self._settings = settings
        self._doubts = doubts
        self._heard = heard
        self.health: Health | None = None
        self._request = write_request(address, settings.port, settings.path)
        self._newest = Line(address, settings.port, self._request, self._ended)
        self._lines = [self._newest]
        self._loop = asyncio.get_event_loop()
        self._sent = self._loop.time()
        phase_s = random.random() * settings.interval_s  # noqa: S311  no secret
        self._timer = self._loop.call_later(phase_s, self._ask)

    def close(self) -> None:
        self._timer.cancel()
        self._doubts.drop(self)
        for line in self._lines:
            line.hang_up()

    def doubt(self) -> None:
        """The newest probe was sent a while ago and an answer is owed: sends the next one beside it, if it may."""
        asking = sum(line.asking for line in self._lines)
        if asking < probes_at_once(self.health, self._settings.failures):
            self._timer.cancel()
            if self._newest.asking:
                self._newest.expire_at(self._sent + self._settings.interval_s, self._settings.interval_s)
            self._ask()

    def _next(self) -> None:
        self._newest.expire(self._settings.interval_s)
        self._ask()

    def _ask(self) -> None:
        self._sent = sent = self._loop.time()
        self._timer = self._loop.call_at(sent + self._settings.interval_s, self._next)
        self._doubts.add(self, sent)
        if len(self._lines) > 1 or not self._newest.free:
            self._newest = self._free_line()
        self._newest.ask()

    def _free_line(self) -> Line:
        """One that can ask now. What neither can nor is asking is hung up, so no more are open than probes are out."""
        chosen = None
        asking = []
        for line in self._lines:
            if line.asking:
                asking.append(line)
            elif chosen is None and line.free:
                chosen = line
            else:
                line.hang_up()
        if chosen is None:
            chosen = Line(self._address, self._settings.port, self._request, self._ended)
        self._lines = [*asking, chosen]
        return chosen

    def _ended(self, line: Line, outcome: Outcome | None) -> None:
        if len(self._lines) == 1:
            self._doubts.drop(self)
        elif outcome is ANSWERED:
            self._keep_only(line)
        elif not any(other.asking for other in self._lines):
            self._doubts.drop(self)
        if outcome is None or (outcome is ANSWERED and self.health is WELL):
            return
        before, now = self.health, judge(self.health, outcome, self._loop.time(), self._settings.failures)
        self.health = now
        if before is None or before.ill != now.ill:
            self._heard(self._node)

    def _keep_only(self, line: Line) -> None:
        self._doubts.drop(self)
        for other in self._lines:
            if other is not line:
                other.hang_up()
        self._newest = line
        self._lines = [line]


class _Doubts:
    """The addresses that owe an answer, each with the time of its newest probe, in the order of those times.

    All answers become doubtful after the same time, so the first in the row is the next one, and one timer is enough
    for all. One of the loop's own for each probe would be taken back again and again, as nearly all answers come at
    once.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._row: dict[_Address, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, address: "_Address", sent: float) -> None:
        self._row.pop(address, None)
        self._row[address] = sent
        if self._timer is None:
            self._look_at(sent + self._wait_s)

    def drop(self, address: "_Address") -> None:
        self._row.pop(address, None)

    def _look_at(self, when: float) -> None:
        self._timer = asyncio.get_event_loop().call_at(when, self._look)

    def _look(self) -> None:
        now = asyncio.get_event_loop().time()
        while self._row:
            address, sent = next(iter(self._row.items()))
            if sent + self._wait_s > now:
                self._look_at(sent + self._wait_s)
                return
            del self._row[address]
            address.doubt()
        self._timer = None


def _allow_files(addresses: int, at_once: int) -> None:
    """Each connection takes a file descriptor; the soft limit is often 1,024, and a process may raise it by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = addresses * at_once + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning("%d addresses are to be probed, but the process may only open %d files", addresses, allowed)

"""Puts the daemon together, starts its parts in order, and ends them in order."""

import logging
import secrets
import signal
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from nornir.core import Nornir
from nornir.core.inventory import Host

import k8s_ecmp
from k8s_ecmp.bgp.heartbeat import Heartbeat, Promise
from k8s_ecmp.daemon.account import Account
from k8s_ecmp.daemon.authority import Authority, Sole
from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.daemon.drains import Drains
from k8s_ecmp.daemon.health import HealthServer
from k8s_ecmp.daemon.loop import Loop
from k8s_ecmp.daemon.metrics import Instruments
from k8s_ecmp.daemon.notices import Notices
from k8s_ecmp.daemon.probe import Prober
from k8s_ecmp.daemon.standstill import Standstill
from k8s_ecmp.daemon.turns import Turns
from k8s_ecmp.daemon.worker import Worker
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.kube import LIVE
from k8s_ecmp.kube.drain import DRAIN_PENDING_ANNOTATION, DRAINED_ANNOTATION
from k8s_ecmp.kube.events import Recorder
from k8s_ecmp.kube.follow import Follow
from k8s_ecmp.kube.follow_file import FollowFile
from k8s_ecmp.kube.lease import Elector
from k8s_ecmp.memory import put_off
from k8s_ecmp.report import DaemonReport, GuardReport, NodeReport
from k8s_ecmp.routers.exposure import exposed
from k8s_ecmp.routers.hosts import router_settings
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.session import NEVER_WRITE
from k8s_ecmp.settings import Settings

_log = logging.getLogger(__name__)

_STOP_S = 9.0
_NOTICE_S = 1.0
_SHOWN_SKIPPED = 1000


class Daemon:
    """`k8s-ecmp run`."""

    def __init__(self, settings: Settings, base_folder: Path) -> None:
        """Checks everything that can be checked without speaking to anybody.

        Raises:
            SettingsError: settings or inventory are wrong, or ask for what a daemon cannot do.
            ClusterError: the kubeconfig is wrong.
        """
        if settings.daemon.shards > 1:
            raise SettingsError(
                f"daemon.shards is {settings.daemon.shards}, and this version has one Lease for all routers",
                remedy="set daemon.shards: 1",
            )
        if settings.cluster.source == "-":
            raise SettingsError(
                "a daemon cannot follow stdin", remedy="set cluster.source: live, or the path of a file"
            )
        self._settings = settings
        self._clock = Clock()
        self._instruments = Instruments()
        self._decision = Decision(settings, self._clock, lambda: self._account.trouble)
        self._live = settings.cluster.source == LIVE
        self._elector: Elector | None = None
        self._authority: Authority
        if self._live and settings.daemon.lease.enabled:
            self._elector = Elector(settings.cluster, settings.daemon.lease, settings.owner, self._on_lease)
            self._authority = self._elector
            self.identity: str = self._elector.identity
        else:
            self.identity = settings.daemon.lease.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
            self._authority = Sole(self.identity)
        self._recorder = Recorder(settings.cluster, instance=self.identity) if self._live else None
        self._notices = Notices(self._recorder)
        nornir = init_nornir(settings, base_folder)
        alone = any(_is_replica(host) for host in nornir.inventory.hosts.values())
        self._account = Account(
            settings,
            Sole(self.identity) if alone else self._authority,
            self.identity,
            lambda: self._source.server,
            self._elector.name if self._elector is not None else None,
            self._on_journal,
        )
        for file in exposed(nornir):
            _log.warning("%s; %s", file, file.remedy)
        self._workers = self._make_workers(nornir)
        self._loop = Loop(self._decision, self._workers, self._instruments, self._on_nodes, self._on_turn)
        self._source: Follow | FollowFile = (
            Follow(settings.cluster, self._loop.tell) if self._live else FollowFile(settings, self._loop.tell)
        )
        self._drains = Drains(self._workers, self._write_drains, settings.guards.window_s)
        probe = settings.nodes.probe
        self._prober = Prober(probe, self._loop.tell_health) if probe.enabled else None
        promises = _promises(nornir)
        self._heartbeat = Heartbeat(promises, self._loop.alive, self._current)
        # The bridge stands back a quarter before the end of the time, counted from the last sign.
        spans = [promise.hand_over_s / 2 for promise in promises.values() if promise.hand_over_s is not None]
        self._standstill = Standstill(min(spans), self._on_standstill) if spans else None
        self._looks_again = False
        self._behind: set[str] = set()
        listen = settings.daemon.listen
        self._health = HealthServer(listen, self.report, self._loop.alive, self._instruments) if listen else None
        self._draining: dict[str, str] = {}
        self._led = False
        self._journal_trouble: str | None = None
        self._signal: str | None = None
        self._noticed_s = 0.0
        self._noticed: object = None

    def _make_workers(self, nornir: Nornir) -> list[Worker]:
        domains: dict[str, Turns] = {}
        workers = []
        for host in nornir.inventory.hosts.values():
            domain = router_settings(host).failure_domain
            workers.append(
                Worker(
                    host,
                    nornir.config,
                    self._settings,
                    self._decision,
                    Sole(self.identity) if _is_replica(host) else self._authority,
                    self._clock,
                    self._instruments,
                    self._account,
                    None if domain is None else domains.setdefault(domain, Turns()),
                    self._on_progress,
                )
            )
        return workers

    # --- life ---

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT. The routes stay.

        Raises:
            SettingsError: the address to listen on cannot be had.
        """
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, self._on_signal)
        if self._health is not None:
            self._health.start()
        _log.info(
            "started",
            extra={
                "version": k8s_ecmp.__version__,
                "owner": self._settings.owner,
                "identity": self.identity,
                "cluster": self._source.server,
                "routers": len(self._workers),
                "mode": self._settings.mode,
                "listen": self._health.address if self._health is not None else None,
            },
        )
        try:
            if self._elector is not None:
                self._elector.start()
            if self._settings.mode not in NEVER_WRITE:
                self._account.start()
                if self._standstill is not None:
                    self._standstill.start()
                self._heartbeat.start()
            for worker in self._workers:
                worker.start()
            put_off()
            self._source.start()
            if self._recorder is not None:
                self._recorder.start()
            if self._prober is not None:
                self._prober.start()
            self._loop.run()
        finally:
            self._end()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        self._loop.stop()

    def _end(self) -> None:
        """What writes ends first, and only then the right to write is given back."""
        _log.info("stopping; the routes stay", extra={"signal": self._signal})
        deadline_s = time.monotonic() + _STOP_S
        if self._prober is not None:
            self._prober.stop()
        for worker in self._workers:
            worker.stop()
        late = [worker.name for worker in self._workers if not worker.join(deadline_s - 3 - time.monotonic())]
        if late:
            _log.warning(
                "routers that did not end in time take an unconfirmed change back by themselves",
                extra={"routers": late},
            )
        self._heartbeat.stop()
        if self._standstill is not None:
            self._standstill.stop()
        self._account.stop(max(0.5, deadline_s - 2.5 - time.monotonic()))
        self._source.stop(max(0.5, deadline_s - 2 - time.monotonic()))
        if self._elector is not None:
            self._elector.stop(max(0.5, deadline_s - 1 - time.monotonic()))
        if self._recorder is not None:
            self._recorder.stop(0.5)
        if self._health is not None:
            self._health.stop()
        _log.info("stopped")

    # --- called by the parts ---

    def _on_lease(self) -> None:
        _log.info("lease", extra={"leading": self._authority.leading, "leader": self._authority.leader})
        self._account.nudge()
        for worker in self._workers:
            worker.nudge()
        self._loop.wake()

    def _on_journal(self) -> None:
        """It cannot be written, or can again, or there is something for the workers to find out."""
        if (trouble := self._account.trouble) != self._journal_trouble:
            self._journal_trouble = trouble
            self._notices.journal(trouble, self._settings.daemon.lease, self._settings.owner)
        for worker in self._workers:
            worker.nudge()
        self._loop.wake()

    def _on_progress(self) -> None:
        if self._draining:
            self._loop.wake()

    def _on_nodes(self, gone: frozenset[str]) -> None:
        """Nodes came, changed or went; one that is gone may be back already, as another one."""
        if self._prober is not None:
            self._prober.forget(gone)
            verdicts = self._decision.nodes
            self._prober.set_targets(
                {
                    name: tuple(address for family in (4, 6) for address in verdict.address_of(family)[:1])
                    for name, verdict in verdicts.items()
                }
            )

    def _on_standstill(self, length_s: float) -> None:
        """Another replica may know better by now: nothing is said to be current before the cluster was seen again."""
        reason = f"this process stood still for {length_s:.1f} s and looks again"
        _log.warning("the cluster is read again", extra={"reason": reason})
        self._decision.doubt(reason)
        self._behind = {worker.name for worker in self._workers}
        self._looks_again = True
        self._source.again()

    def _on_turn(self) -> None:
        if self._looks_again and self._decision.not_synced() is None:
            self._looks_again = False  # and the workers know what has changed
        leading = self._authority.leading
        if leading != self._led:
            self._led = leading
            self._drains.forget()
        if leading and self._decision.complete:
            self._draining = self._decision.drains()
            self._drains.follow(self._draining, self._decision)
            self._decision.acknowledged = self._drains.acknowledged
            state = (self._decision.version, tuple(worker.ledger.version for worker in self._workers))
            if state != self._noticed and time.monotonic() - self._noticed_s >= _NOTICE_S:
                self._noticed, self._noticed_s = state, time.monotonic()
                acts = self._settings.mode not in NEVER_WRITE and not self._decision.holds
                self._notices.nodes(self._decision.nodes, self._drains.drained, acts=acts)
                self._notices.skipped(self._decision.skipped())
                self._notices.routers(self._workers, self._decision.sources)

    def _write_drains(self, acks: str | None, pending: str | None) -> bool:
        if self._elector is None or not self._elector.leading:
            return False
        self._elector.annotate(DRAINED_ANNOTATION, acks)
        self._elector.annotate(DRAIN_PENDING_ANNOTATION, pending)
        return True

    def _current(self, router: str) -> bool:
        """Whether what the router has is what the cluster asks for, as far as can be seen from here."""
        if self._standstill is not None:
            self._standstill.check()
        worker = next(worker for worker in self._workers if worker.name == router)
        if self._looks_again or (router in self._behind and worker.busy):
            return False
        self._behind.discard(router)
        return worker.settled and self._decision.not_synced() is None and self._account.trouble is None

    # --- for others ---

    def report(self) -> DaemonReport:
        """How everything stands at this moment."""
        decision, authority = self._decision, self._authority
        routed, events = decision.counts()
        not_synced = decision.not_synced()
        leading = authority.leading
        waiting = [worker.name for worker in self._workers if worker.leading and not worker.settled]
        trouble = self._elector.trouble if self._elector is not None and authority.leader is None else None
        journal_trouble = self._account.trouble
        not_ready = (
            not_synced
            or trouble
            or journal_trouble
            or (f"routers are not settled: {', '.join(sorted(waiting)[:5])}" if waiting else None)
        )
        drained = self._drains.drained
        return DaemonReport(
            program=f"k8s-ecmp {k8s_ecmp.__version__}",
            owner=self._settings.owner,
            identity=self.identity,
            leading=leading,
            leader=authority.leader,
            mode=self._settings.mode,
            started=self._clock.started,
            now=datetime.now(UTC),
            synced=not_synced is None,
            ready=not_ready is None,
            not_ready=not_ready,
            journal_trouble=journal_trouble,
            cluster=self._source.server,
            service_cidrs=tuple(str(cidr.prefix) for cidr in decision.service_cidrs),
            desired_routes=routed,
            events=events,
            watches=decision.watches(),
            holds=tuple(GuardReport(trip.guard, trip.detail) for trip in decision.holds),
            nodes=tuple(
                NodeReport(name, verdict.standing, verdict.reason, name in drained)
                for name, verdict in decision.nodes.items()
            ),
            skipped=tuple((skip.object, skip.reason) for skip in decision.skipped()[:_SHOWN_SKIPPED]),
            routers=tuple(worker.report(routed) for worker in self._workers),
        )


def _is_replica(host: Host) -> bool:
    """Whether each daemon has an ExaBGP of its own for this router: then it writes there with or without the Lease."""
    found = router_settings(host)
    return found.mode == "bgp" and bool(found.bgp.replicas)


def _promises(nornir: Nornir) -> dict[tuple[Path, str], Promise]:
    """Within which time this daemon promises to be back, for each BGP peer that withdraws its routes otherwise."""
    peers = {host.name: router_settings(host) for host in nornir.inventory.hosts.values()}
    return {
        (found.bgp.state_folder, name): Promise(
            found.bgp.dead_man_s, found.bgp.hand_over_s if found.bgp.replicas else None
        )
        for name, found in peers.items()
        if found.mode == "bgp" and found.bgp.dead_man_s
    }

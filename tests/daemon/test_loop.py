"""What the loop decides, and when the workers are told of it."""

from pathlib import Path

from k8s_ecmp.daemon.account import Account
from k8s_ecmp.daemon.authority import Sole
from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.daemon.loop import Loop
from k8s_ecmp.daemon.metrics import Instruments
from k8s_ecmp.daemon.worker import Worker
from k8s_ecmp.kube.updates import Listed, ServiceCIDRsKnown, Update, WatchState
from k8s_ecmp.model import Prefix, ServiceCIDR
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.settings import load_settings
from tests.core.build import node, p, service
from tests.site import new_site

WHOLE: tuple[Update, ...] = (
    Listed("Node", {name: node(name) for name in ("n1", "n2")}, {}),
    Listed("Service", {"default/web": service("web", "10.96.0.10")}, {}),
    Listed("EndpointSlice", {}, {}),
    ServiceCIDRsKnown((ServiceCIDR(p("10.96.0.0/12"), "test"),)),
    *(WatchState(kind, True) for kind in ("Node", "Service", "EndpointSlice")),
)


def test_a_router_is_not_in_order_between_a_decision_and_its_worker_being_told(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    settings = load_settings(site.folder / "k8s-ecmp.yaml")
    nornir = init_nornir(settings, site.folder)
    decision, authority, clock, instruments = Decision(settings, Clock()), Sole("here"), Clock(), Instruments()
    account = Account(settings, authority, "here", lambda: "a file", None, lambda: None)
    host = next(iter(nornir.inventory.hosts.values()))
    told: list[tuple[bool, bool]] = []  # whether the worker was busy before it was marked, and what it was marked with

    class Watched(Worker):
        def mark(self, prefixes: "frozenset[Prefix] | None", now_s: float) -> None:  # type: ignore[override]
            told.append((self.busy, prefixes is None))
            super().mark(prefixes, now_s)

    worker = Watched(
        host, nornir.config, settings, decision, authority, clock, instruments, account, None, lambda: None
    )
    turns = iter(([Listed("Node", {"n1": node("n1")}, {})], []))

    def next_turn() -> None:
        updates = next(turns, None)
        if updates is None:
            loop.stop()
        for update in updates or ():
            loop.tell(update)

    loop = Loop(decision, [worker], instruments, lambda gone: None, next_turn)
    assert not worker.busy
    for update in WHOLE:
        loop.tell(update)
    loop.run()
    assert told == [(True, True), (True, False)]
    assert not decision.untold

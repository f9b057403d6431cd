"""What the daemon decides of what the watches tell it: when it begins, what holds it, what a list takes away."""

from k8s_ecmp.daemon.clock import Clock
from k8s_ecmp.daemon.decision import Decision
from k8s_ecmp.kube.updates import Changed, DrainsKnown, Gone, Listed, ServiceCIDRsKnown, Update, WatchState
from k8s_ecmp.model import EndpointSlice, Node, Service, ServiceCIDR, Skipped
from k8s_ecmp.settings import GuardSettings, NodeSettings, ProbeSettings, Settings
from tests.core.build import OWNER, TAG, endpoints, node, p, service, table

CIDRS = ServiceCIDRsKnown((ServiceCIDR(p("10.96.0.0/12"), "test"),))
NODES = Listed("Node", {name: node(name) for name in ("n1", "n2", "n3")}, {})
SERVICES = Listed("Service", {"default/web": service("web", "10.96.0.10", etp="Local")}, {})
SLICES = Listed("EndpointSlice", {"default/web-4-0": endpoints("web", "n1", "n2")}, {})


def states(*, synced: bool = True, reason: str | None = None) -> list[WatchState]:
    return [WatchState(kind, synced, reason) for kind in ("Node", "Service", "EndpointSlice")]


def new(**configured: object) -> Decision:
    return Decision(Settings(owner=OWNER, tag=TAG, **configured), Clock())  # type: ignore[arg-type]


def synced(**configured: object) -> Decision:
    decision = new(**configured)
    decision.tell([CIDRS, NODES, SERVICES, SLICES, *states()])
    return decision


def routes(decision: Decision) -> dict[str, tuple[str, ...]]:
    return table(decision.snapshot(None).desired)


def guards(decision: Decision) -> set[str]:
    return {trip.guard for trip in decision.holds}


def test_nothing_is_decided_before_everything_was_listed() -> None:
    decision = new()
    whole: list[Update] = [NODES, SERVICES, SLICES, CIDRS, *states()]
    for number, update in enumerate(whole[:-1]):
        told = decision.tell([update])
        assert not told.prefixes, number
        assert not decision.complete
        assert guards(decision) >= {"not-synced"}
    told = decision.tell([whole[-1]])
    assert told.prefixes == {p("10.96.0.0/12"), p("10.96.0.10/32")}
    assert told.holds_changed
    assert decision.complete
    assert guards(decision) == set()


def test_a_watch_that_breaks_holds_everything_until_it_is_in_order_again() -> None:
    decision = synced()
    assert decision.tell([WatchState("Service", False, "the API server does not answer")]).holds_changed
    assert decision.not_synced() == "Service: the API server does not answer"
    assert guards(decision) == {"not-synced"}
    assert decision.tell([WatchState("Service", True)]).holds_changed
    assert guards(decision) == set()


def test_a_watch_that_is_not_essential_holds_nothing() -> None:
    decision = synced()
    decision.tell([WatchState("Drain", False, "forbidden", essential=False)])
    assert decision.not_synced() is None


def test_a_list_takes_away_what_it_does_not_have() -> None:
    decision = synced()
    assert routes(decision)["10.96.0.10/32"] == ("n1", "n2")
    told = decision.tell([Listed("EndpointSlice", {}, {})])
    assert told.prefixes == {p("10.96.0.10/32")}
    assert "10.96.0.10/32" not in routes(decision)
    decision.tell([Listed("Node", {"n3": node("n3")}, {})])
    assert routes(decision) == {"10.96.0.0/12": ("n3",)}
    assert [watch.objects for watch in decision.watches()] == [0, 1, 1]


def test_an_object_that_can_no_longer_be_read_counts_as_absent_and_is_named() -> None:
    decision = synced()
    broken = Skipped("EndpointSlice default/web-4-0", "endpoints: expected array")
    decision.tell([Gone("EndpointSlice", "default/web-4-0", broken)])
    assert "10.96.0.10/32" not in routes(decision)
    assert broken in decision.skipped()
    assert next(watch.broken for watch in decision.watches() if watch.kind == "EndpointSlice") == 1
    piece = endpoints("web", "n3")
    assert isinstance(piece, EndpointSlice)
    decision.tell([Changed("EndpointSlice", "default/web-4-0", piece)])
    assert broken not in decision.skipped()


def test_an_empty_list_of_nodes_is_held() -> None:
    decision = synced()
    decision.tell([Listed("Node", {}, {})])
    assert guards(decision) == {"empty-desired"}


def test_half_of_the_nodes_not_ready_at_once_is_held() -> None:
    decision = synced()
    bad: list[Update] = [Changed("Node", name, node(name, ready="Unknown")) for name in ("n1", "n2")]
    decision.tell(bad[:1])
    assert guards(decision) == set()
    decision.tell(bad[1:])
    assert guards(decision) == {"panic"}


def test_kureds_lock_drains() -> None:
    decision = synced()
    decision.tell([DrainsKnown({"n1": "draining: kured's lock"})])
    assert routes(decision)["10.96.0.10/32"] == ("n2",)
    assert decision.drains() == {"n1": ""}
    decision.tell([DrainsKnown({})])
    assert routes(decision)["10.96.0.10/32"] == ("n1", "n2")
    assert decision.drains() == {}


def test_the_first_health_checks_have_to_be_done() -> None:
    decision = synced(nodes=NodeSettings(probe=ProbeSettings(enabled=True)))
    assert decision.not_synced() == "the first health checks of 3 nodes are not done (n1, n2, n3)"
    decision.tell([], {"n1": None, "n2": None})
    decision.tell([])
    assert guards(decision) == {"not-synced"}
    decision.tell([], {"n3": "no answer"})
    decision.tell([])
    assert guards(decision) == set()
    assert routes(decision) == {"10.96.0.0/12": ("n1", "n2"), "10.96.0.10/32": ("n1", "n2")}


def test_service_cidrs_come_and_go() -> None:
    decision = synced()
    more = ServiceCIDR(p("10.200.0.0/24"), "ServiceCIDR more")
    told = decision.tell([ServiceCIDRsKnown((*CIDRS.cidrs, more))])
    assert p("10.200.0.0/24") in told.prefixes
    assert "10.200.0.0/24" in routes(decision)
    decision.tell([CIDRS])
    assert "10.200.0.0/24" not in routes(decision)


def test_panic_can_be_switched_off() -> None:
    decision = synced(guards=GuardSettings(max_not_ready_fraction=1))
    decision.tell([Changed("Node", name, node(name, ready="False")) for name in ("n1", "n2", "n3")])
    assert "panic" not in guards(decision)


def test_objects_of_every_kind_are_counted() -> None:
    decision = synced()
    changed: list[Update] = [
        Changed("Node", "n9", Node(name="n9")),
        Changed("Service", "default/other", Service(namespace="default", name="other")),
        Gone("Service", "default/other"),
    ]
    decision.tell(changed)
    assert decision.events == {"Node": 2, "Service": 3, "EndpointSlice": 1}

"""The incremental decision is the full one, whatever happened before and in whatever order."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import hypothesis.strategies as st
import msgspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from k8s_ecmp.core.desired import Desired, decide
from k8s_ecmp.core.incremental import Incremental
from k8s_ecmp.model import (
    ClusterState,
    Condition,
    DesiredRoute,
    EndpointSlice,
    Node,
    Prefix,
    Service,
    ServiceCIDR,
    Taint,
)
from k8s_ecmp.settings import AddressRanges, GuardSettings, NodeSettings, ProbeSettings, ServiceSettings, Settings
from tests.core.build import NOW, OWNER, TAG, ago, endpoints, p, second, service

NODES = ("n1", "n2", "n3", "n4")
SERVICES = ("a/one", "a/two", "b/three", "b/four")
CLUSTER_IPS = {"a/one": ("10.96.0.1", "fd96::1"), "a/two": ("10.96.0.2",), "b/three": ("fd96::3",), "b/four": ()}

Step = Callable[[Incremental, datetime], None]


@st.composite
def node_steps(draw: st.DrawFn) -> Step:
    name = draw(st.sampled_from(NODES))
    if draw(st.integers(0, 9)) == 0:
        return lambda inc, now: inc.drop_node(name)
    status = draw(st.sampled_from(("True", "True", "False", "Unknown")))
    age = draw(st.sampled_from((0, 3, 40, 9000, -20)))
    network = draw(st.sampled_from((None, None, "False", "True")))
    annotations = draw(
        st.sampled_from(
            (
                {},
                {},
                {"k8s-ecmp.io/drain": "true"},
                {"k8s-ecmp.io/next-hops": "10.9.9.9"},
                {"k8s-ecmp.io/next-hops": "x"},
            )
        )
    )
    taints = draw(st.sampled_from(((), (), ("ToBeDeletedByClusterAutoscaler",), ("medik8s.io/drain",))))
    addresses = draw(
        st.sampled_from(
            (("10.0.0.1", "fd00::1"), (f"10.0.1.{name[1]}",), (f"10.0.1.{name[1]}", f"fd00::{name[1]}"), ())
        )
    )
    labels = draw(st.sampled_from(({}, {"rack": "a"}, {"node.kubernetes.io/exclude-from-external-load-balancers": ""})))
    pods = draw(st.sampled_from(((), (p(f"10.244.{name[1]}.0/24"),), (p("10.244.1.0/24"), p("fd44::/64")))))
    created = draw(st.sampled_from((None, ago(100000), ago(5))))
    live = draw(st.booleans())

    def step(inc: Incremental, now: datetime) -> None:
        since = now - second(age)
        made = Node(
            name=name,
            internal_ips=addresses,
            labels=labels,
            annotations=annotations,
            taints=tuple(Taint(key, "", "NoSchedule") for key in taints),
            ready=Condition(status, since),
            network_unavailable=None if network is None else Condition(network, since),
            pod_cidrs=pods,
            created=created,
        )
        inc.put_node(made, now, live=live)

    return step


@st.composite
def service_steps(draw: st.DrawFn) -> Step:
    key = draw(st.sampled_from(SERVICES))
    if draw(st.integers(0, 5)) == 0:
        return lambda inc, now: inc.drop_service(key)
    made = service(
        key,
        *CLUSTER_IPS[key],
        etp=draw(st.sampled_from(("Local", "Cluster"))),
        itp=draw(st.sampled_from(("Local", "Cluster"))),
        external_ips=draw(st.sampled_from(((), ("192.0.2.7",), ("192.0.2.7", "192.0.2.8"), ("198.51.100.1",)))),
        load_balancer_ips=draw(st.sampled_from(((), ("203.0.113.9",), ("10.96.0.1",)))),
        annotations=draw(st.sampled_from(({}, {}, {"k8s-ecmp.io/advertise": "false"}))),
    )
    live = draw(st.booleans())
    return lambda inc, now: inc.put_service(made, now, live=live)


@st.composite
def slice_steps(draw: st.DrawFn) -> Step:
    key = draw(st.sampled_from(SERVICES))
    family = draw(st.sampled_from((4, 4, 6)))
    number = draw(st.integers(0, 1))
    places = [f"{name}{mark}" for name in NODES for mark in ("", "", "!", "~", "x")]
    where = draw(st.lists(st.sampled_from([*places, None]), max_size=4))
    made = endpoints(key, *where, family=family, number=number)
    name = f"{made.namespace}/{made.name}"
    if draw(st.integers(0, 5)) == 0:
        return lambda inc, now: inc.drop_slice(name, now)
    other = draw(st.sampled_from((*SERVICES, None, made.service, made.service)))
    if draw(st.integers(0, 9)) == 0:
        made = type(made)(
            namespace=made.namespace, name=made.name, service=other, family=made.family, endpoints=made.endpoints
        )
    live = draw(st.booleans())
    return lambda inc, now: inc.put_slice(name, made, now, live=live)


@st.composite
def other_steps(draw: st.DrawFn) -> Step:
    kind = draw(st.sampled_from(("cidrs", "drains", "health", "health")))
    if kind == "cidrs":
        cidrs = draw(
            st.sampled_from((("10.96.0.0/16",), ("10.96.0.0/16", "fd96::/108"), ("10.96.0.1/32", "fd96::/108")))
        )
        return lambda inc, now: inc.set_service_cidrs(ServiceCIDR(p(cidr), "test") for cidr in cidrs)
    name = draw(st.sampled_from(NODES))
    if kind == "drains":
        reasons = draw(st.sampled_from(({}, {name: "draining: kured's lock"})))
        return lambda inc, now: inc.set_drains(reasons, now)
    ill = draw(st.sampled_from((None, None, "no answer to its health check")))
    return lambda inc, now: inc.set_health(name, ill, now)


def configurations() -> st.SearchStrategy[Settings]:
    modes = st.sampled_from(("none", "local", "local", "all"))
    return st.builds(
        lambda cluster, external, aggregate, discard, terminating, delay, down, up, pods, probe: Settings(
            owner=OWNER,
            tag=TAG,
            pod_cidrs=pods,
            services=ServiceSettings(
                aggregate=aggregate,
                cluster_ips=cluster,
                external_ips=AddressRanges(cidrs=("192.0.2.0/24", "192.0.2.8/32"), host_routes=external),
                load_balancer_ips=AddressRanges(cidrs=("203.0.113.0/24", "10.96.0.0/24"), aggregate=False),
                discard_unserved=discard,
                terminating=terminating,
                add_delay_s=delay,
            ),
            nodes=NodeSettings(hold_down_s=down, hold_up_s=up, probe=ProbeSettings(enabled=probe)),
        ),
        modes,
        modes,
        st.booleans(),
        st.booleans(),
        st.sampled_from(("last-resort", "never", "always")),
        st.sampled_from((0, 1)),
        st.sampled_from((0, 5)),
        st.sampled_from((0, 30)),
        st.booleans(),
        st.booleans(),
    )


def meaning(desired: Desired) -> object:
    nodes = {
        name: (v.standing, v.bad, v.selected, v.annotated, v.internal, v.labels, v.changes_at)
        for name, v in desired.nodes.items()
    }
    return desired.routes, dict(desired.unserved), dict(desired.bases), nodes, desired.skipped


@hypothesis_settings(deadline=None, max_examples=hypothesis_settings().max_examples * 10)
@given(
    configurations(),
    st.lists(
        st.tuples(
            st.one_of(node_steps(), service_steps(), slice_steps(), slice_steps(), other_steps()),
            st.sampled_from((0, 0, 0.3, 2, 6, 35, 1000)),
            st.booleans(),
        ),
        min_size=8,
        max_size=60,
    ),
)
def test_equal_to_the_full_build_after_any_sequence(
    configured: Settings, steps: list[tuple[Step, float, bool]]
) -> None:
    inc = Incremental(configured)
    inc.set_service_cidrs((ServiceCIDR(p("10.96.0.0/16"), "test"),))
    now = NOW
    before: dict[Prefix, tuple[DesiredRoute, str | None]] = {}
    for step, pause, settle in [*steps, (lambda inc, now: None, 0, True)]:
        now += second(pause)
        inc.advance(now)
        step(inc, now)
        if settle:
            changed = inc.settle()
            whole = inc.desired()
            full = decide(inc.cluster(), configured, now, inc.watched())
            assert meaning(whole) == meaning(full)
            after = {route.prefix: (route, whole.bases.get(route.prefix)) for route in whole.routes}
            assert {q for q in before.keys() | after.keys() if before.get(q) != after.get(q)} <= changed
            some = sorted(after)[::2]
            assert inc.desired(some).routes == tuple(after[q][0] for q in some)
            assert inc.counts == (
                sum(v.bad and v.selected for v in whole.nodes.values()),
                sum(v.selected for v in whole.nodes.values()),
                len(whole.eligible),
            )
            before = after
        deadline = inc.next_deadline()
        assert deadline is None or deadline > now


class Told(Incremental):
    """Keeps the objects as they were told, besides."""

    def __init__(self, settings: Settings) -> None:
        self.objects: dict[str, dict[str, object]] = {"nodes": {}, "services": {}, "slices": {}}
        self.cidrs: tuple[ServiceCIDR, ...] = ()
        self.reasons: dict[str, str] = {}
        super().__init__(settings)

    def put_node(self, node: Node, now: datetime, *, live: bool = True) -> None:
        self.objects["nodes"][node.name] = node
        super().put_node(node, now, live=live)

    def drop_node(self, name: str) -> None:
        self.objects["nodes"].pop(name, None)
        super().drop_node(name)

    def put_service(self, service: Service, now: datetime, *, live: bool = True) -> None:
        self.objects["services"][service.key] = service
        super().put_service(service, now, live=live)

    def drop_service(self, key: str) -> None:
        self.objects["services"].pop(key, None)
        super().drop_service(key)

    def put_slice(self, key: str, piece: EndpointSlice, now: datetime, *, live: bool = True) -> None:
        self.objects["slices"][key] = piece
        super().put_slice(key, piece, now, live=live)

    def drop_slice(self, key: str, now: datetime) -> None:
        self.objects["slices"].pop(key, None)
        super().drop_slice(key, now)

    def set_service_cidrs(self, cidrs: Iterable[ServiceCIDR]) -> None:
        self.cidrs = tuple(cidrs)
        super().set_service_cidrs(self.cidrs)

    def set_drains(self, reasons: Mapping[str, str], now: datetime) -> None:
        self.reasons = dict(reasons)
        super().set_drains(reasons, now)

    def cluster_as_told(self) -> ClusterState:
        kinds = {kind: tuple(objects.values()) for kind, objects in self.objects.items()}
        return ClusterState(**kinds, service_cidrs=self.cidrs, source="", drains=self.reasons)  # type: ignore[arg-type]


@st.composite
def health_steps(draw: st.DrawFn) -> Step:
    """One thing that befalls one of few nodes, so that much befalls each."""
    name = draw(st.sampled_from(NODES[:2]))
    if draw(st.integers(0, 3)) == 0:
        ill = draw(st.sampled_from((None, "no answer to its health check")))
        return lambda inc, now: inc.set_health(name, ill, now)
    status = draw(st.sampled_from(("True", "True", "False", "Unknown")))
    network = draw(st.sampled_from((None, "False", "False", "True")))
    age = draw(st.sampled_from((0, 0, 2, 40)))
    labels = draw(st.sampled_from(({}, {}, {"node.kubernetes.io/exclude-from-external-load-balancers": ""})))
    live = draw(st.booleans())

    def step(inc: Incremental, now: datetime) -> None:
        since = now - second(age)
        unavailable = None if network is None else Condition(network, since)
        ready = Condition(status, since)
        made = Node(name=name, internal_ips=(f"10.0.1.{name[1]}",), labels=labels, ready=ready)
        inc.put_node(msgspec.structs.replace(made, network_unavailable=unavailable), now, live=live)

    return step


def long_after(configured: Settings, steps: list[tuple[Step, float, bool]]) -> tuple[Desired, Desired]:
    """What is decided when every hold is over, and what the objects alone say a day after that."""
    inc = Told(configured)
    inc.set_service_cidrs((ServiceCIDR(p("10.96.0.0/16"), "test"),))
    now = NOW
    for step, pause, settle in steps:
        now += second(pause)
        inc.advance(now)
        step(inc, now)
        if settle:
            inc.settle()
    for name in NODES:
        inc.set_health(name, None, now)
    inc.settle()
    while (deadline := inc.next_deadline()) is not None:
        now = deadline
        inc.advance(now)
        inc.settle()
    return inc.desired(), decide(inc.cluster_as_told(), configured, now + second(86400))


PAUSES = st.sampled_from((0, 0, 0.3, 2, 6, 35))


@hypothesis_settings(deadline=None, max_examples=hypothesis_settings().max_examples * 10)
@given(
    configurations(),
    st.lists(
        st.tuples(
            st.one_of(node_steps(), node_steps(), service_steps(), slice_steps(), other_steps()), PAUSES, st.booleans()
        ),
        min_size=4,
        max_size=40,
    ),
)
def test_long_after_the_last_event_it_is_what_the_objects_alone_say(
    configured: Settings, steps: list[tuple[Step, float, bool]]
) -> None:
    found, whole = long_after(configured, steps)
    assert meaning(found) == meaning(whole)


@hypothesis_settings(deadline=None, max_examples=hypothesis_settings().max_examples * 20)
@given(
    st.booleans(), st.sampled_from((0.4, 1.0)), st.lists(st.tuples(health_steps(), PAUSES, st.booleans()), max_size=12)
)
def test_nothing_that_befell_a_node_holds_it_in_or_out_for_ever(
    probed: bool, most_bad: float, steps: list[tuple[Step, float, bool]]
) -> None:
    nodes = NodeSettings(probe=ProbeSettings(enabled=probed))
    guards = GuardSettings(max_not_ready_fraction=most_bad)
    found, whole = long_after(Settings(owner=OWNER, tag=TAG, nodes=nodes, guards=guards), steps)
    assert meaning(found) == meaning(whole)

"""The incremental decision is the full one, whatever happened before and in whatever order."""

from collections.abc import Callable
from datetime import datetime, timedelta

import hypothesis.strategies as st
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from k8s_ecmp.core.desired import Desired, decide
from k8s_ecmp.core.incremental import Incremental
from k8s_ecmp.model import Condition, Node, Prefix, ServiceCIDR, Taint
from k8s_ecmp.settings import AddressRanges, NodeSettings, ProbeSettings, ServiceSettings, Settings
from tests.core.build import NOW, OWNER, TAG, ago, endpoints, node, p, service, table

NODES = ("n1", "n2", "n3", "n4")
SERVICES = ("a/one", "a/two", "b/three", "b/four")
CLUSTER_IPS = {"a/one": ("10.96.0.1", "fd96::1"), "a/two": ("10.96.0.2",), "b/three": ("fd96::3",), "b/four": ()}

Step = Callable[[Incremental, datetime], None]


def second(number: float) -> timedelta:
    return timedelta(seconds=number)


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
    before: dict[Prefix, object] = {}
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


def started(*objects: object, **configured: object) -> Incremental:
    inc = Incremental(Settings(owner=OWNER, tag=TAG, **configured))  # type: ignore[arg-type]
    inc.set_service_cidrs((ServiceCIDR(p("10.96.0.0/12"), "test"),))
    for made in objects:
        if isinstance(made, Node):
            inc.put_node(made, NOW, live=False)
    inc.put_service(service("web", "10.96.0.10", etp="Local"), NOW, live=False)
    inc.put_slice("web", endpoints("web", "n1", "n2"), NOW, live=False)
    inc.settle()
    return inc


def hosts(inc: Incremental) -> tuple[str, ...]:
    inc.settle()
    return table(inc.desired()).get("10.96.0.10/32", ())


def test_endpoints_of_the_first_list_count_at_once_and_later_ones_after_the_delay() -> None:
    inc = started(node("n1"), node("n2"), node("n3"))
    assert hosts(inc) == ("n1", "n2")
    inc.put_slice("web", endpoints("web", "n1", "n2", "n3"), NOW)
    assert hosts(inc) == ("n1", "n2")
    assert inc.next_deadline() == NOW + second(1)
    inc.advance(NOW + second(0.9))
    assert hosts(inc) == ("n1", "n2")
    inc.advance(NOW + second(1))
    assert hosts(inc) == ("n1", "n2", "n3")


def test_a_lost_endpoint_goes_at_once_also_while_another_is_young() -> None:
    inc = started(node("n1"), node("n2"), node("n3"))
    inc.put_slice("web", endpoints("web", "n2", "n3"), NOW)
    assert hosts(inc) == ("n2",)


def test_a_young_endpoint_counts_at_once_when_no_other_is_left() -> None:
    inc = started(node("n1"), node("n2"), node("n3"))
    inc.put_slice("web", endpoints("web", "n3"), NOW)
    assert hosts(inc) == ("n3",)


def test_a_new_service_waits_whichever_of_service_and_slice_comes_first() -> None:
    for slice_first in (True, False):
        inc = started(node("n1"))
        steps = [
            lambda inc=inc: inc.put_slice("new", endpoints("new", "n1"), NOW),
            lambda inc=inc: inc.put_service(service("new", "10.96.0.11", etp="Local"), NOW),
        ]
        for step in steps if slice_first else steps[::-1]:
            step()
        inc.settle()
        assert "10.96.0.11/32" not in table(inc.desired())
        inc.advance(NOW + second(1))
        inc.settle()
        assert table(inc.desired())["10.96.0.11/32"] == ("n1",)


def test_a_service_that_becomes_local_does_not_wait() -> None:
    inc = started(node("n1"), node("n2"))
    inc.put_service(service("old", "10.96.0.12"), NOW, live=False)
    inc.put_slice("old", endpoints("old", "n2"), NOW, live=False)
    inc.settle()
    inc.put_service(service("old", "10.96.0.12", etp="Local"), NOW)
    inc.settle()
    assert table(inc.desired())["10.96.0.12/32"] == ("n2",)


def ready(name: str, status: str, now: datetime) -> Node:
    return node(name, ready=status, since_s=(NOW - now).total_seconds())


def test_a_node_leaves_after_hold_down_and_returns_after_hold_up_longer_each_time() -> None:
    inc = started(node("n1"), node("n2"))
    now = NOW
    for hold_up_s in (30, 60, 120, 240, 300, 300):
        inc.put_node(ready("n1", "False", now), now)
        assert hosts(inc) == ("n1", "n2")
        now += second(5)
        inc.advance(now)
        assert hosts(inc) == ("n2",)
        inc.put_node(ready("n1", "True", now), now)
        now += second(hold_up_s - 1)
        inc.advance(now)
        assert hosts(inc) == ("n2",)
        now += second(1)
        inc.advance(now)
        assert hosts(inc) == ("n1", "n2")


def test_a_node_that_is_lost_again_before_it_counted_gets_no_second_hold_down() -> None:
    inc = started(node("n1"), node("n2"))
    inc.put_node(ready("n1", "False", NOW), NOW)
    inc.advance(NOW + second(5))
    assert hosts(inc) == ("n2",)
    inc.put_node(ready("n1", "True", NOW + second(6)), NOW + second(6))
    inc.put_node(ready("n1", "False", NOW + second(8)), NOW + second(8))
    assert hosts(inc) == ("n2",)


def test_a_loss_shorter_than_the_hold_is_none() -> None:
    inc = started(node("n1"), node("n2"))
    for number in range(4):
        at = NOW + second(10 * number)
        inc.put_node(ready("n1", "False", at), at)
        inc.put_node(ready("n1", "True", at + second(3)), at + second(3))
        assert hosts(inc) == ("n1", "n2")
        inc.advance(at + second(9))
        assert hosts(inc) == ("n1", "n2")
    at = NOW + second(100)
    inc.put_node(ready("n1", "False", at), at)
    inc.advance(at + second(5))
    assert hosts(inc) == ("n2",)
    inc.put_node(ready("n1", "True", at + second(5)), at + second(5))
    inc.advance(at + second(35))
    assert hosts(inc) == ("n1", "n2")


def test_network_conditions_that_are_good_all_the_time() -> None:
    inc = started(node("n1"), node("n2"))
    for status in ("False", "Unknown", "False"):
        inc.put_node(node("n1", network_unavailable=Condition(status, NOW)), NOW)
        assert hosts(inc) == ("n1", "n2")
    inc.put_node(node("n1"), NOW)
    assert hosts(inc) == ("n1", "n2")


def test_one_death_is_one_loss_whoever_sees_it_first() -> None:
    inc = started(node("n1"), node("n2"), nodes=NodeSettings(probe=ProbeSettings(enabled=True)))
    for name in NODES[:2]:
        inc.set_health(name, None, NOW)
    inc.set_health("n1", "no answer", NOW)
    at = NOW + second(40)
    inc.put_node(ready("n1", "Unknown", at), at)
    at += second(20)
    inc.put_node(ready("n1", "True", at), at)
    inc.set_health("n1", None, at)
    inc.advance(at + second(30))
    assert hosts(inc) == ("n1", "n2")


def test_another_annotated_address_renews_the_prefixes_of_the_node() -> None:
    inc = started(node("n1", "10.0.0.1", "10.1.0.1"), node("n2"))
    inc.put_node(node("n1", "10.0.0.1", "10.1.0.1", annotations={"k8s-ecmp.io/next-hops": "10.0.0.1"}), NOW)
    assert inc.settle() == {p("10.96.0.0/12"), p("10.96.0.10/32")}


def test_a_new_node_that_counted_is_given_the_hold_whatever_its_age() -> None:
    inc = started(node("n1", created=ago(1)), node("n2"))
    inc.put_node(node("n1", ready="False", since_s=0, created=ago(1)), NOW)
    assert hosts(inc) == ("n1", "n2")


def test_from_not_ready_to_unknown_the_hold_goes_on() -> None:
    inc = started(node("n1"), node("n2"))
    inc.put_node(ready("n1", "False", NOW), NOW)
    inc.put_node(ready("n1", "Unknown", NOW + second(4)), NOW + second(4))
    inc.advance(NOW + second(5))
    assert hosts(inc) == ("n2",)


def test_a_change_before_our_eyes_counts_from_now_whatever_the_other_clock_says() -> None:
    for skew_s in (3600, -3600):
        inc = started(node("n1"), node("n2"))
        inc.put_node(node("n1", ready="False", since_s=skew_s), NOW)
        assert hosts(inc) == ("n1", "n2")
        assert inc.next_deadline() == NOW + second(5)


def test_health_checks() -> None:
    configured = NodeSettings(probe=ProbeSettings(enabled=True))
    inc = started(node("n1"), node("n2"), nodes=configured)
    assert hosts(inc) == ()
    assert inc.counts.bad == 2
    for name in NODES[:2]:
        inc.set_health(name, None, NOW)
    assert hosts(inc) == ("n1", "n2")
    inc.set_health("n1", "no answer", NOW)
    assert hosts(inc) == ("n2",)
    inc.set_health("n1", None, NOW)
    assert hosts(inc) == ("n2",)
    inc.advance(NOW + second(30))
    assert hosts(inc) == ("n1", "n2")
    inc.put_node(node("n3"), NOW)
    inc.put_slice("web", endpoints("web", "n1", "n2", "n3"), NOW - second(9))
    inc.set_health("n3", None, NOW + second(30))
    inc.advance(NOW + second(59))
    assert hosts(inc) == ("n1", "n2")
    inc.advance(NOW + second(60))
    assert hosts(inc) == ("n1", "n2", "n3")


def test_nodes_that_panic_held_count_at_once_when_they_are_well_again() -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    for name in ("n1", "n2", "n3", "n4", "n5"):
        inc.put_node(ready(name, "Unknown", NOW), NOW)
    inc.settle()
    now = NOW + second(60)
    inc.advance(now)
    assert hosts(inc) == ()
    assert inc.panicking
    for name in ("n1", "n2"):
        inc.put_node(ready(name, "True", now), now)
    assert inc.panicking
    assert hosts(inc) == ("n1", "n2")
    for name in ("n3", "n4", "n5"):
        inc.put_node(ready(name, "True", now), now)
    inc.settle()
    assert not inc.panicking
    assert set(inc.desired().eligible) == {"n1", "n2", "n3", "n4", "n5"}
    # It was no loss either: the next one costs what a first one does.
    inc.put_node(ready("n1", "False", now), now)
    inc.advance(now + second(5))
    assert hosts(inc) == ("n2",)
    inc.put_node(ready("n1", "True", now + second(6)), now + second(6))
    inc.advance(now + second(36))
    assert hosts(inc) == ("n1", "n2")


def test_a_node_that_left_before_the_panic_holds_up() -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    inc.put_node(ready("n1", "False", NOW), NOW)
    now = NOW + second(5)
    inc.advance(now)
    assert hosts(inc) == ("n2",)
    now += second(60)
    for name in ("n2", "n3", "n4"):
        inc.put_node(ready(name, "False", now), now)
    now += second(5)
    inc.advance(now)
    inc.settle()
    assert inc.panicking
    for name in ("n1", "n2", "n3", "n4"):
        inc.put_node(ready(name, "True", now), now)
    assert hosts(inc) == ("n2",)
    inc.advance(now + second(30))
    assert hosts(inc) == ("n1", "n2")


def test_nodes_that_were_lost_just_before_the_panic_may_not_have_left_either() -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)), nodes=NodeSettings(hold_down_s=0))
    now = NOW
    for name in ("n1", "n2", "n3", "n4"):
        now += second(0.02)
        inc.put_node(ready(name, "False", now), now)
        inc.settle()
    assert inc.panicking
    for name in ("n1", "n2"):
        inc.put_node(ready(name, "True", now), now)
        inc.settle()
    assert hosts(inc) == ("n1", "n2")


def test_nodes_that_are_bad_when_the_panic_ends_leave() -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    for name in ("n1", "n3", "n4"):
        inc.put_node(ready(name, "False", NOW), NOW)
    now = NOW + second(5)
    inc.advance(now)
    inc.settle()
    assert inc.panicking
    inc.put_node(ready("n3", "True", now), now)
    inc.settle()
    assert not inc.panicking
    assert hosts(inc) == ("n1", "n2")
    now += second(5)
    inc.advance(now)
    assert hosts(inc) == ("n2",)
    inc.put_node(ready("n1", "True", now), now)
    assert hosts(inc) == ("n2",)


def test_nodes_that_recover_soon_after_the_panic_never_leave() -> None:
    inc = started(*(node(f"n{number}") for number in (1, 2, 3)))
    for name in ("n1", "n2"):
        inc.put_node(ready(name, "False", NOW), NOW)
    now = NOW + second(60)
    inc.advance(now)
    inc.settle()
    assert inc.panicking
    for name in ("n1", "n2"):
        inc.put_node(ready(name, "True", now), now)
        assert hosts(inc) == ("n1", "n2")
        now += second(3)
        inc.advance(now)
        assert hosts(inc) == ("n1", "n2")


def probed_panic() -> Incremental:
    """Five probed nodes, of which three do not answer."""
    probe = ProbeSettings(enabled=True, interval_s=1, failures=3)
    inc = started(*(node(f"n{number}") for number in range(1, 6)), nodes=NodeSettings(probe=probe))
    for name in ("n1", "n2", "n3", "n4", "n5"):
        inc.set_health(name, None, NOW)
    for name in ("n1", "n2", "n3"):
        inc.set_health(name, "no answer", NOW)
    inc.settle()
    assert inc.panicking
    return inc


def test_probed_nodes_that_answer_soon_after_the_panic_never_leave() -> None:
    inc = probed_panic()
    for seconds, name in ((5, "n1"), (6, "n2"), (7, "n3")):
        inc.set_health(name, None, NOW + second(seconds))
        assert not inc.panicking
        assert hosts(inc) == ("n1", "n2")
    assert set(inc.desired().eligible) == {"n1", "n2", "n3", "n4", "n5"}
    # The excuse was for that once.
    inc.set_health("n2", "no answer", NOW + second(8))
    assert hosts(inc) == ("n1",)


def test_probed_nodes_that_go_on_to_fail_after_the_panic_leave() -> None:
    inc = probed_panic()
    inc.set_health("n2", None, NOW + second(5))
    assert hosts(inc) == ("n1", "n2")
    inc.advance(NOW + second(7.9))
    assert hosts(inc) == ("n1", "n2")
    inc.advance(NOW + second(8))
    assert hosts(inc) == ("n2",)
    inc.set_health("n1", None, NOW + second(9))
    assert hosts(inc) == ("n2",)


def test_other_labels_renew_the_prefixes_of_the_node_for_routers_that_select_by_them() -> None:
    inc = started(node("n1"), node("n2"), node("n3"))
    inc.put_node(node("n1", labels={"rack": "b"}), NOW)
    assert inc.settle() == {p("10.96.0.0/12"), p("10.96.0.10/32")}
    inc.put_node(node("n3", labels={"rack": "b"}), NOW)
    assert inc.settle() == {p("10.96.0.0/12")}
    inc.put_node(node("n3", labels={"rack": "b"}), NOW)
    assert inc.settle() == frozenset()

"""What a watcher puts off, and how long: young endpoints, holds of nodes, health checks, panic."""

from datetime import datetime

import pytest

from k8s_ecmp.core.endpoints import Terminating
from k8s_ecmp.core.incremental import Incremental
from k8s_ecmp.model import Condition, Node, ServiceCIDR
from k8s_ecmp.settings import AddressRanges, NodeSettings, ProbeSettings, ServiceSettings, Settings
from tests.core.build import NOW, OWNER, TAG, ago, endpoints, node, p, second, service, table


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


def test_a_decision_before_anything_is_known() -> None:
    assert Incremental(Settings(owner=OWNER, tag=TAG)).settle() == frozenset()


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


@pytest.mark.parametrize("policy", ["never", "last-resort", "always"])
def test_a_rolling_update_that_moves_the_only_endpoint_leaves_no_gap(policy: Terminating) -> None:
    inc = started(node("n1"), node("n2"), node("n3"), services=ServiceSettings(terminating=policy))
    inc.put_slice("web", endpoints("web", "n2"), NOW)
    assert hosts(inc) == ("n2",)
    inc.put_slice("web", endpoints("web", "n2", "n3"), NOW)
    assert hosts(inc) == ("n2",)
    now = NOW + second(0.2)
    inc.put_slice("web", endpoints("web", "n2~", "n3"), now)
    # A terminating endpoint carries the address until the young one counts, unless it never may.
    assert hosts(inc) == (("n3",) if policy == "never" else ("n2",))
    inc.put_slice("web", endpoints("web", "n3"), now)
    assert hosts(inc) == ("n3",)


def test_slices_that_are_replaced_by_others_with_the_same_endpoints_leave_no_gap() -> None:
    for drop_first in (True, False):
        inc = started(node("n1"), node("n2"), node("n3"))
        inc.put_slice("other", endpoints("web", "n3", number=1), NOW, live=False)
        assert hosts(inc) == ("n1", "n2", "n3")
        steps = [
            lambda inc=inc: inc.drop_slice("web", NOW),
            lambda inc=inc: inc.put_slice("new", endpoints("web", "n1", "n2", number=2), NOW),
        ]
        for step in steps if drop_first else steps[::-1]:
            step()
        assert hosts(inc) == ("n1", "n2", "n3")
        inc.drop_slice("new", NOW)
        assert hosts(inc) == ("n3",)
        inc.put_slice("new", endpoints("web", "n1", "n2", number=2), NOW)
        assert hosts(inc) == ("n3",)


def test_endpoints_that_change_places_between_slices_in_one_decision_make_nothing_count_early() -> None:
    for names in (("web", "other"), ("other", "web")):
        inc = started(node("n1"), node("n2"), node("n3"))
        moved = {"web": ("n3",), "other": ("n1", "n2")}
        for name in names:
            inc.put_slice(name, endpoints("web", *moved[name], number=int(name == "other")), NOW)
        assert hosts(inc) == ("n1", "n2")


def test_a_young_node_that_leaves_and_comes_back_is_young() -> None:
    inc = started(node("n1"), node("n2"), node("n3"))
    for where in (("n1", "n2", "n3"), ("n1", "n2"), ("n1", "n2", "n3")):
        inc.put_slice("web", endpoints("web", *where), NOW)
    assert hosts(inc) == ("n1", "n2")


def test_young_endpoints_count_at_once_where_the_others_may_not_carry_the_address() -> None:
    inc = started(node("n1"), node("n2", ready="False"), node("n3"))
    assert hosts(inc) == ("n1",)
    inc.put_slice("web", endpoints("web", "n2", "n3"), NOW)
    assert hosts(inc) == ("n3",)


def test_young_endpoints_count_at_once_when_the_last_node_that_carries_the_address_is_out() -> None:
    inc = started(node("n1"), node("n2"), node("n3"))
    inc.put_slice("web", endpoints("web", "n1"), NOW, live=False)
    assert hosts(inc) == ("n1",)
    inc.put_slice("web", endpoints("web", "n1", "n3"), NOW)
    assert hosts(inc) == ("n1",)
    inc.drop_node("n1")
    assert hosts(inc) == ("n3",)
    assert inc.next_deadline() is None or not inc.watched().young


def test_an_address_that_two_services_share_is_decided_again_when_the_young_ones_of_one_count() -> None:
    inc = started(
        node("n1"),
        node("n2"),
        node("n3"),
        services=ServiceSettings(external_ips=AddressRanges(cidrs=("192.0.2.0/24",))),
    )
    for key, cluster_ip in (("web", "10.96.0.10"), ("two", "10.96.0.11")):
        made = service(key, cluster_ip, etp="Local", external_ips=("192.0.2.7",))
        inc.put_service(made, NOW, live=False)
    inc.put_slice("web", endpoints("web", "n1"), NOW, live=False)
    inc.put_slice("two", endpoints("two", "n2"), NOW, live=False)
    inc.settle()
    inc.put_slice("web", endpoints("web", "n1", "n3"), NOW)
    assert hosts(inc) == ("n1",)
    inc.drop_node("n1")
    assert hosts(inc) == ("n3",)
    assert table(inc.desired())["192.0.2.7/32"] == ("n2", "n3")


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


def condition(name: str, ready: str, network: str, at: datetime) -> Node:
    return node(name, ready=ready, since_s=(NOW - at).total_seconds(), network_unavailable=Condition(network, at))


@pytest.mark.parametrize("kind", ["Ready", "network"])
def test_a_blip_that_was_under_way_when_the_node_was_first_seen_is_none(kind: str) -> None:
    names = [f"n{number}" for number in range(1, 6)]
    if kind == "Ready":
        inc = started(*(node(name, ready="False", since_s=2) for name in names))
    else:
        inc = started(*(node(name, network_unavailable=Condition("True", ago(2))) for name in names))
    assert hosts(inc) == ("n1", "n2")
    at = NOW + second(2)
    inc.advance(at)
    for name in names:
        inc.put_node(ready(name, "True", at) if kind == "Ready" else condition(name, "True", "False", at), at)
    assert hosts(inc) == ("n1", "n2")
    assert tuple(inc.counts) == (0, 5, 5)
    inc.advance(at + second(86400))
    assert hosts(inc) == ("n1", "n2")


def test_a_node_that_never_counted_when_it_was_first_seen_holds_up() -> None:
    inc = started(node("n1", ready="False", since_s=2, created=ago(4)), node("n2"))
    assert hosts(inc) == ("n2",)
    inc.put_node(ready("n1", "True", NOW + second(2)), NOW + second(2))
    inc.advance(NOW + second(31))
    assert hosts(inc) == ("n2",)
    inc.advance(NOW + second(32))
    assert hosts(inc) == ("n1", "n2")


def test_two_conditions_that_recover_one_after_the_other_within_the_hold_are_no_loss() -> None:
    steps = {
        "together": ((0, "False", "True"), (1, "False", "False"), (2, "True", "False")),
        "staggered": ((0, "True", "True"), (1, "False", "True"), (3, "True", "True"), (4, "True", "False")),
    }
    for name, told in steps.items():
        inc = started(node("n1"), node("n2"))
        for at_s, is_ready, unavailable in told:
            at = NOW + second(at_s)
            inc.advance(at)
            inc.put_node(condition("n1", is_ready, unavailable, at), at)
            assert hosts(inc) == ("n1", "n2"), name
        inc.advance(NOW + second(60))
        assert hosts(inc) == ("n1", "n2"), name


def test_two_conditions_that_recover_after_the_hold_hold_up() -> None:
    inc = started(node("n1"), node("n2"))
    for at_s, is_ready, unavailable, expected in (
        (0, "Unknown", "False", ("n1", "n2")),
        (100, "False", "True", ("n2",)),
        (101, "True", "True", ("n2",)),
        (103, "False", "True", ("n2",)),
        (110, "True", "False", ("n2",)),
        (139, "True", "False", ("n2",)),
        (140, "True", "False", ("n1", "n2")),
    ):
        at = NOW + second(at_s)
        inc.advance(at)
        inc.put_node(condition("n1", is_ready, unavailable, at), at)
        assert hosts(inc) == expected, at_s


def test_a_node_that_is_held_up_by_its_health_check_is_given_no_hold_down() -> None:
    inc = started(node("n1"), node("n2"), nodes=NodeSettings(probe=ProbeSettings(enabled=True)))
    for name in ("n1", "n2"):
        inc.set_health(name, None, NOW)
    inc.set_health("n1", "no answer", NOW)
    inc.set_health("n1", None, NOW + second(20))
    at = NOW + second(47)
    inc.advance(at)
    inc.put_node(ready("n1", "Unknown", at), at)
    for at_s in (47, 50, 52):
        inc.advance(NOW + second(at_s))
        assert hosts(inc) == ("n2",), at_s


def planned_reboot(inc: Incremental, at: datetime) -> datetime:
    """Out by label, not Ready, Ready, in by label; when it was Ready again."""
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    back = at + second(60)
    for now, status, since, excluded in (
        (at, "True", NOW, "true"),
        (at + second(10), "False", at + second(10), "true"),
        (back, "True", back, "true"),
        (back + second(1), "True", back, "false"),
    ):
        inc.advance(now)
        inc.put_node(node("n1", ready=status, since_s=(NOW - since).total_seconds(), labels={label: excluded}), now)
    return back


def test_a_planned_reboot_long_after_a_panic_holds_up() -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    for name in ("n1", "n3", "n4"):
        inc.put_node(ready(name, "False", NOW), NOW)
    inc.settle()
    now = NOW + second(10)
    inc.advance(now)
    inc.settle()
    for name in ("n1", "n3", "n4"):
        inc.put_node(ready(name, "True", now), now)
    assert hosts(inc) == ("n1", "n2")
    back = planned_reboot(inc, NOW + second(86400))
    inc.advance(back + second(29))
    assert hosts(inc) == ("n2",)
    inc.advance(back + second(30))
    assert hosts(inc) == ("n1", "n2")


def test_a_planned_reboot_long_after_many_losses_holds_up_as_after_the_first() -> None:
    inc = started(node("n1"), node("n2"))
    now = NOW
    for _ in range(5):
        inc.put_node(ready("n1", "False", now), now)
        now += second(5)
        inc.advance(now)
        inc.put_node(ready("n1", "True", now), now)
        now += second(300)
        inc.advance(now)
    back = planned_reboot(inc, now + second(5 * 86400))
    inc.advance(back + second(29))
    assert hosts(inc) == ("n2",)
    inc.advance(back + second(30))
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
    for name in ("n1", "n2"):
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
    for name in ("n1", "n2"):
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


@pytest.mark.parametrize("seconds", [20, 60, 36_000])
def test_a_node_that_left_before_the_panic_and_is_still_bad_stays_out(seconds: int) -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    inc.put_node(ready("n1", "False", NOW), NOW)
    now = NOW + second(5)
    inc.advance(now)
    inc.settle()
    assert hosts(inc) == ("n2",)
    now += second(seconds)
    for name in ("n3", "n4"):
        inc.put_node(ready(name, "False", now), now)
    inc.settle()
    assert inc.panicking
    now += second(2)
    inc.put_node(ready("n3", "True", now), now)
    inc.settle()
    assert not inc.panicking
    assert hosts(inc) == ("n2",)


@pytest.mark.parametrize("seconds", [20, 3600])
def test_a_node_that_left_before_the_panic_holds_up_though_it_returns_in_it(seconds: int) -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    inc.put_node(ready("n1", "False", NOW), NOW)
    now = NOW + second(5)
    inc.advance(now)
    inc.settle()
    now += second(seconds)
    for name in ("n3", "n4", "n5"):
        inc.put_node(ready(name, "False", now), now)
    inc.settle()
    assert inc.panicking
    inc.put_node(ready("n1", "True", now), now)
    inc.settle()
    assert inc.panicking
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
    inc.settle()
    for name in ("n1", "n2", "n3"):
        inc.set_health(name, "no answer", NOW)
    inc.settle()
    assert inc.panicking
    return inc


def told(inc: Incremental, now: datetime, *nodes: Node) -> tuple[str, ...]:
    """One decision at that time, as a daemon makes it; the eligible nodes."""
    inc.advance(now)
    for made in nodes:
        inc.put_node(made, now)
    inc.settle()
    return tuple(sorted(inc.desired().eligible))


def test_probed_nodes_whose_health_check_answers_before_they_are_ready_never_leave() -> None:
    """After a partition of the network has healed."""
    names = [f"n{number}" for number in range(10)]
    nodes = NodeSettings(probe=ProbeSettings(enabled=True, interval_s=1, failures=3))
    inc = started(*(node(name, f"10.0.0.{number + 1}") for number, name in enumerate(names)), nodes=nodes)
    for name in names:
        inc.set_health(name, None, NOW)
    inc.settle()
    for name in names[:6]:
        inc.set_health(name, "no answer", NOW)
    inc.settle()
    assert inc.panicking
    at = NOW + second(40)
    told(inc, at, *(ready(name, "Unknown", at) for name in names[:6]))
    at += second(20)
    for name in names[:6]:
        inc.set_health(name, None, at)
    told(inc, at)
    assert inc.panicking
    for name in names[:6]:
        at += second(0.8)
        assert told(inc, at, ready(name, "True", at)) == tuple(names)
        assert not inc.panicking
    assert told(inc, at + second(3600)) == tuple(names)


@pytest.mark.parametrize("first", ["Ready", "network"])
def test_nodes_that_recover_in_parts_after_the_panic_never_leave(first: str) -> None:
    names = tuple(f"n{number}" for number in range(1, 6))
    inc = started(*(node(name) for name in names))
    told(inc, NOW, *(condition(name, "False", "True", NOW) for name in ("n1", "n3", "n4")))
    at = NOW + second(20)
    told(inc, at, condition("n1", *(("True", "True") if first == "Ready" else ("False", "False")), at))
    at += second(1)
    assert told(inc, at, condition("n3", "True", "False", at), condition("n4", "True", "False", at)) == names
    assert not inc.panicking
    at += second(1)
    assert told(inc, at, condition("n1", "True", "False", at)) == names
    assert told(inc, at + second(60)) == names


def test_a_node_that_is_ready_and_answers_only_after_the_panic_never_leaves() -> None:
    inc = probed_panic()
    at = NOW + second(20)
    told(inc, at, ready("n1", "Unknown", at))
    at += second(20)
    told(inc, at, ready("n1", "True", at))
    inc.set_health("n2", None, at)
    inc.set_health("n3", None, at)
    everybody = ("n1", "n2", "n3", "n4", "n5")
    assert told(inc, at) == everybody
    assert not inc.panicking
    inc.set_health("n1", None, at + second(0.5))
    assert told(inc, at + second(0.5)) == everybody
    assert told(inc, at + second(60)) == everybody


def test_a_blip_after_two_panics_is_none() -> None:
    everybody = ("n1", "n2", "n3", "n4", "n5")
    inc = started(*(node(name) for name in everybody))
    told(inc, NOW, *(ready(name, "Unknown", NOW) for name in ("n1", "n3", "n4")))
    told(inc, NOW + second(5))
    for at_s, status in ((10, "True"), (11, "Unknown")):
        at = NOW + second(at_s)
        told(inc, at, ready("n1", status, at))
    told(inc, NOW + second(16))
    at = NOW + second(18)
    assert told(inc, at, ready("n3", "True", at)) == ("n1", "n2", "n3", "n4", "n5")
    assert not inc.panicking
    at += second(1)
    assert "n1" in told(inc, at, ready("n1", "True", at))
    assert "n1" in told(inc, at + second(60))


def test_a_node_that_the_routers_were_never_told_of_stays_out_when_it_dies_in_a_panic() -> None:
    inc = started(*(node(f"n{number}") for number in (1, 2, 3, 4, 5, 7)))
    told(inc, NOW, ready("n1", "False", NOW))
    told(inc, NOW + second(5))
    at = NOW + second(60)
    told(inc, at, *(ready(name, "False", at) for name in ("n3", "n4", "n5", "n7")))
    told(inc, NOW + second(61), ready("n1", "True", NOW + second(61)), node("n6"))
    assert {"n1", "n6"} <= {*told(inc, NOW + second(91))}
    assert inc.panicking
    at = NOW + second(100)
    told(inc, at, ready("n1", "False", at), ready("n6", "False", at))
    told(inc, NOW + second(105))
    at = NOW + second(200)
    for name in ("n3", "n4", "n5", "n7"):
        assert not {"n1", "n6"} & {*told(inc, at, ready(name, "True", at))}
    assert not inc.panicking


def test_a_node_that_is_well_in_the_decision_in_which_panic_would_have_lost_it_never_leaves() -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    told(inc, NOW, *(ready(name, "Unknown", NOW) for name in ("n1", "n3", "n4", "n5")))
    at = NOW + second(5)
    assert "n1" in told(inc, at, ready("n1", "True", at))
    for name in ("n3", "n4", "n5"):
        assert "n1" in told(inc, at + second(1), ready(name, "True", at + second(1)))
    assert not inc.panicking


def test_what_an_old_loss_or_panic_left_behind_does_not_hold_for_a_loss_that_only_a_list_tells() -> None:
    for losses, expected in ((1, False), (5, False)):
        inc = started(node("n1"), node("n2"))
        now = NOW
        for _ in range(losses):
            told(inc, now, ready("n1", "False", now))
            told(inc, now + second(5))
            now += second(6)
            told(inc, now, ready("n1", "True", now))
            now += second(310)
            told(inc, now)
        now += second(5 * 86400)
        inc.advance(now)
        inc.put_node(ready("n1", "True", now - second(1)), now, live=False)
        assert ("n1" in hosts(inc)) is expected
        assert hosts(inc) == ("n2",)
        inc.advance(now + second(29))
        assert hosts(inc) == ("n1", "n2")


def test_a_loss_that_panic_held_is_forgiven_once() -> None:
    inc = started(*(node(f"n{number}") for number in range(1, 6)))
    now = NOW
    for _ in range(3):
        told(inc, now, ready("n1", "False", now))
        told(inc, now + second(5))
        now += second(6)
        told(inc, now, ready("n1", "True", now))
        now += second(130)
        told(inc, now)
    told(inc, now, *(ready(name, "False", now) for name in ("n1", "n3", "n4")))
    now += second(5)
    told(inc, now)
    assert inc.panicking
    since = now
    for text in ("a", "b", "c", "false"):
        labels = {"node.kubernetes.io/exclude-from-external-load-balancers": text}
        made = node("n1", since_s=(NOW - since).total_seconds(), labels=labels)
        told(inc, now, made)
    told(inc, now, ready("n3", "True", now), ready("n4", "True", now))
    told(inc, now, ready("n1", "False", now))
    told(inc, now + second(5))
    now += second(6)
    told(inc, now, ready("n1", "True", now))
    assert "n1" not in told(inc, now + second(239))
    assert "n1" in told(inc, now + second(240))


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

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import ServiceCIDRUnknown
from k8s_ecmp.model import ClusterState
from k8s_ecmp.settings import AddressRanges, ServiceSettings, Settings
from tests.core.build import OWNER, TAG, cluster, decided, endpoints, node, p, service, settings, table

THREE = (node("n1"), node("n2"), node("n3"))


def reasons(desired: object, subject: str) -> list[str]:
    return [skip.reason for skip in desired.skipped if skip.object == subject]  # type: ignore[attr-defined]


def test_the_aggregate_goes_to_every_eligible_node() -> None:
    desired = decided(cluster(*THREE, node("n4", ready="False")))
    (route,) = desired.routes
    assert (str(route.prefix), route.kind, route.nodes) == ("10.96.0.0/12", "aggregate", ("n1", "n2", "n3"))
    assert route.next_hops == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_addresses_sort_as_numbers() -> None:
    desired = decided(cluster(node("n10"), node("n9")))
    assert desired.routes[0].next_hops == ("10.0.0.9", "10.0.0.10")


@pytest.mark.parametrize("policy", [{"etp": "Local"}, {"itp": "Local"}])
def test_a_local_service_has_a_host_route_to_its_nodes(policy: dict[str, str]) -> None:
    state = cluster(*THREE, service("web", "10.96.0.1", **policy), endpoints("web", "n2", "n2", "n3!"))
    desired = decided(state)
    assert table(desired)["10.96.0.1/32"] == ("n2",)
    assert desired.routes[1].sources == ("Service default/web clusterIP",)


def test_families_are_decided_apart() -> None:
    state = cluster(
        *THREE,
        service("web", "10.96.0.1", "fd96::1", etp="Local"),
        endpoints("web", "n1"),
        endpoints("web", "n3", family=6),
        cidrs=("10.96.0.0/12", "fd96::/108"),
    )
    assert table(decided(state)) == {
        "10.96.0.0/12": ("n1", "n2", "n3"),
        "10.96.0.1/32": ("n1",),
        "fd96::/108": ("n1", "n2", "n3"),
        "fd96::1/128": ("n3",),
    }


def test_a_local_service_without_usable_endpoints_has_no_host_route_and_says_what_covers_it() -> None:
    desired = decided(cluster(*THREE, service("web", "10.96.0.1", etp="Local"), endpoints("web", "n2!")))
    assert list(table(desired)) == ["10.96.0.0/12"]
    assert not desired.unserved[p("10.96.0.1")].wanted
    (reason,) = reasons(desired, "Service default/web")
    assert "no usable endpoint" in reason
    assert "10.96.0.0/12 still covers it" in reason


def test_a_discard_route_can_stand_in() -> None:
    state = cluster(*THREE, service("web", "10.96.0.1", etp="Local"))
    desired = decided(state, settings(discard_unserved=True))
    route = desired.routes[1]
    assert (str(route.prefix), route.kind, route.nodes, route.next_hops) == ("10.96.0.1/32", "discard", (), ())


def test_endpoints_on_nodes_that_are_out_leave_the_prefix_wanted() -> None:
    state = cluster(*THREE, node("n4", ready="False"), service("web", "10.96.0.1", etp="Local"), endpoints("web", "n4"))
    for configured in (settings(), settings(discard_unserved=True)):
        assert decided(state, configured).unserved[p("10.96.0.1")].wanted
        assert list(table(decided(state, configured))) == ["10.96.0.0/12"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (service("x", type="ExternalName"), "ExternalName"),
        (service("x", headless=True), "headless"),
        (service("x", "10.96.0.9", etp="Local", annotations={"k8s-ecmp.io/advertise": "false"}), "advertise"),
        (service("x", "10.200.0.9", etp="Local"), "clusterIP 10.200.0.9 is in no service CIDR"),
        (service("x", "10.96.0.9", external_ips=("198.51.100.1",)), "externalIP 198.51.100.1 is in no range"),
        (service("x", "10.96.0.9", load_balancer_ips=("198.51.100.1",)), "loadBalancerIP 198.51.100.1 is in no range"),
        (service("x"), "has no address yet"),
    ],
)
def test_what_is_left_out_is_listed_with_its_reason(made: object, reason: str) -> None:
    desired = decided(cluster(*THREE, made, endpoints("x", "n1")))
    assert list(table(desired)) == ["10.96.0.0/12"]
    assert any(reason in text for text in reasons(desired, "Service default/x"))


def test_the_selector_and_the_annotation_that_lifts_it() -> None:
    state = cluster(
        *THREE,
        service("a", "10.96.0.1", etp="Local"),
        service("b", "10.96.0.2", etp="Local", annotations={"k8s-ecmp.io/advertise": "true"}),
        service("c", "10.96.0.3", etp="Local", labels={"public": "yes"}),
        endpoints("a", "n1"),
        endpoints("b", "n1"),
        endpoints("c", "n1"),
    )
    assert list(table(decided(state, settings(selector="public=yes")))) == [
        "10.96.0.0/12",
        "10.96.0.2/32",
        "10.96.0.3/32",
    ]


def test_external_and_load_balancer_addresses_keep_to_their_own_ranges() -> None:
    ranges = {
        "external_ips": AddressRanges(cidrs=("198.19.48.0/20",)),
        "load_balancer_ips": AddressRanges(cidrs=("203.0.113.0/24",), aggregate=False),
    }
    state = cluster(
        *THREE,
        service(
            "web",
            "10.96.0.1",
            etp="Local",
            external_ips=("198.19.48.10", "203.0.113.9"),
            load_balancer_ips=("203.0.113.7", "198.19.48.11"),
        ),
        endpoints("web", "n2"),
    )
    assert table(decided(state, settings(**ranges))) == {
        "10.96.0.0/12": ("n1", "n2", "n3"),
        "10.96.0.1/32": ("n2",),
        "198.19.48.0/20": ("n1", "n2", "n3"),
        "198.19.48.10/32": ("n2",),
        "203.0.113.7/32": ("n2",),
    }


def test_internal_policy_says_nothing_about_external_addresses() -> None:
    state = cluster(
        *THREE,
        service("web", "10.96.0.1", itp="Local", external_ips=("198.19.48.10",)),
        endpoints("web", "n2"),
    )
    external = AddressRanges(cidrs=("198.19.48.0/20",))
    assert "198.19.48.10/32" not in table(decided(state, settings(external_ips=external)))
    every = AddressRanges(cidrs=("198.19.48.0/20",), host_routes="all")
    assert table(decided(state, settings(external_ips=every)))["198.19.48.10/32"] == ("n1", "n2", "n3")


def test_host_routes_for_all_need_one_usable_endpoint_anywhere() -> None:
    state = cluster(*THREE, service("a", "10.96.0.1"), service("b", "10.96.0.2"), endpoints("a", None))
    desired = table(decided(state, settings(cluster_ips="all")))
    assert desired["10.96.0.1/32"] == ("n1", "n2", "n3")
    assert "10.96.0.2/32" not in desired


def test_none_switches_host_routes_off() -> None:
    state = cluster(*THREE, service("web", "10.96.0.1", etp="Local"), endpoints("web", "n2"))
    assert list(table(decided(state, settings(cluster_ips="none")))) == ["10.96.0.0/12"]
    assert list(table(decided(state, settings(aggregate=False)))) == ["10.96.0.1/32"]


def test_an_address_shared_by_local_services_goes_to_the_union_and_says_so() -> None:
    ranges = settings(external_ips=AddressRanges(cidrs=("198.51.100.0/24",)))
    state = cluster(
        *THREE,
        service("a", "10.96.0.1", etp="Local", external_ips=("198.51.100.1",)),
        service("b", "10.96.0.2", etp="Local", external_ips=("198.51.100.1",)),
        endpoints("a", "n1"),
        endpoints("b", "n2"),
    )
    desired = decided(state, ranges)
    assert table(desired)["198.51.100.1/32"] == ("n1", "n2")
    assert any("198.51.100.1 is shared" in text for text in reasons(desired, "Service default/a"))
    without_b = decided(cluster(*THREE, state.services[0], *state.slices), ranges)
    assert table(without_b)["198.51.100.1/32"] == ("n1",)


def test_an_address_shared_by_a_local_and_a_cluster_service_goes_to_the_local_ones_nodes() -> None:
    state = cluster(
        *THREE,
        service("a", "10.96.0.1", etp="Local", external_ips=("198.51.100.1",)),
        service("b", "10.96.0.2", external_ips=("198.51.100.1",)),
        endpoints("a", "n1"),
        endpoints("b", "n2"),
    )
    every = settings(external_ips=AddressRanges(cidrs=("198.51.100.0/24",), host_routes="all"))
    assert table(decided(state, every))["198.51.100.1/32"] == ("n1",)


def test_no_discard_for_an_address_that_a_cluster_service_shares() -> None:
    state = cluster(
        *THREE,
        service("a", "10.96.0.1", etp="Local", external_ips=("198.51.100.1",)),
        service("b", "10.96.0.2", external_ips=("198.51.100.1",)),
        endpoints("b", "n2"),
    )
    local = settings(external_ips=AddressRanges(cidrs=("198.51.100.0/24",)), discard_unserved=True)
    assert "198.51.100.1/32" not in table(decided(state, local))


def test_a_host_route_wins_over_a_range_that_is_itself_a_host_prefix() -> None:
    state = cluster(
        *THREE,
        service("a", "10.96.0.1", etp="Local", external_ips=("198.51.100.1",)),
        endpoints("a", "n2"),
    )
    ranges = settings(external_ips=AddressRanges(cidrs=("198.51.100.1/32", "198.51.100.2/32")))
    desired = table(decided(state, ranges))
    assert desired["198.51.100.1/32"] == ("n2",)
    assert desired["198.51.100.2/32"] == ("n1", "n2", "n3")


def test_pod_cidrs_stay_while_the_node_exists_and_has_an_address() -> None:
    nodes = (
        node("n1", pod_cidrs=(p("10.244.1.0/24"), p("fd44:1::/64"))),
        node("n2", "10.0.0.2", pod_cidrs=(p("10.244.2.0/24"), p("fd44:2::/64")), ready="False"),
    )
    on = Settings(owner=OWNER, tag=TAG, pod_cidrs=True)
    desired = decided(cluster(*nodes), on)
    assert table(desired) == {
        "10.96.0.0/12": ("n1",),
        "10.244.1.0/24": ("n1",),
        "10.244.2.0/24": ("n2",),
        "fd44:1::/64": ("n1",),
    }
    assert table(decided(cluster(*nodes))) == {"10.96.0.0/12": ("n1",)}


def test_no_eligible_node_leaves_an_empty_list_and_a_warning() -> None:
    desired = decided(cluster(node("n1", ready="False")))
    assert desired.routes == ()
    assert desired.unserved[p("10.96.0.0/12")].wanted
    assert any("no node is eligible" in text for text in desired.warnings)


def test_service_cidrs_are_never_guessed() -> None:
    state = cluster(*THREE, service("web", "10.96.0.1", etp="Local"), cidrs=())
    with pytest.raises(ServiceCIDRUnknown, match=r"cluster\.service_cidrs"):
        decided(state)
    off = Settings(owner=OWNER, tag=TAG, services=ServiceSettings(aggregate=False, cluster_ips="none"))
    assert decided(state, off).routes == ()


NAMES = [f"n{i}" for i in range(1, 6)]


@st.composite
def states(draw: st.DrawFn) -> ClusterState:
    nodes = [
        node(
            name,
            *draw(st.sampled_from([(), (f"10.0.0.{i}",), (f"fd00::{i}",)])),
            ready=draw(st.sampled_from(["True", "True", "False"])),
            annotations=draw(st.sampled_from([{}, {"k8s-ecmp.io/drain": "true"}])),
        )
        for i, name in enumerate(NAMES, 1)
    ]
    services = [
        service(
            f"s{i}",
            f"10.96.0.{i}",
            f"fd96::{i}",
            etp=draw(st.sampled_from(["Local", "Cluster"])),
            external_ips=draw(st.sampled_from([(), ("198.51.100.1",), ("198.51.100.2",)])),
        )
        for i in range(1, 5)
    ]
    places = st.lists(st.sampled_from([name + mark for name in NAMES for mark in ("", "!", "~")]), max_size=4)
    slices = [endpoints(f"s{i}", *draw(places), family=family) for i in range(1, 5) for family in (4, 6)]
    return cluster(*nodes, *services, *slices, cidrs=("10.96.0.0/12", "fd96::/108"))


RANGES = {
    "external_ips": AddressRanges(cidrs=("198.51.100.0/24",)),
    "cluster_ips": "local",
}


@given(states(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_objects_changes_nothing(state: ClusterState, rng: random.Random, discard: bool) -> None:
    def shuffled(items: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(rng.sample(items, len(items)))

    other = ClusterState(
        nodes=shuffled(state.nodes),  # type: ignore[arg-type]
        services=shuffled(state.services),  # type: ignore[arg-type]
        slices=shuffled(state.slices),  # type: ignore[arg-type]
        service_cidrs=shuffled(state.service_cidrs),  # type: ignore[arg-type]
        source=state.source,
    )
    configured = settings(**RANGES, discard_unserved=discard)
    assert decided(state, configured) == decided(other, configured)


@given(states())
def test_local_next_hops_are_nodes_with_endpoints_that_are_not_out(state: ClusterState) -> None:
    desired = decided(state, settings(**RANGES))
    places: dict[tuple[str, int], set[str]] = {}
    for piece in state.slices:
        places.setdefault((str(piece.service), piece.family), set()).update(
            endpoint.node or "" for endpoint in piece.endpoints if endpoint.ready or endpoint.terminating
        )
    for route in desired.routes:
        assert all(desired.nodes[name].standing != "out" for name in route.nodes)
        if route.kind == "host":
            services = [source.split()[1] for source in route.sources]
            allowed = set().union(*(places.get((name, route.prefix.family), set()) for name in services))
            assert set(route.nodes) <= allowed
        assert len(route.next_hops) <= len(route.nodes)
        assert route.next_hops

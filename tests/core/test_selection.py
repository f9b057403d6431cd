from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.core.selection import Selection, rendezvous
from tests.core.build import cluster, decided, node, router


def hops(view: object, *nodes: object) -> tuple[str, ...]:
    desired = decided(cluster(*nodes))
    return Selection(view, desired.nodes).of(desired.routes[0]).addresses  # type: ignore[arg-type]


def test_without_subnets_every_node_gives_its_first_address() -> None:
    assert hops(router(), node("n1", "10.0.0.1", "10.1.0.1"), node("n2")) == ("10.0.0.1", "10.0.0.2")


def test_subnets_choose_nodes_and_addresses() -> None:
    view = router(subnets=("10.1.0.0/24",))
    assert hops(view, node("n1", "10.0.0.1", "10.1.0.1"), node("n2", "10.0.0.2")) == ("10.1.0.1",)


def test_a_family_without_a_subnet_is_not_filtered() -> None:
    assert hops(router(subnets=("fd00::/64",)), node("n1"), node("n2")) == ("10.0.0.1", "10.0.0.2")


def test_an_annotated_address_stands_over_the_subnets() -> None:
    view = router(subnets=("10.0.0.0/24",))
    odd = node("n2", annotations={"k8s-ecmp.io/next-hops": "192.0.2.2"})
    assert hops(view, node("n1"), odd) == ("10.0.0.1", "192.0.2.2")


def test_below_the_minimum_every_node_is_taken() -> None:
    nodes = (
        node("n1", labels={"rack": "a"}),
        node("n2", labels={"rack": "a"}),
        node("n3", labels={"rack": "b"}),
    )
    assert hops(router(node_selector="rack=a", minimum=2), *nodes) == ("10.0.0.1", "10.0.0.2")
    assert hops(router(node_selector="rack=a", minimum=3), *nodes) == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert hops(router(node_selector="rack=z", minimum=0), *nodes) == ()


def test_the_minimum_counts_nodes_and_max_paths_addresses() -> None:
    both = node("n1", annotations={"k8s-ecmp.io/next-hops": "10.9.0.1,10.9.0.2"})
    view = router(subnets=("10.9.0.0/24",), minimum=2)
    assert hops(view, both, node("n2")) == ("10.0.0.2", "10.9.0.1", "10.9.0.2")
    assert len(hops(router(max_paths=1), both)) == 1


def test_fallback_and_cut_are_said() -> None:
    desired = decided(cluster(node("n1"), node("n2"), node("n3")))
    selected = Selection(router(max_paths=2), desired.nodes).of(desired.routes[0])
    assert len(selected.addresses) == 2
    assert len(selected.cut) == 1
    assert not selected.fallback
    assert Selection(router(node_selector="rack=a"), desired.nodes).of(desired.routes[0]).fallback


@given(
    st.sets(st.text("abcdefgh0123", min_size=1, max_size=6), min_size=2, max_size=20),
    st.integers(1, 8),
    st.text(max_size=5),
    st.data(),
)
def test_a_node_that_leaves_changes_only_its_own_slot(
    names: set[str], width: int, name: str, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(names)))
    before = set(rendezvous(name, "10.96.0.1/32", names)[:width])
    after = set(rendezvous(name, "10.96.0.1/32", names - {gone})[:width])
    if gone in before:
        assert before - {gone} <= after
        assert len(after - before) <= 1
    else:
        assert after == before


def test_prefixes_spread_over_the_nodes() -> None:
    nodes = [f"n{i}" for i in range(8)]
    firsts = [rendezvous("r1", f"10.96.{i // 256}.{i % 256}/32", nodes)[0] for i in range(800)]
    assert all(60 <= firsts.count(name) <= 140 for name in nodes)

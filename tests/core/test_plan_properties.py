"""A plan applied to the running routes gives the desired ones for what is ours, and changes nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.core.ownership import Marks, is_owned
from k8s_ecmp.core.plan import plan_router
from k8s_ecmp.core.selection import Selection
from k8s_ecmp.model import ClusterState, NextHop, Prefix, RunningRoutes, StaticRoute
from k8s_ecmp.settings import GuardSettings
from tests.core.build import OWNER, TAG, decided, router, rules, settings, traits
from tests.core.test_desired import RANGES, states

OFF = GuardSettings(max_withdrawn_fraction=1, max_not_ready_fraction=1)
EVERY = frozenset({"empty-desired", "last-next-hop", "mass-withdrawal"})

PREFIXES = st.sampled_from(
    ["10.96.0.0/12", "10.96.0.1/32", "10.96.0.2/32", "10.96.0.99/32", "198.51.100.1/32", "fd96::1/128", "192.0.2.0/24"]
)
HOPS4 = st.builds(
    NextHop,
    address=st.sampled_from([f"10.0.0.{i}" for i in range(1, 9)]),
    tag=st.sampled_from([TAG, TAG, None, 7]),
    distance=st.sampled_from([None, None, 1, 50]),
    interface=st.sampled_from([None, None, None, "eth1"]),
)
HOPS6 = st.builds(
    NextHop, address=st.sampled_from([f"fd00::{i}" for i in range(1, 9)]), tag=st.sampled_from([TAG, None])
)


@st.composite
def tables(draw: st.DrawFn) -> RunningRoutes:
    routes = {}
    for text in draw(st.lists(PREFIXES, unique=True)):
        prefix = Prefix.parse(text)
        hops = draw(
            st.lists(HOPS4 if prefix.family == 4 else HOPS6, min_size=1, max_size=4, unique_by=lambda h: h.address)
        )
        vrf = draw(st.sampled_from(["default", "default", "red"]))
        if draw(st.booleans()):
            hops = [NextHop(hop.address, tag=TAG) for hop in hops]
        routes[vrf, prefix] = StaticRoute(prefix, vrf, tuple(hops))
    return RunningRoutes(tuple(routes.values()))


def applied(running: RunningRoutes, plan: object) -> dict[tuple[str, Prefix], frozenset[NextHop]]:
    table = {(route.vrf, route.prefix): frozenset(route.next_hops) for route in running}
    for change in plan.changes:  # type: ignore[attr-defined]
        key = (change.vrf, change.prefix)
        assert frozenset(change.before) == table.get(key, frozenset())
        if change.after:
            table[key] = frozenset(change.after)
        else:
            del table[key]
    return table


@given(states(), tables(), st.booleans())
def test_applied_to_running_it_gives_desired_for_ours_and_nothing_else(
    state: ClusterState, running: RunningRoutes, discard: bool
) -> None:
    desired = decided(state, settings(**RANGES, discard_unserved=discard))
    view = router()
    platform = traits()
    plan = plan_router(view, platform, desired, running, rules(guards=OFF, overrides=EVERY))
    after = applied(running, plan)
    marks = Marks(TAG, OWNER, name_mark=False)
    foreign = {
        (route.vrf, route.prefix): frozenset(route.next_hops)
        for route in running
        if route.vrf != "default" or not is_owned(route, marks)
    }
    assert {key: hops for key, hops in after.items() if key in foreign} == foreign
    selection = Selection(view, desired.nodes)
    wanted = {
        ("default", route.prefix): frozenset(selection.of(route).addresses) or frozenset({"discard"})
        for route in desired.routes
        if ("default", route.prefix) not in foreign
    }
    ours = {key: hops for key, hops in after.items() if key not in foreign}
    assert {key: frozenset(hop.label for hop in hops) for key, hops in ours.items()} == wanted
    assert all(hop.tag == TAG and hop.interface is None for hops in ours.values() for hop in hops)
    assert {conflict.prefix for conflict in plan.conflicts} == {
        route.prefix for route in desired.routes if ("default", route.prefix) in foreign
    }
    routes = tuple(StaticRoute(prefix, vrf, tuple(hops)) for (vrf, prefix), hops in after.items())
    again = plan_router(view, platform, desired, RunningRoutes(routes), rules(guards=OFF, overrides=EVERY))
    assert again.changes == ()


@given(states(), st.integers(1, 4), st.sampled_from([f"n{i}" for i in range(1, 6)]))
def test_removing_a_node_changes_only_slots_that_held_it(state: ClusterState, width: int, gone: str) -> None:
    view = router(max_paths=width)
    configured = settings(aggregate=True, cluster_ips="none")
    before = decided(state, configured)
    state_after = ClusterState(
        nodes=tuple(node for node in state.nodes if node.name != gone),
        services=state.services,
        slices=state.slices,
        service_cidrs=state.service_cidrs,
    )
    after = decided(state_after, configured)
    then = {route.prefix: Selection(view, before.nodes).of(route).addresses for route in before.routes}
    now = {route.prefix: Selection(view, after.nodes).of(route).addresses for route in after.routes}
    for prefix, hops in then.items():
        left = now.get(prefix, ())
        lost = set(hops) - set(left)
        assert lost <= set(before.nodes[gone].address_of(prefix.family))
        assert len(set(left) - set(hops)) <= len(lost)

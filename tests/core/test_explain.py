from k8s_ecmp.core.explain import explain
from k8s_ecmp.core.ownership import Marks
from tests.core.build import (
    OWNER,
    TAG,
    cluster,
    decided,
    endpoints,
    node,
    ours,
    p,
    router,
    running,
    service,
    theirs,
)

STATE = cluster(
    node("n1"),
    node("n2"),
    node("n3", ready="False"),
    node("n4", annotations={"k8s-ecmp.io/drain": "true"}),
    service("web", "10.96.0.1", etp="Local"),
    endpoints("web", "n1", "n3", "n4"),
    service("gone", "10.96.0.9", etp="Local"),
)


def test_every_node_has_its_reason() -> None:
    answer = explain(p("10.96.0.1"), decided(STATE))
    assert answer.verdict == "routed to 1 node as host"
    assert {node.node: node.reason for node in answer.nodes} == {
        "n1": "usable endpoint; Ready for 24 h",
        "n2": "no usable endpoint",
        "n3": "out: not Ready for 24 h",
        "n4": "draining: annotation k8s-ecmp.io/drain",
    }
    assert [node.next_hops for node in answer.nodes] == [("10.0.0.1",), (), (), ()]


def test_an_address_without_a_route_of_its_own_names_what_covers_it() -> None:
    answer = explain(p("10.96.5.5"), decided(STATE))
    assert answer.verdict == "no route of its own; 10.96.0.0/12 covers it"
    gone = explain(p("10.96.0.9"), decided(STATE))
    assert gone.verdict == "not routed: no usable endpoint"
    assert [skip.object for skip in gone.skipped] == ["Service default/gone"]
    assert explain(p("192.0.2.1"), decided(STATE)).verdict == "not routed: no service, range or node asks for it"


def test_routers_show_their_selection_and_what_runs_there() -> None:
    views = [router("r1", max_paths=1), router("r2"), router("r3")]
    marks = Marks(TAG, OWNER, name_mark=False)
    tables = {
        "r1": (running(ours("10.96.0.0/12", "10.0.0.1")), marks),
        "r2": (running(theirs("10.96.0.0/12", "10.0.0.9")), marks),
        "r3": (running(), marks),
    }
    first, second, third = explain(p("10.96.0.0/12"), decided(STATE), views, tables).routers
    assert len(first.next_hops) == 1
    assert first.notes[0].startswith("over max_paths (1): n")
    assert first.running == "10.0.0.1 (ours)"
    assert "has no tag" in str(second.running)
    assert third.running == "no static route"

import pytest

from k8s_ecmp.core.eligibility import judge_nodes
from k8s_ecmp.core.endpoints import Carriers, index_endpoints, local_nodes
from k8s_ecmp.settings import NodeSettings
from tests.core.build import NOW, endpoints, node

DRAIN = {"k8s-ecmp.io/drain": "true"}
NODES = [
    node("n1"),
    node("n2"),
    node("d1", annotations=DRAIN),
    node("d2", annotations=DRAIN),
    node("o1", ready="False"),
    node("v4", "10.0.0.9"),
]


@pytest.mark.parametrize(
    ("where", "policy", "expected"),
    [
        (("n1", "d1", "n2~"), "last-resort", {"n1"}),
        (("n1!", "d1", "n2~"), "last-resort", {"d1"}),
        (("n1~", "d1~", "o1"), "last-resort", {"n1"}),
        (("d1~", "d2!", "o1"), "last-resort", {"d1"}),
        (("o1", "o1~"), "last-resort", set()),
        (("n1~",), "never", set()),
        (("n1", "n2~"), "always", {"n1", "n2"}),
        (("d1", "n2~"), "always", {"n2"}),
        (("n1x",), "last-resort", set()),
        ((None, "n1!"), "last-resort", set()),
        (("gone", "n2"), "last-resort", {"n2"}),
    ],
)
def test_the_order_in_which_endpoints_make_a_node_a_hop(
    where: tuple[str | None, ...], policy: str, expected: set[str]
) -> None:
    verdicts, _ = judge_nodes(NODES, NodeSettings(), NOW)
    index = index_endpoints([endpoints("web", *where)])
    chosen, basis = local_nodes(index["default/web", 4], Carriers.of(verdicts, 4), policy)  # type: ignore[arg-type]
    assert chosen == expected
    assert bool(basis) == bool(expected)


def test_a_node_without_an_address_of_the_family_is_passed_over_for_the_next_best() -> None:
    verdicts, _ = judge_nodes(NODES, NodeSettings(), NOW)
    index = index_endpoints([endpoints("web", "v4", "d1", family=6)])
    assert local_nodes(index["default/web", 6], Carriers.of(verdicts, 6), "last-resort")[0] == {"d1"}


def test_slices_of_a_service_are_united_by_family() -> None:
    index = index_endpoints(
        [endpoints("web", "n1"), endpoints("web", "n2", number=1), endpoints("web", "n3", family=6)]
    )
    assert index["default/web", 4].ready == {"n1", "n2"}
    assert index["default/web", 6].ready == {"n3"}

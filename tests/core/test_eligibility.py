from datetime import timedelta

import pytest

from k8s_ecmp.core.eligibility import EXCLUDE_LABEL, judge_nodes
from k8s_ecmp.model import Condition, Node
from k8s_ecmp.settings import NodeSettings
from tests.core.build import NOW, ago, node


def standing(made: Node, **settings: object) -> str:
    verdicts, _ = judge_nodes([made], NodeSettings(**settings), NOW)  # type: ignore[arg-type]
    return verdicts[made.name].standing


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, "out") for value in ("", "true", "True", "1", "yes", "falsch", "no")),
        *((value, "eligible") for value in ("false", "False", "FALSE", "0", "f", "F")),
    ],
)
def test_the_exclude_label_counts_unless_go_reads_it_as_false(value: str, expected: str) -> None:
    assert standing(node("n1", labels={EXCLUDE_LABEL: value})) == expected


@pytest.mark.parametrize(
    ("taint", "expected"),
    [
        ("ToBeDeletedByClusterAutoscaler", "out"),
        ("karpenter.sh/disrupted", "out"),
        ("node.kubernetes.io/out-of-service", "out"),
        ("medik8s.io/drain", "draining"),
        ("node-role.kubernetes.io/control-plane", "eligible"),
        ("node.kubernetes.io/unschedulable", "eligible"),
    ],
)
def test_taints(taint: str, expected: str) -> None:
    assert standing(node("n1", taints=(taint,))) == expected


def test_a_cordon_alone_is_no_withdrawal() -> None:
    cordoned = node("n1", unschedulable=True)
    assert standing(cordoned) == "eligible"
    assert standing(cordoned, withdraw_on_cordon=True) == "draining"


def test_a_node_being_deleted_is_out() -> None:
    assert standing(node("n1", deleting=True)) == "out"


def test_the_drain_annotation() -> None:
    assert standing(node("n1", annotations={"k8s-ecmp.io/drain": "true"})) == "draining"
    assert standing(node("n1", annotations={"k8s-ecmp.io/drain": "false"})) == "eligible"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("drain-rendered-worker-6b1c", "draining"),
        ("uncordon-rendered-worker-6b1c", "eligible"),
        ("", "eligible"),
        ("undrain-rendered-worker-6b1c", "eligible"),
    ],
)
def test_openshifts_machine_config_operator_drains_until_it_uncordons(value: str, expected: str) -> None:
    made = node("n1", annotations={"machineconfiguration.openshift.io/desiredDrain": value})
    assert standing(made) == expected


def test_an_excluded_node_is_no_drain_even_when_annotated() -> None:
    both = node("n1", annotations={"k8s-ecmp.io/drain": "true"}, labels={EXCLUDE_LABEL: "true"})
    assert standing(both) == "out"


def test_the_selector() -> None:
    assert standing(node("n1", labels={"role": "worker"}), selector="role=worker") == "eligible"
    assert standing(node("n1"), selector="role=worker") == "out"


@pytest.mark.parametrize(
    ("status", "age_s", "expected"),
    [
        ("True", 29, "out"),
        ("True", 30, "eligible"),
        ("False", 4, "eligible"),
        ("False", 5, "out"),
        ("Unknown", 4, "eligible"),
        ("Unknown", 5, "out"),
    ],
)
def test_a_young_state_counts_as_the_one_before_it(status: str, age_s: float, expected: str) -> None:
    assert standing(node("n1", ready=status, since_s=age_s)) == expected


@pytest.mark.parametrize("status", ["True", "False"])
def test_zero_means_at_once_even_when_the_clock_is_behind(status: str) -> None:
    made = node("n1", ready=status, since_s=-7)
    assert standing(made, hold_down_s=0, hold_up_s=0) == ("eligible" if status == "True" else "out")


def test_a_node_that_was_never_ready_long_enough_has_no_hold_down() -> None:
    made = node("n1", ready="False", since_s=2, created=ago(20))
    assert standing(made) == "out"
    assert standing(node("n1", ready="False", since_s=2, created=ago(3600))) == "eligible"


def test_network_unavailable_counts_like_not_ready() -> None:
    down = Condition("True", ago(60))
    assert standing(node("n1", network_unavailable=down)) == "out"
    assert standing(node("n1", network_unavailable=Condition("True", ago(2)))) == "eligible"
    assert standing(node("n1", network_unavailable=Condition("False", ago(60)))) == "eligible"


def test_a_node_that_never_reported_is_out() -> None:
    assert standing(Node(name="n1", internal_ips=("10.0.0.1",))) == "out"


def test_a_condition_without_a_time_counts_at_once() -> None:
    assert standing(Node(name="n1", internal_ips=("10.0.0.1",), ready=Condition("True"))) == "eligible"


@pytest.mark.parametrize(
    "wrong", ["10.0.0.300", "127.0.0.1", "0.0.0.0", "224.0.0.1", "169.254.1.1", "::1", "fe80::1", "::ffff:192.0.2.1"]
)
def test_an_annotation_that_cannot_be_read_leaves_the_node_out_visibly(wrong: str) -> None:
    nodes = [node("n1", annotations={"k8s-ecmp.io/next-hops": f"192.0.2.1, {wrong}"}), node("n2")]
    verdicts, skipped = judge_nodes(nodes, NodeSettings(), NOW)
    assert {name: verdict.standing for name, verdict in verdicts.items()} == {"n1": "out", "n2": "eligible"}
    assert verdicts["n1"].address_of(4) == ()
    assert "cannot be read" in verdicts["n1"].reason
    assert skipped[0].object == "Node n1"
    assert wrong in skipped[0].reason


def test_annotated_addresses_stand_in_for_the_internal_ones_by_family() -> None:
    verdicts, _ = judge_nodes(
        [node("n1", "10.0.0.1", "fd00::1", annotations={"k8s-ecmp.io/next-hops": "192.0.2.1, 192.0.2.2"})],
        NodeSettings(),
        NOW,
    )
    assert verdicts["n1"].address_of(4) == ("192.0.2.1", "192.0.2.2")
    assert verdicts["n1"].address_of(6) == ("fd00::1",)


def test_reasons_speak_of_time_and_cause() -> None:
    verdicts, _ = judge_nodes(
        [node("n1"), node("n2", ready="False", since_s=300), node("n3", since_s=3)], NodeSettings(), NOW
    )
    assert verdicts["n1"].reason == "Ready for 24 h"
    assert verdicts["n2"].reason == "not Ready for 5 min"
    assert "hold_up_s" in verdicts["n3"].reason
    assert NOW - timedelta(seconds=3) == ago(3)

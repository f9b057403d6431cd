"""What lines that nobody could read mean for a plan."""

import pytest

from k8s_ecmp.core.ownership import fingerprint
from k8s_ecmp.core.plan import plan_router
from k8s_ecmp.core.table import Table
from k8s_ecmp.errors import ParseError
from k8s_ecmp.model import Prefix, RouterPlan, RunningRoutes
from k8s_ecmp.platforms import get_platform
from tests.core.build import TAG, cluster, decided, endpoints, node, router, rules, service, traits

ALL = ("10.0.0.1", "10.0.0.2")
STATE = cluster(node("n1"), node("n2"), service("web", "10.96.0.1", etp="Local"), endpoints("web", "n1", "n2"))
OURS = "".join(f"ip route {prefix} {hop} tag {TAG}\n" for prefix in ("10.96.0.0/12", "10.96.0.1/32") for hop in ALL)


def read(*lines: str) -> RunningRoutes:
    return get_platform("frr").parse(
        f"hostname r1\n{OURS}" + "".join(f"{line}\n" for line in lines) + "!\nline vty\n!\n"
    )


def planned(running: RunningRoutes, vrf: str = "default") -> RouterPlan:
    return plan_router(router(vrf=vrf), traits(), decided(STATE), running, rules())


def test_a_foreign_prefix_is_reported_and_nothing_else() -> None:
    plan = planned(read("ip route 10.8.0.0/16 10.0.0.9 tag x"))
    assert plan.status == "in-sync"
    (skip,) = plan.skipped
    assert skip.object == "router r1"
    assert "line 6: 'ip route 10.8.0.0/16 10.0.0.9 tag x': cannot be read" in skip.reason


def test_a_desired_prefix_becomes_a_conflict() -> None:
    plan = planned(read("ip route 10.96.0.1/32 10.0.0.9 tag x"))
    assert plan.changes == ()
    assert [str(conflict.prefix) for conflict in plan.conflicts] == ["10.96.0.1/32"]
    assert "'ip route 10.96.0.1/32 10.0.0.9 tag x' cannot be read" in plan.conflicts[0].reason


def test_a_prefix_of_ours_with_such_a_line_is_not_withdrawn() -> None:
    gone = [f"ip route 10.96.0.7/32 {hop} tag {TAG}" for hop in ALL]
    assert [change.action for change in planned(read(*gone)).changes] == ["delete"]
    assert planned(read(*gone, "ip route 10.96.0.7/32 10.0.0.9 tag x")).changes == ()


def test_a_prefix_that_cannot_be_read_stops_its_vrf_alone() -> None:
    running = read("vrf red", " ip route 10.8.0.0/99 10.0.0.9", "exit-vrf")
    plan = planned(running)
    assert plan.status == "in-sync"
    assert "line 7" in plan.skipped[0].reason
    with pytest.raises(ParseError, match=r"line 7: .*correct or remove the line on the router"):
        planned(running, "red")
    with pytest.raises(ParseError):
        Table.of(running, traits().marks(rules(), router(vrf="red")), "red")
    with pytest.raises(ParseError):
        fingerprint(running, traits().marks(rules(), router(vrf="red")), "red", [Prefix.parse("10.96.0.0/12")])


def test_many_lines_are_counted() -> None:
    skipped = planned(read(*(f"ip route 10.8.{number}.0/24 10.0.0.9 tag x" for number in range(30)))).skipped
    assert len(skipped) == 11
    assert skipped[-1].reason == "and 20 more lines like these"

from datetime import UTC, datetime, timedelta
from io import StringIO

import msgspec
from rich.console import Console

from k8s_ecmp.core.difference import difference
from k8s_ecmp.model import Conflict, GuardTrip, NextHop, Plan, Prefix, Rollout, RouteChange, RouterPlan
from k8s_ecmp.views.difference_text import print_difference

NOW = datetime(2026, 1, 10, 8, tzinfo=UTC)
ONE, TWO = Prefix.parse("10.96.0.10/32"), Prefix.parse("10.96.0.11/32")


def change(prefix: Prefix, *after: str, before: tuple[str, ...] = (), why: str = "") -> RouteChange:
    was, now = (tuple(NextHop(address) for address in hops) for hops in (before, after))
    made = RouteChange.between("default", prefix, was, now)
    return RouteChange(made.action, made.vrf, prefix, was, now, (why,))


def router(*changes: RouteChange, name: str = "r1", conflicts: tuple[Conflict, ...] = ()) -> RouterPlan:
    return RouterPlan(name, "frr", "changes" if changes else "in-sync", changes=changes, conflicts=conflicts)


def plan(
    *routers: RouterPlan, created: datetime = NOW, holds: tuple[GuardTrip, ...] = (), rollout: Rollout | None = None
) -> Plan:
    return Plan(
        created=created,
        expires=created + timedelta(hours=1),
        owner="prod",
        tag=4201,
        cluster_source="live",
        cluster_digest=f"sha256:{created.hour}",
        routers=routers,
        holds=holds,
        rollout=rollout,
    )


def shown(old: Plan, new: Plan) -> str:
    page = StringIO()
    print_difference(difference(old, new), Console(file=page, width=120))
    return page.getvalue()


def test_times_and_reasons_and_the_order_of_hops_are_no_difference() -> None:
    old = plan(router(change(ONE, "10.0.0.1", "10.0.0.2", why="Ready for 5 s")))
    new = plan(router(change(ONE, "10.0.0.2", "10.0.0.1", why="Ready for 9 s")), created=NOW + timedelta(hours=2))
    assert not difference(old, new)
    assert shown(old, new) == "The plans are the same but for their times.\n"


def test_changes_of_one_plan_alone_and_of_both() -> None:
    old = plan(router(change(ONE, "10.0.0.1"), change(TWO, "10.0.0.1", "10.0.0.2", before=("10.0.0.1",))))
    new = plan(router(change(TWO, "10.0.0.1", "10.0.0.3", before=("10.0.0.1",))), router(change(ONE), name="r2"))
    first, second = difference(old, new).routers
    assert (first.router, [c.prefix for c in first.gone], len(first.different)) == ("r1", [ONE], 1)
    assert (second.router, second.statuses) == ("r2", (None, "changes"))
    text = shown(old, new)
    assert "  - only the old plan: create 10.96.0.10/32; add 10.0.0.1\n" in text
    assert "  - the old plan: update 10.96.0.11/32; add 10.0.0.2; then 10.0.0.1, 10.0.0.2\n" in text
    assert "  + the new plan: update 10.96.0.11/32; add 10.0.0.3; then 10.0.0.1, 10.0.0.3\n" in text
    assert "r2  not in the old plan -> changes\n" in text
    assert "Plans differ: 1 change only in the old, 1 only in the new, 1 different.\n" in text


def test_what_stops_counts_by_its_name_not_by_its_words() -> None:
    def held(detail: str) -> Plan:
        return plan(router(change(ONE, "10.0.0.1")), holds=(GuardTrip("panic", None, None, detail),))

    assert not difference(held("3 of 5 nodes"), held("4 of 5 nodes"))
    (found,) = difference(plan(router(change(ONE, "10.0.0.1"))), held("3 of 5 nodes")).routers
    assert (found.router, found.stops) == (None, ("guard panic: 3 of 5 nodes",))
    conflict = Conflict("default", TWO, "a route that is not ours")
    (lifted,) = difference(plan(router(conflicts=(conflict,))), plan(router())).routers
    assert lifted.lifted == ("conflict 10.96.0.11/32: a route that is not ours",)
    assert "Plans differ: what stops them differs.\n" in shown(plan(router(conflicts=(conflict,))), plan(router()))


TERMS = Rollout(canary=1, parallel=10, pause_s=0.0, on_failure="stop", confirm_within_s=120)


def three(rollout: Rollout | None) -> Plan:
    return plan(*(router(change(ONE, "10.0.0.1"), name=name) for name in ("r1", "r2", "r3")), rollout=rollout)


def test_another_order_is_a_difference_though_every_change_is_the_same() -> None:
    slower = msgspec.structs.replace(TERMS, parallel=1, on_failure="rollback-wave")
    found = difference(three(TERMS), three(slower))
    assert found
    assert found.routers == ()
    assert found.waves == ((("r1",), ("r2", "r3")), (("r1",), ("r2",), ("r3",)))
    assert [name for name, _, _ in found.terms] == ["parallel", "on_failure"]
    assert shown(three(TERMS), three(slower)) == (
        "Order\n"
        "  ~ rollout.parallel: 10 -> 1\n"
        "  ~ rollout.on_failure: stop -> rollback-wave\n"
        "  - the old plan, wave 2: r2, r3\n"
        "  + the new plan, wave 2: r2\n"
        "  + the new plan, wave 3: r3\n"
        "\n"
        "Plans differ: how the routers are gone over differs.\n"
    )


def test_terms_that_move_no_router_are_a_difference_too() -> None:
    assert "  ~ rollout.pause_s: 0.0 -> 60.0\n" in shown(
        three(TERMS), three(msgspec.structs.replace(TERMS, pause_s=60.0))
    )
    assert not difference(three(TERMS), three(TERMS))


def test_a_plan_that_says_nothing_of_the_order_differs_in_none() -> None:
    assert not difference(three(None), three(TERMS))

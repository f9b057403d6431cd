"""The order of a plan and the way back from it in words: the order is that of the rollout, by the same code."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.core.waves import order
from k8s_ecmp.errors import PlanRefused
from k8s_ecmp.model import Rollout, RouterPlan, RouterStatus, Undo
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.drivers import DRIVERS
from k8s_ecmp.routers.port import Port, undo_of
from k8s_ecmp.views.document import decode_plan, encode_plan
from k8s_ecmp.views.plan_rollout import rules, undo_line, undo_lines, waves
from tests.fleet import Fleet, Watcher
from tests.site import new_site
from tests.views.plans import CALM, CHANGES, EVERYTHING, HELD, ROLLOUT, plan_of
from tests.views.test_document import sealed


def router(name: str, domain: str | None = None, status: RouterStatus = "changes") -> RouterPlan:
    return RouterPlan(name, "frr", status, "sha256:1", CHANGES[:1], failure_domain=domain, undo=Undo(120, "router"))


def test_what_the_plan_shows_is_what_the_rollout_does(tmp_path: Path) -> None:
    fleet = Fleet(new_site(tmp_path), 6, pairs={"r3": "pair", "r5": "pair"})
    fleet.rollout(canary=1, parallel=3)
    shown = [list(wave.routers) for wave in waves(fleet.plan)]
    watcher = Watcher()
    fleet.apply(spectator=watcher)
    assert shown == watcher.order == [["r1"], ["r2", "r3", "r4"], ["r5", "r6"]]
    assert json.loads(encode_plan(fleet.plan))["rollout"]["waves"] == shown
    assert waves(decode_plan(encode_plan(fleet.plan))) == waves(fleet.plan)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["changes", "blocked"])), max_size=8),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_every_router_that_changes_stands_in_one_wave_and_no_other_does(
    of: list[tuple[str | None, RouterStatus]], canary: int, parallel: int
) -> None:
    routers = [router(f"r{number}", domain, status) for number, (domain, status) in enumerate(of)]
    terms = Rollout(canary, parallel, 0.0, "stop", 120)
    plan = plan_of(*routers, rollout=terms)
    found = waves(plan)
    assert [list(wave.routers) for wave in found] == order(routers, terms)
    assert sorted(name for wave in found for name in wave.routers) == [r.name for r in routers if r.status == "changes"]
    assert sum("canary" in wave.title for wave in found) == min(canary, sum(r.status == "changes" for r in routers))
    assert decode_plan(encode_plan(plan)).rollout == terms


def test_a_file_whose_waves_are_not_those_of_its_routers_is_refused() -> None:
    document = json.loads(encode_plan(EVERYTHING))
    document["rollout"]["waves"] = [["r1", "r2"]]
    with pytest.raises(PlanRefused, match="its waves are not those of its routers"):
        decode_plan(sealed(document))


def test_a_file_of_an_older_program_says_nothing_of_the_order() -> None:
    document = json.loads(encode_plan(EVERYTHING))
    for key in ("rollout", "contested"):
        del document[key]
    for each in document["routers"]:
        del each["undo"], each["failure_domain"]
    plan = decode_plan(sealed(document))
    assert plan.rollout is None
    assert (waves(plan), rules(plan), undo_lines(plan)) == ([], [], [])


def test_the_rules_say_what_holds_and_nothing_else() -> None:
    def said(*routers: RouterPlan, **terms: object) -> str:
        return " ".join(rules(plan_of(*routers, rollout=msgspec.structs.replace(ROLLOUT, **terms))))

    pair = router("r1", "rack"), router("r2", "rack")
    assert "never two of one failure domain: rack is r1, r2." in said(*pair)
    assert "After each wave but the last a pause of 60 s" in said(*pair)
    assert "No pause between waves." in said(*pair, pause_s=0.0)
    assert "the others of its wave go on to their end and stay changed" in said(*pair)
    assert "one that differs, or cannot be read, gets the inverse of its change" in said(*pair)
    assert "the others of its wave are taken back too" in said(*pair, on_failure="rollback-wave")
    apart = said(router("r1"), router("r2", "rack"), canary=0)
    assert "by the inventory no two of them share a failure domain" in apart
    assert "wave begins" not in apart
    assert "pause" not in apart
    alone = said(router("r1"))
    assert "Where it fails once its commit has begun, its change is taken back." in alone
    assert "failure domain" not in alone
    assert rules(HELD) == rules(CALM) == []


def test_the_way_back_names_what_the_platform_has() -> None:
    assert undo_line(Undo(180, "router")).startswith("commit-confirm with a timer of 180 s.")
    assert "taken back by the driver's rollback." in undo_line(Undo(0, "router"))
    assert "the inverse patch" in undo_line(Undo(0, "inverse"))
    assert all("the change stays" in undo_line(Undo(0, by)) for by in ("router", "inverse"))
    assert [routers for _, routers in undo_lines(EVERYTHING)] == [("r1", "r2"), ("r7",), ("r8",), ("r9",)]


def test_the_way_back_says_what_is_as_before_afterwards() -> None:
    alone, whole = undo_line(Undo(120, "router", "routes")), undo_line(Undo(120, "router", "configuration"))
    assert "restores the routes of this plan alone; every other line stays" in alone
    assert "restores the router's whole configuration of before the commit" in whole
    assert "what anybody else changes on it in between is lost, too" in whole
    assert "restores" not in undo_line(Undo(120, "router")), "a plan file of an older program does not say it"


@pytest.mark.parametrize("name", DRIVERS)
def test_timers_of_vendors_restore_the_whole_configuration_and_ours_our_routes_alone(name: str) -> None:
    """EOS, IOS and Junos go back to the configuration of before; FRR's timer is our own script."""
    capabilities = DRIVERS[name].capabilities()
    port = Port(name, get_platform(DRIVERS[name].syntax), capabilities)
    timed = undo_of(port, CHANGES, 120)
    assert (timed.timer_s > 0) == capabilities.confirm
    assert timed.restores == ("configuration" if name in ("eos", "ios", "junos") else "routes")
    assert undo_of(port, CHANGES, 0).restores == "routes", "without a timer the driver or the inverse patch does it"

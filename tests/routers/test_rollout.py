"""Waves, what a failure means for them, pauses in which a wave is verified again, and stopping between two."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp import runs
from k8s_ecmp.core.waves import waves
from k8s_ecmp.errors import JournalError, PlanRefused
from k8s_ecmp.model import CommitResult
from k8s_ecmp.routers.rollout import STOPPED
from k8s_ecmp.routers.stopping import Stop
from k8s_ecmp.routers.tasks import plan_routes, run
from k8s_ecmp.settings import RolloutSettings
from tests.fleet import Disturbed, Fleet, Watcher, outcomes
from tests.site import new_site

THEIRS = "ip route 203.0.113.0/24 192.0.2.77"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A canary, a wave of three, a wave of two: r3 and r5 are a pair."""
    made = Fleet(new_site(tmp_path), 6, pairs={"r3": "pair", "r5": "pair"})
    made.rollout(canary=1, parallel=3)
    return made


def test_the_canary_goes_first_and_pairs_never_together() -> None:
    routers = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c", None)]
    assert waves(routers, RolloutSettings(canary=1, parallel=10)) == [["a1"], ["a2", "b1", "c"], ["b2"]]
    assert waves(routers, RolloutSettings(canary=0, parallel=2)) == [["a1", "b1"], ["a2", "b2"], ["c"]]
    assert waves([], RolloutSettings()) == []


@given(
    st.lists(st.sampled_from(["a", "b", None]), max_size=12),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_every_router_goes_once(domains: list[str | None], canary: int, parallel: int) -> None:
    routers = [(f"r{i}", domain) for i, domain in enumerate(domains)]
    found = waves(routers, RolloutSettings(canary=canary, parallel=parallel))
    assert sorted(name for wave in found for name in wave) == sorted(name for name, _ in routers)
    of = dict(routers)
    for wave in found:
        assert len(wave) <= parallel
        known = [of[name] for name in wave if of[name] is not None]
        assert len(known) == len(set(known))


def test_all_waves_are_done_and_each_router_is_told_of_once(fleet: Fleet) -> None:
    watcher = Watcher()
    assert set(outcomes(fleet.apply(spectator=watcher)).values()) == {"committed"}
    assert watcher.order == [["r1"], ["r2", "r3", "r4"], ["r5", "r6"]]
    assert sorted(watcher.results) == [(name, "committed") for name in fleet.names]
    assert ("r4", "verify") in watcher.steps


def test_a_failure_stops_the_later_waves_and_leaves_its_neighbours(fleet: Fleet) -> None:
    before = fleet.texts
    record = Disturbed(at={"r3": lambda: fleet.add_line("r3", THEIRS)})
    results = fleet.apply(record)
    assert outcomes(results) == {
        "r1": "committed",
        "r2": "committed",
        "r3": "failed",
        "r4": "committed",
        "r5": "not-attempted",
        "r6": "not-attempted",
    }
    assert results["r6"].error == "r3 failed in an earlier wave"
    assert fleet.changed(before) == {"r1", "r2", "r3", "r4"}
    assert THEIRS in fleet.texts["r3"]
    assert "tag 4201" not in fleet.texts["r3"]


def test_with_rollback_wave_its_neighbours_are_taken_back_but_no_earlier_wave(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, on_failure="rollback-wave")
    before = fleet.texts
    watcher = Watcher()
    record = Disturbed(at={"r3": lambda: fleet.add_line("r3", THEIRS)})
    results = fleet.apply(record, watcher)
    assert outcomes(results) == {
        "r1": "committed",
        "r2": "rolled-back",
        "r3": "failed",
        "r4": "rolled-back",
        "r5": "not-attempted",
        "r6": "not-attempted",
    }
    assert results["r2"].error == "taken back with its wave, because r3 failed in it"
    assert results["r2"].changes > 0
    assert fleet.changed(before) == {"r1", "r3"}
    assert ("r2", "take back: verify") in watcher.steps
    assert [result for router, result in watcher.results if router == "r2"] == ["committed", "rolled-back"]
    assert [result.outcome for result in record.ended if result.router == "r4"] == ["committed", "rolled-back"]


class Broken:
    """A spectator that can take nothing in, as where standard error is a pipe without a reader."""

    def begins(self, waves: Sequence[Sequence[str]]) -> None:
        raise BrokenPipeError

    def wave(self, number: int) -> None:
        raise BrokenPipeError

    def step(self, router: str, step: str) -> None:
        raise BrokenPipeError

    def ended(self, result: CommitResult) -> None:
        raise BrokenPipeError

    def pauses(self, routers: Sequence[str], seconds: float) -> None:
        raise BrokenPipeError


def test_a_spectator_that_fails_decides_nothing_about_a_router(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, pause_s=0.1, on_failure="rollback-wave")
    record = Disturbed(at={"r5": lambda: fleet.add_line("r5", THEIRS)})
    results = fleet.apply(record, Broken())
    assert outcomes(results) == dict.fromkeys(("r1", "r2", "r3", "r4"), "committed") | {
        "r5": "failed",
        "r6": "rolled-back",
    }
    assert results["r1"].step == "confirm"
    assert [result.outcome for result in record.ended if result.router == "r6"] == ["committed", "rolled-back"]


def test_steps_that_nobody_can_be_told_of_are_taken_all_the_same(fleet: Fleet) -> None:
    settings, nornir = fleet.loaded
    found = run(nornir, plan_routes, intent=runs.observe(settings), progress=Broken().step)
    assert {plan.status for plan in runs.assemble(runs.observe(settings), found).routers} == {"changes"}
    assert not found.failed


def test_a_refusal_before_the_commit_takes_nothing_back(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, on_failure="rollback-wave")
    assert fleet.plan.routers
    fleet.add_line("r3", "ip route 10.96.0.0/12 192.0.2.77")
    results = fleet.apply()
    assert results["r3"].outcome == "refused"
    assert "10.96.0.0/12: no route -> 192.0.2.77" in (results["r3"].error or "")
    assert {name: word for name, word in outcomes(results).items() if word != "committed"} == {"r3": "refused"}


def test_where_the_canary_refuses_the_next_router_goes_alone_in_its_place(fleet: Fleet) -> None:
    assert fleet.plan.routers
    fleet.add_line("r1", "ip route 10.96.0.0/12 192.0.2.77")
    fleet.add_line("r2", "ip route 10.96.0.0/12 192.0.2.77")
    before = fleet.texts
    results = fleet.apply(Disturbed(at={"r3": lambda: fleet.add_line("r3", THEIRS)}))
    assert outcomes(results) == {"r1": "refused", "r2": "refused", "r3": "failed"} | dict.fromkeys(
        ("r4", "r5", "r6"), "not-attempted"
    )
    assert fleet.changed(before) == {"r3"}


def test_after_the_router_in_the_canarys_place_the_rest_of_its_wave_goes_together(fleet: Fleet) -> None:
    assert fleet.plan.routers
    fleet.add_line("r1", "ip route 10.96.0.0/12 192.0.2.77")
    waves: list[int] = []
    watcher = Watcher(on_wave=waves.append)
    assert list(outcomes(fleet.apply(spectator=watcher)).values()) == ["refused", *["committed"] * 5]
    assert waves == [0, 1, 1, 2]


def test_a_result_that_cannot_be_written_down_stops_everything_behind_it(fleet: Fleet) -> None:
    class Full(Disturbed):
        def end(self, result: CommitResult) -> None:
            if result.router == "r1":
                raise JournalError("the disk is full")

    before = fleet.texts
    fleet.rollout(canary=1, parallel=3, pause_s=3600)
    results = fleet.apply(Full())
    assert outcomes(results) == {"r1": "committed"} | dict.fromkeys(fleet.names[1:], "not-attempted")
    assert not results["r1"].recorded
    assert "the disk is full" in results["r1"].warnings[-1]
    assert results["r2"].error == "what became of r1 could not be written down"
    assert fleet.changed(before) == {"r1"}
    assert runs.apply_exit(fleet.plan, [results["r1"]]) == runs.ERROR


def test_what_others_changed_meanwhile_is_not_taken_back(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, on_failure="rollback-wave")

    def disturb(router: str, step: str) -> None:
        if (router, step) == ("r2", "take back: connect"):
            fleet.drop_lines("r2", "10.97.10.1/32 10.192.0.2")

    record = Disturbed(at={"r3": lambda: fleet.add_line("r3", THEIRS)})
    results = fleet.apply(record, Watcher(on_step=disturb))
    assert results["r2"].outcome == "failed"
    assert "10.97.10.1/32 was changed by somebody else meanwhile; all of it was left as it is" in (
        results["r2"].error or ""
    )
    assert results["r4"].outcome == "rolled-back"
    assert "tag 4201" in fleet.texts["r2"]


def test_the_way_back_is_journaled_and_points_at_what_it_takes_back(fleet: Fleet) -> None:
    fleet.rollout(canary=0, parallel=6, on_failure="rollback-wave", pause_s=1)
    watcher = Watcher(on_pause=lambda routers: fleet.drop_lines("r2", "10.97.10.1/32 10.192.0.2"))
    results = fleet.apply(spectator=watcher, journal=True)
    assert results["r1"].outcome == "rolled-back"
    mine = [entry for entry in fleet.journal() if entry.router == "r1"]
    assert [(entry.kind, entry.body.get("outcome")) for entry in mine] == [
        ("begin", None),
        ("result", "committed"),
        ("begin", None),
        ("result", "rolled-back"),
    ]
    assert mine[2].body["takes_back"] == mine[0].id
    assert mine[3].body["begin"] == mine[2].id
    assert {change["action"] for change in mine[2].body["changes"]} == {"delete"}
    assert "because r2 failed" in mine[2].body["changes"][0]["reasons"][0]


def test_in_a_pause_a_wave_that_stays_as_it_is_goes_on(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, pause_s=0.2)
    paused: list[list[str]] = []
    watcher = Watcher(on_pause=lambda routers: paused.append(list(routers)))
    results = fleet.apply(spectator=watcher)
    assert set(outcomes(results).values()) == {"committed"}
    assert paused == [["r1"], ["r2", "r3", "r4"]], "there is no pause after the last wave"
    assert ("r4", "look again") in watcher.steps
    assert ("r6", "look again") not in watcher.steps


@pytest.mark.slow
@pytest.mark.parametrize(("on_failure", "neighbours"), [("stop", "committed"), ("rollback-wave", "rolled-back")])
def test_a_difference_in_the_pause_is_a_failure(fleet: Fleet, on_failure: str, neighbours: str) -> None:
    fleet.rollout(canary=1, parallel=3, pause_s=0.2, on_failure=on_failure)

    def disturb(routers: object) -> None:
        if "r3" in routers:  # type: ignore[operator]
            fleet.drop_lines("r3", "10.97.10.1/32 10.192.0.2")

    results = fleet.apply(spectator=Watcher(on_pause=disturb))
    assert outcomes(results) == {
        "r1": "committed",
        "r2": neighbours,
        "r3": "failed",
        "r4": neighbours,
        "r5": "not-attempted",
        "r6": "not-attempted",
    }
    assert "it differed in the pause after its wave: 10.97.10.1/32 is configured as" in (results["r3"].error or "")
    assert "changed by somebody else" in (results["r3"].error or "")


@pytest.mark.slow
def test_what_differs_for_a_moment_in_the_pause_is_no_failure(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, pause_s=0.2, verify_timeout_s=120)
    line: list[str] = []

    def disturb(router: str, step: str) -> None:
        if (router, step) != ("r1", "look again"):
            return
        if not line:
            line.extend(text for text in fleet.texts["r1"].splitlines() if "10.97.10.1/32 10.192.0.2" in text)
            fleet.drop_lines("r1", line[0])
        elif line[0] not in fleet.texts["r1"]:
            fleet.add_line("r1", line[0])

    results = fleet.apply(spectator=Watcher(on_step=disturb))
    assert set(outcomes(results).values()) == {"committed"}
    assert line[0] in fleet.texts["r1"]


@pytest.mark.slow
def test_what_cannot_be_read_for_a_moment_in_the_pause_is_no_failure(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, pause_s=0.2, verify_timeout_s=120)
    whole: list[str] = []

    def disturb(router: str, step: str) -> None:
        if (router, step) != ("r1", "look again"):
            return
        config = fleet.site.config("r1")
        if not whole:
            whole.append(config.read_text())
            config.write_text("")
        elif not config.read_text():
            config.write_text(whole[0])

    results = fleet.apply(spectator=Watcher(on_step=disturb))
    assert set(outcomes(results).values()) == {"committed"}
    assert fleet.site.config("r1").read_text() == whole[0]


def test_a_way_back_that_finds_nothing_of_the_change_takes_nothing_back(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, on_failure="rollback-wave")

    def disturb(router: str, step: str) -> None:
        if (router, step) == ("r2", "take back: connect"):
            fleet.drop_lines("r2", "tag 4201")

    record = Disturbed(at={"r3": lambda: fleet.add_line("r3", THEIRS)})
    result = fleet.apply(record, Watcher(on_step=disturb))["r2"]
    assert (result.outcome, result.undone) == ("failed", None)
    assert "nothing of it stands in what was read" in (result.error or "")


def test_what_others_change_elsewhere_in_the_pause_is_no_difference(fleet: Fleet) -> None:
    fleet.rollout(canary=1, parallel=3, pause_s=0.2)
    results = fleet.apply(spectator=Watcher(on_pause=lambda routers: fleet.add_line(routers[0], THEIRS)))
    assert set(outcomes(results).values()) == {"committed"}


@pytest.mark.parametrize("pause_s", [0, 600])
def test_stopping_lets_the_wave_in_hand_end_and_attempts_no_other(fleet: Fleet, pause_s: int) -> None:
    fleet.rollout(canary=1, parallel=3, pause_s=pause_s)
    stop = Stop()
    watcher = Watcher(on_wave=lambda number: stop.ask() if number == (0 if pause_s else 1) else None)
    results = fleet.apply(spectator=watcher, stop=stop)
    done = {"r1"} if pause_s else {"r1", "r2", "r3", "r4"}
    assert {name for name, word in outcomes(results).items() if word == "committed"} == done
    left = [result for name, result in results.items() if name not in done]
    assert {(result.outcome, result.error) for result in left} == {("not-attempted", STOPPED)}


def test_no_connection_is_left_open(fleet: Fleet) -> None:
    """The check keeps them for the change; what is not attempted, or refused, does not need them."""
    settings, nornir = fleet.loaded
    assert runs.check_current(nornir, settings, fleet.plan) == frozenset()
    assert all(host.connections for host in nornir.inventory.hosts.values())
    stop = Stop()
    fleet.apply(spectator=Watcher(on_wave=lambda number: stop.ask()), stop=stop)
    assert not any(host.connections for host in nornir.inventory.hosts.values())
    with pytest.raises(PlanRefused, match="r1 are not those"):
        runs.check_current(nornir, settings, fleet.plan)
    assert not any(host.connections for host in nornir.inventory.hosts.values())

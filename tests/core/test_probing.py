"""Rows of probes with their times, and what they make of an address."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.core.probing import ANSWERED, REFUSED_GRACE_S, WELL, Health, Outcome, judge, probes_at_once, verdict

FAILED, REFUSED = Outcome("failed", "status 503"), Outcome("refused", "connection refused")
outcomes = st.sampled_from([ANSWERED, FAILED, REFUSED])
rows = st.lists(st.tuples(outcomes, st.floats(0.01, 40)), min_size=1, max_size=60)
limits = st.integers(1, 6)


def after(row: Iterable[tuple[Outcome, float]], failures: int, health: Health | None = WELL) -> Health | None:
    """The health after outcomes, each with the seconds that passed before it."""
    now = 0.0
    for outcome, passed_s in row:
        now += passed_s
        health = judge(health, outcome, now, failures)
    return health


@given(rows, limits)
def test_one_answer_makes_it_well(row: list[tuple[Outcome, float]], failures: int) -> None:
    assert after([*row, (ANSWERED, 1)], failures) == WELL
    assert after([*row, (ANSWERED, 1)], failures, None) == WELL


@given(rows, limits)
def test_ill_exactly_when_the_rule_says(row: list[tuple[Outcome, float]], failures: int) -> None:
    """Counted anew from the whole row, for an address that has answered once."""
    times, now = [], 0.0
    for outcome, passed_s in row:
        now += passed_s
        times.append((outcome, now))
    answers = [index for index, (outcome, _) in enumerate(times) if outcome is ANSWERED]
    since = times[answers[-1] + 1 :] if answers else times
    refusals = [at for outcome, at in since if outcome is REFUSED]
    failed = sum(outcome is FAILED for outcome, _ in since)
    ill = failed >= failures or (bool(refusals) and refusals[-1] - refusals[0] >= REFUSED_GRACE_S)
    health = after(row, failures)
    assert health is not None
    assert (health.ill is not None) == ill


@given(st.lists(st.sampled_from([FAILED, REFUSED]), min_size=1, max_size=20), limits)
def test_who_never_answered_has_no_credit(row: list[Outcome], failures: int) -> None:
    health = after([(outcome, 1) for outcome in row], failures, None)
    assert health is not None
    assert health.ill == f"has never answered, at first: {row[0].text}"


@given(st.integers(1, 29), st.integers(2, 6))
def test_a_restart_of_kube_proxy_is_no_illness(seconds: int, failures: int) -> None:
    """Refused while it is down, one failure while it comes up, and it answers."""
    row = [(REFUSED, 1.0)] * seconds + [(FAILED, 1.0)]
    assert after(row, failures) == Health(None, 1, 1.0)
    assert after([*row, (ANSWERED, 1.0)], failures) == WELL


@given(rows, limits, st.sampled_from([None, WELL]))
def test_as_many_probes_at_once_as_make_it_ill(
    row: list[tuple[Outcome, float]], failures: int, first: Health | None
) -> None:
    before = after(row, failures, first)
    assert before is not None
    many = probes_at_once(before, failures)
    assert probes_at_once(None, failures) == 1
    assert 1 <= many <= failures
    healths = [after([*row, *[(FAILED, 1.0)] * count], failures, first) for count in range(many + 1)]
    if before.ill is None:
        assert [health is not None and health.ill is not None for health in healths] == [False] * many + [True]
    else:
        assert many == 1


def test_the_words() -> None:
    assert after([(FAILED, 1)] * 3, 3) == Health("3 probes in a row failed: status 503")
    assert after([(FAILED, 1)], 1) == Health("1 probe failed: status 503")
    assert after([(REFUSED, 1)] * 31, 3) == Health("connection refused for 30 s")
    assert after([(FAILED, 1)] * 3 + [(REFUSED, 1)], 3) == Health("3 probes in a row failed: status 503")


def test_a_node_is_ill_when_one_of_its_families_is() -> None:
    ill = Health("3 probes in a row failed: status 503")
    assert verdict([("10.0.0.1", WELL), ("fd00::1", ill)]) == (True, "fd00::1: 3 probes in a row failed: status 503")
    assert verdict([("10.0.0.1", ill), ("fd00::1", None)]) == (True, "10.0.0.1: 3 probes in a row failed: status 503")
    assert verdict([("10.0.0.1", WELL), ("fd00::1", WELL)]) == (True, None)
    assert verdict([("10.0.0.1", WELL), ("fd00::1", None)])[0] is False
    assert verdict([]) == (True, "has no address to be asked at")

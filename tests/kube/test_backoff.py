"""How long a follower pauses after failures."""

from k8s_ecmp.kube.backoff import Backoff, Pace


def test_it_doubles_to_its_bound_and_is_spread() -> None:
    backoff = Backoff(Pace(first_pause_s=1, longest_pause_s=8))
    for bound in (1, 2, 4, 8, 8, 8):
        assert 0 <= backoff.pause_s() <= bound
    pauses = [backoff.pause_s() for _ in range(500)]
    assert max(pauses) > 6
    assert min(pauses) < 2


def test_it_starts_anew_after_some_health() -> None:
    backoff = Backoff(Pace(first_pause_s=1, longest_pause_s=1000, healthy_s=120))
    for _ in range(10):
        backoff.pause_s()
    backoff.in_order_for(119)
    assert max(backoff.pause_s() for _ in range(100)) > 1
    backoff.in_order_for(120)
    assert backoff.pause_s() <= 1


def test_what_the_server_asks_for_is_the_least() -> None:
    backoff = Backoff(Pace(first_pause_s=1))
    assert 7 <= backoff.pause_s(7) <= 8
    assert backoff.pause_s(10_000) <= 330

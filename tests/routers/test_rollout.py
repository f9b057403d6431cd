from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.routers.rollout import waves
from k8s_ecmp.settings import RolloutSettings


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

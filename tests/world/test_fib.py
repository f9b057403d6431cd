"""What the history of a kernel's routes notes, and what it lets pass."""

import time
from collections.abc import Iterator

import pytest

from tests.world import netns
from tests.world.fib import GONE, FibHistory, steps, timed
from tests.world.netns import Namespace, veth

A, B, C, D = (f"10.0.0.{n}" for n in range(1, 5))


def hops(*addresses: str) -> frozenset[str]:
    return frozenset(addresses)


def test_steps_of_one_replace_and_of_several_additions() -> None:
    assert steps([A, B], [B, C]) == {hops(A, B), hops(B, C), hops(A, B, C)}
    assert steps([A, B, C], [A]) == {hops(A, B, C), hops(A)}
    assert steps([A], []) == {hops(A), GONE}
    assert steps([], [A, B]) == {GONE, hops(A), hops(B), hops(A, B)}
    several = steps([A], [B, C])
    assert hops(A, B) in several
    assert GONE not in several
    assert hops(D) not in several


@pytest.fixture
def router() -> Iterator[Namespace]:
    if reason := netns.missing():
        pytest.skip(reason)
    with Namespace("router") as router, Namespace("lan") as lan:
        addresses = (["10.0.0.254/24", "fd00::fe/64"], ["10.0.0.1/24", "fd00::1/64"])
        veth(router, "lan", lan, "lan", *addresses)
        yield router


@pytest.mark.world
def test_every_state_of_a_route_is_noted_in_order(router: Namespace) -> None:
    router.ip(f"route add 10.9.0.0/24 via {A}")
    with FibHistory(router) as fib:
        assert fib.table() == {"10.9.0.0/24": hops(A)}, "what was there before, without what the kernel made itself"
        since = time.monotonic()
        router.ip(f"route replace 10.9.0.0/24 nexthop via {A} nexthop via {B}")
        router.ip(f"nexthop add id 1 via {C} dev lan")
        router.ip(f"nexthop add id 2 via {D} dev lan")
        router.ip("nexthop add id 10 group 1/2")
        router.ip("route replace 10.9.0.0/24 nhid 10")
        router.ip("route del 10.9.0.0/24")
        router.ip("route add blackhole 10.9.0.0/24")
        fib.await_hops("10.9.0.0/24", ["blackhole"])
        states = [sample.hops for sample in fib.samples("10.9.0.0/24", since)]
        assert states == [hops(A), hops(A, B), hops(C, D), GONE, hops("blackhole")]
        assert fib.violations({"10.9.0.0/24": set(states)}, since) == []
        assert len(fib.violations({"10.9.0.0/24": set(states) - {GONE}}, since)) == 1
        assert len(fib.violations({}, since)) == 4, "a prefix that nobody names may not exist"
        with pytest.raises(TimeoutError, match=r"10\.9\.0\.0/24: \['blackhole'\] instead of"):
            fib.await_hops("10.9.0.0/24", [A], timeout=0.01)


@pytest.mark.world
def test_ipv6_hops_come_and_go_one_by_one(router: Namespace) -> None:
    with FibHistory(router) as fib:
        since = time.monotonic()
        router.ip("-6 route add fd09::/64 nexthop via fd00::1 nexthop via fd00::2")
        router.ip("-6 route append fd09::/64 nexthop via fd00::3")
        router.ip("-6 route del fd09::/64 via fd00::1")
        fib.await_hops("fd09::/64", ["fd00::2", "fd00::3"])
        states = [sorted(sample.hops) for sample in fib.samples("fd09::/64", since)]
        assert states[-2:] == [["fd00::1", "fd00::2", "fd00::3"], ["fd00::2", "fd00::3"]]
        assert fib.kernel() == fib.table()


@pytest.mark.world
def test_a_change_is_timed_from_its_start(router: Namespace) -> None:
    with FibHistory(router) as fib:
        took = timed(lambda: router.ip(f"route add 10.9.0.0/24 via {A}"), fib, "10.9.0.0/24", [A])
        assert took > 0
        many = {f"10.8.{high}.{low}/32": [A] for high in range(8) for low in range(250)}
        netns.run("ip", "-n", router.name, "-batch", "-", input="".join(f"route add {p} via {A}\n" for p in many))
        fib.await_table(many)
        assert len(fib.table()) == len(many) + 1

"""The shares of flows that a plan predicts, against those that the kernel of a real FRR router moves."""

import itertools
import re
from collections.abc import Iterator

import pytest

from k8s_ecmp.core.flows import share_moved
from tests.core.test_flows import exact
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for

pytestmark = pytest.mark.world

PREFIX = "10.96.0.10"
FLOWS = 4000
FIVE_SIGMA = 5 * (0.25 / FLOWS) ** 0.5
HOPS = [f"10.0.0.{number}" for number in (2, 9, 10, 11, 30)]
VIA = re.compile(r" via (\S+) ")


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrRouter]:
    links = [Link("lan0", ["10.0.0.254/24"]), Link("uplink", ["192.0.2.2/24"])]
    with FrrRouter("r1", tmp_path_factory.mktemp("frr"), links=links) as made:
        for number in (2, 9, 10, 11, 30):
            made.ip(f"neigh replace 10.0.0.{number} lladdr 02:00:00:00:00:{number:02x} dev lan0 nud permanent")
        yield made


def route(router: FrrRouter, hops: list[str]) -> None:
    """Exactly these hops, by FRR, in the kernel."""
    gone = router.fib(PREFIX) - set(hops)
    lines = [f"ip route {PREFIX}/32 {hop}" for hop in reversed(hops) if hop not in router.fib(PREFIX)]
    for line in (*lines, *(f"no ip route {PREFIX}/32 {hop}" for hop in sorted(gone))):
        router.configure(line)
    wait_for(lambda: router.fib(PREFIX) == set(hops), f"{hops} in the kernel")


def chosen(router: FrrRouter) -> list[str]:
    """The next hop that the kernel takes for each of many forwarded flows."""
    ports = itertools.islice(itertools.product(range(20, 60), range(30000, 40000, 97)), FLOWS)
    asked = "".join(
        f"route get {PREFIX} from 192.0.2.{client} iif uplink ipproto tcp sport {port} dport 80\n"
        for client, port in ports
    )
    answers = VIA.findall(router.netns.run("ip", "-batch", "-", input=asked))
    assert len(answers) == FLOWS
    return answers


def group(router: FrrRouter) -> list[str]:
    """The hops in the order of the kernel's group."""
    return VIA.findall(router.ip(f"route show exact {PREFIX}"))


CHANGES = {
    "the first leaves": (HOPS[:3], HOPS[1:3]),
    "the middle one leaves": (HOPS[:3], [HOPS[0], HOPS[2]]),
    "the last leaves": (HOPS[:3], HOPS[:2]),
    "two come": (HOPS[1:4], HOPS),
    "one for another": ([*HOPS[:2], HOPS[4]], [*HOPS[:3]]),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_the_kernel_moves_what_the_plan_says(router: FrrRouter, before: list[str], after: list[str]) -> None:
    """Within the plan's range, and exactly as the order says that the kernel's group has."""
    route(router, before)
    first, order = chosen(router), group(router)
    assert set(first) == set(order) == set(before)
    route(router, after)
    second = chosen(router)
    assert set(second) == set(after)
    found = sum(one != other for one, other in zip(first, second, strict=True)) / FLOWS
    predicted = float(exact(order, group(router), "hash-threshold"))
    assert found == pytest.approx(predicted, abs=FIVE_SIGMA), f"{found:.3f} instead of {predicted:.3f}"
    stay = len(set(before) & set(after))
    low, high = share_moved(stay, len(before) - stay, len(after) - stay, "hash-threshold")
    assert float(low) - FIVE_SIGMA <= found <= float(high) + FIVE_SIGMA

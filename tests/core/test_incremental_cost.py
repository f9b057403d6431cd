"""What one event costs does not grow with the cluster: counted in steps and in memory, never in seconds."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest

from k8s_ecmp.core.incremental import Incremental
from k8s_ecmp.model import Node, ServiceCIDR
from k8s_ecmp.settings import NodeSettings, Settings
from tests.core.build import NOW, OWNER, TAG, endpoints, node, p, second, service

FEW_SERVICES, MANY_SERVICES = 50, 1000
FEW_NODES, MANY_NODES = 20, 1000
LIKE_ANOTHER = 1.05
A_FEW_OBJECTS = 2048
"""Bytes: tables double now and then, also small ones."""

CHANGED = "default/s0-4-0"
LOST = "n1"  # has an endpoint of the first service and of no other


class Cost(NamedTuple):
    """`steps`: instructions of the interpreter and calls of what is written in C, which has loops of its own and is why
    `memory` counts too: bytes that were needed at most at a time."""

    steps: int
    memory: int

    def is_like(self, other: "Cost") -> bool:
        return self.steps <= other.steps * LIKE_ANOTHER and self.memory <= other.memory + A_FEW_OBJECTS


class World:
    """A cluster that was decided, and whose time goes on with every event."""

    def __init__(self, services: int, nodes: int) -> None:
        self.inc = Incremental(Settings(owner=OWNER, tag=TAG, nodes=NodeSettings(hold_down_s=0, hold_up_s=0)))
        self.now = NOW
        self.inc.set_service_cidrs((ServiceCIDR(p("10.96.0.0/12"), "test"),))
        for number in range(nodes):
            self.inc.put_node(self.node(number), NOW, live=False)
        for number in range(services):
            key = f"default/s{number}"
            on = ("n2", "n3", f"n{4 + number % 10}") if number else ("n2", LOST)
            made = service(key, f"10.97.{number // 250}.{number % 250}", etp="Local", itp="Local")
            self.inc.put_service(made, NOW, live=False)
            self.inc.put_slice(f"{key}-4-0", endpoints(key, *on), NOW, live=False)
        self.settle()
        assert len(self.inc.desired().routes) == services + 1

    @staticmethod
    def node(number: int, ready: str = "True") -> Node:
        """Made anew each time, as what comes from the API server is."""
        return node(f"n{number}", f"10.1.{number // 250}.{number % 250}", ready=ready)

    def settle(self) -> int:
        """As the daemon does after each event; how many prefixes were decided anew."""
        self.now += second(2)  # longer than an endpoint is young
        self.inc.advance(self.now)
        changed = self.inc.settle()
        self.inc.desired(changed)
        self.inc.next_deadline()
        return len(changed)

    def endpoint_flips(self) -> None:
        for on in (("n2",), ("n2", LOST)):
            self.inc.put_slice(CHANGED, endpoints("default/s0", *on), self.now)
            assert self.settle() == 1

    def heartbeat(self) -> None:
        self.inc.put_node(self.node(2), self.now)
        assert self.settle() == 0

    def node_flips(self) -> None:
        for ready in ("False", "True"):
            self.inc.put_node(self.node(1, ready), self.now)
            assert self.settle() == 2  # the range's route, and its only service's


EVENTS: dict[str, Callable[[World], None]] = {
    "endpoint": World.endpoint_flips,
    "heartbeat": World.heartbeat,
    "node": World.node_flips,
}


def cost(world: World, event: Callable[[World], None]) -> Cost:
    for _ in range(3):  # what is made at the first time, and kept
        event(world)
    return Cost(steps(lambda: event(world)), memory(lambda: event(world)))


def steps(work: Callable[[], None]) -> int:
    count = 0

    def traced(frame: FrameType, what: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += what == "opcode"
        return traced

    def profiled(_: FrameType, what: str, __: Any) -> None:
        nonlocal count
        count += what == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(traced)
    sys.setprofile(profiled)
    try:
        work()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return count


def memory(work: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        work()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most - before


@pytest.mark.parametrize("event", list(EVENTS))
def test_not_with_the_number_of_services(event: str) -> None:
    few, many = (cost(World(number, FEW_NODES), EVENTS[event]) for number in (FEW_SERVICES, MANY_SERVICES))
    assert few.steps > 100
    assert many.is_like(few), (few, many)


@pytest.mark.parametrize("event", ["endpoint", "heartbeat"])
def test_not_with_the_number_of_nodes(event: str) -> None:
    """But for a node that flips: the range's route names all others."""
    few, many = (cost(World(FEW_SERVICES, number), EVENTS[event]) for number in (FEW_NODES, MANY_NODES))
    assert many.is_like(few), (few, many)

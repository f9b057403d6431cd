"""What is configured is what the kernel routes: staticd's fault with shared next hops is not hit, ever."""

import json
import random
import time

import pytest

from k8s_ecmp.routers.drivers.frr import driver as module
from tests.routers.drivers.conftest import Connect
from tests.world import frr_release
from tests.world.fib import histories, steps
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.frr_releases(frr_release.NEWEST), pytest.mark.long]

POOLS = {
    "ip": [f"10.0.0.{number}" for number in range(1, 17)],
    "ipv6": [f"fd00::{number:x}" for number in range(1, 17)],
}
AGGREGATES = {"ip": "10.96.0.0/12", "ipv6": "fd01::/108"}

Table = dict[str, frozenset[str]]


def fib(router: FrrRouter) -> Table:
    """The static routes of the kernel under the aggregates."""
    found: Table = {}
    for family in ("-4", "-6"):
        for route in json.loads(router.netns.ip(family, "-j route show proto 196")):
            if route["dst"].startswith(("10.96.", "fd01:")):
                hops = route.get("nexthops", [route])
                found[route["dst"]] = frozenset(hop["gateway"] for hop in hops)
    return found


def program(draw: random.Random, round_: int, table: Table) -> list[str]:
    """Commands that create, change and delete some host routes, in any order; `table` follows."""
    commands = []
    for word, pool in POOLS.items():
        for number in range(draw.randint(1, 4)):
            block = round_ % 5 + 1
            host = f"10.96.{block}.{number}" if word == "ip" else f"fd01::{block:x}{number:02x}"
            old = table.get(host, frozenset())
            new = frozenset(draw.sample(pool, draw.randint(3, 16))) if draw.random() < 0.85 else frozenset()
            prefix = f"{host}/{32 if word == 'ip' else 128}"
            commands += [f"{word} route {prefix} {hop} tag 4201" for hop in sorted(new - old)]
            commands += [f"no {word} route {prefix} {hop} tag 4201" for hop in sorted(old - new)]
            table.pop(host, None)
            if new:
                table[host] = new
    draw.shuffle(commands)
    return commands


@pytest.mark.parametrize("way", ["waiting vtysh", "a vtysh for each batch"])
def test_host_routes_beside_the_aggregate_of_the_same_hops(
    router: FrrRouter, connect: Connect, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way != "waiting vtysh":
        monkeypatch.setattr(module, "_SHOWN_LINES", 0)
        monkeypatch.setattr(module, "_WARM_LINES", 0)
    driver = connect()
    table = {prefix: frozenset(POOLS[word]) for word, prefix in AGGREGATES.items()}
    driver.load_merge_candidate(
        config="\n".join(f"{w} route {AGGREGATES[w]} {hop} tag 4201" for w, pool in POOLS.items() for hop in pool)
    )
    driver.commit_config()
    draw = random.Random(8)
    for round_ in range(15 if way == "waiting vtysh" else 6):
        before = dict(table)
        commands = program(draw, round_, table)
        driver.load_merge_candidate(config="\n".join(commands))
        driver.commit_config()
        wait_for(lambda table=table: fib(router) == table, f"round {round_}: the FIB holds what is configured")
        if round_ % 3 == 0:
            driver.rollback()
            wait_for(lambda before=before: fib(router) == before, f"round {round_}: the FIB is as before")
            table = before


def test_a_changing_route_is_never_empty(router: FrrRouter, connect: Connect) -> None:
    driver = connect()
    old, new = POOLS["ip"][:3], POOLS["ip"][2:6]
    prefix = "10.96.9.9/32"
    lines = {hop: f"ip route {prefix} {hop} tag 4201" for hop in POOLS["ip"]}
    driver.load_merge_candidate(config="\n".join(lines[hop] for hop in old))
    driver.commit_config()
    wait_for(lambda: router.fib(prefix) == set(old), "the old hops are in the FIB")
    with histories(router.netns) as (history,):
        since = time.monotonic()
        swap = "\n".join([lines[hop] for hop in new] + [f"no {lines[hop]}" for hop in old if hop not in new])
        driver.load_merge_candidate(config=swap)
        driver.commit_config()
        history.await_hops(prefix, new)
        driver.load_merge_candidate(config="ip route 10.96.9.10/32 10.0.0.1 tag 4201\n")
        driver.commit_config()
        history.await_hops("10.96.9.10/32", ["10.0.0.1"])
        states = [state.hops for state in history.samples(prefix, since)]
    assert states[0] == set(old)
    assert all(states), states


@pytest.mark.parametrize("many", [1, 250])
def test_prefixes_whose_hops_are_exchanged_are_never_gone_on_a_busy_router(
    router: FrrRouter, connect: Connect, many: int
) -> None:
    """Among 1,000 prefixes, one transaction that adds and removes takes the route away for a moment."""
    driver = connect()
    standing = frozenset(POOLS["ip"][:3])
    others = {f"10.60.{number // 250}.{number % 250}/32": standing for number in range(1000)}
    one, other = (frozenset({hop}) for hop in POOLS["ip"][:2])
    prefixes = [f"10.96.8.{number}/32" for number in range(many)]

    def lines(table: Table) -> list[str]:
        return [f"ip route {prefix} {hop} tag 4201" for prefix, hops in table.items() for hop in hops]

    driver.load_merge_candidate(config="\n".join(lines({**others, **dict.fromkeys(prefixes, one)})))
    driver.commit_config()
    with histories(router.netns) as (fib,):
        fib.await_table({**others, **dict.fromkeys(prefixes, one)}, 60)
        allowed = {prefix: {hops} for prefix, hops in fib.table().items()}
        for _ in range(4):
            since = time.monotonic()
            gone = [f"no {line}" for line in lines(dict.fromkeys(prefixes, one))]
            driver.load_merge_candidate(config="\n".join([*lines(dict.fromkeys(prefixes, other)), *gone]))
            driver.commit_config()
            fib.await_table(dict.fromkeys(prefixes, other), 60)
            fib.assert_only(allowed | dict.fromkeys(prefixes, steps(one, other)), since)
            one, other = other, one

"""Two owners that want the same prefixes on the same routers, both at work: who was first keeps them, nobody flaps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.platforms import get_platform
from tests.daemon.running import Running, in_sync, rewrite
from tests.site import new_site
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

ROUNDS = 5
SYNTAX = {"edge1": "frr", "edge2": "eos"}
Owned = dict[str, frozenset[int | None]]


@pytest.fixture
def owners(tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    """Of one inventory, each with its cluster and its journal."""
    first, second = new_site(tmp_path / "first"), new_site(tmp_path / "second")
    both = []
    for site, owner, tag in ((first, "first", 4201), (second, "second", 4202)):
        site.settings(
            owner=owner,
            tag=tag,
            inventory=str(first.folder / "inventories/demo"),
            nodes={"hold_down_s": 0, "hold_up_s": 0},
            guards={"max_withdrawn_fraction": 1},
            daemon={"resync_s": 0.5},
        )
        made = Running(site)
        both.append(made)
    hosts = first.folder / "inventories/demo/hosts.yaml"
    hosts.write_text(
        hosts.read_text().replace("inventories/demo/routers", str(first.folder / "inventories/demo/routers"))
    )
    one, two = both
    yield one, two
    for made in both:
        made.kill()


def tags(first: Running) -> dict[str, Owned]:
    """Whose tags each prefix carries, router by router."""
    found = {}
    for name, syntax in SYNTAX.items():
        routes = get_platform(syntax).parse(first.site.config(name).read_text())
        found[name] = {str(route.prefix): frozenset(hop.tag for hop in route.next_hops) for route in routes}
    return found


def turned(running: Running, node: str, status: str) -> None:
    rewrite(
        running.site,
        lambda: running.site.node(node, lambda item: item["status"]["conditions"][1].update(status=status)),
    )


def settled(document: dict[str, Any], node: str, standing: str) -> bool:
    return in_sync(document) and any(n["name"] == node and n["standing"] == standing for n in document["nodes"])


def commits(document: dict[str, Any]) -> dict[str, int]:
    return {router["name"]: router["commits"] for router in document["routers"]}


def followed(document: dict[str, Any], done: dict[str, int]) -> bool:
    """Every router has had another commit, and there is none to come."""
    return in_sync(document) and all(count > done[name] for name, count in commits(document).items())


def read_since(document: dict[str, Any], moment: str) -> bool:
    return all(router["last_read"] > moment for router in document["routers"])


def test_who_was_first_keeps_the_prefix_and_nobody_flaps(owners: tuple[Running, Running]) -> None:
    first, second = owners
    first.start()
    first.until(in_sync, "the first one has its routes")
    second.start()
    document = second.until(lambda d: d["ready"] and all(r["conflicts"] for r in d["routers"]), "the second conflicts")
    before = tags(first)
    assert all(of <= {4201} or 4201 not in of for found in before.values() for of in found.values())
    shared = {prefix for prefix, of in before["edge1"].items() if of == {4201}}
    assert "10.96.0.0/12" in shared
    assert shared <= {conflict["prefix"] for router in document["routers"] for conflict in router["conflicts"]}
    written = commits(second.status())
    for number in range(ROUNDS):
        out = number % 2 == 0
        done = commits(first.status())
        for running in owners:
            turned(running, "node1", "False" if out else "True")
        standing = "out" if out else "eligible"
        for running in owners:
            running.until(lambda d, s=standing: settled(d, "node1", s), f"node1 is {standing}")
        first.until(lambda d, n=done: followed(d, n), "the first one followed")
        assert tags(first) == before, "a prefix changed hands"
        hops = first.site.config("edge2").read_text().count("10.96.0.0/12")
        assert hops == (2 if out else 3)
    # Both go on reading; nothing is written any more.
    calm = (commits(first.status()), commits(second.status()))
    texts = [first.site.config(name).read_text() for name in SYNTAX]
    for running in owners:
        moment = running.status()["now"]
        wait_for(lambda r=running, m=moment: read_since(r.status(), m), "every router was read again")
    assert (commits(first.status()), commits(second.status())) == calm
    assert [first.site.config(name).read_text() for name in SYNTAX] == texts
    assert calm[1] == written == dict.fromkeys(SYNTAX, 0)


def test_what_the_first_one_gives_up_the_second_one_takes_once(owners: tuple[Running, Running]) -> None:
    first, second = owners
    first.start()
    first.until(in_sync, "the first one has its routes")
    second.start()
    second.until(lambda d: d["ready"] and all(r["conflicts"] for r in d["routers"]), "the second one conflicts")
    first.stop()
    first.site.settings(services={"aggregate": False, "cluster_ips": "none", "external_ips": {"cidrs": []}})
    first.site.settings(guards={"max_withdrawn_fraction": 1}, pod_cidrs=True)
    first.start()
    wait_for(
        lambda: all(found.get("10.96.0.0/12") == frozenset({4202}) for found in tags(first).values()),
        "the second one has it",
        120,
    )
    first.until(in_sync, "the first one is calm")
    second.until(in_sync, "the second one is calm")
    first.stop()
    first.site.settings(services={}, pod_cidrs=False)
    first.start()
    document = first.until(
        lambda d: d["ready"] and all(r["conflicts"] for r in d["routers"]), "now the first conflicts"
    )
    conflicts = {conflict["prefix"] for router in document["routers"] for conflict in router["conflicts"]}
    assert "10.96.0.0/12" in conflicts
    assert all(found["10.96.0.0/12"] == {4202} for found in tags(first).values())

"""Every guard in a daemon: it holds what trips it and says so, and what just does not trip it is done.

The cases are those of `tests/cli/test_guards.py`. Nobody overrides a guard in a daemon.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.core.guards import GUARDS
from tests.cli import test_guards as single
from tests.daemon.running import Running, in_sync, rewrite, routers
from tests.routers.vendors.device import DeviceOf
from tests.site import Site, new_site
from tests.world.emulators.ios import Ios

pytestmark = pytest.mark.slow


def changes_of_one_router(less: int) -> single.Step:
    def step(site: Site) -> None:
        single.lose_node2(site)
        site.settings(guards=single.ANY_LOSS)
        router = site.run_here("plan", "--format", "json").json()["routers"][0]
        single.guards(max_changes=len(router["changes"]) - less)(site)

    return step


def broken(site: Site) -> None:
    single.lose_node2(site)
    (site.folder / "whole.yaml").write_text((site.folder / "cluster.yaml").read_text())
    (site.folder / "cluster.yaml").write_text("kind: [")


CASES = {
    **single.CASES,
    "max-changes": single.Case(changes_of_one_router(1), changes_of_one_router(0)),
    # Of a cluster that was never seen no node is eligible, either.
    "not-synced": single.Case(broken, single.lose_node2, along=("empty-desired",)),
}


def test_none_is_left_out() -> None:
    # A router whose own diff shows foreign lines fails there: tests/routers/test_standing_vendors.py.
    assert set(CASES) | {"foreign-lines"} == set(GUARDS)


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    case = CASES[request.getfixturevalue("guard")]
    site = new_site(tmp_path)
    site.settings(guards=single.ANY_LOSS)
    case.prepare(site)
    if case.synced:
        assert site.run_here("apply", "--yes").code in (0, 3)
    made = Running(site)
    yield made
    made.kill()


def guards(document: dict[str, Any]) -> set[str]:
    trips = [*document["holds"], *(trip for router in document["routers"] for trip in router["guards"])]
    return {trip["guard"] for trip in trips}


def tripped(running: Running, guard: str) -> float:
    """What the metric of the guard counts."""
    (line,) = (
        line
        for line in running.page("/metrics")[1].splitlines()
        if line.startswith(f'k8s_ecmp_guard_tripped{{reason="{guard}"}} ')
    )
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("guard", CASES)
def test_it_holds(running: Running, guard: str) -> None:
    CASES[guard].trips(running.site)
    before = single.configs(running.site)
    running.start()
    seen = guard != "not-synced"  # before the cluster is, that holds and no node is eligible
    document = running.until(lambda d: d["synced"] is seen and guard in guards(d), "it holds")
    assert guards(document) <= {guard, *CASES[guard].along}
    assert tripped(running, guard) >= 1
    if guard == "not-synced":
        running.until(lambda d: not d["ready"], "it is not ready")
        (running.site.folder / "whole.yaml").rename(running.site.folder / "cluster.yaml")
        running.until(in_sync, "it goes on")
    elif guard != "last-next-hop":  # which holds a prefix alone
        running.until(lambda d: d["ready"] and {r["state"] for r in d["routers"]} == {"held"}, "all is held")
        assert single.configs(running.site) == before


@pytest.mark.parametrize("guard", CASES)
def test_it_just_does_not_hold(running: Running, guard: str) -> None:
    CASES[guard].just_not(running.site)
    before = single.configs(running.site)
    running.start()
    document = running.until(lambda d: d["ready"] and any(r["commits"] for r in d["routers"]), "it was done")
    assert guard not in guards(document)
    assert single.configs(running.site) != before


def test_what_is_in_force_counts_though_it_could_not_be_saved(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    with Ios(tmp_path / "device") as device:
        site = DeviceOf(new_site(tmp_path / "site"), device).site
        site.settings(
            services={"cluster_ips": "none"},
            guards={"max_withdrawn_fraction": 0.5, "max_not_ready_fraction": 1, "window_s": 3600},
            nodes={"hold_down_s": 0, "hold_up_s": 0},
        )
        running = Running(site)

        def nodes(number: int) -> None:
            def change() -> None:
                single.with_nodes(number)(site)
                path = site.folder / "cluster.yaml"
                path.write_text(path.read_text().replace("10.192.1.", "10.192.0."))  # a subnet of the router

            rewrite(site, change)

        def carries(number: int) -> Callable[[dict[str, Any]], bool]:
            return lambda document: in_sync(document) and document["routers"][0]["owned_hops"] == number

        try:
            nodes(8)
            assert site.run_here("apply", "--yes").code == 0
            running.start()
            running.until(carries(8), "all is written", 180)
            device.nvram_busy = True
            nodes(5)
            (router,) = running.until(carries(5), "three nodes are gone", 180)["routers"]
            assert router["failures"]
            assert router["error"] is None
            assert "in force" in router["warnings"][0]
            assert not device.saved()
            nodes(3)
            document = running.until(lambda d: routers(d) == {"r1": "held"}, "too many are gone by now", 180)
            assert guards(document) == {"mass-withdrawal"}
            assert "of 8 owned next hops" in document["routers"][0]["guards"][0]["detail"]
            device.nvram_busy = False
            nodes(6)
            (router,) = running.until(carries(6), "one is there again", 180)["routers"]
            assert router["warnings"] == []
            assert device.saved()
        finally:
            running.kill()

"""Every guard: what trips it, what just does not, and that its override stands in plan, report and journal.

Each case is a site that is in sync, then something that trips the guard, and the least less that does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.core.guards import GUARDS
from k8s_ecmp.journal import Journal
from k8s_ecmp.platforms import get_platform
from tests.routers.vendors.device import Device
from tests.site import Site, new_site
from tests.world.emulators import emulator

pytestmark = pytest.mark.slow

WIDEST = get_platform("ios").capabilities.max_paths
ANY_LOSS = {"max_withdrawn_fraction": 1, "max_not_ready_fraction": 1}
Step = Callable[[Site], None]


@dataclass(frozen=True)
class Case:
    trips: Step
    just_not: Step
    prepare: Step = lambda site: None
    synced: bool = True
    along: tuple[str, ...] = ()
    """Others that trip with it."""


def guards(**values: Any) -> Step:
    return lambda site: site.settings(guards={**ANY_LOSS, **values})


def lose_node2(site: Site) -> None:
    site.not_ready("node2")


def withdrawn(site: Site) -> float:
    """The larger share of owned prefixes or hops that a router would lose."""
    site.settings(guards=ANY_LOSS)
    shares = []
    for router in site.run_here("plan", "--format", "json").json()["routers"]:
        verified = [line for line in site.config(router["name"]).read_text().splitlines() if "4201" in line]
        lost = sum(len(change["remove"]) - len(change["add"]) for change in router["changes"])
        shares.append(lost / len(verified))
    assert len(set(shares)) == 1
    return shares[0]


def narrow_router(site: Site) -> None:
    """One IOS router, whose platform takes fewer next hops than others."""
    hosts = {
        "edge1": {
            "platform": "file",
            "connection_options": {"napalm": {"extras": {"optional_args": {"syntax": "ios", "path": "ios.cfg"}}}},
        }
    }
    site.hosts(**hosts)
    (site.folder / "ios.cfg").write_text("version 16.9\nhostname edge1\n!\nend\n")
    site.settings(services={"cluster_ips": "none"})


def with_nodes(number: int) -> Step:
    def edit(site: Site) -> None:
        def change(cluster: Any) -> None:
            node = yaml.safe_dump(next(item for item in cluster["items"] if item["kind"] == "Node"))
            cluster["items"] = [item for item in cluster["items"] if item["kind"] != "Node"]
            for count in range(1, number + 1):
                made = yaml.safe_load(node)
                made["metadata"]["name"] = f"node{count}"
                made["spec"] = {}
                made["status"]["addresses"] = [{"type": "InternalIP", "address": f"10.192.1.{count}"}]
                cluster["items"].append(made)

        site.edit("cluster.yaml", change)

    return edit


def select(label: str) -> Step:
    return lambda site: site.settings(nodes={"selector": label})


def frozen(site: Site) -> None:
    (site.folder / "frozen").write_text("audit week\n")


def changes(less: int) -> Step:
    """As many as there would be, less so many, are allowed."""

    def step(site: Site) -> None:
        lose_node2(site)
        site.settings(guards=ANY_LOSS)
        summary = site.run_here("plan", "--format", "json").json()["summary"]
        guards(max_changes=summary["create"] + summary["update"] + summary["delete"] - less)(site)

    return step


def all_loses(share: Callable[[float], float]) -> Step:
    def step(site: Site) -> None:
        lose_node2(site)
        guards(max_withdrawn_fraction=share(withdrawn(site)))(site)

    return step


def both(*steps: Step) -> Step:
    def step(site: Site) -> None:
        for one in steps:
            one(site)

    return step


CASES = {
    "empty-desired": Case(
        select("kubernetes.io/hostname=nobody"), select("kubernetes.io/hostname=node1"), along=("last-next-hop",)
    ),
    "mass-withdrawal": Case(all_loses(lambda share: share - 1e-6), all_loses(lambda share: share)),
    # The endpoints of shop/web, whose traffic policy is Local, are on node1 and node2.
    "last-next-hop": Case(select("kubernetes.io/hostname=node3"), select("kubernetes.io/hostname in (node2, node3)")),
    "panic": Case(
        both(lose_node2, guards(max_not_ready_fraction=1 / 3 - 1e-6)),
        both(lose_node2, guards(max_not_ready_fraction=1 / 3)),
    ),
    "platform-limit": Case(with_nodes(WIDEST + 1), with_nodes(WIDEST), narrow_router, synced=False),
    "max-changes": Case(changes(1), changes(0)),
    "frozen": Case(
        both(lose_node2, guards(freeze_file="frozen"), frozen),
        both(lose_node2, guards(freeze_file="frozen")),
    ),
}
ELSEWHERE = {
    "not-synced": "tests/daemon/test_guards.py: a single run has no watch that could be out of order",
    "foreign-lines": "below: only a router with a diff of its own can show such",
}


def test_none_is_left_out() -> None:
    assert set(CASES) | set(ELSEWHERE) == set(GUARDS)


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    case = CASES[request.getfixturevalue("guard")]
    site = new_site(tmp_path)
    site.settings(guards=ANY_LOSS)
    case.prepare(site)
    if case.synced:
        assert site.run_here("apply", "--yes").code in (0, 3)
    return site


def configs(site: Site) -> dict[str, str]:
    return {path.name: path.read_text() for path in site.folder.rglob("*.cfg")}


def tripped(site: Site, *arguments: str) -> set[str]:
    done = site.run_here("plan", "--format", "json", *arguments)
    return {trip["guard"] for trip in done.json()["guards"]}


@pytest.mark.parametrize("guard", CASES)
def test_it_trips_and_holds(site: Site, guard: str) -> None:
    CASES[guard].trips(site)
    assert tripped(site) - set(CASES[guard].along) == {guard}
    before = configs(site)
    done = site.run_here("apply", "--yes")
    assert done.code == 3, done.out
    assert f"--override {guard}" in done.out
    held_alone = guard == "last-next-hop"  # it holds a prefix, the others go on
    assert configs(site) == before or held_alone


@pytest.mark.parametrize("guard", CASES)
def test_it_just_does_not_trip(site: Site, guard: str) -> None:
    CASES[guard].just_not(site)
    assert guard not in tripped(site)
    before = configs(site)
    assert site.run_here("apply", "--yes").code in (0, 3)
    assert configs(site) != before


@pytest.mark.parametrize("guard", CASES)
def test_its_override_stands_in_plan_report_and_journal(site: Site, guard: str) -> None:
    case = CASES[guard]
    case.trips(site)
    names = sorted({guard, *case.along})
    options = [word for name in names for word in ("--override", name)]
    document = site.run_here("plan", "--format", "json", *options).json()
    assert document["overrides"] == names
    assert {trip["guard"] for trip in document["guards"]} == set()
    before = configs(site)
    done = site.run_here("apply", "--yes", *options)
    assert done.code in (0, 3), done.out
    assert configs(site) != before
    said = f"Overridden for this plan: guard{'s' if len(names) > 1 else ''} {', '.join(names)}."
    assert done.out.count(said) == 2, "the plan says it, and the report"
    with Journal(site.folder / "journal.sqlite") as journal:
        entry = journal.entries(kinds=["override"])[-1]
        assert entry.body["guards"] == names
        assert {other.kind for other in journal.entries(run=entry.run)} == {"plan", "override", "begin", "result"}


@pytest.mark.parametrize("guard", ["max-changes"])
def test_an_override_in_a_reviewed_file_counts_and_is_kept(site: Site, guard: str) -> None:
    CASES[guard].trips(site)
    path = str(site.folder / "a.plan")
    assert site.run_here("plan", "--out", path).code == 3
    assert site.run_here("apply", path).code == 3
    assert site.run_here("plan", "--out", path, "--override", guard).code in (2, 3)
    assert site.run_here("apply", path).code in (0, 3)
    with Journal(site.folder / "journal.sqlite") as journal:
        assert journal.entries(kinds=["override"])[-1].body["guards"] == [guard]


@pytest.mark.parametrize("guard", ["max-changes"])
def test_a_limit_that_came_after_the_file_holds_it(site: Site, guard: str) -> None:
    lose_node2(site)
    path = str(site.folder / "a.plan")
    site.run_here("plan", "--out", path)
    CASES[guard].trips(site)
    before = configs(site)
    assert site.run_here("apply", path).code == 3
    assert configs(site) == before
    assert site.run_here("apply", path, "--override", guard).code in (0, 3)
    assert configs(site) != before


# --- foreign-lines


FOREIGN = "ip route 10.8.0.0/16 10.192.0.9"


@pytest.fixture
def router(tmp_path: Path) -> Any:
    (tmp_path / "device").mkdir()
    with emulator("eos")(tmp_path / "device") as device:
        yield Device(new_site(tmp_path / "site"), device)


def typed_beside(router: Device) -> None:
    """Somebody types a line when our session has been opened and its diff has not been asked for."""

    def look() -> None:
        if router.device.transcript[-1:] and router.device.transcript[-1].startswith("configure session"):
            router.device.watchers.remove(look)
            router.device.type(FOREIGN)

    router.device.watchers.append(look)


def test_foreign_lines_trip_and_a_session_without_them_does_not(router: Device) -> None:
    typed_beside(router)
    done = router.apply()
    assert done.code == 3, done.out
    assert "the router's own diff shows what the plan does not" in " ".join(done.out.split())
    assert router.ours().keys() == {("default", "10.8.0.0/16")}
    assert router.apply().code in (0, 3)
    assert ("default", "10.96.0.0/12") in router.ours()


def test_the_override_of_foreign_lines_is_recorded(router: Device) -> None:
    typed_beside(router)
    done = router.run("apply", "--yes", "--override", "foreign-lines")
    assert ("default", "10.96.0.0/12") in router.ours(), done.out
    assert "Overridden for this plan: guard foreign-lines." in done.out
    with Journal(router.site.folder / "journal.sqlite") as journal:
        assert journal.entries(kinds=["override"])[-1].body["guards"] == ["foreign-lines"]

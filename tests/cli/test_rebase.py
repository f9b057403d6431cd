"""`apply FILE.plan --rebase`, and what a stale plan says."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.site import Site

pytestmark = pytest.mark.slow


@pytest.fixture
def plan(site: Site) -> str:
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path).code == 2
    return path


def configs(site: Site) -> dict[str, str]:
    return {name: site.config(name).read_text() for name in ("edge1", "edge2")}


def test_when_nothing_moved_the_plans_are_the_same(site: Site, plan: str) -> None:
    done = site.run_here("apply", plan, "--rebase")
    assert (done.code, done.err) == (0, "")
    assert "The plans are the same but for their times." in done.out


def test_what_the_cluster_and_the_routers_changed_is_shown_and_nothing_applied(site: Site, plan: str) -> None:
    site.not_ready("node2")
    config = site.config("edge1")
    config.write_text(config.read_text().replace("ip route 172", "ip route 10.97.10.1/32 192.0.2.77\nip route 172"))
    before = configs(site)
    new = site.folder / "new.plan"
    done = site.run_here("apply", plan, "--rebase", "--out", str(new))
    assert done.code == 2, done.err
    assert configs(site) == before
    first, second = done.out.split("\nedge2\n")
    assert "- only the old plan: create 10.97.10.1/32; add 10.192.0.1, 10.192.0.2" in first
    assert "+ stops now: conflict 10.97.10.1/32: a route that is not ours: next hop 192.0.2.77 has no tag" in first
    assert "- the old plan: create 10.96.0.0/12; add 10.192.0.1, 10.192.0.2, 10.192.0.3" in second
    assert "+ the new plan: create 10.96.0.0/12; add 10.192.0.1, 10.192.0.3" in second
    assert "Plans differ:" in second
    assert json.loads(new.read_text())["id"] != json.loads(Path(plan).read_text())["id"]
    assert site.run_here("apply", str(new)).code == 3, "with the conflict that it shows"
    assert "10.192.0.3 tag 4201" in site.config("edge1").read_text()


def test_another_order_of_the_routers_is_shown(site: Site) -> None:
    fleet = Fleet(site, 3)
    fleet.rollout(canary=1, parallel=2)
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path).code == 2
    fleet.rollout(canary=1, parallel=1)
    done = site.run_here("apply", path, "--rebase", "--pause", "5")
    assert done.code == 2, done.err
    assert done.out == (
        "Order\n"
        "  ~ rollout.parallel: 2 -> 1\n"
        "  ~ rollout.pause_s: 0.0 -> 5.0\n"
        "  - the old plan, wave 2: r2, r3\n"
        "  + the new plan, wave 2: r2\n"
        "  + the new plan, wave 3: r3\n"
        "\n"
        "Plans differ: how the routers are gone over differs.\n"
    )


def test_a_router_alone_and_one_that_is_gone(site: Site, plan: str) -> None:
    site.not_ready("node2")
    alone = site.run_here("apply", plan, "--rebase", "--router", "edge2")
    assert alone.code == 2
    assert "edge1" not in alone.out
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts.pop("edge1"))
    done = site.run_here("apply", plan, "--rebase")
    assert done.code == 2
    assert "edge1  changes -> not in the new plan" in done.out


def routers_of(path: Path) -> list[str]:
    return [router["name"] for router in json.loads(path.read_text())["routers"]]


def test_a_plan_of_some_routers_becomes_a_plan_of_the_same_ones(site: Site) -> None:
    """One of them in sync, and a third one of the inventory in neither."""
    Fleet(site, 3)
    old, new = site.folder / "some.plan", site.folder / "new.plan"
    assert site.run_here("apply", "--yes", "--router", "r1").code == 0
    assert site.run_here("plan", "--router", "r1", "--router", "r3", "--out", str(old)).code == 2
    same = site.run_here("apply", str(old), "--rebase", "--out", str(new))
    assert same.code == 0, same.out
    assert routers_of(new) == ["r1", "r3"]
    assert (
        f"the new plan is for the routers of {old} alone, which are 2 of the 3 in the inventory; `k8s-ecmp plan` plans "
        "for all\n"
    ) in same.err
    site.not_ready("node2")
    moved = site.run_here("apply", str(old), "--rebase", "--out", str(new))
    assert (moved.code, "r2" in moved.out, routers_of(new)) == (2, False, ["r1", "r3"])


@pytest.mark.parametrize("asked", [("--router", "edge2"), ("--filter", "name=edge2")])
def test_the_command_line_may_ask_for_other_routers(site: Site, asked: tuple[str, str]) -> None:
    old, new = site.folder / "e1.plan", site.folder / "new.plan"
    assert site.run_here("plan", "--router", "edge1", "--out", str(old)).code == 2
    done = site.run_here("apply", str(old), "--rebase", "--out", str(new), *asked)
    assert (done.code, routers_of(new)) == (2, ["edge2"])
    assert "edge1" not in done.out
    assert "alone" not in done.err


def test_routers_that_left_the_inventory_are_named(site: Site, plan: str) -> None:
    new = site.folder / "new.plan"
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts.pop("edge1"))
    done = site.run_here("apply", plan, "--rebase", "--out", str(new))
    assert (done.code, routers_of(new)) == (2, ["edge2"])
    assert "the inventory no longer has edge1: the new plan is without it\n" in done.err
    site.edit("inventories/demo/hosts.yaml", lambda hosts: hosts.update(other=hosts.pop("edge2")))
    new.unlink()
    none = site.run_here("apply", plan, "--rebase", "--out", str(new))
    assert (none.code, none.out, new.exists()) == (3, "", False)
    assert f"the inventory has none of the routers of {plan}: edge1, edge2" in none.err
    assert "`k8s-ecmp plan --out NEW.plan`" in none.err


def test_a_guard_that_stops_the_new_plan_is_a_difference(site: Site, plan: str) -> None:
    site.settings(guards={"freeze_file": "cluster.yaml"})
    done = site.run_here("apply", plan, "--rebase")
    assert done.code == 2
    assert "every router" in done.out
    assert "+ stops now: guard frozen" in done.out
    assert "edge1  changes -> blocked" in done.out


def test_an_expired_plan_can_be_rebased_an_edited_one_not(site: Site) -> None:
    path = site.folder / "old.plan"
    assert site.run_here("plan", "--out", str(path)).code == 2
    _make_expired(path)
    refused = site.run_here("apply", str(path))
    assert (refused.code, "expired" in refused.err, "--rebase" in refused.err) == (3, True, True)
    assert site.run_here("apply", str(path), "--rebase").code == 0
    path.write_text(path.read_text().replace("10.192.0.3", "10.192.0.4"))
    assert site.run_here("apply", str(path), "--rebase").code == 3


def _make_expired(path: Path) -> None:
    """A plan of long ago, with the hash that belongs to it."""
    document = json.loads(path.read_text())
    document |= {"created": "2026-01-10T08:00:00Z", "expires": "2026-01-10T09:00:00Z"}
    del document["id"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    document["id"] = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document))


def test_a_router_that_cannot_be_read_is_an_error(site: Site, plan: str) -> None:
    site.config("edge1").unlink()
    done = site.run_here("apply", plan, "--rebase")
    assert done.code == 1
    assert "edge1  changes -> failed" in done.out


def test_a_stale_plan_says_which_routes_moved_and_names_the_remedy(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    site.not_ready("node2")
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path, "--override", "mass-withdrawal").code == 2
    config = site.config("edge1")
    lines = [line for line in config.read_text().splitlines(keepends=True) if "10.96.0.0/12 10.192.0.3" not in line]
    config.write_text("".join(lines))
    before = configs(site)
    done = site.run_here("apply", path, "--override", "mass-withdrawal")
    assert done.code == 3
    assert (
        "the routes on edge1 are not those that the plan was made for: "
        "10.96.0.0/12: 10.192.0.1, 10.192.0.3, 10.192.0.2 -> 10.192.0.1, 10.192.0.2"
    ) in done.err
    assert "edge2" not in done.err
    assert "--rebase" in done.err
    assert configs(site) == before


def test_a_stale_plan_whose_own_prefixes_did_not_move_says_that(site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 0
    config = site.config("edge1")
    whole = config.read_text()
    config.write_text("".join(line for line in whole.splitlines(keepends=True) if "10.97.10.1/32" not in line))
    path = str(site.folder / "today.plan")
    assert site.run_here("plan", "--out", path).code == 2
    gone = ("198.51.100", "10.97.10.1/32")
    config.write_text("".join(line for line in whole.splitlines(keepends=True) if not any(p in line for p in gone)))
    done = site.run_here("apply", path)
    assert done.code == 3
    assert "either another route of ours has changed, or another attribute" in " ".join(done.err.split())

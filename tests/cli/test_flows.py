"""Flows at risk in the plans that the command prints: a node leaves an FRR and an EOS router."""

from typing import Any

import pytest

from tests.site import Site

RESILIENT = "ip hardware fib ecmp resilience 10.96.0.0/12 capacity 8 redundancy 4\n!\nend\n"


@pytest.fixture
def leaving(site: Site) -> Site:
    """Every router has every route, and a node is about to leave."""
    assert site.run_here("apply", "--yes").code in (0, 3)
    site.not_ready("node3")
    return site


def flows(site: Site) -> dict[str, Any]:
    """By router and prefix."""
    routers = site.run_here("plan", "--format", "json").json()["routers"]
    for router in routers:
        changed = {change["prefix"] for change in router["changes"] if change["action"] == "update"}
        assert {shift["prefix"] for shift in router["flows"]["prefixes"]} == changed
        assert "10.96.0.0/12" in changed
    return {router["name"]: {shift["prefix"]: shift for shift in router["flows"]["prefixes"]} for router in routers}


def moved(shift: dict[str, Any]) -> tuple[float, float, bool]:
    return shift["moved_min"], shift["moved_max"], shift["resilient"]


def test_each_platform_hashes_in_its_own_way(leaving: Site) -> None:
    found = flows(leaving)
    assert moved(found["edge1"]["10.96.0.0/12"]) == (0.3333, 0.5, False)
    assert moved(found["edge2"]["10.96.0.0/12"]) == (0.6667, 0.6667, False)
    shown = leaving.run_here("plan").out
    assert "about 33 to 50 % of their existing connections move to another node; resilient hashing: none" in shown
    assert (
        "about 67 % of their existing connections move to another node (with resilient hashing 33 %); resilient hashing: not configured"
        in shown
    )


def test_resilient_hashing_in_the_running_configuration_is_found(leaving: Site) -> None:
    config = leaving.config("edge2")
    config.write_text(config.read_text().replace("end\n", RESILIENT))
    found = flows(leaving)["edge2"]
    assert moved(found["10.96.0.0/12"]) == (0.3333, 0.3333, True)
    assert moved(found["fd96::/108"]) == (0.6667, 0.6667, False)
    assert "resilient hashing: configured for 1 of 3 prefixes" in leaving.run_here("plan").out


def test_routers_whose_prefixes_only_gain_next_hops_are_named_too(site: Site) -> None:
    site.not_ready("node2")
    assert site.run_here("apply", "--yes").code == 0
    site.node("node2", lambda item: item["status"]["conditions"][1].update(status="True"))
    shown = " ".join(site.run_here("plan").out.split())
    assert "edge1: 6 prefixes gain next hops: about 33 to 50 % of their existing connections move" in shown
    assert "edge2: 6 prefixes gain next hops: about 50 to 67 % of their existing connections move" in shown


def test_the_way_back_has_its_flows_too_and_those_that_a_range_takes_over(site: Site) -> None:
    """What leaves with a host route goes by the range around it, which stays as it is."""
    assert site.run_here("apply", "--yes").code == 0
    plan = site.run_here("history", "undo", "2", "--override", "empty-desired", "--override", "mass-withdrawal")
    assert "7 prefixes lose their last next hop" in plan.out, "range and all"
    drop = {"cluster_ips": "none", "external_ips": {"cidrs": ["198.51.100.0/28"], "host_routes": "none"}}
    site.edit("k8s-ecmp.yaml", lambda content: content["services"].update(drop))
    (edge1, _) = site.run_here("plan", "--format", "json").json()["routers"]
    found = {shift["prefix"]: shift["covering"] for shift in edge1["flows"]["prefixes"]}
    assert found["198.51.100.10/32"] == "198.51.100.0/28"
    assert found["10.97.10.1/32"] == "10.96.0.0/12"


def test_a_plan_that_moves_no_flow_says_nothing_of_them(site: Site) -> None:
    done = site.run_here("plan")
    assert done.code == 2
    assert "Flows at risk" not in done.out
    assert all(router["flows"] is None for router in site.run_here("plan", "--format", "json").json()["routers"])

"""A plan that changes nothing but an attribute of hops, and whose process is killed: report, journal and router agree."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.routers import AFTER_COMMIT, BEFORE_COMMIT
from tests.faults.stepped import Stepped
from tests.site import Site, new_site

ATTRIBUTES = [{"bfd": True}, {"distance": 77}]


def outcomes(site: Site) -> list[str]:
    return [row["outcome"] for row in site.run_here("history", "--format", "json").json()["entries"]]


@pytest.fixture(params=ATTRIBUTES, ids=["bfd", "distance"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """One router that has its routes, and a reviewed plan that changes an attribute of their hops."""
    site = new_site(tmp_path / "site")
    options = {"syntax": "frr", "path": str(site.config("edge1"))}
    host: dict[str, Any] = {
        "platform": "file",
        "connection_options": {"napalm": {"extras": {"optional_args": options}}},
    }
    site.hosts(r1=host)
    assert site.run_here("apply", "--yes").code == 0
    site.hosts(r1=host | {"data": {"k8s_ecmp": request.param}})
    planned = site.run_here("plan", "--out", str(site.folder / "reviewed.plan"))
    assert planned.code == 2, planned.out + planned.err
    return site


@pytest.mark.parametrize("step", [BEFORE_COMMIT, AFTER_COMMIT])
def test_a_killed_run_is_resumed_where_its_change_is_not_in_force(site: Site, tmp_path: Path, step: str) -> None:
    plan = str(site.folder / "reviewed.plan")
    old = site.config("edge1").read_text()
    with Stepped(["--config", str(site.folder / "k8s-ecmp.yaml"), "apply", plan], tmp_path) as run:
        run.until(step)
    left = site.config("edge1").read_text()
    committed = step == AFTER_COMMIT
    assert (left != old) == committed
    assert outcomes(site) == ["committed", "died"]
    resumed = site.run_here("apply", plan, "--resume")
    assert resumed.code == 0, resumed.out + resumed.err
    assert ("all of its change is in force" in resumed.err) == committed
    assert ("nothing of it is in force" in resumed.err) == (not committed)
    assert ("r1: left out" in resumed.err) == committed
    assert outcomes(site) == (["committed", "committed"] if committed else ["committed", "rolled-back", "committed"])
    assert site.config("edge1").read_text() != old
    assert not committed or site.config("edge1").read_text() == left
    assert site.run_here("plan").code == 0

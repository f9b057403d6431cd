"""A freeze that comes after the plan: it stops a rollout that is under way."""

import pytest

from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.rollout import roll_out
from k8s_ecmp.routers.tasks import plan_routes
from k8s_ecmp.runs import assemble, observe
from k8s_ecmp.settings import load_settings
from tests.site import Site, ended, read_until

pytestmark = pytest.mark.slow


def test_a_freeze_stops_a_rollout_that_is_under_way_and_resume_goes_on(site: Site) -> None:
    switch = site.folder / "FREEZE"
    site.settings(guards={"freeze_file": str(switch)}, rollout={"canary": 1, "pause_s": 30})
    path = str(site.folder / "today.plan")
    assert site.run("plan", "--out", path, "--override", "frozen").code == 2, "that was for a freeze of then"
    before = site.config("edge2").read_text()
    with site.begun("apply", path, "--pause", "5") as process:
        read_until(process, "pause of 5 s")
        switch.write_text("audit until Friday\n")
        done = ended(process)
    assert done.code == 3, done.out + done.err
    assert f"the freeze file {switch} exists: audit until Friday" in done.out
    assert f"`k8s-ecmp apply {path} --resume`" in done.out
    assert site.config("edge2").read_text() == before
    assert site.run("apply", path, "--resume").code == 3, "it still is frozen"
    switch.unlink()
    assert site.run("apply", path, "--resume").code == 0
    assert site.config("edge2").read_text() != before


def test_a_freeze_that_comes_while_a_router_is_staged_holds_it(site: Site) -> None:
    asked = iter([None, "the freeze file exists"])  # before the wave, and directly before the commit
    before = site.config("edge1").read_text()
    settings = load_settings(site.folder / "k8s-ecmp.yaml")
    nornir = init_nornir(settings, site.folder).filter(name="edge1")
    intent = observe(settings)
    plan = assemble(intent, nornir.run(task=plan_routes, intent=intent))
    (result,) = roll_out(nornir, settings, plan.routers, frozen=lambda: next(asked))
    assert (result.outcome, result.step, result.error) == ("blocked", "stage", "guard frozen: the freeze file exists")
    assert site.config("edge1").read_text() == before

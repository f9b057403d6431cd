"""The public tasks, used by a script of one's own."""

from pathlib import Path

import msgspec
import pytest

from k8s_ecmp import runs
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.tasks import apply_routes, plan_routes, run
from k8s_ecmp.settings import load_settings
from tests.site import new_site


@pytest.mark.parametrize(("mode", "blocked"), [("full", True), ("observe", False), ("propose", False)])
def test_apply_keeps_to_guards_and_mode_without_the_command_line(tmp_path: Path, mode: str, blocked: bool) -> None:
    site = new_site(tmp_path)
    settings = load_settings(tmp_path / "k8s-ecmp.yaml")
    nornir = init_nornir(settings, tmp_path)
    intent = runs.observe(settings)
    plan = runs.assemble(intent, run(nornir, plan_routes, intent=intent))
    before = site.config("edge1").read_text()
    held = [msgspec.structs.replace(router, status="blocked" if blocked else "changes") for router in plan.routers]
    results = run(nornir, apply_routes, settings=msgspec.structs.replace(settings, mode=mode), plans=held)
    outcomes = {multi[0].result.outcome for multi in results.values()}
    assert outcomes == {"blocked" if blocked else "refused"}
    assert site.config("edge1").read_text() == before
    done = run(nornir, apply_routes, settings=settings, plans=plan.routers)
    assert {multi[0].result.outcome for multi in done.values()} == {"committed"}

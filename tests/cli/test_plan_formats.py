"""`plan` for reviewers: Markdown and one HTML file, with the plan file's own id in them."""

import json

import pytest

from tests.site import Site


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_a_plan_for_reviewers_is_the_plan_of_the_file(site: Site, form: str) -> None:
    path = site.folder / "today.plan"
    done = site.run_here("plan", "--format", form, "--out", str(path))
    assert done.code == 2, done.err
    assert json.loads(path.read_text())["id"] in done.out
    assert "edge1" in done.out
    assert done.out.startswith("<!doctype html>" if form == "html" else "## Route changes for `demo`")


def test_the_drawing_knows_the_nodes(site: Site) -> None:
    done = site.run_here("plan", "--format", "html")
    assert "node2: eligible: Ready for" in done.out

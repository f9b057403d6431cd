"""The capability matrix, on a terminal, as JSON and in the documentation."""

import io
import json
from pathlib import Path

from rich.console import Console

from k8s_ecmp.platforms.drivers import DRIVERS
from k8s_ecmp.views.platforms import markdown, print_platforms
from tests.site import REPO, Site

PAGE = REPO / "docs/platforms/README.md"


def test_the_page_in_the_docs_is_what_the_command_prints():
    """To renew it: k8s-ecmp platforms --format markdown, between the two marks."""
    _, _, rest = PAGE.read_text().partition("<!-- k8s-ecmp platforms --format markdown -->\n")
    assert rest.partition("<!-- end -->")[0] == markdown()


def test_every_driver_has_a_page_of_its_own():
    for driver in DRIVERS.values():
        assert (PAGE.parent / f"{driver.syntax}.md").is_file(), driver.name
        assert f"({driver.syntax}.md)" in PAGE.read_text()


def test_on_a_narrow_terminal_each_platform_is_a_block():
    out = io.StringIO()
    print_platforms(Console(file=out, width=80, force_terminal=True, color_system=None))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for name in DRIVERS:
        assert any(line.startswith(f"{name} ") for line in text.splitlines()), name


def test_the_command(tmp_path: Path):
    site = Site(tmp_path)
    done = site.run_here("platforms", "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert set(found["platforms"]) == set(DRIVERS)
    assert found["platforms"]["junos"]["timer_step_s"] == 60
    lines = site.run_here("platforms").out.splitlines()
    assert lines[0].split()[:3] == ["PLATFORM", "TRANSPORT", "ATOMIC"]
    column = lines[0].index("ATOMIC")
    for line in lines[1 : 1 + len(DRIVERS)]:
        assert line[column - 1 :].split()[0] in ("yes", "no"), line
        assert line[column - 1] == " ", "the columns do not line up"

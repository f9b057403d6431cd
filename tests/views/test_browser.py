"""The page in a real browser without a network: light and dark, wide and narrow."""

import pytest

from k8s_ecmp.views.plan_html import plan_html
from tests.views.browser import browser, missing
from tests.views.hostile import PAYLOADS, plan_with
from tests.views.large import large
from tests.views.plans import EVERYTHING, HELD, NODES
from tests.views.shapes import SEEN, SHAPES

_ABSENT = missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(_ABSENT is not None, reason=str(_ABSENT))]

PAGES = {
    "everything": lambda: plan_html(EVERYTHING, NODES),
    "held": lambda: plan_html(HELD),
    "hostile": lambda: plan_html(*plan_with("".join(PAYLOADS))),
    "large": lambda: plan_html(large(50, 200, alike=False)),
    "wide": lambda: plan_html(SHAPES["wide"], SEEN),
    "long-names": lambda: plan_html(SHAPES["long-names"], SEEN),
}

# Every text against the nearest background behind it; what an SVG draws is in `test_html`.
CONTRAST = """
(() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = colour.slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const owner = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || owner.closest("svg")) continue;
    let back = owner;
    while (back && (numbers(getComputedStyle(back).backgroundColor)[3] ?? 1) === 0) back = back.parentElement;
    const [one, two] = [light(numbers(getComputedStyle(owner).color)),
      back ? light(numbers(getComputedStyle(back).backgroundColor)) : 1].sort((a, b) => b - a);
    if ((one + .05) / (two + .05) < 4.5) weak.push(walker.currentNode.data.trim().slice(0, 40));
  }
  return weak;
})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_it_shows_quietly_and_fits(page, tmp_path, name, scheme, width):
    path = tmp_path / "plan.html"
    path.write_text(PAGES[name]())
    page.open(path, scheme=scheme, width=width)
    assert page.requests == [path.as_uri()]
    assert page.errors == []
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    dark = page.run("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(20, 23, 27)" if scheme == "dark" else "rgb(255, 255, 255)")
    page.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if name != "large":
        assert page.run(CONTRAST) == []


@pytest.mark.parametrize("name", ["everything", "wide", "long-names"])
def test_on_a_phone_changes_and_reasons_are_read_without_scrolling_aside(page, tmp_path, name):
    path = tmp_path / "plan.html"
    path.write_text(PAGES[name]())
    page.open(path, width=390)
    wider = "[...document.querySelectorAll('#changes .scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert page.run("document.querySelectorAll('#changes .scroll').length") > 0
    assert page.run(wider) == 0
    option = "[...document.querySelectorAll('#guards .nowrap')].every(one => one.getClientRects().length === 1)"
    assert page.run(option), "an option stands on one line"


def test_tables_and_drawing_scroll_by_themselves_where_it_is_narrow(page, tmp_path):
    path = tmp_path / "plan.html"
    path.write_text(PAGES["everything"]())
    page.open(path, width=400)
    assert page.run("(one => one.scrollWidth > one.clientWidth)(document.querySelector('figure .scroll'))")
    assert page.run("getComputedStyle(document.querySelector('figure .scroll')).overflowX") == "auto"


def test_parts_open_by_the_keyboard(page, tmp_path):
    path = tmp_path / "plan.html"
    path.write_text(PAGES["large"]())
    page.open(path)
    assert not page.run("document.querySelector('details.group').open")
    page.run("document.querySelector('details.group > summary').focus()")
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert page.run("document.querySelector('details.group').open")


def test_print_shows_what_is_folded(page, tmp_path):
    path = tmp_path / "plan.html"
    path.write_text(PAGES["everything"]())
    page.open(path)
    page.run("document.querySelectorAll('details').forEach(one => { one.open = false })")
    page.call("Emulation.setEmulatedMedia", media="print")
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shown = page.run(
        "[...document.querySelectorAll('pre')].map(one => one.checkVisibility({contentVisibilityAuto: true}))"
    )
    page.call("Emulation.setEmulatedMedia", media="")
    assert shown
    assert all(shown)
    assert page.pdf().startswith(b"%PDF")

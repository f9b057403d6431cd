"""Text, Markdown and page of one plan say the same: read back by facts, and held against the plan and each other."""

import re
from collections.abc import Callable, Mapping

import msgspec
import pytest
from lxml import html
from markdown_it import MarkdownIt

from k8s_ecmp.core.waves import order
from k8s_ecmp.model import Plan
from k8s_ecmp.views.plan_about import PlanFile
from k8s_ecmp.views.plan_html import plan_html
from k8s_ecmp.views.plan_markdown import plan_markdown
from k8s_ecmp.views.plan_text import print_plan
from tests.views.plans import EVERYTHING, HELD, IDENTITY, console_of, printed
from tests.views.shapes import SHAPES

FILE = PlanFile("today.plan", IDENTITY)
Sections = Mapping[str, list[str]]
_SECTIONS = {
    "Routers": "routers",
    "Flows at risk": "flows",
    "Guards": "guards",
    "Guards that hold something": "guards",
    "Held: nothing is written to any router": "guards",
    "Conflicts": "conflicts",
    "Order": "order",
    "How it is undone": "undo",
    "About this plan": "about",
}
PLANS = {
    "everything": EVERYTHING,
    "held": HELD,
    "overridden": msgspec.structs.replace(EVERYTHING, overrides=("panic",)),
}


def plain(text: str) -> str:
    """One line of words, whatever signs the form has for them."""
    text = text.replace("−", "-").replace("＋", "+").replace("→", "->").replace("`", "")
    return " ".join(text.split())


def text_lines(plan: Plan) -> list[str]:
    console = console_of("pipe")
    print_plan(plan, console, file=FILE)
    return printed(console).splitlines()


def of_text(plan: Plan) -> Sections:
    """The lines of each section; it ends with an empty line."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in text_lines(plan):
        if line in _SECTIONS:
            name = _SECTIONS[line]
        elif not line:
            name = ""
        found.setdefault(name, []).append(plain(line))
    return found


def of_markdown(plan: Plan) -> Sections:
    """The paragraphs and items of each section, and all of it under ""."""
    found: dict[str, list[str]] = {"": []}
    name, tokens = "", MarkdownIt("commonmark", {"html": True}).enable("table").parse(plan_markdown(plan, file=FILE))
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            name = _SECTIONS.get(tokens[place + 1].content, "rest")
        elif token.type == "inline" or token.content:
            said = plain(re.sub(r"</?\w+>|\*\*", "", token.content))
            found.setdefault(name, []).append(said)
            found[""].append(said)
    return found


def of_page(plan: Plan) -> Sections:
    """The texts of list items, cells and paragraphs of each section, and all of it under ""."""
    page = html.fromstring(plan_html(plan, file=FILE))
    kinds = "|".join(f"descendant::{kind}" for kind in ("p", "li", "dd", "dt", "h1", "h2", "th", "td", "summary"))
    found: dict[str, list[str]] = {}
    for name in {*_SECTIONS.values()}:
        found[name] = [
            plain(one.text_content()) for part in page.xpath(f"//*[@id='{name}']") for one in part.xpath(kinds)
        ]
    found[""] = [plain(one.text_content()) for one in page.xpath(kinds)]
    return found


FORMS: dict[str, Callable[[Plan], Sections]] = {"text": of_text, "markdown": of_markdown, "page": of_page}
each_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def said(sections: Sections, name: str) -> str:
    return " \n ".join(sections.get(name, ()))


def by_routers(items: list[str], names: set[str]) -> dict[str, str]:
    """Router -> sentence, of items such as "r1, r2: sentence"."""
    found: dict[str, str] = {}
    for item in items:
        who, colon, sentence = item.partition(": ")
        if colon and set(who.split(", ")) <= names:
            found |= dict.fromkeys(who.split(", "), sentence)
    return found


@each_plan
@pytest.mark.parametrize("name", ["flows", "undo"])
def test_each_router_has_the_same_sentence_in_all_three(plan: Plan, name: str) -> None:
    names = {router.name for router in plan.routers}
    text, markdown, page = (by_routers(form(plan).get(name, []), names) for form in FORMS.values())
    assert text == markdown == page
    if plan is EVERYTHING:
        ready = {router.name for router in plan.routers if router.status == "changes"}
        assert text.keys() == (ready if name == "undo" else {r.name for r in plan.routers if r.changes})


@each_form
@each_plan
def test_the_order_is_that_of_the_plan(plan: Plan, form: Callable[[Plan], Sections]) -> None:
    assert plan.rollout is not None
    found = [
        re.sub(r"^wave \d+(?:, canary)?:? ", "", item)
        for item in form(plan).get("order", ())
        if item.startswith("wave ")
    ]
    assert [item.split(", ") for item in found] == order(plan.routers, plan.rollout)


@each_plan
def test_the_rules_of_the_order_are_the_same_in_all_three(plan: Plan) -> None:
    lines = [line for line in of_text(plan).get("order", ()) if line != "Order" and not line.startswith("wave ")]
    assert len(lines) == (0 if plan is HELD else 7)
    for line in lines:
        assert line in said(of_markdown(plan), "order")
        assert line in said(of_page(plan), "order")


@each_form
@each_plan
def test_id_times_and_what_it_was_made_of(plan: Plan, form: Callable[[Plan], Sections]) -> None:
    everything = said(form(plan), "") + said(form(plan), "about")
    assert IDENTITY in everything
    assert "2025-03-01 12:00:00 UTC" in everything
    assert plan.cluster_source in everything
    assert plan.cluster_digest in everything
    assert "2025-03-01 13:00:00 UTC; after that the file is refused" in everything
    assert str(plan.tag) in everything
    for guard in plan.overrides:
        assert guard in everything


@each_form
@each_plan
def test_guards_with_where_what_and_which_prefixes(plan: Plan, form: Callable[[Plan], Sections]) -> None:
    found = said(form(plan), "guards")
    for trip in plan.guards:
        assert plain(trip.detail) in found
        assert trip.guard in found
        assert f"--override {trip.guard}" in found
        assert trip.router is None or trip.router in found
        assert trip.prefix is None or str(trip.prefix) in found
    if plan is EVERYTHING:
        assert "10.96.0.77/32, 10.96.0.78/32, 10.96.0.79/32" in found


@each_form
def test_conflicts_and_what_stands_there_on_the_others(form: Callable[[Plan], Sections]) -> None:
    found = said(form(EVERYTHING), "conflicts")
    assert "10.97.0.1/32 on r1, r6: a route that is not ours: next hop 192.0.2.1 has no tag" in found
    assert "at this prefix on r2, r7: our route" in found
    assert "at this prefix on leaf-12.dc1.example.com, r5, r8, r9: no static route" in found
    assert "at this prefix on r4: not known, it could not be read" in found


@each_form
@each_plan
def test_changes_reasons_errors_and_what_was_left_out(plan: Plan, form: Callable[[Plan], Sections]) -> None:
    everything = said(form(plan), "") + said(form(plan), "routers")
    for router in plan.routers:
        assert router.name in everything
        assert plain(router.error or "") in everything
        for change in router.changes:
            assert str(change.prefix) in everything
            assert all(hop in everything for hop in (*change.add, *change.remove, *change.next_hops))
            assert all(plain(reason) in everything for reason in change.reasons)
    for skip in plan.skipped:
        assert skip.object in everything
        assert plain(skip.reason) in everything


@each_form
def test_what_a_discard_does_and_for_whom(form: Callable[[Plan], Sections]) -> None:
    everything = said(form(EVERYTHING), "")
    assert "traffic is dropped: discard" in everything
    assert "Service shop/web loadBalancerIP: no usable endpoint" in everything


@each_form
def test_bgp_peers_are_told_from_routers_with_static_routes(form: Callable[[Plan], Sections]) -> None:
    beside, alone = said(form(SHAPES["bgp"]), ""), said(form(SHAPES["two"]), "")
    announced = "To BGP peers (platform bgp) our routes are announced; nothing is written into their configuration."
    assert announced in beside
    assert "iff of the announcements" in beside
    assert announced not in alone
    assert "iff of the announcements" not in alone

"""A plan as a page: one file, nothing from elsewhere, readable by everybody, whatever routers and clusters say."""

import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from lxml import html

from k8s_ecmp.core.guards import GUARDS
from k8s_ecmp.model import Prefix, RouteChange, RouterPlan
from k8s_ecmp.views import plan_html as module
from k8s_ecmp.views.page import visible
from k8s_ecmp.views.plan_about import PlanFile
from k8s_ecmp.views.plan_html import plan_html
from k8s_ecmp.views.plan_rows import GUARD_WORDS, STATUS_WORDS, shares
from tests.views.hostile import PAYLOADS, plan_with, texts
from tests.views.large import large
from tests.views.plans import BLOCKED, CALM, DOCUMENTS, EVERYTHING, GOLDEN, HELD, NODES, TWINS, hops, plan_of, verdict

CSS = (Path(module.__file__).parent / "templates/plan.css").read_text()
EMPTY = {"meta", "path", "rect", "img", "br", "link"}


def page_of(plan, nodes=None):
    return html.fromstring(plan_html(plan, nodes or {}))


def words(element) -> str:
    return " ".join(element.text_content().split())


def cells(page, section: str) -> list[list[str]]:
    return [[words(cell) for cell in row] for row in page.xpath(f"//section[@id='{section}']//tbody/tr")]


def test_golden():
    assert DOCUMENTS["everything.html"]() == (GOLDEN / "everything.html").read_text()


# --- safety ------------------------------------------------------------------------------------------------------


def shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """All elements and the names of their attributes, but the lines of diffs."""
    page = html.fromstring(text)
    inside = set(page.xpath("//pre//*"))
    return [(str(one.tag), tuple(sorted(one.attrib))) for one in page.iter() if one not in inside]


@given(texts)
@example("".join(PAYLOADS))
def test_nothing_that_routers_and_clusters_say_is_markup(text):
    hostile = plan_html(*plan_with(text))
    assert shape(hostile) == shape(plan_html(*plan_with("x")))
    assert all(one.isprintable() or one in "\n\t" for one in hostile)
    said = html.fromstring(hostile).text_content()
    assert f"because {visible(text)}" in said


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_payload(payload):
    assert shape(plan_html(*plan_with(payload))) == shape(plan_html(*plan_with("x")))


def test_what_is_not_seen_is_shown():
    assert visible("a\u202eb\x07\udc80\U000e0001\tü") == "a\\u202eb\\x07\\udc80\\U000e0001\tü"


def test_nothing_comes_from_elsewhere():
    text = plan_html(EVERYTHING, NODES)
    page = html.fromstring(text)
    policy = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]
    assert not page.xpath("//script|//link|//img|//iframe|//object|//embed|//form|//@style|//@src")
    assert all(target.startswith("#") for target in page.xpath("//@href"))
    assert not re.search(r"url\(|@import|@font-face|https?:", text)


# --- what it says ------------------------------------------------------------------------------------------------


def test_it_is_a_tidy_document():
    text = plan_html(EVERYTHING, NODES)
    page = html.fromstring(text)
    assert text.startswith("<!doctype html>\n")
    assert page.get("lang") == "en"
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.xpath("//@href")} <= set(ids)
    for name in page.xpath("//@aria-labelledby"):
        assert set(name.split()) <= set(ids)
    opened = Counter(re.findall(r"<([a-z][a-z0-9]*)\b", text))
    closed = Counter(re.findall(r"</([a-z][a-z0-9]*)>", text))
    assert {tag: count for tag, count in opened.items() if tag not in EMPTY} == closed


def test_it_can_be_walked_by_landmarks_headings_and_table_heads():
    page = page_of(EVERYTHING, NODES)
    for landmark in ("header", "main", "nav", "footer"):
        assert len(page.xpath(f"//{landmark}")) == 1
    assert len(page.xpath("//h1")) == 1
    levels = [int(one.tag[1]) for one in page.xpath("//h1|//h2|//h3")]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.xpath("//table") == page.xpath("//table[thead]")
    assert all(one.get("scope") in ("col", "row", "rowgroup") for one in page.xpath("//th"))
    for scrolled in page.xpath("//*[@tabindex]"):
        assert scrolled.get("role") == "region"
        assert scrolled.get("aria-label") or scrolled.get("aria-labelledby")
    assert page.xpath("//*[contains(@class,'scroll')]") == page.xpath("//*[contains(@class,'scroll')][@tabindex='0']")
    assert all(details[0].tag == "summary" for details in page.xpath("//details"))


def test_the_headline_counts():
    assert words(page_of(EVERYTHING).xpath("//h1")[0]) == "21 route changes on 5 routers"
    assert words(page_of(CALM).xpath("//h1")[0]) == "No changes"
    assert words(page_of(HELD).xpath("//h1")[0]) == "1 route change on 1 router, all held"
    assert words(page_of(plan_of(BLOCKED)).xpath("//h1")[0]) == "3 route changes on 1 router, all held"


def test_every_router_has_its_row_and_every_status_its_words():
    page = page_of(EVERYTHING)
    rows = cells(page, "routers")
    assert rows[0] == ["r1", "frr", "changes", "+2 ~3 −1", "+5 −2", "1"]
    assert any("timed out after 60 s" in row[0] for row in rows)
    legend = words(page.xpath("//ul[@class='legend']")[0])
    assert all(STATUS_WORDS[router.status] in legend for router in EVERYTHING.routers)


def test_same_changes_and_same_diffs_stand_once():
    page = page_of(EVERYTHING)
    heads = [words(one) for one in page.xpath("//details[@class='group']/summary")]
    assert heads == [
        "r1, r2 6 changes each",
        "leaf-12.dc1.example.com 3 changes blocked, these changes are not written",
        "r7 7 changes",
        "r8, r9 1 change each",
    ]
    assert len(page.xpath("//pre")) == 4
    twins = page_of(TWINS)
    assert len(twins.xpath("//pre")) == 1
    assert "predicted by k8s-ecmp: the same as on r1." in words(twins.xpath("//section[@id='changes']")[0])


def test_each_next_hop_has_its_reason():
    causes = [words(one) for one in page_of(EVERYTHING).xpath("//tr[@class='cause']")]
    assert "node n3 is eligible: Ready for 2 min" in causes
    both = "10.0.0.3 joins: node n3 has a usable endpoint10.0.0.9 leaves: node n9 is out: not Ready for 12 s"
    assert both in causes


def test_signs_stand_beside_every_colour():
    page = page_of(EVERYTHING)
    assert all(line.startswith("+") for one in page.xpath("//pre//*[@class='add']") for line in one.text.split("\n"))
    assert all(line.startswith("-") for one in page.xpath("//pre//*[@class='del']") for line in one.text.split("\n"))
    assert all(words(one)[0] == "+" for one in page.xpath("//ins"))
    assert all(words(one)[0] == "−" for one in page.xpath("//del"))
    assert all(words(one) for one in page.xpath("//*[contains(@class,'tag')]"))


def test_guards_and_conflicts_say_what_to_do():
    page = page_of(EVERYTHING)
    guards = words(page.xpath("//section[@id='guards']")[0])
    assert "mass-withdrawal Much would be withdrawn from one router at once." in guards
    assert "plan again with --override last-next-hop" in guards
    assert "10.97.0.1/32 on r1, r6: a route that is not ours" in words(page.xpath("//section[@id='conflicts']")[0])
    assert words(page_of(HELD).xpath("//h2")[0]) == "Held: nothing is written to any router"


def test_the_order_and_the_way_back_are_lists_under_headings_of_their_own():
    page = page_of(EVERYTHING)
    stages = [words(one) for one in page.xpath("//section[@id='order']/ol/li")]
    assert stages == ["wave 1, canary r1", "wave 2 r2, r8, r9", "wave 3 r7"]
    assert "never two of one failure domain: rack-1 is r1, r2, r7." in words(page.xpath("//section[@id='order']")[0])
    undo = [words(one) for one in page.xpath("//section[@id='undo']/ul/li")]
    assert [one.partition(":")[0] for one in undo] == ["r1, r2", "r7", "r8", "r9"]
    assert {"#order", "#undo"} <= set(page.xpath("//nav//@href"))
    assert not page_of(HELD).xpath("//section[@id='order']|//section[@id='undo']")
    assert "#order" not in page_of(HELD).xpath("//nav//@href")


def test_a_conflict_says_what_the_other_routers_have():
    items = [words(one) for one in page_of(EVERYTHING).xpath("//section[@id='conflicts']//li/ul/li")]
    assert items == [
        "at this prefix on r2, r7: our route",
        "at this prefix on leaf-12.dc1.example.com, r5, r8, r9: no static route",
        "at this prefix on r4: not known, it could not be read",
    ]


def test_the_page_says_what_applies_it():
    kept = html.fromstring(plan_html(EVERYTHING, NODES, PlanFile("today.plan", "sha256:1")))
    lead = words(kept.xpath("//header")[0])
    assert "Nothing has been written yet." in lead
    assert "k8s-ecmp apply today.plan makes these changes and no others" in lead
    assert "It refuses the whole file after 2025-03-01 13:00:00 UTC, or if the file was edited" in lead
    assert "sha256:1" in words(kept.xpath("//footer")[0])
    assert "plan --out FILE.plan makes a plan" in words(page_of(EVERYTHING).xpath("//header")[0])
    assert "While guards hold it, applying this plan writes nothing." in words(page_of(HELD).xpath("//header")[0])


def test_a_files_name_is_no_markup():
    text = plan_html(EVERYTHING, NODES, PlanFile('a`b"<img src=x>.plan', "sha256:1"))
    assert shape(text) != []
    assert not html.fromstring(text).xpath("//img")


def test_every_guard_has_words():
    assert set(GUARD_WORDS) == set(GUARDS)


def test_the_drawing_says_in_words_what_it_draws():
    draining = verdict("n2", "10.0.0.2", standing="draining", reason="draining: taint medik8s.io/drain")
    page = page_of(EVERYTHING, {**NODES, "n2": draining})
    svg = page.xpath("//*[local-name()='svg']")[0]
    assert svg.get("role") == "img"
    assert "next hops of 6 routers with changes" in words(svg.xpath("*[local-name()='desc']")[0])
    table = cells(page, "drawing")
    assert ["10.0.0.9", "n9 out: not Ready for 12 s", "r7", "leaves 2 prefixes"] in table
    assert ["10.0.0.2", "n2 draining: taint medik8s.io/drain", "r1, r2", "joins 1 prefix, stays for 1 prefix"] in table
    boxes = [" ".join(box.itertext()) for box in svg.xpath("*[local-name()='g']")]
    assert any("discard" in box and "drops traffic" in box for box in boxes)
    assert any(box.endswith("n9 out: not Ready for 12 s") for box in boxes)


def test_without_nodes_the_drawing_begins_at_the_next_hops():
    page = page_of(EVERYTHING)
    assert [one.text for one in page.xpath("//*[local-name()='text'][@class='column']")] == ["Next hops", "Routers"]
    assert not page_of(CALM, NODES).xpath("//*[local-name()='svg']")


def test_everything_of_the_drawing_is_inside_it():
    for plan in (EVERYTHING, HELD, large(30, 3, alike=False), large(1, 100, alike=True, width=40)):
        svg = page_of(plan, NODES).xpath("//*[local-name()='svg']")[0]
        x, y, width, height = map(float, svg.get("viewbox").split())
        rects = svg.xpath(".//*[local-name()='rect']")
        assert 2 <= len(rects) <= 40
        for rect in rects:
            left, top, wide, high = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
            assert x <= left <= left + wide <= x + width
            assert y <= top <= top + high <= y + height
        places = sorted((float(rect.get("x")), float(rect.get("y"))) for rect in rects)
        assert all(one[0] != two[0] or one[1] + 46 < two[1] for one, two in pairwise(places))


@pytest.mark.slow
def test_what_concerns_most_prefixes_is_drawn_first():
    page = page_of(large(50, 200, alike=True), NODES)
    heads = [one.text for one in page.xpath("//*[local-name()='g']/*[local-name()='text'][@class='mono']")]
    assert "10.9.0.1" in heads


# --- size --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("routers", "changes", "alike"), [(50, 200, False), (1, 10_000, True)])
def test_a_large_plan_is_quick_and_of_moderate_size(routers, changes, alike):
    plan = large(routers, changes, alike=alike)
    began = time.process_time()
    text = plan_html(plan)
    assert time.process_time() - began < 2
    assert len(text) < 2_000_000
    assert re.search(r"… \d+ more changes\. <code>k8s-ecmp plan --format json</code>", text)
    assert re.search(r"… \d+ more lines\. ", text)
    assert f"{routers * changes} route changes on {routers} router" in text
    assert '<details class="group" open>' not in text


def test_short_lists_are_whole_and_long_ones_share_the_room():
    assert shares([5, 100, 100], 65) == [5, 30, 30]
    assert shares([1, 2], 10) == [1, 2]
    assert shares([], 10) == []
    assert shares([7], 0) == [0]


def test_many_next_hops_are_counted():
    before = hops(*(f"10.9.0.{number}" for number in range(1, 65)))
    change = RouteChange("update", "default", Prefix.parse("10.0.0.0/8"), before, (*before, *hops("10.9.1.1")), ())
    text = words(page_of(plan_of(RouterPlan("r1", "frr", "changes", None, (change,)))))
    assert "64 → 65 next hops:" in text
    assert "and 48 more that stay" in text


# --- colours -----------------------------------------------------------------------------------------------------


def palette(dark: bool) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    names = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    assert names[0].keys() == names[1].keys()
    return names[1 if dark else 0]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_enough_for_everybody(dark):
    colours = palette(dark)
    pairs = set()
    for rule in re.findall(r"[^{}]+\{([^{}]*)\}", CSS):
        front = re.findall(r"(?:^|[;\s])(?:color|fill): var\(--([a-z]+)\)", rule)
        back = re.findall(r"background: var\(--([a-z-]+)\)", rule)
        pairs |= {(one, two) for one in front for two in back or ("page", "panel")}
    pairs -= {("panel", "page"), ("panel", "panel")}
    pairs |= {(name, f"{name}-back") for name in ("good", "bad", "warn", "odd", "calm")} | {("muted", "panel")}
    assert len(pairs) > 12
    weak = {pair: ratio for pair in pairs if (ratio := contrast(*(colours[name] for name in pair))) < 4.5}
    assert not weak
    assert all(contrast(colours[name], colours["page"]) >= 3 for name in ("edge", "good", "bad", "warn", "odd", "link"))


def test_no_colour_is_written_beside_the_palette():
    rest = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|hsl", rest)

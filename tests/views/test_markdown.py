"""A plan as Markdown: what forges make of it is what was meant, whatever routers and clusters say."""

import re

import pytest
from hypothesis import example, given
from markdown_it import MarkdownIt
from markdown_it.token import Token

from k8s_ecmp.model import RouterPlan, Skipped
from k8s_ecmp.views.markdown import code, fenced, prose
from k8s_ecmp.views.plan_markdown import MOST_BYTES, plan_markdown
from tests.views.hostile import PAYLOADS, plan_with, texts
from tests.views.large import large
from tests.views.plans import CALM, DOCUMENTS, EVERYTHING, GOLDEN, TWINS, plan_of

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
INLINE = {"text", "code_inline", "strong_open", "strong_close", "softbreak", "html_inline"}
HTML = re.compile(r"</?(?:details|summary|code|sub)>")


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.endswith(".md")])
def test_golden(name):
    assert DOCUMENTS[name]() == (GOLDEN / name).read_text()


def shape(text: str) -> list[tuple[str, int, str]]:
    """The blocks that a forge sees, and the tags of its HTML; within lines only what we write there."""
    found = []
    for token in PARSER.parse(text):
        html = token.content if token.type == "html_block" else ""
        for child in token.children or ():
            assert child.type in INLINE, (child.type, token.content)
            html += child.content if child.type == "html_inline" else ""
        assert not re.sub(HTML, "", html).count("<"), html
        found.append((token.type, token.level, "".join(HTML.findall(html))))
    return found


def seen(text: str) -> str:
    """The text of code spans, fences and HTML."""
    return "\n".join(
        child.content for token in PARSER.parse(text) for child in (token.children or (token,)) if child.content
    )


@given(texts)
@example("".join(PAYLOADS))
def test_nothing_that_routers_and_clusters_say_is_markup(text):
    hostile = plan_markdown(plan_with(text)[0])
    assert shape(hostile) == shape(plan_markdown(plan_with("x")[0]))
    assert all(one.isprintable() or one == "\n" or one == "\t" for one in hostile)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_payload(payload):
    hostile = plan_markdown(plan_with(payload)[0])
    assert shape(hostile) == shape(plan_markdown(plan_with("x")[0]))
    hostile.encode()


def inline(text: str) -> list[Token]:
    (token,) = PARSER.parseInline(text)
    assert token.children is not None
    return token.children


@given(texts)
def test_a_code_span_is_one_and_says_what_was_said(text):
    tokens = inline(f"a {code(text)} b")
    if code(text) != "-":
        assert [token.type for token in tokens] == ["text", "code_inline", "text"]
    assert "\n" not in code(text)
    assert "|" not in code(text)


@given(texts)
def test_words_that_could_be_markup_are_code(text):
    outside = "".join(t.content for t in inline(f"a {prose(text)}") if t.type != "code_inline")
    assert re.fullmatch(r"[A-Za-z0-9 ,.;:()%'-]*", outside), outside


def test_prose_stays_readable():
    assert prose("node n3 is eligible: Ready for 2 min") == "node `n3` is eligible: Ready for 2 min"
    assert prose("more (75%), see 10.0.0.1.") == "more (75%), see `10.0.0.1`."


def test_a_fence_is_longer_than_what_is_in_it():
    assert fenced(["+ ````", "-x"], "diff") == ["`````diff", "+ ````", "-x", "`````"]


def test_diffs_are_fenced_and_stand_once():
    text = plan_markdown(EVERYTHING)
    fences = [token for token in PARSER.parse(text) if token.type == "fence"]
    assert [fence.info for fence in fences] == ["diff"] * 4
    assert text.count("+ip route 10.96.0.0/12 10.0.0.3") == 3
    twins = plan_markdown(TWINS)
    assert twins.count("+ip route 10.96.0.0/12 10.0.0.3") == 1
    assert "predicted by k8s-ecmp: the same as on `r1`" in twins
    assert text.count("<details>") == text.count("</details>") == 5


def test_each_next_hop_has_its_reason():
    text = plan_markdown(EVERYTHING)
    assert "`10.0.0.3` joins: node `n3` has a usable endpoint; `10.0.0.9` leaves: node `n9` is out" in text


@pytest.mark.slow
@pytest.mark.parametrize(("routers", "changes", "alike"), [(50, 200, False), (1, 10_000, True), (300, 5, False)])
def test_a_large_plan_fits_and_says_where_the_rest_is(routers, changes, alike):
    text = plan_markdown(large(routers, changes, alike=alike))
    assert 10_000 < len(text.encode()) <= MOST_BYTES
    assert re.search(r"… \d+ more changes; `k8s-ecmp plan --format html` and the plan file show all", text)
    assert re.search(r"… \d+ more lines; ", text)
    assert text.count("<details>") == text.count("</details>")
    shape(text)


@pytest.mark.slow
def test_the_largest_texts_fit():
    huge = "`*<" * 30_000
    plan, _ = plan_with(huge)
    routers = tuple(RouterPlan(f"{number}{huge}", huge, "failed", error=f"{number}{huge}") for number in range(300))
    skipped = tuple(Skipped(f"{number}{huge}", huge) for number in range(300))
    text = plan_markdown(plan_of(*plan.routers, *routers, skipped=skipped), 20_000)
    assert len(text.encode()) <= 20_000
    shape(text)


def test_routers_that_need_a_look_come_first_where_not_all_are_shown():
    calm = tuple(RouterPlan(f"r{number}", "frr", "in-sync") for number in range(400))
    text = plan_markdown(plan_of(*calm, RouterPlan("sick", "frr", "failed", error="no answer")))
    assert "| `sick` |" in text
    assert "… 201 more routers; " in text


def test_a_plan_without_changes():
    assert "**No changes: 2 routers in sync.**" in plan_markdown(CALM)
    assert "details" not in plan_markdown(CALM)

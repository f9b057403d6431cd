"""The mode, the policy and the overrides of a plan: what they keep back, and what they mean for its apply."""

import json
from collections.abc import Callable

import msgspec
import pytest
from lxml import html

from k8s_ecmp.model import GuardTrip, Plan, Prefix, RouterPlan, Skipped
from k8s_ecmp.views.document import decode_plan, encode_plan
from k8s_ecmp.views.plan_about import PlanFile, about, written
from k8s_ecmp.views.plan_html import plan_html
from k8s_ecmp.views.plan_markdown import plan_markdown
from k8s_ecmp.views.plan_text import print_plan
from tests.views.plans import BLOCKED, CALM, EVERYTHING, HELD, IDENTITY, console_of, plan_of, printed
from tests.views.test_document import sealed

FILE = PlanFile("a.plan", IDENTITY)


def of_text(plan: Plan) -> str:
    console = console_of("pipe")
    print_plan(plan, console, file=FILE)
    return printed(console)


def of_page(plan: Plan) -> str:
    return str(html.fromstring(plan_html(plan, file=FILE)).text_content())


def of_markdown(plan: Plan) -> str:
    return plan_markdown(plan, file=FILE)


FORMS = pytest.mark.parametrize("form", [of_text, of_markdown, of_page])
Form = Callable[[Plan], str]


def of_terms(**terms: str) -> Plan:
    return msgspec.structs.replace(EVERYTHING, **terms)


def said(form: Form, plan: Plan) -> str:
    """On one line, without the signs for code."""
    return " ".join(form(plan).replace("`", "").split())


@FORMS
@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"mode": "observe"}, "Made in mode observe, under which nothing is ever written to a router."),
        ({"mode": "propose"}, "Made in mode propose, under which plans are made for review"),
        ({"mode": "withdraw-only"}, "Made in mode withdraw-only: routes and next hops are only taken away"),
        ({"policy": "upsert-only"}, "Made with policy upsert-only: no prefix is deleted."),
        ({"policy": "create-only"}, "Made with policy create-only: prefixes are only created"),
    ],
)
def test_an_unusual_mode_or_policy_stands_beside_the_scope(form: Form, terms: dict[str, str], sentence: str) -> None:
    whole = said(form, of_terms(**terms))
    assert 0 < whole.index("every other route stays as it is.") < whole.index(sentence) < whole.index("leaf-12")
    assert "Made in mode" not in said(form, EVERYTHING)
    assert "Made with policy" not in said(form, EVERYTHING)


@FORMS
@pytest.mark.parametrize("mode", ["observe", "propose"])
def test_what_apply_refuses_is_not_promised(form: Form, mode: str) -> None:
    whole = said(form, of_terms(mode=mode))
    assert (
        f"While the settings have mode: {mode}, apply refuses. Under mode: full, k8s-ecmp apply a.plan makes" in whole
    )
    assert f"While the settings have `mode: {mode}`, apply refuses." in about(of_terms(mode=mode)).next_step
    assert written(of_terms(mode=mode), "a.plan") == (
        f"wrote a.plan; apply refuses it while the settings have mode: {mode}"
    )


@FORMS
def test_an_override_that_apply_asks_for_again_is_in_the_command(form: Form) -> None:
    plan = of_terms()
    frozen = msgspec.structs.replace(plan, overrides=("frozen", "panic"))
    assert "k8s-ecmp apply a.plan --override frozen makes these changes" in said(form, frozen)
    assert written(frozen, "a.plan") == "wrote a.plan; apply it with: k8s-ecmp apply a.plan --override frozen"
    panic = msgspec.structs.replace(plan, overrides=("panic",))
    assert "k8s-ecmp apply a.plan makes these changes" in said(form, panic)
    assert written(panic, "a.plan") == "wrote a.plan; apply it with: k8s-ecmp apply a.plan"
    for nothing in (HELD, CALM):
        assert written(nothing, "a.plan") == "wrote a.plan; as it is, applying it writes nothing"


def test_a_file_keeps_them_and_an_older_one_says_nothing() -> None:
    plan = of_terms(mode="withdraw-only", policy="upsert-only")
    read = decode_plan(encode_plan(plan))
    assert (read.mode, read.policy) == ("withdraw-only", "upsert-only")
    document = json.loads(encode_plan(plan))
    del document["mode"], document["policy"]
    for router in document["routers"]:
        del router["withheld"]
    older = decode_plan(sealed(document))
    assert (older.mode, older.policy, older.routers[0].withheld) == (None, None, 0)
    assert "Made in mode" not in of_text(older)


WITHHELD = RouterPlan("r1", "frr", "in-sync", skipped=(Skipped("router r1", "7 changes are withheld"),), withheld=7)


@FORMS
@pytest.mark.parametrize("read", [False, True])
def test_a_router_from_which_changes_are_withheld_is_not_said_to_be_well(form: Form, read: bool) -> None:
    plan = plan_of(WITHHELD, CALM.routers[0], skipped=WITHHELD.skipped)
    whole = said(form, decode_plan(encode_plan(plan)) if read else plan)
    assert "in sync" not in whole
    assert "7 changes withheld" in whole
    if form is not of_page:
        assert "Plan: no changes; 7 changes withheld on 1 router, see Skipped." in whole


WINDOW = "freeze window '0 22 * * 5' (Europe/Berlin) holds for another 2 h; {} is held"


def frozen_of(name: str, creates: int) -> RouterPlan:
    trips = [
        GuardTrip("frozen", name, Prefix.parse(f"10.96.1.{n}/32"), WINDOW.format("create")) for n in range(creates)
    ]
    trips.append(GuardTrip("frozen", name, Prefix.parse("10.96.2.1/32"), WINDOW.format("delete")))
    return RouterPlan(name, "frr", "blocked", guards=tuple(trips))


@FORMS
def test_prefixes_that_a_guard_holds_for_one_reason_share_a_line(form: Form) -> None:
    whole = said(form, plan_of(frozen_of("r1", 200), frozen_of("r2", 200)))
    first = ", ".join(f"10.96.1.{number}/32" for number in range(6))
    assert f"r1, r2: 200 prefixes ({first} and 194 more): {WINDOW.format('create')}" in whole
    assert f"r1, r2: 10.96.2.1/32: {WINDOW.format('delete')}" in whole
    assert whole.count("is held") == 2
    assert "So these prefixes stay as they are; this guard holds nothing else. The plan's JSON names them all." in whole
    few = said(form, plan_of(frozen_of("r1", 3)))
    assert "r1: 3 prefixes (10.96.1.0/32, 10.96.1.1/32, 10.96.1.2/32): freeze window" in few
    assert "names them all" not in few
    assert "So this prefix stays as it is; this guard holds nothing else." in said(form, plan_of(BLOCKED))


def test_a_schedule_is_one_code_span() -> None:
    assert "freeze window `'0 22 * * 5'` (`Europe/Berlin`) holds" in of_markdown(plan_of(frozen_of("r1", 1)))


def test_a_plan_that_is_being_applied_names_the_override_of_apply() -> None:
    plan = plan_of(BLOCKED, holds=(GuardTrip("frozen", None, None, "audit week"),))
    for file, command in ((FILE, "k8s-ecmp apply a.plan"), (None, "k8s-ecmp apply")):
        console = console_of("pipe")
        print_plan(plan, console, file=file, applies=True)
        whole = printed(console)
        assert f"if all is as it should be, `{command} --override frozen`" in whole
        assert f"if all is as it should be, `{command} --override mass-withdrawal`" in whole
        assert "if all is as it should be, plan with --override last-next-hop" in whole, "it is in no plan yet"

"""Each golden case, there and back."""

import pytest

from k8s_ecmp.platforms.edits import apply_edits, split_lines
from tests.platforms.cases import Case, all_cases, table

CASES = all_cases()


def test_every_platform_has_its_cases():
    for name in ("eos", "frr", "ios", "iosxr", "junos", "nxos"):
        assert sum(case.platform_name == name for case in CASES) >= 25, name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_commands(case: Case):
    assert case.platform.render(case.changes, case.running) == case.text("commands.txt")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_commands_lead_to_the_text_after(case: Case):
    edits = case.platform.edits(case.running, case.text("commands.txt"))
    assert apply_edits(case.text("running.cfg"), edits) == case.text("after.cfg")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_text_after_says_what_is_desired(case: Case):
    after = table(case.platform.parse(case.text("after.cfg")))
    wanted = table(case.running) | {key: frozenset(hops) for key, hops in case.desired.items()}
    assert after == {key: hops for key, hops in wanted.items() if hops}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rollback_leads_back(case: Case):
    text = case.text("after.cfg")
    after = case.platform.parse(text)
    commands = case.platform.render([change.inverse() for change in case.changes], after)
    back = case.platform.parse(apply_edits(text, case.platform.edits(after, commands)))
    assert table(back) == table(case.running)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_doing_it_again_changes_nothing(case: Case):
    text = case.text("after.cfg")
    after = case.platform.parse(text)
    adds = "".join(
        line for line in split_lines(case.text("commands.txt")) if not line.lstrip().startswith(("no ", "delete "))
    )
    assert apply_edits(text, case.platform.edits(after, adds)) == text

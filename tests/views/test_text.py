import io
import os
import subprocess
import sys

import msgspec
import pytest
from rich.console import Console

from k8s_ecmp.core.explain import Answer, NodeAnswer, RouterAnswer
from k8s_ecmp.model import CommitResult, NextHop, Prefix, RouteChange, RouterPlan, Skipped
from k8s_ecmp.routers.tasks import VerifyReport
from k8s_ecmp.runs import report_lines
from k8s_ecmp.views.history import HistoryRow, print_history
from k8s_ecmp.views.plan_rows import causes, change_row
from k8s_ecmp.views.text import print_desired, print_plan, print_results, print_verify
from k8s_ecmp.views.why import print_answer
from tests.views.plans import (
    CHANGES,
    DESIRED,
    FULL,
    GOLDEN,
    IDENTITY,
    KEPT,
    MEDIA,
    RESULTS,
    SHOWN,
    SKIPPED,
    STEPS,
    VERIFIED,
    console_of,
    hops,
    plan_of,
    printed,
    shown,
)
from tests.views.shapes import SHAPES, shape_text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((), hops("10.0.0.1", "10.0.0.2"), "is not configured, and should be: 10.0.0.1 10.0.0.2: why"),
        (hops("10.0.0.1"), (), "is configured, and should not be: why"),
        (hops("10.0.0.1"), hops("10.0.0.1", "10.0.0.2"), "lacks 10.0.0.2: why"),
        (hops("10.0.0.1", "10.0.0.2"), hops("10.0.0.2"), "has 10.0.0.1, and should not: why"),
        (hops("10.0.0.1"), hops("10.0.0.2"), "lacks 10.0.0.2; has 10.0.0.1, and should not: why"),
        (hops("10.0.0.1"), hops("10.0.0.1", distance=5), "has its next hops with other attributes: why"),
    ],
)
def test_what_differs_is_said_of_what_is_there(
    before: tuple[NextHop, ...], after: tuple[NextHop, ...], said: str
) -> None:
    change = RouteChange.between("red", Prefix.parse("10.96.0.1/32"), before, after)
    plan = RouterPlan("r1", "frr", "changes", changes=(msgspec.structs.replace(change, reasons=("why",)),))
    lines = report_lines(VerifyReport("r1", plan=plan))
    assert lines == ["drift: 1 difference", f"10.96.0.1/32 vrf red {said}"]


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("name", SHOWN)
def test_golden(name, medium):
    assert shown(name, medium) == (GOLDEN / f"{name}.{medium}.txt").read_text()


@pytest.mark.parametrize("name", SHOWN)
def test_golden_files_have_no_trailing_blanks_and_fit(name):
    for medium in MEDIA:
        lines = (GOLDEN / f"{name}.{medium}.txt").read_text().splitlines()
        assert all(line == line.rstrip() for line in lines)
        assert medium == "pipe" or max(map(len, lines)) <= int(medium)


def test_standard_output_that_is_no_terminal_is_as_a_pipe(capsys):
    print_plan(FULL)
    assert capsys.readouterr().out == (GOLDEN / "plan.pipe.txt").read_text()


def test_a_pipe_needs_no_rich():
    program = (
        "import sys; from k8s_ecmp.views.text import print_desired; print_desired((), ()); print('rich' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "Desired: 0 routes.\nFalse\n"


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def test_every_view_writes_to_standard_output(capsys):
    print_results(RESULTS, identity=IDENTITY, kept=KEPT, steps=STEPS)
    print_verify(VERIFIED)
    print_desired(DESIRED, SKIPPED)
    expected = "".join((GOLDEN / f"{name}.pipe.txt").read_text() for name in ("results", "verify", "desired"))
    assert capsys.readouterr().out == expected


def text_of(plan, console: Console) -> str:
    print_plan(plan, console)
    return printed(console)


def test_colours_say_nothing_that_words_do_not():
    console = console_of("80", colour=True)
    print_plan(FULL, console)
    coloured = printed(console)
    assert "\x1b[32m" in coloured
    plain = coloured
    for code in ("0", "1", "2", "31", "32", "33", "35", "1;31"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == (GOLDEN / "plan.80.txt").read_text()


def test_no_color_is_honoured():
    console = Console(file=io.StringIO(), force_terminal=True, width=80, _environ={"NO_COLOR": "1", "TERM": "xterm"})
    print_plan(FULL, console)
    assert not any(f"\x1b[{code}m" in printed(console) for code in ("31", "32", "33", "35", "1;31"))


def many(count: int) -> RouterPlan:
    prefixes = [Prefix(4, (10 << 24) + number, 32) for number in range(count)]
    changes = tuple(
        RouteChange("update", "default", prefix, hops("10.9.0.1"), hops("10.9.0.1", "10.9.0.2"), ("node n2 is back",))
        for prefix in prefixes
    )
    diff = "".join(f"+ip route {prefix} 10.9.0.2 tag 4201\n" for prefix in prefixes)
    return RouterPlan("r1", "frr", "changes", "sha256:1", changes, diff=diff)


def test_a_terminal_gets_the_beginning_of_a_large_plan_and_how_to_see_it_all():
    text = text_of(plan_of(many(1000)), console_of("80"))
    assert text.count("+ip route") == 200
    assert text.count("~ 10.0.") == 100
    assert "... 800 more lines; `| less`, `--format json` or `--out FILE.plan` shows all" in text
    assert "... 900 more changes; " in text


def test_a_pipe_gets_everything_on_whole_lines():
    text = text_of(plan_of(many(1000)), console_of("pipe"))
    assert text.count("+ip route") == 1000
    assert text.count("~ 10.0.") == 1000
    assert "more" not in text
    assert text.count("node n2 is back") == 1


def test_hops_that_stay_are_counted_on_a_terminal_but_routers_are_compared_by_all_of_them():
    def router(name: str, first: int) -> RouterPlan:
        before = hops(*(f"10.9.0.{first + number}" for number in range(10)))
        change = RouteChange("update", "default", Prefix.parse("10.0.0.0/8"), before, (*before, *hops("10.9.9.9")), ())
        return RouterPlan(name, "frr", "changes", None, (change,))

    text = text_of(plan_of(router("r1", 1), router("r2", 100)), console_of("120"))
    assert text.count("10 -> 11 next hops: 10 stay +10.9.9.9") == 2
    assert "as on r1" not in text
    text = text_of(plan_of(router("r1", 1), router("r2", 1)), console_of("pipe"))
    assert "\nr1, r2\n" in text
    assert "10.9.0.10 +10.9.9.9" in text


def test_device_text_is_neither_markup_nor_control_characters():
    change = RouteChange("create", "default", Prefix.parse("10.0.0.0/8"), (), hops("10.9.0.1"), ("[red]reason[/]",))
    router = RouterPlan("[b]r1", "frr", "changes", None, (change,), diff="+a\x1b[2J[bold]b[/bold]\r\x9b1m\n \tx\n")
    failed = RouterPlan("r2", "frr", "failed", error="[link=x]no\x07[/]")
    for console in (console_of("80"), console_of("80", colour=True), console_of("pipe")):
        text = text_of(plan_of(router, failed), console)
        assert "+a\\x1b[2J[bold]b[/bold]\\x0d\\x9b1m" in text
        assert "    \tx".replace("    ", "     ") in text
        assert "[b]r1" in text
        assert "[red]reason[/]" in text
        assert "[link=x]no\\x07[/]" in text
        assert "\x1b[2J" not in text


def test_a_narrow_terminal_wraps_words_but_never_a_diff_line():
    line = "+ip route 10.96.0.0/12 10.0.0.3 tag 4201 name a-very-long-name-that-goes-on-and-on"
    router = RouterPlan("r1", "frr", "changes", None, CHANGES[:1], diff=line + "\n")
    assert f"    {line}\n" in text_of(plan_of(router), console_of("40"))


def test_many_skipped_objects_with_one_reason_share_a_line_on_a_terminal():
    skipped = tuple(Skipped(f"Service a/s{number}", "headless") for number in range(30))
    text = text_of(plan_of(skipped=skipped), console_of("80"))
    assert "Skipped (30)" in text
    assert "and 24 more: headless" in text
    assert text_of(plan_of(skipped=skipped), console_of("pipe")).count(": headless\n") == 30


def test_empty_lists():
    assert "No changes: 0 routers in sync." in text_of(plan_of(), console_of("80"))
    router = RouterPlan("r1", "frr", "in-sync", "sha256:1", skipped=(Skipped("Service a/b", "its next hops"),))
    said = text_of(plan_of(router), console_of("80"))
    assert "No changes: 1 router in sync; 1 left out for them, see Skipped." in said
    for show in (print_results, print_verify):
        console = console_of("80")
        show((), console)
        assert "no routers." in printed(console)
    console = console_of("80")
    print_desired((), (), console)
    assert printed(console) == "Desired: 0 routes.\n"


def test_a_distance_alone_is_an_update_without_gained_or_lost_hops():
    change = RouteChange(
        "update",
        "default",
        Prefix.parse("10.0.0.0/8"),
        (NextHop(address="10.9.0.1", distance=5),),
        (NextHop(address="10.9.0.1"),),
        ("administrative distance 5 -> default",),
    )
    text = text_of(plan_of(RouterPlan("r1", "frr", "changes", None, (change,))), console_of("pipe"))
    assert "1 -> 1 next hop: 10.9.0.1\n" in text
    assert "+0 -0" in text


def test_the_reason_of_a_hop_that_stays_is_given_to_none_that_moves():
    change = RouteChange(
        "update",
        "default",
        Prefix.parse("10.0.0.0/8"),
        tuple(NextHop(address=f"10.9.0.{number}") for number in (1, 10, 9)),
        (NextHop(address="10.9.0.1", distance=9), NextHop(address="10.9.0.2", distance=9)),
        ("node n2 joined", "node n9 is out", "node n10 is out", "administrative distance default -> 9"),
    )
    (cause,) = causes([change_row(change)])
    assert cause.lines == (
        "10.9.0.2 joins: node n2 joined",
        "10.9.0.9 leaves: node n9 is out",
        "10.9.0.10 leaves: node n10 is out",
        "administrative distance default -> 9",
    )
    (cause,) = causes([change_row(msgspec.structs.replace(change, reasons=("node n9 is out", *change.reasons[2:])))])
    assert cause.lines == ("node n9 is out", *change.reasons[2:])


def test_a_result_with_a_refusal_says_why():
    console = console_of("80")
    print_results((CommitResult("r1", "refused", 0, 0.5, "the routes on r1 are not those of the plan"),), console)
    shown = printed(console)
    assert "r1      refused  -        0.5      -     -\n  the routes on r1 are not those of the plan\n" in shown


@pytest.mark.parametrize("name", SHAPES)
def test_a_terminal_of_80_columns_is_not_overrun_but_by_lines_of_a_router_and_words_that_are_longer(name):
    lines = shape_text(SHAPES[name], "80").splitlines()
    of_routers = {f"    {line}" for router in SHAPES[name].routers for line in router.diff.splitlines()}
    wide = [line for line in lines if len(line) > 80 and line not in of_routers]
    assert all(len(line.split()) == 1 for line in wide), wide


def test_a_name_too_long_for_the_table_stands_above_its_row():
    lines = shape_text(SHAPES["long-names"], "80").splitlines()
    name = SHAPES["long-names"].routers[0].name
    head = lines.index("ROUTER")
    assert lines[head + 1].split() == ["PLATFORM", "STATUS", "PREFIXES", "NEXT", "HOPS", "CONFLICTS"]
    assert lines[head + 2] == name
    assert lines[head + 3].index("nxos_ssh") == lines[head + 1].index("PLATFORM") == 2
    piped = shape_text(SHAPES["long-names"], "pipe").splitlines()
    assert any(line.startswith(f"{name}  nxos_ssh") for line in piped)


ROWS = [
    HistoryRow(
        2, "2026-11-22T03:08:45.9Z", "edge1", "committed", 7, "somebody@a-host process 20733", "CHG-4711", "why", None
    )
]


def test_history_fits_a_narrow_terminal():
    console = console_of("80")
    print_history(ROWS, console)
    assert printed(console).splitlines()[:4] == [
        "ID  WHEN                  ROUTER  OUTCOME    CHANGES",
        "2   2026-11-22 03:08:45Z  edge1   committed  7",
        "    by somebody@a-host process 20733, ticket CHG-4711",
        "    why",
    ]
    pipe = console_of("pipe")
    print_history(ROWS, pipe)
    assert printed(pipe).splitlines()[1].endswith("edge1   committed  7        CHG-4711  somebody@a-host process 20733")


def test_why_is_wrapped_on_a_terminal_and_whole_in_a_pipe():
    nodes = tuple(
        NodeAnswer(f"node-{number}", (f"10.0.0.{number}",) if number < 3 else (), "out: not Ready for 12 s, and " * 3)
        for number in range(1, 5)
    )
    hops = tuple(f"10.0.0.{number}" for number in range(1, 33))
    answer = Answer(
        Prefix.parse("10.96.0.10/32"),
        "routed to 2 nodes as host",
        None,
        None,
        nodes,
        (),
        (RouterAnswer("r1", "red", hops, ("a note",), "nothing"),),
    )
    console, pipe = console_of("80"), console_of("pipe")
    print_answer(answer, console)
    lines = printed(console).splitlines()
    assert max(map(len, lines)) <= 80
    assert "  r1 (VRF red): 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6 and" in lines
    print_answer(answer, pipe)
    assert printed(pipe).splitlines()[3] == f"  node-1  10.0.0.1  {nodes[0].reason}"
    assert f"  r1 (VRF red): {', '.join(hops)}" in printed(pipe).splitlines()
    assert "    runs there: nothing" in lines

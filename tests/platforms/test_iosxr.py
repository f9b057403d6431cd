"""IOS-XR: single lines, blocks, groups, half texts, properties over random tables, and the device's diffs."""

import difflib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_ecmp.errors import ParseError, RenderError
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms.edits import apply_edits, split_lines
from k8s_ecmp.platforms.iosxr import PLATFORM, heads
from tests.platforms.cases import Case, all_cases, table
from tests.platforms.test_properties import changes_between, prefixes

CASES = [case for case in all_cases() if case.platform_name == "iosxr"]
Table = dict[tuple[str, Prefix], frozenset[NextHop]]


def block(*lines: str, family: str = "ipv4", vrf: str | None = None) -> str:
    inner = [f" address-family {family} unicast", *(f"  {line}" for line in lines), " !"]
    if vrf:
        inner = [f" vrf {vrf}", *(f" {line}" for line in inner), " !"]
    return "\n".join(["hostname r1", "router static", *inner, "!", "end", ""])


LINES = [
    ("10.0.0.0/8 10.1.1.1", NextHop("10.1.1.1")),
    ("10.0.0.0 255.0.0.0 10.1.1.1 tag 5", NextHop("10.1.1.1", tag=5)),
    ("10.0.0.0/8 10.1.1.1 20 tag 5", NextHop("10.1.1.1", distance=20, tag=5)),
    ("10.0.0.0/8 10.1.1.1 tag 5 20", NextHop("10.1.1.1", distance=20, tag=5)),
    ("10.0.0.0/8 10.1.1.1 tag 5 description a-b", NextHop("10.1.1.1", tag=5, name="a-b")),
    ("10.0.0.0/8 10.1.1.1 description 20 tag 5 30", NextHop("10.1.1.1", distance=30, tag=5, name="20")),
    ('10.0.0.0/8 10.1.1.1 description "tag 7, ours" tag 5', NextHop("10.1.1.1", tag=5, name="tag 7, ours")),
    ('10.0.0.0/8 10.1.1.1 description "x" tag 5', NextHop("10.1.1.1", tag=5, name="x")),
    ("10.0.0.0/8 Null0 250", NextHop(discard=True, distance=250)),
    ("10.0.0.0/8 GigabitEthernet0/0/0/1", NextHop(interface="GigabitEthernet0/0/0/1")),
    ("10.0.0.0/8 Bundle-Ether1.100 10.1.1.1 5", NextHop("10.1.1.1", "Bundle-Ether1.100", distance=5)),
    ("10.0.0.0/8 MgmtEth0/RP0/CPU0/0 10.1.1.1", NextHop("10.1.1.1", "MgmtEth0/RP0/CPU0/0")),
    ("10.0.0.0/8 tunnel-te12 metric 7", NextHop(interface="tunnel-te12", options=("metric", "7"))),
    ("10.0.0.0/8 vrf blue 10.1.1.1", NextHop("10.1.1.1", vrf="blue")),
    (
        "10.0.0.0/8 vrf blue BVI10 10.1.1.1 vrflabel 124",
        NextHop("10.1.1.1", "BVI10", "blue", options=("vrflabel", "124")),
    ),
    ("10.0.0.0/8 10.1.1.1 permanent", NextHop("10.1.1.1", options=("permanent",))),
    ("10.0.0.0/8 10.1.1.1 track ip_sla_1 9", NextHop("10.1.1.1", distance=9, options=("track", "ip_sla_1"))),
    (
        "10.0.0.0/8 10.1.1.1 bfd fast-detect minimum-interval 100 multiplier 3 tag 5",
        NextHop("10.1.1.1", tag=5, options=("bfd", "fast-detect", "minimum-interval", "100", "multiplier", "3")),
    ),
    *(
        (f"10.0.0.0/8 10.1.1.1 {words}", NextHop("10.1.1.1", distance=200, tag=5, name="n", options=options))
        for options in [
            ("bfd", "fast-detect", "multiplier", "3", "minimum-interval", "50", "track", "t1", "metric", "9")
        ]
        for words in (
            "bfd fast-detect multiplier 3 minimum-interval 50 200 tag 5 description n track t1 metric 9",
            "200 bfd fast-detect multiplier 3 minimum-interval 50 tag 5 description n track t1 metric 9",
            "tag 5 description n bfd fast-detect multiplier 3 minimum-interval 50 track t1 metric 9 200",
            "description n bfd fast-detect multiplier 3 minimum-interval 50 200 track t1 tag 5 metric 9",
        )
    ),
    (
        "10.0.0.0/8 10.1.1.1 bfd fast-detect multihop 10.9.9.9 7",
        NextHop("10.1.1.1", distance=7, options=("bfd", "fast-detect", "multihop", "10.9.9.9")),
    ),
    ("10.0.0.0/8 10.1.1.1 prefer-rib-over-ldp 7", NextHop("10.1.1.1", distance=7, options=("prefer-rib-over-ldp",))),
    ("10.0.0.0/8 10.1.1.1 newword 44 tag 5", NextHop("10.1.1.1", tag=5, options=("newword", "44"))),
    ("10.0.0.0/8 10.1.1.1 tag 5 tag 6", NextHop("10.1.1.1", tag=5, options=("tag", "6"))),
    ("10.0.0.0/8 sr-policy P1 tag 5", NextHop(tag=5, options=("sr-policy", "P1"))),
]


@pytest.mark.parametrize(("line", "hop"), LINES)
def test_hop(line: str, hop: NextHop):
    (route,) = PLATFORM.parse(block(line))
    assert (route.prefix, route.vrf, route.next_hops, route.lines) == (
        Prefix.parse("10.0.0.0/8"),
        "default",
        (hop,),
        (4,),
    )


def test_ipv6_hop_in_a_vrf():
    (route,) = PLATFORM.parse(block("2001:DB8::/32 HundredGigE0/0/0/1 FE80::A", family="ipv6", vrf="red"))
    assert (route.vrf, route.next_hops) == ("red", (NextHop("fe80::a", "HundredGigE0/0/0/1"),))


@pytest.mark.parametrize(
    "text",
    [
        "router static\n address-family ipv4\n  10.0.0.0/8 10.1.1.1\n",
        "router static\n address-family ipv4 uni\n  10.0.0.0/8 10.1.1.1\n",
        "router static\n vrf\n  address-family ipv4 unicast\n",
        "router static\n 10.0.0.0/8 10.1.1.1\n",
        "router static\n vrf red\n  10.0.0.0/8 10.1.1.1\n",
        "router static\n vrfred\n  address-family ipv4 unicast\n   10.0.0.0/8 10.1.1.1\n",
        "router static\n address-family ipv4 unicast\n  vrf red\n   10.0.0.0/8 10.1.1.1\n",
        "banner motd ^C\nhello\nrouter static\n",
        "% Invalid input detected at '^' marker.\n",
        "<html><body>502 Bad Gateway</body></html>",
        "",
    ],
)
def test_what_cannot_be_read_is_not_no_routes(text: str):
    with pytest.raises(ParseError):
        PLATFORM.parse(text)


def test_answer_cut_anywhere_is_refused():
    head = "!! IOS XR Configuration 7.3.2\n!! Last configuration change at Fri Nov 21 09:14:02 2026 by admin\n"
    text = head + block("10.0.0.0/8 10.1.1.1 tag 5")
    assert len(PLATFORM.parse(text)) == 1
    for length in range(len(head), len(text) - len("d\n")):
        with pytest.raises(ParseError):
            PLATFORM.parse(text[:length])


def test_blocks_end_by_indentation_and_closing_marks():
    text = (
        "hostname r1\nrouter static\n address-family ipv4 unicast\n  10.1.0.0/16 10.1.1.1\n vrf red\n"
        "  address-family ipv4 unicast\n   10.2.0.0/16 10.1.1.1\n  address-family ipv6 unicast\n   fd00::/64 fd01::1\n"
        "  !\n !\n vrf blue\n  address-family ipv4 unicast\n   10.3.0.0/16 10.1.1.1\n  !\n !\n"
        " address-family ipv6 unicast\n  fd00::/64 fd01::2\nrouter bgp 1\n address-family ipv4 unicast\n  10.4.0.0/16 x\n"
    )
    found = [(route.vrf, str(route.prefix)) for route in PLATFORM.parse(text)]
    assert found == [
        ("default", "10.1.0.0/16"),
        ("red", "10.2.0.0/16"),
        ("red", "fd00::/64"),
        ("blue", "10.3.0.0/16"),
        ("default", "fd00::/64"),
    ]


def test_comments_close_nothing_and_exit_closes_one_block():
    text = (
        "hostname r1\nrouter static\n vrf red\n  address-family ipv4 unicast\n! a comment\n !! another one\n"
        "   10.1.0.0/16 10.1.1.1\n   exit\n  address-family ipv6 unicast\n   fd00::/64 fd01::1\n  exit\n exit\n"
        " address-family ipv4 unicast\n  10.2.0.0/16 10.1.1.1\n  root\nrouter bgp 1\nend\n"
    )
    found = [(route.vrf, str(route.prefix)) for route in PLATFORM.parse(text)]
    assert found == [("red", "10.1.0.0/16"), ("red", "fd00::/64"), ("default", "10.2.0.0/16")]


@pytest.mark.parametrize("vrf", ["", " vrf red\n"])
def test_a_text_without_indentation_is_refused(vrf: str):
    text = f"hostname r1\nrouter static\n{vrf}  address-family ipv4 unicast\n   10.0.0.0/8 10.1.1.1\n  !\n !\n!\nend\n"
    assert len(PLATFORM.parse(text)) == 1
    with pytest.raises(ParseError, match=r"lost its indentation.*as the router prints it") as error:
        PLATFORM.parse("\n".join(line.strip() for line in text.split("\n")))
    assert error.value.line == 3 + bool(vrf)


@pytest.mark.parametrize("text", ["^First line\nlast line^", "^CFirst line\nlast line ^C", "$Cost: 5\n$", "^CAll^C"])
def test_delimiters_of_banners(text: str):
    assert len(PLATFORM.parse(f"hostname r1\nbanner login {text}\n" + block("10.0.0.0/8 10.1.1.1"))) == 1


def test_one_line_form():
    text = "hostname r1\nrouter static vrf red address-family ipv4 unicast 10.0.0.0/8 10.1.1.1 tag 5\nend\n"
    (route,) = PLATFORM.parse(text)
    assert (route.vrf, route.next_hops, route.lines) == ("red", (NextHop("10.1.1.1", tag=5),), (2,))


def test_other_tables_and_settings_are_noted():
    text = block("10.0.0.0/8 10.1.1.1").replace(
        " address-family",
        " maximum path ipv4 10\n address-family ipv4 multicast\n  10.0.0.0/8 rubbish\n !\n address-family",
    )
    running = PLATFORM.parse(text)
    assert [route.next_hops for route in running] == [(NextHop("10.1.1.1"),)]
    assert [(note.line, note.text) for note in running.notes] == [(4, "address-family ipv4 multicast")]


GROUP = (
    "hostname r1\ngroup G\n router static\n  address-family ipv4 unicast\n   10.5.0.0/16 10.1.1.5\n"
    "   10.6.0.0/16 10.1.1.6\n  !\n  vrf 'r.*'\n   address-family ipv4 unicast\n    10.7.0.0/16 10.1.1.7\n   !\n  !\n !\nend-group\n"
)


def test_routes_of_an_applied_group_are_disqualified():
    text = GROUP + "apply-group G\n" + block("10.5.0.0/16 10.1.1.1", "10.8.0.0/16 10.1.1.1")
    running = PLATFORM.parse(text)
    assert {str(route.prefix): route.disqualified for route in running} == {
        "10.5.0.0/16": "inherited from group G",
        "10.6.0.0/16": "inherited from group G",
        "10.8.0.0/16": None,
    }
    assert any("pattern" in note.reason and note.line == 8 for note in running.notes)


def test_a_group_that_nobody_applies_has_no_routes():
    running = PLATFORM.parse(GROUP + block("10.5.0.0/16 10.1.1.1"))
    assert [(str(route.prefix), route.disqualified) for route in running] == [("10.5.0.0/16", None)]


# --- commands ---

A, B = NextHop("10.0.0.1", tag=5, name="x"), NextHop("10.0.0.2", tag=5, name="x")
CHANGE = RouteChange("update", "default", Prefix.parse("10.96.0.0/12"), (A,), (B,))
EMPTY = RunningRoutes((), "hostname r1\n")
FRAME = "router static\n address-family ipv4 unicast\n{} !\n!\n"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "instead of 10.0.0.2"),
        (FRAME.format("  10.96.0.0/12 10.0.0.2 tag 5 description x\n"), "would have"),
        (
            FRAME.format("  10.96.0.0/12 10.0.0.2 tag 5\n  no 10.96.0.0/12 10.0.0.1\n"),
            "would have 10.0.0.2 tag 5 instead",
        ),
        ("router bgp 1\n", "no static route command"),
        (FRAME.format("  no 10.96.0.0/12\n"), "next hop is missing"),
        ("no router static\n", "no static route command"),
        (FRAME.format("  maximum path ipv4 5\n"), "no static route command"),
        ("10.96.0.0/12 10.0.0.2\n", "no static route command"),
    ],
)
def test_template_that_says_something_else_is_refused(template: str, said: str):
    with pytest.raises(RenderError, match=said):
        PLATFORM.render([CHANGE], EMPTY, template)


@pytest.mark.parametrize("vrf", ["red\nrouter bgp 1", "red\n!", "a b"])
def test_values_cannot_bring_lines_of_their_own(vrf: str):
    with pytest.raises(RenderError):
        PLATFORM.render([RouteChange("create", vrf, Prefix.parse("10.96.0.0/12"), (), (A,))], EMPTY)


def test_no_changes_are_no_commands():
    assert PLATFORM.render([], EMPTY) == ""


def test_an_absent_hop_cannot_be_removed():
    running = PLATFORM.parse(block("10.0.0.0/8 10.1.1.1"))
    with pytest.raises(ParseError, match="to remove"):
        PLATFORM.edits(running, FRAME.format("  no 10.0.0.0/8 10.1.1.2\n"))


# --- the device's own diffs ---


def napalm_diff(old: str, new: str) -> str:
    """As the XML driver makes it: texts without their headers, three lines of context, stripped."""

    def body(text: str) -> list[str]:
        return "\n".join(text.split("\n")[3:]).removesuffix("end\n").strip().splitlines(keepends=True)

    return "".join(difflib.unified_diff(body(old), body(new))).strip()


@pytest.mark.parametrize("case", [case for case in CASES if case.text("running.cfg").startswith("!! IOS XR")], ids=str)
def test_the_planned_lines_of_a_text_diff_are_no_foreign_lines(case: Case):
    running, after = case.text("running.cfg").replace("\r", ""), case.text("after.cfg").replace("\r", "")
    assert case.platform.foreign_lines(napalm_diff(running, after), case.running, case.text("commands.txt")) == []


def case_named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hostname edge1", "hostname edge9", ["- hostname edge1", "+ hostname edge9"]),
        (" description Kubernetes nodes", " description x", ["- description Kubernetes nodes", "+ description x"]),
        ("   10.99.0.0/16 172.16.0.9\n", "", ["- 10.99.0.0/16 172.16.0.9"]),
        (
            "   10.99.0.0/16 172.16.0.9\n",
            "   10.99.0.0/16 172.16.0.9\n   10.96.0.0/12 10.0.0.3 tag 4201 description prod-eu1\n",
            ["+ 10.96.0.0/12 10.0.0.3 tag 4201 description prod-eu1"],
        ),
        (" maximum path ipv4 10000\n", "", ["- maximum path ipv4 10000"]),
        ("  10.96.0.0/12 10.0.0.1 tag", "  10.96.0.0/12 10.0.0.1 7 tag", ["-", "+"]),
    ],
)
def test_other_lines_of_a_text_diff_are(old: str, new: str, said: list[str]):
    case = case_named("add-one-hop")
    after = case.text("after.cfg")
    assert after.count(old) == 1
    diff = napalm_diff(case.text("running.cfg"), after.replace(old, new))
    found = case.platform.foreign_lines(diff, case.running, case.text("commands.txt"))
    assert [line[: len(words)] for line, words in zip(found, said, strict=True)] == said


SIGNED = """\
router static
    address-family ipv4 unicast
+    10.96.0.0/12 10.0.0.3 tag 4201 description prod-eu1
    !
   !
"""


def test_signed_diff():
    """As `show commit changes diff` prints it, without its first blanks and its header."""
    case = case_named("add-one-hop")

    def foreign(diff: str) -> list[str]:
        return case.platform.foreign_lines(diff, case.running, case.text("commands.txt"))

    assert foreign(SIGNED) == []
    assert foreign(SIGNED.replace("router static\n    add", "+  router static\n+   add")) == []  # heads say nothing
    assert foreign(SIGNED.replace("+    10.96.0.0/12", "+    10.95.0.0/16")) != []
    assert foreign("-  interface GigabitEthernet0/0/0/0\n-   shutdown\n   !\n" + "   " + SIGNED) == [
        "- interface GigabitEthernet0/0/0/0",
        "- shutdown",
    ]
    replaced = "<-   10.96.0.0/12 10.0.0.1 tag 4201 description prod-eu1\n+>   10.96.0.0/12 10.0.0.1 tag 9\n"
    assert len(foreign(SIGNED.replace("    !\n", replaced + "    !\n", 1))) == 2
    other_vrf = SIGNED.replace("    address", "    vrf red\n     address").replace("+    ", "+     ")
    assert foreign(other_vrf) == ["+ 10.96.0.0/12 10.0.0.3 tag 4201 description prod-eu1"]


def test_a_diff_that_does_not_fit_is_foreign():
    case = case_named("add-one-hop")
    commands = case.text("commands.txt")
    assert (
        "cannot be read" in case.platform.foreign_lines("@@ -1,1 +1,1 @@\n-no such\n+line", case.running, commands)[0]
    )
    assert "cannot be read" in case.platform.foreign_lines("  two\nwords", case.running, commands)[0]


# --- properties ---

VRFS = ["default", "red", "blue"]


@st.composite
def hops(draw: st.DrawFn, prefix: Prefix) -> frozenset[NextHop]:
    """A set of hops as one prefix may have it; every hop has its own attributes."""

    def attributes() -> dict[str, object]:
        return {
            "distance": draw(st.none() | st.integers(2, 254)),
            "tag": draw(st.none() | st.integers(1, 2**32 - 1)),
            "name": draw(st.none() | st.sampled_from(["prod-eu1", "x", "two words", "7"])),
            "options": draw(st.sampled_from([(), ("permanent",), ("metric", "7"), ("bfd", "fast-detect")])),
        }

    if draw(st.integers(0, 9)) == 0:
        return frozenset({NextHop(None, discard=True, **attributes())})  # type: ignore[arg-type]
    base = "10.0.0." if prefix.family == 4 else "fd00:a::"
    found = set()
    for number in draw(st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True)):
        where = draw(st.sampled_from([{}, {"interface": "HundredGigE0/0/0/1.10"}, {"vrf": "green"}]))
        found.add(NextHop(f"{base}{number}", **where, **attributes()))  # type: ignore[arg-type]
    return frozenset(found)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    keys = draw(st.lists(st.tuples(st.sampled_from(VRFS), prefixes), max_size=8, unique=True))
    return {key: draw(hops(key[1])) for key in keys}


@st.composite
def configurations(draw: st.DrawFn, contents: Table) -> str:
    """A text with these routes; blocks in any order that the syntax has, comments between the lines."""
    noise = st.lists(st.sampled_from(["", "  ! 10.0.0.0/8 10.1.1.1", "   !! router static"]), max_size=2)
    lines = ["hostname r1", "vrf red", "!", "vrf blue", "!", "interface Loopback0", " description router static", "!"]
    if draw(st.booleans()) or contents:
        lines.append("router static")
        for vrf in VRFS:
            indent = " " if vrf == "default" else "  "
            families = draw(st.permutations([4, 6]))
            own = {
                f: [(p, h) for (v, p), hs in contents.items() if v == vrf and p.family == f for h in hs]
                for f in families
            }
            if vrf != "default" and (any(own.values()) or draw(st.booleans())):
                lines.append(f" vrf {vrf}")
            for family in families:
                if own[family]:
                    lines.append(f"{indent}address-family ipv{family} unicast")
                    for prefix, hop in draw(st.permutations(own[family])):
                        lines += draw(noise)
                        lines.append(PLATFORM.shown(vrf, prefix, hop, None))
                    lines.append(f"{indent}!")
            if vrf != "default" and f" vrf {vrf}" in lines:
                lines.append(" !")
        lines.append("!")
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join([*lines, "router bgp 1", "!", "end"]) + draw(st.sampled_from(["", end]))


@given(data=st.data())
def test_what_stands_in_a_text_is_read(data: st.DataObject):
    contents = data.draw(tables())
    running = PLATFORM.parse(data.draw(configurations(contents)))
    assert table(running) == contents
    for route in running:
        shown = [PLATFORM.shown(route.vrf, route.prefix, hop, None) for hop in route.next_hops]
        assert shown == [running.source[line - 1] for line in route.lines]


@given(data=st.data())
def test_there_and_back(data: st.DataObject):
    before = data.draw(tables())
    text = data.draw(configurations(before))
    running = PLATFORM.parse(text)
    after = dict(before)
    for key in data.draw(st.lists(st.sampled_from(sorted(before)), unique=True)) if before else ():
        after.pop(key)
        if data.draw(st.booleans()):
            after[key] = data.draw(hops(key[1]))
    for key, wanted in data.draw(tables()).items():
        after.setdefault(key, wanted)
    changes = changes_between(before, after)

    commands = PLATFORM.render(changes, running)
    changed = apply_edits(text, PLATFORM.edits(running, commands))
    assert table(PLATFORM.parse(changed)) == after

    touched = {(change.vrf, change.prefix) for change in changes}
    own = {line for route in running if (route.vrf, route.prefix) in touched for line in route.lines}
    others = [line.rstrip("\r\n") for number, line in enumerate(split_lines(text), 1) if number not in own]
    left = iter(line.rstrip("\r\n") for line in split_lines(changed))
    assert all(any(line == candidate for candidate in left) for line in others), "a foreign line moved or changed"

    back = PLATFORM.render([change.inverse() for change in changes], PLATFORM.parse(changed))
    restored = apply_edits(changed, PLATFORM.edits(PLATFORM.parse(changed), back))
    assert table(PLATFORM.parse(restored)) == before


@given(text=st.text(max_size=300) | st.text("routesac vf46-/.0129 \n\r\t!%\"'", max_size=300))
def test_any_text_is_read_or_refused(text: str):
    running = PLATFORM.parse("hostname r1\n")
    inside = "hostname r1\nrouter static\n address-family ipv4 unicast\n" + text
    for read in (
        lambda: PLATFORM.parse(text),
        lambda: PLATFORM.parse(inside),
        lambda: PLATFORM.edits(running, text),
        lambda: PLATFORM.foreign_lines(text, running, ""),
        lambda: PLATFORM.foreign_lines("@@ -1 +1 @@\n" + text, running, ""),
    ):
        try:
            read()
        except ParseError as error:
            assert str(error)  # noqa: PT017


@given(data=st.data())
def test_damaged_configuration_is_read_or_refused(data: st.DataObject):
    """One character lost or exchanged anywhere: never another exception, never a route at no line."""
    text = data.draw(configurations(data.draw(tables())))
    at = data.draw(st.integers(0, len(text)))
    new = data.draw(st.sampled_from(["", " ", "\n", "\r", "/", ".", ":", "0", '"', "!", "é", *string.ascii_lowercase]))
    damaged = text[:at] + new + text[at + 1 :]
    try:
        running = PLATFORM.parse(damaged)
    except ParseError:
        return
    for route in running:
        assert len(route.lines) == len(route.next_hops) > 0


def test_heads_are_those_of_a_running_configuration():
    assert heads("red", 6) == ("router static", " vrf red", "  address-family ipv6 unicast")

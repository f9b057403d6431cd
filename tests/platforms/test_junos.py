"""What Junos texts say: single routes, groups and defaults, half texts; commands; and the router's own diff."""

import pytest

from k8s_ecmp.errors import ParseError, RenderError
from k8s_ecmp.model import NextHop, Prefix, RouteChange, StaticRoute
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.edits import apply_edits

JUNOS = get_platform("junos")
PREFIX = Prefix.parse("10.0.0.0/8")

# What stands below `route 10.0.0.0/8`, and the next hops.
STATEMENTS = [
    ("next-hop 10.1.1.1;", [NextHop("10.1.1.1")]),
    ("next-hop [ 10.1.1.1 10.1.1.2 ];", [NextHop("10.1.1.1"), NextHop("10.1.1.2")]),
    ("next-hop [10.1.1.1 10.1.1.2];", [NextHop("10.1.1.1"), NextHop("10.1.1.2")]),
    ("next-hop 10.1.1.1; next-hop 10.1.1.2;", [NextHop("10.1.1.1"), NextHop("10.1.1.2")]),
    ("tag 5; next-hop 10.1.1.1;", [NextHop("10.1.1.1", tag=5)]),
    ("next-hop 10.1.1.1; preference 7; tag 4294967295;", [NextHop("10.1.1.1", distance=7, tag=4294967295)]),
    ("next-hop 10.1.1.1; preference 4294967295;", [NextHop("10.1.1.1", distance=4294967295)]),
    ("next-hop ge-0/0/0.0;", [NextHop(interface="ge-0/0/0.0")]),
    ("next-hop st0.1;", [NextHop(interface="st0.1")]),
    ("discard; tag 5;", [NextHop(discard=True, tag=5)]),
    ("reject;", [NextHop(discard=True, options=("reject",))]),
    ("receive;", [NextHop(options=("receive",))]),
    ("next-table red.inet.0;", [NextHop(options=("next-table red.inet.0",))]),
    ("lsp-next-hop to-pe { metric 5; }", [NextHop(options=("lsp-next-hop to-pe metric 5",))]),
    ("next-hop 10.1.1.1; resolve;", [NextHop("10.1.1.1", options=("resolve",))]),
    ("next-hop 10.1.1.1; metric 3; tag2 9;", [NextHop("10.1.1.1", options=("metric 3", "tag2 9"))]),
    (
        "next-hop 10.1.1.1; retain; no-install; community [ 65000:1 65000:2 ];",
        [NextHop("10.1.1.1", options=("retain", "no-install", "community 65000:1", "community 65000:2"))],
    ),
    (
        "next-hop 10.1.1.1; bfd-liveness-detection { minimum-interval 300; }",
        [NextHop("10.1.1.1", options=("bfd-liveness-detection minimum-interval 300",))],
    ),
    (
        "next-hop 10.1.1.1; qualified-next-hop 10.1.1.2 { preference 7; metric 4; } tag 5;",
        [
            NextHop("10.1.1.1", tag=5),
            NextHop("10.1.1.2", distance=7, tag=5, options=("qualified-next-hop", "preference 7", "metric 4")),
        ],
    ),
    (
        "qualified-next-hop 10.1.1.2 { tag 6; } tag 5; preference 9;",
        [NextHop("10.1.1.2", distance=9, tag=6, options=("tag 5", "qualified-next-hop", "tag 6"))],
    ),
    (
        "qualified-next-hop 10.1.1.2 { interface ge-0/0/1.0; }",
        [NextHop("10.1.1.2", "ge-0/0/1.0", options=("qualified-next-hop",))],
    ),
    ("qualified-next-hop ge-0/0/1.0;", [NextHop(interface="ge-0/0/1.0", options=("qualified-next-hop",))]),
]


def braces(static: str, more: str = "") -> str:
    return f"system {{\n    host-name r1;\n}}\n{more}routing-options {{\n    static {{\n        {static}\n    }}\n}}\n"


def one(text: str) -> StaticRoute:
    (route,) = JUNOS.parse(text)
    return route


@pytest.mark.parametrize(("statements", "hops"), STATEMENTS)
def test_hops(statements: str, hops: list[NextHop]):
    route = one(braces(f"route 10.0.0.0/8 {{ {statements} }}"))
    assert list(route.next_hops) == hops
    assert (route.prefix, route.vrf, set(route.lines), route.disqualified) == (PREFIX, "default", {6}, None)
    if statements.count(";") == 1 and "{" not in statements:
        assert one(braces(f"route 10.0.0.0/8 {statements}")).next_hops == route.next_hops


@pytest.mark.parametrize(("statements", "hops"), STATEMENTS)
def test_set_lines_say_the_same(statements: str, hops: list[NextHop]):
    flat = statements.replace("{ preference 7; metric 4; }", "preference 7; qualified-next-hop 10.1.1.2 metric 4;")
    for brace in "{}":
        flat = flat.replace(f"; {brace}", ";").replace(f" {brace}", "")
    lines = [
        f"set routing-options static route 10.0.0.0/8 {part.strip()}\n" for part in flat.split(";") if part.strip()
    ]
    route = one("set system host-name r1\n" + "".join(lines))
    assert list(route.next_hops) == hops
    assert route.disqualified is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\r\n",
        "error: permission denied",
        "hostname r1\nip route 10.0.0.0/8 10.1.1.1\nend\n",
        "<rpc-reply><output/></rpc-reply>",
        "system {\n    host-name r1;\n",
        'system {\n    host-name "r1;\n}\n',
        "system {\n    /* note\n    host-name r1;\n}\n",
        "system {\n    host-name r1;\n}\n}\n",
        "static {\n    route 10.0.0.0/8 discard;\n}\n",
        "set interfacesge-0/0/0 unit 0\n",
        "set system host-name r1\nip route 10.0.0.0/8 10.1.1.1\n",
        "set system host-name r1\ndelete routing-options static route 10.0.0.0/8\n",
    ],
)
def test_no_configuration_is_not_no_routes(text: str):
    with pytest.raises(ParseError):
        JUNOS.parse(text)


@pytest.mark.parametrize("mark", ["{master:0}", "{master}", "{primary:node0}", "{backup:1} "])
@pytest.mark.parametrize("set_form", [False, True])
def test_what_the_command_line_says_of_its_member_is_no_part_of_the_text(mark: str, set_form: bool):
    text = braces("route 10.0.0.0/8 next-hop 10.1.1.1;")
    if set_form:
        text = "set system host-name r1\nset routing-options static route 10.0.0.0/8 next-hop 10.1.1.1\n"
    for whole in (f"{text}\n{mark}\n", f"{text}{mark}", f"\n{mark}\n{text}", f"{mark}\n{text}\n{mark}\n"):
        running = JUNOS.parse(whole)
        assert [str(route.prefix) for route in running] == ["10.0.0.0/8"]
        change = RouteChange.between("default", PREFIX, one(text).next_hops, (NextHop("10.1.1.1"), NextHop("10.1.1.2")))
        after = apply_edits(whole, JUNOS.edits(running, JUNOS.render([change], running)))
        assert one(after).next_hops == change.after
        assert after.count(mark) == whole.count(mark)


def test_half_a_text_is_refused_though_the_command_line_has_gone_on():
    with pytest.raises(ParseError, match="cut short"):
        JUNOS.parse(braces("route 10.0.0.0/8 next-hop 10.1.1.1;")[:-10] + "\n{master:0}\n")


def test_routes_that_say_the_same_share_their_hops():
    lines = [
        f"set routing-options static route 10.{number}.0.0/16 next-hop 10.1.1.{hop}\n"
        for number in (1, 2, 3)
        for hop in (1, 2)
    ]
    braced = [f"route 10.{number}.0.0/16 {{ next-hop [ 10.1.1.1 10.1.1.2 ]; tag 5; }}\n" for number in (1, 2)]
    for text in ("".join(lines), braces("".join(braced))):
        first, second = JUNOS.parse(text).routes[-2:]
        assert len(first.next_hops) == 2
        assert first.next_hops is second.next_hops


def test_a_patch_is_no_configuration():
    with pytest.raises(ParseError, match="the text is a patch") as error:
        JUNOS.parse(braces("route 10.9.0.0/16 next-hop 10.1.1.1;\ndelete: route 10.0.0.0/8;"))
    assert error.value.line == 7


def test_a_text_in_braces_cut_anywhere_is_refused():
    text = braces("route 10.0.0.0/8 { next-hop 10.1.1.1; }").split("\n", 3)[3].rstrip()
    assert len(JUNOS.parse(text)) == 1
    for length in range(len(text)):
        with pytest.raises(ParseError):
            JUNOS.parse(text[:length])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (braces("inactive: route 10.0.0.0/8 next-hop 10.1.1.1;"), "inactive"),
        (braces("protect: route 10.0.0.0/8 next-hop 10.1.1.1;"), "protected"),
        (braces("route 10.0.0.0/8 { next-hop 10.1.1.1; inactive: tag 5; }"), "inactive"),
        (braces("route 10.0.0.0/8 { apply-groups G; next-hop 10.1.1.1; }"), "groups"),
        (braces("route 10.0.0.0/8 { tag 5; }"), "no next hop"),
        (braces("route 10.0.0.0/8 next-hop 10.1.1.1; route 10.0.0.0/8 tag 5;"), "twice"),
        (braces("defaults { tag 5; } route 10.0.0.0/8 next-hop 10.1.1.1;"), "defaults"),
        (braces("route 10.0.0.0/8 next-hop 10.1.1.1;").replace("routing-o", "inactive: routing-o"), "inactive"),
        (
            braces("route 10.0.0.0/8 next-hop 10.1.1.1;").replace("    static", "    rib inet.2 { static") + "}",
            "inet.2",
        ),
        (
            braces("route 10.0.0.0/8 next-hop 10.1.1.1;").replace("    static", "    rib inet6.0 { static") + "}",
            "family",
        ),
        ("set routing-options static route 10.0.0.0/8 discard\ndeactivate routing-options static\n", "inactive"),
        (
            "set routing-options static route 10.0.0.0/8 discard\ndeactivate routing-options static route 10.0.0.0/8\n",
            "inactive",
        ),
        (
            "set routing-options static route 10.0.0.0/8 tag 5\nset routing-options static route 10.0.0.0/8 discard\n"
            "deactivate routing-options static route 10.0.0.0/8 tag\n",
            "inactive",
        ),
        ("set routing-options static route 10.0.0.0/8 discard\nprotect routing-options static\n", "protected"),
        (
            "set routing-options static route 10.0.0.0/8 discard\nset routing-options rib inet.0 static route 10.0.0.0/8 discard\n",
            "two places",
        ),
    ],
)
def test_routes_that_are_never_ours(text: str, reason: str):
    route = one(text.replace("}\n}\n}", "}\n}\n}\n"))
    assert route.prefix == PREFIX
    assert reason in (route.disqualified or "")


GROUP = "groups {\n    G {\n        %s\n    }\n}\n"


@pytest.mark.parametrize(
    ("group", "apply", "reached"),
    [
        ("routing-options { static { route 10.0.0.0/8 tag 5; } }", "apply-groups G;", True),
        ("routing-options { static { route <10.*> tag 5; } }", "apply-groups [ H G ];", True),
        ("routing-options { static { route <11.*> tag 5; } }", "apply-groups G;", False),
        ("routing-options { static { route <*> tag 5; } }", "apply-groups H;", False),
        ("routing-options { static { route <*> tag 5; } }", "inactive: apply-groups G;", False),
        ("system { host-name x; }", "apply-groups G;", False),
        ("routing-instances { <*> { routing-options { static { route <*> tag 5; } } } }", "apply-groups G;", False),
    ],
)
def test_groups(group: str, apply: str, reached: bool):
    route = one(braces("route 10.0.0.0/8 next-hop 10.1.1.1;", GROUP % group + apply + "\n"))
    assert (route.disqualified is not None) == reached


def test_groups_are_applied_where_they_are_named():
    group = GROUP % "routing-options { static { route <*> tag 5; } rib inet6.0 { static { route <*> tag 5; } } }"
    text = group + (
        "routing-options { static { apply-groups G; route 10.0.0.0/8 discard; }\n"
        "    rib inet6.0 { static { route fd00::/8 discard; } } }\n"
    )
    assert [route.disqualified for route in JUNOS.parse(text)] == ["inherits from group G", None]
    excepted = text.replace(
        "rib inet6.0 { static { route fd00", "rib inet6.0 { apply-groups-except G; static { route fd00"
    )
    applied = excepted.replace("groups {", "apply-groups G;\ngroups {", 1)
    assert [route.disqualified for route in JUNOS.parse(applied)] == ["inherits from group G", None]


@pytest.mark.parametrize("words", ["apply-groups G", "apply-groups-except H"])
def test_what_applies_groups_to_all_instances_is_none_of_them(words: str):
    text = (
        "set system host-name r1\nset groups G routing-instances <*> routing-options static route 1.1.1.0/24 discard\n"
        f"set groups H system host-name r2\nset apply-groups G\n"
        f"set routing-instances FOO instance-type vrf\nset routing-instances {words}\n"
    )
    assert [route.vrf for route in JUNOS.parse(text)] == ["FOO"]


@pytest.mark.parametrize("set_form", [False, True])
def test_routes_of_groups_are_read_and_never_ours(set_form: bool):
    text = GROUP % "routing-instances { <re*> { routing-options { static { route 10.0.0.0/8 next-hop 10.1.1.1; } } } }"
    text += "apply-groups G;\nrouting-instances { red { instance-type vrf; } blue { instance-type vrf; } }\n"
    if set_form:
        text = (
            "set groups G routing-instances <re*> routing-options static route 10.0.0.0/8 next-hop 10.1.1.1\n"
            "set apply-groups G\nset routing-instances red instance-type vrf\nset routing-instances blue instance-type vrf\n"
        )
    route = one(text)
    assert (route.vrf, route.next_hops, route.disqualified) == ("red", (NextHop("10.1.1.1"),), "inherited from group G")


MEMBERS = """groups {
    node0 { routing-options { static { route 10.0.0.0/8 next-hop 10.1.1.1; } } }
    node1 { routing-options { static { route 10.0.0.0/8 next-hop 10.1.1.2; } } }
    node2 { routing-options { static { route 12.0.0.0/8 next-hop 10.1.1.3; } } }
    re1 { routing-options { static { route 13.0.0.0/8 next-hop 10.1.1.4; } } }
}
"""


@pytest.mark.parametrize(
    ("apply", "found"),
    [
        ('apply-groups "${node}";', {"10.0.0.0/8": ["10.1.1.1", "10.1.1.2"]}),
        (
            'apply-groups [ other "${node}" "${re}" ];',
            {"10.0.0.0/8": ["10.1.1.1", "10.1.1.2"], "13.0.0.0/8": ["10.1.1.4"]},
        ),
        ("apply-groups [ re0 re1 ];", {"13.0.0.0/8": ["10.1.1.4"]}),
    ],
)
def test_groups_of_the_members_of_a_cluster_may_all_be_applied(apply: str, found: dict[str, list[str]]):
    routes = list(JUNOS.parse(MEMBERS + apply + braces("route 11.0.0.0/8 discard;")))
    others = [route for route in routes if str(route.prefix) != "11.0.0.0/8"]
    assert {str(route.prefix): [hop.label for hop in route.next_hops] for route in others} == found
    assert all((route.disqualified or "").startswith("inherited from group") for route in others)
    assert [route.disqualified for route in routes if route not in others] == [None]


@pytest.mark.parametrize("set_form", [False, True])
def test_defaults_of_a_member_of_a_cluster_may_be_in_force(set_form: bool):
    text = 'groups { node1 { routing-options { static { defaults { preference 150; } } } } }\napply-groups "${node}";\n'
    text += braces("route 10.0.0.0/8 discard;")
    if set_form:
        text = (
            "set groups node1 routing-options static defaults preference 150\n"
            'set apply-groups "${node}"\nset routing-options static route 10.0.0.0/8 discard\n'
        )
    assert one(text).disqualified == "may inherit defaults from group node1"
    assert one(text).next_hops == (NextHop(discard=True),)
    own = braces("defaults { preference 7; } route 10.0.0.0/8 discard;")
    written = (
        one(text.partition("system {")[0] + own)
        if not set_form
        else one(text + "set routing-options static defaults preference 7\n")
    )
    assert (written.disqualified, written.next_hops[0].distance) == (None, 7)


def test_a_named_group_and_that_of_a_member():
    text = (
        "groups { G { routing-options { static { defaults { preference 7; } } } }\n"
        "    node0 { routing-options { static { defaults { preference 150; } } } } }\n"
        'apply-groups [ "${node}" G ];\n'
    )
    assert one(text + braces("route 10.0.0.0/8 discard;")).disqualified == "may inherit defaults from group node0"


def test_defaults_are_in_force_where_a_route_says_nothing():
    routes = JUNOS.parse(
        braces(
            "defaults { preference 150; community 65000:1; } route 10.0.0.0/8 discard; route 11.0.0.0/8 { discard; preference 5; }"
        )
    )
    assert [route.next_hops[0].distance for route in routes] == [150, 5]
    assert all(route.disqualified is None for route in routes)


def test_defaults_of_an_applied_group():
    text = GROUP % "routing-options { static { defaults { preference 150; } } }" + "apply-groups G;\n"
    assert one(text + braces("route 10.0.0.0/8 discard;")).next_hops[0].distance == 150


def test_tables_and_instances():
    text = (
        "routing-options { static { route 10.0.0.0/8 discard; } rib inet6.0 { static { route fd00::/8 discard; } }\n"
        "    rib red.inet.0 { static { route 11.0.0.0/8 discard; } } }\n"
        "routing-instances { red { routing-options { static { route 10.0.0.0/8 discard; }\n"
        "    rib red.inet6.0 { static { route fd00::/8 discard; } } } } }\nlogical-systems { ls1 { routing-options { x; } } }\n"
    )
    running = JUNOS.parse(text)
    assert [(route.vrf, str(route.prefix)) for route in running] == [
        ("default", "10.0.0.0/8"),
        ("default", "fd00::/8"),
        ("red", "11.0.0.0/8"),
        ("red", "10.0.0.0/8"),
        ("red", "fd00::/8"),
    ]
    assert [(note.line, note.text) for note in running.notes] == [(5, "logical-systems ls1")]


def test_what_the_account_may_not_read():
    denied = "system { /* ACCESS-DENIED */ };\n"
    assert len(JUNOS.parse(denied + braces("route 10.0.0.0/8 discard;"))) == 1
    hidden = "system { root-authentication { encrypted-password /* SECRET-DATA */; ## SECRET-DATA\n} }\n"
    assert len(JUNOS.parse(hidden)) == 0
    for name in ("routing-options", "routing-instances", "groups"):
        with pytest.raises(ParseError, match=f"may not read {name}"):
            JUNOS.parse(f"{denied}{name} {{ /* ACCESS-DENIED */ }};\n")


def test_upper_case_and_odd_spelling():
    text = "routing-options { rib inet6.0 { static { route 2001:DB8::/32 next-hop FE80::A; } } }\n"
    assert "neither a next hop nor an interface" in (one(text.replace("FE80::A", "FE80::X")).disqualified or "")
    assert one(text).next_hops == (NextHop("fe80::a"),)
    commands = "delete routing-options rib inet6.0 static route 2001:db8::/32\n"
    assert apply_edits(text, JUNOS.edits(JUNOS.parse(text), commands)).strip() == ""
    assert str(one(braces("route default discard;")).prefix) == "0.0.0.0/0"


@pytest.mark.parametrize(
    "command",
    [
        "delete routing-options static route 10.0.0.0/8 next-hop 10.1.1.9",
        "delete routing-options static route 10.9.0.0/16",
        "delete routing-options static route 10.0.0.0/8 preference",
        "delete routing-options static route 10.0.0.0/8 next-hop",
        "set routing-options static route 10.0.0.0/8 discard",
        "set routing-options static route 10.9.0.0/16 tag 5",
        "set routing-options static route fd00::/8 discard",
        "set routing-options static route 10.1.2.3/8 discard",
        "set routing-options static",
        "set system host-name r2",
        "delete routing-options",
        "set routing-instances red routing-options static route 10.0.0.0/8 discard",
        "commit",
        'set routing-options static route 10.0.0.0/8 "',
    ],
)
@pytest.mark.parametrize("form", ["braces", "set"])
def test_commands_that_are_refused(command: str, form: str):
    text = braces("route 10.0.0.0/8 next-hop 10.1.1.1;")
    if form == "set":
        text = "set routing-options static route 10.0.0.0/8 next-hop 10.1.1.1\n"
    with pytest.raises(ParseError) as error:
        JUNOS.edits(JUNOS.parse(text), f"# note\n{command}\n")
    assert error.value.line == 2


@pytest.mark.parametrize(
    "template",
    [
        "{% for r in routes %}set {{ r.path }} route {{ r.prefix }} next-hop 10.1.1.1\n{% endfor %}",
        "set routing-options static route 10.0.0.0/8 next-hop 10.1.1.1\nset routing-options static route 10.0.0.0/8 tag 5\n"
        "set routing-options static route 11.0.0.0/8 discard\n",
        "delete routing-options\n",
        "{{ routes[0].nothing }}",
        "{% for %}",
        "",
    ],
)
def test_a_template_that_writes_something_else_is_caught(template: str):
    change = RouteChange.between("default", PREFIX, (), (NextHop("10.1.1.1", tag=5),))
    with pytest.raises(RenderError):
        JUNOS.render([change], JUNOS.parse("system { host-name r1; }"), template)


def test_bfd_is_written_and_read():
    hop = NextHop("10.1.1.1", tag=5, options=JUNOS.capabilities.bfd)
    running = JUNOS.parse("system { host-name r1; }\n")
    commands = JUNOS.render([RouteChange.between("default", PREFIX, (), (hop,))], running)
    assert "route 10.0.0.0/8 bfd-liveness-detection minimum-interval 1000\n" in commands
    assert one(apply_edits(running.text, JUNOS.edits(running, commands))).next_hops == (hop,)


# --- the router's own diff ---

RUNNING = braces("route 10.0.0.0/8 { next-hop [ 10.1.1.1 10.1.1.2 ]; tag 5; }")
COMMANDS = (
    "set routing-options static route 10.0.0.0/8 next-hop 10.1.1.3\n"
    "delete routing-options static route 10.0.0.0/8 next-hop 10.1.1.2\n"
    "set routing-options rib inet6.0 static route fd00::/8 next-hop fd00::1\n"
    "set routing-options rib inet6.0 static route fd00::/8 tag 5\n"
)
OWN = """[edit routing-options]
+   rib inet6.0 {
+       static {
+           route fd00::/8 {
+               next-hop fd00::1;
+               tag 5;
+           }
+       }
+   }
[edit routing-options static route 10.0.0.0/8]
-    next-hop [ 10.1.1.1 10.1.1.2 ];
+    next-hop [ 10.1.1.1 10.1.1.3 ];
"""


@pytest.mark.parametrize(
    "diff",
    [
        OWN,
        OWN.replace("[ 10.1.1.1 10.1.1.2 ]", "10.1.1.2").replace("[ 10.1.1.1 10.1.1.3 ]", "10.1.1.3"),
        OWN.replace(
            "[edit routing-options static route", "     route 9.0.0.0/8 { ... }\n[edit routing-options static route"
        ),
        "",
    ],
)
def test_own_diff_in_the_forms_of_several_releases(diff: str):
    assert JUNOS.foreign_lines(diff, JUNOS.parse(RUNNING), COMMANDS) == []


@pytest.mark.parametrize(
    ("more", "foreign"),
    [
        ("[edit system]\n-  host-name r1;\n+  host-name r2;\n", ["- system host-name r1", "+ system host-name r2"]),
        (
            "[edit routing-options static]\n+    route 11.0.0.0/8 discard;\n",
            ["+ routing-options static route 11.0.0.0/8 discard"],
        ),
        (
            "[edit routing-options static route 10.0.0.0/8]\n-    tag 5;\n+    tag 6;\n",
            ["- routing-options static route 10.0.0.0/8 tag 5", "+ routing-options static route 10.0.0.0/8 tag 6"],
        ),
        (
            "[edit routing-options static route 10.0.0.0/8]\n+    next-hop 10.1.1.9;\n",
            ["+ routing-options static route 10.0.0.0/8 next-hop 10.1.1.9"],
        ),
        (
            "[edit routing-options]\n!    inactive: static { ... }\n",
            ["! routing-options inactive: static { ... }"],
        ),
        ("[edit]\n+  inactive: system;\n", ["+ inactive: system"]),
        ("[edit x]\n+  half {\n", ["+ x half {"]),
    ],
)
def test_foreign_statements_in_the_diff(more: str, foreign: list[str]):
    assert JUNOS.foreign_lines(OWN + more, JUNOS.parse(RUNNING), COMMANDS) == foreign


def test_a_deleted_route_in_the_diff_takes_only_what_was_read():
    diff = "[edit routing-options static]\n-    route 10.0.0.0/8 {\n-        next-hop [ 10.1.1.1 10.1.1.2 %s];\n-        tag 5;\n-    }\n"
    commands = "delete routing-options static route 10.0.0.0/8\n"
    running = JUNOS.parse(RUNNING)
    assert JUNOS.foreign_lines(diff % "", running, commands) == []
    assert JUNOS.foreign_lines(diff % "10.1.1.9 ", running, commands) == [
        "- routing-options static route 10.0.0.0/8 next-hop 10.1.1.9"
    ]

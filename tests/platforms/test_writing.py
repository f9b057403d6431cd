"""The way from changes to commands, its safety net, and what devices refuse."""

from pathlib import Path

import pytest

from k8s_ecmp import resources
from k8s_ecmp.errors import ParseError, RenderError
from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.edits import apply_edits
from k8s_ecmp.platforms.flat import FlatPlatform

EMPTY = RunningRoutes((), "hostname r1\n")
PREFIX = Prefix.parse("10.96.0.0/12")
A, B = NextHop("10.0.0.1", tag=5), NextHop("10.0.0.2", tag=5)


def change(before: list[NextHop], after: list[NextHop]) -> RouteChange:
    return RouteChange.between("default", PREFIX, tuple(before), tuple(after))


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_no_changes_are_no_commands(name: str):
    assert get_platform(name).render([], EMPTY) == ""


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_own_template(name: str):
    template = (
        "! {{ routes | length }} routes\n{% for route in routes %}{% for line in route.lines %}"
        "{{ 'no ' if line.remove else '' }}ip route {{ route.network }} {{ route.netmask }} {{ line.hop.address }}"
        "{{ '' if line.remove else ' tag %d' % line.hop.tag }}\n{% endfor %}{% endfor %}"
    )
    commands = get_platform(name).render([change([A], [B])], EMPTY, template)
    assert commands == (
        "! 1 routes\nip route 10.96.0.0 255.240.0.0 10.0.0.2 tag 5\nno ip route 10.96.0.0 255.240.0.0 10.0.0.1\n"
    )


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for route in routes %}", "line 1"),
        ("{{ nothing }}", "nothing"),
        ("{{ routes[0].nothing }}", "nothing"),
        ("{{ 1 / 0 }}", "zero"),
        ("", "instead of 10.0.0.2 tag 5"),
        ("ip route 10.96.0.0/12 10.0.0.2 tag 5\n", "would have 10.0.0.1 tag 5, 10.0.0.2 tag 5 instead"),
        ("ip route 10.96.0.0/12 10.0.0.2 tag 6\nno ip route 10.96.0.0/12 10.0.0.1\n", "tag 6"),
        ("ip route 10.96.0.0/12 10.0.0.2\nno ip route 10.96.0.0/12 10.0.0.1\n", "would have 10.0.0.2 instead"),
        (
            "ip route 10.96.0.0/12 10.0.0.2 tag 5\nno ip route 10.96.0.0/12 10.0.0.1\nip route 10.0.0.0/8 10.0.0.2\n",
            "line 3: 10.0.0.0/8 in VRF default is not part of the change",
        ),
        ("ip route 10.96.0.0/12 10.0.0.2 tag 5\nrouter bgp 1\n", "line 2: 'router bgp 1' is no static route command"),
        ("ip route 10.96.0.0/12 10.0.0.2 tag 5\nno ip route 10.96.0.0/13 10.0.0.1\n", "10.96.0.0/1"),
    ],
)
def test_template_that_says_something_else_is_refused(name: str, template: str, said: str):
    with pytest.raises(RenderError, match=said):
        get_platform(name).render([change([A], [B])], EMPTY, template)


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_values_cannot_bring_lines_of_their_own(name: str):
    evil = RouteChange("create", "red\nrouter bgp 1", PREFIX, (), (A,))
    with pytest.raises(RenderError):
        get_platform(name).render([evil], EMPTY)


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_the_default_distance_is_no_difference(name: str):
    platform = get_platform(name)
    assert isinstance(platform, FlatPlatform)
    assert platform.render([change([A], [NextHop("10.0.0.1", tag=5, distance=1)])], EMPTY) == ""
    line = f"{platform.shown('default', PREFIX, A, None)}\n"
    running = platform.parse(f"hostname r1\n{line}")
    edits = platform.edits(running, line.replace(" tag", " 1 tag"))
    assert apply_edits(running.text, edits) == running.text


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_frames_and_comments_around_commands(name: str):
    running = get_platform(name).parse("hostname r1\n")
    commands = "! a comment\n\nconfigure terminal\n ip route 10.0.0.0/8 10.1.1.1\nexit\nend\n"
    after = apply_edits(running.text, get_platform(name).edits(running, commands))
    assert [str(route.prefix) for route in get_platform(name).parse(after)] == ["10.0.0.0/8"]


def test_frr_commands_in_a_block():
    running = get_platform("frr").parse("vrf red\n ip route 10.0.0.0/8 10.1.1.1\nexit-vrf\n")
    commands = "vrf red\n no ip route 10.0.0.0/8 10.1.1.1\nexit-vrf\nip route 10.0.0.0/8 10.1.1.1\n"
    edits = get_platform("frr").edits(running, commands)
    assert apply_edits(running.text, edits) == "ip route 10.0.0.0/8 10.1.1.1\n!\nvrf red\nexit-vrf\n"


@pytest.mark.parametrize(
    "command",
    [
        "no ip route 10.0.0.0/8 10.1.1.2",
        "no ip route 10.0.0.0/8 10.1.1.1 e0",
        "no ip route 10.0.0.0/8",
        "ip route static bfd",
    ],
)
def test_frr_refuses(command: str):
    running = get_platform("frr").parse("ip route 10.0.0.0/8 10.1.1.1 20\n")
    with pytest.raises(ParseError) as error:
        get_platform("frr").edits(running, f"!\n{command}\n")
    assert error.value.line == 2


@pytest.mark.parametrize("name", ["eos", "frr", "ios"])
def test_discard_and_hops_do_not_mix(name: str):
    running = get_platform(name).parse("ip route 10.0.0.0/8 Null0\n")
    with pytest.raises(ParseError, match="at once"):
        get_platform(name).edits(running, "ip route 10.0.0.0/8 10.1.1.1\n")
    assert get_platform(name).edits(running, "ip route 10.0.0.0/8 10.1.1.1 200\n")


def test_eos_removes_silently_and_widely():
    text = "ip route 10.0.0.0/8 10.1.1.1\nip route 10.0.0.0/8 10.1.1.1 200\nip route 10.0.0.0/8 10.1.1.2\n"
    platform = get_platform("eos")
    running = platform.parse(text)

    def after(commands: str) -> str:
        return apply_edits(text, platform.edits(running, commands))

    first, second, third = text.splitlines(keepends=True)
    assert after("no ip route 10.0.0.0/8 10.9.9.9\nno ip route 10.1.0.0/16 10.1.1.1\n") == text
    assert after("no ip route 10.0.0.0/8 10.1.1.1\n") == third
    assert after("no ip route 10.0.0.0/8 10.1.1.1 1\n") == second + third
    assert after("no ip route 10.0.0.0/8 10.1.1.1 200\n") == first + third
    assert after("no ip route 10.0.0.0/8\n") == ""


@pytest.mark.parametrize("name", ["eos", "frr"])
def test_the_last_tag_is_the_tag_of_the_group(name: str):
    platform = get_platform(name)
    running = platform.parse(
        "ip route 10.0.0.0/8 10.1.1.1 tag 5\nip route 10.0.0.0/8 10.1.1.2 tag 5\nip route 10.0.0.0/8 10.1.1.3 200 tag 5\n"
    )
    (route,) = platform.parse(apply_edits(running.text, platform.edits(running, "ip route 10.0.0.0/8 10.1.1.4\n")))
    assert {hop.address: hop.tag for hop in route.next_hops} == {
        "10.1.1.1": None,
        "10.1.1.2": None,
        "10.1.1.3": 5,
        "10.1.1.4": None,
    }


@pytest.mark.parametrize(
    "command",
    [
        "no ip route 10.0.0.0 255.0.0.0 10.1.1.2",
        "no ip route 10.0.0.0 255.0.0.0 GigabitEthernet0/0 10.1.1.1",
        "no ip route 10.0.0.0 255.0.0.0",
        "ip route static bfd GigabitEthernet0/0 10.1.1.1",
    ],
)
def test_ios_refuses(command: str):
    running = get_platform("ios").parse("hostname r1\nip route 10.0.0.0 255.0.0.0 10.1.1.1 20\n")
    with pytest.raises(ParseError) as error:
        get_platform("ios").edits(running, f"!\n{command}\n")
    assert error.value.line == 2


def test_ios_tags_belong_to_hops():
    platform = get_platform("ios")
    running = platform.parse("hostname r1\nip route 10.0.0.0 255.0.0.0 10.1.1.1 tag 5\n")
    edits = platform.edits(running, "ip route 10.0.0.0 255.0.0.0 10.1.1.2\n")
    (route,) = platform.parse(apply_edits(running.text, edits))
    assert {hop.address: hop.tag for hop in route.next_hops} == {"10.1.1.1": 5, "10.1.1.2": None}


def test_ios_needs_the_vrf():
    create = RouteChange("create", "blue", PREFIX, (), (A,))
    for head in ("vrf definition blue", "ip vrf blue"):
        commands = get_platform("ios").render([create], get_platform("ios").parse(f"hostname r1\n{head}\n"))
        assert commands == "ip route vrf blue 10.96.0.0 255.240.0.0 10.0.0.1 tag 5\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("eos", "hostname r1\nvrf instance red\nip route vrf blue 0.0.0.0/0 10.0.0.9\nbanner login\nvrf instance blue\nEOF\n"),
        ("eos", "hostname r1\nrouter bgp 1\n   vrf instance blue\n"),
        ("ios", "hostname r1\nvrf definition red\nip route vrf blue 0.0.0.0 0.0.0.0 10.0.0.9\n!\n"),
        ("iosxr", "hostname r1\nvrf red\n!\nrouter static\n vrf blue\n  address-family ipv4 unicast\n   0.0.0.0/0 10.0.0.9\n"),
        ("nxos", "hostname r1\nvrf context red\n  rd auto\ninterface mgmt0\n"),
    ],
)  # fmt: skip
def test_no_route_is_written_in_a_vrf_that_is_not_there(name: str, text: str):
    platform = get_platform(name)
    create = RouteChange("create", "blue", PREFIX, (), (A,))
    with pytest.raises(RenderError, match=r"the router has no VRF blue .*configure the VRF first"):
        platform.render([create], platform.parse(text))
    heads = {"eos": "vrf instance", "ios": "vrf definition", "iosxr": "vrf", "nxos": "vrf context"}
    assert platform.render([create], platform.parse(f"{text}\n{heads[name]} blue\n rd 1:1\n"))
    assert platform.render([create.inverse()], platform.parse(text)), "what is there can be taken away"


@pytest.mark.parametrize(
    ("diff", "foreign"),
    [
        ("", []),
        ("+ip route 10.96.0.0 255.240.0.0 10.0.0.1 tag 5\n-no ipv6 route FD96::/108 FD00:A::1 tag 5", []),
        ("+IP ROUTE 10.96.0.0 255.240.0.0 10.0.0.1 tag 5", ["+ IP ROUTE 10.96.0.0 255.240.0.0 10.0.0.1 tag 5"]),
        ("-no ipv6 route fd96:0::/108 fd00:a::1 1 tag 5", []),
        ("+ip route 10.96.0.0 255.240.0.0 10.0.0.1 tag 6", ["+ ip route 10.96.0.0 255.240.0.0 10.0.0.1 tag 6"]),
        ("+router bgp 65001\n- no neighbor 192.0.2.1", ["+ router bgp 65001", "- no neighbor 192.0.2.1"]),
        (
            "+%Error opening flash:/x (No such file or directory)",
            ["+ %Error opening flash:/x (No such file or directory)"],
        ),
        (
            "! incremental-diff failed; falling back to echo of merge file\n"
            "+ip route 10.96.0.0 255.240.0.0 10.0.0.1 tag 5\n+no ipv6 route FD96::/108 FD00:A::1 tag 5\n+end",
            [],
        ),
    ],
)
def test_ios_foreign_lines_of_an_incremental_diff(diff: str, foreign: list[str]):
    platform = get_platform("ios")
    running = platform.parse("hostname r1\nipv6 route FD96::/108 FD00:A::1 tag 5\n")
    commands = "ip route 10.96.0.0 255.240.0.0 10.0.0.1 tag 5\nno ipv6 route FD96::/108 FD00:A::1 tag 5\n"
    assert platform.foreign_lines(diff, running, commands) == foreign


def test_shipped_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert (resources.resource_dir("templates") / "frr.j2").is_file()
    package = tmp_path / "k8s_ecmp"
    package.mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="install"):
        resources.resource_dir("templates")
    for folder in (tmp_path / "inventories/demo", package / "demo"):  # a checkout, then a wheel
        folder.mkdir(parents=True)
        assert resources.resource_dir("demo") == folder

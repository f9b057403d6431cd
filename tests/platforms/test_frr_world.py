"""A real FRR beside the golden cases: it reads what we read, and its configuration becomes what we say."""

from collections.abc import Iterator

import pytest

from k8s_ecmp.model import NextHop, Prefix, RouteChange, RunningRoutes
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Better, Installed, Verification
from k8s_ecmp.platforms.flat import FlatPlatform
from k8s_ecmp.routers.drivers.frr import transactions
from k8s_ecmp.routers.drivers.frr.transactions import Running
from tests.platforms.cases import Case, all_cases, table
from tests.platforms.test_reading import FRR_LINES
from tests.world import frr_release
from tests.world.frr import FrrRouter, Link
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.frr_releases(frr_release.NEWEST), pytest.mark.long]

FRR = get_platform("frr")
CASES = [case for case in all_cases() if case.platform_name == "frr"]
# Refused without MPLS in the kernel, or no line that FRR shows.
NOT_SHOWN = ("label", "segments 1/2", "tag 5 tag 6")
# Later versions know these; 8.4 takes them for interfaces or refuses them.
NOT_IN_8_4 = ("color", "weight", "bfd")


@pytest.fixture(scope="module")
def router(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrRouter]:
    release = frr_release.wanted(request)
    links = [Link("e0", ["10.0.0.254/24", "fd00:a::fe/64"])]
    with FrrRouter("platforms", tmp_path_factory.mktemp("frr"), links=links, release=release) as started:
        yield started


@pytest.fixture
def empty_router(router: FrrRouter) -> FrrRouter:
    running = FRR.parse(router.running_config())
    changes = [RouteChange("delete", route.vrf, route.prefix, route.next_hops, ()) for route in running]
    apply(router, FRR.render(changes, running))
    assert not FRR.parse(router.running_config())
    return router


def load(router: FrrRouter, commands: str) -> str:
    """The commands as one transaction; what vtysh says."""
    (router.directory / router.name / "commands.txt").write_text(commands)
    said = router.run("sh", "-c", "vtysh -f /run/world/commands.txt 2>&1", check=False)
    if "% Configuration failed" in said:  # FRR 10 keeps what failed, and fails on it again
        router.run("vtysh", "-c", "configure terminal file-lock", "-c", "mgmt commit abort", check=False)
    return said


def apply(router: FrrRouter, commands: str) -> str:
    """The transactions that the driver makes of commands; what vtysh says."""
    change = transactions.change(Running.read(router.running_config()), transactions.read_commands(commands))
    return "".join(load(router, batch) for batch in change.batches)


def static_lines(running: RunningRoutes) -> str:
    """The static lines as they stand in the text, those of a block with their VRF behind them."""
    lines = []
    for route in running:
        for number in route.lines:
            line = running.source[number - 1].strip()
            inline = route.vrf == "default" or f" vrf {route.vrf}" in line.replace("nexthop-vrf", "")
            lines.append(line if inline else f"{line} vrf {route.vrf}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_commands_do_on_frr_what_they_do_on_the_text(empty_router: FrrRouter, case: Case):
    load(empty_router, static_lines(case.running))
    assert table(FRR.parse(empty_router.running_config())) == table(case.running)
    said = apply(empty_router, case.text("commands.txt"))
    assert "%" not in said.replace("% Configuration applied with notes", "")  # a VRF that does not exist yet
    shown = FRR.parse(empty_router.running_config())
    after = case.platform.parse(case.text("after.cfg"))
    assert table(shown) == table(after)
    assert isinstance(case.platform, FlatPlatform)
    canonical = {
        (route.vrf, case.platform.shown(route.vrf, route.prefix, hop, None))
        for route in after
        for hop in route.next_hops
        if hop.discard is False
    }
    assert canonical <= {(route.vrf, shown.source[line - 1]) for route in shown for line in route.lines}


def lines(*, new: bool) -> list[tuple[str, NextHop]]:
    """Those of the parser's test that FRR shows as they are; those that only newer versions do."""
    shown = [pair for pair in FRR_LINES if not any(word in pair[0] for word in NOT_SHOWN)]
    return [pair for pair in shown if any(word in pair[0] for word in NOT_IN_8_4) == new]


@pytest.mark.parametrize(("line", "hop"), lines(new=False))
def test_frr_shows_a_line_as_we_read_it(empty_router: FrrRouter, line: str, hop: NextHop):
    load(empty_router, f"{line}\n")
    (route,) = FRR.parse(empty_router.running_config())
    assert route.next_hops == (hop,)


@pytest.mark.frr_releases(frr_release.NEWEST, installed=False)
@pytest.mark.parametrize(("line", "hop"), lines(new=True))
def test_a_newer_frr_shows_a_line_as_we_read_it(empty_router: FrrRouter, line: str, hop: NextHop):
    load(empty_router, f"{line}\n")
    (route,) = FRR.parse(empty_router.running_config())
    assert route.next_hops == (hop,)


@pytest.mark.frr_releases(frr_release.NEWEST, installed=False)
def test_a_hop_follows_bfd_where_it_is_written_so_and_no_longer_where_it_is_not(empty_router: FrrRouter):
    prefix = Prefix.parse("10.0.0.0/8")
    plain = NextHop("10.0.0.1", tag=5)
    followed = NextHop("10.0.0.1", tag=5, options=FRR.capabilities.bfd)
    before: tuple[NextHop, ...] = ()
    for hop in (plain, followed, plain):
        change = RouteChange("update" if before else "create", "default", prefix, before, (hop,))
        apply(empty_router, FRR.render([change], FRR.parse(empty_router.running_config())))
        (route,) = FRR.parse(empty_router.running_config())
        assert route.next_hops == (hop,)
        before = (hop,)


@pytest.mark.parametrize("command", ["no ip route 10.0.0.0/8 10.1.1.2", "no ip route 10.0.0.0/8 10.1.1.1 e0"])
def test_frr_refuses_what_we_refuse(empty_router: FrrRouter, command: str):
    load(empty_router, "ip route 10.0.0.0/8 10.1.1.1 20\n")
    assert "non-existent" in load(empty_router, f"{command}\n")


def test_tables_and_next_hops(empty_router: FrrRouter):
    routes = (
        "ip route 10.1.0.0/16 10.0.0.1\nip route 10.1.0.0/16 10.0.0.2\nip route 10.1.0.0/16 blackhole 250\n"
        "ip route 10.2.0.0/16 blackhole\nip route 10.3.0.0/16 10.1.2.3\nip route 10.4.0.0/16 198.51.100.1\n"
        "ip route 10.4.0.0/16 10.0.0.9\nip route 10.5.0.0/16 10.0.0.7 200\nip route 0.0.0.0/0 10.0.0.250\n"
        "ipv6 route fd43::/108 fd00:a::1\n"
    )
    # Off by default in 8.4 alone.
    load(empty_router, "no ip nht resolve-via-default\nno ipv6 nht resolve-via-default\n")
    for line in routes.splitlines():  # each alone: 8.4.4 loses next hops that are added together
        load(empty_router, f"{line}\n")
    empty_router.ip("route add 10.5.0.0/16 via 10.0.0.8")
    verification = FRR.verification
    assert verification is not None

    def tables() -> dict[tuple[str, Prefix], Installed]:
        commands = verification.table_commands(["default", "nowhere"])
        return verification.read_tables({command: empty_router.vtysh(command) for command in commands})

    def both(*labels: str) -> Installed:
        return Installed(frozenset(labels), frozenset(labels))

    none = frozenset[str]()
    expected = {
        "10.1.0.0/16": both("10.0.0.1", "10.0.0.2"),
        "10.2.0.0/16": both("discard"),
        "10.3.0.0/16": both("10.1.2.3"),
        "10.4.0.0/16": both("10.0.0.9"),
        "10.5.0.0/16": Installed(none, none, None, frozenset({"10.0.0.7"})),
        "0.0.0.0/0": both("10.0.0.250"),
        "fd43::/108": both("fd00:a::1"),
    }
    wait_for(lambda: tables() == {("default", Prefix.parse(text)): found for text, found in expected.items()}, "tables")
    (command,) = verification.prefix_commands("default", [Prefix.parse("10.5.0.0/16")])
    (found,) = verification.read_tables({command: empty_router.vtysh(command)}).values()
    assert found == Installed(none, none, Better("kernel", 0), frozenset({"10.0.0.7"}))

    addresses = ["10.0.0.1", "10.1.2.3", "10.2.0.1", "198.51.100.1", "fd00:a::5", "fd00:b::5"]
    assert unresolved(empty_router, verification, addresses) == {"10.2.0.1", "198.51.100.1", "fd00:b::5"}
    load(empty_router, "ip nht resolve-via-default\n")
    assert unresolved(empty_router, verification, addresses) == {"10.2.0.1", "fd00:b::5"}
    load(empty_router, "no ip nht resolve-via-default\n")
    assert unresolved(empty_router, verification, ["10.0.0.1"], vrf="nowhere") == {"10.0.0.1"}


def unresolved(
    router: FrrRouter, verification: Verification, addresses: list[str], vrf: str = "default"
) -> frozenset[str]:
    commands = verification.resolve_commands(vrf, addresses)
    answers = {command: router.run("vtysh", "-c", command, check=False) for command in commands}
    return verification.read_unresolved(vrf, addresses, answers)

"""The emulated IOS router against what Cisco's guides say of the device."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netmiko import ConnectHandler

from tests.world.emulators.base import PASSWORD, USERNAME
from tests.world.emulators.ios import Ios
from tests.world.emulators.ios_config import ABSENT, INCOMPLETE, INVALID, Config, Refused

pytestmark = pytest.mark.slow

SMALL = """\
hostname r1
!
vrf definition red
 rd 65001:10
!
interface GigabitEthernet0/0
 ip address 10.0.0.254 255.255.255.0
 ipv6 address FD00:A::FE/64
!
interface GigabitEthernet0/1
 vrf forwarding red
 ip address 10.20.0.254 255.255.255.0
!
ip route 10.1.0.0 255.255.0.0 10.0.0.1 200 tag 5 name a
line vty 0 4
end
"""
STANDING = "ip route 10.1.0.0 255.255.0.0 10.0.0.1 200 tag 5 name a"
Ask = Callable[[str], str]


def typed(*lines: str) -> list[str]:
    """The static lines after typing."""
    config = Config.of(SMALL)
    for line in lines:
        config.configure(line)
    return [line for line in config.text().splitlines() if line.startswith(("ip route ", "ipv6 route "))]


def refused(*lines: str) -> str:
    with pytest.raises(Refused) as error:
        typed(*lines)
    return str(error.value)


@pytest.mark.parametrize("text", [SMALL, Ios.SAMPLE])
def test_a_configuration_is_printed_as_it_was_loaded(text: str):
    assert Config.of(text).text() == text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.1", "ip route 10.1.0.0 255.255.0.0 10.0.0.1"),
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.1 1 tag 6", "ip route 10.1.0.0 255.255.0.0 10.0.0.1 tag 6"),
        (
            'ip route 10.1.0.0 255.255.0.0 10.0.0.1 name "a b" permanent tag 7',
            'ip route 10.1.0.0 255.255.0.0 10.0.0.1 tag 7 permanent name "a b"',
        ),
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.1 track 9", "ip route 10.1.0.0 255.255.0.0 10.0.0.1 track 9"),
    ],
)
def test_a_hop_typed_again_is_replaced(line: str, shown: str):
    assert typed(line) == [shown]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.2", "ip route 10.1.0.0 255.255.0.0 10.0.0.2"),
        ("ip route 10.1.0.0 255.255.0.0 null0", "ip route 10.1.0.0 255.255.0.0 Null0"),
        (
            "ip route 10.1.0.0 255.255.0.0 GigabitEthernet0/0 10.0.0.1",
            "ip route 10.1.0.0 255.255.0.0 GigabitEthernet0/0 10.0.0.1",
        ),
        ("ip route vrf red 10.1.0.0 255.255.0.0 10.20.0.1", "ip route vrf red 10.1.0.0 255.255.0.0 10.20.0.1"),
        ("ipv6 route fd96::/108 fd00:a:0::1 tag 4", "ipv6 route FD96::/108 FD00:A::1 tag 4"),
    ],
)
def test_another_hop_is_another_line(line: str, shown: str):
    assert typed(line) == [STANDING, shown]


def test_no_removes_the_hop_that_it_describes():
    assert typed(f"no {STANDING}") == []
    assert typed("no ip route 10.1.0.0 255.255.0.0 10.0.0.1") == []
    assert typed("no ip route 10.1.0.0 255.255.0.0 10.0.0.1 tag 5") == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no ip route 10.1.0.0 255.255.0.0 10.0.0.2", ABSENT),
        ("no ip route 10.1.0.0 255.255.0.0 10.0.0.1 tag 6", ABSENT),
        ("no ip route 10.1.0.0 255.255.0.0 10.0.0.1 name b", ABSENT),
        ("no ip route 10.1.0.0 255.255.0.0 10.0.0.1 199", ABSENT),
        ("no ipv6 route FD96::/108 FD00:A::1", ABSENT),
        ("ip route 10.1.0.0 255.255.0.0", INCOMPLETE),
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.1 tag", INCOMPLETE),
        ("ip route 10.1.0.0/16 10.0.0.1", INVALID),
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.1 tag 0", INVALID),
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.1 256", INVALID),
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.1 frobnicate", INVALID),
        ("ip route 10.1.0.9 255.255.0.0 10.0.0.1", "%Inconsistent address and mask"),
        ("ip route 10.1.0.0 255.255.0.0 10.0.0.254", "%Invalid next hop address (it's this router)"),
        ("ip route vrf blue 10.1.0.0 255.255.0.0 10.0.0.1", "% IP routing table blue does not exist"),
    ],
)
def test_what_the_router_refuses(line: str, said: str):
    assert refused(line) == said


def test_the_table_has_the_lowest_distance_and_reachable_hops():
    config = Config.of(SMALL)
    config.configure("ip route 10.1.0.0 255.255.0.0 10.0.0.2 100")
    config.configure("ip route 10.2.0.0 255.255.0.0 192.0.2.77")
    config.configure("ip route vrf red 10.2.0.0 255.255.0.0 10.0.0.1")
    config.configure("ip route vrf red 10.3.0.0 255.255.0.0 10.0.0.1 global")
    table = {(vrf, str(prefix)): [hop.target for hop in hops] for (vrf, prefix), hops in config.table().items()}
    assert table == {("default", "10.1.0.0/16"): ["10.0.0.2"], ("red", "10.3.0.0/16"): ["10.0.0.1"]}


def test_other_lines_are_configured_too():
    config = Config.of(SMALL)
    for line in ("interface GigabitEthernet0/0", " description x", " no ip address 10.0.0.254 255.255.255.0", "ntp x"):
        config.configure(line)
    text = config.text()
    assert "interface GigabitEthernet0/0\n ipv6 address FD00:A::FE/64\n description x\n" in text
    assert "ntp x\n" in text
    config.configure("no ntp x")
    assert "ntp x\n" not in config.text()


# --- over SSH ---


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Ios]:
    with Ios(tmp_path) as device:
        yield device


@pytest.fixture
def ask(router: Ios) -> Iterator[Ask]:
    shell = ConnectHandler(
        device_type="cisco_ios",
        host="127.0.0.1",
        port=router.host()["port"],
        username=USERNAME,
        password=PASSWORD,
        ssh_strict=True,
        alt_host_keys=True,
        alt_key_file=str(router.host()["connection_options"]["napalm"]["extras"]["optional_args"]["alt_key_file"]),
    )
    yield lambda command: str(shell.send_command(command, expect_string=r"[#?\]]\s*$"))
    shell.disconnect()


def put(router: Ios, text: str) -> None:
    router.flash.path("flash:/x.cfg").write_text(text)


def test_a_copy_merges_line_by_line_and_goes_on_behind_an_error(router: Ios, ask: Ask):
    put(
        router,
        "ip route 10.5.0.0 255.255.0.0 10.192.0.1\nip route 10.6.0.0 junk\nip route 10.7.0.0 255.255.0.0 Null0\n",
    )
    answer = ask("copy flash:/x.cfg running-config")
    assert INVALID in answer
    assert "bytes copied" in answer
    assert {("default", "10.5.0.0/16"), ("default", "10.7.0.0/16")} <= router.routes().keys()
    assert not router.saved()


def test_file_operations_ask_back_unless_prompts_are_off(router: Ios, ask: Ask):
    router.type("no file prompt quiet")
    put(router, "ip route 10.5.0.0 255.255.0.0 10.192.0.1\n")
    assert "Destination filename [running-config]?" in ask("copy flash:/x.cfg running-config")
    assert ("default", "10.5.0.0/16") not in router.routes()
    ask("\n")
    assert ("default", "10.5.0.0/16") in router.routes()


def test_incremental_diffs_list_what_is_missing(router: Ios, ask: Ask):
    put(router, "IP ROUTE 203.0.113.0 255.255.255.0 null0\nno ip route 10.9.0.0 255.255.0.0 Null0\nend\n")
    assert ask("show archive config incremental-diffs flash:/x.cfg ignorecase").split("\n")[:3] == [
        "!List of Commands:",
        "no ip route 10.9.0.0 255.255.0.0 Null0",
        "end",
    ]
    put(router, "ip route 203.0.113.0 255.255.255.0 Null0\nend\n")
    assert "!No changes were found" in ask("show archive config incremental-diffs flash:/x.cfg ignorecase")
    put(router, "ip route 203.0.113.0 255.255.255.0 Null0\n")
    assert "error 5" in ask("show archive config incremental-diffs flash:/x.cfg ignorecase")


def test_the_timer_restores_everything_since_its_start(router: Ios, ask: Ask):
    before = router.running()
    assert "No Rollback Confirmed Change pending" in ask("show archive config rollback timer")
    ask("configure terminal revert timer 2")
    router.type("ip route 10.5.0.0 255.255.0.0 10.192.0.1\nntp server 192.0.2.5")
    ask("end")
    assert "Timer value: 2 min" in ask("show archive config rollback timer")
    router.expire()
    assert router.running() == before


def test_confirm_and_revert_end_the_timer(router: Ios, ask: Ask):
    before = router.running()
    for end, kept in (("configure confirm", True), ("configure revert now", False)):
        router.load(before)
        ask("configure terminal revert timer 1")
        ask("ip route 10.5.0.0 255.255.0.0 10.192.0.1")
        ask("end")
        assert router.pending()
        ask(end)
        assert not router.pending()
        assert (("default", "10.5.0.0/16") in router.routes()) is kept
    assert "No Rollback Confirmed Change pending" in ask("configure confirm")


def test_the_timer_needs_an_archive_with_a_path(router: Ios, ask: Ask):
    router.type("no archive")
    assert "Archive feature not enabled" in ask("show archive")
    assert "%Please turn config archive on" in ask("configure terminal revert timer 1")
    assert not router.pending()


def test_saving(router: Ios, ask: Ask):
    router.type("ip route 10.5.0.0 255.255.0.0 10.192.0.1")
    router.nvram_busy = True
    assert "[OK]" not in ask("write mem")
    assert not router.saved()
    router.nvram_busy = False
    assert "[OK]" in ask("write mem")
    assert router.saved()
    assert "ip route 10.5.0.0" in ask("show startup-config")


def test_replacing_and_deleting(router: Ios, ask: Ask):
    before = router.running()
    ask("copy running-config flash:/x.cfg")
    router.type("ip route 10.5.0.0 255.255.0.0 10.192.0.1")
    ask("configure replace flash:/x.cfg force")
    assert router.running() == before
    assert "x.cfg" in ask("dir flash:")
    assert ask("delete /force flash:/x.cfg").strip() == ""
    assert "No such file" in ask("dir flash:/x.cfg")
    assert "No such file" in ask("delete /force flash:/x.cfg")


def test_a_locked_configuration_lets_nobody_in(router: Ios, ask: Ask):
    assert "FREE" in ask("show configuration lock")
    router.faults.holder = "alice"
    assert "locked by user 'alice'" in ask("configure terminal")
    assert "LOCKED" in ask("show configuration lock")


def test_what_the_tables_show(router: Ios, ask: Ask):
    router.type("ip route 10.5.0.0 255.255.0.0 10.192.0.1\nip route 10.5.0.0 255.255.0.0 10.192.0.2")
    table = ask("show ip route static")
    assert "S        10.5.0.0/16 [1/0] via 10.192.0.1\n                     [1/0] via 10.192.0.2" in table.replace(
        "\r", ""
    )
    assert "* 10.192.0.1" in ask("show ip route 10.5.0.0 255.255.0.0")
    assert "recursive via 10.192.0.2" in ask("show ip cef 10.5.0.0 255.255.0.0 detail")
    assert "via FD10:192::99" in ask("show ipv6 route static")
    assert 'Known via "connected"' in ask("show ip route 10.192.0.7")
    assert "not in table" in ask("show ip route 192.0.2.200")
    assert "does not exist" in ask("show ip route vrf blue static")
    router.faults.hide = {"10.5.0.0/16"}
    assert "10.5.0.0" not in ask("show ip route static")
    assert "not in table" in ask("show ip route 10.5.0.0 255.255.0.0")
    assert "not found" in ask("show ip cef 10.5.0.0 255.255.0.0 detail")


def test_an_unknown_command_is_invalid_input(ask: Ask):
    assert INVALID in ask("frobnicate")

"""The emulated Arista switch against what the EOS manual says, spoken to by pyeapi alone."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyeapi
import pytest
from pyeapi.eapilib import CommandError, ConnectionError

from tests.world.emulators.base import PASSWORD, USERNAME, Learned
from tests.world.emulators.eos import Eos
from tests.world.emulators.eos_config import CliError, Config

pytestmark = pytest.mark.slow

FRAME = "hostname r1\n!\nvrf instance red\n!\ninterface Ethernet1\n   ip address 10.0.0.254/24\n!\nip routing\n!\nend\n"


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Eos]:
    with Eos(tmp_path) as device:
        yield device


def connect(switch: Eos, password: str = PASSWORD) -> Any:
    host = switch.host()
    trusted = ssl.create_default_context(
        cafile=host["connection_options"]["napalm"]["extras"]["optional_args"]["ca_file"]
    )
    return pyeapi.connect(
        host="127.0.0.1", port=host["port"], username=USERNAME, password=password, context=trusted, return_node=True
    )


def routes(*commands: str) -> list[str]:
    """The static lines after commands on a switch that had none."""
    config = Config.read(FRAME)
    for command in commands:
        config.command(command)
    return [line for line in config.text().splitlines() if " route " in line]


def test_the_sample_is_printed_as_it_was_loaded(switch: Eos) -> None:
    assert switch.running() == Eos.SAMPLE


def test_a_route_typed_again_loses_what_is_left_out() -> None:
    assert routes("ip route 10.1.0.0/16 10.0.0.1 track bfd tag 5 name a", "ip route 10.1.0.0/16 10.0.0.1 tag 5") == [
        "ip route 10.1.0.0/16 10.0.0.1 tag 5"
    ]


def test_all_paths_of_one_distance_share_the_last_tag() -> None:
    assert routes(
        "ip route 10.1.0.0/16 10.0.0.1 tag 5 name a",
        "ip route 10.1.0.0/16 10.0.0.9 200 tag 9",
        "ip route 10.1.0.0/16 10.0.0.2 tag 6",
    ) == [
        "ip route 10.1.0.0/16 10.0.0.1 tag 6 name a",
        "ip route 10.1.0.0/16 10.0.0.2 tag 6",
        "ip route 10.1.0.0/16 10.0.0.9 200 tag 9",
    ]
    assert routes("ip route 10.1.0.0/16 10.0.0.1 tag 5", "ip route 10.1.0.0/16 10.0.0.2") == [
        "ip route 10.1.0.0/16 10.0.0.1",
        "ip route 10.1.0.0/16 10.0.0.2",
    ]


@pytest.mark.parametrize(
    ("removal", "left"),
    [
        ("no ip route 10.1.0.0/16 10.0.0.1 200", ["10.0.0.1", "10.0.0.2"]),
        ("no ip route 10.1.0.0/16 10.0.0.1", ["10.0.0.2"]),
        ("no ip route 10.1.0.0/16", []),
        ("no ip route 10.9.0.0/16", ["10.0.0.1", "10.0.0.2", "10.0.0.1 200"]),
        ("no ip route 10.1.0.0/16 10.0.0.7", ["10.0.0.1", "10.0.0.2", "10.0.0.1 200"]),
        ("no ip route vrf red 10.1.0.0/16", ["10.0.0.1", "10.0.0.2", "10.0.0.1 200"]),
    ],
)
def test_what_no_takes_away(removal: str, left: list[str]) -> None:
    standing = [f"ip route 10.1.0.0/16 {hop}" for hop in ("10.0.0.1", "10.0.0.1 200", "10.0.0.2")]
    assert routes(*standing, removal) == [f"ip route 10.1.0.0/16 {hop}" for hop in left]


def test_masks_host_bits_defaults_and_order() -> None:
    assert routes(
        "ip route vrf red 10.1.0.0/16 10.5.0.1",
        "ip route 10.2.3.4 255.255.0.0 10.0.0.1 1 tag 0",
        "ip route 10.1.0.0/16 null0",
        "ip route 10.3.0.0/16 nexthop-group NODES",
        "ipv6 route FD00:0::/64 FD00::1",
    ) == [
        "ip route 10.1.0.0/16 Null0",
        "ip route 10.2.0.0/16 10.0.0.1",
        "ip route 10.3.0.0/16 Nexthop-Group NODES",
        "ip route vrf red 10.1.0.0/16 10.5.0.1",
        "ipv6 route fd00::/64 fd00::1",
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ip route 10.1.0.0/16", 1002),
        ("ip route 10.1.0.0/33 10.0.0.1", 1002),
        ("ip route 10.1.0.0/16 10.0.0.1 256", 1002),
        ("ip route 10.1.0.0/16 10.0.0.1 tag", 1002),
        ("ip rout 10.1.0.0/16 10.0.0.1", 1002),
        ("ip route vrf blue 10.1.0.0/16 10.0.0.1", 1000),
    ],
)
def test_what_is_refused(line: str, code: int) -> None:
    with pytest.raises(CliError) as error:
        routes(line)
    assert error.value.code == code


def test_null0_does_not_stand_beside_a_next_hop() -> None:
    with pytest.raises(CliError):
        routes("ip route 10.1.0.0/16 10.0.0.1", "ip route 10.1.0.0/16 Null0")
    routes("ip route 10.1.0.0/16 10.0.0.1", "ip route 10.1.0.0/16 Null0 250")


def test_a_session_is_a_copy_and_its_commit_overwrites_what_others_did(switch: Eos) -> None:
    node = connect(switch)
    node.run_commands(["configure session s1", "ip route 10.1.0.0/16 10.192.0.1", "end"])
    assert "10.1.0.0/16" not in switch.running()
    switch.type("hostname other")
    (shown,) = node.run_commands(["show session-config named s1 diffs"], encoding="text")
    changed = [line for line in shown["output"].splitlines()[2:] if line[:1] in "+-"]
    assert changed == ["-hostname other", "+hostname leaf1", "+ip route 10.1.0.0/16 10.192.0.1"]
    node.run_commands(["configure session s1 commit"])
    assert "hostname leaf1" in switch.running()
    assert switch.sessions() == {"s1": "completed"}
    assert not switch.saved()


def test_a_timer_reverts_confirms_and_keeps_others_from_committing(switch: Eos) -> None:
    node = connect(switch)
    before = switch.running()
    for name in ("s1", "s2"):
        node.run_commands([f"configure session {name}", "ip route 10.1.0.0/16 10.192.0.1", "end"])
    node.run_commands(["configure session s1 commit timer 00:01:00"])
    assert switch.pending()
    with pytest.raises(CommandError, match="could not run command"):
        node.run_commands(["configure session s2 commit"])
    switch.expire()
    assert switch.running() == before
    node.run_commands(["configure session s2 commit timer 00:01:00"])
    node.run_commands(["configure session s2 abort"])
    assert switch.running() == before
    node.run_commands(["configure session s3", "ip route 10.1.0.0/16 10.192.0.1", "end"])
    node.run_commands(["configure session s3 commit timer 00:01:00"])
    node.run_commands(["configure session s3 commit"])
    assert not switch.pending()
    assert ("default", "10.1.0.0/16") in switch.routes()


@pytest.mark.parametrize(
    ("version", "state", "named"), [("4.31.2F", "pendingCommitTimer", False), ("4.32.5M", "committed", True)]
)
def test_how_a_running_timer_is_listed(switch: Eos, version: str, state: str, named: bool) -> None:
    switch.version = version
    node = connect(switch)
    node.run_commands(["configure session s1", "ip route 10.1.0.0/16 10.192.0.1", "end"])
    node.run_commands(["configure session s1 commit timer 00:01:00"])
    (listed,) = node.run_commands(["show configuration sessions detail"])
    assert listed["sessions"]["s1"]["state"] == state
    assert ("commitTimerSessionName" in listed) is named


def test_the_first_refused_command_ends_a_request(switch: Eos) -> None:
    node = connect(switch)
    with pytest.raises(CommandError) as error:
        node.run_commands(["configure session s1", "ip route 10.1.0.0/16 10.192.0.1", "ip rout x", "hostname lost"])
    assert "CLI command 4 of 5 'ip rout x' failed: invalid command" in str(error.value)
    assert "hostname lost" not in switch.transcript
    assert switch.sessions() == {"s1": "pending"}


def test_at_most_five_sessions_are_pending(switch: Eos) -> None:
    node = connect(switch)
    for number in range(5):
        node.run_commands([f"configure session s{number}", "end"])
    with pytest.raises(CommandError):
        node.run_commands(["configure session s5", "end"])


def test_tables(switch: Eos) -> None:
    switch.type("ip route 10.1.0.0/16 10.192.0.1\nip route 10.1.0.0/16 10.192.0.2\nip route 10.2.0.0/16 10.99.0.1")
    node = connect(switch)
    (table,) = node.run_commands(["show ip route vrf default static"])
    shown = table["vrfs"]["default"]["routes"]
    assert [via["nexthopAddr"] for via in shown["10.1.0.0/16"]["vias"]] == ["10.192.0.1", "10.192.0.2"]
    assert shown["198.51.100.0/24"]["routeAction"] == "drop"
    assert "10.2.0.0/16" not in shown  # its next hop is not connected
    (match,) = node.run_commands(["show ip route vrf default 10.192.0.77"])
    assert list(match["vrfs"]["default"]["routes"]) == ["10.192.0.0/24"]
    (unrouted,) = node.run_commands(["show ip route vrf MGMT static"])
    assert unrouted["vrfs"]["MGMT"]["routingDisabled"]
    assert unrouted["vrfs"]["MGMT"]["routes"] == {}


def test_a_full_disk_keeps_copies_from_being_made(switch: Eos) -> None:
    switch.faults.full_disk = True
    with pytest.raises(CommandError, match="write memory"):
        connect(switch).run_commands(["write memory"])


def test_who_does_not_know_the_password_is_sent_away(switch: Eos) -> None:
    with pytest.raises(ConnectionError, match="Unable to authenticate"):
        connect(switch, "wrong").run_commands(["show version"])
    assert switch.transcript == []


def test_a_next_hop_behind_a_learned_route_is_shown_as_that_route_s(switch: Eos):
    """batfish/lab-validation, mix_vendor_bgp_vrf: configured 10.10.10.6, shown 10.10.30.1."""
    switch.type("ip route 10.9.0.0/16 10.192.0.2 tag 34\nip route 10.9.0.0/16 10.192.0.3 tag 34")
    switch.learned["10.192.0.2/32"] = Learned("10.192.0.253")
    switch.learned["10.192.0.0/16"] = Learned("10.192.0.252")  # the connected subnet is the longer match
    (shown,) = connect(switch).run_commands(["show ip route 10.9.0.0/16"])
    entry = shown["vrfs"]["default"]["routes"]["10.9.0.0/16"]
    assert [via["nexthopAddr"] for via in entry["vias"]] == ["10.192.0.253", "10.192.0.3"]
    (way,) = connect(switch).run_commands(["show ip route 10.192.0.2"])
    (covering,) = way["vrfs"]["default"]["routes"].values()
    assert not covering["directlyConnected"]

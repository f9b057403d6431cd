"""The emulated Nexus switch against what Cisco's guides say of the device."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from netmiko import ConnectHandler

from tests.world.emulators.base import PASSWORD, USERNAME
from tests.world.emulators.nxos import NxosApi, NxosSsh, Shell
from tests.world.emulators.nxos_config import ABSENT, INCOMPLETE, INVALID, Config, Refused

pytestmark = pytest.mark.slow

SMALL = """hostname n9k
ip route 10.1.0.0/16 10.0.0.1 name a tag 5 200
vlan 1
vrf context red
  rd auto
interface Vlan10
  ip address 10.0.0.254/24
interface Vlan20
  vrf member red
  ip address 10.20.0.254/24
"""


def typed(*lines: str, text: str = SMALL) -> list[str]:
    """The static lines after typing, with their VRF's head where one is."""
    config = Config(text)
    mode = ""
    for line in lines:
        mode = config.type(line, mode)
    found = []
    head = ""
    for line in config.text().splitlines():
        head = line if line.startswith("vrf context ") else head if line.startswith(" ") else ""
        if " route " in f" {line}" and "static" not in line:
            found.append(f"{head.removeprefix('vrf context ')} {line.strip()}".strip())
    return found


def refused(*lines: str) -> str:
    with pytest.raises(Refused) as error:
        typed(*lines)
    return str(error.value)


def test_the_sample_is_printed_as_it_was_loaded():
    assert Config(NxosApi.SAMPLE).text() == NxosApi.SAMPLE


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("ip route 10.1.0.0/16 10.0.0.1", "ip route 10.1.0.0/16 10.0.0.1 name a tag 5 200"),
        ("ip route 10.1.0.0/16 10.0.0.1 tag 6", "ip route 10.1.0.0/16 10.0.0.1 name a tag 6 200"),
        ("ip route 10.1.0.0/16 10.0.0.1 1 name b", "ip route 10.1.0.0/16 10.0.0.1 name b tag 5"),
        ("ip route 10.1.2.3 255.255.0.0 10.0.0.1/32 tag 0", "ip route 10.1.0.0/16 10.0.0.1 name a 200"),
    ],
)
def test_a_hop_typed_again_keeps_what_is_left_out(line: str, shown: str):
    assert typed(line) == [shown]


def test_interface_and_vrf_make_another_hop():
    assert typed(
        "ip route 10.1.0.0/16 vlan10 10.0.0.1",
        "ip route 10.1.0.0/16 10.0.0.1 vrf red",
        "ip route 10.2.0.0/16 null0 250",
    ) == [
        "ip route 10.1.0.0/16 10.0.0.1 name a tag 5 200",
        "ip route 10.1.0.0/16 10.0.0.1 vrf red",
        "ip route 10.1.0.0/16 Vlan10 10.0.0.1",
        "ip route 10.2.0.0/16 Null0 250",
    ]


def test_removal():
    assert typed("no ip route 10.1.0.0/16 10.0.0.1") == []
    assert typed("no ip route 10.1.0.0/16 10.0.0.1 tag 77") == []
    assert refused("no ip route 10.1.0.0/16") == INCOMPLETE
    assert refused("no ip route 10.1.0.0/16 10.0.0.2") == ABSENT
    assert refused("no ip route 10.1.0.0/16 Vlan10 10.0.0.1") == ABSENT


def test_routes_in_a_vrf():
    lines = ["vrf context red", "ip route 10.2.0.0/16 10.20.0.1", "ipv6 route fd00::/8 fe80::1"]
    assert typed(*lines)[1:] == ["red ip route 10.2.0.0/16 10.20.0.1", "red ipv6 route fd00::/8 fe80::1"]
    assert typed(*lines, "exit", "ip route 10.3.0.0/16 10.0.0.1")[1] == "ip route 10.3.0.0/16 10.0.0.1"
    assert typed("vrf context new", "ip route 10.2.0.0/16 10.20.0.1")[1:] == ["new ip route 10.2.0.0/16 10.20.0.1"]
    assert typed(*lines, "exit", "no vrf context red") == ["ip route 10.1.0.0/16 10.0.0.1 name a tag 5 200"]


@pytest.mark.parametrize(
    "line",
    [
        "ip route 10.1.0.0/33 10.0.0.1",
        "ip route 10.1.0.0 10.0.0.1",
        "ipv6 route 10.1.0.0/16 10.0.0.1",
        "ip route 10.1.0.0/16 fe80::1",
        "ip route 10.1.0.0/16 10.0.0.1 tag x",
        "ip route 10.1.0.0/16 10.0.0.1 256",
        f"ip route 10.1.0.0/16 10.0.0.1 name {'x' * 51}",
        "routing ip",
    ],
)
def test_lines_that_are_refused(line: str):
    assert refused(line) == INVALID


def test_what_is_in_force():
    config = Config(SMALL)
    for line in (
        "ip route 10.2.0.0/16 10.0.0.1",
        "ip route 10.2.0.0/16 10.0.0.2 20",
        "ip route 10.3.0.0/16 10.99.0.1",
        "ip route 10.4.0.0/16 10.1.0.9",
        "ip route 10.5.0.0/16 10.20.0.9 vrf red",
        "ip route 10.6.0.0/16 10.20.0.9",
    ):
        config.type(line, "")
    found = {str(network): [hop.address for hop in hops] for (_, network), hops in config.installed().items()}
    assert found == {
        "10.1.0.0/16": ["10.0.0.1"],
        "10.2.0.0/16": ["10.0.0.1"],
        "10.4.0.0/16": ["10.1.0.9"],
        "10.5.0.0/16": ["10.20.0.9"],
    }


# --- exec commands ---


@pytest.fixture
def api(tmp_path: Path) -> Iterator[NxosApi]:
    with NxosApi(tmp_path, SMALL) as device:
        yield device


def test_checkpoint_rollback_and_saving(api: NxosApi):
    shell = Shell(configuring=True)
    before = api.running()
    api.do("checkpoint file one", shell)
    assert "one" in api.do("dir one", shell)
    assert "No such file" in api.do("dir two", shell)
    assert api.do("dir | include two", shell) == ""
    api.do("no ip route 10.1.0.0/16 10.0.0.1", shell)
    assert not api.saved()
    assert "completed" in api.do("rollback running-config file one", shell)
    assert api.running() == before
    api.do("delete one", shell)
    with pytest.raises(Refused):
        api.do("rollback running-config file one", shell)
    api.type("ip route 10.9.0.0/16 10.0.0.9")
    api.do("copy run startup-config", shell)
    assert api.saved()
    api.faults.full_disk = True
    for command in ("checkpoint file three", "copy running-config startup-config"):
        with pytest.raises(Refused, match="no space"):
            api.do(command, shell)


def test_a_reload_forgets_what_was_not_saved(api: NxosApi):
    before = api.running()
    api.type("ip route 10.9.0.0/16 10.0.0.9\nvrf context red\n  ip route 10.9.0.0/16 10.20.0.9")
    assert ("red", "10.9.0.0/16") in api.routes()
    api.boot()
    assert api.running() == before


def test_show_route(api: NxosApi):
    shell = Shell()
    api.type("ip route 10.1.0.0/16 10.0.0.2 200\nipv6 route fd00::/8 Null0")
    table = api.do("show ip route static vrf default", shell)
    assert 'IP Route Table for VRF "default"' in table
    assert "10.1.0.0/16, ubest/mbest: 2/0\n    *via 10.0.0.1, [200/0], 00:00:07, static, tag 5\n" in table
    assert "direct" not in table
    assert "    *via Null0, [1/0]" in api.do("show ipv6 route fd00::/8 vrf default", shell)
    assert "10.0.0.0/24, ubest/mbest: 1/0" in api.do("show ip route 10.0.0.77 vrf default", shell)
    assert "Route not found" in api.do("show ip route 10.77.0.0/16 vrf default", shell)
    assert "Route not found" in api.do("show ip route 10.1.0.0/16 vrf red", shell)
    api.faults.hide = {"10.1.0.0/16"}
    assert "Route not found" in api.do("show ip route 10.1.0.0/16 vrf default", shell)
    with pytest.raises(Refused):
        api.do("show ip route vrf nowhere", shell)


# --- NX-API ---


def ask(device: NxosApi, *commands: str, method: str = "cli", password: str = PASSWORD) -> requests.Response:
    host = device.host()
    calls: list[Any] = [
        {"jsonrpc": "2.0", "method": method, "params": {"cmd": command, "version": 1}, "id": number}
        for number, command in enumerate(commands, 1)
    ]
    return requests.post(
        f"https://127.0.0.1:{host['port']}/ins",
        json=calls,
        auth=(USERNAME, password),
        verify=host["connection_options"]["napalm"]["extras"]["optional_args"]["ssl_verify"],
        timeout=10,
    )


def test_an_array_stops_at_its_first_failure(api: NxosApi):
    answer = ask(api, "ip route 10.8.0.0/16 10.0.0.1", "bogus", "ip route 10.9.0.0/16 10.0.0.1")
    assert answer.status_code == 500
    first, second = answer.json()
    assert first == {"jsonrpc": "2.0", "id": 1, "result": None}
    assert "Invalid command" in second["error"]["data"]["msg"]
    assert "10.8.0.0/16" in api.running()
    assert "10.9.0.0/16" not in api.running()


def test_text_and_login(api: NxosApi):
    shown: Any = ask(api, "show running-config", method="cli_ascii").json()
    assert shown["result"]["msg"].startswith("\n!Command: show running-config\n!Running configuration last done at: ")
    assert shown["result"]["msg"].endswith(api.running())
    assert ask(api, "show hostname").json()["result"] == {"body": {"hostname": "n9k"}}
    assert ask(api, "show hostname", password="wrong").status_code == 401


@pytest.mark.parametrize(("moment", "lines"), [("before-commit", 0), ("in-commit", 1), ("after-commit", 2)])
def test_a_connection_that_breaks(api: NxosApi, moment: Any, lines: int):
    api.faults.drop = moment
    assert ask(api, "show running-config", method="cli_ascii").ok
    with pytest.raises(requests.ConnectionError):
        ask(api, "ip route 10.8.0.0/16 10.0.0.1", "ip route 10.9.0.0/16 10.0.0.1")
    assert sum(f"10.{net}.0.0/16" in api.running() for net in (8, 9)) == lines
    assert ask(api, "ip route 10.8.0.0/16 10.0.0.1").ok


# --- the command line ---


def test_modes_and_errors_at_the_prompt(tmp_path: Path):
    with NxosSsh(tmp_path, SMALL) as device:
        host = device.host()
        shell = ConnectHandler(
            device_type="cisco_nxos", host="127.0.0.1", port=host["port"], username=USERNAME, password=PASSWORD
        )
        try:
            assert "hostname n9k" in str(shell.send_command("show running-config"))
            said = shell.send_config_set(["vrf context red", "  ip route 10.8.0.0/16 10.20.0.1", "exit", "bogus"])
            assert "n9k(config-vrf)#" in said
            assert "% Invalid command at '^' marker." in said
            assert "Invalid command" in str(shell.send_command("ip route 10.9.0.0/16 10.0.0.1"))
            assert "complete" in shell.save_config().lower()
        finally:
            shell.disconnect()
        assert ("red", "10.8.0.0/16") in device.routes()
        assert device.saved()

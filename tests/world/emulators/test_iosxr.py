"""The emulated IOS-XR router against Cisco's documents, spoken to by pyIOSXR and ncclient alone."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from napalm.pyIOSXR import IOSXR
from napalm.pyIOSXR.exceptions import CommitError, InvalidInputError, LockError, XMLCLIError
from ncclient import manager
from ncclient.operations.rpc import RPCError
from ncclient.xml_ import to_ele

from tests.world.emulators.base import PASSWORD, USERNAME
from tests.world.emulators.iosxr import IosXrNetconf, IosXrXml
from tests.world.emulators.iosxr_config import Config, InvalidInput
from tests.world.emulators.iosxr_show import Tables, commit_changes_diff
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

ROUTE = "router static\n address-family ipv4 unicast\n  10.1.0.0/16 10.192.0.1{}\n !\n!\n"
KEY = ("default", "10.1.0.0/16")
FRAME = (
    "hostname r1\n!\ninterface GigabitEthernet0/0/0/0\n ipv4 address 10.0.0.254 255.255.255.0\n!\n"
    "router bgp 1\n!\nend\n"
)


def lines(*commands: str, family: str = "ipv4") -> list[str]:
    """The static lines after commands in an address family of a router that had none."""
    config = Config.booted(FRAME)
    config.enter(["router static", f" address-family {family} unicast", *commands])
    return [line.strip() for line in config.lines() if "/" in line and not line.startswith("interface")]


def test_a_hop_typed_again_has_what_was_typed_last():
    assert lines("10.1.0.0/16 10.0.0.1 20 tag 5 description x", "10.1.0.0/16 10.0.0.1 tag 6") == [
        "10.1.0.0/16 10.0.0.1 tag 6"
    ]


def test_a_hop_is_known_by_vrf_interface_and_address():
    three = [
        "10.1.0.0/16 10.0.0.1",
        "10.1.0.0/16 GigabitEthernet0/0/0/0 10.0.0.1",
        "10.1.0.0/16 vrf red 10.0.0.1",
    ]
    assert lines(*three) == three
    assert lines(*three, "no 10.1.0.0/16 10.0.0.1") == three[1:]
    assert lines(*three, "no 10.1.0.0/16 10.0.0.7") == three  # silent
    assert lines(*three, "no 10.1.0.0/16") == []


def test_words_come_out_in_one_order():
    typed = "10.1.0.0/16 10.0.0.1 metric 120 description LAB tag 10 bfd fast-detect minimum-interval 100 multiplier 3 7"
    shown = "10.1.0.0/16 10.0.0.1 bfd fast-detect minimum-interval 100 multiplier 3 7 tag 10 description LAB metric 120"
    assert lines(typed) == [shown]
    assert lines("10.1.2.3/16 10.0.0.1 1") == ["10.1.0.0/16 10.0.0.1"]
    assert lines("FD00::/64 FD01::A", family="ipv6") == ["fd00::/64 fd01::a"]


@pytest.mark.parametrize(
    "line",
    [
        "10.1.0.0/16",
        "10.1.0.0/16 10.0.0.1 name x",
        "10.1.0.0/16 fd00::1",
        "fd00::/64 fd01::1",
        "10.1.0.0/16 10.0.0.1 255",
        "10.1.0.0/16 10.0.0.1 tag 0",
        "10.1.0.0/16 10.0.0.1 bfd",
        "10.1.0.0/16 nothing",
        "maximum path ipv4 5",
    ],
)
def test_lines_that_are_not_taken(line: str):
    with pytest.raises(InvalidInput, match="Invalid input detected"):
        lines(line)


def test_blocks_without_content_are_not_shown():
    config = Config.booted(FRAME)
    config.enter(["router static", " vrf red", "  address-family ipv4 unicast", "   10.1.0.0/16 Null0"])
    assert " vrf red" in config.lines()
    config.enter(["router static", " vrf red", "  address-family ipv4 unicast", "   no 10.1.0.0/16 Null0"])
    assert list(config.lines()) == FRAME.splitlines()


def test_what_is_forwarded():
    config = Config.booted(FRAME)
    config.enter(
        [
            "router static",
            " address-family ipv4 unicast",
            "  10.1.0.0/16 10.0.0.1",
            "  10.1.0.0/16 10.99.0.1",
            "  10.2.0.0/16 10.99.0.1",
            "  10.2.0.0/16 Null0 250",
            "  10.3.0.0/16 10.1.0.9",
        ]
    )
    installed = {str(route.network): route.labels() for route in Tables(config).static("default", "ipv4")}
    assert installed == {"10.1.0.0/16": {"10.0.0.1"}, "10.2.0.0/16": {"discard"}, "10.3.0.0/16": {"10.1.0.9"}}
    assert not Tables(config).resolves("default", ipaddress.ip_address("10.99.0.1"))
    assert "10.1.0.0/16" not in Tables(config, {"10.1.0.0/16"}).show("show route ipv4 unicast static")
    assert "% Network not in table" in Tables(config).show("show route ipv4 unicast 10.0.0.0/8")
    assert "Invalid input" in Tables(config).show("show ip route")


def test_diff_of_a_commit():
    old = Config.booted(FRAME)
    new = old.copy()
    new.enter(["router static", " address-family ipv4 unicast", "  10.1.0.0/16 10.0.0.1"])
    assert commit_changes_diff(old, new, "7.3.2").splitlines() == [
        "Building configuration...",
        "!! IOS XR Configuration 7.3.2",
        "+  router static",
        "+   address-family ipv4 unicast",
        "+    10.1.0.0/16 10.0.0.1",
        "    !",
        "   !",
        "end",
    ]


# --- the XML agent ---


@pytest.fixture
def router(tmp_path: Path) -> Iterator[IosXrXml]:
    with IosXrXml(tmp_path) as device:
        yield device


def agent(router: IosXrXml) -> Any:
    made = IOSXR("127.0.0.1", USERNAME, PASSWORD, port=router.host()["port"], timeout=15, lock=False)
    made.open()
    return made


def leave(client: Any) -> None:
    client.device.remote_conn_pre.close()


def test_two_sessions_and_one_lock(router: IosXrXml):
    first, second = agent(router), agent(router)
    first.lock()
    with pytest.raises(LockError):
        second.lock()
    assert f"{USERNAME} " in second._execute_show("show configuration sessions")
    first.load_candidate_config(config=ROUTE.format(""))
    assert "10.1.0.0/16" in first.get_candidate_config(merge=True)
    assert "10.1.0.0/16" not in second.get_candidate_config(merge=True)  # everybody has a target of his own
    leave(first)  # the lock ends with its session, and so does the target
    wait_for(lambda: router.locked_by is None, "the lock is given back", timeout=10)
    second.lock()
    assert KEY not in router.routes()
    leave(second)


def test_commit_and_its_refusals(router: IosXrXml):
    client = agent(router)
    with pytest.raises(CommitError):  # nothing to commit
        client.commit_config()
    with pytest.raises(InvalidInputError):
        client.load_candidate_config(config="router static\n nonsense\n")
    client.load_candidate_config(config=ROUTE.format(" description a&b<c"))
    client.commit_config(comment="x")
    assert router.routes()[KEY] == {"10.192.0.1"}
    assert "description a&b<c" in router.running()
    router.faults.holder = "alice"
    client.load_candidate_config(config=ROUTE.format(" tag 9"))
    with pytest.raises(XMLCLIError, match="locked"):
        client.commit_config()
    assert "alice" in client._execute_show("show configuration sessions")
    leave(client)


def test_pyiosxr_commits_everything_anew_when_others_have_committed(tmp_path: Path):
    """Why it is not let: its lock went with the session, and what it commits is the whole configuration."""
    with IosXrXml(tmp_path, FRAME.replace("router bgp 1\n!\n", "")) as router:
        client = agent(router)
        client.lock()
        client.load_candidate_config(config=ROUTE.format("").replace("10.192", "10.0"))
        router.type("hostname edge2\n")
        client.commit_config()
        assert KEY in router.routes()
        assert router.locked_by is None
        assert "interface GigabitEthernet0/0/0/0" in router.transcript
        leave(client)


def test_a_commit_whose_client_is_gone_is_ended(router: IosXrXml):
    router.faults.drop = "in-commit"
    client = agent(router)
    client.lock()
    client.load_candidate_config(config=ROUTE.format(""))
    client.timeout = 2
    with pytest.raises(Exception, match=r".+"):
        client.commit_config()
    wait_for(lambda: KEY in router.routes() and router.locked_by is None, "the commit has ended", timeout=10)
    leave(client)


# --- NETCONF ---


@pytest.fixture
def yang(tmp_path: Path) -> Iterator[IosXrNetconf]:
    with IosXrNetconf(tmp_path) as device:
        yield device


def netconf(router: IosXrNetconf) -> Any:
    return manager.connect(
        host="127.0.0.1",
        port=router.host()["port"],
        username=USERNAME,
        password=PASSWORD,
        hostkey_verify=False,
        look_for_keys=False,
        allow_agent=False,
        device_params={"name": "iosxr"},
    )


def edit(client: Any, text: str) -> None:
    config = f'<config><cli xmlns="http://cisco.com/ns/yang/Cisco-IOS-XR-cli-cfg">{text}</cli></config>'
    client.edit_config(config=config, error_option="rollback-on-error")


def test_netconf_lock_names_the_session(yang: IosXrNetconf):
    first, second = netconf(yang), netconf(yang)
    first.lock()
    with pytest.raises(RPCError) as refused:
        second.lock()
    assert refused.value.tag == "lock-denied"
    assert str(first.session_id) in str(refused.value.info)
    first.close_session()
    second.lock()
    second.close_session()


def test_netconf_edit_is_all_or_none(yang: IosXrNetconf):
    client = netconf(yang)
    with pytest.raises(RPCError, match="Invalid input"):
        edit(client, ROUTE.format("") + "router static\n nonsense\n")
    client.commit()  # nothing: <ok/>
    assert KEY not in yang.routes()
    edit(client, ROUTE.format(" tag 5"))
    diff = client.dispatch(
        to_ele('<get-cli-config-diff xmlns="http://cisco.com/ns/yang/Cisco-IOS-XR-cli-diff-act"/>')
    ).xml
    assert "+    10.1.0.0/16 10.192.0.1 tag 5" in diff
    client.discard_changes()
    client.commit()
    assert KEY not in yang.routes()
    edit(client, ROUTE.format(" tag 5"))
    client.commit()
    assert KEY in yang.routes()
    yang.type(ROUTE.format(" tag 6"))
    edit(client, ROUTE.format(" tag 7"))
    with pytest.raises(RPCError, match="other configuration sessions"):
        client.commit()
    client.close_session()

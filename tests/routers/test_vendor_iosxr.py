"""IOS-XR beyond the common stories: locks and who holds them, others' commits, failed loads, host keys, rights."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.errors import (
    CommitFailed,
    ConfigRejected,
    HostKeyRejected,
    LockHeld,
    ParseError,
    RouterError,
)
from k8s_ecmp.model import Prefix
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.routers.drivers.vendor import vendor_driver
from k8s_ecmp.routers.drivers.vendor.base import VendorDriver
from tests.routers.vendors.device import AGGREGATE, NODES, Device
from tests.site import new_site
from tests.world.emulators import emulator
from tests.world.emulators.iosxr import IosXrXml
from tests.world.emulators.iosxr_device import IosXr
from tests.world.netns import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.long]

BLOCK = "router static\n address-family ipv4 unicast\n  {}\n !\n!\n"
LINE = "10.1.0.0/16 10.192.0.1 tag 4201 description demo"
KEY = ("default", "10.1.0.0/16")
# Of 32 and 64 bits ("Implementing Logging Services on Cisco IOS XR Software").
LOGGED = [
    "RP/0/RP0/CPU0:Nov 22 03:00:01.123 : ifmgr[229]: %PKT_INFRA-LINK-3-UPDOWN : Interface Gi0/0/0/9, changed state to Down",
    "RP/0/RSP0/CPU0:2026 Nov 22 03:00:01.123 UTC: config[65710]: %MGBL-SYS-5-CONFIG_I : Configured from console by root",
    "0/RP0/ADMIN0:Nov 22 03:00:01.123 UTC: esd[3385]: %INFRA-ESD-6-PORT_STATE_CHANGE_LINK_UP : link of 12 is up",
]
DOCS = Path(__file__).parents[2] / "docs/platforms/iosxr.md"


@pytest.fixture(params=["iosxr", "iosxr_netconf"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IosXr]:
    (tmp_path / "device").mkdir()
    with emulator(request.param)(tmp_path / "device") as found:
        assert isinstance(found, IosXr)
        yield found


def driver(device: IosXr, *, opened: bool = True, owner: str = "demo", **options: Any) -> VendorDriver:
    host = device.host()
    arguments = host["connection_options"]["napalm"]["extras"]["optional_args"]
    arguments |= {"port": host["port"], "k8s_ecmp_owner": owner} | options
    made = vendor_driver(device.driver)("127.0.0.1", host["username"], host["password"], 10, arguments)
    if opened:
        made.open()
    return made


def test_a_refused_question_is_an_error_and_no_line_in_the_log(device: IosXr, caplog: pytest.LogCaptureFixture) -> None:
    router = driver(device)
    if device.driver == "iosxr":
        with pytest.raises(RouterError, match="Invalid input"):
            router.cli(["show nothing"])
    else:
        router.cli(["show nothing"])
    router.close()
    assert [record.message for record in caplog.records if record.name.startswith("napalm")] == []


@pytest.mark.parametrize("device", ["iosxr"], indirect=True)
def test_a_session_that_is_opened_again_puts_nothing_more_around_the_agent(device: IosXr) -> None:
    router = driver(device)
    send = router.device.device._send_command
    router.close()
    router.open()
    assert router.device.device._send_command is send
    assert "hostname" in router.get_config("running")["running"]
    router.close()


def test_who_has_the_lock_is_said(device: IosXr) -> None:
    first, second = driver(device), driver(device)
    first.load_merge_candidate(config="")
    with pytest.raises(LockHeld) as held:
        second.load_merge_candidate(config="")
    assert held.value.holder == ("netops on vty0" if isinstance(device, IosXrXml) else "NETCONF session 40001")
    assert held.value.retryable
    first.close()
    wait_for(lambda: device.locked_by is None, "the lock ends with its session")
    device.faults.holder = "alice"
    with pytest.raises(LockHeld) as held:
        second.load_merge_candidate(config="")
    assert held.value.holder == ("alice on vty1" if isinstance(device, IosXrXml) else "a session outside of NETCONF")
    second.close()


def test_a_refused_line_leaves_neither_candidate_nor_lock(device: IosXr) -> None:
    first, second = driver(device), driver(device)
    with pytest.raises(ConfigRejected, match="Invalid input"):
        first.load_merge_candidate(config=BLOCK.format(LINE) + "router static\n nonsense\n")
    assert first.compare_config() == ""
    second.load_merge_candidate(config=BLOCK.format(LINE))  # the lock is free
    assert "10.1.0.0/16" in second.compare_config()
    second.commit_config()
    assert KEY in device.routes()
    first.close()
    second.close()


def test_markup_in_descriptions_arrives_as_it_is(device: IosXr) -> None:
    line = "10.1.0.0/16 10.192.0.1 description \"a&b <c> 'd'\""
    router = driver(device)
    router.load_merge_candidate(config=BLOCK.format(line))
    commands = BLOCK.format(line)
    running = get_platform("iosxr").parse(router.get_config("running")["running"])
    assert get_platform("iosxr").foreign_lines(router.compare_config(), running, commands) == []
    router.commit_config()
    assert line in device.running()
    after = get_platform("iosxr").parse(router.get_config("running")["running"])
    route = after.get("default", Prefix.parse("10.1.0.0/16"))
    assert route is not None
    assert route.next_hops[0].name == "a&b <c> 'd'"
    router.close()


def test_a_commit_by_others_that_the_lock_did_not_keep_out_stops_ours(device: IosXr) -> None:
    router = driver(device)
    router.load_merge_candidate(config=BLOCK.format(LINE))
    device.type("hostname edge9\n")  # a lock that was cleared by force, say
    with pytest.raises(CommitFailed, match=r"others have committed|other configuration sessions"):
        router.commit_config()
    assert KEY not in device.routes()
    assert "hostname edge9" in device.running()
    router.close()


def test_commits_of_others_before_the_lock_are_no_obstacle(device: IosXr) -> None:
    """As in a daemon's long session, and when a change is taken back after verification."""
    router = driver(device)
    for number in range(3):
        router.load_merge_candidate(config=BLOCK.format(LINE.replace("4201", f"420{number}")))
        router.commit_config()
        assert f"tag 420{number}" in device.running()
        device.type(f"hostname edge{number}\n")
    router.close()


def test_after_a_lost_connection_the_lock_is_asked_for_anew(device: IosXr) -> None:
    """The commit that lost its client still runs and has the lock: what is read before it ends would be wrong."""
    router = driver(device)
    router.load_merge_candidate(config=BLOCK.format(LINE))
    device.faults.drop = "in-commit"
    device.ends_later_s = 60
    with pytest.raises(CommitFailed):
        router.commit_config()
    router.close()
    router.open()
    with pytest.raises(LockHeld):
        router.load_merge_candidate(config="")
    router.close()


def test_the_commit_s_comment(device: IosXr) -> None:
    router = driver(device, owner='<prod> & "eu1"' + "x" * 80)
    router.load_merge_candidate(config=BLOCK.format(LINE))
    router.commit_config()
    comments = [found[1] for line in device.transcript if (found := re.search('Comment="([^"]*)"', line))]
    if isinstance(device, IosXrXml):
        (comment,) = comments
        assert comment.startswith("k8s-ecmp _prod_ _ _eu1_xxx")
        assert len(comment) == 60
    else:
        assert comments == []
    router.close()


def test_tables_of_a_vrf_and_of_ipv6(device: IosXr) -> None:
    platform = get_platform("iosxr")
    assert platform.verification is not None
    router = driver(device)
    for vrf in ("default", "red"):
        answers = router.cli(list(platform.verification.table_commands([vrf])))
        tables = platform.verification.read_tables(answers)
        shown = {(found_vrf, str(prefix)): found.fib for (found_vrf, prefix), found in tables.items()}
        assert shown == {key: hops for key, hops in device.routes().items() if key[0] == vrf}
        assert shown
    router.close()


def test_an_unknown_host_key_is_refused(device: IosXr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home/.ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    host = device.host()
    options = {"port": host["port"], "look_for_keys": False, "allow_agent": False}
    options = options if device.driver == "iosxr_netconf" else {"port": host["port"]}
    kind = vendor_driver(device.driver)
    with pytest.raises(HostKeyRejected, match="known_hosts"):
        kind("127.0.0.1", host["username"], host["password"], 10, options).open()
    trusting = kind("127.0.0.1", host["username"], host["password"], 10, options | {"ssh_strict": False})
    trusting.open()
    assert trusting.is_alive()["is_alive"]
    trusting.close()


def test_another_host_key_is_refused(device: IosXr) -> None:
    import paramiko

    other = paramiko.ECDSAKey.generate()
    known = device.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{device.host()['port']} {other.get_name()} {other.get_base64()}\n", encoding="utf-8")
    with pytest.raises(HostKeyRejected, match="known_hosts"):
        driver(device)


def test_a_key_file_without_the_router_says_so(tmp_path: Path, device: IosXr) -> None:
    empty = tmp_path / "none"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(HostKeyRejected, match=r"none has no key|known_hosts"):
        driver(device, alt_key_file=str(empty))


def test_a_running_configuration_without_its_end(device: IosXr) -> None:
    """In XML over NETCONF nothing can be missing behind; the XML agent hands on what the command line printed."""
    device.config.behind.remove("end")
    router = driver(device)
    if isinstance(device, IosXrXml):
        with pytest.raises(ParseError, match="cut short"):
            router.get_config("running")
    else:
        assert len(get_platform("iosxr").parse(router.get_config("running")["running"])) > 0
    router.close()


@pytest.mark.parametrize("device", ["iosxr"], indirect=True)
@pytest.mark.parametrize("message", LOGGED)
def test_log_messages_in_answers_are_no_part_of_them(device: IosXr, tmp_path: Path, message: str) -> None:
    """`terminal monitor`: what is logged meanwhile stands between the lines of whatever the router shows."""
    device.faults.log = message
    router = driver(device)
    assert message not in router.get_config("running")["running"]
    router.close()
    lab = Device(new_site(tmp_path / "site"), device)
    done = lab.apply()
    assert done.code == 3, done.out  # the one conflict
    assert "warning:" not in done.out
    assert device.routes()[AGGREGATE] == NODES
    assert lab.untouched()


@pytest.mark.parametrize("device", ["iosxr_netconf"], indirect=True)
@pytest.mark.parametrize("at", ["commit", "load"])
def test_a_warning_alone_is_no_refusal(device: IosXr, tmp_path: Path, at: str) -> None:
    """RFC 6241, 4.3: <error-severity> says whether it was done."""
    device.faults.warning, device.faults.warns_at = "some of it is applied later", frozenset({at})
    lab = Device(new_site(tmp_path / "site"), device)
    done = lab.apply()
    assert done.code == 3, done.out
    assert "warning: the router warns: some of it is applied later" in " ".join(done.out.split())
    assert device.routes()[AGGREGATE] == NODES
    assert device.locked_by is None
    assert lab.untouched()


@pytest.mark.parametrize("device", ["iosxr_netconf"], indirect=True)
def test_a_way_back_with_a_warning_is_taken(device: IosXr, tmp_path: Path) -> None:
    device.faults.warning, device.faults.hide = "some of it is applied later", {"10.96.0.0/12"}
    lab = Device(new_site(tmp_path / "site"), device)
    done = lab.apply()
    assert "rolled-back" in done.out
    assert lab.is_old()
    assert device.locked_by is None


def test_a_stale_plan_is_refused_when_others_change_our_prefix(device: IosXr, tmp_path: Path) -> None:
    router = Device(new_site(tmp_path / "site"), device)
    router.apply()
    router.site.not_ready("node3")
    plan = tmp_path / "file.plan"
    assert router.run("plan", "--out", str(plan)).code == 2
    device.type("router static\n address-family ipv4 unicast\n  10.96.0.0/12 10.192.0.88\n")
    done = router.run("apply", str(plan), "--yes")
    assert done.code == 3, done.out
    assert router.device.routes()[AGGREGATE] == NODES | {"10.192.0.88"}


def test_no_more_is_sent_than_the_docs_say(device: IosXr, tmp_path: Path) -> None:
    router = Device(new_site(tmp_path / "site"), device)
    router.apply()
    router.site.not_ready("node3")
    assert router.apply().code in (0, 3)
    section = DOCS.read_text(encoding="utf-8").partition("## Rights of the account")[2]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    allowed = [re.compile(line.partition("  !")[0].strip()) for line in "".join(blocks).splitlines() if line.strip()]
    unexpected = [line for line in device.transcript if not any(rule.fullmatch(line.strip()) for rule in allowed)]
    assert unexpected == []


def test_the_docs_inventory_lines_are_yaml() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    groups = yaml.safe_load(text)
    assert {group["platform"] for group in groups.values()} == {"iosxr", "iosxr_netconf"}

"""Arista EOS beyond the common stories: sessions of others and of the dead, timers, saving, certificates, rights."""

import gc
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.errors import (
    ConfigRejected,
    ConfirmExpired,
    HostKeyRejected,
    LockHeld,
    NotSaved,
    RouterError,
    Unreachable,
    UnsupportedPlatform,
)
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.routers.drivers.vendor.eos import EosDriver
from k8s_ecmp.routers.drivers.vendor.eos_names import SessionName
from tests.routers.vendors.device import AGGREGATE, NODES, TAG, DeviceOf
from tests.site import COMMAND, new_site
from tests.world.emulators.base import Learned
from tests.world.emulators.eos import Eos
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

LINE = "ip route 10.1.0.0/16 10.192.0.1 tag 4201 name demo"
ROUTE = ("default", "10.1.0.0/16")
Device = DeviceOf[Eos]
DOCS = Path(__file__).parents[2] / "docs/platforms/eos.md"


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Eos]:
    (tmp_path / "device").mkdir()
    with Eos(tmp_path / "device") as device:
        yield device


@pytest.fixture
def router(switch: Eos, tmp_path: Path) -> Device:
    return Device(new_site(tmp_path / "site"), switch)


def driver(switch: Eos, *, owner: str = "demo", kind: type[EosDriver] = EosDriver, **options: Any) -> EosDriver:
    host = switch.host()
    arguments = host["connection_options"]["napalm"]["extras"]["optional_args"] | {"port": host["port"]}
    arguments |= {"k8s_ecmp_owner": owner} | options
    made = kind("127.0.0.1", host["username"], host["password"], 10, arguments)
    made.open()
    return made


def leave_behind(switch: Eos, name: str, *, timer: bool = False) -> None:
    """A session with a route in it, as a run leaves it that was killed."""
    other = driver(switch)
    node = other.device.device
    node.run_commands([f"configure session {name}", LINE, "end"])
    if timer:
        node.run_commands([f"configure session {name} commit timer 00:02:00"])


def dead_name(owner: str = "demo") -> str:
    """Of a process on another host, an hour ago."""
    name = SessionName.new(owner)
    return str(name._replace(host=name.host ^ 1, began_ms=name.began_ms - 3_600_000))


# --- whose sessions ---


def test_a_session_of_a_dead_run_is_cleared_away(router: Device) -> None:
    leave_behind(router.device, dead_name())
    assert router.apply().code == 3
    assert ROUTE not in router.device.routes()
    assert router.ours()[AGGREGATE] == NODES
    assert set(router.device.sessions().values()) == {"completed"}


def test_the_timer_of_a_dead_run_is_taken_back_at_the_next_contact(router: Device) -> None:
    leave_behind(router.device, dead_name(), timer=True)
    assert ROUTE in router.device.routes()
    assert "waits for its confirm" in router.run("plan").out
    with pytest.raises(LockHeld, match="waits for its confirm"):
        driver(router.device, owner="other").load_merge_candidate(config="")
    assert router.apply().code == 3
    assert ROUTE not in router.device.routes()
    assert router.ours()[AGGREGATE] == NODES


@pytest.mark.parametrize(
    "name",
    ["s1", dead_name("somebody-else"), dead_name("demo-2"), "k8s-ecmp-demo"],
    ids=["a name of theirs", "another owner", "an owner whose name begins alike", "half a name"],
)
def test_a_session_of_others_is_named_and_left_alone(switch: Eos, name: str) -> None:
    leave_behind(switch, name)
    with pytest.raises(LockHeld, match=re.escape(name)) as error:
        driver(switch).load_merge_candidate(config=LINE)
    assert name in error.value.holder
    assert switch.sessions() == {name: "pending"}


def test_a_session_of_a_run_that_lives_is_left_alone(switch: Eos) -> None:
    first = driver(switch)
    first.load_merge_candidate(config=LINE)
    before = switch.sessions()
    with pytest.raises(LockHeld, match="k8s-ecmp-demo-"):
        driver(switch).load_merge_candidate(config="")
    assert switch.sessions() == before
    first.close()
    assert switch.sessions() == {}


def test_who_says_so_goes_on_beside_others(switch: Eos) -> None:
    leave_behind(switch, "s1")
    brave = driver(switch, lock_disable=True)
    brave.load_merge_candidate(config=LINE)
    brave.commit_config()
    assert ROUTE in switch.routes()
    assert switch.sessions()["s1"] == "pending"


def test_when_a_process_counts_as_dead() -> None:
    name = SessionName.new("demo")
    assert not name.is_dead(60)
    assert name._replace(process=2**22 + 1).is_dead(60)  # no process has so high a number
    assert name._replace(began_ms=name.began_ms - 86_400_000).is_dead(1e9)  # before this process there was another
    elsewhere = name._replace(host=name.host ^ 1)
    assert not elsewhere.is_dead(60)
    assert elsewhere._replace(began_ms=name.began_ms - 61_000).is_dead(60)
    assert SessionName.read(str(elsewhere), "demo") == elsewhere
    assert SessionName.read(str(elsewhere), "dem") is None
    owners = [
        "a_b_c",
        "a b/c",
        "a-very-long-name-of-an-owner-in-the-north",
        "a-very-long-name-of-an-owner-in-the-south",
    ]
    for owner in owners:
        text = str(SessionName.new(owner))
        assert re.fullmatch(r"[\w-]{1,60}", text)
        assert [other for other in owners if SessionName.read(text, other)] == [owner]


# --- timers ---


@pytest.mark.parametrize("version", ["4.31.2F", "4.32.5M", "4.35.0F"])
def test_a_commit_with_a_timer_on_every_release(switch: Eos, version: str) -> None:
    switch.version = version
    one = driver(switch)
    assert not one.has_pending_commit()
    one.load_merge_candidate(config=LINE)
    one.commit_config(revert_in=90)
    assert one.has_pending_commit()
    assert driver(switch).has_pending_commit()
    one.close()
    assert switch.pending(), "closing the connection must not end a timer"
    one.open()
    one.confirm_commit()
    assert ROUTE in switch.routes()
    assert switch.saved()
    assert not one.has_pending_commit()


def test_a_driver_that_is_closed_and_thrown_away_leaves_the_timer_to_run(switch: Eos) -> None:
    one = driver(switch)
    one.load_merge_candidate(config=LINE)
    one.commit_config(revert_in=90)
    one.close()
    one.close()
    del one
    gc.collect()
    assert switch.pending()
    assert ROUTE in switch.routes()


def test_a_timer_is_taken_back_by_who_armed_it_and_by_nobody_else(switch: Eos) -> None:
    one = driver(switch)
    one.load_merge_candidate(config=LINE)
    one.commit_config(revert_in=90)
    with pytest.raises(RouterError, match="no commit of this run"):
        driver(switch).rollback()
    one.discard_config()
    assert switch.pending()
    one.rollback()
    assert not switch.pending()
    assert ROUTE not in switch.routes()
    assert switch.saved()


def test_a_confirm_that_comes_too_late_says_so(switch: Eos) -> None:
    one = driver(switch)
    one.load_merge_candidate(config=LINE)
    one.commit_config(revert_in=90)
    switch.expire()
    with pytest.raises(ConfirmExpired):
        one.confirm_commit()
    assert ROUTE not in switch.routes()


def test_the_longest_timer_arrives_as_it_was_meant(switch: Eos) -> None:
    one = driver(switch)
    one.load_merge_candidate(config=LINE)
    one.commit_config(revert_in=86399)
    assert switch.transcript[-1].endswith("commit timer 23:59:59")


def test_a_slow_commit_whose_client_is_gone_is_waited_for_and_taken_back(router: Device) -> None:
    router.device.faults.slow_commit_s = 3
    router.device.faults.drop = "in-commit"
    done = router.apply()
    assert done.code == 1
    assert "nothing of the change is in force" in done.out or "was taken back" in done.out
    assert not router.device.pending()
    assert router.is_old()
    assert router.apply().code == 3


def test_without_a_timer_a_lost_answer_leads_to_the_way_back(router: Device) -> None:
    router.site.settings(rollout={"confirm_within_s": 0, "verify_timeout_s": 3})
    router.device.faults.drop = "after-commit"
    done = router.apply()
    assert done.code == 1
    assert "was taken back" in done.out
    assert router.ours() == {}
    assert router.untouched()
    assert router.device.saved()
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES


# --- what is refused ---


def test_a_refused_line_is_quoted_and_leaves_no_session(switch: Eos) -> None:
    one = driver(switch)
    with pytest.raises(ConfigRejected, match="ip route vrf blue"):
        one.load_merge_candidate(config="ip route vrf blue 10.1.0.0/16 10.192.0.1")
    one.close()
    assert switch.sessions() == {}


def test_what_others_changed_since_the_session_began_stops_the_commit(router: Device) -> None:
    """A commit would take it back: the session is a copy of the configuration as it was."""
    node = driver(router.device)
    node.load_merge_candidate(config=LINE)
    router.device.type("ip route 10.8.0.0/16 10.192.0.9\ninterface Ethernet2\n   description changed")
    diff = node.compare_config()
    running = node.get_config(retrieve="running")["running"]
    eos = get_platform("eos")
    foreign = eos.foreign_lines(diff, eos.parse(running), f"{LINE}\n")
    assert foreign == ["-   description changed", "- ip route 10.8.0.0/16 10.192.0.9"]


def test_the_plan_s_own_diff_has_no_foreign_lines(router: Device) -> None:
    """With neighbours in the device's diff, and removals beside additions."""
    router.apply()
    router.site.not_ready("node3")
    done = router.run("plan", "--device-diff", "--format", "json")
    assert done.code == 2, done.out + done.err
    assert done.json()["routers"][0]["diff_source"] == "device"
    assert "-ip route 10.96.0.0/12 10.192.0.3 tag 4201 name demo" in done.json()["routers"][0]["diff"].splitlines()
    assert "pending" not in router.device.sessions().values()


def test_a_next_hop_behind_a_learned_route_is_held_back_and_said_in_the_plan(router: Device) -> None:
    """EOS would use it, but show the learned route's own next hop instead, and the change would be taken back."""
    router.device.learned["10.192.0.2/32"] = Learned("10.192.0.253")
    planned = router.run("plan")
    assert "next hop 10.192.0.2 cannot be resolved there; held back at 4 prefixes" in " ".join(planned.out.split())
    done = router.apply()
    assert done.code == 3, done.out
    assert router.ours()[AGGREGATE] == NODES - {"10.192.0.2"}
    assert router.untouched()
    router.device.learned.clear()
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES


def test_a_large_change_is_loaded_in_parts_into_one_session(switch: Eos) -> None:
    class Careful(EosDriver):
        lines_at_once = 2

    one = driver(switch, kind=Careful)
    lines = [f"ip route 10.1.{number}.0/24 10.192.0.1 tag 4201 name demo" for number in range(5)]
    one.load_merge_candidate(config="\n".join(lines))
    assert len(switch.sessions()) == 1
    assert switch.transcript.count("end") == 3
    one.commit_config()
    assert {("default", f"10.1.{number}.0/24") for number in range(5)} <= switch.routes().keys()
    with pytest.raises(ConfigRejected, match="refuse me"):
        one.load_merge_candidate(config="\n".join([*lines, "refuse me", *lines]))
    assert "pending" not in switch.sessions().values()


def test_why_a_session_could_not_be_opened_is_said(switch: Eos) -> None:
    for number in range(5):
        leave_behind(switch, f"s{number}")
    with pytest.raises(RouterError, match="Maximum number of pending sessions"):
        driver(switch, lock_disable=True).load_merge_candidate(config=LINE)


def test_vrf_distance_and_bfd(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    config = Eos.SAMPLE.replace(
        "   no switchport\n   ip address 10.192", "   no switchport\n   vrf red\n   ip address 10.192"
    )
    config = config.replace("ipv6 unicast-routing\n", "ipv6 unicast-routing\nipv6 unicast-routing vrf red\n")
    with Eos(tmp_path / "device", config) as device:
        router = Device(new_site(tmp_path / "site"), device)
        hosts = router.site.folder / "inventories/demo/hosts.yaml"
        content = yaml.safe_load(hosts.read_text())
        content["r1"]["data"] = {"k8s_ecmp": {"vrf": "red", "distance": 200, "bfd": True}}
        hosts.write_text(yaml.safe_dump(content))
        done = router.apply()
        assert done.code == 0, done.out + done.err  # the route in the way stands in the default VRF
        lines = device.running().splitlines()
        assert "ip route vrf red 10.96.0.0/12 10.192.0.3 track bfd 200 tag 4201 name demo" in lines
        assert "ipv6 route vrf red fd96::/108 fd10:192::3 track bfd 200 tag 4201 name demo" in lines
        assert router.ours()["red", "10.96.0.0/12"] == NODES
        assert router.untouched()
        assert router.run("plan").code == 0
        content["r1"]["data"]["k8s_ecmp"]["bfd"] = False
        hosts.write_text(yaml.safe_dump(content))
        assert router.apply().code == 0
        assert "track bfd" not in device.running()
        assert router.ours()["red", "10.96.0.0/12"] == NODES


# --- saving ---


def test_a_full_disk_before_the_commit_leaves_everything_as_it_was(router: Device) -> None:
    router.device.faults.full_disk = True
    done = router.apply()
    assert done.code == 1
    assert "No space left on device" in done.out
    assert "nothing of the change is in force" in done.out
    assert router.is_old()
    assert router.device.sessions() == {}


def test_a_confirmed_change_that_cannot_be_saved_stays_and_is_said(switch: Eos) -> None:
    one = driver(switch)
    one.load_merge_candidate(config=LINE)
    one.commit_config(revert_in=90)
    switch.faults.full_disk = True
    with pytest.raises(NotSaved, match="in force, but not in the startup configuration"):
        one.confirm_commit()
    assert ROUTE in switch.routes()
    assert not switch.pending()
    assert not switch.saved()


def test_an_apply_whose_change_cannot_be_saved_keeps_it_and_fails(router: Device) -> None:
    router.site.settings(rollout={"confirm_within_s": 600, "verify_timeout_s": 600})
    router.device.faults.hide = {"10.97.10.1/32"}  # so that verification waits
    command = [*COMMAND, "--config", str(router.site.folder / "k8s-ecmp.yaml"), "apply", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        wait_for(router.device.pending, "the commit waits for its confirm")
        router.device.faults.full_disk = True
        router.device.faults.hide = set()
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "in force, but not in the startup configuration" in " ".join(out.split())
    assert router.ours()[AGGREGATE] == NODES
    assert not router.device.pending()
    assert not router.device.saved()


# --- connections ---


def test_a_certificate_that_nobody_vouches_for_is_refused_with_a_remedy(router: Device) -> None:
    hosts = router.site.folder / "inventories/demo/hosts.yaml"
    content = yaml.safe_load(hosts.read_text())
    options = content["r1"]["connection_options"]["napalm"]["extras"]["optional_args"]
    del options["ca_file"]
    hosts.write_text(yaml.safe_dump(content))
    done = router.run("plan")
    assert done.code == 1
    assert "certificate" in done.out + done.err
    assert "ca_file" in done.out + done.err
    assert router.device.transcript == [], "the password went to somebody unknown"
    options["enforce_verification"] = False
    hosts.write_text(yaml.safe_dump(content))
    assert router.run("plan").code == 2


def test_options_that_cannot_work_are_said_at_once(switch: Eos, tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="transport: https"):
        driver(switch, transport="ssh")
    with pytest.raises(RouterError, match=r"nowhere\.pem"):
        driver(switch, ca_file=str(tmp_path / "nowhere.pem"))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(RouterError, match=r"empty\.pem"):
        driver(switch, ca_file=str(tmp_path / "empty.pem"))


def test_a_switch_that_is_gone_is_unreachable(switch: Eos) -> None:
    one = driver(switch)
    switch.stop()
    with pytest.raises(Unreachable):
        one.get_config(retrieve="running")
    with pytest.raises(Unreachable):
        one.cli(["show version | json"])
    with pytest.raises(Unreachable):
        one.open()
    one.close()


def test_an_old_release_is_not_tried_again(switch: Eos) -> None:
    switch.version = "4.22.1F"
    with pytest.raises(UnsupportedPlatform, match="too old"):
        driver(switch)


def test_another_s_certificate_is_refused(switch: Eos, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with Eos(tmp_path / "other") as other, pytest.raises(HostKeyRejected):
        driver(switch, ca_file=other.host()["connection_options"]["napalm"]["extras"]["optional_args"]["ca_file"])


# --- rights ---


def test_every_command_that_is_sent_stands_in_the_list_of_rights(router: Device) -> None:
    router.apply()
    router.site.not_ready("node3")
    router.site.settings(rollout={"confirm_within_s": 0, "verify_timeout_s": 3})
    router.apply()
    leave_behind(router.device, dead_name())
    router.run("verify")
    router.site.not_ready("node2")
    router.apply()
    listed = re.findall(r"permit mode \S+ command (.+)$", DOCS.read_text(), re.MULTILINE)
    assert listed
    for command in router.device.transcript:
        assert any(re.fullmatch(pattern, command) for pattern in listed), command
    for pattern in listed:
        assert any(re.fullmatch(pattern, command) for command in router.device.transcript), pattern


def test_names_and_marks_are_those_of_the_owner(router: Device) -> None:
    router.apply()
    sessions = [command for command in router.device.transcript if command.startswith("configure session")]
    assert all(command.split()[2].startswith("k8s-ecmp-demo-") for command in sessions)
    assert f"tag {TAG} name demo" in router.device.running()

"""Cisco NX-OS beyond the common stories: checkpoints, saving, others who type meanwhile, VRFs, certificates, rights."""

import contextlib
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s_ecmp.errors import CommitFailed, ConfigRejected, HostKeyRejected, RouterError, Unreachable
from k8s_ecmp.routers.drivers.vendor import vendor_driver
from k8s_ecmp.routers.drivers.vendor.base import VendorDriver
from tests.routers.vendors.device import AGGREGATE, NODES, TAG, DeviceOf
from tests.routers.vendors.rack import Rack
from tests.site import new_site
from tests.world.emulators import emulator
from tests.world.emulators.nxos import Dropped, NxosApi, NxosSsh
from tests.world.emulators.nxos_config import INVALID, Refused

pytestmark = [pytest.mark.slow, pytest.mark.long]

DOCS = Path(__file__).parents[2] / "docs/platforms/nxos.md"
LINE = "ip route 10.1.0.0/16 10.192.0.1 name demo tag 4201"
ROUTE = ("default", "10.1.0.0/16")
NOTE = "ntp server 192.0.2.9"
Switch = NxosApi | NxosSsh
Device = DeviceOf[NxosApi | NxosSsh]


@pytest.fixture(params=["nxos", "nxos_ssh"])
def switch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Switch]:
    (tmp_path / "device").mkdir()
    with emulator(request.param)(tmp_path / "device") as device:
        assert isinstance(device, NxosApi | NxosSsh)
        yield device


@pytest.fixture
def router(switch: Switch, tmp_path: Path) -> Device:
    return Device(new_site(tmp_path / "site"), switch)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[NxosApi]:
    (tmp_path / "device").mkdir()
    with NxosApi(tmp_path / "device") as device:
        yield device


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[NxosSsh]:
    (tmp_path / "device").mkdir()
    with NxosSsh(tmp_path / "device") as device:
        yield device


def driver(switch: Switch, *, password: str | None = None, **options: Any) -> VendorDriver:
    """An open driver with the inventory's options; None takes one away."""
    host = switch.host()
    arguments = host["connection_options"]["napalm"]["extras"]["optional_args"] | {"port": host["port"]}
    arguments |= {"k8s_ecmp_owner": "demo"} | options
    arguments = {name: value for name, value in arguments.items() if value is not None}
    made = vendor_driver(switch.driver)("127.0.0.1", host["username"], password or host["password"], 10, arguments)
    made.open()
    return made


# --- the candidate ---


def test_a_candidate_is_what_was_loaded_last(switch: Switch) -> None:
    device = driver(switch)
    device.load_merge_candidate(config="ip route 10.77.0.0/16 10.192.0.1\n")
    device.load_merge_candidate(config=f"{LINE}\n")
    device.commit_config()
    assert ROUTE in switch.routes()
    assert ("default", "10.77.0.0/16") not in switch.routes()
    device.close()


def test_nothing_is_left_of_a_refused_candidate(switch: Switch) -> None:
    device = driver(switch)
    before = switch.running()
    device.get_config("running")
    device.load_merge_candidate(config=f"{LINE}\nip route 10.2.0.0/16 10.192.0.1 tagged\n")
    with pytest.raises(ConfigRejected, match="as it was read before the change"):
        device.commit_config()
    assert switch.running() == before
    device.load_merge_candidate(config=f"{LINE}\n")
    device.commit_config()
    assert ROUTE in switch.routes()
    device.close()


# --- whole answers ---

LOCATION = "snmp-server location row 5, was leaf-101# before the move"
OWN_LINE = "\nleaf-101#"


def test_the_switch_s_own_prompt_within_a_line_ends_no_answer(ssh: NxosSsh) -> None:
    ssh.load(ssh.SAMPLE.replace("ip domain-lookup\n", f"{LOCATION}\nip domain-lookup\n"))
    device = driver(ssh)
    ssh.pauses.append("was leaf-101#")
    assert device.get_config("running")["running"].splitlines()[-1] == "  router-id 10.255.0.101"
    assert ssh.pauses == []
    device.close()


def test_the_switch_s_own_prompt_as_a_line_ends_no_answer(ssh: NxosSsh) -> None:
    ssh.load(ssh.SAMPLE.replace("\n Do not type", f"{OWN_LINE}\n Do not type"))
    device = driver(ssh)
    ssh.pauses.append(OWN_LINE)
    assert device.get_config("running")["running"].splitlines()[-1] == "  router-id 10.255.0.101"
    assert ssh.pauses == []
    ssh.pauses += [OWN_LINE] * 3
    with pytest.raises(RouterError, match=r"'show running-config'.*could not be read to its end.*'leaf-101#'"):
        device.get_config("running")
    assert device.get_config("running")["running"].splitlines()[-1] == "  router-id 10.255.0.101"
    device.close()


def test_a_text_that_lacks_its_end_is_never_planned_from(router: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = router.device._printed

    def half(words: list[str], *rest: Any) -> str:
        return whole(words, *rest).partition("ip route 10.30")[0]

    assert router.apply().code == 3
    monkeypatch.setattr(router.device, "_printed", half)
    text = router.device.running()
    for command in (("plan",), ("verify",), ("apply", "--yes")):
        done = router.run(*command)
        assert done.code == 1, done.out + done.err
        assert "the configuration is not whole" in " ".join(done.out.split())
    assert router.device.running() == text


# --- checkpoints ---


def test_checkpoints_do_not_stay(switch: Switch) -> None:
    switch.do_as_somebody("checkpoint file k8s-ecmp-demo-0badcafe")
    others = [
        "k8s-ecmp-other-0badcafe",
        "k8s-ecmp-demo-2-0badcafe",
        "k8s-ecmp-demo-0badcafe-0badcafe",
        "k8s-ecmp-demo-mine",
    ]
    for name in others:
        switch.do_as_somebody(f"checkpoint file {name}")
    device = driver(switch)
    device.load_merge_candidate(config="")
    assert list(switch.files) == others
    device.load_merge_candidate(config=f"{LINE}\n")
    device.commit_config()
    assert list(switch.files) == others
    assert any(re.fullmatch(r"checkpoint file k8s-ecmp-demo-[0-9a-f]{8}", sent) for sent in switch.transcript)
    device.close()


def test_the_checkpoint_of_another_time_is_never_gone_back_to(router: Device) -> None:
    switch = router.device
    switch.do_as_somebody("checkpoint file rollback_config.txt")
    switch.type(NOTE)
    switch.do_as_somebody("copy running-config startup-config")
    switch.faults.full_disk = True
    switch.faults.refuse = "10.97.10.1"
    done = router.apply()
    assert done.code == 1, done.out + done.err
    assert NOTE in switch.running()
    assert router.ours() == {}


def test_what_others_typed_before_the_rollback_is_told(switch: Switch) -> None:
    device = driver(switch)
    device.get_config("running")
    switch.type(NOTE)
    device.load_merge_candidate(config=f"{LINE}\nip route 10.2.0.0/16 10.192.0.1 tagged\n")
    with pytest.raises(
        ConfigRejected, match=re.escape(f"differs from what was read before the change in 1 lines, first '+{NOTE}'")
    ):
        device.commit_config()
    assert ROUTE not in switch.routes()
    device.close()


@pytest.mark.parametrize("answer", ["% Permission denied for the role", INVALID])
def test_a_switch_that_does_not_show_its_files_is_changed(
    router: Device, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pattern: str) -> str:
        raise Refused(answer)

    monkeypatch.setattr(router.device, "_dir", refuse)
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES
    router.site.not_ready("node3")
    router.device.faults.refuse = "no ip route 10.96.0.0/12 10.192.0.3"
    done = router.apply()
    assert done.code == 1, done.out + done.err
    assert "the whole configuration was rolled back to the checkpoint" in done.out
    assert router.ours()[AGGREGATE] == NODES


# --- saving ---


def test_without_a_checkpoint_nothing_is_typed(router: Device) -> None:
    router.device.faults.full_disk = True
    done = router.apply()
    assert done.code == 1, done.out + done.err
    said = " ".join(done.out.split())
    assert "could not write the checkpoint" in said
    assert "make room on bootflash" in said
    assert "nothing of the change is in force" in said
    assert router.is_old()
    assert not [line for line in router.device.transcript if "ip route 10.96" in line and "show" not in line]
    router.device.faults.full_disk = False
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES


def test_the_way_back_needs_no_checkpoint(router: Device) -> None:
    """The flash fills up after the change, whose routes then do not show."""

    def fill() -> None:
        router.device.faults.full_disk = True

    router.device.faults.hide = {"10.97.10.1/32"}
    router.device.meanwhile.append(("copy run", fill))
    done = router.apply()
    assert done.code == 1, done.out + done.err
    said = " ".join(done.out.split())
    assert "taken back" in said
    assert "the way back is not in the startup configuration" in said
    assert router.is_old()


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    """One wave of two switches, of which the one over SSH fails its verification."""
    with contextlib.ExitStack() as stack:
        switches = {}
        for name in ("nxos", "nxos_ssh"):
            (tmp_path / name).mkdir()
            switches[name] = stack.enter_context(emulator(name)(tmp_path / name))
        switches["nxos_ssh"].faults.hide = {"10.97.10.1/32"}
        yield Rack(new_site(tmp_path / "site"), switches)


def changed(rack: Rack) -> Switch:
    found = rack.devices["nxos"]
    assert isinstance(found, NxosApi)
    return found


def test_the_way_back_of_a_wave_needs_no_checkpoint(rack: Rack) -> None:
    def fill() -> None:
        changed(rack).faults.full_disk = True

    changed(rack).meanwhile.append(("copy run", fill))
    done = rack.run("apply", "--yes", "--on-failure", "rollback-wave")
    assert done.code == 1, done.out + done.err
    assert "taken back with its wave" in rack.said(done)["nxos"]
    assert "the way back is not in the startup configuration" in rack.said(done)["nxos"]
    assert rack.ours("nxos") == {}
    assert changed(rack).running() == rack.before["nxos"]


def test_a_way_back_that_is_refused_leaves_the_change_and_says_so(rack: Rack) -> None:
    def refuse() -> None:
        changed(rack).faults.refuse = "no ip route 10.96.0.0/12"

    changed(rack).meanwhile.append(("copy run", refuse))
    done = rack.run("apply", "--yes", "--on-failure", "rollback-wave")
    assert done.code == 1, done.out + done.err
    assert "nothing of the way back is in force" in rack.said(done)["nxos"]
    assert rack.ours("nxos")[AGGREGATE] == NODES


def test_a_change_that_cannot_be_saved_is_in_force_and_said(router: Device) -> None:
    def fill() -> None:
        router.device.faults.full_disk = True

    router.device.meanwhile.append(("checkpoint file", fill))
    done = router.apply()
    assert done.code == 1, done.out + done.err
    assert "in force, but not in the startup configuration" in done.out
    assert "copy running-config startup-config" in done.out
    assert router.ours()[AGGREGATE] == NODES
    assert not router.device.saved()


def test_a_copy_that_fails_in_words_alone_is_not_saved(router: Device) -> None:
    router.device.aborts_copies = True
    done = router.apply()
    assert done.code == 1, done.out + done.err
    said = " ".join(done.out.split())
    assert "in force, but not in the startup configuration" in said
    assert ("request was aborted" if router.device.driver == "nxos" else "Unable to save") in said
    assert router.ours()[AGGREGATE] == NODES
    assert not router.device.saved()


def test_a_refused_line_is_told_where_the_rollback_cannot_be_saved(switch: Switch) -> None:
    device = driver(switch)
    before = switch.running()
    device.get_config("running")
    device.load_merge_candidate(config=f"{LINE}\nip route 10.2.0.0/16 10.192.0.1 tagged\n")
    switch.aborts_copies = True
    why = "10.2.0.0/16 10.192.0.1 tagged" if switch.driver == "nxos" else "Error while applying config"
    with pytest.raises(ConfigRejected, match=rf"{re.escape(why)}.*but not saved.*as it was read before the change"):
        device.commit_config()
    assert switch.running() == before
    switch.aborts_copies = False
    device.load_merge_candidate(config=f"{LINE}\n")
    device.commit_config()
    assert switch.saved()
    device.close()


def test_what_is_saved_outlives_a_reload(router: Device) -> None:
    assert router.apply().code == 3
    router.device.boot()
    assert router.ours()[AGGREGATE] == NODES
    assert router.run("verify").code == 3


# --- others, meanwhile ---


def test_a_hop_that_somebody_adds_after_the_read_stops_the_change(router: Device) -> None:
    def nothing() -> None:
        pass

    def somebody() -> None:
        router.device.type("ip route 10.96.0.0/12 10.192.0.77 name theirs")

    # The plan reads once; applying it reads first, stages, and reads again.
    router.device.meanwhile += [("show running-config", nothing), ("show running-config", somebody)]
    done = router.apply()
    assert done.code == 3, done.out + done.err
    assert "changed while the plan was being staged" in done.out
    assert router.ours() == {AGGREGATE: frozenset({"10.192.0.77"})}


def test_a_hop_that_somebody_removes_before_we_do(router: Device) -> None:
    """The switch refuses our removal. NX-API says so, and the rollback brings their hop back; over SSH nobody notices."""
    assert router.apply().code == 3
    router.site.not_ready("node3")
    gone = "no ip route 10.96.0.0/12 10.192.0.3"
    router.device.meanwhile.append(("checkpoint file", lambda: router.device.type(gone)))
    done = router.apply()
    if router.device.driver == "nxos":
        assert done.code == 1
        assert "it does not exist" in done.out
        assert "the whole configuration was rolled back to the checkpoint" in done.out
        assert router.ours()[AGGREGATE] == NODES
    else:
        assert done.code == 0, done.out + done.err
    assert router.apply().code == 0
    assert router.ours()[AGGREGATE] == {"10.192.0.1", "10.192.0.2"}
    assert router.ours()["default", "198.51.100.0/28"] == {"10.192.0.1", "10.192.0.2"}


def test_what_others_typed_elsewhere_stays(router: Device) -> None:
    router.device.meanwhile.append(("checkpoint file", lambda: router.device.type(NOTE)))
    assert router.apply().code == 3
    assert NOTE in router.device.running()
    assert router.ours()[AGGREGATE] == NODES


def test_a_switch_that_goes_on_after_our_patience_has_ended(api: NxosApi, tmp_path: Path) -> None:
    router = Device(new_site(tmp_path / "site"), api)
    hosts = router.site.folder / "inventories/demo/hosts.yaml"
    content = yaml.safe_load(hosts.read_text())
    patient = hosts.read_text()
    content["r1"]["connection_options"]["napalm"]["extras"]["timeout"] = 4
    hosts.write_text(yaml.safe_dump(content))
    api.faults.slow_commit_s = 10
    done = router.apply()
    assert done.code == 1, done.out + done.err
    assert router.ours() == {}
    assert router.untouched()
    api.faults.slow_commit_s = 0
    hosts.write_text(patient)
    assert router.apply().code == 3
    assert router.ours()[AGGREGATE] == NODES


# --- VRFs and next hops ---


def in_vrf(router: Device, vrf: str) -> None:
    hosts = router.site.folder / "inventories/demo/hosts.yaml"
    content = yaml.safe_load(hosts.read_text())
    content["r1"]["data"] = {"k8s_ecmp": {"vrf": vrf}}
    hosts.write_text(yaml.safe_dump(content))


def test_routes_in_a_vrf(switch: Switch, tmp_path: Path) -> None:
    switch.load(switch.SAMPLE.replace("interface Vlan10\n", "interface Vlan10\n  vrf member red\n"))
    router = Device(new_site(tmp_path / "site"), switch)
    in_vrf(router, "red")
    done = router.apply()
    assert done.code == 3, done.out + done.err  # the conflict in that VRF
    assert router.ours()["red", "10.96.0.0/12"] == NODES
    assert AGGREGATE not in router.ours()
    assert router.untouched()
    assert router.run("verify").code == 3
    router.site.not_ready("node3")
    assert router.apply().code == 0
    assert router.ours()["red", "10.96.0.0/12"] == {"10.192.0.1", "10.192.0.2"}


def test_a_vrf_that_is_not_there_is_not_made(router: Device) -> None:
    in_vrf(router, "rad")
    done = router.run("plan")
    assert done.code == 1
    assert "rad" in done.out + done.err
    assert router.is_old()


def test_a_next_hop_without_a_way_is_held_back_and_said(switch: Switch, tmp_path: Path) -> None:
    switch.load(switch.SAMPLE.replace("  ipv6 address fd10:192::fd/64\n", ""))
    router = Device(new_site(tmp_path / "site"), switch)
    done = router.apply()
    assert done.code == 3, done.out + done.err
    assert "next hop fd10:192::1 cannot be resolved there" in done.out
    assert "ipv6 route fd96::/108" not in switch.running()
    assert router.ours()[AGGREGATE] == NODES


# --- whom we speak to ---


def test_a_certificate_nobody_vouches_for_is_refused(api: NxosApi, tmp_path: Path) -> None:
    with pytest.raises(HostKeyRejected, match="ca_file"):
        driver(api, ssl_verify=None)
    assert api.transcript == []
    authority = api.host()["connection_options"]["napalm"]["extras"]["optional_args"]["ssl_verify"]
    driver(api, ssl_verify=None, ca_file=authority).close()
    driver(api, ssl_verify=False).close()
    with pytest.raises(RouterError, match="no such file"):
        driver(api, ssl_verify=None, ca_file=str(tmp_path / "none.pem"))


def test_an_unknown_host_key_is_refused(ssh: NxosSsh, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(HostKeyRejected, match="known_hosts"):
        driver(ssh, alt_key_file=str(tmp_path / "empty"))
    assert ssh.transcript == []
    driver(ssh, alt_host_keys=None, alt_key_file=None, ssh_strict=False).close()


def test_nobody_there(switch: Switch) -> None:
    with pytest.raises(Unreachable):
        driver(switch, port=1)


def test_a_refused_question_is_one_line(api: NxosApi) -> None:
    device = driver(api)
    with pytest.raises(RouterError, match="the switch refused 'show nothing': % Invalid command"):
        device.cli(["show nothing"])
    device.close()


def test_a_connection_lost_while_saving(switch: Switch) -> None:
    def cut() -> None:
        raise Dropped

    device = driver(switch)
    device.load_merge_candidate(config=f"{LINE}\n")
    switch.meanwhile.append(("copy run", cut))
    if switch.driver == "nxos":  # the next request has a connection of its own
        device.commit_config()
    else:
        with pytest.raises(CommitFailed):  # whether somebody else gets in is to be found out before it stays
            device.commit_config()
    assert ROUTE in switch.routes()
    device.close()


# --- rights ---


def test_every_command_that_is_sent_stands_in_the_list_of_rights(router: Device) -> None:
    assert router.apply().code == 3
    router.site.not_ready("node3")
    assert router.apply().code == 0
    assert router.run("verify").code == 0
    router.device.faults.refuse = "10.192.0.3"
    router.site.node("node3", lambda item: item["status"]["conditions"][1].update(status="True"))
    assert router.apply().code == 1
    listed = re.findall(r"rule \d+ permit command (.+)$", DOCS.read_text(), re.MULTILINE)
    allowed = [pattern.strip() for rule in listed for pattern in rule.split(" ; ")]
    assert allowed
    for command in filter(str.strip, router.device.transcript):
        assert any(fnmatch.fnmatchcase(command.strip(), pattern) for pattern in allowed), command


def test_marks_are_the_owner_s(router: Device) -> None:
    router.apply()
    lines = [line for line in router.device.running().splitlines() if f"tag {TAG}" in line and "10.96.0.0/12" in line]
    assert [line for line in lines if line.startswith("ip route")] != []
    assert all(
        " name demo tag 4201" in line for line in lines if line.startswith("ip route") and "10.192.0.66" not in line
    )

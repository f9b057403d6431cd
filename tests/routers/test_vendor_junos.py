"""Junos behind NAPALM's driver: whose lock, whose candidate, whose commit, and which host key."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.errors import (
    AuthenticationFailed,
    ChangePending,
    CommitFailed,
    ConfigRejected,
    ConfirmExpired,
    ForeignLines,
    HostKeyRejected,
    LockHeld,
    RouterError,
    Unreachable,
)
from k8s_ecmp.routers.drivers.vendor.junos import JunosDriver
from tests.site import Site, new_site
from tests.world.emulators.junos import Junos
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/platforms/junos.md"
ROUTE = (
    "set routing-options static route 10.96.0.0/12 next-hop 10.192.0.1\n"
    "set routing-options static route 10.96.0.0/12 tag 4201\n"
)
OURS = ("default", "10.96.0.0/12")
LICENCE = "mgd: requires 'bgp' license"
Connect = Callable[..., JunosDriver]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Junos]:
    with Junos(tmp_path) as emulated:
        yield emulated


@pytest.fixture
def connect(device: Junos) -> Iterator[Connect]:
    """Opens drivers with the inventory's options; further options as keywords."""
    opened: list[JunosDriver] = []

    def make(password: str | None = None, **options: Any) -> JunosDriver:
        host = device.host()
        extras = host["connection_options"]["napalm"]["extras"]
        driver = JunosDriver(
            host["hostname"],
            host["username"],
            password or host["password"],
            extras["timeout"],
            {"port": host["port"], **extras["optional_args"], **options},
        )
        opened.append(driver)
        driver.open()
        return driver

    yield make
    for driver in opened:
        driver.close()


def stage(driver: JunosDriver, commands: str = ROUTE) -> None:
    driver.load_merge_candidate(config="")
    driver.load_merge_candidate(config=commands)


def test_the_holder_of_the_lock_is_named(device: Junos, connect: Connect):
    device.faults.holder = "alice"
    with pytest.raises(LockHeld, match="alice, pid 4681") as error:
        connect().load_merge_candidate(config="")
    assert error.value.holder == "alice, pid 4681"
    assert error.value.retryable


def test_two_of_us_never_hold_the_lock_at_once(device: Junos, connect: Connect):
    first, second = connect(), connect()
    first.load_merge_candidate(config="")
    with pytest.raises(LockHeld):
        second.load_merge_candidate(config="")
    first.discard_config()
    stage(second)
    second.commit_config()
    second.discard_config()
    assert OURS in device.routes()


def test_uncommitted_changes_of_others_stop_us_and_stay(device: Junos, connect: Connect):
    device.edit("set system host-name half-done")
    before = device.running()
    driver = connect()
    with pytest.raises(ForeignLines, match="uncommitted"):
        driver.load_merge_candidate(config="")
    driver.discard_config()
    driver.close()
    assert device.dirty()
    assert device.running() == before


def test_reading_throws_nothing_away(device: Junos, connect: Connect):
    device.edit("set system host-name half-done")
    driver = connect()
    assert "host-name r1;" in driver.get_config("running")["running"]
    assert not driver.has_pending_commit()
    driver.discard_config()
    driver.close()
    assert device.dirty()


def test_nobody_edits_between_our_commit_and_its_confirm(device: Junos, connect: Connect):
    driver, other = connect(), connect()
    stage(driver)
    driver.commit_config(revert_in=60)
    with pytest.raises(LockHeld):
        other.load_merge_candidate(config="")
    driver.confirm_commit()
    driver.discard_config()
    assert not device.pending()
    other.load_merge_candidate(config="")


def test_a_private_candidate_leaves_the_changes_of_others_alone(device: Junos, connect: Connect):
    device.edit("set system host-name half-done")
    driver = connect(config_private=True)
    stage(driver)
    assert "half-done" not in driver.compare_config()
    driver.commit_config(revert_in=60)
    driver.confirm_commit()
    driver.discard_config()
    assert OURS in device.routes()
    assert not device.pending()
    assert "host-name r1;" in device.running()
    assert device.dirty()


def test_a_private_candidate_that_is_refused_touches_nothing_else(device: Junos, connect: Connect):
    device.edit("set system host-name half-done")
    device.faults.refuse = "10.96.0.0"
    driver = connect(config_private=True)
    with pytest.raises(ConfigRejected):
        stage(driver)
    driver.discard_config()
    assert device.dirty()
    device.faults.refuse = None
    stage(driver)
    driver.commit_config()
    driver.discard_config()
    assert OURS in device.routes()
    assert device.dirty()


def test_a_private_commit_is_taken_back_too(device: Junos, connect: Connect):
    before = device.running()
    driver = connect(config_private=True)
    stage(driver)
    driver.commit_config(revert_in=60)
    driver.rollback()
    driver.discard_config()
    assert device.running() == before
    assert not device.pending()


@pytest.mark.parametrize("private", [False, True])
def test_a_commit_that_waits_is_nobody_else_s_to_confirm(device: Junos, connect: Connect, private: bool):
    before = device.running()
    driver = connect()
    stage(driver)
    driver.commit_config(revert_in=60)
    driver.close()
    assert device.pending()
    wait_for(lambda: device.locked is None, "the router has noticed that the session is gone")
    second = connect(config_private=private)
    assert second.has_pending_commit()
    with pytest.raises(ChangePending, match="would confirm it"):
        second.load_merge_candidate(config="")
    assert device.pending()
    device.expire()
    second.load_merge_candidate(config="")
    assert device.running() == before


def test_a_message_never_hides_that_a_commit_waits(device: Junos, connect: Connect):
    driver = connect()
    stage(driver)
    driver.commit_config(message="node n3 is gone", revert_in=60)
    assert driver.has_pending_commit()
    driver.confirm_commit()
    assert not driver.has_pending_commit()
    driver.load_merge_candidate(config=ROUTE.replace("10.96.0.0/12", "10.99.0.0/16"))
    driver.commit_config(message="node n3 is back")
    assert device.history[0].log == "node n3 is back"


def test_a_release_that_does_not_mark_waiting_commits_is_asked_for_their_age(device: Junos, connect: Connect):
    device.marks_waiting = False
    driver = connect()
    stage(driver)
    driver.commit_config(revert_in=120)
    assert driver.has_pending_commit()
    device.clock += 121
    assert not driver.has_pending_commit()


def test_a_confirm_that_comes_too_late_says_so(device: Junos, connect: Connect):
    before = device.routes()
    driver = connect()
    stage(driver)
    driver.commit_config(revert_in=60)
    device.expire()
    with pytest.raises(ConfirmExpired):
        driver.confirm_commit()
    with pytest.raises(CommitFailed, match="no commit of ours"):
        driver.rollback()
    assert device.routes() == before


def test_a_lost_commit_of_ours_is_taken_back_at_the_next_contact(device: Junos, connect: Connect):
    before = device.running()
    device.faults.drop = "after-commit"
    driver = connect()
    stage(driver)
    with pytest.raises((CommitFailed, Unreachable)):
        driver.commit_config(revert_in=60)
    assert device.pending()
    driver.close()
    wait_for(lambda: device.locked is None, "the router has noticed that the session is gone")
    driver.open()
    driver.load_merge_candidate(config="")
    assert not device.pending()
    assert device.running() == before
    driver.load_merge_candidate(config=ROUTE)
    driver.commit_config()
    assert OURS in device.routes()


def test_a_refused_line_is_named_with_its_reason(device: Junos, connect: Connect):
    driver = connect()
    driver.load_merge_candidate(config="")
    with pytest.raises(ConfigRejected, match=r"10\.96\.0\.1/12"):
        driver.load_merge_candidate(config=ROUTE.replace("10.96.0.0", "10.96.0.1"))
    with pytest.raises(ConfigRejected, match="statement not found"):
        driver.load_merge_candidate(config="delete routing-options static route 10.55.0.0/16\n")
    driver.discard_config()
    assert not device.dirty()
    assert device.locked is None


@pytest.mark.parametrize("fault", ["full disk", "no next hop"])
def test_a_refused_commit_leaves_nothing_behind(device: Junos, connect: Connect, fault: str):
    before = device.running()
    device.faults.full_disk = fault == "full disk"
    driver = connect()
    stage(driver, ROUTE if fault == "full disk" else ROUTE.splitlines(keepends=True)[1])
    with pytest.raises(CommitFailed, match="No space left" if fault == "full disk" else "next hop must be specified"):
        driver.commit_config(revert_in=60)
    driver.discard_config()
    assert device.running() == before
    assert not device.dirty()
    assert device.locked is None


# --- warnings: <error-severity> decides (RFC 6241, 4.3); the answers are those that Juniper/ansible-junos-stdlib #58 and
# clicon/clixon-controller #71 show of commits that were in force ---


def test_a_commit_with_a_warning_is_in_force_and_the_warning_is_kept(device: Junos, connect: Connect):
    device.faults.warning = LICENCE
    driver = connect()
    stage(driver)
    driver.commit_config(revert_in=60)
    assert OURS in device.routes()
    driver.confirm_commit()
    assert not device.pending()
    assert driver.warnings() == (f"[edit protocols] {LICENCE} bgp",)
    assert driver.warnings() == ()
    driver.discard_config()
    assert device.locked is None


def test_a_way_back_with_a_warning_is_taken(device: Junos, connect: Connect):
    before = device.running()
    device.faults.warning = LICENCE
    driver = connect()
    stage(driver)
    driver.commit_config(revert_in=60)
    driver.rollback()
    driver.discard_config()
    assert device.running() == before
    assert not device.pending()


@pytest.mark.parametrize("at", ["load", "compare"])
@pytest.mark.parametrize("private", [False, True])
def test_a_warning_beside_a_load_or_a_comparison_is_no_refusal(device: Junos, connect: Connect, at: str, private: bool):
    device.faults.warning, device.faults.warns_at = LICENCE, frozenset({at})
    driver = connect(config_private=private)
    stage(driver)
    assert "10.96.0.0/12" in driver.compare_config()
    driver.commit_config()
    driver.discard_config()
    assert OURS in device.routes()
    assert driver.warnings() == (f"[edit protocols] {LICENCE} bgp",)


def test_an_error_among_warnings_is_a_refusal_and_named_alone(device: Junos, connect: Connect):
    before = device.running()
    device.faults.full_disk, device.faults.warning = True, LICENCE
    driver = connect()
    stage(driver)
    with pytest.raises(CommitFailed, match="No space left") as refused:
        driver.commit_config(revert_in=60)
    assert LICENCE not in str(refused.value)
    assert "in force" not in str(refused.value), "nobody has read that"
    driver.discard_config()
    assert device.running() == before


def test_what_the_inventory_ignores_is_not_reported(device: Junos, connect: Connect):
    device.faults.warning = LICENCE
    driver = connect(ignore_warning=["requires .* license"])
    stage(driver)
    driver.commit_config()
    driver.discard_config()
    assert OURS in device.routes()
    assert driver.warnings() == ()


@pytest.mark.parametrize("confirm_within_s", [60, 0])
def test_a_whole_run_reports_a_warning_as_one(device: Junos, site: Site, confirm_within_s: int):
    device.faults.warning = LICENCE
    site.settings(rollout={"confirm_within_s": confirm_within_s, "verify_timeout_s": 3})
    done = site.run_here("apply", "--yes", "--format", "json")
    (result,) = json.loads(done.out)["routers"]
    assert result["outcome"] == "committed", result
    assert result["warnings"] == [f"the router warns: [edit protocols] {LICENCE} bgp"]
    assert OURS in device.routes()
    assert not device.pending()


@pytest.mark.parametrize("confirm_within_s", [60, 0])
def test_a_whole_run_takes_a_change_back_whose_commits_are_warned_of(device: Junos, site: Site, confirm_within_s: int):
    before = device.running()
    device.faults.warning, device.faults.hide = LICENCE, {"10.96.0.0/12"}
    site.settings(rollout={"confirm_within_s": confirm_within_s, "verify_timeout_s": 1})
    done = site.run_here("apply", "--yes", "--format", "json")
    (result,) = json.loads(done.out)["routers"]
    assert (result["outcome"], result["undone"]) == ("rolled-back", "router" if confirm_within_s else "inverse"), result
    assert result["warnings"] == [f"the router warns: [edit protocols] {LICENCE} bgp"]
    assert device.running() == before
    assert not device.pending()


def test_that_nothing_is_in_force_is_read_before_it_is_said(device: Junos, site: Site):
    device.faults.full_disk = True
    done = site.run_here("apply", "--yes")
    assert "No space left on device; nothing of the change is in force" in " ".join(done.out.split())
    operations = [entry.split()[0] for entry in device.transcript]
    assert "get-configuration" in operations[operations.index("commit-configuration") :]


def test_nothing_is_committed_without_the_lock(device: Junos, connect: Connect):
    device.edit("set system host-name half-done")
    with pytest.raises(CommitFailed, match="without the lock"):
        connect().commit_config()
    assert device.dirty()


def test_host_keys_are_checked(device: Junos, connect: Connect, tmp_path: Path):
    empty = tmp_path / "none"
    empty.write_text("")
    with pytest.raises(HostKeyRejected, match="alt_key_file"):
        connect(alt_key_file=str(empty))
    with pytest.raises(HostKeyRejected):
        connect(alt_key_file=str(tmp_path / "missing"))
    other = re.sub(
        r"AAAA\S+",
        "AAAAC3NzaC1lZDI1NTE5AAAAIDAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAx",
        device.known_hosts.read_text(),
    )
    (tmp_path / "other").write_text(other)
    with pytest.raises(HostKeyRejected):
        connect(alt_key_file=str(tmp_path / "other"))
    assert device.transcript == []
    assert connect(alt_key_file=str(empty), ssh_strict=False).is_alive() == {"is_alive": True}


def test_known_hosts_of_an_ssh_config_count(device: Junos, connect: Connect, tmp_path: Path):
    config = tmp_path / "ssh_config"
    config.write_text(f"Host *\n    UserKnownHostsFile {device.known_hosts}\n")
    assert connect(alt_key_file=None, ssh_config_file=str(config)).is_alive() == {"is_alive": True}


def test_a_wrong_password_and_a_closed_port(device: Junos, connect: Connect):
    with pytest.raises(AuthenticationFailed):
        connect(password="wrong")
    with pytest.raises(Unreachable):
        connect(port=1)


def test_a_dead_session_is_an_error_that_says_so(device: Junos, connect: Connect):
    driver = connect()
    device.stop_sessions()
    wait_for(lambda: driver.is_alive() == {"is_alive": False}, "the driver has noticed")
    with pytest.raises(RouterError):
        driver.get_config("running")
    driver.close()


@pytest.fixture
def site(device: Junos, tmp_path: Path) -> Site:

    made = new_site(tmp_path / "site")
    made.hosts(r1=device.host())
    made.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 3})
    return made


def test_a_whole_run_needs_no_other_rights_than_those_documented(device: Junos, site: Site):
    assert site.run_here("apply", "--yes").code == 3  # the one conflict
    assert OURS in device.routes()
    text = PAGE.read_text(encoding="utf-8")
    for operation in {line.split()[0] for line in device.transcript} - {"command"}:
        assert f"`{operation}`" in text, f"{operation} is not on the page"
    allowed = [
        re.compile(pattern)
        for pattern in re.findall(r"allow-commands-regexps \[ (.*) \]", text)[0].strip('"').split('" "')
    ]
    for entry in device.transcript:
        if entry.startswith("command"):
            shown = entry.split("\n", 1)[1]
            assert any(pattern.fullmatch(shown) for pattern in allowed), f"{shown} is not allowed by the page"


def test_others_edits_are_said_by_a_whole_run(device: Junos, site: Site):
    device.edit("set system host-name half-done")
    before = device.running()
    done = site.run_here("apply", "--yes")
    assert done.code == 1
    assert "uncommitted changes" in done.out
    assert device.running() == before
    assert device.dirty()

"""What is special to NAPALM's `ios` driver: files, prompts, timers, rollbacks and saving, on the emulated router."""

import fnmatch
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from k8s_ecmp.errors import (
    CommitFailed,
    ConfigRejected,
    ConfirmExpired,
    ForeignLines,
    HostKeyRejected,
    LockHeld,
    NotSaved,
    ParseError,
    RouterError,
    Unreachable,
)
from k8s_ecmp.model import NextHop, Prefix, RouteChange
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.drivers import DRIVERS
from k8s_ecmp.routers.drivers.vendor.ios import IosDriver
from k8s_ecmp.routers.port import Port
from k8s_ecmp.routers.transaction import Transaction
from tests.site import REPO, Site, new_site
from tests.world.emulators.base import PASSWORD, USERNAME
from tests.world.emulators.ios import Ios

pytestmark = [pytest.mark.slow, pytest.mark.long]

PREFIX = Prefix.parse("10.96.0.0/12")
LINE = "ip route 10.96.0.0 255.240.0.0 10.192.0.1 tag 4201 name prod-eu1\n"
CREATE = RouteChange("create", "default", PREFIX, (), (NextHop("10.192.0.1", tag=4201, name="prod-eu1"),))


@pytest.fixture
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ios]:
    kind: type[Ios] = getattr(request, "param", Ios)
    with kind(tmp_path) as device:
        yield device


def new_driver(router: Ios, **options: object) -> IosDriver:
    extras = router.host()["connection_options"]["napalm"]["extras"]["optional_args"]
    port = {"port": router.host()["port"], "k8s_ecmp_owner": "prod-eu1"}
    return IosDriver("127.0.0.1", USERNAME, PASSWORD, optional_args=port | extras | options)


@pytest.fixture
def driver(router: Ios) -> Iterator[IosDriver]:
    opened = new_driver(router)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def site(router: Ios, tmp_path: Path) -> Site:
    site = new_site(tmp_path / "site")
    site.hosts(r1=router.host())
    site.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 3})
    return site


def transaction(driver: IosDriver) -> Transaction:
    return Transaction(driver, Port("ios", get_platform("ios"), DRIVERS["ios"].capabilities()))


def test_a_dry_run_writes_nothing_and_leaves_nothing(router: Ios, driver: IosDriver) -> None:
    before = router.running()
    driver.load_merge_candidate(config="")
    driver.load_merge_candidate(config=LINE)
    (name,) = router.flash.names()
    assert name.startswith("k8s-ecmp-prod-eu1-")
    assert router.flash.read(f"flash:/{name}") == f"{LINE}end\n"
    assert driver.compare_config() == f"+{LINE.strip()}"
    driver.discard_config()
    assert router.flash.names() == []
    assert router.running() == before
    assert router.saved()
    assert not [line for line in router.transcript if line.startswith(("configure", "copy", "write"))]


def test_what_stands_already_is_no_difference(router: Ios, driver: IosDriver) -> None:
    router.type(LINE)
    driver.load_merge_candidate(config=LINE)
    assert driver.compare_config() == ""


def test_prompts_are_never_switched_by_a_configuration_line(router: Ios) -> None:
    driver = new_driver(router, auto_file_prompt=True, merge_cfg="merge_config.txt")
    driver.open()
    driver.load_merge_candidate(config=LINE)
    driver.commit_config()
    driver.discard_config()
    driver.close()
    assert "configure terminal" not in router.transcript
    assert "merge_config.txt" not in " ".join(router.transcript)
    assert router.saved()


@pytest.mark.parametrize("setting", ["file prompt quiet", "ip scp server enable"])
def test_a_missing_setting_is_named_before_anything_is_written(router: Ios, driver: IosDriver, setting: str) -> None:
    router.type(f"no {setting}")
    with pytest.raises(RouterError, match=setting):
        driver.load_merge_candidate(config=LINE)
    assert router.flash.names() == []


def test_without_an_archive_there_is_no_timer_and_nothing_is_changed(router: Ios, driver: IosDriver) -> None:
    router.type("no archive")
    driver.load_merge_candidate(config=LINE)
    before = router.running()
    with pytest.raises(CommitFailed, match="confirm_within_s: 0"):
        driver.commit_config(revert_in=60)
    assert router.running() == before
    assert not driver.has_pending_commit()
    driver.commit_config()
    assert LINE in router.running()


@pytest.mark.parametrize("typed", ["no archive", "no archive\narchive\n log config"])
def test_a_router_without_an_archive_is_changed_without_a_timer(router: Ios, tmp_path: Path, typed: str) -> None:
    router.type(typed)
    site = new_site(tmp_path / "site")
    site.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 3})
    folder = site.folder / "inventories/demo"
    others = yaml.safe_load((folder / "hosts.yaml").read_text())
    (folder / "hosts.yaml").write_text(yaml.safe_dump({"a0": router.host(), **others}, sort_keys=False))
    planned = " ".join(site.run_here("plan").out.split())
    assert "a0: no commit-confirm. What cannot be verified is taken back by the inverse patch" in planned
    assert "router a0: no timer takes an unconfirmed change back there: the configuration lacks `archive`" in planned
    router.faults.hide = {"10.97.10.1/32"}
    before = router.running()
    done = site.run_here("apply", "--yes")
    assert done.code == 1
    assert "taken back, by the inverse patch" in " ".join(done.out.split())
    assert sorted(router.running().splitlines()) == sorted(before.splitlines())
    router.faults.hide = set()
    done = site.run_here("apply", "--yes")
    assert done.code == 3, done.out
    assert "not-attempted" not in done.out
    assert ("default", "10.96.0.0/12") in router.routes()
    assert router.saved()


def test_an_archive_that_went_after_the_plan_makes_it_stale(router: Ios, site: Site) -> None:
    plan = str(site.folder / "demo.plan")
    assert site.run_here("plan", "--out", plan).code == 2
    router.type("no archive")
    before = router.running()
    done = site.run_here("apply", plan, "--yes")
    assert "r1 has no timer any more" in " ".join((done.out + done.err).split())
    assert router.running() == before
    assert router.flash.names() == []


def test_a_locked_configuration_names_its_holder(router: Ios, driver: IosDriver) -> None:
    router.faults.holder = "alice"
    with pytest.raises(LockHeld) as error:
        driver.load_merge_candidate(config="")
    assert error.value.holder == "alice"
    driver.load_merge_candidate(config=LINE)
    with pytest.raises(CommitFailed, match="locked"):
        driver.commit_config(revert_in=60)
    assert LINE not in router.running()


def test_a_timer_that_runs_keeps_others_out_and_is_left_alone(router: Ios, driver: IosDriver) -> None:
    driver.load_merge_candidate(config=LINE)
    driver.commit_config(revert_in=120)
    other = new_driver(router)
    other.open()
    with pytest.raises(LockHeld) as error:
        other.load_merge_candidate(config="")
    other.close()
    assert error.value.holder == USERNAME
    assert "2 min" in str(error.value)
    assert router.pending()
    driver.close()
    assert router.pending(), "closing the connection must not end the timer"
    driver.open()
    driver.confirm_commit()
    assert not router.pending()
    assert router.saved()
    assert LINE in router.running()


def test_a_timer_that_ran_out_is_no_confirm(router: Ios, driver: IosDriver) -> None:
    driver.load_merge_candidate(config=LINE)
    driver.commit_config(revert_in=60)
    router.expire()
    with pytest.raises(ConfirmExpired):
        driver.confirm_commit()
    assert LINE not in router.running()


def test_rollback_ends_the_timer_and_never_replaces_a_configuration(router: Ios, driver: IosDriver) -> None:
    driver.load_merge_candidate(config=LINE)
    driver.commit_config(revert_in=60)
    driver.rollback()
    assert LINE not in router.running()
    with pytest.raises(CommitFailed):
        driver.rollback()
    assert not [line for line in router.transcript if line.startswith("configure replace")]


def test_an_invalid_line_is_told_with_what_napalm_made_of_it(router: Ios, driver: IosDriver) -> None:
    before = driver.get_config("running")["running"]
    router.faults.refuse = "10.192.0.2"
    driver.load_merge_candidate(config=LINE + LINE.replace("0.1 ", "0.2 "))
    with pytest.raises(ConfigRejected) as error:
        driver.commit_config()
    assert f"the router refused '{LINE.replace('0.1 ', '0.2 ').strip()}': invalid input" in str(error.value)
    assert "it is what was read before" in str(error.value)
    assert "configure replace flash:/" in " ".join(router.transcript)
    assert driver.get_config("running")["running"] == before


def test_what_napalm_s_rollback_loses_of_others_is_told(router: Ios, driver: IosDriver) -> None:
    driver.get_config("running")
    driver.load_merge_candidate(config=LINE)
    router.type("ip route 192.0.2.128 255.255.255.128 10.192.0.9")  # after our read
    router.faults.refuse = "10.96.0.0"
    with pytest.raises(
        ConfigRejected, match=r"differs from what was read before in 1 lines, first '\+ip route 192.0.2.128"
    ):
        driver.commit_config()


def test_a_save_that_fails_is_found_by_reading_back(router: Ios, driver: IosDriver) -> None:
    router.nvram_busy = True
    driver.load_merge_candidate(config=LINE)
    with pytest.raises(NotSaved, match="startup"):
        driver.commit_config()
    assert LINE in router.running()
    assert not router.saved()


def test_a_save_that_fails_after_the_confirm_leaves_the_change_and_says_so(router: Ios, site: Site) -> None:
    router.nvram_busy = True
    done = site.run_here("apply", "--yes")
    assert done.code == 1
    assert "startup configuration does not have it" in done.out
    assert ("default", "10.96.0.0/12") in router.routes()
    assert not router.pending()
    router.nvram_busy = False


def test_lines_that_are_not_ours_in_the_candidate_stop_the_commit(router: Ios, driver: IosDriver) -> None:
    session = transaction(driver)
    session.begin()
    running = session.read()
    load = driver.device.load_merge_candidate

    def tampered(**arguments: str) -> None:
        load(**arguments)
        path = router.flash.path(router.flash.names()[0])
        path.write_text(path.read_text().replace("end\n", "router bgp 65001\n no neighbor 192.0.2.1\nend\n"))

    driver.device.load_merge_candidate = tampered
    with pytest.raises(ForeignLines, match="no neighbor"):
        session.stage([CREATE], running)
    session.discard()
    assert router.flash.names() == []


class Racing(Ios):
    """Somebody types a route at our prefix while our candidate is compared, once."""

    typed = False

    def _answer(self, line: str, words: list[str]) -> str:
        if line.startswith("show archive config incremental-diffs") and not self.typed:
            self.typed = True
            self.type("ip route 10.96.0.0 255.240.0.0 10.192.0.9")
        return super()._answer(line, words)


@pytest.mark.parametrize("router", [Racing], indirect=True)
def test_a_route_that_somebody_adds_at_our_prefix_stops_the_commit(router: Ios, site: Site) -> None:
    before = router.running()
    done = site.run_here("apply", "--yes")
    assert "changed while the plan was being staged; nothing was written" in done.out
    theirs = "ip route 10.96.0.0 255.240.0.0 10.192.0.9"
    assert [line for line in router.running().splitlines() if line != theirs] == before.splitlines()
    assert router.flash.names() == []
    assert not [line for line in router.transcript if line.startswith(("configure", "copy", "write"))]


def test_files_of_dead_runs_are_deleted_when_they_are_old(router: Ios, driver: IosDriver) -> None:
    old, new = int(time.time()) - 7200, int(time.time()) - 60
    for stamp in (old, new):
        for kind in ("merge", "rollback"):
            router.flash.path(f"k8s-ecmp-prod-eu1-{stamp:08x}beef-{kind}.cfg").write_text("secret")
    router.flash.path("k8s-ecmp-notes.txt").write_text("kept")
    driver.load_merge_candidate(config="")
    assert router.flash.names() == [
        "k8s-ecmp-notes.txt",
        f"k8s-ecmp-prod-eu1-{new:08x}beef-merge.cfg",
        f"k8s-ecmp-prod-eu1-{new:08x}beef-rollback.cfg",
    ]


def test_after_an_apply_no_copy_of_the_configuration_is_left(router: Ios, site: Site) -> None:
    assert site.run_here("apply", "--yes").code == 3
    assert router.flash.names() == []
    assert ("default", "10.96.0.0/12") in router.routes()


def test_without_a_timer_the_inverse_patch_takes_the_change_back(router: Ios, site: Site) -> None:
    site.settings(rollout={"confirm_within_s": 0, "verify_timeout_s": 1})
    before = router.running()
    router.faults.hide = {"10.97.10.1/32"}
    done = site.run_here("apply", "--yes")
    assert done.code == 1
    assert "taken back" in done.out
    assert sorted(router.running().splitlines()) == sorted(before.splitlines())
    assert not [line for line in router.transcript if line.startswith(("configure replace", "configure terminal"))]
    assert router.flash.names() == []


def test_the_page_lists_every_command_that_is_sent(router: Ios, site: Site) -> None:
    page = (REPO / "docs/platforms/ios.md").read_text()
    allowed = re.search(r"## Rights of the account\n.*?```\n(.*?)```", page, re.DOTALL)
    assert allowed
    patterns = allowed[1].splitlines()
    router.faults.hide = {"10.97.10.1/32"}
    assert site.run_here("apply", "--yes").code == 1  # taken back
    router.faults.hide, router.faults.refuse = set(), "10.97.10.1"
    assert site.run_here("apply", "--yes").code == 1  # refused under a timer
    site.settings(rollout={"confirm_within_s": 0, "verify_timeout_s": 3})
    assert site.run_here("apply", "--yes").code == 1  # refused without one
    router.faults.refuse = None
    site.settings(rollout={"confirm_within_s": 60, "verify_timeout_s": 3})
    assert site.run_here("apply", "--yes").code == 3
    sent = set(router.transcript)
    assert {"configure revert now", "configure confirm", "write mem"} <= sent
    assert any(line.startswith("configure replace") for line in sent)
    assert [line for line in sent if not any(fnmatch.fnmatchcase(line, pattern) for pattern in patterns)] == []


def test_a_vrf_that_is_not_there_fails_the_plan(router: Ios, site: Site) -> None:
    hosts = site.folder / "inventories/demo/hosts.yaml"
    content = yaml.safe_load(hosts.read_text())
    content["r1"]["data"] = {"k8s_ecmp": {"vrf": "blue"}}
    hosts.write_text(yaml.safe_dump(content))
    done = site.run_here("plan")
    assert done.code == 1
    assert "routing table blue does not exist" in done.out + done.err


def test_a_full_flash_is_told_before_anything_is_written(router: Ios, driver: IosDriver) -> None:
    router.faults.full_disk = True
    with pytest.raises(ConfigRejected, match="space"):
        driver.load_merge_candidate(config=LINE)


@pytest.mark.parametrize(
    "key", ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDX1ZzPNTHbBRFDqjFFwZ4CMBnsyZ3FvKVQfHrBr8fTw", ""]
)
def test_a_host_key_that_is_wrong_or_unknown_is_refused(router: Ios, tmp_path: Path, key: str) -> None:
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{router.host()['port']} {key}\n" if key else "")
    driver = new_driver(router, alt_key_file=str(known))
    with pytest.raises(HostKeyRejected, match="alt_key_file"):
        driver.open()


def test_a_router_that_is_gone_is_unreachable(router: Ios, driver: IosDriver) -> None:
    router.stop()
    with pytest.raises(Unreachable):
        driver.get_config("running")
    with pytest.raises(Unreachable):
        new_driver(router).open()
    router.start()


@pytest.mark.parametrize("timer", [None, 60])
def test_a_question_instead_of_saving_is_told_and_left_to_people(
    router: Ios, driver: IosDriver, timer: int | None
) -> None:
    driver.get_config("running")
    driver.load_merge_candidate(config=LINE)
    router.other_image = True
    with pytest.raises(NotSaved, match=r"asked 'Overwrite the previous NVRAM configuration\?\[confirm\]'"):  # noqa: PT012
        driver.commit_config(revert_in=timer)
        driver.confirm_commit()
    assert LINE.strip() in router.running()
    assert not router.pending()
    assert not router.saved()
    assert driver.compare_config() == "", "the shell is where it was"


def test_what_the_line_prints_into_answers_is_no_difference(router: Ios, driver: IosDriver) -> None:
    router.stamp = (
        "Load for five secs: 2%/0%; one minute: 5%; five minutes: 4%\n"
        "Time source is NTP, 17:33:18.269 EST Fri Apr 5 2019\n\n"
    )
    router.message = "*Nov 22 02:55:01.123: %LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet0/9, changed state to down"
    session = transaction(driver)
    session.begin()
    session.stage([CREATE], session.read())
    session.commit(60, 1)
    session.confirm()
    assert LINE.strip() in router.running()
    assert router.saved()


def test_an_account_that_sees_a_part_is_told_so(router: Ios, driver: IosDriver) -> None:
    router.level = 5
    with pytest.raises(ParseError, match=r"not whole.*'hostname'.*'version'.*privilege 15"):
        transaction(driver).read()


def test_blanks_behind_lines_hide_nothing(router: Ios, driver: IosDriver) -> None:
    router.padding = "  "
    driver.get_config("running")
    driver.load_merge_candidate(config=LINE)
    assert driver.compare_config() == f"+{LINE.strip()}"
    driver.commit_config(revert_in=60)
    driver.confirm_commit()
    assert LINE.strip() in router.running()
    assert router.saved()

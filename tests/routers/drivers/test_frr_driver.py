"""The driver against a real router: reading, staging, committing, confirming, taking back."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from k8s_ecmp.errors import CommitFailed, ConfigRejected, ConfirmExpired, LockHeld, RouterError, Unreachable
from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.routers.drivers.conftest import Connect, await_lock
from tests.world import frr_release
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.frr_releases(*frr_release.RELEASES), pytest.mark.long]

ONE = "ip route 10.1.0.0/24 10.0.0.1 tag 4201\n"


def has_route(router: FrrRouter, text: str = ONE) -> bool:
    return text in router.running_config()


def test_read(router: FrrRouter, driver: FrrDriver) -> None:
    config = driver.get_config()
    assert config["running"] == router.running_config()
    assert config["candidate"] == ""
    assert driver.get_config("candidate")["running"] == ""


def test_cli(router: FrrRouter, driver: FrrDriver) -> None:
    wait_for(lambda: "172.16.0.0/24" in router.vtysh("show ip route 172.16.0.0/24 json"), "the route is in the table")
    answer = driver.cli(["show version", "show ip route 172.16.0.0/24 json"])
    assert answer["show version"] == router.vtysh("show version")
    assert '"172.16.0.0/24"' in answer["show ip route 172.16.0.0/24 json"]
    with pytest.raises(RouterError, match=r"vtysh refuses 'show nonsense': % Unknown command: show nonsense"):
        driver.cli(["show nonsense"])
    driver.cli(["configure terminal"])
    assert driver.cli(["show version"])["show version"] == router.vtysh("show version")


def test_getters(router: FrrRouter, driver: FrrDriver) -> None:
    facts = driver.get_facts()
    assert (facts["vendor"], facts["hostname"], facts["os_version"]) == ("FRRouting", "r1", router.version)
    assert "lan0" in facts["interface_list"]
    wait_for(lambda: {"172.16.1.0/24", "fd77::/64"} <= {*driver.get_route_to()}, "the routes are in the table")
    hops = driver.get_route_to("172.16.1.0/24")["172.16.1.0/24"]
    assert [hop["next_hop"] for hop in hops] == ["10.0.0.200"]
    assert "fd77::/64" in driver.get_route_to(protocol="static")
    with pytest.raises(RouterError, match="not an IP address"):
        driver.get_route_to("lan0")


def test_merge_compare_commit_rollback(router: FrrRouter, driver: FrrDriver) -> None:
    before = router.running_config()
    driver.load_merge_candidate(
        config=f"{ONE}no ip route 172.16.0.0/24 10.0.0.200\nvrf red\n ip route 10.1.0.0/24 10.0.0.1 tag 4201\nexit-vrf\n"
    )
    assert driver.compare_config() == f"+{ONE}-ip route 172.16.0.0/24 10.0.0.200\n vrf red\n+ {ONE}".rstrip()
    assert router.running_config() == before
    driver.commit_config()
    assert driver.compare_config() == ""
    assert not driver.has_pending_commit()
    wait_for(lambda: router.fib("10.1.0.0/24") == {"10.0.0.1"}, "the route is in the FIB")
    assert router.running_config() != before
    driver.rollback()
    assert router.running_config() == before
    wait_for(lambda: not router.fib("10.1.0.0/24"), "the route is gone from the FIB")


def test_everything_else_is_byte_for_byte_the_same(router: FrrRouter, driver: FrrDriver) -> None:
    before = router.running_config()
    lines = [f"ip route 10.1.{i}.0/24 10.0.0.{hop} tag 4201" for i in range(20) for hop in (1, 2, 3)]
    lines += [f"ipv6 route fd01:0:0:{i:x}::/64 fd00::{hop} tag 4201" for i in range(1, 21) for hop in (1, 2)]
    driver.load_merge_candidate(config="\n".join(lines))
    driver.commit_config()
    after = router.running_config()
    assert [line for line in after.splitlines() if line not in lines] == before.splitlines()
    driver.load_merge_candidate(config="\n".join(f"no {line}" for line in lines[::2]) + f"\n{lines[1]}0\n")
    driver.commit_config(revert_in=60)
    driver.rollback()
    assert router.running_config() == after
    driver.load_merge_candidate(config="\n".join(f"no {line}" for line in lines))
    driver.commit_config(revert_in=60)
    driver.confirm_commit()
    assert router.running_config() == before


def test_nothing_to_do(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    driver.load_merge_candidate(config="ip route 172.16.1.0/24 10.0.0.200 tag 77\n")
    assert driver.compare_config() == ""
    driver.commit_config(revert_in=60)
    driver.confirm_commit()
    driver.rollback()
    other = connect()
    other.load_merge_candidate(config="")
    other.discard_config()


def test_commit_without_candidate(driver: FrrDriver) -> None:
    with pytest.raises(CommitFailed, match="nothing is staged"):
        driver.commit_config()
    with pytest.raises(CommitFailed, match="no commit waits"):
        driver.confirm_commit()


def test_a_syntax_error_in_one_of_many_lines(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    before = router.running_config()
    lines = [f"ip route 10.1.{i}.0/24 10.0.0.1 tag 4201" for i in range(200)]
    lines[120] = "ip route 10.1.120.0/24 10.0.0.1 tagg 4201"
    with pytest.raises(
        ConfigRejected, match=r"router r1 refused line 121: % Unknown command.*tagg.*nothing was applied"
    ):
        driver.load_merge_candidate(config="\n".join(lines))
    assert router.running_config() == before
    other = connect()
    other.load_merge_candidate(config=ONE)  # the lock is free


def test_lines_that_cannot_be_taken_back(router: FrrRouter, driver: FrrDriver) -> None:
    with pytest.raises(ConfigRejected, match=r"line 2: 'ip prefix-list X permit any' is no static route command"):
        driver.load_merge_candidate(config=f"{ONE}ip prefix-list X permit any\n")


@pytest.mark.parametrize("many", [0, 150])
def test_a_validation_failure_leaves_everything_as_it_was(router: FrrRouter, driver: FrrDriver, many: int) -> None:
    before = router.running_config()
    lines = [f"ip route 10.1.{i}.0/24 10.0.0.{hop} tag 4201" for i in range(1, many + 3) for hop in (1, 2)]
    lines += ["ip route 10.1.1.0/24 Null0 tag 4201"]
    driver.load_merge_candidate(config="\n".join(lines))
    with pytest.raises(ConfigRejected, match=r"is as before: % Configuration failed.*blackhole"):
        driver.commit_config(revert_in=60)
    assert router.running_config() == before
    assert not driver.has_pending_commit()
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    assert has_route(router)


def test_confirm(router: FrrRouter, driver: FrrDriver) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=60)
    assert driver.has_pending_commit()
    with pytest.raises(CommitFailed, match="waits for its confirm"):
        driver.load_merge_candidate(config=ONE)
    driver.confirm_commit()
    assert not driver.has_pending_commit()
    assert has_route(router)
    wait_for(lambda: len(router.processes("sleep")) == 1, "only init's own sleep is left")


def test_a_late_confirm_fails(router: FrrRouter, driver: FrrDriver) -> None:
    before = router.running_config()
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=60)
    assert has_route(router)
    router.end_timer()
    wait_for(lambda: not driver.has_pending_commit(), "the router takes it back")
    with pytest.raises(ConfirmExpired, match="took the change back"):
        driver.confirm_commit()
    assert router.running_config() == before
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    assert has_route(router)


def test_the_race_of_confirm_and_timer_has_one_winner(router: FrrRouter, connect: Connect) -> None:
    """The timer ends `late_s` after the confirm is sent, ever nearer to where the winner changes."""
    driver = connect(timeout=30)
    before = router.running_config()
    outcomes: list[bool] = []
    late_s, step_s = 0.0, 0.01
    while len(outcomes) < 10 or (len(set(outcomes)) == 1 and len(outcomes) < 30):
        wait_for(lambda: not router.timers(), "the timer of the round before has ended")
        driver.load_merge_candidate(config=ONE)
        driver.commit_config(revert_in=60)
        (sleep,) = wait_for(router.timers, "the timer runs")
        end = threading.Timer(max(late_s, 0), ended, [sleep])
        end.start()
        sent = time.monotonic() - min(late_s, 0)
        wait_for(lambda sent=sent: time.monotonic() >= sent, "the moment to confirm", interval=0.0005)
        try:
            driver.confirm_commit()
        except ConfirmExpired:
            outcomes.append(False)
        else:
            outcomes.append(True)
            assert has_route(router)
        end.cancel()
        end.join()
        if outcomes[-1]:
            driver.rollback()
        assert router.running_config() == before
        step_s = min(step_s * 2, 2) if len(set(outcomes[-2:])) == 1 else max(step_s / 4, 0.0005)
        late_s += -step_s if outcomes[-1] else step_s
    assert set(outcomes) == {False, True}


def ended(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_save_without_an_answer_is_not_asked_for_again_at_the_end(router: FrrRouter, connect: Connect) -> None:
    driver = connect()
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    driver._remote.agent._timeout = 1
    show, asked = driver._remote.show, list[str]()

    def counted(*commands: str) -> list[str]:
        asked.extend(commands)
        return show(*commands)

    driver._remote.show = counted  # type: ignore[method-assign]
    with router.stopped("vtysh"):
        with pytest.raises(RouterError):
            driver.keeping.save_startup()
        driver.close()
    assert asked == ["write memory"]
    assert driver.keeping.unsaved


def test_a_rollback_without_its_undo_is_no_success(router: FrrRouter, driver: FrrDriver) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    router.run("sh", "-c", 'cd /run/k8s-ecmp && for f in tx.applied.*; do mv "$f" tx.last; done')
    with pytest.raises(CommitFailed, match="cannot be taken back"):
        driver.rollback()
    assert has_route(router)


def test_rollback_of_a_pending_commit(router: FrrRouter, driver: FrrDriver) -> None:
    before = router.running_config()
    driver.load_merge_candidate(config=ONE)
    driver.commit_config(revert_in=60)
    driver.rollback()
    assert router.running_config() == before
    assert not driver.has_pending_commit()


def test_discard(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    before = router.running_config()
    driver.load_merge_candidate(config=ONE)
    driver.discard_config()
    assert driver.compare_config() == ""
    assert router.running_config() == before
    connect().load_merge_candidate(config=ONE)


def test_a_live_lock_is_respected_and_named(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    driver.load_merge_candidate(config=ONE)
    other = connect()
    with pytest.raises(LockHeld, match=r"being changed by .* pid \d+ since ") as caught:
        other.load_merge_candidate(config=ONE)
    assert "@" in caught.value.holder
    driver.commit_config(revert_in=60)
    with pytest.raises(LockHeld):
        other.rollback()
    driver.confirm_commit()
    other.load_merge_candidate(config=ONE)


def test_a_dead_lock_is_taken_over(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    driver.load_merge_candidate(config=ONE)
    driver._remote._session.close()  # as a lost connection: nothing is said to the router
    other = connect()
    await_lock(other)
    other.load_merge_candidate(config=ONE)
    other.commit_config()
    assert has_route(router)


def test_one_of_many_takes_the_lock(router: FrrRouter, connect: Connect) -> None:
    drivers = [connect() for _ in range(6)]
    for _ in range(5):
        held: list[FrrDriver] = []
        start = threading.Barrier(len(drivers))

        def attempt(driver: FrrDriver, held: list[FrrDriver] = held, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                driver.load_merge_candidate(config="")
            except LockHeld:
                return
            held.append(driver)

        threads = [threading.Thread(target=attempt, args=(driver,)) for driver in drivers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
        held[0].discard_config()


def test_rollback_after_somebody_else_committed(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    other = connect()
    other.load_merge_candidate(config=ONE.replace("10.1.", "10.2."))
    other.commit_config()
    with pytest.raises(CommitFailed, match="another session came after it"):
        driver.rollback()
    assert has_route(router)
    assert has_route(router, ONE.replace("10.1.", "10.2."))


def test_what_was_read_is_not_read_again(driver: FrrDriver) -> None:
    driver.get_config("running")
    for hop in (1, 2):
        driver.load_merge_candidate(config="")
        driver.load_merge_candidate(config=f"ip route 10.1.0.0/24 10.0.0.{hop} tag 4201\n")
        driver.commit_config(revert_in=60)
        driver.confirm_commit()
        driver.discard_config()
    assert driver.keeping.reads == 1


def test_what_others_changed_in_between_is_seen(router: FrrRouter, driver: FrrDriver, connect: Connect) -> None:
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    other = connect()
    other.load_merge_candidate(config=f"no {ONE}")
    other.commit_config()
    driver.load_merge_candidate(config=ONE)
    assert driver.compare_config() == f"+{ONE}".rstrip()


def test_a_restarted_staticd_does_not_fail_the_next_commit(router: FrrRouter, driver: FrrDriver) -> None:
    before = router.running_config()
    router.run("sh", "-c", "kill -KILL $(cat /run/frr/staticd.pid)")
    wait_for(lambda: not router.processes("staticd"), "staticd is gone")
    router.run("sh", "-c", "/usr/lib/frr/staticd -d -A 127.0.0.1 >/dev/null 2>&1")
    router.run("vtysh", "-b")
    wait_for(lambda: router.running_config() == before, "the configuration is back")
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    assert has_route(router)


def test_a_full_work_directory_applies_nothing(router: FrrRouter, connect: Connect) -> None:
    router.run("mkdir", "-p", "/run/small")
    router.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", "/run/small")
    before = router.running_config()
    try:
        driver = connect(**router.login(workdir="/run/small"))
        for count in (1000, 25_000):  # inside a command, and through channels of their own
            lines = [f"ip route 10.{i // 256 + 100}.{i % 256}.0/24 10.0.0.1 tag 4201" for i in range(count)]
            with pytest.raises(RouterError, match="did not arrive whole"):
                driver.load_merge_candidate(config="\n".join(lines))
            with pytest.raises(CommitFailed, match="nothing is staged"):
                driver.commit_config()
            assert router.running_config() == before
        driver.close()
    finally:
        router.run("umount", "-l", "/run/small")


def test_saving_needs_rights_that_the_login_may_lack(
    router: FrrRouter, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        driver = connect()
        driver.load_merge_candidate(config=ONE)
        driver.commit_config()
        driver.close()
    assert "startup configuration was not saved" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        driver = connect(**router.login("root"))
        driver.load_merge_candidate(config=ONE.replace("10.1.", "10.2."))
        driver.commit_config(revert_in=60)
        driver.confirm_commit()
        driver.close()
    assert not caplog.records
    saved = router.run("cat", "/etc/frr/frr.conf")
    assert ONE in saved
    assert ONE.replace("10.1.", "10.2.") in saved


@pytest.mark.frr_releases(*frr_release.RELEASES, installed=False)
@pytest.mark.parametrize("many", [1, 150])
def test_what_others_left_in_the_candidate_is_not_committed(router: FrrRouter, driver: FrrDriver, many: int) -> None:
    bad = "ip route 10.9.0.0/24 10.0.0.1\nip route 10.9.0.0/24 Null0\n"
    (router.directory / router.name / "bad.conf").write_text(bad)
    assert "Configuration failed" in router.run("sh", "-c", "vtysh -f /run/world/bad.conf 2>&1", check=False)
    driver.load_merge_candidate(config=ONE + "".join(f"ip route 10.2.{i}.0/24 10.0.0.1\n" for i in range(many)))
    driver.commit_config()
    assert has_route(router)
    assert "10.9.0.0/24" not in router.running_config()


@pytest.mark.frr_releases(*frr_release.RELEASES, installed=False)
def test_a_refusal_is_told_where_the_agent_cannot_be_started_again(
    driver: FrrDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.load_merge_candidate(config="ip route 10.9.0.0/24 10.0.0.1\nip route 10.9.0.0/24 Null0\n")

    def lost() -> None:
        raise Unreachable("the session was lost")

    monkeypatch.setattr(driver._remote, "restart_agent", lost)
    with pytest.raises(ConfigRejected, match="is as before"):
        driver.commit_config()


def test_a_refused_change_leaves_the_configuration_open_to_others(router: FrrRouter, driver: FrrDriver) -> None:
    driver.load_merge_candidate(config="ip route 10.9.0.0/24 10.0.0.1\nip route 10.9.0.0/24 Null0\n")
    with pytest.raises(ConfigRejected, match="blackhole"):
        driver.commit_config()
    router.configure(ONE)
    try:
        assert has_route(router)
    finally:
        router.configure(f"no {ONE}")


@pytest.mark.frr_releases(*frr_release.RELEASES, installed=False)
def test_a_configuration_that_somebody_has_locked(router: FrrRouter, driver: FrrDriver) -> None:
    before = router.running_config()
    driver.load_merge_candidate(config=ONE)
    with subprocess.Popen(
        router.argv("vtysh"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        print("configure terminal file-lock\nlocked", file=other.stdin, flush=True)
        assert any("Unknown command: locked" in line for line in other.stdout)
        with pytest.raises(LockHeld, match="nothing was applied: somebody has FRR's configuration locked"):
            driver.commit_config(revert_in=60)
        other.stdin.close()
    assert router.running_config() == before
    assert not driver.has_pending_commit()
    driver.load_merge_candidate(config=ONE)
    driver.commit_config()
    assert has_route(router)


@pytest.fixture(params=["", *frr_release.RELEASES], ids=lambda release: release or "installed")
def doomed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrrRouter]:
    """A router on which the daemon that has the static routes is gone."""
    with FrrRouter("r9", tmp_path, release=frr_release.wanted(request)) as router:
        daemon = "mgmtd" if router.processes("mgmtd") else "staticd"
        os.kill(router.processes(daemon)[0], signal.SIGKILL)
        wait_for(lambda: not router.processes(daemon), f"{daemon} is gone")
        yield router


@pytest.mark.parametrize("many", [1, 150])
def test_a_commit_that_no_daemon_takes_is_no_success(doomed: FrrRouter, many: int) -> None:
    with FrrDriver(**doomed.login()) as driver:
        driver.load_merge_candidate(config="".join(f"ip route 10.1.{i}.0/24 10.0.0.1 tag 4201\n" for i in range(many)))
        with pytest.raises(CommitFailed, match=r"(staticd|mgmtd) is not running"):
            driver.commit_config(revert_in=60)


def test_a_line_of_vtysh_s_own_that_it_does_not_know_is_no_refusal(router: FrrRouter, driver: FrrDriver) -> None:
    router.run("sh", "-c", "echo 'no such line' >>/etc/frr/vtysh.conf")
    before = router.running_config()
    driver.load_merge_candidate(config="".join(f"ip route 10.1.{i}.0/24 10.0.0.1 tag 4201\n" for i in range(150)))
    driver.commit_config(revert_in=60)
    driver.rollback()
    assert router.running_config() == before


def test_messages_are_not_kept(driver: FrrDriver) -> None:
    driver.load_merge_candidate(config=ONE)
    with pytest.raises(NotImplementedError):
        driver.commit_config(message="why")

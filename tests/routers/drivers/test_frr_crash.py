"""The tool, or a part of it on the router, dies at any point: the router ends in the old or the new state."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from k8s_ecmp.errors import CommitFailed, LockHeld, RouterError
from k8s_ecmp.routers.drivers.frr import FrrDriver
from tests.routers.drivers.conftest import Connect, await_lock
from tests.world import frr_release
from tests.world.frr import FrrRouter
from tests.world.netns import wait_for

pytestmark = [pytest.mark.world, pytest.mark.frr_releases(frr_release.NEWEST), pytest.mark.long]

ROOT = Path(__file__).parents[3]
FEW = [f"ip route 10.1.{i}.0/24 10.0.0.{hop} tag 4201" for i in range(1, 4) for hop in (1, 2, 3)]
MANY = [f"ip route 10.{100 + i // 250}.{i % 250}.0/24 10.0.0.{hop} tag 4201" for i in range(1500) for hop in (1, 2, 3)]

# Dies by SIGKILL right after the STEP-th piece of text was sent to the router. Prints "confirmed" at the end.
TOOL = """
import json, os, signal, sys
from k8s_ecmp.routers.drivers.frr import FrrDriver, agent
login, step, lines, revert_in = json.loads(sys.argv[1])
send, sent = agent.Stream.send, 0
def counted(self, text, timeout):
    global sent
    send(self, text, timeout)
    sent += 1
    if sent == step:
        os.kill(os.getpid(), signal.SIGKILL)
agent.Stream.send = counted
driver = FrrDriver(**login)
driver.open()
driver.load_merge_candidate(config="\\n".join(lines))
driver.commit_config(revert_in=revert_in)
print("committed", flush=True)
if revert_in:
    driver.confirm_commit()
    print("confirmed", flush=True)
print(sent, flush=True)
driver._remote._session.close()
"""


def run_tool(router: FrrRouter, step: int, lines: list[str], revert_in: int | None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TOOL, json.dumps([router.login(), step, lines, revert_in])],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout


STEPS = range(1, 13)
UPLOAD_SENT, COMMIT_SENT, CONFIRM_SENT = 5, 6, 7


@pytest.fixture
def states(router: FrrRouter, connect: Connect) -> tuple[str, str]:
    """The running configuration before and after the few lines."""
    old = router.running_config()
    driver = connect()
    driver.load_merge_candidate(config="\n".join(FEW))
    driver.commit_config()
    new = router.running_config()
    driver.rollback()
    driver.close()
    return old, new


def test_the_steps_are_all_there_are(router: FrrRouter, states: tuple[str, str]) -> None:
    output = run_tool(router, 0, FEW, 60)
    assert "confirmed" in output
    assert int(output.split()[-1]) < STEPS.stop
    assert router.running_config() == states[1]


@pytest.mark.parametrize("step", STEPS)
def test_killed_before_the_confirm_and_healed_by_the_next_run(
    router: FrrRouter, connect: Connect, states: tuple[str, str], step: int
) -> None:
    old, new = states
    output = run_tool(router, step, FEW, 60)
    driver = connect()
    await_lock(driver)
    left = router.running_config()
    assert left in (old, new)
    if "confirmed" in output:
        assert left == new
    if "committed" not in output:
        assert left == old
    assert not driver.has_pending_commit()
    driver.load_merge_candidate(config="\n".join(FEW))
    driver.commit_config()
    assert router.running_config() == new


@pytest.mark.parametrize("step", [UPLOAD_SENT, COMMIT_SENT, CONFIRM_SENT])
def test_killed_before_the_confirm_and_nobody_comes(router: FrrRouter, states: tuple[str, str], step: int) -> None:
    old, new = states
    output = run_tool(router, step, FEW, 60 if step == CONFIRM_SENT else 1)
    assert "confirmed" not in output
    wait_for(router.settled, "it settles")
    assert router.running_config() == (new if step == CONFIRM_SENT else old)


def test_a_timer_that_ends_before_it_takes_back_is_healed(
    router: FrrRouter, connect: Connect, states: tuple[str, str]
) -> None:
    old, new = states
    driver = connect()
    driver.load_merge_candidate(config="\n".join(FEW))
    driver.commit_config(revert_in=60)
    name = f"pending.{driver._remote.lock_number}-1"
    router.run("sh", "-c", f"cd /run/k8s-ecmp && mv {name} {name.replace('pending', 'reverting')}")
    driver._remote._session.close()
    assert router.running_config() == new
    heir = connect()
    assert heir.has_pending_commit()
    await_lock(heir)
    assert router.running_config() == old
    assert not heir.has_pending_commit()


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_a_commit_without_timer(
    router: FrrRouter, connect: Connect, states: tuple[str, str], step: int
) -> None:
    old, new = states
    output = run_tool(router, step, FEW, None)
    driver = connect()
    await_lock(driver)
    left = router.running_config()
    assert left in (old, new)
    if "committed" in output:
        assert left == new


def start_many(connect: Connect, revert_in: int | None) -> FrrDriver:
    """A driver that has said "commit" of thousands of lines and did not wait for the verdict."""
    driver = connect()
    driver.load_merge_candidate(config="\n".join(MANY))
    change = driver._candidate
    assert change is not None
    words = f"commit {driver._remote.lock_number}-1 {len(change.batches)} {len(change.undo)} a {revert_in or 0} file"
    assert driver._remote.agent.ask(words).text.strip() == "STARTED"
    return driver


def test_lost_in_the_middle_without_timer_ends_new(router: FrrRouter, connect: Connect) -> None:
    driver = start_many(connect, None)
    driver._remote._session.close()
    wait_for(lambda: all(line in router.running_config() for line in (MANY[0], MANY[-1])), "all is applied")
    await_lock(connect())
    assert router.running_config().count(" tag 4201") >= len(MANY)


def test_lost_in_the_middle_with_timer_ends_old(router: FrrRouter, connect: Connect) -> None:
    old = router.running_config()
    router.run("rm", "-f", "/run/k8s-ecmp/reverted")  # an earlier change left it
    driver = start_many(connect, 1)
    driver._remote._session.close()
    wait_for(lambda: "reverted" in router.run("ls", "/run/k8s-ecmp").split(), "the timer fires")
    await_lock(connect())
    assert router.running_config() == old


@pytest.mark.parametrize("spoiled", [True, False])
def test_what_the_timer_did_is_told_when_it_is_to_be_taken_back(
    router: FrrRouter, connect: Connect, spoiled: bool
) -> None:
    """The timer has freed the lock by then, which nobody else has taken."""
    old = router.running_config()
    driver = connect()
    driver.load_merge_candidate(config="\n".join(FEW))
    driver.commit_config(revert_in=1)
    if spoiled:
        router.run("sh", "-c", "for f in /run/k8s-ecmp/undo.*.1; do echo 'ip route nonsense' >>$f; done")
    wait_for(lambda: not driver.has_pending_commit(), "the timer has fired")
    router.await_unlocked()
    if spoiled:
        for tried in (driver.confirm_commit, driver.rollback):
            with pytest.raises(CommitFailed, match=r"not everything could be taken back: .*nonsense"):
                tried()
    else:
        driver.rollback()
        assert router.running_config() == old


def test_a_vtysh_that_dies_in_the_middle_is_undone(router: FrrRouter, connect: Connect) -> None:
    old = router.running_config()
    driver = start_many(connect, None)
    wait_for(lambda: MANY[0] in router.running_config(), "the first batch is in")
    for pid in router.processes("vtysh"):
        os.kill(pid, signal.SIGKILL)
    verdict, reason = driver._remote.agent.result(f"{driver._remote.lock_number}-1", 120)
    assert "vtysh" in reason
    driver.close()
    router.await_unlocked()
    if locked_by_the_dead(router):
        assert verdict == "stuck"
        assert "locked by another session" in reason
        with pytest.raises(LockHeld, match="configuration locked") as refused:
            commit(connect(), FEW)
        assert "restart of FRR" in str(refused.value.remedy)
        router.restart_frr()
    else:
        assert verdict == "undone"
    wait_for(lambda: router.running_config() == old, "it is as before")
    commit(connect(), FEW)


def locked_by_the_dead(router: FrrRouter) -> bool:
    """Whether mgmtd (10.7) keeps the lock of a vtysh that was killed in a commit."""
    if not router.processes("mgmtd"):
        return False
    adapters = router.run("sh", "-c", "vtysh -c 'show mgmt frontend-adapter all' || :")
    return "candidate" in adapters


def commit(driver: FrrDriver, lines: list[str]) -> None:
    driver.load_merge_candidate(config="\n".join(lines))
    driver.commit_config()


def test_a_waiting_vtysh_that_died_fails_the_commit_and_the_next_works(router: FrrRouter, connect: Connect) -> None:
    old = router.running_config()
    driver = connect()
    driver.load_merge_candidate(config="\n".join(FEW))
    for pid in router.processes("vtysh"):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(RouterError):
        driver.commit_config(revert_in=60)
    assert router.running_config() == old
    driver.open()
    driver.load_merge_candidate(config="\n".join(FEW))
    driver.commit_config()
    assert FEW[0] in router.running_config()


def test_a_checker_that_died_is_healed_by_the_next_run(router: FrrRouter, connect: Connect) -> None:
    old = router.running_config()
    driver = start_many(connect, 60)
    wait_for(lambda: MANY[0] in router.running_config(), "the first batch is in")
    checker = int(driver._remote.agent._checker.split()[0])
    router.run("sh", "-c", f"kill -KILL {checker}")
    driver._remote._session.close()
    await_lock(connect())
    wait_for(lambda: router.running_config() == old, "all is taken back")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_truncated_command_does_nothing(router: FrrRouter, connect: Connect, cut: float) -> None:
    old = router.running_config()
    driver = connect()
    driver.load_merge_candidate(config="\n".join(FEW))
    stream = driver._remote.agent._stream
    command = f"{{ commit {driver._remote.lock_number}-1 3 1 a 0 show\n}} </dev/null; printf 'done'\n"
    stream.send(command[: int(len(command) * cut) if cut < 0.9 else command.index("}")], 10)
    stream._channel.shutdown_write()
    wait_for(lambda: stream.closed, "the agent ends")
    await_lock(connect())
    assert router.running_config() == old


def test_a_session_lost_between_commit_and_confirm(router: FrrRouter, connect: Connect) -> None:
    old = router.running_config()
    driver = connect()
    driver.load_merge_candidate(config="\n".join(FEW))
    driver.commit_config(revert_in=60)
    assert router.running_config() != old
    try:
        router.kill_sshd()
        router.end_timer()
        wait_for(lambda: router.running_config() == old, "the router takes it back by itself")
    finally:
        router.start_sshd()


def test_a_confirm_through_a_new_session(router: FrrRouter, connect: Connect) -> None:
    driver = connect()
    driver.load_merge_candidate(config="\n".join(FEW))
    driver.commit_config(revert_in=60)
    new = router.running_config()
    driver.open()
    driver.confirm_commit()
    assert not driver.has_pending_commit()
    await_lock(connect())
    assert router.running_config() == new

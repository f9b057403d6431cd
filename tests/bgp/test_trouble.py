"""What must go on whatever fails for a moment: the clock of the bridge, and a daemon's sign of life."""

import logging
import resource
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from k8s_ecmp.bgp.announced import Announced, Hops
from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.bgp.heartbeat import Heartbeat, Promise
from k8s_ecmp.errors import RouterError, Unreachable
from tests.bgp.edge import WANTED, Edge, started
from tests.world.bgp import await_services
from tests.world.fib import FibHistory
from tests.world.netns import wait_for

PROMISED_S = 10  # the test has locked the file by then


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Others may read the folder of its ExaBGP when that is started."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "exa").mkdir()
    (folder / "exa").chmod(0o755)
    with started(folder) as world:
        yield world


@pytest.fixture
def world(running: Edge) -> Edge:
    """What is wanted is announced, and nobody has promised anything."""
    running.ask("hold", peer="edge", within_s=None)
    running.write_cluster()
    running.cli("apply", "--yes")
    return running


def log(world: Edge) -> str:
    return (world.folder / "exabgp.log").read_text()


@pytest.mark.world
@pytest.mark.slow
def test_the_dead_man_timer_outlives_a_file_that_cannot_be_written(world: Edge) -> None:
    with FibHistory(world.frr.netns) as kernel:
        await_services(kernel, WANTED)
        world.ask("hold", peer="edge", within_s=PROMISED_S)
        other = sqlite3.connect(world.exabgp_folder / "announced.sqlite", isolation_level=None)
        other.execute("begin immediate")
        try:
            failed = "edge, the withdrawal of everything: OperationalError: database is locked"
            wait_for(lambda: failed in log(world), "it could not be written", 60, 0.1)
            assert world.held("edge") == PROMISED_S, "what was not done is still due"
        finally:
            other.execute("rollback")
            other.close()
        await_services(kernel, {})
        wait_for(lambda: world.held("edge") is None, "it is done", 60, 0.05)
        assert log(world).count(failed) == 1, "said once"
        world.program()
        await_services(kernel, WANTED)
        world.ask("hold", peer="edge", within_s=1)
        await_services(kernel, {})


@pytest.mark.world
def test_a_folder_that_others_may_read_is_made_private(world: Edge) -> None:
    assert stat.S_IMODE(world.exabgp_folder.stat().st_mode) == 0o700


def test_a_full_disk_leaves_no_transaction_open(tmp_path: Path) -> None:
    file = Announced(tmp_path / "a.sqlite")
    hops: dict[str, Hops] = {f"10.{n // 256}.{n % 256}.0/24": {} for n in range(2000)}
    left = [(prefix, 1) for prefix in hops]
    file.change("edge", {}, {}, left[:1], [], 1.0)
    (pages,) = file._file.execute("pragma page_count").fetchone()  # the disk that is full
    file._file.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        file.change("edge", {}, {}, left, [], 2.0)
    file._file.execute("pragma max_page_count = 100000")
    assert file.leaving("edge") == {left[0]: 1.0}
    file.change("edge", {}, {}, left, [], 3.0)
    assert len(file.leaving("edge")) == len(left)


@contextmanager
def no_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_file_descriptor_is_left(tmp_path: Path) -> None:
    with no_descriptors(), pytest.raises(RouterError, match="no socket") as raised:
        BridgeClient(tmp_path, 1)
    assert not isinstance(raised.value, Unreachable)


@pytest.mark.slow
def test_the_sign_of_life_outlives_a_lack_of_file_descriptors(tmp_path: Path) -> None:
    turns: list[int] = []

    def alive() -> bool:
        turns.append(1)
        return True

    heartbeat = Heartbeat({(tmp_path, "edge"): Promise(0.02)}, alive, lambda _: True)
    heartbeat.start()
    with no_descriptors():
        before = len(turns)
        wait_for(lambda: len(turns) > before + 3, "it goes on", 30)
    heartbeat.stop()


@pytest.mark.world
def test_a_daemon_that_cannot_say_whether_it_is_current_promises_all_the_same(
    world: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    def current(_: str) -> bool:
        raise OSError("no")

    heartbeat = Heartbeat({(world.exabgp_folder, "edge"): Promise(900.0, 10.0)}, lambda: True, current)
    with caplog.at_level(logging.ERROR):
        heartbeat.start()
        wait_for(lambda: world.held("edge") == 900, "it has promised", 30)
        heartbeat.stop()
    assert "whether edge is current is not known" in caplog.text
    assert world.held("edge") is None

"""A change that is broken off in the middle of being written: all of it is on disk in the end, or none."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from k8s_ecmp.bgp.announced import Announced
from k8s_ecmp.bgp.peer import Peer
from k8s_ecmp.bgp.peers import PeerConfig, Session
from k8s_ecmp.errors import RouterError, Unreachable
from tests.bgp.pipes import Pipes, bridge_file, peer
from tests.world.netns import wait_for

pytestmark = pytest.mark.slow

HOPS = [f"10.0.0.{number}" for number in range(1, 9)]
ROUTES = {
    f"10.{96 + n // 65536}.{n // 256 % 256}.{n % 256}/32": [[hop, 1, "prod"] for hop in HOPS] for n in range(4000)
}
ALL = {prefix: [(hop, 1, "prod") for hop in HOPS[:3]] for prefix in list(ROUTES)[:300]}
FIRST = dict(list(ALL.items())[:100])
ONE = (Session("10.9.0.11", "10.9.0.1"),)
TWO = (*ONE, Session("10.9.0.12", "10.9.0.1"))

REFUSES = "create trigger full before insert on hops when new.prefix = '{}' begin select raise(abort, 'full'); end"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bridge.json").write_text(bridge_file(peer("edge", 1)))
    return tmp_path


def at_the_first_announcement(do: Callable[[Pipes], object]) -> Callable[[Pipes, str], None]:
    def heard(exabgp: Pipes, line: str) -> None:
        if "announce attributes" in line and sum("announce attributes" in said for said in exabgp.lines) == 1:
            do(exabgp)

    return heard


@pytest.mark.parametrize(
    ("end", "by_itself"),
    [
        (Pipes.close, True),
        (lambda exabgp: exabgp.bridge.terminate(), True),
        (lambda exabgp: exabgp.bridge.kill(), False),
    ],
    ids=["ExaBGP ends", "the bridge is ended", "the bridge is killed"],
)
def test_what_reached_the_bridge_is_written_as_a_whole(
    folder: Path, end: Callable[[Pipes], object], by_itself: bool
) -> None:
    with Pipes(folder, at_the_first_announcement(end)) as exabgp:
        client = exabgp.client()
        client.ask("lock", peer="edge")
        with pytest.raises(Unreachable, match="the connection to the bridge"):
            client.ask("commit", peer="edge", routes=ROUTES)
        exabgp.bridge.wait(120)
        if by_itself:
            assert exabgp.rows("select count(distinct prefix), count(*) from hops") == [(4000, 32000)]
    with Pipes(folder) as exabgp:
        client = exabgp.client()
        assert client.ask("read", peer="edge")["routes"] == ROUTES
        assert exabgp.rows("select count(distinct prefix), count(*) from hops") == [(4000, 32000)]
        assert exabgp.rows("select * from begun") == []


@pytest.mark.parametrize("heard", [None, lambda exabgp, _: exabgp.close()], ids=["at once", "before it answers"])
def test_a_bridge_without_an_exabgp_ends_and_lets_the_next_one_in(
    folder: Path, heard: Callable[[Pipes, str], object] | None
) -> None:
    with Pipes(folder, heard or (lambda _, __: None)) as exabgp:
        if heard is None:
            exabgp.close()
        exabgp.bridge.wait(60)
        with Pipes(folder) as heir:
            assert heir.client().ask("read", peer="edge")["routes"] == {}


def test_what_could_not_be_written_is_not_written_by_the_next_bridge(folder: Path) -> None:
    """Its client was told so, and may have found out since that something else is wanted."""
    with Pipes(folder) as exabgp:
        client = exabgp.client()
        exabgp.rows(REFUSES.format(list(ROUTES)[2000]))
        client.ask("lock", peer="edge")
        with pytest.raises(RouterError, match="full"):
            client.ask("commit", peer="edge", routes=ROUTES)
        wait_for(lambda: not exabgp.rows("select * from begun"), "it is forgotten", 60, 0.1)
        before = client.ask("read", peer="edge")["routes"]
        assert len(before) == 2000
        exabgp.rows("drop trigger full")
    with Pipes(folder) as exabgp:
        assert exabgp.client().ask("read", peer="edge")["routes"] == before


def broken_off(folder: Path) -> Peer:
    """One of three pieces was written."""
    of = made(folder)
    of.begin(ALL)
    of.set(FIRST, last=False)
    return of


def made(folder: Path, sessions: tuple[Session, ...] = ONE, **fields: object) -> Peer:
    config = PeerConfig("edge", sessions, add_path=len(sessions) == 1, **fields)  # type: ignore[arg-type]
    return Peer(config, Announced(folder / "announced.sqlite"))


def test_a_later_change_takes_the_place_of_one_that_was_broken_off(tmp_path: Path) -> None:
    of = broken_off(tmp_path)
    of.set({next(iter(ALL)): []})
    assert made(tmp_path).routes == of.routes
    assert len(of.routes) == 99


def test_what_was_broken_off_is_finished_as_far_as_the_sessions_carry_it(tmp_path: Path) -> None:
    broken_off(tmp_path)
    of = made(tmp_path, TWO)
    assert {prefix: set(hops) for prefix, hops in of.routes.items()} == {prefix: set(HOPS[:2]) for prefix in ALL}
    (tmp_path / "six").mkdir()
    broken_off(tmp_path / "six")
    assert made(tmp_path / "six", families=(6,)).routes == {}


def test_a_disk_that_is_full_keeps_no_bridge_from_starting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken_off(tmp_path)
    with sqlite3.connect(tmp_path / "announced.sqlite") as other:
        other.execute(REFUSES.format(list(ALL)[200]))
    assert set(made(tmp_path).routes) == set(FIRST)
    assert "edge: a change that was broken off cannot be finished: full" in capfd.readouterr().err
    with sqlite3.connect(tmp_path / "announced.sqlite") as other:
        other.execute("drop trigger full")
    assert set(made(tmp_path).routes) == set(ALL)


def test_a_peer_that_is_gone_leaves_nothing_to_finish(tmp_path: Path) -> None:
    broken_off(tmp_path)
    Announced(tmp_path / "announced.sqlite").keep_only(["another"])
    assert made(tmp_path).routes == {}

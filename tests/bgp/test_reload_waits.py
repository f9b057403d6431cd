"""A reload that has to wait, or fails half-way: what it says of the configuration in force is so."""

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from k8s_ecmp.bgp import reload as reloading
from k8s_ecmp.bgp.client import BridgeClient
from k8s_ecmp.bgp.config import Files, Peer, render, write
from k8s_ecmp.bgp.frames import Message, pack, receive
from k8s_ecmp.errors import RouterError
from k8s_ecmp.router_settings import load_router_settings
from tests.bgp.pipes import Pipes, bridge_file, peer
from tests.world.netns import wait_for

ROUTE = {"10.96.0.1/32": [["10.9.0.101", 1, "prod"]]}
NOTHING = {"ok": True, "changed": [], "removed": []}


class Held:
    """ExaBGP stands still from the next line on that has this in it, until it is released."""

    def __init__(self) -> None:
        self.at: str | None = None
        self.standing = threading.Event()
        self._free = threading.Event()

    def heard(self, _: Pipes, line: str) -> None:
        if self.at is not None and self.at in line:
            self.standing.set()
            self._free.wait()

    def release(self) -> None:
        self.at = None
        self._free.set()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.release()


@pytest.fixture
def pool(held: Held) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool
        held.release()


def files(folder: Path, *names: str, **keys: Any) -> Files:
    """Of an inventory with these routers, without the mark: `Pipes` describes no session."""
    least = {"folder": str(folder), "local_as": 65010, "peer_as": 65001, "local_addresses": ["10.9.0.11"]}
    settings = load_router_settings({"mode": "bgp", "bgp": {**least, **keys}}, "host edge")
    made = render(folder, [Peer(name, f"10.9.0.{number}", settings) for number, name in enumerate(names, 1)])
    return made._replace(bridge=json.dumps({**json.loads(made.bridge), "mark": ""}))


def commit(exabgp: Pipes, name: str) -> None:
    with contextlib.closing(exabgp.client()) as client:
        client.ask("lock", peer=name)
        client.ask("commit", peer=name, routes=ROUTE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("goes_on", "timeout_s", "says"),
    [
        (False, 5, "the files are those before again, and whether ExaBGP uses them is not known"),
        (True, 10, "the configuration before is in force again"),
    ],
    ids=["ExaBGP stands still", "ExaBGP goes on"],
)
def test_a_reload_that_could_not_wait_for_a_commit(
    tmp_path: Path,
    held: Held,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    goes_on: bool,
    timeout_s: float,
    says: str,
) -> None:
    monkeypatch.setattr(reloading, "_TIMEOUT_S", timeout_s)
    before, after = files(tmp_path, "edge"), files(tmp_path, "edge", "b", med=7)
    write(before)
    with Pipes(tmp_path, held.heard) as exabgp:
        exabgp.client().close()
        held.at = "announce attributes"
        commits = pool.submit(commit, exabgp, "edge")
        assert held.standing.wait(60)
        reload = pool.submit(reloading.reload, after)
        if goes_on:
            file = tmp_path / "bridge.json"
            wait_for(lambda: file.read_text() == after.bridge, "the new files are there", 60)
            wait_for(lambda: file.read_text() == before.bridge, "the client has given up", 60)
            held.release()
        with pytest.raises(RouterError, match="did not acknowledge reload") as raised:
            reload.result(120)
        assert raised.value.message.startswith(says)
        held.release()
        commits.result(120)
        assert (tmp_path / "exabgp.conf").read_text() == before.exabgp
        client = exabgp.client()
        assert client.ask("reload") == NOTHING, "it comes after those that nobody waits for any more"
        assert client.peers == exabgp.client().peers == ("edge",)
        assert not any("med 7" in line for line in exabgp.lines)


def test_a_commit_that_waits_for_a_reload_is_refused_where_that_removes_the_peer(
    tmp_path: Path, held: Held, pool: ThreadPoolExecutor
) -> None:
    write(files(tmp_path, "edge", "b", "c"))
    with Pipes(tmp_path, held.heard) as exabgp:
        first, second, other = (exabgp.client() for _ in range(3))
        held.at = "announce attributes"
        commits = pool.submit(commit, exabgp, "c")
        assert held.standing.wait(60)
        second.ask("lock", peer="b")
        write(files(tmp_path, "edge"))
        request(other, first, {"op": "reload"})  # it has the lock of b, and waits for that of c
        request(other, second, {"op": "commit", "peer": "b", "routes": ROUTE})
        held.release()
        commits.result(120)
        assert receive(first._socket)["removed"] == ["b", "c"]
        assert receive(second._socket)["error"]["kind"] == "peer"
        assert exabgp.rows("select * from hops") == []


def request(other: BridgeClient, client: BridgeClient, message: Message) -> None:
    """Sends it, and returns when the bridge has it."""
    client._socket.sendall(pack(message))
    for _ in range(3):
        other.ask("status")


def test_a_reload_that_cannot_be_written_withdraws_nothing(tmp_path: Path) -> None:
    """Nobody would announce it again."""
    (tmp_path / "bridge.json").write_text(bridge_file(peer("edge", 1), peer("b", 2)))
    with Pipes(tmp_path, up={"10.9.0.2"}) as exabgp:
        commit(exabgp, "b")
        wait_for(lambda: said_up(exabgp.client()), "the session has been told everything", 60, 0.05)
        exabgp.rows("create trigger full before insert on kinds begin select raise(abort, 'full'); end")
        (tmp_path / "bridge.json").write_text(bridge_file(peer("edge", 1, "10.9.0.11", "10.9.0.12")))
        with pytest.raises(RouterError, match="full"):
            exabgp.client().ask("reload")
        assert not any("withdraw" in line for line in exabgp.lines)
        assert exabgp.client().peers == ("b", "edge")


def said_up(client: BridgeClient) -> bool:
    with contextlib.closing(client):
        return all(session["synced"] for session in client.ask("status")["peers"]["b"]["sessions"])

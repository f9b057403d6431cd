"""The TCP connection under a session."""

import socket
import threading
from collections.abc import Iterator

import pytest

from k8s_ecmp.routers.drivers.frr.session import Connection


@pytest.fixture
def connection() -> Iterator[Connection]:
    """To a peer that answers every byte with one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server,))
        thread.start()
        with Connection.of(socket.create_connection(server.getsockname(), timeout=30)) as made:
            yield made
        thread.join(30)


def _answer(server: socket.socket) -> None:
    peer, _ = server.accept()
    with peer:
        while said := peer.recv(100):
            peer.sendall(said)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux alone delays and tells")
def test_it_acknowledges_at_once_when_asked_to(connection: Connection) -> None:
    assert connection.gettimeout() == 30
    assert not _at_once_after_a_talk(connection)
    connection.at_once = True
    assert _at_once_after_a_talk(connection)


def _at_once_after_a_talk(connection: Connection) -> bool:
    for _ in range(30):  # so many that Linux has stopped to acknowledge at once by itself
        connection.sendall(b"x")
        assert connection.recv(10) == b"x"
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))

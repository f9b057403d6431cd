"""The connections of a client, so that whatever waits for one can be made to stop."""

import contextlib
import socket
import threading
import weakref
from typing import Any

from kubernetes.client import ApiClient
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Sockets:
    """Knows the sockets that a client has open. For all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._aborted = False

    def follow(self, client: ApiClient) -> None:
        """Notes every connection that the client makes from now on."""
        known = self

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                known._note(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                known._note(self.sock)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        pools: dict[str, Any] = {"http": PlainPool, "https": SecurePool}
        client.rest_client.pool_manager.pool_classes_by_scheme = pools

    def abort(self) -> None:
        """Breaks every connection off, and those that are made later: who waits for one fails at once."""
        with self._lock:
            self._aborted = True
            for made in self._open:
                break_off(made)

    def _note(self, made: Any) -> None:
        with self._lock:
            if isinstance(made, socket.socket):
                self._open.add(made)
                if self._aborted:
                    break_off(made)


def break_off(connection: socket.socket) -> None:
    """Ends a connection in both directions; a thread that reads from it gets an error. It is not closed."""
    with contextlib.suppress(OSError):
        # Not the TLS socket's own `shutdown`, which takes its state away under the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)

"""A TCP proxy that a test opens and shuts: a network between a client and a server."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self


class Gate:
    """Passes bytes between its own `port` and a server's port on loopback. Use as a context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = True
        self._lock = threading.Lock()
        self._held = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passed = 0

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.shut()
        for thread in self._threads:
            thread.join()

    def shut(self) -> None:
        """Cuts every connection; new ones are closed as soon as they are made."""
        with self._lock:
            self._open = False
        self.cut()

    def open(self) -> None:
        with self._lock:
            self._open = True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Connections that are made meanwhile are passed on only afterwards."""
        with self._held:
            yield

    def cut(self) -> None:
        """Cuts every connection there is."""
        with self._lock:
            for made in self._sockets:
                with contextlib.suppress(OSError):
                    made.shutdown(socket.SHUT_RDWR)

    def _spawn(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._held, self._lock:
                if not self._open:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                self.passed += 1
                self._sockets |= {client, server}
            self._spawn(self._copy, client, server)
            self._spawn(self._copy, server, client)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        with self._lock:
            for made in (source, target):
                with contextlib.suppress(OSError):
                    made.shutdown(socket.SHUT_RDWR)
            self._sockets.discard(source)
        source.close()

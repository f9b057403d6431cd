"""A way to a device that a test can close for newcomers: connections that are open live on, new ones are reset."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds


class Gate:
    """Passes TCP connections on from a port of its own on 127.0.0.1. A context manager.

    Args:
        port: of the device, on 127.0.0.1.
        admits: asked for each new connection; where it says no, the connection is reset.
    """

    def __init__(self, port: int, admits: Callable[[], bool]) -> None:
        self.turned_away = 0
        self._target = port
        self._admits = admits
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, name="gate", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def admit(self) -> None:
        """Lets everybody in from now on."""
        self._admits = lambda: True

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._admits():
                    self.turned_away += 1
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=pair, name="gate", daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(1 << 16):
            sink.sendall(received)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)

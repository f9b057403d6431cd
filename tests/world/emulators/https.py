"""An HTTPS server for emulated devices: an ASGI application on a free port of 127.0.0.1, in a thread of its own."""

import asyncio
import socket
import threading
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Send

from tests.world.emulators.certificates import self_signed


class HttpsServer:
    """Serves from `start` to `stop`; `certificate` is the file that a client has to trust."""

    def __init__(self, folder: Path, application: ASGIApp) -> None:
        self.certificate, key = self_signed(folder)
        self._socket = socket.create_server(("127.0.0.1", 0))  # clients that come early wait in its backlog
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            application,
            interface="asgi3",  # a bound method is not recognised as such
            http="h11",
            proxy_headers=False,
            lifespan="off",
            log_level="critical",
            ssl_certfile=str(self.certificate),
            ssl_keyfile=str(key),
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


def cut(send: Send) -> None:
    """The TCP connection of a request breaks, without a word."""
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own object
    transport.abort()

"""/livez, /readyz, /metrics and /status over HTTP, from a thread of its own.

Starlette, uvicorn and prometheus-client are loaded in that thread, so that they do not delay the daemon's first cycle;
the port is bound before, so that a port in use is an error of the start, and requests that come early wait.
"""

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from k8s_ecmp.daemon.metrics import Exposition, Instruments
from k8s_ecmp.errors import SettingsError
from k8s_ecmp.report import ReportSource
from k8s_ecmp.strict.kinds import parse_listen

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_log = logging.getLogger(__name__)

_BACKLOG = 128
_STOP_S = 2.0
_INDEX = """k8s-ecmp
/livez    200 while the daemon's loop turns
/readyz   200 once all is watched and every router was done
/status   what it does: JSON, or a page for a browser
/metrics  for Prometheus
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_REMEDY = "give another HOST:PORT in daemon.listen or with --listen; `listen: null` does without"


class HealthServer:
    """The HTTP server. It shows all to everybody who can reach it, and changes nothing.

    `address` is the bound "HOST:PORT" while it runs, which says the port where port 0 was asked for.
    """

    def __init__(
        self,
        listen: str,
        report: ReportSource,
        alive: Callable[[], bool],
        instruments: Instruments | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            listen: "HOST:PORT"; "[::]:PORT" listens on IPv4 too.
            report: asked for /readyz, /status and /metrics.
            alive: whether the daemon's loop turns; asked for /livez, which asks nothing else.
            instruments: the counted numbers of /metrics; None: there are none.
        """
        self._listen = listen
        self._report = report
        self._alive = alive
        self._instruments = instruments or Instruments()
        self._sockets: list[socket.socket] = []
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self.address = ""

    def start(self) -> None:
        """Binds the port and starts the thread.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        self._sockets = _bind(self._listen)
        host, port = self._sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Closes the port; requests in hand have a moment to end. May be called twice."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_S + 1)
            self._thread = None
        for made in self._sockets:
            made.close()

    def _run(self) -> None:
        try:
            import uvicorn

            config = uvicorn.Config(
                _application(self._report, self._alive, Exposition(self._instruments, self._report)),
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(_STOP_S),
            )
            self._server = uvicorn.Server(config)
            if not self._stopping.is_set():
                asyncio.run(self._server.serve(sockets=self._sockets))
        except Exception:
            _log.exception("the health server on %s has ended", self.address)
            raise


def _application(report: ReportSource, alive: Callable[[], bool], exposition: Exposition) -> "Starlette":
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    async def index(_: Request) -> Response:
        return PlainTextResponse(_INDEX, headers=_HEADERS)

    async def livez(_: Request) -> Response:
        good = alive()
        return PlainTextResponse("ok\n" if good else "the loop stands still\n", 200 if good else 503, _HEADERS)

    async def readyz(_: Request) -> Response:
        found = report()
        text = "ready" if found.ready else f"not ready: {found.not_ready or 'the reason is not known'}"
        return PlainTextResponse(f"{text}\n", 200 if found.ready else 503, _HEADERS)

    async def metrics(request: Request) -> Response:
        text, content_type = exposition.text(request.headers.get("accept", ""))
        return Response(text, headers={**_HEADERS, "Content-Type": content_type})

    async def status(request: Request) -> Response:
        asked = request.query_params.get("format")
        if asked == "html" or (asked is None and "text/html" in request.headers.get("accept", "")):
            from k8s_ecmp.views.status_page import status_page

            return Response(status_page(report()), media_type="text/html", headers=_HEADERS)
        return Response(msgspec.json.encode(report()), media_type="application/json", headers=_HEADERS)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/status", status),
        ]
    )


def _bind(listen: str) -> list[socket.socket]:
    """Listening sockets on every address that the host's name stands for.

    Raises:
        SettingsError: one of them cannot be had.
    """
    try:
        host, port = parse_listen(listen)
    except ValueError as error:
        raise SettingsError(f"daemon.listen: {error}") from error
    sockets: list[socket.socket] = []
    try:
        found = dict.fromkeys(
            (family, address)
            for family, _, _, _, address in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        )
        for family, address in found:
            # With its protocol named: asyncio switches Nagle's algorithm off for such alone.
            made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sockets.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
            # All of a name's addresses take the port that the system chose for the first one.
            chosen = port or (sockets[0].getsockname()[1] if len(sockets) > 1 else 0)
            made.bind((address[0], chosen, *address[2:]))
            made.listen(_BACKLOG)
    except OSError as error:
        for made in sockets:
            made.close()
        raise SettingsError(f"nobody can listen on {listen}: {_why(error)}", remedy=_REMEDY) from error
    return sockets


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host's name has no address"
    known = {
        errno.EADDRINUSE: "another process listens there",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "a port below 1024 needs the right to bind it",
    }
    return known.get(error.errno or 0) or (error.strerror or type(error).__name__)

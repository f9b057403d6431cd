"""A real API server behind an HTTP server of the test, which counts requests and can lose an answer on its way back, or
put a request off as a busy server does."""

import http.client
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.world.kube.server import ADMIN, KubeApi


class PutOff(NamedTuple):
    """The next request of this method is answered with the status and, where it is given, with Retry-After."""

    method: str
    status: int = 429
    retry_after: str | None = None


class Relay:
    """Passes requests on as admin.

    `seen` are method and path of all; `lose` names the method of the next answer to be lost; while it is `down` nobody
    gets an answer; `put_off` names a request that is not to be passed on, and is taken away with it.
    """

    def __init__(self, kube: KubeApi, folder: Path) -> None:
        self.seen: list[tuple[str, str]] = []
        self.lose: str | None = None
        self.put_off: PutOff | None = None
        self._arrived: list[tuple[str, float]] = []
        self._put_off_at: list[float] = []
        self.down = False
        relay = self
        context = ssl.create_default_context(cafile=str(kube.ca))
        token = yaml.safe_load(kube.kubeconfig(folder / "admin.conf", ADMIN).read_text())["users"][0]["user"]["token"]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                now = time.monotonic()
                relay._arrived.append((self.command, now))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                how = relay.put_off
                if how is not None and how.method == self.command:
                    relay._put_off_at.append(now)
                    relay.put_off = None
                    self._put_off(how)
                    return
                headers = {"Authorization": f"Bearer {token}", "Content-Type": self.headers.get("Content-Type", "")}
                connection = http.client.HTTPSConnection("127.0.0.1", kube.port, context=context, timeout=30)
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                relay.seen.append((self.command, self.path))
                if relay.down or relay.lose == self.command:
                    relay.lose = None
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PATCH = do_GET  # noqa: N815  names of the library

            def _put_off(self, how: PutOff) -> None:
                self.send_response(how.status)
                if how.retry_after is not None:
                    self.send_header("Retry-After", how.retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keeps the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.config = folder / "relay.conf"
        kube.kubeconfig(self.config, server=f"http://127.0.0.1:{self._server.server_address[1]}")
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def count(self, method: str) -> int:
        return sum(made == method for made, _ in self.seen)

    def stayed_away_s(self, method: str) -> float | None:
        """How long after the last one that was put off a request of the method came again; None: it has not yet."""
        since = self._put_off_at[-1]
        return next((at - since for made, at in list(self._arrived) if made == method and at > since), None)

    def arrived(self, method: str) -> int:
        """Requests of a method, passed on or not."""
        return sum(made == method for made, _ in list(self._arrived))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

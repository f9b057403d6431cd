"""An HTTP server that tells what no API server would, or only on its worst days: each answer is prepared."""

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import yaml

NODES = "/api/v1/nodes"
SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


class Answer(NamedTuple):
    """`parts` are sent as chunks of their own; then the answer ends, breaks off ("cut"), or stays open ("hang").

    `form` is "chunked", "plain" (until the connection is closed) or "gzip" (chunked, compressed as a whole).
    """

    status: int = 200
    parts: tuple[bytes, ...] = ()
    end: str = "end"
    headers: tuple[tuple[str, str], ...] = ()
    form: str = "chunked"


def line(kind: str, item: Any) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def bookmark(version: str, kind: str = "Node", *, end: bool = False) -> bytes:
    annotations = {"k8s.io/initial-events-end": "true"} if end else None
    metadata = {"resourceVersion": version, "annotations": annotations}
    return line("BOOKMARK", {"kind": kind, "apiVersion": "v1", "metadata": metadata})


def gone(message: str = "too old resource version") -> bytes:
    return line("ERROR", {"kind": "Status", "status": "Failure", "message": message, "reason": "Expired", "code": 410})


def listing(*items: Any, version: str = "5", after: Iterable[bytes] = (), end: str = "hang") -> Answer:
    """A list as a stream, and what follows it."""
    kind = items[0].get("kind", "Node") if items and isinstance(items[0], dict) else "Node"
    return Answer(200, (*(line("ADDED", item) for item in items), bookmark(version, kind, end=True), *after), end)


def stream(*parts: bytes, end: str = "hang") -> Answer:
    return Answer(200, parts, end)


def page(*items: Any, version: str = "5", token: str = "") -> Answer:
    body = {"metadata": {"resourceVersion": version, "continue": token}, "items": list(items)}
    return Answer(200, (json.dumps(body).encode(),))


def refusal(status: int, message: str = "so it is", **headers: str) -> Answer:
    body = json.dumps({"kind": "Status", "message": message, "code": status}).encode()
    return Answer(status, (body,), "end", tuple((name.replace("_", "-"), value) for name, value in headers.items()))


class Teller:
    """Gives what is prepared for a path and way one after the other, the last one for ever. Use as a context manager.

    A way is "stream" (a list as a stream), "watch" or "list". What nobody has prepared is an empty list, or a watch that
    says nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._prepared: dict[tuple[str, str], list[Answer]] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.config = folder / "teller.config"
        document = {
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "contexts": [{"name": "x", "context": {"cluster": "c"}}],
            "current-context": "x",
        }
        self.config.write_text(yaml.safe_dump(document))

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def prepare(self, path: str, way: str, *answers: Answer) -> None:
        with self._lock:
            self._prepared[path, way] = list(answers)

    def cut(self) -> None:
        """Breaks every connection off."""
        with self._lock:
            for made in self._sockets:
                with contextlib.suppress(OSError):
                    made.shutdown(socket.SHUT_RDWR)

    def queries(self, path: str, way: str | None = None) -> list[dict[str, str]]:
        return [query for asked, how, query in self.asked if asked == path and way in (None, how)]

    def ways(self, path: str) -> list[str]:
        return [how for asked, how, _ in self.asked if asked == path]

    def _spawn(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.append(client)
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as head:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := head.readline():
                while head.readline().strip():
                    pass
                self._answer(client, request.split()[1].decode())

    def _answer(self, client: socket.socket, target: str) -> None:
        url = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        way = "list" if "watch" not in query else "stream" if "sendInitialEvents" in query else "watch"
        with self._lock:
            self.asked.append((url.path, way, query))
            usual = {"list": page(), "stream": listing(), "watch": stream()}[way]
            prepared = self._prepared.get((url.path, way), [usual])
            answer = prepared.pop(0) if len(prepared) > 1 else prepared[0]
        plain, parts = answer.form == "plain", answer.parts
        lines = [f"HTTP/1.1 {answer.status} .", "Connection: close" if plain else "Transfer-Encoding: chunked"]
        if answer.form == "gzip":
            lines.append("Content-Encoding: gzip")
            parts = (gzip.compress(b"".join(parts)),)
        lines += [f"{name}: {value}" for name, value in answer.headers]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        for part in parts:
            client.sendall(part if plain else b"%x\r\n%s\r\n" % (len(part), part))
        if plain and answer.end == "end":
            raise OSError
        if answer.end == "end":
            client.sendall(b"0\r\n\r\n")
            return
        if answer.end == "hang":
            client.recv(1)
        raise OSError

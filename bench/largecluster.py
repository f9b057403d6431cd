"""The large cluster (`largeobjects`), told by an API server that only tells.

    python -m bench.largecluster FOLDER     writes FOLDER/kubeconfig, serves, and takes commands on standard input

It speaks TLS and streams as kube-apiserver does: WatchList with the objects as ADDED and a bookmark at their end, one
chunk an event. Lists without a watch are whole. What nobody has is an empty list.
"""

import contextlib
import json
import queue
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

import yaml

from bench.largeobjects import (
    LOCAL_SERVICES,
    NODES,
    SERVICES,
    SLICES_EACH,
    endpoint_slice,
    node,
    service,
    service_cidr,
)

MARKER = "marker"
_BOOKMARK_S = 60.0
_BLOCK = 256 * 1024

_COLLECTIONS: dict[str, tuple[str, str, int, Callable[[int], dict[str, Any]]]] = {
    "/api/v1/nodes": ("v1", "Node", NODES, node),
    "/api/v1/services": ("v1", "Service", SERVICES, service),
    "/apis/discovery.k8s.io/v1/endpointslices": (
        "discovery.k8s.io/v1",
        "EndpointSlice",
        SERVICES * SLICES_EACH,
        endpoint_slice,
    ),
    "/apis/networking.k8s.io/v1/servicecidrs": ("networking.k8s.io/v1", "ServiceCIDR", 1, service_cidr),
}


class _Server(ThreadingHTTPServer):
    """Holds every object as text, and the streams that are open."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._context = context
        self.version = 1
        self.streams: dict[str, list[queue.SimpleQueue[bytes]]] = {path: [] for path in _COLLECTIONS}
        self.texts = {
            path: [json.dumps(make(number), separators=(",", ":")).encode() for number in range(count)]
            for path, (_, _, count, make) in _COLLECTIONS.items()
        }

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        connection, address = self.socket.accept()
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error."""

    def tell(self, path: str, kind: str, item: dict[str, Any]) -> None:
        """An event to all who watch."""
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        event = _event(kind, json.dumps(item, separators=(",", ":")).encode())
        for stream in self.streams[path]:
            stream.put(event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        server = cast("_Server", self.server)
        if query.get("watch") in {"1", "true", "True"}:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._stream(server, url.path, initial=query.get("sendInitialEvents") in {"1", "true", "True"})
        else:
            self._list(server, url.path)

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _list(self, server: _Server, path: str) -> None:
        version, kind, *_ = _COLLECTIONS.get(path, ("v1", ""))
        head = f'{{"kind":"{kind}List","apiVersion":"{version}","metadata":{{"resourceVersion":"{server.version}"}},'
        body = head.encode() + b'"items":[' + b",".join(server.texts.get(path, [])) + b"]}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, server: _Server, path: str, *, initial: bool) -> None:
        events: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        streams = server.streams.setdefault(path, [])
        version, kind, *_ = _COLLECTIONS.get(path, ("v1", ""))
        streams.append(events)
        try:
            if initial:
                self._write(_event("ADDED", text) for text in server.texts.get(path, []))
                self._write([_bookmark(version, kind, server.version, initial=True)])
            while True:
                self._write(_waiting(events) or [_bookmark(version, kind, server.version)])
        except OSError:
            self.close_connection = True
        finally:
            streams.remove(events)

    def _write(self, events: Any) -> None:
        block = bytearray()
        for event in events:
            block += event
            if len(block) > _BLOCK:
                self.wfile.write(block)
                block.clear()
        self.wfile.write(block)


def _waiting(events: "queue.SimpleQueue[bytes]") -> list[bytes]:
    """At least one event, and those that are there already; none when it is time for a bookmark."""
    found = []
    with contextlib.suppress(queue.Empty):
        found.append(events.get(timeout=_BOOKMARK_S))
        while len(found) < 200:
            found.append(events.get_nowait())
    return found


def _event(kind: str, text: bytes) -> bytes:
    line = b'{"type":"%s","object":%s}\n' % (kind.encode(), text)
    return b"%x\r\n%s\r\n" % (len(line), line)


def _bookmark(api_version: str, kind: str, version: int, *, initial: bool = False) -> bytes:
    annotations = {"k8s.io/initial-events-end": "true"} if initial else {}
    metadata = {"resourceVersion": str(version), "creationTimestamp": None, "annotations": annotations}
    item = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    return _event("BOOKMARK", json.dumps(item).encode())


def _changes(kind: str, count: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The events of one command; the last one is a new object whose name begins with `MARKER`."""
    nodes, slices = "/api/v1/nodes", "/apis/discovery.k8s.io/v1/endpointslices"
    if kind == "endpoint":
        local = LOCAL_SERVICES * SLICES_EACH
        for number in range(count):
            yield slices, "MODIFIED", endpoint_slice(number // 2 * 7919 % local, flipped=number % 2 == 0)
        path, last = slices, endpoint_slice(0)
    elif kind == "heartbeat":
        for number in range(count):
            yield nodes, "MODIFIED", node(number % NODES, beat=number // NODES + int(time.time()) % 100_000)
        path, last = nodes, node(0)
    else:
        for number in range(count):
            yield nodes, "MODIFIED", node(number // 2 * 7919 % NODES, ready=number % 2 == 1)
        path, last = nodes, node(0)
    last["metadata"]["name"] = f"{MARKER}-{kind}"
    last["metadata"]["labels"] = {}
    if path == nodes:
        last["status"] = {}
    yield path, "ADDED", last
    yield path, "DELETED", last


def serve(folder: Path) -> None:
    """Until standard input ends. A command is a line: KIND COUNT RATE, where rate 0 is as fast as it can."""
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = _Server(context)
    host = f"https://127.0.0.1:{server.server_address[1]}"
    cluster = {"server": host, "certificate-authority": str(certificate)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "large", "cluster": cluster}],
        "users": [{"name": "reader", "user": {"token": "reader"}}],
        "contexts": [{"name": "large", "context": {"cluster": "large", "user": "reader"}}],
        "current-context": "large",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(sum(len(text) for texts in server.texts.values() for text in texts), flush=True)
    for line in sys.stdin:
        kind, count, rate = line.split()
        for told in _changes(kind, int(count)):
            server.tell(*told)
            if float(rate):
                time.sleep(1 / float(rate))
        print("told", flush=True)
    server.shutdown()


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "server.crt", folder / "server.key"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    form = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    made = ["openssl", "req", "-x509", *form, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    return certificate, key


class LargeCluster:
    """The server as a process. Use as a context manager.

    Attributes:
        kubeconfig: how to reach it.
        size: of all objects as JSON, in bytes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.size = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.largecluster", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.size = int(self._answer())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tell(self, kind: str, count: int, rate: float = 0) -> None:
        """`count` events ("endpoint", "heartbeat" or "node"), `rate` a second; returns when they have been told."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {count} {rate}\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the server of the large cluster has ended")
        return answer


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

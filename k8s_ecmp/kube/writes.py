"""Requests that change objects of the API server, and short ones with a deadline of their own.

Reading lists is `kube.api`'s. Here a request is made once: whoever writes decides itself whether and when to try again,
and is told when the server asks for that (`Busy`). A `Writer` with patience does it for those who only want an answer.
"""

import threading
import time
from typing import Any, Literal

import msgspec
import urllib3

from k8s_ecmp.errors import ClusterError, ClusterRefused
from k8s_ecmp.kube.access import Access
from k8s_ecmp.kube.api import FAILURES, Api, Busy, asked_pause_s, unavailable
from k8s_ecmp.settings import ClusterSettings

Method = Literal["GET", "POST", "PATCH"]
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

CONFLICT = 409
NOT_FOUND = 404
FORBIDDEN = 403
UNAUTHORIZED = 401

_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch"}
_TIMEOUT_S = 10.0
_CONNECT_S = 5.0
_SHORTEST_PAUSE_S = 0.1


class _Status(msgspec.Struct):
    """What the API server answers instead of objects."""

    message: str | None = None


class Writer:
    """One API server, spoken to with short requests. For all threads.

    The kubeconfig is read at the first request, so that a daemon starts without it; then as `Access` renews it.

    Args:
        cluster: where the API server is.
        patience_s: a request that the server puts off (Retry-After) is made again for so long.
    """

    def __init__(self, cluster: ClusterSettings, *, patience_s: float = 0) -> None:
        self._cluster = cluster
        self._patience_s = patience_s
        self._access: Access | None = None
        self._lock = threading.Lock()

    def get(self, path: str, *, timeout_s: float = _TIMEOUT_S) -> bytes:
        """The object at `path`.

        Raises:
            ClusterError: as `send`.
        """
        return self.send("GET", path, timeout_s=timeout_s)

    def create(self, path: str, body: Any, *, timeout_s: float = _TIMEOUT_S) -> bytes:
        """Creates an object in the collection at `path`; the object as the server has it then.

        Raises:
            ClusterError: as `send`.
        """
        return self.send("POST", path, body, timeout_s=timeout_s)

    def merge(self, path: str, body: Any, *, timeout_s: float = _TIMEOUT_S) -> bytes:
        """A merge patch of the object at `path` (RFC 7386): null takes a key away. The object as it is then.

        With `metadata.resourceVersion` in it the server refuses it (409) when the object was changed since.

        Raises:
            ClusterError: as `send`.
        """
        return self.send("PATCH", path, body, content_type=MERGE_PATCH, timeout_s=timeout_s)

    def send(
        self,
        method: Method,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        timeout_s: float = _TIMEOUT_S,
    ) -> bytes:
        """One request; the body of the answer.

        Args:
            method: of HTTP.
            path: from the server's root, such as "/api/v1/nodes/n1".
            body: plain dicts and lists, or None.
            content_type: of the body.
            timeout_s: seconds without an answer after which the request counts as failed.

        Raises:
            ClusterUnreachable: no connection, no answer in time, or the server cannot serve at the moment: `Busy` where
                it says when to come again.
            ClusterRefused: any other answer than 2xx; its `status` says which.
            ClusterError: TLS fails, or the credentials cannot be had.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return self._send(method, path, body, content_type, timeout_s)
            except Busy as busy:
                pause_s = max(busy.pause_s, _SHORTEST_PAUSE_S)
                if time.monotonic() + pause_s > deadline:
                    raise
            time.sleep(pause_s)

    def _send(self, method: Method, path: str, body: Any, content_type: str, timeout_s: float) -> bytes:
        with self._lock:
            access = self._access = self._access or Access(self._cluster)
        api = access.api()
        try:
            return write(api, method, path, body, content_type=content_type, timeout_s=timeout_s)
        except ClusterRefused as error:
            if error.status == UNAUTHORIZED:
                access.refuse(api)
            raise

    def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        with self._lock:
            if self._access is not None:
                self._access.close()
                self._access = None


def write(
    api: Api, method: Method, path: str, body: Any = None, *, content_type: str = JSON, timeout_s: float = _TIMEOUT_S
) -> bytes:
    """One request with an `Api`; as `Writer.send`.

    Raises:
        ClusterError: as `Writer.send`.
    """
    headers = {**api._headers(), "Content-Type": content_type}  # noqa: SLF001
    timeout = (min(timeout_s, _CONNECT_S), timeout_s)
    try:
        answer = api._client.call_api(method, f"{api.server}{path}", headers, body, _request_timeout=timeout)  # noqa: SLF001
        response: urllib3.HTTPResponse = answer.response
        try:
            status, content = response.status, response.read(decode_content=True)
            pause_s = asked_pause_s(response.headers)
        finally:
            response.release_conn()
    except FAILURES as error:
        raise api.broken(error, timeout_s) from error
    if 200 <= status < 300:
        return content
    raise _refusal(api.server, method, path, status, content, pause_s)


def _refusal(
    server: str, method: Method, path: str, status: int, content: bytes, pause_s: float | None
) -> ClusterError:
    try:
        message = msgspec.json.decode(content, type=_Status).message or ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = ""
    verb, what = _VERBS[method], describe(method, path)
    if status == UNAUTHORIZED:
        return ClusterRefused(
            f"the API server {server} does not accept the credentials (401)",
            status=status,
            remedy="renew the token or client certificate of the kubeconfig",
        )
    if status == FORBIDDEN:
        return ClusterRefused(
            f"the API server {server} forbids to {verb} {what} (403): {message or path}",
            status=status,
            remedy=f"grant the verb {verb} on {_resource(method, path)} with a Role or ClusterRole",
        )
    if status == NOT_FOUND:
        return ClusterRefused(f"the API server {server} has no {what} (404): {message or path}", status=status)
    text = f"the API server {server} answered {status} to {verb} {what}" + (f": {message}" if message else "")
    return unavailable(status, text, pause_s) or ClusterRefused(text, status=status)


def describe(method: Method, path: str) -> str:
    """The object of a request as people write it: "leases default/k8s-ecmp-prod", "nodes n1"."""
    parts = path.strip("/").split("/")
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-2] else None
    if method == "POST":
        return f"{parts[-1]} in namespace {namespace}" if namespace else parts[-1]
    return f"{parts[-2]} {namespace}/{parts[-1]}" if namespace else f"{parts[-2]} {parts[-1]}"


def _resource(method: Method, path: str) -> str:
    """The resource with its API group, as a rule of a role names it: "leases.coordination.k8s.io", "nodes"."""
    parts = path.strip("/").split("/")
    resource = parts[-1] if method == "POST" else parts[-2]
    return f"{resource}.{parts[1]}" if parts[0] == "apis" else resource

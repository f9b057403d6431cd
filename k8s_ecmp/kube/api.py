"""GET requests to an API server; every failure becomes one of this project's errors with one clear line.

The kubernetes client gives configuration, authentication and TLS. Its typed calls and decoding are not used: on large
clusters they cost twenty times as much.
"""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3 import exceptions as http

from k8s_ecmp.errors import ClusterError, ClusterRefused, ClusterUnreachable
from k8s_ecmp.kube.kubeconfig import load, root_log
from k8s_ecmp.kube.sockets import Sockets
from k8s_ecmp.settings import ClusterSettings

_CONNECT_S, _READ_S = 5.0, 75.0
_BUSY = (429, 503)
_BUSY_ATTEMPTS = 5
_LONGEST_PAUSE_S = 10.0

FAILURES = (ApiException, ConfigException, http.HTTPError, OSError, ValueError)
"""What the client library and its transport raise when a request or a stream fails."""


class _Status(msgspec.Struct):
    """What the API server answers instead of objects."""

    message: str | None = None
    reason: str | None = None


class Busy(ClusterUnreachable):
    """The server asks to come again after `pause_s` seconds (Retry-After, in seconds)."""

    def __init__(self, message: str, *, pause_s: float, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.pause_s = pause_s


class Api:
    """One API server, with the credentials of one moment. Several threads may use it.

    `server` is its URL; `files` are those that it was configured from; `flaw` is why it has no credentials.
    """

    def __init__(self, cluster: ClusterSettings, sockets: Sockets | None = None, *, anonymous: bool = False) -> None:
        """Reads the kubeconfig; connects to nothing yet.

        Args:
            cluster: kubeconfig and context.
            sockets: learns of every connection that is made.
            anonymous: go on where there are no credentials at the moment.

        Raises:
            ClusterError: as `load_configuration`.
        """
        self._configuration, self.files, self.flaw = load(cluster)
        if self.flaw is not None and not anonymous:
            raise self.flaw
        self._client = ApiClient(self._configuration)
        if sockets is not None:
            sockets.follow(self._client)
        self.server: str = self._configuration.host

    def get(self, path: str, query: Mapping[str, str | int] | None = None, *, attempts: int = _BUSY_ATTEMPTS) -> bytes:
        """The body of the answer.

        Args:
            path: from the server's root, such as "/api/v1/nodes".
            query: parameters of the request.
            attempts: how often to ask a server that says when to come again.

        Raises:
            ClusterUnreachable: no connection, no answer in time, or the server cannot serve at the moment.
            ClusterRefused: any other answer than 200.
            ClusterError: TLS fails, or the credentials cannot be used.
        """
        url = self._url(path, query)
        for attempt in range(1, attempts + 1):
            status, headers, body = self._request(url)
            if status == 200:
                return body
            pause = asked_pause_s(headers) if status in _BUSY else None
            if pause is None or attempt == attempts:
                break
            time.sleep(min(pause, _LONGEST_PAUSE_S))
        raise self._refusal(status, path, body, asked_pause_s(headers))

    def open(self, path: str, query: Mapping[str, str | int], *, read_s: float) -> urllib3.HTTPResponse:
        """The answer with its body still to be read, for streams; whoever asks closes it.

        Args:
            path: as for `get`.
            query: as for `get`.
            read_s: seconds of silence after which the stream counts as broken.

        Raises:
            ClusterError: as `get`.
        """
        try:
            response = self._send(self._url(path, query), read_s)
            if response.status == 200:
                return response
            try:
                body = response.read(decode_content=True)
            finally:
                response.release_conn()
        except FAILURES as error:
            raise self._translated(error, read_s) from error
        raise self._refusal(response.status, path, body, asked_pause_s(response.headers))

    def broken(self, error: Exception, read_s: float) -> ClusterError:
        """The error for a failure (one of `FAILURES`) of a stream that `open` gave."""
        return self._translated(error, read_s)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
        self._client.rest_client.close()

    def _url(self, path: str, query: Mapping[str, str | int] | None) -> str:
        return f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")

    def _send(self, url: str, read_s: float) -> urllib3.HTTPResponse:
        answer = self._client.call_api("GET", url, self._headers(), _request_timeout=(_CONNECT_S, read_s))
        response: urllib3.HTTPResponse = answer.response
        return response

    def _request(self, url: str) -> tuple[int, Any, bytes]:
        try:
            response = self._send(url, _READ_S)
            try:
                return response.status, response.headers, response.read(decode_content=True)
            finally:
                response.release_conn()
        except FAILURES as error:
            raise self._translated(error) from error

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "k8s-ecmp"}
        # A credential plugin whose token has expired runs here; when it fails, the server's 401 makes the kubeconfig
        # be read again, which says why.
        with root_log():
            settings: Mapping[str, Any] = self._configuration.auth_settings()
        for setting in settings.values():
            # A token out of a file ends with that file's newline.
            headers[setting["key"]] = str(setting["value"]).strip()
        return headers

    def _translated(self, error: Exception, read_s: float | None = None) -> ClusterError:
        """A failure before there was an answer, or before it was whole."""
        proxy = self._configuration.proxy
        text = " ".join(str(error).split())
        if isinstance(error, ApiException | http.SSLError) or "CERTIFICATE_VERIFY_FAILED" in text:
            # The other side has gone in the middle of it: a restart as well as somebody who speaks no TLS.
            kind = ClusterUnreachable if "EOF occurred" in text else ClusterError
            return kind(
                f"no TLS connection to the API server {self.server}: {_tls_reason(text)}",
                remedy="check certificate-authority-data and server of the kubeconfig",
            )
        if isinstance(error, http.ProxyError):
            return ClusterUnreachable(
                f"the proxy {_without_login(proxy)} does not lead to the API server {self.server}",
                remedy="check HTTPS_PROXY, or name the server in NO_PROXY",
            )
        if isinstance(error, http.NameResolutionError):
            what = "its name cannot be resolved"
        elif isinstance(error, http.NewConnectionError):
            what = "connection refused" if "refused" in text else "no connection"
        elif isinstance(error, http.ConnectTimeoutError):
            what = f"no connection within {_CONNECT_S:g} s"
        elif isinstance(error, http.ReadTimeoutError | TimeoutError):
            what = f"no answer within {_READ_S if read_s is None else read_s:g} s"
        elif isinstance(error, http.ProtocolError | OSError):
            what = "the connection broke off"
        else:
            return ClusterError(
                f"the API server {self.server} cannot be asked: {type(error).__name__}",
                remedy="check server and credentials of the kubeconfig",
            )
        return ClusterUnreachable(
            f"the API server {self.server} does not answer: {what}",
            remedy="check that it runs and can be reached from here, or name another in cluster.context",
        )

    def _refusal(self, status: int, path: str, body: bytes, pause_s: float | None = None) -> ClusterError:
        try:
            message = msgspec.json.decode(body, type=_Status).message or ""
        except (msgspec.DecodeError, UnicodeDecodeError):
            message = ""
        resource = path.rpartition("/")[2]
        if status == 401:
            return ClusterRefused(
                f"the API server {self.server} does not accept the credentials (401)",
                status=status,
                remedy="renew the token or client certificate of the kubeconfig",
            )
        if status == 403:
            return ClusterRefused(
                f"the API server {self.server} forbids to get, list or watch {resource} (403): {message or path}",
                status=status,
                remedy=f"grant get, list and watch on {resource} with a ClusterRole",
            )
        if status == 404:
            return ClusterRefused(
                f"the API server {self.server} knows no {path} (404)",
                status=status,
                remedy="check that server of the kubeconfig is a Kubernetes API server, 1.21 or later",
            )
        what = f"the API server {self.server} answered {status} for {path}" + (f": {message}" if message else "")
        return unavailable(status, what, pause_s) or ClusterRefused(what, status=status)


def unavailable(status: int, message: str, pause_s: float | None) -> ClusterUnreachable | None:
    """The error for a status of a server that may serve later; None for any other status.

    Args:
        status: of HTTP.
        message: what is said of it.
        pause_s: as `asked_pause_s` has it.
    """
    if status != 429 and status < 500:
        return None
    remedy = "try again when it is less busy or whole again"
    if pause_s is None:
        return ClusterUnreachable(message, remedy=remedy)
    return Busy(message, pause_s=pause_s, remedy=remedy)


def asked_pause_s(headers: Any) -> float | None:
    """Retry-After in seconds; None where the server does not ask to come again."""
    text = headers.get("Retry-After") or ""
    return float(text) if text.isascii() and text.isdigit() else None


def _tls_reason(text: str) -> str:
    """OpenSSL's words out of a nested message: "certificate verify failed: unable to get local issuer certificate"."""
    known = text.rpartition("[SSL")[2] or text
    words = known.partition("] ")[2] or known
    return words.partition(" (_ssl")[0].strip(" ()'\"")


def _without_login(url: str | None) -> str:
    """A proxy's URL without user and password."""
    scheme, separator, rest = (url or "").partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else scheme.rpartition("@")[2]

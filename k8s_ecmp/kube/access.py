"""Credentials that are renewed: what one daemon's watches share to reach the API server."""

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from k8s_ecmp.errors import ClusterError
from k8s_ecmp.kube.api import Api
from k8s_ecmp.kube.plugin import end_all
from k8s_ecmp.kube.sockets import Sockets
from k8s_ecmp.settings import ClusterSettings

_log = logging.getLogger("k8s_ecmp.kube")

_CLOSE_S = 0.5
_MOMENT_S = 0.05

_Marks = tuple[tuple[int, int, int] | None, ...]


class Access:
    """The API server with credentials that are in order as far as anybody knows. For all threads.

    The kubeconfig is read again, and its credential plugin runs again, when one of its files has changed (a token file
    that was replaced, a new certificate), and after the server has refused the credentials. Streams that are open go
    on: the server checks a request when it begins.
    """

    def __init__(self, cluster: ClusterSettings) -> None:
        """Reads the kubeconfig; connects to nothing yet. A credential plugin that fails is asked again by `api`.

        Raises:
            ClusterError: the kubeconfig is missing or wrong.
        """
        self._cluster = cluster
        self._lock = threading.Lock()
        self._sockets = Sockets()
        self._api: Api = Api(cluster, self._sockets, anonymous=True)
        self._refused = self._api.flaw is not None
        self._failed: tuple[float, ClusterError] | None = None
        self._marks = _marks(self._api.files)
        self.server: str = self._api.server

    def api(self) -> Api:
        """The server, with credentials read again where that is due.

        Raises:
            ClusterError: they were refused and cannot be had anew; the message says why.
        """
        asked_s = time.monotonic()
        with self._lock:
            if self._failed is not None and self._failed[0] > asked_s:
                # Another thread asked meanwhile, in vain: each in its turn would wait as long for the same answer.
                raise self._failed[1]
            marks = _marks(self._api.files)
            if self._refused or marks != self._marks:
                self._renew(marks)
            return self._api

    def refuse(self, api: Api) -> None:
        """Says that the server did not take the credentials of `api`, so that the next ones are read anew."""
        with self._lock:
            # Another thread may have renewed them since.
            self._refused = self._refused or api is self._api

    def close(self) -> None:
        """Breaks every request and every stream off, and ends a plugin that hangs; what is asked for later fails."""
        self._sockets.abort()
        deadline_s = time.monotonic() + _CLOSE_S
        while not self._lock.acquire(timeout=_MOMENT_S):
            # Whoever holds it for longer waits for a credential plugin, or is about to start one.
            end_all()
            if time.monotonic() > deadline_s:
                return  # what it connects to afterwards is broken off
        try:
            self._api.close()
        finally:
            self._lock.release()

    def _renew(self, marks: _Marks) -> None:
        try:
            renewed = Api(self._cluster, self._sockets)
        except ClusterError as error:
            if self._refused:
                self._failed = (time.monotonic(), error)
                raise
            # A file that is half written, or a secret that is just being swapped: the former credentials still count.
            _log.warning("the credentials are not renewed: %s", error)
            self._marks = marks
            return
        # Marks from before the files were read: a change in between is seen the next time.
        self._marks = marks if renewed.files == self._api.files else _marks(renewed.files)
        self._api.close()
        self._api, self._refused = renewed, False
        self.server = renewed.server


def _marks(files: Iterable[Path]) -> _Marks:
    """What changes whenever a file is written or replaced; None for one that is not there."""
    return tuple(_mark(path) for path in files)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size

"""Follows a file that kubectl writes again and again, as `Follow` follows an API server."""

import threading
from pathlib import Path

from k8s_ecmp.errors import ClusterError
from k8s_ecmp.kube.file import load_file
from k8s_ecmp.kube.updates import Listed, ObjectKind, ServiceCIDRsKnown, Sink, WatchState
from k8s_ecmp.settings import Settings

_LOOK_S = 1.0
_KINDS: tuple[ObjectKind, ...] = ("Node", "Service", "EndpointSlice")


class FollowFile:
    """Looks once a second whether the file is another one, and tells all of it where it is.

    While it cannot be read nothing is synced: what was read before stays.
    """

    def __init__(self, settings: Settings, sink: Sink) -> None:
        self._settings = settings
        self._path = Path(settings.cluster.source)
        self._sink = sink
        self._stopped = threading.Event()
        self._anew = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow file", daemon=True)

    @property
    def server(self) -> str:
        return str(self._path)

    def start(self) -> None:
        self._thread.start()

    def again(self) -> None:
        """Reads it again, whether or not it is another one. Returns at once."""
        self._anew.set()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stopped.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        seen: tuple[int, int, int] | None = None
        failed: str | None = None
        while not self._stopped.is_set():
            mark = self._mark()
            if mark is None or mark != seen or failed is not None or self._anew.is_set():
                self._anew.clear()
                failed = self._read(failed)
                seen = mark
            self._stopped.wait(_LOOK_S)

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self, failed_before: str | None) -> str | None:
        try:
            cluster = load_file(self._settings.cluster.source, settings=self._settings)
        except ClusterError as error:
            if str(error) != failed_before:
                for kind in _KINDS:
                    self._sink(WatchState(kind, synced=False, reason=str(error)))
            return str(error)
        if self._anew.is_set():
            return failed_before  # this may have been read before it was to be read again
        self._sink(ServiceCIDRsKnown(cluster.service_cidrs))
        self._sink(WatchState("ServiceCIDR", synced=True, essential=False))
        self._sink(Listed("Node", {node.name: node for node in cluster.nodes}, {}))
        self._sink(Listed("Service", {service.key: service for service in cluster.services}, {}))
        pieces = {f"{piece.namespace}/{piece.name}": piece for piece in cluster.slices}
        broken = {skip.object: skip for skip in cluster.skipped}
        self._sink(Listed("EndpointSlice", pieces, broken))
        for kind in _KINDS:
            self._sink(WatchState(kind, synced=True))
        return None

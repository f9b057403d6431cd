"""List and watch of one kind: a thread that tells a follower what is there and what becomes of it.

The order is that of client-go's reflector (tools/cache/reflector.go): the objects of the moment as a stream (WatchList,
KEP-3157) or, where the server cannot, in pages; then every change from that moment on. A stream that ends is resumed at
the last version seen; where the server has forgotten it (410), or was away, everything is listed again, so that what
was deleted meanwhile is seen.
"""

import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from k8s_ecmp.errors import ClusterError, ClusterRefused, ClusterUnreachable
from k8s_ecmp.kube.access import Access
from k8s_ecmp.kube.api import Api, Busy
from k8s_ecmp.kube.backoff import Backoff, Pace
from k8s_ecmp.kube.reading import EXPIRED, Bookmark, Expired, Reader
from k8s_ecmp.kube.stream import Stream
from k8s_ecmp.kube.telling import Follower, Listing, Telling
from k8s_ecmp.kube.watched import NOTHING_KNOWN, Watched

Item = TypeVar("Item")

_log = logging.getLogger("k8s_ecmp.kube")

PAGE = 500
_NO_SUCH_PATH, _UNAUTHORIZED = 404, 401
_NO_WATCH_LIST = (400, 422)
_REFUSED = (403, 404)


class Reflector(Generic[Item]):
    """One kind's watch in a thread of its own.

    Args:
        access: the API server.
        watched: the kind.
        follower: who takes what is found.
        patient: whether 403 and 404 are nothing to hurry for.
        pace: the times.
    """

    def __init__(
        self,
        access: Access,
        watched: Watched[Item],
        follower: Follower[Item],
        *,
        patient: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self._access = access
        self._watched = watched
        self._follower = follower
        self._patient = patient
        self._pace = pace or Pace()
        self._backoff = Backoff(self._pace)
        self._reader = Reader(watched)
        self._path = 0
        self._version: str | None = None  # None: everything must be listed
        self._telling = Telling(follower)
        self._synced = False
        self._reason: str | None = None
        self._in_order_since: float | None = None
        self._in_pages = False
        self._events = 0
        self._expiries = 0
        self._renewed = False
        self._stopping = threading.Event()
        self._anew = threading.Event()
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{watched.kind}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Tells the thread to end; nothing is delivered any more. Returns at once."""
        self._stopping.set()
        with self._lock:
            if self._stream is not None:
                self._stream.shut()

    def again(self) -> None:
        """Lists everything again, and says that the watch is in order when that is done. Returns at once."""
        self._anew.set()
        with self._lock:
            if self._stream is not None:
                self._stream.shut()

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread's end; whether it has ended."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # --- the round

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = self._round()
            except Exception:  # noqa: BLE001  whatever it is: a watch that ends silently would be worse
                if self._stopping.is_set():
                    return
                if self._anew.is_set():
                    continue
                _log.exception("the watch of %s objects failed for a reason that is not foreseen", self._watched.tag)
                pause_s = self._failed(ClusterError("an internal error, see the log"))
            if pause_s:
                self._stopping.wait(pause_s)

    def _round(self) -> float:
        """One stream from its beginning to its end; the seconds to wait before the next."""
        self._in_order_since = None
        self._events = 0
        if self._anew.is_set():
            self._anew.clear()
            self._version, self._synced = None, False
        api: Api | None = None
        try:
            api = self._access.api()
            if self._version is None:
                self._list_and_watch(api)
            else:
                self._watch(api, self._version)
        except Expired:
            return self._expired()
        except ClusterError as error:
            if self._stopping.is_set() or self._anew.is_set():
                return 0
            return self._broke_off(error, api)
        return 0 if self._anew.is_set() else self._ended()

    def _ended(self) -> float:
        """After a watch that the server ended in order."""
        if self._healthy() or self._events:
            return 0
        return self._failed(ClusterUnreachable(f"the API server {self._access.server} ends each watch at once"))

    def _expired(self) -> float:
        """After a 410: everything is listed again, at once, but not over and over."""
        self._healthy()
        self._version = None
        self._expiries += 1
        if self._expiries == 1:
            return 0
        return self._failed(
            ClusterUnreachable(f"the API server {self._access.server} forgets its versions before they are read")
        )

    def _broke_off(self, error: ClusterError, api: Api | None) -> float:
        """After a failure: a stream that was in order is resumed at once, and nobody need know."""
        if isinstance(error, ClusterRefused) and error.status == _NO_SUCH_PATH:
            return self._no_such_path(error)
        if api is not None and _blames_credentials(error):
            self._access.refuse(api)
            if not self._renewed:
                self._renewed = True
                return 0
        if self._healthy() and self._version is not None:
            _log.debug("the watch of %s objects is resumed: %s", self._watched.tag, error)
            return 0
        return self._failed(error)

    def _failed(self, error: ClusterError) -> float:
        # What the stream after an outage starts with is not known before it has sent something: only a list is sure.
        self._version = None
        self._tell(error)
        if self._patient and isinstance(error, ClusterRefused) and error.status in _REFUSED:
            return self._pace.refused_pause_s
        return self._backoff.pause_s(error.pause_s if isinstance(error, Busy) else None)

    def _no_such_path(self, error: ClusterRefused) -> float:
        """After a 404: another version of the API may know the kind."""
        self._path += 1
        if self._path < len(self._watched.paths):
            return 0
        self._path = 0
        try:
            if not self._follower.missing():
                return self._failed(error)
        except ClusterError as failure:
            return self._failed(failure)
        self._version = None
        self._tell(None)
        return self._pace.refused_pause_s

    def _healthy(self) -> bool:
        """Whether the stream that has just ended was in order for long enough to count."""
        if self._in_order_since is None:
            return False
        elapsed_s = time.monotonic() - self._in_order_since
        self._backoff.in_order_for(elapsed_s)
        if elapsed_s < self._pace.shortest_stream_s:
            return False
        self._expiries = 0
        return True

    def _in_order(self) -> None:
        if self._anew.is_set():
            raise ClusterError("what was listed may be of a time before it was to be listed again")
        self._in_order_since = time.monotonic()
        self._renewed = False
        self._tell(None)

    def _tell(self, error: ClusterError | None) -> None:
        """Reports where the watch stands, when that is news; None: in order."""
        synced, reason = error is None, error.message if error else None
        if self._stopping.is_set() or (synced, reason) == (self._synced, self._reason):
            return
        if error:
            _log.warning("%s objects are not followed: %s", self._watched.tag, error)
        elif self._reason:
            _log.info("%s objects are followed again", self._watched.tag)
        self._synced, self._reason = synced, reason
        self._follower.state(synced, reason)

    # --- requests

    def _list_and_watch(self, api: Api) -> None:
        if not self._in_pages:
            started = time.monotonic()
            try:
                self._stream_list_and_watch(api)
            except ClusterUnreachable:
                # A list that does not even begin: the next attempt goes the other way.
                self._in_pages = self._in_pages or time.monotonic() - started >= self._pace.list_s
                raise
            except ClusterRefused as error:
                if error.status not in _NO_WATCH_LIST:
                    raise
                _log.debug("no list of %s objects as a stream: %s", self._watched.tag, error)
            else:
                return
        version = self._list(api)
        self._in_pages = False
        self._watch(api, version)

    def _stream_list_and_watch(self, api: Api) -> None:
        listing: Listing[Item] = Listing()
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        with self._open(api, query, self._pace.list_s) as stream:
            # Should the list never end, the next attempt goes the other way.
            self._in_pages = True
            lines = self._lines(stream)
            for line in lines:
                if self._list_line(api, line, listing):
                    break
            else:
                raise ClusterUnreachable(
                    f"the API server {api.server} ends its list of {self._watched.tag} objects before the last one"
                )
            self._in_pages = False
            stream.expect(self._pace.silence_s)
            self._deliver(listing)
            del listing  # the follower owns it now
            self._in_order()
            for line in lines:
                self._take(api, line)

    def _list_line(self, api: Api, line: bytes, listing: Listing[Item]) -> bool:
        """Takes one line of a list as a stream; whether it was the last."""
        kind, seen = self._reader.read(api.server, line, NOTHING_KNOWN)
        if isinstance(seen, Bookmark):
            self._version = seen.resource_version or self._version
            return seen.ends_list
        if kind == "DELETED":
            listing.drop(seen.key)
        else:
            listing.put(seen)
        return False

    def _list(self, api: Api) -> str:
        """Lists everything in pages; the version that the list is of."""
        listing: Listing[Item] = Listing()
        path, version, token = self._watched.paths[self._path], "", ""
        while not self._stopping.is_set():
            query: dict[str, str | int] = {**self._watched.query, "limit": PAGE}
            if token:
                query["continue"] = token
            try:
                page, meta = self._watched.page(api.get(path, query, attempts=1))
            except msgspec.DecodeError as error:
                raise ClusterError(
                    f"the API server {api.server} answered with something that is no list for {path}",
                    remedy="check that server of the kubeconfig is a Kubernetes API server, not a web proxy before it",
                ) from error
            except ClusterRefused as error:
                if error.status == EXPIRED:
                    raise Expired from error
                raise
            for seen in page:
                listing.put(seen)
            # All pages are of the version that the first one names.
            version, token = version or meta.resource_version or "", meta.token or ""
            if not token:
                self._version = version
                self._deliver(listing)
                break
        return version

    def _watch(self, api: Api, version: str) -> None:
        with self._open(api, {"resourceVersion": version}, self._pace.silence_s) as stream:
            self._in_order()
            for line in self._lines(stream):
                self._take(api, line)

    @contextmanager
    def _open(self, api: Api, query: Mapping[str, str], read_s: float) -> Iterator[Stream]:
        whole: dict[str, str | int] = {
            "allowWatchBookmarks": "true",
            "timeoutSeconds": random.randint(*self._pace.watch_s),  # noqa: S311  no secret
            **self._watched.query,
            **query,
        }
        try:
            stream = Stream(api, self._watched.paths[self._path], whole, read_s=read_s)
        except ClusterRefused as error:
            if error.status == EXPIRED:
                raise Expired from error
            raise
        with self._lock:
            self._stream = stream
            if self._stopping.is_set():
                stream.shut()
        try:
            yield stream
        finally:
            with self._lock:
                self._stream = None
            stream.close()

    def _lines(self, stream: Stream) -> Iterator[bytes]:
        for batch in stream.batches():
            for line in batch:
                if self._stopping.is_set():
                    return
                yield line

    # --- events

    def _take(self, api: Api, line: bytes) -> None:
        """One line of a watch."""
        self._events += 1
        kind, seen = self._reader.read(api.server, line, self._telling.digests)
        if isinstance(seen, Bookmark):
            self._version = seen.resource_version or self._version
            return
        if kind == "DELETED":
            self._telling.gone(seen.key)
        else:
            self._telling.changed(seen)
        self._version = seen.version or self._version

    def _deliver(self, listing: Listing[Item]) -> None:
        if not self._stopping.is_set():
            self._telling.listed(listing)


def _blames_credentials(error: ClusterError) -> bool:
    """Whether other credentials, or another authority, may help: a 401, or no TLS connection."""
    if isinstance(error, ClusterRefused):
        return error.status == _UNAUTHORIZED
    return not isinstance(error, ClusterUnreachable)

"""What a follower has been told of one kind, so that it is told each piece of news, and no news twice."""

import logging
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from k8s_ecmp.kube.watched import Seen
from k8s_ecmp.model import Skipped

Item = TypeVar("Item")
Taken_contra = TypeVar("Taken_contra", contravariant=True)

_log = logging.getLogger("k8s_ecmp.kube")


class Follower(Protocol[Taken_contra]):
    """Takes what a reflector finds, in its thread. May raise ClusterError: then everything is listed again."""

    def listed(self, objects: Mapping[str, Taken_contra], broken: Mapping[str, Skipped]) -> None:
        """All objects there are, and those that cannot be read."""

    def changed(self, key: str, item: Taken_contra) -> None:
        """An object that is new or different."""

    def gone(self, key: str, broken: Skipped | None) -> None:
        """An object that was deleted, or can no longer be read."""

    def missing(self) -> bool:
        """The server knows no such kind. Whether that is in order."""

    def state(self, synced: bool, reason: str | None) -> None:
        """Whether the watch is in order, and why not; when it becomes so, and when the reason changes."""


class Listing(Generic[Item]):
    """A list while it comes, by key; the last word on a key counts."""

    def __init__(self) -> None:
        self.objects: dict[str, Item] = {}
        self.broken: dict[str, Skipped] = {}
        self.digests: dict[str, int] = {}

    def put(self, seen: Seen[Item]) -> None:
        """An object that is there."""
        key = seen.key
        if seen.item is not None:
            self.objects[key] = seen.item
            self.digests[key] = seen.digest
        else:
            self._drop_object(key)
        if seen.broken is not None:
            self.broken[key] = seen.broken
        elif self.broken:
            self.broken.pop(key, None)

    def drop(self, key: str) -> None:
        """An object that is there no more."""
        self._drop_object(key)
        self.broken.pop(key, None)

    def _drop_object(self, key: str) -> None:
        self.objects.pop(key, None)
        self.digests.pop(key, None)


class Telling(Generic[Item]):
    """Tells a follower. The objects themselves are not kept: that is for who follows.

    Attributes:
        digests: by key, of the objects that the follower was told of and that can be read.
    """

    def __init__(self, follower: Follower[Item]) -> None:
        self._follower = follower
        self.digests: dict[str, int] = {}
        self._broken: dict[str, Skipped] = {}

    def listed(self, listing: Listing[Item]) -> None:
        """A whole list; it belongs to the follower then."""
        for key, skipped in listing.broken.items():
            self._log_broken(key, skipped)
        self.digests, self._broken = listing.digests, dict(listing.broken)
        self._follower.listed(listing.objects, listing.broken)

    def changed(self, seen: Seen[Item]) -> None:
        """An object that is there."""
        if seen.same:
            return
        key = seen.key
        if seen.broken is not None:
            self._is_broken(key, seen.broken)
        elif seen.item is None:
            self.gone(key)
        else:
            self._broken.pop(key, None)
            self.digests[key] = seen.digest
            self._follower.changed(key, seen.item)

    def gone(self, key: str) -> None:
        """An object that is there no more."""
        known = self.digests.pop(key, None) is not None
        if self._broken.pop(key, None) is not None or known:
            self._follower.gone(key, None)

    def _is_broken(self, key: str, broken: Skipped) -> None:
        if self._broken.get(key) == broken and key not in self.digests:
            return
        self._log_broken(key, broken)
        self.digests.pop(key, None)
        self._follower.gone(key, broken)

    def _log_broken(self, key: str, broken: Skipped) -> None:
        """Once for each object and reason."""
        if self._broken.get(key) != broken:
            _log.warning("%s cannot be read and counts as absent: %s", broken.object, broken.reason)
        self._broken[key] = broken

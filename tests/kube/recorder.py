"""A sink that keeps what a follower says, and the cluster as a consumer would see it."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k8s_ecmp.kube.backoff import Pace
from k8s_ecmp.kube.follow import Follow
from k8s_ecmp.kube.updates import Changed, DrainsKnown, Gone, Listed, ObjectKind, ServiceCIDRsKnown, Update, WatchState
from k8s_ecmp.model import Skipped
from k8s_ecmp.settings import ClusterSettings
from tests.world.netns import wait_for

KINDS: tuple[ObjectKind, ...] = ("Node", "Service", "EndpointSlice")
QUICK = Pace(first_pause_s=0.02, longest_pause_s=0.1, refused_pause_s=0.1, shortest_stream_s=0.0)
"""Attempts that follow each other fast; everything else as it is."""


class Recorder:
    """Give it as a sink. `updates` are all of them, in order."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.broken: dict[str, dict[str, Skipped]] = {}
        self.states: dict[str, WatchState] = {}
        self.cidrs: list[str] | None = None
        self.cidrs_skipped: tuple[Skipped, ...] = ()
        self.drains: dict[str, str] | None = None
        self.follow: Follow | None = None
        self._lock = threading.Lock()

    def __call__(self, update: Update) -> None:
        with self._lock:
            self.updates.append(update)
            match update:
                case Listed(kind, objects, broken):
                    self.objects[kind], self.broken[kind] = dict(objects), dict(broken)
                case Changed(kind, key, item):
                    self.objects[kind][key] = item
                    self.broken[kind].pop(key, None)
                case Gone(kind, key, broken):
                    self.objects[kind].pop(key, None)
                    self.broken[kind].pop(key, None)
                    if broken:
                        self.broken[kind][key] = broken
                case ServiceCIDRsKnown(cidrs, skipped):
                    self.cidrs, self.cidrs_skipped = [str(cidr.prefix) for cidr in cidrs], skipped
                case DrainsKnown(reasons):
                    self.drains = dict(reasons)
                case WatchState(kind):
                    self.states[kind] = update

    def synced(self, *kinds: str) -> bool:
        return all(kind in self.states and self.states[kind].synced for kind in kinds or KINDS)

    def states_of(self, kind: str) -> list[tuple[bool, str | None]]:
        """Whether it was synced and why not, of each time that it was told."""
        return [(state.synced, state.reason) for state in self.of(WatchState, kind)]

    def reason(self, kind: str) -> str:
        """Why the kind is not synced; "" while it is, or has not said anything."""
        state = self.states.get(kind)
        return (state.reason or "") if state else ""

    def of(self, type_: type[Any], kind: str | None = None) -> list[Any]:
        with self._lock:
            return [u for u in self.updates if isinstance(u, type_) and kind in (None, getattr(u, "kind", None))]

    def keys(self, kind: str) -> list[str]:
        return sorted(self.objects.get(kind, ()))

    def wait_synced(self, *kinds: str, timeout: float = 20) -> None:
        wait_for(lambda: self.synced(*kinds), f"{kinds or KINDS} are synced: {self.states}", timeout=timeout)


@contextlib.contextmanager
def following(
    config: Path, *, cidrs: tuple[str, ...] = (), drains: bool = True, pace: Pace = QUICK, context: str | None = None
) -> Iterator[Recorder]:
    """A follower that is started and, at the end, stopped to its last thread."""
    recorder = Recorder()
    follow = recorder.follow = Follow(
        ClusterSettings(kubeconfig=str(config), context=context, service_cidrs=cidrs),
        recorder,
        drains=drains,
        pace=pace,
    )
    follow.start()
    try:
        yield recorder
    finally:
        follow.stop(0)
        told = len(recorder.updates)
        assert follow.stop(20)
        assert len(recorder.updates) == told

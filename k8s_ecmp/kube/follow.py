"""Follows a live cluster: everything that decides about routes, as updates, for as long as it runs."""

import threading
import time
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from k8s_ecmp.kube import service_cidrs
from k8s_ecmp.kube.access import Access
from k8s_ecmp.kube.backoff import Pace
from k8s_ecmp.kube.followed_cidrs import FollowedCIDRs
from k8s_ecmp.kube.followed_drains import FollowedDrains
from k8s_ecmp.kube.reflector import Reflector
from k8s_ecmp.kube.updates import (
    Changed,
    Gone,
    Listed,
    ObjectKind,
    ServiceCIDRsKnown,
    Sink,
    Update,
    WatchState,
)
from k8s_ecmp.kube.watched import KURED, NODES, SERVICE_CIDRS, SERVICES, SLICES
from k8s_ecmp.model import EndpointSlice, Node, Service, Skipped
from k8s_ecmp.settings import ClusterSettings

Item_contra = TypeVar("Item_contra", bound=Node | Service | EndpointSlice, contravariant=True)


class Follow:
    """The watches of one API server, each in a thread of its own.

    Nodes, Services and EndpointSlices; service CIDRs, unless the settings give them; kured's lock. `server` is the API
    server's URL. Each watch tells of itself by `WatchState`; what the API server refuses or does not answer is tried
    again for ever, so nothing is raised once it has started.

    Args:
        cluster: kubeconfig, context and configured service CIDRs.
        sink: who is told; it is called from the threads of the watches.
        drains: whether to follow kured's lock.
        pace: the times of the watches.
    """

    def __init__(self, cluster: ClusterSettings, sink: Sink, *, drains: bool = True, pace: Pace | None = None) -> None:
        """Reads the kubeconfig; connects to nothing yet.

        Raises:
            ClusterError: there is no kubeconfig, it is broken, or its credentials cannot be had.
        """
        self._sink = sink
        self._stopped = threading.Event()
        self._access = Access(cluster)
        self._configured = service_cidrs.from_settings(cluster.service_cidrs)
        self._cidrs = FollowedCIDRs(self._access, self._deliver, ask_again_s=(pace or Pace()).ask_again_s)
        self._drains = FollowedDrains(self._deliver)
        access = self._access
        self._watches: list[Reflector[Any]] = [
            Reflector(access, NODES, _Passed("Node", self._deliver), pace=pace),
            Reflector(access, SERVICES, _Passed("Service", self._deliver), pace=pace),
            Reflector(access, SLICES, _Passed("EndpointSlice", self._deliver), pace=pace),
        ]
        if not self._configured:
            self._watches.append(Reflector(access, SERVICE_CIDRS, self._cidrs, pace=pace))
        if drains:
            self._watches.append(Reflector(access, KURED, self._drains, patient=True, pace=pace))

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._access.server

    def start(self) -> None:
        """Starts the watches and returns at once. Only once."""
        if self._configured:
            self._deliver(ServiceCIDRsKnown(self._configured))
            self._deliver(WatchState("ServiceCIDR", synced=True, essential=False))
        for watch in self._watches:
            watch.start()

    def again(self) -> None:
        """Lists everything again; each watch says that it is in order when it has. Returns at once."""
        for watch in self._watches:
            watch.again()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Ends the watches; nothing is delivered after it has begun.

        Args:
            timeout_s: seconds to wait for the threads. One that waits for a connection or a credential plugin may take
                longer; it ends by itself then, and does not keep the process alive.

        Returns:
            Whether all threads have ended.
        """
        self._stopped.set()
        self._cidrs.close()
        self._drains.close()
        for watch in self._watches:
            watch.stop()
        self._access.close()
        deadline = time.monotonic() + timeout_s
        # Each of them is waited for, though the time may be up: most have ended by then.
        ended = [watch.join(max(deadline - time.monotonic(), 0)) for watch in self._watches]
        return all(ended)

    def _deliver(self, update: Update) -> None:
        if not self._stopped.is_set():
            self._sink(update)


class _Passed(Generic[Item_contra]):
    """Passes on what a reflector finds, as updates."""

    def __init__(self, kind: ObjectKind, sink: Sink) -> None:
        self._kind = kind
        self._sink = sink

    def listed(self, objects: Mapping[str, Item_contra], broken: Mapping[str, Skipped]) -> None:
        self._sink(Listed(self._kind, objects, broken))

    def changed(self, key: str, item: Item_contra) -> None:
        self._sink(Changed(self._kind, key, item))

    def gone(self, key: str, broken: Skipped | None) -> None:
        self._sink(Gone(self._kind, key, broken))

    def missing(self) -> bool:
        return False

    def state(self, synced: bool, reason: str | None) -> None:
        self._sink(WatchState(self._kind, synced, reason))

"""Follows the service CIDRs: ServiceCIDR objects, and where they tell of none, what kubeadm left behind."""

import logging
import threading
from collections.abc import Mapping

from k8s_ecmp.errors import ClusterError
from k8s_ecmp.kube import service_cidrs
from k8s_ecmp.kube.access import Access
from k8s_ecmp.kube.collect import Collector
from k8s_ecmp.kube.later import Later
from k8s_ecmp.kube.live import ask_for_service_cidrs
from k8s_ecmp.kube.updates import ServiceCIDRsKnown, Sink, WatchState
from k8s_ecmp.kube.wire import WireServiceCIDR
from k8s_ecmp.model import ServiceCIDR, Skipped

_log = logging.getLogger("k8s_ecmp.kube")


class FollowedCIDRs:
    """Tells of the service CIDRs whenever they change.

    While ServiceCIDR objects tell of none, kubeadm's ConfigMap and kube-apiserver's pod are asked, and asked again
    until one of them knows. Those two are not watched: they change with a new cluster or a new control plane.

    Args:
        access: the API server.
        sink: who is told.
        ask_again_s: seconds before the two are asked again.
    """

    def __init__(self, access: Access, sink: Sink, *, ask_again_s: float) -> None:
        self._access = access
        self._sink = sink
        self._ask_again_s = ask_again_s
        self._lock = threading.Lock()
        self._objects: dict[str, WireServiceCIDR] = {}
        self._broken: dict[str, Skipped] = {}
        self._fallback: Collector | None = None
        self._warned: set[str] = set()
        self._told: ServiceCIDRsKnown | None = None
        self._again = Later(self._ask_again)

    def listed(self, objects: Mapping[str, WireServiceCIDR], broken: Mapping[str, Skipped]) -> None:
        """All ServiceCIDR objects.

        Raises:
            ClusterError: they tell of none, and the other sources cannot be asked.
        """
        with self._lock:
            self._objects, self._broken = dict(objects), dict(broken)
            self._look()

    def changed(self, key: str, item: WireServiceCIDR) -> None:
        """One is new or different; raises as `listed`."""
        with self._lock:
            self._objects[key] = item
            self._broken.pop(key, None)
            self._look()

    def gone(self, key: str, broken: Skipped | None) -> None:
        """One was deleted or cannot be read; raises as `listed`."""
        with self._lock:
            self._objects.pop(key, None)
            self._broken.pop(key, None)
            if broken is not None:
                self._broken[key] = broken
            self._look()

    def missing(self) -> bool:
        """The server is older than ServiceCIDR objects (Kubernetes 1.29); raises as `listed`."""
        self.listed({}, {})
        return True

    def state(self, synced: bool, reason: str | None) -> None:
        """Passes it on."""
        self._sink(WatchState("ServiceCIDR", synced, reason))

    def close(self) -> None:
        """Asks and tells no more."""
        self._again.close()

    def _look(self) -> None:
        found, skipped = service_cidrs.discover(tuple(self._objects.values()), None, ())
        if found:
            self._again.cancel()
            self._fallback = None
        else:
            if self._fallback is None or not self._fallback.knows_service_cidrs():
                self._fallback = self._ask()
            found, more = self._fallback.discovered()
            skipped = [*skipped, *self._fallback.skipped, *more]
            if not found:
                self._again.after(self._ask_again_s)
        self._tell(found, (*skipped, *self._broken.values()))

    def _tell(self, found: tuple[ServiceCIDR, ...], skipped: tuple[Skipped, ...]) -> None:
        known = ServiceCIDRsKnown(found, skipped)
        if known != self._told:
            self._told = known
            self._sink(known)

    def _ask(self) -> Collector:
        collector = Collector()
        for warning in ask_for_service_cidrs(self._access.api(), collector, objects=False):
            if warning not in self._warned:
                self._warned.add(warning)
                _log.warning("%s", warning)
        return collector

    def _ask_again(self) -> None:
        with self._lock:
            try:
                self._look()
            except ClusterError as error:
                _log.info("service CIDRs are not known yet: %s", error)
                self._again.after(self._ask_again_s)

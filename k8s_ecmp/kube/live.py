"""The cluster's state out of an API server, once: paged lists, nothing is watched."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from k8s_ecmp.errors import ClusterError, ClusterRefused, ClusterUnreachable
from k8s_ecmp.kube import service_cidrs
from k8s_ecmp.kube.api import Api
from k8s_ecmp.kube.collect import Collector, plain
from k8s_ecmp.kube.drain_signals import read_locks
from k8s_ecmp.kube.watched import KURED, NODES, SERVICE_CIDRS, SERVICES, SLICES, Page
from k8s_ecmp.kube.wire import KINDS, WireConfigMap, WireDaemonSet, WireObject
from k8s_ecmp.model import ClusterState
from k8s_ecmp.settings import ClusterSettings

PAGE = 500
_LISTS = {watched.tag: watched.paths[0] for watched in (NODES, SERVICES, SLICES)}
_KURED = f"{KURED.paths[0]}/kured"
_CONFIG = f"/api/v1/namespaces/{service_cidrs.KUBEADM_NAMESPACE}/configmaps/{service_cidrs.KUBEADM_NAME}"
_PODS = "/api/v1/namespaces/kube-system/pods"
_EXPIRED_ATTEMPTS = 5


def _page_decoder(kind: str) -> msgspec.json.Decoder[Page[WireObject]]:
    page: Any = Page
    return msgspec.json.Decoder(page[KINDS[kind]])


_PAGES = {kind: _page_decoder(kind) for kind in KINDS}
_RAW_PAGE = msgspec.json.Decoder(Page[msgspec.Raw])


def load_live(cluster: ClusterSettings, *, limit: int = PAGE) -> ClusterState:
    """Lists what is needed and no more: service CIDRs are asked for only when the settings have none.

    kured's lock is asked for too; that it may not be read is a warning.

    Args:
        cluster: kubeconfig, context and configured service CIDRs.
        limit: objects of one page.

    Raises:
        ClusterUnreachable: the API server does not answer.
        ClusterError: it refuses nodes, services or endpoint slices, TLS fails, or the kubeconfig is wrong.
    """
    api = Api(cluster)
    try:
        collector = Collector()
        for kind, path in _LISTS.items():
            collector.take(_list(api, path, kind, limit))
        warnings = [] if cluster.service_cidrs else ask_for_service_cidrs(api, collector, limit=limit)
        drains = _ask_for_drains(api, warnings)
    finally:
        api.close()
    hint = "check the kubeconfig and its context"
    return collector.state(cluster.service_cidrs, api.server, hint=hint, warnings=warnings, drains=drains)


def _list(api: Api, path: str, kind: str, limit: int, **query: str) -> Collector:
    """All objects of one list. When it expires between two pages it starts again, so that no page is of another time.

    Raises:
        ClusterUnreachable: as `Api.get`; also a list that keeps expiring.
        ClusterError: as `Api.get`; also an answer that is no list.
    """
    for _ in range(_EXPIRED_ATTEMPTS):
        collector = Collector()
        token: str | None = ""
        try:
            while token is not None:
                more = {"continue": token} if token else {}
                body = api.get(path, {"limit": limit, **query, **more})
                token = _add_page(api, path, kind, body, collector) or None
        except ClusterRefused as error:
            if error.status != 410:
                raise
        else:
            return collector
    raise ClusterUnreachable(
        f"the API server {api.server} drops the list of {path.rpartition('/')[2]} before its last page",
        remedy="try again when it is less busy",
    )


def _add_page(api: Api, path: str, kind: str, body: bytes, collector: Collector) -> str | None:
    """Adds one page's objects; the token of the next page."""
    try:
        page = _PAGES[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _add_item_by_item(api, path, kind, body, collector)
    for wire in page.items or ():
        collector.add(wire)
    return page.metadata.token if page.metadata else None


def _add_item_by_item(api: Api, path: str, kind: str, body: bytes, collector: Collector) -> str | None:
    """A page with an object that cannot be decoded: the others count."""
    try:
        page = _RAW_PAGE.decode(body)
    except msgspec.DecodeError as error:
        raise ClusterError(
            f"the API server {api.server} answered with something that is no list for {path}",
            remedy="check that server of the kubeconfig is a Kubernetes API server and no web proxy stands between",
        ) from error
    for item in page.items or ():
        try:
            wire = msgspec.json.decode(item, type=KINDS[kind])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            collector.add_broken(kind, plain(item), error)
        else:
            collector.add(wire)
    return page.metadata.token if page.metadata else None


def ask_for_service_cidrs(api: Api, collector: Collector, *, limit: int = PAGE, objects: bool = True) -> list[str]:
    """Asks one source after the other until one knows a service CIDR; what is forbidden or not there costs nothing.

    Args:
        api: whom to ask.
        collector: takes what is found.
        limit: objects of one page.
        objects: whether to ask for ServiceCIDR objects; otherwise only kubeadm's ConfigMap and kube-apiserver's pod.

    Returns:
        Warnings about what is forbidden.

    Raises:
        ClusterUnreachable: the API server does not answer.
        ClusterError: TLS fails, or it answers with something else.
    """
    warnings: list[str] = []
    sources: list[tuple[str, str, dict[str, str]]] = [
        (_CONFIG, "ConfigMap", {}),
        (_PODS, "Pod", {"labelSelector": f"{service_cidrs.API_SERVER_LABEL}={service_cidrs.API_SERVER}"}),
    ]
    if objects:
        sources = [*((path, "ServiceCIDR", {}) for path in SERVICE_CIDRS.paths), *sources]
    for path, kind, query in sources:
        try:
            if kind == "ConfigMap":
                collector.add(msgspec.json.decode(api.get(path), type=WireConfigMap))
            else:
                collector.take(_list(api, path, kind, limit, **query))
        except ClusterRefused as error:
            if error.status != 404:
                warnings.append(f"service CIDRs: {error.message}")
        except msgspec.DecodeError as error:
            warnings.append(f"service CIDRs: {path} cannot be read: {error}")
        if collector.knows_service_cidrs():
            break
    return warnings


def _ask_for_drains(api: Api, warnings: list[str]) -> Mapping[str, str]:
    """The nodes that kured drains; without kured, none."""
    try:
        held = msgspec.json.decode(api.get(_KURED), type=WireDaemonSet)
    except ClusterRefused as error:
        if error.status != 404:
            warnings.append(f"kured's lock: {error.message}")
        return {}
    except msgspec.DecodeError as error:
        warnings.append(f"kured's lock: {_KURED} cannot be read: {error}")
        return {}
    locks = read_locks(held.lock, datetime.now(UTC))
    warnings.extend(f"kured's lock: {flaw}" for flaw in locks.flaws)
    return locks.reasons

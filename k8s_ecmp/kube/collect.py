"""Gathers API objects, from wherever they come, into one ClusterState."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from k8s_ecmp.kube import service_cidrs
from k8s_ecmp.kube.convert import read_node, read_service, read_slice
from k8s_ecmp.kube.faults import describe
from k8s_ecmp.kube.wire import (
    API_VERSIONS,
    Meta,
    SliceMeta,
    WireConfigMap,
    WireEndpointSlice,
    WireNode,
    WireObject,
    WirePod,
    WireService,
    WireServiceCIDR,
)
from k8s_ecmp.model import ClusterState, EndpointSlice, Node, Service, ServiceCIDR, Skipped

REPORTED = ("Node", "Service", "EndpointSlice", "ServiceCIDR")
"""Kinds whose broken objects are named; ConfigMaps and Pods are mostly other people's."""
_SHOWN_DUPLICATES = 3

T = TypeVar("T")


class Collector:
    """Converts objects one at a time; what cannot be read is noted in `skipped` and costs nothing else.

    `seen` counts the objects of each kind, readable or not; `twice` names what came more than once.
    """

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []
        self.seen: Counter[str] = Counter()
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, Service] = {}
        self.slices: dict[str, EndpointSlice] = {}
        self.cidrs: dict[str, WireServiceCIDR] = {}
        self.config: WireConfigMap | None = None
        self.pods: dict[str, WirePod] = {}
        self.twice: dict[str, None] = {}

    def add(self, wire: WireObject) -> None:
        """Takes a decoded object."""
        kind = str(type(wire).__struct_config__.tag)
        if not self._is_read(kind, wire.api_version, wire.metadata):
            return
        self.seen[kind] += 1
        try:
            self._convert(wire)
        except ValueError as error:
            self.skipped.append(Skipped(title(kind, wire.metadata), str(error)))

    def add_broken(self, kind: str, document: Any, error: Exception) -> None:
        """Takes an object that could not be decoded.

        Args:
            kind: what it is by its own words or its list's.
            document: the object as plain dicts and lists, or whatever stands in its place.
            error: why it could not be decoded.
        """
        fields = document if isinstance(document, dict) else {}
        meta = loose_meta(fields.get("metadata"))
        version = fields.get("apiVersion")
        if kind in REPORTED and self._is_read(kind, version if isinstance(version, str) else None, meta):
            self.seen[kind] += 1
            self.skipped.append(Skipped(title(kind, meta), describe(error, document)))

    def take(self, other: "Collector") -> None:
        """Everything of another collector, as if it had come here."""
        self.skipped.extend(other.skipped)
        self.seen.update(other.seen)
        self.nodes.update(other.nodes)
        self.services.update(other.services)
        self.slices.update(other.slices)
        self.cidrs.update(other.cidrs)
        self.config = other.config or self.config
        self.pods.update(other.pods)
        self.twice.update(other.twice)

    def state(
        self,
        configured: Sequence[str],
        source: str,
        *,
        hint: str,
        warnings: Iterable[str] = (),
        drains: Mapping[str, str] | None = None,
    ) -> ClusterState:
        """Everything so far.

        Args:
            configured: service CIDRs of the settings, which win over discovered ones.
            source: where the objects come from, in words for people.
            hint: what to do when a kind is missing.
            warnings: further ones, which stand first.
            drains: node -> reason, of drain signals that stand on no Node object.
        """
        cidrs = service_cidrs.from_settings(configured)
        if not cidrs:
            cidrs, left_out = self.discovered()
            self.skipped.extend(left_out)
        return ClusterState(
            nodes=tuple(self.nodes.values()),
            services=tuple(self.services.values()),
            slices=tuple(self.slices.values()),
            service_cidrs=cidrs,
            skipped=tuple(self.skipped),
            source=source,
            warnings=(*warnings, *self._warnings(source, hint)),
            drains=drains or {},
        )

    def knows_service_cidrs(self) -> bool:
        """Whether the objects so far tell of any."""
        return bool(self.discovered()[0])

    def discovered(self) -> tuple[tuple[ServiceCIDR, ...], list[Skipped]]:
        """The service CIDRs that the objects so far tell of, and the objects that were left out."""
        return service_cidrs.discover(tuple(self.cidrs.values()), self.config, tuple(self.pods.values()))

    def _is_read(self, kind: str, version: str | None, meta: Meta | SliceMeta | None) -> bool:
        versions = API_VERSIONS[kind]
        if version is None or version in versions:
            return True
        if version.rpartition("/")[0] == versions[0].rpartition("/")[0]:
            self.seen[kind] += 1
            reason = f"apiVersion: {version!r} is none of {', '.join(versions)}"
            self.skipped.append(Skipped(title(kind, meta), reason))
        return False

    def _convert(self, wire: WireObject) -> None:
        match wire:
            case WireEndpointSlice(address_type="FQDN"):
                # Host names are nothing that kube-proxy reads; without a service nobody would miss them.
                if wire.owner:
                    self.skipped.append(Skipped(title("EndpointSlice", wire.metadata), "addressType FQDN"))
            case WireEndpointSlice():
                piece = read_slice(wire)
                self._put(self.slices, "EndpointSlice", f"{piece.namespace}/{piece.name}", piece)
            case WireService():
                service = read_service(wire)
                self._put(self.services, "Service", service.key, service)
            case WireNode():
                node = read_node(wire)
                self._put(self.nodes, "Node", node.name, node)
            case WireServiceCIDR():
                self.cidrs[f"{wire.api_version} {wire.metadata.name if wire.metadata else None}"] = wire
            case WireConfigMap():
                if service_cidrs.is_kubeadm_config(wire):
                    self.config = wire
            case WirePod():
                if service_cidrs.is_api_server(wire):
                    self.pods[title("Pod", wire.metadata)] = wire

    def _put(self, store: dict[str, T], kind: str, key: str, item: T) -> None:
        if key in store:
            self.twice[f"{kind} {key}"] = None
        store[key] = item

    def _warnings(self, source: str, hint: str) -> Iterable[str]:
        if not self.nodes:
            unread = "no Node object can be read" if "Node" in self.seen else "there are no Node objects"
            yield f"{source}: {unread}, so nothing can be a next hop; {hint}"
        if self.services and "EndpointSlice" not in self.seen:
            missing = "there are Service objects but no EndpointSlice objects, so no service has endpoints"
            yield f"{source}: {missing}; {hint}"
        if self.twice:
            names = ", ".join(list(self.twice)[:_SHOWN_DUPLICATES])
            more = f" and {len(self.twice) - _SHOWN_DUPLICATES} more" if len(self.twice) > _SHOWN_DUPLICATES else ""
            yield f"{source}: the last one counts of what is there more than once: {names}{more}"


def loose_meta(value: Any) -> Meta:
    """As much of broken metadata as names the object."""
    fields = value if isinstance(value, dict) else {}
    name, namespace = fields.get("name"), fields.get("namespace")
    return Meta(
        name=name if isinstance(name, str) else None,
        namespace=namespace if isinstance(namespace, str) else None,
    )


def title(kind: str, meta: Meta | SliceMeta | None) -> str:
    """The object's name for `Skipped`: "Kind namespace/name" or "Kind name"."""
    name = (meta.name if meta else None) or ""
    namespace = (meta.namespace if meta else None) or ("default" if kind in ("Service", "EndpointSlice") else "")
    if not name:
        return f"{kind} without a name" + (f" in {namespace}" if namespace and meta and meta.namespace else "")
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def plain(data: bytes | msgspec.Raw) -> Any:
    """JSON text as dicts and lists, for the words about a broken object; None where it is no JSON at all."""
    try:
        return msgspec.json.decode(bytes(data).decode("utf-8", errors="replace"))
    except msgspec.DecodeError:
        return None

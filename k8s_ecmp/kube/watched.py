"""What is watched: where each kind is found, how it comes over the wire, and what it means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec

from k8s_ecmp.kube.collect import loose_meta, plain, title
from k8s_ecmp.kube.convert import read_annotations, read_node, read_service, read_slice
from k8s_ecmp.kube.faults import describe
from k8s_ecmp.kube.stream import Event
from k8s_ecmp.kube.updates import WatchKind
from k8s_ecmp.kube.wire import (
    Meta,
    WireDaemonSet,
    WireEndpointSlice,
    WireNode,
    WireService,
    WireServiceCIDR,
)
from k8s_ecmp.model import EndpointSlice, Node, Service, Skipped

Item = TypeVar("Item")
NOTHING_KNOWN: Mapping[str, int] = MappingProxyType({})
_NAMESPACED = ("Service", "EndpointSlice", "DaemonSet")


class ListMeta(msgspec.Struct):
    """`metadata` of a list."""

    # Where the next page starts; absent or empty on the last.
    token: str | None = msgspec.field(default=None, name="continue")
    resource_version: str | None = msgspec.field(default=None, name="resourceVersion")


class Page(msgspec.Struct, Generic[Item]):
    """One page of a list."""

    metadata: ListMeta | None = None
    items: list[Item] | None = None


_RAW_PAGE = msgspec.json.Decoder(Page[msgspec.Raw])


class Seen(msgspec.Struct, Generic[Item], frozen=True, gc=False):
    """One object as it was read.

    `item` and `broken` are both None for an object that means nothing here, and for one that is the `same` as before,
    which is not read again; `version` is its resourceVersion, `digest` that of its kind.
    """

    key: str
    version: str | None
    item: Item | None = None
    broken: Skipped | None = None
    digest: int = 0
    same: bool = False


@dataclass(frozen=True)
class Watched(Generic[Item]):
    """One kind of objects.

    Args:
        kind: the name of the watch.
        tag: `kind` of the objects.
        paths: of the collection; a later one where the server knows no earlier one.
        wire: how an object is decoded.
        read: what it means; None: nothing here. Raises ValueError when it cannot be read.
        query: of every request.
        digest: of a decoded object, equal for those that mean the same, so that they are neither read nor delivered
            again; None: all are.
    """

    kind: WatchKind
    tag: str
    paths: tuple[str, ...]
    wire: type[Any]
    read: Callable[[Any], Item | None]
    query: Mapping[str, str] = field(default_factory=dict)
    digest: Callable[[Any], int] | None = None

    def event_decoder(self) -> msgspec.json.Decoder[Event[Any]]:
        """For the lines of a watch."""
        event: Any = Event
        return msgspec.json.Decoder(event[self.wire])

    def seen(self, wire: Any, known: Mapping[str, int] = NOTHING_KNOWN) -> Seen[Item]:
        """A decoded object; `known` are digests by key."""
        meta = wire.metadata
        version = meta.resource_version if meta else None
        key = self._key(meta)
        digest = 0
        if self.digest is not None:
            digest = self.digest(wire)
            if known.get(key) == digest:
                return Seen(key, version, same=True)
        try:
            item = self.read(wire)
        except ValueError as error:
            return Seen(key, version, broken=Skipped(title(self.tag, meta), str(error)))
        return Seen(key, version, item, digest=digest)

    def unseen(self, document: Any, error: Exception | str) -> Seen[Item]:
        """An object that could not be decoded, as plain dicts and lists."""
        fields = document if isinstance(document, dict) else {}
        metadata = fields.get("metadata")
        meta = loose_meta(metadata)
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        reason = error if isinstance(error, str) else describe(error, document)
        return Seen(
            self._key(meta),
            version if isinstance(version, str) else None,
            broken=Skipped(title(self.tag, meta), reason),
        )

    def page(self, body: bytes) -> tuple[list[Seen[Item]], ListMeta]:
        """The objects of one page of a list.

        Raises:
            msgspec.DecodeError: it is no list.
        """
        page, decoder = _RAW_PAGE.decode(body), msgspec.json.Decoder(self.wire)
        return [self._listed(raw, decoder) for raw in page.items or ()], page.metadata or ListMeta()

    def _listed(self, raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any]) -> Seen[Item]:
        try:
            wire = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self.unseen(plain(raw), error)
        return self.seen(wire)

    def _key(self, meta: Any) -> str:
        name = (meta.name if meta else None) or ""
        if self.tag not in _NAMESPACED or not name:
            return name
        return f"{meta.namespace or 'default'}/{name}"


def _read_slice(wire: WireEndpointSlice) -> EndpointSlice | None:
    if wire.address_type == "FQDN":
        # Host names are nothing that kube-proxy reads; without a service nobody would miss them.
        if wire.owner:
            raise ValueError("addressType FQDN")
        return None
    return read_slice(wire)


def _as_it_is(wire: Any) -> Any:
    return wire


def _digest(wire: WireNode | WireService) -> int:
    """A kubelet's heartbeat changes nothing of it."""
    meta = wire.metadata or Meta()
    labels = frozenset((meta.labels or {}).items())
    annotations = frozenset(read_annotations(meta.annotations).items())
    return hash((labels, annotations, meta.creation_timestamp, meta.deletion_timestamp, wire.spec, wire.status))


def _slice_digest(wire: WireEndpointSlice) -> int:
    return hash((wire.owner, wire.address_type, wire.endpoints))


NODES: Watched[Node] = Watched("Node", "Node", ("/api/v1/nodes",), WireNode, read_node, digest=_digest)
SERVICES: Watched[Service] = Watched(
    "Service", "Service", ("/api/v1/services",), WireService, read_service, digest=_digest
)
SLICES: Watched[EndpointSlice] = Watched(
    "EndpointSlice",
    "EndpointSlice",
    ("/apis/discovery.k8s.io/v1/endpointslices",),
    WireEndpointSlice,
    _read_slice,
    digest=_slice_digest,
)
SERVICE_CIDRS: Watched[WireServiceCIDR] = Watched(
    "ServiceCIDR",
    "ServiceCIDR",
    ("/apis/networking.k8s.io/v1/servicecidrs", "/apis/networking.k8s.io/v1beta1/servicecidrs"),
    WireServiceCIDR,
    _as_it_is,
)
KURED: Watched[WireDaemonSet] = Watched(
    "Drain",
    "DaemonSet",
    ("/apis/apps/v1/namespaces/kube-system/daemonsets",),
    WireDaemonSet,
    _as_it_is,
    query={"fieldSelector": "metadata.name=kured"},
)

"""Planned maintenance of a node: the request that stands on the Node, the answer that stands on the Lease.

`k8s-ecmp drain` marks the Node with a drain's id. The daemon that leads takes the node out of the routes, reads every
router's routing table, and then writes an acknowledgement with that id on its own Lease: so whoever waits needs neither
a way to the routers nor to trust that nobody is late.
"""

import contextlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from k8s_ecmp.core.eligibility import DRAIN_ANNOTATION
from k8s_ecmp.core.flags import parse_bool
from k8s_ecmp.errors import ClusterError, ClusterRefused
from k8s_ecmp.kube.lease_object import Lease, lease_path
from k8s_ecmp.kube.writes import NOT_FOUND, Writer
from k8s_ecmp.settings import LeaseSettings

DRAIN_ID_ANNOTATION = "k8s-ecmp.io/drain-id"
"""On the Node: which drain it is, different for each one."""
DRAINED_ANNOTATION = "k8s-ecmp.io/drained"
"""On the Lease: what the daemon has confirmed, as `encode_acks` writes it."""
DRAIN_PENDING_ANNOTATION = "k8s-ecmp.io/drain-pending"
"""On the Lease: what a drain still waits for, as `encode_pending` writes it. For people; decides nothing."""

# All annotations of an object together may have 256 KiB.
_LARGEST_BYTES = 100_000
# A DNS subdomain: with anything else the path would be another one.
_NAME = re.compile(r"[a-z0-9][-a-z0-9.]{0,252}")


class Ack(msgspec.Struct, frozen=True):
    """Every router's routing table has been read after this drain began: nothing of ours goes through the node.

    `id` is the drain's, "" where another signal than the annotation asked for it; `uid` the Node's, "" if unknown; `at`
    is RFC 3339. `kept` are the prefixes that still go there, because nobody else serves them or because they are the
    node's own; `more` counts those that did not fit.
    """

    id: str
    uid: str
    at: str
    kept: tuple[str, ...] = ()
    more: int = 0


_ACKS = msgspec.json.Decoder(dict[str, Ack])
_PENDING = msgspec.json.Decoder(dict[str, dict[str, list[str]]])


def encode_acks(acks: Mapping[str, Ack]) -> str | None:
    """The annotation's text for acknowledgements by node name; None, to take it away, where there are none.

    Where they are too long for an annotation, `kept` is shortened, the longest first; ids are never lost.
    """
    shown = dict(acks)
    while True:
        text = _encoded(shown)
        if len(text) <= _LARGEST_BYTES or not any(ack.kept for ack in shown.values()):
            return text if shown else None
        name = max(shown, key=lambda name: (len(shown[name].kept), name))
        ack = shown[name]
        half = len(ack.kept) // 2
        shown[name] = msgspec.structs.replace(ack, kept=ack.kept[:half], more=ack.more + len(ack.kept) - half)


def decode_acks(text: str | None) -> dict[str, Ack]:
    """The acknowledgements by node name; none where the text is not what `encode_acks` writes."""
    try:
        return _ACKS.decode(text) if text else {}
    except (msgspec.DecodeError, UnicodeError):
        return {}


def encode_pending(pending: Mapping[str, Mapping[str, Sequence[str]]]) -> str | None:
    """The annotation's text for node -> router -> what still stands there; None where nothing does.

    What stands there are prefixes, or one sentence ("does not answer: connection refused"). At most 20 for a router.
    """
    shown = {node: {router: list(what[:20]) for router, what in routers.items()} for node, routers in pending.items()}
    while shown and len(_encoded(shown)) > _LARGEST_BYTES:
        shown.popitem()
    return _encoded(shown) if shown else None


def decode_pending(text: str | None) -> dict[str, dict[str, list[str]]]:
    """The opposite of `encode_pending`; nothing where the text is something else."""
    try:
        return _PENDING.decode(text) if text else {}
    except (msgspec.DecodeError, UnicodeError):
        return {}


def _encoded(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def acknowledgement(acks: Mapping[str, Ack], node: "DrainedNode") -> Ack | None:
    """The one that counts: of this very drain, of this very Node. One of an earlier drain never does."""
    ack = acks.get(node.name)
    if ack is None or not node.drain_id or ack.id != node.drain_id or ack.uid not in ("", node.uid):
        return None
    return ack


# --- the Node -----------------------------------------------------------------------------------------------------


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""
    uid: str = ""
    annotations: dict[str, str] | None = None


class _NodeObject(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


class DrainedNode(msgspec.Struct, frozen=True):
    """What a Node says of its own drain. `drain_id` is "" where there is none."""

    name: str
    uid: str
    asked: bool
    drain_id: str
    marked: bool
    """Whether it carries any of the two annotations, whatever their values are."""


def read_node(writer: Writer, name: str) -> DrainedNode:
    """The node as it is now.

    Raises:
        ClusterError: there is no such node, or the API server does not answer or refuses.
    """
    with _known_node(name):
        return _node(writer.get(_path(name)))


def ask_to_drain(writer: Writer, node: DrainedNode, *, anew: bool = False) -> DrainedNode:
    """Sets both annotations in one patch, so that nobody sees one of them alone.

    A drain that was asked for already keeps its id, for others may be waiting for it.

    Args:
        writer: to the API server.
        node: as it was read.
        anew: give it a new id all the same, so that an acknowledgement that exists does not count.

    Raises:
        ClusterError: as `read_node`.
    """
    if node.asked and node.drain_id and not anew:
        return node
    return _patch(writer, node.name, "true", _new_id())


def take_back(writer: Writer, node: DrainedNode) -> DrainedNode:
    """Removes both annotations.

    Raises:
        ClusterError: as `read_node`.
    """
    return _patch(writer, node.name, None, None) if node.marked else node


def _patch(writer: Writer, name: str, drain: str | None, drain_id: str | None) -> DrainedNode:
    annotations = {DRAIN_ANNOTATION: drain, DRAIN_ID_ANNOTATION: drain_id}
    with _known_node(name):
        return _node(writer.merge(_path(name), {"metadata": {"annotations": annotations}}))


def _new_id() -> str:
    """Unique; its time is for people who look at the Node."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _path(name: str) -> str:
    return f"/api/v1/nodes/{name}"


def _node(body: bytes) -> DrainedNode:
    try:
        meta = msgspec.json.decode(body, type=_NodeObject).metadata
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ClusterError(f"the API server's answer is no Node: {error}") from error
    annotations = meta.annotations or {}
    return DrainedNode(
        name=meta.name,
        uid=meta.uid,
        asked=parse_bool(annotations.get(DRAIN_ANNOTATION, "")) is True,
        drain_id=annotations.get(DRAIN_ID_ANNOTATION, ""),
        marked=DRAIN_ANNOTATION in annotations or DRAIN_ID_ANNOTATION in annotations,
    )


@contextlib.contextmanager
def _known_node(name: str) -> Iterator[None]:
    """Words for whoever typed a name that no Node has, or that none can have."""
    unknown = ClusterRefused(
        f"the cluster has no node {name}", status=NOT_FOUND, remedy="`kubectl get nodes` lists their names"
    )
    if not _NAME.fullmatch(name):
        raise unknown
    try:
        yield
    except ClusterRefused as error:
        if error.status != NOT_FOUND:
            raise
        raise unknown from error


# --- the Lease ----------------------------------------------------------------------------------------------------


class LeaseWatch:
    """The daemon's Lease, looked at from outside: whether a daemon leads, and what it says of drains.

    It is held when it names a holder and changes within its duration. A Lease that was renewed lately by its own
    account counts at once; only one that looks old is watched for that long, as clocks may differ.
    """

    def __init__(self, writer: Writer, settings: LeaseSettings, owner: str) -> None:
        self._writer = writer
        self._default_s = settings.duration_s
        self._path = lease_path(settings, owner)
        self._lease: Lease | None = None
        self._changed_at = 0.0
        self._alive = False

    def look(self) -> None:
        """Reads the Lease once.

        Raises:
            ClusterError: the API server does not answer or refuses.
        """
        now = time.monotonic()
        try:
            lease = Lease.decode(self._writer.get(self._path))
        except ClusterRefused as error:
            if error.status != NOT_FOUND:
                raise
            self._lease, self._alive = None, False
            return
        before, self._lease = self._lease, lease
        if before is None:
            self._changed_at, self._alive = now, not self._looks_old(lease, lease.duration_s(self._default_s))
        elif before.spec != lease.spec:
            self._changed_at, self._alive = now, True
        elif now - self._changed_at > lease.duration_s(self._default_s):
            self._alive = False

    @property
    def holder(self) -> str | None:
        """The daemon that leads; None where none does, or none is known to yet (see `undecided`)."""
        return self._lease.holder if self._lease is not None and self._alive else None

    @property
    def undecided(self) -> bool:
        """Whether it is too early to say that nobody leads.

        It names a holder that may be dead, or was given back just now, and has not been watched for long enough.
        """
        if self._lease is None or self.holder is not None:
            return False
        if self._lease.holder is None and self._looks_old(self._lease, self._default_s):
            return False
        return time.monotonic() - self._changed_at <= max(self._default_s, self._lease.duration_s(self._default_s))

    def ack(self, node: DrainedNode) -> Ack | None:
        """The acknowledgement that counts for the node's present drain. It stays true when its writer dies."""
        return None if self._lease is None else acknowledgement(self._acks(), node)

    def pending(self, node: DrainedNode) -> dict[str, list[str]]:
        """Router -> what still stands there, as far as the daemon says so."""
        if self._lease is None:
            return {}
        return decode_pending(self._lease.annotations.get(DRAIN_PENDING_ANNOTATION)).get(node.name, {})

    def _acks(self) -> dict[str, Ack]:
        return decode_acks(self._lease.annotations.get(DRAINED_ANNOTATION)) if self._lease is not None else {}

    @staticmethod
    def _looks_old(lease: Lease, duration_s: float) -> bool:
        try:
            age_s = (datetime.now(UTC) - datetime.fromisoformat(lease.spec.renew_time or "")).total_seconds()
        except (ValueError, TypeError):
            return True
        return abs(age_s) > duration_s

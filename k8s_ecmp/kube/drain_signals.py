"""Drain signals that stand on no Node object: kured's lock.

kured (Kubernetes reboot daemon) locks its own DaemonSet before it drains a node and reboots it: the annotation
`kured.dev/kured-node-lock`, in former versions `weave.works/kured-node-lock`, holds one lock, or several where
`--concurrency` is over 1 (pkg/daemonsetlock). Its other annotation, `kured-reboot-in-progress`, is set on nodes that
still wait for the lock, so a whole fleet may carry it; it is not read.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

REASON = "draining: kured's lock"


class _Lock(msgspec.Struct):
    """One lock. `TTL` is a Go duration, in nanoseconds; 0 does not expire."""

    node: str = msgspec.field(default="", name="nodeID")
    created: datetime | None = None
    ttl_ns: int = msgspec.field(default=0, name="TTL")


class Locks(NamedTuple):
    """What the annotation says at a moment.

    `reasons`: node -> why it is being drained; `until`: when that changes by itself, None: never; `flaws`: what of it
    cannot be read.
    """

    reasons: Mapping[str, str]
    until: datetime | None = None
    flaws: tuple[str, ...] = ()


def read_locks(text: str | None, now: datetime) -> Locks:
    """Which nodes kured holds a lock for.

    Args:
        text: the annotation's value; None where there is none.
        now: with a time zone.
    """
    if not text:
        return Locks({})
    try:
        document: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return Locks({}, flaws=("it is no JSON",))
    if not isinstance(document, dict):
        return Locks({}, flaws=("it is no mapping",))
    flaws: list[str] = []
    reasons: dict[str, str] = {}
    ends: list[datetime] = []
    for lock in _locks(document, flaws):
        end = _end(lock)
        if not lock.node or (end is not None and end <= now):
            continue
        reasons[lock.node] = REASON
        if end is not None:
            ends.append(end)
    return Locks(reasons, min(ends, default=None), tuple(flaws))


def _locks(document: dict[str, Any], flaws: list[str]) -> Iterator[_Lock]:
    """Those that can be read: each for itself."""
    several = document.get("locks", [document] if "nodeID" in document else [])
    if not isinstance(several, list):
        flaws.append("locks: not a list")
        return
    for position, entry in enumerate(several):
        try:
            yield msgspec.convert(entry, _Lock)
        except msgspec.ValidationError as error:
            flaws.append(f"lock {position}: {error}")


def _end(lock: _Lock) -> datetime | None:
    """When a lock expires; None: never."""
    if lock.ttl_ns <= 0 or lock.created is None:
        return None
    created = lock.created if lock.created.tzinfo else lock.created.replace(tzinfo=UTC)
    try:
        return created + timedelta(microseconds=lock.ttl_ns / 1000)
    except OverflowError:
        return None

"""The shape of a plan as a document (JSON, version 1), one struct for each object.

What JSON shows as the model has it (`Undo`) is the model's; of the rest most fields have the model's name, and `twin`
goes from one to the other.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from k8s_ecmp.model import Action, Hashing, HopRecord, Mode, Policy, Prefix, RouterPlan, RouterStatus, Undo

VERSION = 1
_T = TypeVar("_T", bound=msgspec.Struct)


def twin(kind: type[_T], source: object, **other: Any) -> _T:
    """The `kind` whose fields are those of the same names in `source`, prefixes as text, but for the `other` ones."""
    fields = {name: getattr(source, name) for name in kind.__struct_fields__ if name not in other}
    return kind(**{name: str(value) if type(value) is Prefix else value for name, value in fields.items()}, **other)


class ChangeDocument(msgspec.Struct, frozen=True, gc=False):
    """A `RouteChange`; hops by their labels. `distance` is the one that is written on every hop, None: none.

    `hops` are those after the change with everything on them: of a plan that takes back a change, which restores what
    was written and not what the inventory asks for.
    """

    action: Action
    vrf: str
    prefix: str
    add: tuple[str, ...]
    remove: tuple[str, ...]
    next_hops: tuple[str, ...]
    distance: int | None
    reasons: tuple[str, ...] = ()
    hops: tuple[HopRecord, ...] | msgspec.UnsetType = msgspec.UNSET


class ConflictDocument(msgspec.Struct, frozen=True):
    """A `Conflict`."""

    vrf: str
    prefix: str
    reason: str


class ContestedDocument(msgspec.Struct, frozen=True):
    """A `Contested`: names of routers."""

    prefix: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    none: tuple[str, ...]
    unknown: tuple[str, ...]


class RolloutDocument(msgspec.Struct, frozen=True):
    """A `Rollout`. `waves` follow from it and the routers; they are written for readers."""

    canary: Annotated[int, msgspec.Meta(ge=0)]
    parallel: Annotated[int, msgspec.Meta(ge=1)]
    pause_s: Annotated[float, msgspec.Meta(ge=0)]
    on_failure: Literal["stop", "rollback-wave"]
    confirm_within_s: Annotated[int, msgspec.Meta(ge=0)]
    waves: tuple[tuple[str, ...], ...]


class GuardDocument(msgspec.Struct, frozen=True):
    """A `GuardTrip`; `router` None: it holds everything."""

    guard: str
    router: str | None
    prefix: str | None
    detail: str


class SkippedDocument(msgspec.Struct, frozen=True):
    """A `Skipped`."""

    object: str
    reason: str


class FlowShiftDocument(msgspec.Struct, frozen=True, gc=False):
    """A `FlowShift`."""

    vrf: str
    prefix: str
    lose: int
    gain: int
    moved_min: float
    moved_max: float
    unavoidable: float
    resilient: bool
    covering: str | None = None


class FlowsDocument(msgspec.Struct, frozen=True):
    """A `Flows`."""

    hashing: Hashing | None
    configurable: bool
    prefixes: tuple[FlowShiftDocument, ...]


class RouterDocument(msgspec.Struct, frozen=True):
    """A `RouterPlan`; its guards stand in the plan's list. Files of older programs lack what has a default."""

    name: str
    platform: str
    status: RouterStatus
    fingerprint: str | None
    changes: tuple[ChangeDocument, ...]
    conflicts: tuple[ConflictDocument, ...]
    commands: tuple[str, ...]
    diff: str
    diff_source: Literal["predicted", "device"]
    error: str | None
    flows: FlowsDocument | None = None
    failure_domain: str | None = None
    undo: Undo | None = None
    withheld: Annotated[int, msgspec.Meta(ge=0)] = 0


class ClusterDocument(msgspec.Struct, frozen=True):
    """Where the desired routes come from, and their digest."""

    source: str
    digest: str


class Summary(msgspec.Struct, frozen=True):
    """Counts of what the routers' lists hold; `failed` counts routers."""

    create: int
    update: int
    delete: int
    conflict: int
    failed: int

    @classmethod
    def of(cls, routers: Iterable[RouterPlan]) -> "Summary":
        """Counts."""
        routers = list(routers)
        actions = [change.action for router in routers for change in router.changes]
        return cls(
            create=actions.count("create"),
            update=actions.count("update"),
            delete=actions.count("delete"),
            conflict=sum(len(router.conflicts) for router in routers),
            failed=sum(router.status == "failed" for router in routers),
        )


class PlanBody(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but the `id`: what the `id` is the hash of. Times are RFC 3339 in UTC, to the second.

    `freeze_windows` is left out where the plan was made in none.
    """

    version: int
    created: str
    expires: str
    digest: str
    owner: str
    tag: int
    cluster: ClusterDocument
    routers: tuple[RouterDocument, ...]
    guards: tuple[GuardDocument, ...]
    skipped: tuple[SkippedDocument, ...]
    summary: Summary
    overrides: tuple[str, ...] = ()
    contested: tuple[ContestedDocument, ...] = ()
    rollout: RolloutDocument | None = None
    mode: Mode | None = None
    policy: Policy | None = None
    adopts: tuple[str, ...] = ()
    freeze_windows: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class PlanDocument(PlanBody, frozen=True, kw_only=True):
    """The whole document. `id` is the "sha256:..." of the body's canonical JSON."""

    id: str


def write_time(time: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> datetime:
    """The time of an RFC 3339 text.

    Raises:
        ValueError: it is none, or has no time zone.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return time

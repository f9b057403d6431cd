"""Plans and desired routes as JSON, version 1; a plan file holds the same document as `plan --format json`.

Canonical JSON is UTF-8 with sorted keys and no blanks. `id` is the SHA-256 of the document without `id`. `digest`
covers what would be done alone: for every router that has changes its name and its changes without their reasons, so
that two plans made at different times compare equal when they do the same; reasons speak of ages and causes.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from k8s_ecmp.core.waves import order
from k8s_ecmp.errors import EcmpError, PlanRefused
from k8s_ecmp.model import (
    DISCARD,
    Conflict,
    Contested,
    DesiredRoute,
    Flows,
    FlowShift,
    GuardTrip,
    HopRecord,
    NextHop,
    Plan,
    Prefix,
    Rollout,
    RouteChange,
    RouterPlan,
    Skipped,
    address_family,
    canonical_address,
    sorted_labels,
)
from k8s_ecmp.views.schema import (
    VERSION,
    ChangeDocument,
    ClusterDocument,
    ConflictDocument,
    ContestedDocument,
    FlowsDocument,
    FlowShiftDocument,
    GuardDocument,
    PlanBody,
    PlanDocument,
    RolloutDocument,
    RouterDocument,
    SkippedDocument,
    Summary,
    read_time,
    twin,
    write_time,
)

# --- encoding ----------------------------------------------------------------------------------------------------

_CANONICAL = msgspec.json.Encoder(order="sorted")


def canonical_json(document: Any) -> bytes:
    """UTF-8, sorted keys, no blanks."""
    return _CANONICAL.encode(document)


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as a dict of lists, dicts and scalars."""
    document: dict[str, Any] = msgspec.json.decode(encode_plan(plan))
    return document


def encode_plan(plan: Plan) -> bytes:
    """The plan as canonical JSON."""
    return canonical_json(_identified(plan))


def plan_id(plan: Plan) -> str:
    """The id that a plan file of the plan has."""
    return _identified(plan).id


def _identified(plan: Plan) -> PlanDocument:
    whole = plan.undoes is not None
    routers = tuple(_router_document(router, whole=whole) for router in plan.routers)
    body = PlanBody(
        version=VERSION,
        created=write_time(plan.created),
        expires=write_time(plan.expires),
        digest=_digest(routers),
        owner=plan.owner,
        tag=plan.tag,
        cluster=ClusterDocument(plan.cluster_source, plan.cluster_digest),
        routers=routers,
        guards=tuple(twin(GuardDocument, trip) for trip in plan.guards),
        skipped=tuple(twin(SkippedDocument, skip) for skip in plan.skipped),
        summary=Summary.of(plan.routers),
        overrides=plan.overrides,
        contested=tuple(twin(ContestedDocument, place) for place in plan.contested),
        rollout=None if plan.rollout is None else _rollout_document(plan.rollout, plan.routers),
        mode=plan.mode,
        policy=plan.policy,
        adopts=tuple(map(str, plan.adopts)),
        freeze_windows=plan.freeze_windows or msgspec.UNSET,
    )
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    return PlanDocument(id=_sha256(canonical_json(body)), **fields)


def write_plan(path: str | Path, plan: Plan) -> None:
    """Writes a plan file in one step, readable by its owner alone (mode 0600): diffs show parts of configurations.

    Raises:
        EcmpError: the file cannot be written; an older one is left as it was, and so is what is no file, such as a
            device.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        if target.exists() and not target.is_file():
            raise EcmpError(f"the plan file {target} cannot be written: it is no regular file, and is left as it is")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode_plan(plan) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()
        raise EcmpError(f"the plan file {target} cannot be written: {error.strerror}") from error


def desired_document(routes: Sequence[DesiredRoute], skipped: Sequence[Skipped]) -> dict[str, Any]:
    """`desired --format json`."""
    return {
        "version": VERSION,
        "routes": [
            {
                "prefix": str(route.prefix),
                "kind": route.kind,
                "nodes": list(route.nodes),
                "next_hops": list(route.next_hops),
                "sources": list(route.sources),
            }
            for route in routes
        ],
        "skipped": [{"object": skip.object, "reason": skip.reason} for skip in skipped],
    }


def _router_document(router: RouterPlan, *, whole: bool) -> RouterDocument:
    return twin(
        RouterDocument,
        router,
        changes=tuple(_change_document(change, whole=whole) for change in router.changes),
        conflicts=tuple(twin(ConflictDocument, conflict) for conflict in router.conflicts),
        flows=None if router.flows is None else _flows_document(router.flows),
    )


def _rollout_document(rollout: Rollout, routers: Sequence[RouterPlan]) -> RolloutDocument:
    return twin(RolloutDocument, rollout, waves=tuple(map(tuple, order(routers, rollout))))


def _flows_document(flows: Flows) -> FlowsDocument:
    return twin(FlowsDocument, flows, prefixes=tuple(twin(FlowShiftDocument, shift) for shift in flows.shifts))


def _change_document(change: RouteChange, *, whole: bool) -> ChangeDocument:
    # Labels once for each hop: a plan may hold some hundred thousand.
    before = {hop.label for hop in change.before}
    labels = [hop.label for hop in change.after]
    standing = set(change.before)
    written = [hop for hop in change.after if hop not in standing]
    # The digest covers them, so the order of the router's lines must not show. What is written keeps that of its lines.
    after = tuple(dict.fromkeys(labels)) if written else sorted_labels(labels)
    return ChangeDocument(
        action=change.action,
        vrf=change.vrf,
        prefix=str(change.prefix),
        add=tuple([label for label in after if label not in before]),
        remove=sorted_labels(before.difference(after)),
        next_hops=after,
        distance=_written_distance(written or change.after),
        reasons=change.reasons,
        hops=_hop_records(change.after, () if written else after) if whole and after else msgspec.UNSET,
    )


def _hop_records(hops: Sequence[NextHop], order: Sequence[str]) -> tuple[HopRecord, ...]:
    """The hops, where there is an order of labels in that one."""
    ordered = sorted(hops, key=lambda hop: order.index(hop.label)) if order else hops
    return tuple(map(HopRecord.of, ordered))


def _written_distance(hops: Sequence[NextHop]) -> int | None:
    """The distance of the hops that are written; one that stands as it shall may have it without its being written."""
    distances = {hop.distance for hop in hops}
    return min(distances, key=lambda distance: distance or 0) if distances else None


def _digest(routers: Iterable[RouterDocument]) -> str:
    done = [
        {
            "name": router.name,
            "changes": [
                {key: value for key, value in msgspec.to_builtins(change).items() if key != "reasons"}
                for change in router.changes
            ],
        }
        for router in sorted(routers, key=lambda router: router.name)
        if router.changes
    ]
    return _sha256(canonical_json(done))


def _sha256(text: bytes) -> str:
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


# --- decoding ----------------------------------------------------------------------------------------------------


def decode_plan(content: bytes, where: str = "the plan file") -> Plan:
    """The plan of a plan file, verified; whether it is still fresh is for the caller to ask.

    Raises:
        PlanRefused: as `decode_document`.
    """
    return plan_of(decode_document(content, where))


def decode_document(content: bytes, where: str = "the plan file") -> PlanDocument:
    """The document of a plan file. Blanks between its tokens do not matter, every value does.

    Args:
        content: what the file holds.
        where: its name, for messages.

    Raises:
        PlanRefused: not a plan, of an unknown version, or not what was written (its hash is wrong).
    """
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PlanRefused(f"{where} is not a plan: {error}") from error
    if not isinstance(found, dict) or not {"version", "id", "routers"} <= found.keys():
        raise PlanRefused(f"{where} is not a plan", remedy="`k8s-ecmp plan --out FILE.plan` writes one")
    if type(found["version"]) is not int or found["version"] != VERSION:
        raise PlanRefused(f"{where} has version {found['version']!r}, this program reads {VERSION}")
    told = found.pop("id")
    if told != _sha256(canonical_json(found)):
        raise PlanRefused(
            f"{where} is not what was written: its hash is wrong, it was edited or damaged", remedy="make a new plan"
        )
    try:
        document = msgspec.convert({**found, "id": told}, PlanDocument)
        _check(document)
    except (msgspec.ValidationError, ValueError) as error:
        raise PlanRefused(f"{where} is not a plan: {error}") from error
    return document


def plan_of(document: PlanDocument) -> Plan:
    """The plan as it was encoded, but that hops are known by their label and distance alone, where it has no more."""
    guards = [twin(GuardTrip, trip, prefix=_prefix(trip.prefix)) for trip in document.guards]
    return Plan(
        created=read_time(document.created),
        expires=read_time(document.expires),
        owner=document.owner,
        tag=document.tag,
        cluster_source=document.cluster.source,
        cluster_digest=document.cluster.digest,
        routers=tuple(
            _router_plan(router, tuple(trip for trip in guards if trip.router == router.name))
            for router in document.routers
        ),
        holds=tuple(trip for trip in guards if trip.router is None),
        skipped=tuple(Skipped(skip.object, skip.reason) for skip in document.skipped),
        overrides=document.overrides,
        contested=tuple(twin(Contested, place, prefix=Prefix.parse(place.prefix)) for place in document.contested),
        rollout=None if document.rollout is None else twin(Rollout, document.rollout),
        mode=document.mode,
        policy=document.policy,
        adopts=tuple(map(Prefix.parse, document.adopts)),
        freeze_windows=document.freeze_windows or (),
    )


def _check(document: PlanDocument) -> None:
    """What types do not say. A hash is no signature: whoever can edit the file can make a new one."""
    names = [router.name for router in document.routers]
    if len(set(names)) < len(names):
        raise ValueError("a router stands in it twice")
    if document.digest != _digest(document.routers):
        raise ValueError("its digest is not that of its changes")
    read_time(document.created)
    read_time(document.expires)
    for trip in document.guards:
        if trip.prefix is not None:
            Prefix.parse(trip.prefix)
    rollout = document.rollout
    if rollout is not None and [list(wave) for wave in rollout.waves] != order(document.routers, rollout):
        raise ValueError("its waves are not those of its routers")
    for adopted in document.adopts:
        Prefix.parse(adopted)
    for place in document.contested:
        Prefix.parse(place.prefix)
    for router in document.routers:
        for conflict in router.conflicts:
            Prefix.parse(conflict.prefix)
        for shift in router.flows.prefixes if router.flows is not None else ():
            Prefix.parse(shift.prefix)
            _prefix(shift.covering)
        for change in router.changes:
            _check_hops(change, document.tag)
            _check_change(change)


def _check_change(change: ChangeDocument) -> None:
    prefix = Prefix.parse(change.prefix)
    hops = set(change.next_hops)
    told = {} if change.hops is msgspec.UNSET else {hop.label: hop.address or DISCARD for hop in change.hops}
    if (
        len(hops) < len(change.next_hops)
        or not hops.issuperset(change.add)
        or not hops.isdisjoint(change.remove)
        or (change.action == "delete") is bool(hops)
    ):
        raise ValueError(f"{change.action} of {change.prefix} contradicts itself")
    for label in change.add:
        hop = told.get(label, label)
        if hop != DISCARD and (hop != canonical_address(hop) or address_family(hop) != prefix.family):
            raise ValueError(f"{hop!r} is no next hop for {change.prefix}")
    if not all(label.isascii() and label.isprintable() for label in (change.vrf, *hops, *change.remove)):
        raise ValueError(f"{change.prefix} has a next hop or VRF that is no text")


def _check_hops(change: ChangeDocument, tag: int) -> None:
    """What is written as it stands there is ours, and one line."""
    if change.hops is msgspec.UNSET:
        return
    if {hop.label for hop in change.hops} != {*change.next_hops} or any(hop.tag != tag for hop in change.hops):
        raise ValueError(f"the hops of {change.prefix} are not its next hops")
    words = [
        word for hop in change.hops for word in (hop.interface, hop.vrf, hop.name, *hop.options) if word is not None
    ]
    if not all(word.isascii() and word.isprintable() for word in words):
        raise ValueError(f"{change.prefix} has a hop that is no text")


def _router_plan(router: RouterDocument, guards: tuple[GuardTrip, ...]) -> RouterPlan:
    return twin(
        RouterPlan,
        router,
        changes=tuple(_change(change) for change in router.changes),
        conflicts=tuple(twin(Conflict, one, prefix=Prefix.parse(one.prefix)) for one in router.conflicts),
        guards=guards,
        skipped=(),
        flows=None if router.flows is None else _flows(router.flows),
        standing=None,
    )


def _flows(flows: FlowsDocument) -> Flows:
    shifts = [
        twin(FlowShift, shift, prefix=Prefix.parse(shift.prefix), covering=_prefix(shift.covering))
        for shift in flows.prefixes
    ]
    return twin(Flows, flows, shifts=tuple(shifts))


def _prefix(text: str | None) -> Prefix | None:
    return None if text is None else Prefix.parse(text)


def _change(change: ChangeDocument) -> RouteChange:
    added = set(change.add)
    stood = [label for label in change.next_hops if label not in added]
    whole = None if change.hops is msgspec.UNSET else tuple(hop.hop() for hop in change.hops)
    return RouteChange(
        action=change.action,
        vrf=change.vrf,
        prefix=Prefix.parse(change.prefix),
        before=tuple(_hop(label, None) for label in (*stood, *change.remove)),
        after=tuple(_hop(label, change.distance) for label in change.next_hops) if whole is None else whole,
        reasons=change.reasons,
    )


def _hop(label: str, distance: int | None) -> NextHop:
    if label == DISCARD:
        return NextHop(discard=True, distance=distance)
    # A label of several words names an interface or a VRF too; as a whole it is the label again.
    return NextHop(interface=label, distance=distance) if " " in label else NextHop(address=label, distance=distance)

"""What shall happen on routers, why something shall not, and what became of it."""

from datetime import datetime
from typing import Literal

import msgspec

from k8s_ecmp.model.cluster import Skipped
from k8s_ecmp.model.prefixes import Prefix
from k8s_ecmp.model.routes import RouteChange


class Conflict(msgspec.Struct, frozen=True):
    """A desired prefix at which a route stands that is not ours; it is left alone."""

    vrf: str
    prefix: Prefix
    reason: str


class Contested(msgspec.Struct, frozen=True):
    """What each router has at a prefix at which at least one has a conflict: names of routers.

    `ours`: our route; `theirs`: a route that is not ours; `none`: no static route; `unknown`: it could not be read.
    """

    prefix: Prefix
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class GuardTrip(msgspec.Struct, frozen=True):
    """A guard that stopped something. `router` None: everything; `prefix` set: that prefix alone."""

    guard: str
    router: str | None
    prefix: Prefix | None
    detail: str


Mode = Literal["observe", "propose", "withdraw-only", "full"]
Policy = Literal["sync", "upsert-only", "create-only"]

RouterStatus = Literal["in-sync", "changes", "conflict", "blocked", "failed"]


Hashing = Literal["modulo", "hash-threshold", "resilient"]
"""How a router chooses a flow's next hop; see `core.flows`."""


class FlowShift(msgspec.Struct, frozen=True, gc=False):
    """What a change of next hops does to the flows of one prefix.

    `lose` and `gain` count next hops. The share of the prefix's flows whose next hop is another one afterwards is from
    `moved_min` to `moved_max` (0 to 1); `unavoidable` is what it would be with resilient hashing. `resilient` says
    whether that is configured. `covering`: the prefix is created or deleted, and these are flows that go by the route
    of ours around it before or afterwards.
    """

    vrf: str
    prefix: Prefix
    lose: int
    gain: int
    moved_min: float
    moved_max: float
    unavoidable: float
    resilient: bool
    covering: Prefix | None = None


class Flows(msgspec.Struct, frozen=True):
    """What a plan does to the flows of one router.

    `hashing` is how it chooses next hops unless its configuration says otherwise, None where neither is known;
    `configurable` whether its platform has resilient hashing for static routes. `shifts` are the prefixes whose
    flows have next hops before and after, but others.
    """

    hashing: Hashing | None
    configurable: bool
    shifts: tuple[FlowShift, ...]


class Undo(msgspec.Struct, frozen=True):
    """How a commit on a router is taken back where what follows it fails.

    `timer_s`: the router takes it back by itself after so many seconds unless it is confirmed; 0: it has no such timer.
    `by`: who takes back what fails while k8s-ecmp still runs: "router", or "inverse": the inverse of the change is
    written. `restores`: the routes of the change alone, with what others changed meanwhile left as it is, or the
    router's whole configuration of before; None: a plan file of an older program does not say it.
    """

    timer_s: int
    by: Literal["router", "inverse"]
    restores: Literal["routes", "configuration"] | None = None


class Standing(msgspec.Struct, frozen=True):
    """The prefixes of a router's VRF that have static routes, `here`, and ours among them."""

    here: frozenset[Prefix]
    ours: frozenset[Prefix]


class RouterPlan(msgspec.Struct, frozen=True):
    """What shall happen on one router.

    `withheld` counts the changes that mode or policy keep back, in whole or in part; `skipped` names the first ones.
    `standing` is for comparing routers while a plan is made (`core.contested`); the finished plan does not have it.
    """

    name: str
    platform: str
    status: RouterStatus
    fingerprint: str | None = None
    changes: tuple[RouteChange, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    guards: tuple[GuardTrip, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    commands: tuple[str, ...] = ()
    diff: str = ""
    diff_source: Literal["predicted", "device"] = "predicted"
    error: str | None = None
    flows: Flows | None = None
    failure_domain: str | None = None
    undo: Undo | None = None
    standing: Standing | None = None
    withheld: int = 0


class Rollout(msgspec.Struct, frozen=True):
    """How a plan goes over the routers, as the settings' `rollout` has it; `core.waves.order` makes the waves of it."""

    canary: int
    parallel: int
    pause_s: float
    on_failure: Literal["stop", "rollback-wave"]
    confirm_within_s: int


JOURNAL_ENTRY = "journal entry "
"""What a plan that takes back a change was made from, before the number."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What shall happen on all routers, and why something shall not.

    `cluster_digest` is the "sha256:..." of the desired routes' canonical JSON; `holds` are the guards that stop every
    router; `overrides` names those that somebody switched off. Routers are in the inventory's order. `contested` has
    each prefix of a conflict once. `rollout` None: by the settings of whoever applies it. `mode` and `policy` are those
    by which it was made, None where a file of an older program does not say them; those of the time of apply decide.
    `adopts`: it is about these prefixes alone, and takes over what others have there. `freeze_windows`: those in force
    when it was made, each with when it began; what they hold is not in it.
    """

    created: datetime
    expires: datetime
    owner: str
    tag: int
    cluster_source: str
    cluster_digest: str
    routers: tuple[RouterPlan, ...]
    holds: tuple[GuardTrip, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    overrides: tuple[str, ...] = ()
    contested: tuple[Contested, ...] = ()
    rollout: Rollout | None = None
    mode: Mode | None = None
    policy: Policy | None = None
    adopts: tuple[Prefix, ...] = ()
    freeze_windows: tuple[str, ...] = ()

    @property
    def undoes(self) -> int | None:
        """The entry of the journal that it takes back; None: it was made from a cluster."""
        number = self.cluster_source.removeprefix(JOURNAL_ENTRY)
        return int(number) if number != self.cluster_source and number.isdecimal() else None

    @property
    def guards(self) -> tuple[GuardTrip, ...]:
        """All guards that tripped, those for everything first."""
        return self.holds + tuple(trip for router in self.routers for trip in router.guards)


Outcome = Literal["committed", "unchanged", "blocked", "refused", "rolled-back", "failed", "not-attempted"]


class CommitResult(msgspec.Struct, frozen=True):
    """What became of one router's plan.

    `outcome`: "committed" (verified and confirmed), "unchanged", "blocked" (by a guard), "refused" (the router is no
    longer what was reviewed), "rolled-back", "failed" (`error` says what is left), "not-attempted". `recorded`: false
    where the journal could not take it; `warnings` say why.

    `remedy`: what to do about the error, which `error` says too. `undone`: who took the commit back, as in `Undo.by`;
    None where nothing was. `step`: how far the change came ("connect", "read", "stage", "commit", "connect again",
    "verify", "confirm"), None where nothing was begun.
    """

    router: str
    outcome: Outcome
    changes: int = 0
    elapsed_s: float = 0.0
    error: str | None = None
    warnings: tuple[str, ...] = ()
    recorded: bool = True
    remedy: str | None = None
    undone: Literal["router", "inverse"] | None = None
    step: str | None = None

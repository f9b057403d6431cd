"""The plan that `history undo` makes: of one change, or of all that a run has changed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k8s_ecmp.journal import Entry
    from k8s_ecmp.model import Plan
    from k8s_ecmp.settings import Settings


def way_back(
    settings: "Settings", base: Path, entry: "Entry", begun: "Sequence[Entry]", overrides: Sequence[str]
) -> "Plan":
    """Asks the routers, and plans what takes changes back.

    Args:
        settings: owner, guards, mode and policy.
        base: the folder that relative paths are relative to.
        entry: what the plan is to take back: a change, or what a run began with.
        begun: the changes that these are, one of a router.
        overrides: names of guards that are switched off.
    """
    from msgspec.structs import replace

    from k8s_ecmp import runs
    from k8s_ecmp.cli.common import routers_of
    from k8s_ecmp.core.freeze import freeze_of
    from k8s_ecmp.core.guards import run_holds
    from k8s_ecmp.core.rules import Rules
    from k8s_ecmp.core.undo import done_of
    from k8s_ecmp.core.waves import rollout_of
    from k8s_ecmp.model import GuardTrip, Plan, RouterPlan, Skipped
    from k8s_ecmp.model.plan import JOURNAL_ENTRY
    from k8s_ecmp.routers.connection import error_text
    from k8s_ecmp.routers.inventory import select
    from k8s_ecmp.routers.tasks import outcomes, run
    from k8s_ecmp.routers.undoing import WayBack, undo_routes

    runs.check_overrides(overrides)
    now = datetime.now(UTC)
    freeze = freeze_of(settings.guards, now, runs.freeze_file_text(settings))
    frozen = freeze is not None and "frozen" not in overrides
    holds = (GuardTrip("frozen", None, None, freeze.detail),) if freeze is not None and frozen else ()
    rules = Rules(
        settings.tag,
        settings.owner,
        settings.guards,
        settings.mode,
        settings.policy,
        freeze,
        holds,
        frozenset(overrides),
    )
    ways = {
        one.router or "": WayBack(
            done_of(one.body["changes"]), f"takes back entry {one.id} of {one.at[:19]}Z by {one.who}"
        )
        for one in begun
    }
    everyone = routers_of(settings, base, None, None)
    known = [name for name in ways if name in everyone.inventory.hosts]
    gone = [] if not known else [name for name in ways if name not in known]
    results = run(select(everyone, known or list(ways), []), undo_routes, settings=settings, rules=rules, ways=ways)
    routers = outcomes(results, RouterPlan, lambda name, error: RouterPlan(name, "", "failed", error=error_text(error)))
    if many := run_holds({router.name: router.changes for router in routers}, settings.guards, overrides):
        routers = [replace(router, status="blocked") if router.changes else router for router in routers]
    left = [Skipped(f"router {name}", "the inventory does not have it; its change is left alone") for name in gone]
    return Plan(
        created=now,
        expires=now + timedelta(seconds=settings.plan.expires_s),
        owner=settings.owner,
        tag=settings.tag,
        cluster_source=f"{JOURNAL_ENTRY}{entry.id}",
        cluster_digest=f"sha256:{entry.hash}",
        rollout=rollout_of(settings.rollout),
        routers=tuple(routers),
        holds=(*(holds if any(router.changes for router in routers) else ()), *many),
        skipped=(*(skip for router in routers for skip in router.skipped), *left),
        overrides=tuple(sorted(overrides)),
        mode=settings.mode,
        policy=settings.policy,
    )

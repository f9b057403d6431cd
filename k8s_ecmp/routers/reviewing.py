"""Nornir task: how a router stands against a reviewed plan, before anything is written."""

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec
from nornir.core.task import Result, Task

from k8s_ecmp.core.ownership import fingerprint
from k8s_ecmp.core.reviewed import reviewed_changes
from k8s_ecmp.core.staleness import stale_text, stands_as_left
from k8s_ecmp.model import RouterPlan
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import router_view
from k8s_ecmp.routers.session import Progress, open_session, port_of, tell
from k8s_ecmp.routers.tables import floating, in_use
from k8s_ecmp.settings import Settings


class Standing(msgspec.Struct, frozen=True):
    """How a router stands.

    `state`: "as-reviewed"; "as-left" (the plan was begun on it and is in force); "stale" (`detail` says which routes
    are another's); "unread" (`detail` says why; nothing is known of it).
    """

    router: str
    state: Literal["as-reviewed", "as-left", "stale", "unread"]
    detail: str = ""


def compare_with_review(
    task: Task,
    *,
    settings: Settings,
    plans: Sequence[RouterPlan],
    begun: Collection[str] = (),
    progress: Progress | None = None,
) -> Result:
    """How the router stands against its plan: `result` is a `Standing`.

    Takes back first what a run that died left unconfirmed. The connection stays open for the change that follows;
    `session.close_kept` ends it where none does.

    Args:
        task: Nornir's.
        settings: owner, tag.
        plans: the plans of all routers, this one's with changes.
        begun: routers on which the plan was begun, and not taken back; what it left is looked for on these alone.
        progress: called with router and step.
    """
    name = task.host.name
    try:
        plan = next(plan for plan in plans if plan.name == name)
        return Result(host=task.host, result=_standing(task, settings, plan, name in begun, progress))
    except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
        return Result(host=task.host, result=Standing(name, "unread", error_text(error)), failed=True, exception=error)
    finally:
        tell(progress, task, "done")


def _standing(task: Task, settings: Settings, plan: RouterPlan, begun: bool, progress: Progress | None) -> Standing:
    port = port_of(task)
    marks = port.traits.marks(settings, router_view(task.host))
    vrf = plan.changes[0].vrf
    tell(progress, task, "connect")
    with open_session(task, port, None, recover=True, keep=True) as session:
        tell(progress, task, "read")
        running = session.read()
        default = port.traits.default_distance
        whole = reviewed_changes(plan.changes, running, marks, default)
        if begun and stands_as_left(whole, running, marks, default):
            tell(progress, task, "verify")
            expected = {
                change.prefix: in_use(change.after, default)
                for change in whole
                if change.after or running.get(vrf, change.prefix) is None
            }
            standby = floating(((change.prefix, change.after) for change in whole), default)
            problems, _ = session.verify(vrf, expected, settings.rollout.verify_timeout_s, standby=standby)
            if problems:
                return Standing(plan.name, "stale", f"the plan is configured on {plan.name}, but {'; '.join(problems)}")
            return Standing(plan.name, "as-left")
    if fingerprint(running, marks, vrf, [change.prefix for change in plan.changes]) == plan.fingerprint:
        return Standing(plan.name, "as-reviewed")
    return Standing(plan.name, "stale", stale_text(plan.name, plan.changes, running))

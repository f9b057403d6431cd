"""Nornir task: plans the way back from a change that was made earlier. Writes nothing."""

from collections.abc import Mapping, Sequence

import msgspec
from nornir.core.task import Result, Task

from k8s_ecmp.core.rules import Rules
from k8s_ecmp.core.undo import Done, plan_undo
from k8s_ecmp.model import RouterPlan
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import platform_of, router_view
from k8s_ecmp.routers.port import foreseen
from k8s_ecmp.routers.session import open_session, port_of, template_for
from k8s_ecmp.settings import Settings


class WayBack(msgspec.Struct, frozen=True):
    """What was done to one router, and what every change that takes it back says as its reason."""

    done: Sequence[Done]
    why: str


def undo_routes(task: Task, *, settings: Settings, rules: Rules, ways: Mapping[str, WayBack]) -> Result:
    """What takes back what was done to the router: `result` is a `RouterPlan`; `ways` has all routers."""
    name = task.host.name
    try:
        way = ways[name]
        port = port_of(task)
        template = template_for(settings, port)
        with open_session(task, port, template) as session:
            running = session.read()
        view = router_view(task.host)
        planned = plan_undo(view, port.traits, way.done, running, rules, way.why)
        marks = port.traits.marks(rules, view)
        planned = foreseen(port, planned, running, template, marks, settings.rollout.confirm_within_s)
        return Result(host=task.host, result=planned, diff=planned.diff)
    except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
        failed = RouterPlan(name, platform_of(task.host) or "", "failed", error=error_text(error))
        return Result(host=task.host, result=failed, failed=True, exception=error)

"""Nornir task: what became of changes whose process died before it wrote that down."""

from collections.abc import Mapping, Sequence

from nornir.core.task import Result, Task

from k8s_ecmp.core.undo import Done, became_of
from k8s_ecmp.routers.hosts import router_view
from k8s_ecmp.routers.session import open_session, port_of
from k8s_ecmp.settings import Settings


def find_out(
    task: Task,
    *,
    settings: Settings,
    begun: Mapping[str, Sequence[Sequence[Done]]],
) -> Result:
    """How the router stands against each of these changes: `result` is a tuple of outcomes and what there is to say.

    Takes back first what a run that died left unconfirmed. The connection stays open for a change that follows;
    `session.close_kept` ends it where none does.

    Args:
        task: Nornir's.
        settings: owner, tag.
        begun: changes by router.
    """
    name = task.host.name
    try:
        port = port_of(task)
        marks = port.traits.marks(settings, router_view(task.host))
        with open_session(task, port, None, recover=True, keep=True) as session:
            running = session.read()
        default = port.traits.default_distance
        return Result(host=task.host, result=tuple(became_of(done, running, marks, default) for done in begun[name]))
    except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
        return Result(host=task.host, failed=True, exception=error)

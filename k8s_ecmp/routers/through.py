"""Which of our routes go through a node: asked before anybody reboots it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nornir.core.task import Result, Task

from k8s_ecmp.core.ownership import Marks, is_owned
from k8s_ecmp.model import Prefix, RunningRoutes
from k8s_ecmp.platforms.base import Installed
from k8s_ecmp.routers.connection import error_text
from k8s_ecmp.routers.hosts import router_view
from k8s_ecmp.routers.session import open_session, port_of
from k8s_ecmp.settings import Settings


@dataclass(frozen=True)
class Through:
    """The prefixes that a router still sends to a node. `error` is set when it could not be asked."""

    router: str
    prefixes: tuple[Prefix, ...] = ()
    error: str | None = None


def prefixes_through(
    running: RunningRoutes,
    tables: Mapping[Prefix, Installed] | None,
    marks: Marks,
    vrf: str,
    addresses: Collection[str],
) -> tuple[Prefix, ...]:
    """Our prefixes with one of the addresses among their next hops, in the configuration or in the tables, sorted.

    Args:
        running: what was read from the router.
        tables: what its routing and forwarding tables hold in the VRF; None where it does not show them.
        marks: what makes a route ours.
        vrf: where our routes are.
        addresses: the node's.
    """
    wanted = frozenset(addresses)
    here = {route.prefix: route for route in running if route.vrf == vrf}
    found = {
        prefix
        for prefix, route in here.items()
        if is_owned(route, marks) and any(hop.address in wanted for hop in route.next_hops)
    }
    for prefix, installed in (tables or {}).items():
        route = here.get(prefix)
        # What stands in the tables without being configured is a route on its way out: it was ours, or will go anyway.
        if (route is None or is_owned(route, marks)) and wanted & (installed.rib | installed.fib):
            found.add(prefix)
    return tuple(sorted(found))


def routes_through(task: Task, *, settings: Settings, addresses: Collection[str]) -> Result:
    """Reads configuration and tables of one router: `result` is a `Through`. Writes nothing.

    A change of another run that waits for its confirm is an error: what would be read may not last.
    """
    name = task.host.name
    try:
        port = port_of(task)
        view = router_view(task.host)
        vrf, marks = view.vrf, port.traits.marks(settings, view)
        with open_session(task, port, None) as session:
            found = prefixes_through(session.read(), session.shown.installed(vrf), marks, vrf, addresses)
        return Result(host=task.host, result=Through(name, found))
    except Exception as error:  # noqa: BLE001  whatever it is, it is this router's alone
        return Result(host=task.host, result=Through(name, error=error_text(error)), failed=True, exception=error)

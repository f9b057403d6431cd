"""`why`."""

from typing import Annotated

import typer

from k8s_ecmp.cli.common import routers_of, say, settings_of, warn_all
from k8s_ecmp.errors import EcmpError


def why(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="A prefix, or an address for its host route.")],
    router: Annotated[
        list[str] | None,
        typer.Option("--router", "-r", metavar="NAME", help="Also read this router and show what runs there."),
    ] = None,
) -> int:
    """Say why a prefix goes where it goes: every node's part in it, and every router's selection."""
    from k8s_ecmp import runs
    from k8s_ecmp.core.explain import explain
    from k8s_ecmp.model import Prefix, RunningRoutes
    from k8s_ecmp.routers.connection import error_text
    from k8s_ecmp.routers.hosts import router_view
    from k8s_ecmp.routers.port import Port
    from k8s_ecmp.routers.tasks import read_routes, run
    from k8s_ecmp.views.why import print_answer

    try:
        asked = Prefix.parse(prefix)
    except ValueError as error:
        raise EcmpError(str(error)) from error
    settings, base = settings_of(context)
    nornir = routers_of(settings, base, router, None)
    intent = runs.observe(settings)
    warn_all(intent.desired.warnings)
    hosts = nornir.inventory.hosts
    running = {}
    code = runs.DONE
    if router:
        for name, multi in run(nornir, read_routes).items():
            if isinstance(multi[0].result, RunningRoutes):
                marks = Port.of(hosts[name]).traits.marks(settings, router_view(hosts[name]))
                running[name] = (multi[0].result, marks)
            else:
                say(f"{name}: {error_text(multi[0].exception or EcmpError('no answer'))}")
                code = runs.ERROR
    views = [router_view(host) for host in hosts.values()]
    print_answer(explain(asked, intent.desired, views, running))
    return code

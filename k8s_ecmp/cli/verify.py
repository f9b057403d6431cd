"""`verify`."""

import typer

from k8s_ecmp.cli.common import FilterOption, RouterOption, progress_over, routers_of, settings_of, warn_all


def verify(context: typer.Context, router: RouterOption = None, filters: FilterOption = None) -> int:
    """Check that every router has what the cluster asks for, in its configuration and in its tables. Writes nothing.

    Compares with what the cluster asks for, whatever mode, policy and guards hold back. Warns of next hops that do not
    answer ARP or ND, where the router shows that (`k8s-ecmp platforms`); that is no drift. Exits with 0 when all is in
    sync, 2 on drift, 3 when nothing but conflicts stands in the way, 1 when a router could not be asked.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.routers.tasks import run, verify_routes
    from k8s_ecmp.views.text import print_verify

    settings, base = settings_of(context)
    nornir = routers_of(settings, base, router, filters)
    intent = runs.observe(settings)
    warn_all(intent.desired.warnings)
    with progress_over(len(nornir.inventory.hosts), "verifying routers") as progress:
        reports = runs.reports(run(nornir, verify_routes, intent=intent, progress=progress))
    rows = []
    for report in reports:
        first, *rest = runs.report_lines(report)
        status, _, detail = first.partition(": ")
        rows.append((report.router, status, [detail, *rest]))
    print_verify(rows)
    return runs.verify_exit(reports)

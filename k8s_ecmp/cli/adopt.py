"""`adopt`."""

from pathlib import Path
from typing import Annotated

import typer

from k8s_ecmp.cli.common import FilterOption, OverrideOption, RouterOption
from k8s_ecmp.cli.plan import PlanFormat, plan_and_show
from k8s_ecmp.errors import EcmpError


def adopt(
    context: typer.Context,
    prefixes: Annotated[
        list[str],
        typer.Argument(metavar="PREFIX...", help="Prefixes of conflicts, as `plan` names them; or addresses."),
    ],
    router: RouterOption = None,
    filters: FilterOption = None,
    output: Annotated[PlanFormat, typer.Option("--format", help="How to show the plan.")] = PlanFormat.text,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.plan", help="Write the plan to a file: `apply FILE.plan` then adopts."),
    ] = None,
    override: OverrideOption = None,
) -> int:
    """Plan to take over routes that are not ours at prefixes that the cluster asks for. Writes to no router.

    A conflict is such a route: `plan` and `apply` never touch it. This makes a plan of these prefixes alone, in which
    the route that stands there is replaced whole by ours, with our tag; review it, then `apply FILE.plan`. Everything
    else stays, also where ours is missing or differs. `history undo` does not put such a route back; plan and journal
    say how it was.

    Exits with 0 where there is nothing to adopt, 2 where there is, 3 when a guard or a conflict that cannot be adopted
    stops something, 1 when nothing asks for a prefix or a router could not be read.
    """
    from k8s_ecmp.model import Prefix

    try:
        asked = frozenset(map(Prefix.parse, prefixes))
    except ValueError as error:
        raise EcmpError(str(error)) from error
    return plan_and_show(context, router, filters, output, out, override, adopt=asked)

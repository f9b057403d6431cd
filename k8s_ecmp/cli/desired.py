"""`desired`."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from k8s_ecmp.cli.common import settings_of, warn_all


class DesiredFormat(StrEnum):
    """How the routes are shown."""

    text = "text"
    json = "json"


def desired(
    context: typer.Context,
    output: Annotated[DesiredFormat, typer.Option("--format", help="How to show the routes.")] = DesiredFormat.text,
) -> int:
    """Show the routes that the cluster asks for, before any router's own selection. Speaks to no router."""
    from k8s_ecmp import runs
    from k8s_ecmp.views.document import canonical_json, desired_document
    from k8s_ecmp.views.text import print_desired

    settings, _ = settings_of(context)
    decision = runs.observe(settings).desired
    warn_all(decision.warnings)
    if output is DesiredFormat.json:
        sys.stdout.write(canonical_json(desired_document(decision.routes, decision.skipped)).decode() + "\n")
    else:
        print_desired(decision.routes, decision.skipped)
    return runs.DONE

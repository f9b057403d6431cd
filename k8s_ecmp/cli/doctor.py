"""`doctor`."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from k8s_ecmp.cli.common import FilterOption, RouterOption, progress_over
from k8s_ecmp.settings import settings_path

VERSION = 1


class DoctorFormat(StrEnum):
    """How the findings are shown."""

    text = "text"
    json = "json"


def doctor(
    context: typer.Context,
    router: RouterOption = None,
    filters: FilterOption = None,
    output: Annotated[DoctorFormat, typer.Option("--format", help="How to show the findings.")] = DoctorFormat.text,
) -> int:
    """Look for what would break traffic: settings, rights, kube-proxy, service CIDRs, nodes, routers. Writes nothing.

    Each finding is ok, a warning, a problem, or unknown where it cannot be looked at from here, with what was seen, why
    it matters and what to do. Exits with 1 when there is a problem, else with 0.
    """
    from k8s_ecmp import runs
    from k8s_ecmp.doctor.examination import examine

    findings = list(examine(settings_path(context.obj), router or [], filters or [], progress_over))
    if output is DoctorFormat.json:
        from k8s_ecmp.views.document import canonical_json

        sys.stdout.write(canonical_json({"version": VERSION, "findings": findings}).decode() + "\n")
    else:
        from k8s_ecmp.views.doctor_text import print_findings

        print_findings(findings)
    return runs.ERROR if any(finding.level == "problem" for finding in findings) else runs.DONE

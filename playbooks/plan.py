#!/usr/bin/env python3
"""A scheduled plan: reads the cluster and every router, prints the plan, writes it to a file for review.

    python playbooks/plan.py k8s-ecmp.yaml --out today.plan

Exits as `k8s-ecmp plan`: 0 nothing to change, 2 changes, 3 a guard or a conflict, 1 an error. Writes to no router.
"""

import argparse
import sys
from pathlib import Path

from k8s_ecmp import runs
from k8s_ecmp.errors import EcmpError
from k8s_ecmp.recording import record_plan
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.tasks import plan_routes
from k8s_ecmp.settings import load_settings
from k8s_ecmp.views.document import plan_id, write_plan
from k8s_ecmp.views.plan_about import PlanFile
from k8s_ecmp.views.plan_text import print_plan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path, help="the settings file, k8s-ecmp.yaml")
    parser.add_argument("--out", type=Path, help="the plan file to write")
    arguments = parser.parse_args()
    settings = load_settings(arguments.settings)
    intent = runs.observe(settings)
    nornir = init_nornir(settings, arguments.settings.parent)
    plan = runs.assemble(intent, nornir.run(task=plan_routes, intent=intent))
    for warning in intent.desired.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if arguments.out:
        write_plan(arguments.out, plan)
        for warning in record_plan(settings, plan, arguments.out):
            print(f"warning: {warning}", file=sys.stderr)
    print_plan(plan, file=PlanFile(str(arguments.out), plan_id(plan)) if arguments.out else None)
    return runs.plan_exit(plan)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EcmpError as error:
        sys.exit(f"error: {error}")

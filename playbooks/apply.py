#!/usr/bin/env python3
"""Applies a reviewed plan file, exactly that, router by router: canary first, then waves.

    python playbooks/apply.py k8s-ecmp.yaml today.plan

Exits as `k8s-ecmp apply`: 0 done, 3 stopped by a guard, a conflict, a mode or a refused file, 1 an error.
"""

import argparse
import sys
from pathlib import Path

from k8s_ecmp import runs
from k8s_ecmp.errors import EcmpError, PlanRefused
from k8s_ecmp.recording import recording
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.rollout import roll_out
from k8s_ecmp.settings import load_settings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path, help="the settings file, k8s-ecmp.yaml")
    parser.add_argument("plan", type=Path, help="a plan file that was reviewed")
    parser.add_argument("--ticket", help="the change's number elsewhere, for the journal")
    arguments = parser.parse_args()
    settings = load_settings(arguments.settings)
    nornir = init_nornir(settings, arguments.settings.parent)
    plan = runs.reviewed(arguments.plan, settings)
    runs.check_current(nornir, settings, plan)
    results = []
    with recording(settings, plan, file=arguments.plan, ticket=arguments.ticket) as record:
        for result in roll_out(nornir, settings, plan.routers, record=record):
            print(f"{result.router}: {result.outcome} {result.error or ''}".rstrip(), flush=True)
            results.append(result)
    return runs.apply_exit(plan, results)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PlanRefused as error:
        print(f"refused: {error}", file=sys.stderr)
        sys.exit(3)
    except EcmpError as error:
        sys.exit(f"error: {error}")

#!/usr/bin/env python3
"""A scheduled check: every router has, in configuration and tables, what the cluster asks for.

    python playbooks/verify.py k8s-ecmp.yaml

Exits as `k8s-ecmp verify`: 0 in sync, 2 drift, 1 an error. Writes to no router.
"""

import argparse
import sys
from pathlib import Path

from k8s_ecmp import runs
from k8s_ecmp.errors import EcmpError
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.tasks import verify_routes
from k8s_ecmp.settings import load_settings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path, help="the settings file, k8s-ecmp.yaml")
    arguments = parser.parse_args()
    settings = load_settings(arguments.settings)
    nornir = init_nornir(settings, arguments.settings.parent)
    reports = runs.reports(nornir.run(task=verify_routes, intent=runs.observe(settings)))
    for report in reports:
        for line in runs.report_lines(report):
            print(f"{report.router}: {line}")
    return runs.verify_exit(reports)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EcmpError as error:
        sys.exit(f"error: {error}")

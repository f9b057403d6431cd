#!/usr/bin/env python3
"""Applies a reviewed plan file, exactly that, router by router: canary first, then waves.

    python playbooks/apply.py k8s-ecmp.yaml today.plan --ticket CHG-17 --reason "new rack"
    python playbooks/apply.py k8s-ecmp.yaml today.plan --resume        # after it was interrupted

SIGTERM, SIGINT and SIGHUP let the wave in hand end and no other begin. What a guard holds stands in the journal.
Exits as `k8s-ecmp apply`: 0 done, 3 stopped by a guard, a conflict, a mode or a refused file, 1 an error.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from k8s_ecmp import runs
from k8s_ecmp.cli.streams import leave, outlive_readers, printed
from k8s_ecmp.errors import EcmpError, PlanRefused
from k8s_ecmp.recording import begun, record_held, recording, refusals_recorded, settle
from k8s_ecmp.routers.interrupting import interruptible
from k8s_ecmp.routers.inventory import init_nornir
from k8s_ecmp.routers.record import UNRECORDED
from k8s_ecmp.routers.rollout import roll_out
from k8s_ecmp.settings import load_settings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path, help="the settings file, k8s-ecmp.yaml")
    parser.add_argument("plan", type=Path, help="a plan file that was reviewed")
    parser.add_argument("--resume", action="store_true", help="leave out the routers that have the plan already")
    parser.add_argument("--ticket", help="the change's number elsewhere, for the journal")
    parser.add_argument("--reason", help="why it is made, for the journal")
    asked = parser.parse_args()
    outlive_readers()  # a log that ends must not end the rollout
    settings = load_settings(asked.settings)
    nornir = init_nornir(settings, asked.settings.parent)
    with refusals_recorded(settings, asked.plan, asked.ticket, asked.reason, warn):
        plan, file = runs.reviewed(asked.plan, settings)
        settings = runs.as_reviewed(settings, plan)
        before = begun(settings, file.id) if asked.resume else ()
        done = runs.check_current(nornir, settings, plan, before) if runs.writes(settings) else frozenset()
    plan = runs.without(plan, done)
    why = {"file": file, "ticket": asked.ticket, "reason": asked.reason}
    if held := runs.held(plan, settings):
        warn(record_held(settings, plan, held, **why).warnings)
    if runs.writes(settings):
        for sentence in settle(settings, nornir):
            print(sentence, file=sys.stderr)
    if held or not runs.writes(settings):
        print(f"stopped: {held or runs.mode_words(settings)}", flush=True)
        return runs.stopped_exit(plan)
    results, no_room = [], None
    ready = any(router.status == "changes" for router in plan.routers)
    account = recording(settings, plan, resumed=done, **why) if ready else nullcontext(UNRECORDED)
    with account as record, interruptible() as stop:
        frozen = runs.freeze_meanwhile(plan, settings)
        for result in roll_out(nornir, settings, plan.routers, record=record, stop=stop, frozen=frozen):
            # A log without room is told of at the end: the other waves are done all the same.
            no_room = printed(f"{result.router}: {result.outcome} {result.error or ''}".rstrip()) or no_room
            warn(tuple(f"{result.router}: {warning}" for warning in result.warnings))
            results.append(result)
    if lost := runs.not_recorded(results, settings.journal):
        print(lost, file=sys.stderr)
    if no_room:
        raise no_room
    if left := runs.why_stopped(plan, results):
        print(left, flush=True)
    return runs.apply_exit(plan, results)


def warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PlanRefused as error:
        leave(f"refused: {error}", 3)
    except KeyboardInterrupt:
        leave("interrupted", 130)
    except EcmpError as error:
        leave(f"error: {error}", 1)

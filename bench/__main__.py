"""`python -m bench` runs every measurement, `python -m bench NAME ...` some; results go to bench/RESULTS.md too."""

import sys
from collections.abc import Callable

from bench import (
    bgp,
    following,
    large,
    largedaemon,
    planning,
    probing,
    pushing,
    rollout,
    soak,
    startup,
    syntaxes,
    watching,
)
from bench.results import Row, save

CASES: dict[str, Callable[[], list[Row]]] = {
    "help": startup.help_text,
    "demo-plan": startup.demo_plan,
    "syntaxes": syntaxes.syntaxes,
    "plan-10k": planning.plan_large,
    "push-1k": pushing.push_1k,
    "per-service": pushing.per_service,
    "push-10k": pushing.push_10k,
    "rollout-50": rollout.rollout_50,
    "change-to-fib": following.change_to_fib,
    "node-out": following.node_out,
    "start-to-fib": following.start_to_fib,
    "dead-node": probing.dead_node,
    "watch-large": watching.watch_large,
    "follow-large": large.follow_large,
    "run-large": largedaemon.run_large,
    "soak": soak.soak,
    "bgp-10k": bgp.push_10k,
    "bgp-change": bgp.single_change,
}


def main() -> None:
    names = sys.argv[1:] or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"no measurement {', '.join(unknown)}; there are {', '.join(CASES)}")
    for name in names:
        print(f"{name} ...", flush=True)
        rows = CASES[name]()
        for row in rows:
            print(row.line(), flush=True)
        save(rows)


if __name__ == "__main__":
    main()

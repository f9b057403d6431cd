"""Plans of the shapes that reviewers meet, to be looked at: `python -m tests.views.shapes FOLDER` writes them all."""

import sys
from pathlib import Path

from k8s_ecmp.model import NextHop, Plan, Prefix, RouteChange, RouterPlan
from k8s_ecmp.views.plan_about import PlanFile
from k8s_ecmp.views.plan_html import plan_html
from k8s_ecmp.views.plan_markdown import plan_markdown
from k8s_ecmp.views.plan_text import print_plan
from tests.views.plans import (
    BLOCKED,
    CALM,
    CHANGES,
    CONFLICTING,
    CONTESTED,
    DIFF,
    FLOWS,
    GAINS,
    HELD,
    IDENTITY,
    INVERSE,
    NODES,
    R1,
    R2,
    TIMER,
    console_of,
    plan_of,
    printed,
    risk,
    verdict,
)


def _router(number: int) -> RouterPlan:
    name, pair = f"leaf-{number:02d}", f"pair-{(number + 1) // 2:02d}"
    return RouterPlan(
        name, "frr", "changes", "sha256:1", CHANGES, diff=DIFF, flows=FLOWS, failure_domain=pair, undo=TIMER
    )


def _wide() -> Plan:
    """Two prefixes of sixteen next hops, one in each family; a node leaves and another one comes."""
    changes = []
    for prefix, address in (("10.96.0.0/12", "10.0.1.{}"), ("fd00:10:96::/108", "2001:db8:1:2:3:4:0:{}")):
        before = tuple(NextHop(address.format(number), tag=4201) for number in range(10, 26))
        after = (*before[1:], NextHop(address.format(26), tag=4201))
        why = ("node worker-26 is eligible: Ready for 2 min", "node worker-10 is out: not Ready for 12 s")
        changes.append(RouteChange("update", "default", Prefix.parse(prefix), before, after, why))
    made = tuple(changes)
    diff = "".join(
        f"{sign}ip{'v6' if change.prefix.family == 6 else ''} route {change.prefix} {hop} tag 4201\n"
        for change in made
        for sign, hops in (("-", change.remove), ("+", change.add))
        for hop in hops
    )
    flows = risk(made, "hash-threshold", None)
    return plan_of(RouterPlan("r1", "frr", "changes", "sha256:1", made, diff=diff, flows=flows, undo=TIMER))


_LONG = "a-service-whose-name-is-as-long-as-kubernetes-allows-names-to-be"[:63]
_NAMESPACE = "the-namespace-of-a-department-that-likes-to-say-what-it-does-"[:60]


def _named() -> Plan:
    """Services, nodes and a router with names as long as they may be."""
    changes = tuple(
        RouteChange(
            "create",
            "default",
            Prefix.parse(f"10.96.7.{number}/32"),
            (),
            tuple(NextHop(f"10.0.0.{hop}", tag=4201) for hop in range(1, 4)),
            (
                f"Service {_NAMESPACE}/{_LONG}-{number} loadBalancerIP, Service {_NAMESPACE}/{_LONG}-b externalIP: "
                f"ready endpoint on {', '.join(f'ip-10-0-0-{node}.eu-central-1.compute.internal' for node in range(1, 9))} "
                "and 12 more",
            ),
        )
        for number in (1, 2)
    )
    name = "very-long-router-name-rack-17-row-b.dc-frankfurt-2.network.example.com"
    return plan_of(RouterPlan(name, "nxos_ssh", "changes", "sha256:1", changes, diff=DIFF, undo=INVERSE))


def _beside() -> Plan:
    """A router that gets the routes by BGP beside one with static routes."""
    lines = "+announce route 10.96.0.0/12 next-hop 10.0.0.3 community [65000:4201] path-information 0.0.0.3\n"
    peer = RouterPlan(
        "edge-bgp", "bgp", "changes", "sha256:1", GAINS, diff=lines, flows=risk(GAINS, None, None), undo=INVERSE
    )
    return plan_of(R2, peer)


SHAPES: dict[str, Plan] = {
    "two": plan_of(R2, _router(3)),
    "fifty": plan_of(*map(_router, range(1, 51))),
    "conflict": plan_of(R1, CONFLICTING, contested=(CONTESTED,)),
    "guard": plan_of(BLOCKED, R2),
    "held": HELD,
    "empty": CALM,
    "wide": _wide(),
    "long-names": _named(),
    "bgp": _beside(),
}
SEEN = {**NODES, **{name: verdict(name, f"10.0.1.{name[-2:]}") for name in ("worker-10", "worker-26")}}


def shape_text(plan: Plan, medium: str) -> str:
    """On a terminal of so many columns, or in a pipe."""
    console = console_of(medium)
    print_plan(plan, console, file=PlanFile("today.plan", IDENTITY))
    return printed(console)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for each, shape in SHAPES.items():
        (folder / f"{each}.html").write_text(plan_html(shape, SEEN, PlanFile("today.plan", IDENTITY)))
        (folder / f"{each}.md").write_text(plan_markdown(shape, file=PlanFile("today.plan", IDENTITY)))
        for medium in ("80", "pipe"):
            (folder / f"{each}.{medium}.txt").write_text(shape_text(shape, medium))

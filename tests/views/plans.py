"""Plans and results that the views' tests show; `python -m tests.views.plans` writes the golden texts anew."""

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from rich.console import Console

from k8s_ecmp.core.eligibility import NodeVerdict, Standing
from k8s_ecmp.core.flows import flows_at_risk
from k8s_ecmp.model import (
    CommitResult,
    Conflict,
    Contested,
    DesiredRoute,
    Flows,
    GuardTrip,
    Hashing,
    NextHop,
    Plan,
    Prefix,
    Rollout,
    RouteChange,
    RouterPlan,
    Skipped,
    Undo,
)
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.routers.port import Port, predict
from k8s_ecmp.views.apply_report import Kept
from k8s_ecmp.views.next_step import NextSteps
from k8s_ecmp.views.plan_about import PlanFile
from k8s_ecmp.views.plan_html import plan_html
from k8s_ecmp.views.plan_markdown import plan_markdown
from k8s_ecmp.views.text import print_desired, print_plan, print_results, print_verify

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
P = Prefix.parse


def hops(*addresses: str, distance: int | None = None) -> tuple[NextHop, ...]:
    return tuple(NextHop(address=address, tag=4201, distance=distance) for address in addresses)


READY = ("node n3 is eligible: Ready for 2 min",)
CHANGES = (
    RouteChange(
        "update",
        "default",
        P("10.96.0.0/12"),
        hops("10.0.0.1", "10.0.0.2"),
        hops("10.0.0.1", "10.0.0.2", "10.0.0.3"),
        READY,
    ),
    RouteChange(
        "create",
        "default",
        P("10.96.0.10/32"),
        (),
        hops("10.0.0.1", "10.0.0.2", distance=5),
        ("Service kube-system/kube-dns clusterIP: ready endpoint on n1, n2",),
    ),
    RouteChange(
        "delete",
        "default",
        P("10.96.0.77/32"),
        (NextHop(address="10.0.0.1", interface="eth0", tag=4201),),
        (),
        ("no service, range or node asks for it any more",),
    ),
    RouteChange(
        "update",
        "default",
        P("10.96.4.1/32"),
        hops("10.0.0.1", "10.0.0.9"),
        hops("10.0.0.1"),
        ("node n9 is out: not Ready for 12 s", "node n9 has no usable endpoint"),
    ),
    RouteChange(
        "create",
        "default",
        P("10.100.0.1/32"),
        (),
        (NextHop(discard=True, tag=4201),),
        ("Service shop/web loadBalancerIP: no usable endpoint",),
    ),
    RouteChange("update", "red", P("fd00:10:96::/108"), hops("fd00::1"), hops("fd00::1", "fd00::3"), READY),
)


def diff_of(platform: str, changes: Sequence[RouteChange]) -> str:
    """What the changes make of a configuration that has the routes of before and nothing else."""
    syntax = get_platform(platform)
    bare = "hostname r1\n" + {"eos": "vrf instance red\n"}.get(platform, "")
    routes = [RouteChange.between(c.vrf, c.prefix, (), c.before) for c in changes if c.before]
    running = syntax.parse(bare + syntax.render(routes, syntax.parse(bare), None))
    return predict(Port(platform, syntax, syntax.capabilities), changes, running, None).diff


DIFF = diff_of("frr", CHANGES)
CONFLICT = Conflict("default", P("10.97.0.1/32"), "a route that is not ours: next hop 192.0.2.1 has no tag")
TIMEOUT = (
    "cannot connect to 192.0.2.4 port 22: timed out after 60 s (check the address, and that this host may reach the "
    "router by SSH)"
)
SKIPPED = (
    Skipped("Service default/headless", "headless"),
    Skipped("Service shop/db", "externalIP 203.0.113.9 is in no services.external_ips.cidrs"),
)


ROLLOUT = Rollout(canary=1, parallel=10, pause_s=60.0, on_failure="stop", confirm_within_s=120)
TIMER, WHOLE = Undo(120, "router", "routes"), Undo(120, "router", "configuration")
OWN, INVERSE = Undo(0, "router", "routes"), Undo(0, "inverse", "routes")


def plan_of(
    *routers: RouterPlan,
    holds: tuple[GuardTrip, ...] = (),
    skipped: tuple[Skipped, ...] = (),
    contested: tuple[Contested, ...] = (),
    rollout: Rollout | None = ROLLOUT,
) -> Plan:
    return Plan(
        created=NOW,
        expires=NOW + timedelta(hours=1),
        owner="prod-eu1",
        tag=4201,
        cluster_source="state.json",
        cluster_digest="sha256:" + "3f2a" * 16,
        routers=routers,
        holds=holds,
        skipped=skipped,
        contested=contested,
        rollout=rollout,
        mode="full",
        policy="sync",
    )


ROUTES = {change.prefix: change.before for change in CHANGES if change.before}


def risk(
    changes: tuple[RouteChange, ...], hashing: Hashing | None, resilient: tuple[RouteChange, ...] | None
) -> Flows | None:
    return flows_at_risk(changes, hashing, resilient, ROUTES, ROUTES.keys(), 1)


FLOWS = risk(CHANGES, "hash-threshold", None)
R1 = RouterPlan(
    "r1",
    "frr",
    "changes",
    "sha256:1",
    CHANGES,
    (CONFLICT,),
    commands=("a", "b"),
    diff=DIFF,
    flows=FLOWS,
    failure_domain="rack-1",
    undo=TIMER,
)
R2 = RouterPlan(
    "r2", "frr", "changes", "sha256:2", CHANGES, diff=DIFF, flows=FLOWS, failure_domain="rack-1", undo=TIMER
)
WITHDRAWN = tuple(
    RouteChange("delete", "default", P(f"10.96.0.{number}/32"), hops("10.0.0.1"), (), CHANGES[2].reasons)
    for number in (77, 78, 79)
)
BLOCKED = RouterPlan(
    "leaf-12.dc1.example.com",
    "eos",
    "blocked",
    "sha256:3",
    WITHDRAWN,
    guards=(
        GuardTrip(
            "mass-withdrawal",
            "leaf-12.dc1.example.com",
            None,
            "3 of 4 owned prefixes would go (75%), more than the 50% of guards.max_withdrawn_fraction: "
            "10.96.0.77/32, 10.96.0.78/32, 10.96.0.79/32",
        ),
        GuardTrip(
            "last-next-hop",
            "leaf-12.dc1.example.com",
            P("10.96.0.9/32"),
            "would lose its last next hops 10.0.0.1 though it is still wanted: Service shop/web clusterIP has no "
            "usable endpoint",
        ),
    ),
    diff=diff_of("eos", WITHDRAWN),
    diff_source="device",
)
FAILED = RouterPlan("r4", "junos", "failed", error=TIMEOUT)
IN_SYNC = RouterPlan("r5", "nxos", "in-sync", "sha256:5")
CONFLICTING = RouterPlan("r6", "ios", "conflict", "sha256:6", conflicts=(CONFLICT,))

TWO_REASONS = RouteChange(
    "update",
    "default",
    P("10.96.5.1/32"),
    hops("10.0.0.1", "10.0.0.9"),
    hops("10.0.0.1", "10.0.0.3"),
    ("node n3 has a usable endpoint", "node n9 is out: not Ready for 12 s"),
)
LIKE_R1 = RouterPlan(
    "r7",
    "eos",
    "changes",
    "sha256:7",
    (*CHANGES, TWO_REASONS),
    diff=diff_of("eos", (*CHANGES, TWO_REASONS)),
    flows=risk((*CHANGES, TWO_REASONS), "modulo", CHANGES[:1]),
    failure_domain="rack-1",
    undo=WHOLE,
)
GAINS = CHANGES[:1]
TWINS = plan_of(R1, msgspec.structs.replace(LIKE_R1, diff=DIFF))
R8 = RouterPlan(
    "r8",
    "nxos",
    "changes",
    "sha256:8",
    GAINS,
    diff=diff_of("nxos", GAINS),
    flows=risk(GAINS, "modulo", ()),
    undo=INVERSE,
)
R9 = RouterPlan(
    "r9",
    "file",
    "changes",
    "sha256:9",
    GAINS,
    diff=diff_of("frr", GAINS),
    flows=risk(GAINS, "modulo", None),
    undo=OWN,
)
CONTESTED = Contested(
    CONFLICT.prefix,
    ours=("r2", "r7"),
    theirs=("r1", "r6"),
    none=("leaf-12.dc1.example.com", "r5", "r8", "r9"),
    unknown=("r4",),
)


def verdict(
    name: str, *addresses: str, standing: Standing = "eligible", reason: str = "Ready for 2 min"
) -> NodeVerdict:
    internal = {4: tuple(a for a in addresses if ":" not in a), 6: tuple(a for a in addresses if ":" in a)}
    return NodeVerdict(name, standing, reason, standing == "out", True, {}, {}, internal, internal)


NODES = {
    node.name: node
    for node in (
        verdict("n1", "10.0.0.1", "fd00::1"),
        verdict("n2", "10.0.0.2"),
        verdict("n3", "10.0.0.3", "fd00::3"),
        verdict("n9", "10.0.0.9", standing="out", reason="not Ready for 12 s"),
    )
}

FULL = plan_of(R1, R2, BLOCKED, FAILED, IN_SYNC, CONFLICTING, skipped=SKIPPED, contested=(CONTESTED,))
HELD = plan_of(
    RouterPlan("r1", "frr", "blocked", "sha256:1", CHANGES[:1], diff=diff_of("frr", CHANGES[:1])),
    holds=(GuardTrip("panic", None, None, "3 of 4 nodes are not Ready at once (n1, n2, n3), more than the 50%"),),
)
CALM = plan_of(IN_SYNC, RouterPlan("r7", "frr", "in-sync", "sha256:7"))

RESULTS = (
    CommitResult(
        "r1", "committed", 6, 1.234, None, ("next hop 10.0.0.9 cannot be resolved by the router",), step="confirm"
    ),
    CommitResult(
        "r2",
        "rolled-back",
        0,
        33.8,
        "after the commit 10.96.0.0/12 is not in the FIB; the change was taken back, by the router, our routes "
        "are as before the commit",
        undone="router",
        step="verify",
    ),
    CommitResult("r3", "not-attempted", error="r2 failed in an earlier wave"),
    CommitResult("r4", "failed", 0, 60.0, TIMEOUT, remedy="check the address", step="connect"),
    CommitResult("r5", "unchanged"),
)
KEPT = Kept((11, 12), {"r1": (13, 15), "r2": (14, 16), "r3": (18,), "r4": (17,)})
STEPS = NextSteps((), "today.plan", KEPT.routers)
IDENTITY = "sha256:" + "09e3" * 16
VERIFIED = (
    ("r1", "in sync", ("12 owned prefixes",)),
    (
        "r2",
        "drift",
        ("2 differences", "10.96.0.0/12 lacks 10.0.0.3: node n3 is eligible", "10.96.0.10/32 is not in the FIB"),
    ),
    ("r4", "failed", (TIMEOUT,)),
)
DESIRED = (
    DesiredRoute(
        P("10.96.0.0/12"),
        "aggregate",
        ("n1", "n2", "n3"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
        ("ServiceCIDR kubernetes",),
    ),
    DesiredRoute(
        P("10.96.0.10/32"),
        "host",
        ("n1", "n2"),
        ("10.0.0.1", "10.0.0.2"),
        ("Service kube-system/kube-dns clusterIP",),
    ),
    DesiredRoute(P("10.96.0.11/32"), "discard", (), (), ("Service shop/web clusterIP",)),
    DesiredRoute(P("fd00:10:96::/108"), "aggregate", ("n1", "n2"), ("fd00::1", "fd00::2"), ("settings",)),
)

EVERYTHING = plan_of(
    R1, R2, BLOCKED, FAILED, IN_SYNC, CONFLICTING, LIKE_R1, R8, R9, skipped=SKIPPED, contested=(CONTESTED,)
)

SHOWN: dict[str, Callable[[Console], None]] = {
    "plan": lambda console: print_plan(FULL, console),
    "plan-of-a-file": lambda console: print_plan(EVERYTHING, console, file=PlanFile("today.plan", IDENTITY)),
    "held": lambda console: print_plan(HELD, console),
    "applying": lambda console: print_plan(CALM, console, applies=True),
    "in-sync": lambda console: print_plan(CALM, console),
    "results": lambda console: print_results(RESULTS, console, identity=IDENTITY, kept=KEPT, steps=STEPS),
    "verify": lambda console: print_verify(VERIFIED, console),
    "desired": lambda console: print_desired(DESIRED, SKIPPED, console),
}
MEDIA = ("80", "pipe")

DOCUMENTS = {
    "everything.md": lambda: plan_markdown(EVERYTHING),
    "everything.html": lambda: plan_html(EVERYTHING, NODES),
    "held.md": lambda: plan_markdown(HELD),
    "in-sync.md": lambda: plan_markdown(CALM),
}


def console_of(medium: str, *, colour: bool = False) -> Console:
    if medium == "pipe":
        return Console(file=io.StringIO(), force_terminal=False, width=20)
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=int(medium),
        color_system="standard" if colour else None,
        legacy_windows=False,
        _environ={},
    )


def printed(console: Console) -> str:
    """What stands on a console that prints into a text."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(name: str, medium: str) -> str:
    console = console_of(medium)
    SHOWN[name](console)
    return printed(console)


if __name__ == "__main__":
    for each in SHOWN:
        for medium in MEDIA:
            (GOLDEN / f"{each}.{medium}.txt").write_text(shown(each, medium))
    for each, document in DOCUMENTS.items():
        (GOLDEN / each).write_text(document())

"""What the replays share: one round of the CLI, and a router's table held against the one that must be there."""

import contextlib
import difflib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from k8s_ecmp.bgp.driver import BgpDriver
from tests.world.frr import FrrRouter
from tests.world.lab import CliResult, Lab, NodePlan, Topology
from tests.world.netns import wait_for

PROTO = {"static": "proto 196", "bgp": "proto 186"}
"""FRR's routes in the kernel."""
CHANGES, IN_SYNC = 2, 0


def only(topology: Topology, families: Sequence[int]) -> Topology:
    """The topology as a cluster of those families sees it; the wires stay dual-stack."""

    def keep(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(text for text in texts if ipaddress.ip_interface(text).version in families)

    return Topology(
        topology.lan,
        topology.routers,
        {name: NodePlan(keep(plan.addresses), keep(plan.pod_cidrs)) for name, plan in topology.nodes.items()},
        keep(topology.service_cidrs),
        keep(topology.pod_cidrs),
    )


def route(prefix: str, *next_hops: str, interface: str = "lan", proto: str = PROTO["static"]) -> list[str]:
    """The lines of `ip route` for a route of FRR."""
    if len(next_hops) == 1:
        return [f"{prefix} via {next_hops[0]} dev {interface} {proto} metric 20"]
    hops = [f"\tnexthop via {next_hop} dev {interface} weight 1" for next_hop in next_hops]
    return [f"{prefix} {proto} metric 20", *hops]


def table(router: FrrRouter) -> list[str]:
    """What `ip route` shows of both families, without the router's own links, nexthop ids and IPv6 preferences."""
    blocks: list[list[str]] = []
    for version in ("-4", "-6"):
        for line in router.ip(version, "-N route show").splitlines():
            text = re.sub(r" nhid \d+| pref medium", "", line).rstrip()
            if line.startswith(("\t", " ")):
                blocks[-1].append(text)
            else:
                blocks.append([text])
    routes = [block for block in blocks if not re.search(r" proto 2( |$)", block[0])]
    routes.sort(key=lambda block: _order(block[0].split()[0]))
    # The kernel keeps IPv6 next hops in the order of their coming, which means nothing.
    return [line for head, *hops in routes for line in (head, *sorted(hops, key=lambda hop: _order(hop.split()[2])))]


def _order(prefix: str) -> tuple[int, int, int]:
    """Family, address, length: the order of tables here."""
    network = ipaddress.ip_network(prefix)
    return network.version, int(network.network_address), network.prefixlen


def assert_table(router: FrrRouter, expected: Mapping[str, Sequence[str]]) -> None:
    """The router's table is exactly `expected`, at once or in a moment: FRR gives routes to the kernel a little later.

    Args:
        router: one of the lab's.
        expected: prefix as `ip route` prints it -> next hops.
    """
    prefixes = sorted(expected, key=_order)
    proto = PROTO["bgp" if "bgpd" in router.daemons else "static"]
    wanted = [line for prefix in prefixes for line in route(prefix, *expected[prefix], proto=proto)]
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: table(router) == wanted, "the expected table", timeout=30, interval=0.05)
    actual = table(router)
    assert actual == wanted, "\n".join(
        [
            f"the routing table of {router.name} is not the expected one",
            "expected:",
            *(f"  {line}" for line in wanted),
            "actual:",
            *(f"  {line}" for line in actual),
            "difference:",
            *difflib.unified_diff(wanted, actual, "expected", "actual", lineterm=""),
        ]
    )


def assert_exit(result: CliResult, code: int) -> CliResult:
    assert result.exit_code == code, f"exit code {code} was expected\n{result}"
    return result


def plan(lab: Lab, code: int = CHANGES) -> dict[str, Any]:
    """`k8s-ecmp plan --format json`, which must end with that code."""
    document: dict[str, Any] = json.loads(assert_exit(lab.cli("plan", "--format", "json"), code).stdout)
    return document


def program(lab: Lab) -> dict[str, Any]:
    """Plans changes, applies and verifies them; the plan. Afterwards nothing is left to plan."""
    document = plan(lab)
    assert_exit(lab.cli("apply", "--yes"), 0)
    assert_exit(lab.cli("verify"), IN_SYNC)
    plan(lab, IN_SYNC)
    return document


def clear_routes(lab: Lab) -> None:
    """Takes every route off every router by hand, for the next replay in the same lab."""
    for name, announced in (lab.announced() if lab.mode == "bgp" else {}).items():
        peer = BgpDriver(optional_args={"folder": str(lab.exabgp_folder), "peer": name})
        peer.open()
        try:
            lines = [f"withdraw route {prefix} next-hop {hop}" for prefix, hops in announced.items() for hop in hops]
            peer.load_merge_candidate(config="\n".join(lines))
            peer.commit_config()
        finally:
            peer.close()
    for router in lab.routers.values():
        lines = [line.strip() for line in router.running_config().splitlines()]
        routes = [line for line in lines if line.startswith(("ip route ", "ipv6 route "))]
        if routes:
            router.configure("\n".join(f"no {line}" for line in routes))
    for name, router in lab.routers.items():
        wait_for(lambda router=router: not table(router), f"{name} has no route left")

"""Whether the nodes can be next hops, in each family that routes are made for."""

from collections.abc import Collection, Iterator

from k8s_ecmp.core.desired import Desired
from k8s_ecmp.finding import Finding, few

_CHECK = "nodes"


def check_nodes(desired: Desired, families: Collection[int]) -> Iterator[Finding]:
    """Looks at every eligible node's addresses.

    Args:
        desired: the decision.
        families: of the prefixes that are to be routed.
    """
    eligible = desired.eligible
    if not eligible:
        reasons = sorted(f"{node.name}: {node.reason}" for node in desired.nodes.values())
        yield Finding(
            _CHECK,
            "problem",
            f"none of {len(desired.nodes)} nodes is eligible: {few(reasons, 3) or 'there are none'}",
            "without next hops there are no routes; the guard empty-desired keeps what is there",
            "`k8s-ecmp why PREFIX` names each node's reason",
        )
        return
    complete = True
    for family in sorted(families):
        without = [name for name in eligible if not desired.nodes[name].address_of(family)]
        if without:
            complete = False
            everyone = len(without) == len(eligible)
            yield Finding(
                _CHECK,
                "problem" if everyone else "warning",
                f"{len(without)} of {len(eligible)} eligible nodes have no IPv{family} InternalIP: {few(without)}",
                f"no IPv{family} prefix can be routed" if everyone else f"they carry no IPv{family} traffic",
                f"give the kubelet an IPv{family} address (--node-ip), or name next hops with the annotation "
                "k8s-ecmp.io/next-hops",
            )
    if complete:
        words = " and ".join(f"IPv{family}" for family in sorted(families)) or "no family"
        yield Finding(_CHECK, "ok", f"{len(eligible)} of {len(desired.nodes)} nodes are eligible, with {words}")

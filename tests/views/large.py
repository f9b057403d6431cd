"""Plans of a size at which lists must be shortened."""

from k8s_ecmp.model import Plan, Prefix, RouteChange, RouterPlan
from tests.views.plans import hops, plan_of


def large(routers: int, changes: int, *, alike: bool, width: int = 8) -> Plan:
    """So many routers with so many changes each, of `width` next hops; alike or each with its own."""
    found = []
    for number in range(routers):
        first = 0 if alike else number
        rows = []
        diff = []
        for index in range(changes):
            prefix = Prefix(4, (10 << 24) + (first << 16) + index, 32)
            before = hops(*(f"10.9.{first}.{hop}" for hop in range(1, width)))
            after = (*before[1:], *hops(f"10.9.{first}.{100 + index % 50}"))
            reasons = (f"node n{index % 50} has a usable endpoint", "node n1 is out: not Ready for 5 min")
            rows.append(RouteChange("update", "default", prefix, before, after, reasons))
            diff += [f"-ip route {prefix} 10.9.{first}.1 tag 4201", f"+ip route {prefix} 10.9.{first}.99 tag 4201"]
        name = f"router-{number:03d}.dc1.example.net"
        found.append(RouterPlan(name, "frr", "changes", "sha256:1", tuple(rows), diff="\n".join(diff) + "\n"))
    return plan_of(*found)

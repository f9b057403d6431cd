"""Resilient hashing in running configurations, for the prefixes that it covers."""

import pytest

from k8s_ecmp.model import NextHop, RouteChange, RunningRoutes
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.resilience import hashed_resiliently
from tests.core.build import p

INSIDE, OUTSIDE, SIX = "10.96.1.0/24", "10.112.0.0/16", "fd96::/108"
BRACES = "policy-options {\n    policy-statement ECMP {\n        then {\n            load-balance consistent-hash;\n"
SET = "set policy-options policy-statement ECMP then load-balance consistent-hash\n"
CASES = {
    "eos, nothing": ("eos", "hostname r1\n", set()),
    "eos, a range": ("eos", "ip hardware fib ecmp resilience 10.96.0.0/12 capacity 8 redundancy 4\n", {INSIDE}),
    "eos, host bits": ("eos", "ip hardware fib ecmp resilience 10.96.1.2/12 capacity 8 redundancy 4\n", {INSIDE}),
    "eos, more specific": ("eos", "ip hardware fib ecmp resilience 10.96.1.0/25 capacity 8 redundancy 4\n", set()),
    "eos, IPv6": ("eos", "ipv6 hardware fib ecmp resilience fd96::/64 capacity 8 redundancy 4 ordered\n", {SIX}),
    "eos, no prefix": ("eos", "ip hardware fib ecmp resilience all capacity 8 redundancy 4\n", set()),
    "nxos": ("nxos", "hardware profile ecmp resilient\n", {INSIDE, OUTSIDE, SIX}),
    "nxos, another": ("nxos", "hardware profile ecmp auto-recovery threshold 3\n", set()),
    "junos, braces": ("junos", BRACES, {INSIDE, OUTSIDE, SIX}),
    "junos, set": ("junos", SET, {INSIDE, OUTSIDE, SIX}),
    "junos, not active": ("junos", BRACES.replace("load-", "inactive: load-"), set()),
    "junos, per packet": ("junos", BRACES.replace("consistent-hash", "per-packet"), set()),
    "ios": ("ios", "hostname r1\n", None),
    "iosxr": ("iosxr", "hostname r1\n", None),
    "frr": ("frr", "hostname r1\n", None),
}


@pytest.mark.parametrize(("platform", "text", "found"), CASES.values(), ids=CASES)
def test_which_prefixes_are_covered(platform: str, text: str, found: set[str] | None) -> None:
    hop = (NextHop("10.0.0.1", tag=1),)
    changes = [RouteChange.between("default", p(prefix), (), hop) for prefix in (INSIDE, OUTSIDE, SIX)]
    covered = hashed_resiliently(get_platform(platform).capabilities, RunningRoutes((), text), changes)
    assert (None if covered is None else {str(change.prefix) for change in covered}) == found

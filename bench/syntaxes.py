"""Large running configurations in every syntax, and what reading and writing them takes in CPU time and memory.

CPU time, because nothing here waits for anything: what else the machine does in the meantime is not measured.

`python -m bench.syntaxes SYNTAX` measures one syntax in a process of its own and prints JSON.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

from bench.results import Row, median
from bench.site import TAG, address, hop
from k8s_ecmp.model import RouteChange
from k8s_ecmp.platforms import get_platform
from k8s_ecmp.platforms.base import Platform
from k8s_ecmp.platforms.drivers import SYNTAXES

PREFIXES, HOPS = 10_000, 16
FORMS = (*SYNTAXES, "junos-set")
_SMALL, _LARGE = 1_000, 100_000  # lines
_OWNER = "bench"

_Routes = list[tuple[str, str, list[str]]]


def running_config(form: str, prefixes: int = PREFIXES, hops: int = HOPS) -> str:
    """A running configuration that holds what the cluster of the same size asks for.

    Args:
        form: a syntax, or "junos-set" for Junos' other form.
        prefixes: host routes beside the aggregate.
        hops: of each.
    """
    nodes = [hop(number) for number in range(hops)]
    routes: _Routes = [("10.96.0.0/12", "255.240.0.0", nodes)]
    routes += [(f"{address(number)}/32", "255.255.255.255", nodes) for number in range(prefixes)]
    return "\n".join(_WRITERS[form](routes)) + "\n"


def _flat(line: Callable[[str, str, str], str]) -> Callable[[_Routes], list[str]]:
    def write(routes: _Routes) -> list[str]:
        lines = [line(prefix, mask, node) for prefix, mask, nodes in routes for node in nodes]
        return ["!", "version 9.3", "hostname r1", "!", *lines, "!", "interface mgmt0", "!", "end"]

    return write


def _iosxr(routes: _Routes) -> list[str]:
    lines = [f"  {prefix} {node} tag {TAG} description {_OWNER}" for prefix, _, nodes in routes for node in nodes]
    return ["hostname r1", "!", "router static", " address-family ipv4 unicast", *lines, " !", "!", "end"]


def _bgp(routes: _Routes) -> list[str]:
    lines = [f"announce route {p} next-hop {node} tag {TAG} name {_OWNER}" for p, _, nodes in routes for node in nodes]
    return ["peer r1", *lines, "end"]


def _junos(routes: _Routes) -> list[str]:
    lines = ["system {", "    host-name r1;", "}", "routing-options {", "    static {"]
    for prefix, _, nodes in routes:
        lines += [f"        route {prefix} {{", f"            next-hop [ {' '.join(nodes)} ];"]
        lines += [f"            tag {TAG};", "        }"]
    return [*lines, "    }", "}"]


def _junos_set(routes: _Routes) -> list[str]:
    lines = ["set system host-name r1"]
    for prefix, _, nodes in routes:
        lines += [f"set routing-options static route {prefix} next-hop {node}" for node in nodes]
        lines.append(f"set routing-options static route {prefix} tag {TAG}")
    return lines


_WRITERS: dict[str, Callable[[_Routes], list[str]]] = {
    "eos": _flat(lambda prefix, _, node: f"ip route {prefix} {node} tag {TAG} name {_OWNER}"),
    "frr": _flat(lambda prefix, _, node: f"ip route {prefix} {node} tag {TAG}"),
    "ios": _flat(lambda prefix, mask, node: f"ip route {prefix.split('/')[0]} {mask} {node} tag {TAG} name {_OWNER}"),
    "nxos": _flat(lambda prefix, _, node: f"ip route {prefix} {node} name {_OWNER} tag {TAG}"),
    "bgp": _bgp,
    "iosxr": _iosxr,
    "junos": _junos,
    "junos-set": _junos_set,
}


def syntaxes() -> list[Row]:
    """Every syntax: 10,000 x 16 read and written, and whether the time grows with the lines."""
    rows = []
    for form in FORMS:
        done = subprocess.run(
            [sys.executable, "-m", "bench.syntaxes", form], capture_output=True, check=True, text=True
        )
        found = json.loads(done.stdout)
        size = f"{PREFIXES:,} x {HOPS}"
        growth = f"time for a line at {_LARGE:,} lines, against {_SMALL:,}"
        for what in ("parse", "render"):
            took, small, large = found[what], found[f"{what} small"], found[f"{what} large"]
            rows.append(Row("syntaxes", f"{what} {size}, {form}", took, None, "<= 1 s", took <= 1))
            rows.append(
                Row("syntaxes", f"{what}: {growth}, {form}", large, small, "<= 1.5", large <= small * 1.5, "us")
            )
        rss = found["rss"]
        rows.append(Row("syntaxes", f"most memory of both, {size}, {form}", rss, None, "<= 200 MB", rss <= 200, "MB"))
    return rows


def _measure(form: str) -> dict[str, float]:
    platform = get_platform(form.partition("-")[0])
    found: dict[str, float] = {}
    small, large = (running_config(form, lines // HOPS) for lines in (_SMALL, _LARGE))
    found |= _growth("parse", lambda: platform.parse(small), lambda: platform.parse(large))
    found |= _growth("render", _render(platform, small), _render(platform, large))
    text = running_config(form)
    found["parse"] = median([_cpu(lambda: platform.parse(text)) for _ in range(3)])
    found["render"] = median([_cpu(_render(platform, text)) for _ in range(3)])
    found["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _render(platform: Platform, text: str) -> Callable[[], object]:
    """Writes the commands that take one hop away from every prefix."""
    running = platform.parse(text)
    changes = [RouteChange.between(r.vrf, r.prefix, r.next_hops, r.next_hops[1:]) for r in running]
    return lambda: platform.render(changes, running)


def _growth(what: str, small: Callable[[], object], large: Callable[[], object]) -> dict[str, float]:
    """Microseconds for a line, of a small and of a large text, measured in turns."""
    took: dict[str, list[float]] = {"small": [], "large": []}
    small()
    for _ in range(5):
        took["small"] += [_cpu(small) for _ in range(9)]
        took["large"].append(_cpu(large))
    lines = {"small": _SMALL, "large": _LARGE}
    return {f"{what} {size}": median(times) / lines[size] * 1e6 for size, times in took.items()}


def _cpu(work: Callable[[], object]) -> float:
    """The CPU time that it takes, in seconds. What it returns is thrown away behind the clock."""
    began = time.process_time()
    result = work()
    took = time.process_time() - began
    del result
    return took


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1])))

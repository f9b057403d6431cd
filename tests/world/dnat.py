"""What kube-proxy does on a node, as one nftables table made from Services and EndpointSlices.

The rules follow kube-proxy with a local detector (`clusterCIDR` set):

- Traffic to a ClusterIP is internal: it obeys `internalTrafficPolicy`, and is masqueraded when it does not come from a pod,
  whatever `externalTrafficPolicy` says.
- Traffic to an external IP, a load balancer's IP or a NodePort is external: under `externalTrafficPolicy: Cluster` it goes
  to any endpoint and is masqueraded; under `Local` only to endpoints of this node, with the client's address, and is
  dropped where there are none. Pods reach such an address as if the policy were Cluster.
- Endpoints are those that are ready; where none is, those that are still serving while they terminate (KEP-1669); both
  are looked at for the node alone where the policy is Local.
- A service address without endpoints is rejected, an unused address of the service range dropped, so that it does not
  travel back to the router.

All rules stand in base chains and a reload is one transaction, so no packet sees a half-loaded table.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Document = Mapping[str, Any]
Verdict = Literal["dnat", "drop", "reject"]

TABLE = "kube-proxy"
_MASQUERADE_MARK = "0x4000"
_KEYWORD = {4: "ip", 6: "ip6"}


@dataclass(frozen=True)
class _Backend:
    address: str
    port: int


class _Usable(NamedTuple):
    """The endpoints that take new connections, of the whole cluster and of this node."""

    anywhere: tuple[_Backend, ...]
    here: tuple[_Backend, ...]


@dataclass(frozen=True)
class _Frontend:
    """One (address, port) and what happens to a new connection to it.

    `sources` limits it to some clients. `masquerade`: None never, "" always, else for the clients that it matches.
    """

    family: int
    match: str
    verdict: Verdict
    backends: tuple[_Backend, ...] = ()
    sources: str | None = None
    masquerade: str | None = None


def ruleset(
    node: str,
    services: Iterable[Document],
    slices: Iterable[Document],
    *,
    pod_cidrs: Iterable[str],
    service_cidrs: Iterable[str],
) -> str:
    """The text for `nft -f` on `node`.

    Args:
        node: name of the node whose endpoints are local.
        services: v1 Services as the API shows them.
        slices: discovery.k8s.io/v1 EndpointSlices as the API shows them.
        pod_cidrs: the cluster CIDR of each family, kube-proxy's local detector.
        service_cidrs: the service ranges; their unused addresses are dropped.
    """
    pods = _by_family(pod_cidrs)
    slice_list = list(slices)
    frontends = [f for service in services for f in _frontends(service, slice_list, node, pods)]
    rules = [rule for frontend in frontends for rule in _rules(frontend)]
    checks = [f"{f.match} ct state new {f.verdict}" for f in frontends if f.verdict != "dnat"]
    unused = [f"{_KEYWORD[f]} daddr {cidrs} drop" for f, cidrs in _by_family(service_cidrs).items()]
    hairpins = sorted(
        {
            f"{_KEYWORD[f.family]} saddr {b.address} {_KEYWORD[f.family]} daddr {b.address} masquerade"
            for f in frontends
            for b in f.backends
        }
    )
    chains = {
        "input": ("filter", "input", "0", checks),
        "output": ("filter", "output", "0", checks),
        "nat-in": ("nat", "prerouting", "-100", rules),
        "nat-out": ("nat", "output", "-100", rules),
        "forward": ("filter", "forward", "0", ["ct state invalid drop", *checks, *unused]),
        "nat-post": (
            "nat",
            "postrouting",
            "100",
            [f"meta mark & {_MASQUERADE_MARK} == {_MASQUERADE_MARK} masquerade fully-random", *hairpins],
        ),
    }
    body = [f"table inet {TABLE}", f"flush table inet {TABLE}", f"table inet {TABLE} {{"]
    for name, (kind, hook, priority, lines) in chains.items():
        body += [f"  chain {name} {{", f"    type {kind} hook {hook} priority {priority}; policy accept;"]
        body += [f"    {line}" for line in lines]
        body.append("  }")
    return "\n".join([*body, "}", ""])


def _by_family(cidrs: Iterable[str]) -> dict[int, str]:
    """Family -> nft's set text."""
    found: dict[int, list[str]] = {}
    for cidr in cidrs:
        found.setdefault(ipaddress.ip_network(cidr).version, []).append(cidr)
    return {family: "{ " + ", ".join(texts) + " }" for family, texts in found.items()}


def _frontends(service: Document, slices: list[Document], node: str, pods: Mapping[int, str]) -> Iterator[_Frontend]:
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
        return
    internal_local = spec.get("internalTrafficPolicy") == "Local"
    external_local = spec.get("externalTrafficPolicy") == "Local"
    for port in spec.get("ports", ()):
        protocol = port.get("protocol", "TCP").lower()
        usable = {family: _usable(service, port, slices, node, family) for family in (4, 6)}
        for address in spec.get("clusterIPs", ()):
            family = ipaddress.ip_address(address).version
            match = f"{_KEYWORD[family]} daddr {address} {protocol} dport {port['port']}"
            yield _internal(family, match, usable[family], pods.get(family), local=internal_local)
        for address in _external_addresses(service):
            family = ipaddress.ip_address(address).version
            match = f"{_KEYWORD[family]} daddr {address} {protocol} dport {port['port']}"
            yield from _external(family, match, usable[family], pods.get(family), local=external_local)
        if "nodePort" in port:
            for family in {ipaddress.ip_address(a).version for a in spec.get("clusterIPs", ())}:
                name = "ipv4" if family == 4 else "ipv6"
                match = f"meta nfproto {name} fib daddr type local {protocol} dport {port['nodePort']}"
                yield from _external(family, match, usable[family], pods.get(family), local=external_local)


def _internal(family: int, match: str, usable: _Usable, pods: str | None, *, local: bool) -> _Frontend:
    chosen = usable.here if local else usable.anywhere
    if not chosen:
        return _Frontend(family, match, "drop" if usable.anywhere else "reject")
    off_cluster = f"{_KEYWORD[family]} saddr != {pods}" if pods else None
    return _Frontend(family, match, "dnat", chosen, masquerade=off_cluster)


def _external(family: int, match: str, usable: _Usable, pods: str | None, *, local: bool) -> Iterator[_Frontend]:
    if not usable.anywhere:
        yield _Frontend(family, match, "reject")
        return
    if not local:
        yield _Frontend(family, match, "dnat", usable.anywhere, masquerade="")
        return
    if pods:
        yield _Frontend(family, match, "dnat", usable.anywhere, sources=f"{_KEYWORD[family]} saddr {pods}")
    if usable.here:
        yield _Frontend(family, match, "dnat", usable.here)
    else:
        outside = f"{match} {_KEYWORD[family]} saddr != {pods}" if pods else match
        yield _Frontend(family, outside, "drop")


def _rules(frontend: _Frontend) -> Iterator[str]:
    if frontend.verdict != "dnat":
        return
    match = f"{frontend.match} {frontend.sources}" if frontend.sources else frontend.match
    if frontend.masquerade is not None:
        yield f"{match} {frontend.masquerade} meta mark set meta mark or {_MASQUERADE_MARK}".replace("  ", " ")
    choices = ", ".join(f"{i} : {b.address} . {b.port}" for i, b in enumerate(frontend.backends))
    count = len(frontend.backends)
    yield f"{match} dnat {_KEYWORD[frontend.family]} addr . port to numgen random mod {count} map {{ {choices} }}"


def _external_addresses(service: Document) -> list[str]:
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    balancers = [entry["ip"] for entry in ingress if "ip" in entry and entry.get("ipMode", "VIP") == "VIP"]
    return [*service["spec"].get("externalIPs", ()), *balancers]


def _usable(service: Document, port: Document, slices: list[Document], node: str, family: int) -> _Usable:
    """The endpoints that serve `port` of the service, in a steady order."""
    ready: dict[_Backend, bool] = {}
    draining: dict[_Backend, bool] = {}
    metadata = service["metadata"]
    for item in slices:
        owner = (item["metadata"]["namespace"], item["metadata"].get("labels", {}).get("kubernetes.io/service-name"))
        if owner != (metadata["namespace"], metadata["name"]) or item["addressType"] != f"IPv{family}":
            continue
        numbers = [p["port"] for p in item["ports"] if (p.get("name") or "") == (port.get("name") or "")]
        for endpoint in item["endpoints"]:
            conditions = endpoint.get("conditions", {})
            backends = {_Backend(endpoint["addresses"][0], n): endpoint.get("nodeName") == node for n in numbers}
            if conditions.get("ready") is not False:
                ready |= backends
            elif conditions.get("serving") is not False and conditions.get("terminating"):
                draining |= backends
    here = [{b for b, local in some.items() if local} for some in (ready, draining)]
    return _Usable(_steady(ready or draining), _steady(here[0] or here[1]))


def _steady(backends: Iterable[_Backend]) -> tuple[_Backend, ...]:
    return tuple(sorted(backends, key=lambda b: (b.address, b.port)))

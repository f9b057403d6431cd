"""Short builders of model objects for the tests of the decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from k8s_ecmp.core.desired import Desired, decide
from k8s_ecmp.core.guards import Limits
from k8s_ecmp.core.rules import PlatformTraits, Rules
from k8s_ecmp.core.selection import RouterView
from k8s_ecmp.model import (
    ClusterState,
    Condition,
    Endpoint,
    EndpointSlice,
    NextHop,
    Node,
    Prefix,
    RunningRoutes,
    Service,
    ServiceCIDR,
    StaticRoute,
    Taint,
)
from k8s_ecmp.router_settings import NextHopSettings, RouterSettings
from k8s_ecmp.settings import GuardSettings, ServiceSettings, Settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TAG = 4201
OWNER = "prod-eu1"


def second(number: float) -> timedelta:
    return timedelta(seconds=number)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def p(text: str) -> Prefix:
    return Prefix.parse(text)


def node(name: str, *addresses: str, ready: str = "True", since_s: float = 86400, **kwargs: object) -> Node:
    number = int("".join(c for c in name if c.isdigit()) or 1)
    taints = tuple(Taint(key, "", "NoSchedule") for key in kwargs.pop("taints", ()))  # type: ignore[attr-defined]
    return Node(
        name=name,
        internal_ips=addresses or (f"10.0.0.{number}", f"fd00::{number:x}"),
        ready=Condition(ready, ago(since_s)),
        taints=taints,
        **kwargs,  # type: ignore[arg-type]
    )


def service(key: str, *cluster_ips: str, etp: str = "Cluster", itp: str = "Cluster", **kwargs: object) -> Service:
    namespace, _, name = key.rpartition("/")
    return Service(
        namespace=namespace or "default",
        name=name,
        cluster_ips=cluster_ips,
        external_local=etp == "Local",
        internal_local=itp == "Local",
        **kwargs,  # type: ignore[arg-type]
    )


def endpoints(key: str, *where: str | None, family: int = 4, number: int = 0) -> EndpointSlice:
    """Node names; a suffix says what: "n1" ready, "n1!" not ready, "n1~" serving and terminating, "n1x" only terminating."""
    namespace, _, name = key.rpartition("/")
    made = []
    for place in where:
        if place is None:
            made.append(Endpoint(None))
        elif place.endswith("!"):
            made.append(Endpoint(place[:-1], ready=False, serving=False))
        elif place.endswith("~"):
            made.append(Endpoint(place[:-1], ready=False, serving=True, terminating=True))
        elif place.endswith("x"):
            made.append(Endpoint(place[:-1], ready=False, serving=False, terminating=True))
        else:
            made.append(Endpoint(place))
    return EndpointSlice(
        namespace=namespace or "default",
        name=f"{name}-{family}-{number}",
        service=f"{namespace or 'default'}/{name}",
        family=family,  # type: ignore[arg-type]
        endpoints=tuple(made),
    )


def cluster(*objects: object, cidrs: tuple[str, ...] = ("10.96.0.0/12",)) -> ClusterState:
    return ClusterState(
        nodes=tuple(o for o in objects if isinstance(o, Node)),
        services=tuple(o for o in objects if isinstance(o, Service)),
        slices=tuple(o for o in objects if isinstance(o, EndpointSlice)),
        service_cidrs=tuple(ServiceCIDR(p(cidr), "settings") for cidr in cidrs),
        source="test",
    )


def settings(**services: object) -> Settings:
    return Settings(owner=OWNER, tag=TAG, services=ServiceSettings(**services))  # type: ignore[arg-type]


def decided(state: ClusterState, configured: Settings | None = None) -> Desired:
    return decide(state, configured or settings(), NOW)


def table(desired: Desired) -> dict[str, tuple[str, ...]]:
    """prefix -> node names."""
    return {str(route.prefix): route.nodes for route in desired.routes}


def router(name: str = "r1", **kwargs: Any) -> RouterView:
    hops = {key: kwargs.pop(key) for key in ("subnets", "node_selector", "minimum") if key in kwargs}
    return RouterView.of(name, RouterSettings(next_hops=NextHopSettings(**hops), **kwargs))


def traits(*, name_mark: bool = False, max_paths: int = 255, max_routes: int | None = None) -> PlatformTraits:
    return PlatformTraits("frr", name_mark, Limits(max_paths, max_routes))


def rules(**kwargs: Any) -> Rules:
    return Rules(TAG, OWNER, kwargs.pop("guards", GuardSettings()), **kwargs)


def ours(prefix: str, *addresses: str, vrf: str = "default", distance: int | None = None) -> StaticRoute:
    return StaticRoute(p(prefix), vrf, tuple(NextHop(a, tag=TAG, distance=distance) for a in addresses))


def theirs(prefix: str, *addresses: str, vrf: str = "default", tag: int | None = None) -> StaticRoute:
    return StaticRoute(p(prefix), vrf, tuple(NextHop(a, tag=tag) for a in addresses))


def running(*routes: StaticRoute) -> RunningRoutes:
    return RunningRoutes(routes)

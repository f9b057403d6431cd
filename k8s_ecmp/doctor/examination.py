"""All checks in their order. Whatever one of them meets, the others go on."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from k8s_ecmp.doctor.agreement import SETTINGS, check_agreement
from k8s_ecmp.doctor.kube_proxy import (
    ProxyConfiguration,
    check_local_policies,
    check_loops,
    check_masquerade,
)
from k8s_ecmp.doctor.nodes import check_nodes
from k8s_ecmp.errors import ClusterError, EcmpError, SettingsError
from k8s_ecmp.finding import Finding
from k8s_ecmp.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir.core import Nornir

    from k8s_ecmp.core.intent import Intent
    from k8s_ecmp.model import Prefix
    from k8s_ecmp.routers.session import Progress

_LIVE = "live"


class ProgressOver(Protocol):
    """Shows the steps of a number of routers while the context lasts."""

    def __call__(self, total: int, title: str, /) -> "AbstractContextManager[Progress | None]": ...


def examine(file: Path, routers: list[str], filters: list[str], progress_over: ProgressOver) -> Iterator[Finding]:
    """Examines settings, inventory, cluster and routers. Nothing is written anywhere.

    Args:
        file: the settings file.
        routers: names; empty: all.
        filters: "field=value", all must hold.
        progress_over: shows how far the routers are.
    """
    try:
        settings = load_settings(file)
    except SettingsError as error:
        yield _problem("settings", error, "nothing else can be looked at")
        return
    yield Finding("settings", "ok", f"{file} loads: owner {settings.owner}, tag {settings.tag}, mode {settings.mode}")
    nornir = None
    try:
        nornir = _routers(settings, file.absolute().parent, routers, filters)
    except SettingsError as error:
        yield _problem("inventory", error, "no router can be reached")
    else:
        yield Finding("inventory", "ok", f"{settings.inventory} loads: {len(nornir.inventory.hosts)} routers")
        yield from _passwords(nornir)
    cluster = _Cluster(settings)
    yield from cluster.findings()
    if nornir is not None:
        from k8s_ecmp.doctor.routers import examine_routers

        with progress_over(len(nornir.inventory.hosts), "examining routers") as progress:
            yield from examine_routers(nornir, settings, cluster.intent, progress)


def _passwords(nornir: "Nornir") -> Iterator[Finding]:
    from k8s_ecmp.routers.exposure import exposed

    for file in exposed(nornir):
        yield Finding("credentials", "warning", str(file), "whoever reads it can log in to the routers", file.remedy)


class _Cluster:
    """The checks of the cluster; `intent` is what it asks for once `findings` has come to its end, None if unknown."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._proxy: ProxyConfiguration | None = None
        self._proxy_unknown: Finding | None = None
        self._sources: dict[str, Sequence[Prefix]] = {}
        self._reached = True
        self.intent: Intent | None = None

    def findings(self) -> Iterator[Finding]:
        if self._settings.cluster.source == _LIVE:
            yield from self._live()
        else:
            yield from self._not_live()
        if self._reached:
            yield from self._decided()
        else:
            yield Finding("cluster", "unknown", "its objects were not read, so nothing else of it was looked at")

    def _live(self) -> Iterator[Finding]:
        from k8s_ecmp.doctor.live import Server

        try:
            with closing(Server(self._settings)) as server:
                yield from server.check_server()
                yield from server.check_rights()
                self._proxy, self._proxy_unknown = server.proxy()
                self._sources = server.cidr_sources()
        except ClusterError as error:
            self._reached = False
            yield _problem("api", error, "nothing of the cluster can be seen; routes stay as they are")

    def _not_live(self) -> Iterator[Finding]:
        from k8s_ecmp.model import Prefix

        where = f"the cluster is read from {self._settings.cluster.source}"
        yield Finding("api", "unknown", f"{where}: no API server is asked")
        yield Finding("clock", "unknown", f"{where}, which has no clock")
        yield Finding("rights", "unknown", f"{where}: none are needed")
        self._proxy_unknown = Finding(
            "kube-proxy", "unknown", f"{where}, without kube-proxy's settings", remedy="set cluster.source: live for it"
        )
        if self._settings.cluster.service_cidrs:
            self._sources[SETTINGS] = [Prefix.parse(cidr) for cidr in self._settings.cluster.service_cidrs]

    def _decided(self) -> Iterator[Finding]:
        from k8s_ecmp import runs

        try:
            self.intent = intent = runs.observe(self._settings)
        except EcmpError as error:
            yield _problem("cluster", error, "no route can be decided; what is there stays")
            return
        cluster, desired = intent.cluster, intent.desired
        used = [cidr.prefix for cidr in cluster.service_cidrs]
        families = {prefix.family for prefix in used} | {route.prefix.family for route in desired.routes}
        for warning in cluster.warnings:
            yield Finding("cluster", "warning", warning)
        yield Finding(
            "cluster",
            "ok",
            f"{len(cluster.nodes)} nodes, {len(cluster.services)} services, {len(desired.routes)} desired routes",
        )
        yield from check_nodes(desired, families)
        if used or self._settings.services.aggregate or self._settings.services.cluster_ips != "none":
            yield from check_agreement(self._sources, used, cluster.services)
        if self._proxy is not None:
            yield from check_masquerade(self._proxy, self._settings, {p.family for p in used}, cluster.nodes)
        elif self._proxy_unknown is not None:
            yield self._proxy_unknown
        yield check_local_policies(self._proxy, cluster, self._settings)
        yield check_loops(self._proxy, desired)


def _routers(settings: Settings, base: Path, names: list[str], filters: list[str]) -> "Nornir":
    from k8s_ecmp.routers.inventory import init_nornir, select

    return select(init_nornir(settings, base), names, filters)


def _problem(check: str, error: EcmpError, why: str) -> Finding:
    return Finding(check, "problem", error.message, why, error.remedy)

"""Which service addresses ask for a host route of their own: rules S2, S3, S7, S8 and S9."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from k8s_ecmp.core.flags import parse_bool
from k8s_ecmp.model import Prefix, Service, ServiceCIDR, Skipped
from k8s_ecmp.selector import Selector
from k8s_ecmp.settings import AddressRanges, HostRoutes, ServiceSettings

ADVERTISE_ANNOTATION = "k8s-ecmp.io/advertise"
_TYPES = frozenset(("ClusterIP", "NodePort", "LoadBalancer"))


class Claim(NamedTuple):
    """One service's wish for one address. `local`: the traffic policy that governs it is Local.

    `mode` is the setting for its kind of address: a claim of a Cluster-policy service counts with "all" only.
    """

    service: str
    field: str
    local: bool
    mode: HostRoutes

    @property
    def source(self) -> str:
        """The words for JSON and people: "Service kube-system/kube-dns clusterIP"."""
        return f"Service {self.service} {self.field}"


def collect_claims(
    services: Iterable[Service], settings: ServiceSettings, service_cidrs: Sequence[ServiceCIDR]
) -> tuple[dict[Prefix, list[Claim]], list[Skipped]]:
    """The claims on every address, and what was left out. An address of several services has several claims (S4)."""
    allowance = Allowance.of(settings, service_cidrs)
    claims: dict[Prefix, list[Claim]] = {}
    skipped: list[Skipped] = []
    for service in sorted(services, key=lambda s: (s.namespace, s.name)):
        made, notes = allowance.claims_of(service)
        for prefix, claim in made:
            claims.setdefault(prefix, []).append(claim)
        skipped += notes
    return claims, skipped


class Allowance(NamedTuple):
    """What settings and service CIDRs allow a service to ask for."""

    settings: ServiceSettings
    selector: Selector
    cluster: tuple[Prefix, ...]
    external: tuple[Prefix, ...]
    balancer: tuple[Prefix, ...]

    @classmethod
    def of(cls, settings: ServiceSettings, service_cidrs: Sequence[ServiceCIDR]) -> "Allowance":
        return cls(
            settings,
            Selector.parse(settings.selector),
            tuple(cidr.prefix for cidr in service_cidrs),
            ranges(settings.external_ips),
            ranges(settings.load_balancer_ips),
        )

    def claims_of(self, service: Service) -> tuple[list[tuple[Prefix, Claim]], list[Skipped]]:
        """The claims of one service, and what of it was left out."""
        settings = self.settings
        claims: list[tuple[Prefix, Claim]] = []
        subject = f"Service {service.key}"
        reason = _ineligible(service, self.selector)
        skipped = [Skipped(subject, note) for note in service.load_balancer_notes]
        advertise = service.annotations.get(ADVERTISE_ANNOTATION)
        if advertise is not None and parse_bool(advertise) is None:
            text = f'annotation {ADVERTISE_ANNOTATION} is "true" or "false", not {advertise!r}: ignored'
            skipped.append(Skipped(subject, text))
        if reason is not None:
            return claims, [*skipped, Skipped(subject, reason)]
        cluster_local = service.external_local or service.internal_local
        for field, addresses, allowed, local, mode, why in (
            ("clusterIP", service.cluster_ips, self.cluster, cluster_local, settings.cluster_ips, "service CIDR"),
            (
                "externalIP",
                service.external_ips,
                self.external,
                service.external_local,
                settings.external_ips.host_routes,
                "range of services.external_ips.cidrs",
            ),
            (
                "loadBalancerIP",
                service.load_balancer_ips,
                self.balancer,
                service.external_local,
                settings.load_balancer_ips.host_routes,
                "range of services.load_balancer_ips.cidrs",
            ),
        ):
            for address in addresses:
                prefix = Prefix.host(address)
                if not any(allow.covers(prefix) for allow in allowed):
                    if field != "clusterIP" or mode != "none" or settings.aggregate:
                        skipped.append(Skipped(subject, f"{field} {address} is in no {why}"))
                elif mode != "none":
                    claims.append((prefix, Claim(service.key, field, local, mode)))
        return claims, skipped


def ranges(settings: AddressRanges) -> tuple[Prefix, ...]:
    """The allowed ranges (rule S3: none by default)."""
    return tuple(Prefix.parse(cidr) for cidr in settings.cidrs)


def _ineligible(service: Service, selector: Selector) -> str | None:
    if service.type == "ExternalName":
        return "type ExternalName has no address of its own"
    if service.type not in _TYPES:
        return f"type {service.type!r} is none of {', '.join(sorted(_TYPES))}"
    if service.headless:
        return "headless"
    advertise = parse_bool(service.annotations.get(ADVERTISE_ANNOTATION, ""))
    if advertise is False:
        return f'annotation {ADVERTISE_ANNOTATION}: "false"'
    if advertise is None:
        failed = selector.explain(service.labels)
        if failed is not None:
            return f"services.selector does not admit it: {failed}"
    if not service.cluster_ips and not service.external_ips and not service.load_balancer_ips:
        return "has no address yet"
    return None

"""Whether all who know the service CIDRs say the same, and whether the services' addresses lie in them."""

from collections.abc import Iterator, Mapping, Sequence

from k8s_ecmp.finding import Finding, few
from k8s_ecmp.model import Prefix, Service

_CHECK = "service-cidrs"
SETTINGS, OBJECTS, KUBEADM = "settings", "ServiceCIDR objects", "ConfigMap kube-system/kubeadm-config"
_WHY_LESS = "services with addresses in it get no route"
_WHY_MORE = "traffic for addresses that are no services is drawn to the nodes"


def check_agreement(
    sources: Mapping[str, Sequence[Prefix]], used: Sequence[Prefix], services: Sequence[Service]
) -> Iterator[Finding]:
    """Compares the sources with each other, and the services with what is used.

    ServiceCIDR objects may know more than kubeadm, whose file holds what the cluster was made with.

    Args:
        sources: by name (`SETTINGS`, `OBJECTS`, `KUBEADM`), what each knows; one that knows nothing is left out.
        used: the service CIDRs that routes are made of.
        services: whose cluster IPs are looked at.
    """
    findings = list(_differences(sources))
    outside = sorted(
        f"{service.key} ({address})"
        for service in services
        for address in service.cluster_ips
        if not any(prefix.covers(Prefix.host(address)) for prefix in used)
    )
    shown = ", ".join(map(str, used)) or "none"
    if outside:
        findings.append(
            Finding(
                _CHECK,
                "problem",
                f"{len(outside)} cluster IPs are in no service CIDR ({shown}): {few(outside)}",
                "they get no route",
                "add their range to cluster.service_cidrs, or make a ServiceCIDR object for it",
            )
        )
    if not used:
        yield Finding(
            _CHECK,
            "problem",
            "no service CIDR is known",
            "it is never guessed from the services, and without it cluster IPs are not routed",
            "set cluster.service_cidrs, for example [10.96.0.0/12]",
        )
    elif findings:
        yield from findings
    else:
        known = f"; {' and '.join(sources)} agree" if len(sources) > 1 else ""
        yield Finding(_CHECK, "ok", f"{shown}, and every cluster IP is inside{known}")


def _differences(sources: Mapping[str, Sequence[Prefix]]) -> Iterator[Finding]:
    objects = sources.get(OBJECTS)
    # Objects are the API server's own word; kubeadm's file only counts where there are none.
    cluster_name = OBJECTS if objects else KUBEADM
    cluster = objects or sources.get(KUBEADM)
    configured = sources.get(SETTINGS)
    if cluster and configured:
        yield from _missing(SETTINGS, configured, cluster_name, cluster, _WHY_LESS)
        yield from _missing(cluster_name, cluster, SETTINGS, configured, _WHY_MORE)
    kubeadm = sources.get(KUBEADM)
    if objects and kubeadm:
        why = "kubeadm would write the API server's flags from it at the next upgrade"
        yield from _missing(OBJECTS, objects, KUBEADM, kubeadm, why)


def _missing(name: str, has: Sequence[Prefix], other: str, wants: Sequence[Prefix], why: str) -> Iterator[Finding]:
    missing = [prefix for prefix in wants if not any(known.covers(prefix) for known in has)]
    if missing:
        yield Finding(
            _CHECK,
            "problem",
            f"{', '.join(map(str, missing))} is in {other}, but not in {name}, which have {', '.join(map(str, has))}",
            why,
            f"make {name} and {other} agree",
        )
